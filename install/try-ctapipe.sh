#!/bin/sh
# Runs the workers' software on four events, from raw data to a checked DL2 file:  try-ctapipe.sh CONFIGURATION
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work"
cp "$1" "$work/configuration.yaml"
cd "$work"
{
    cta-rucio-make-night --output night --observations 1 --chunks 1 --events-per-chunk 4
    cd night
    triggers=$(find DL0 -name 'SUB*.fits.fz')
    ctapipe-process -i "$triggers" -o out.h5 -c "$work/configuration.yaml" \
        --DL0PointingSource.input_url="$(find DL0 -name 'pointing_*')" --provenance-log=provenance.log
    cta-rucio-check-events --output out.h5 --dl0-triggers "$triggers"
    ctapipe-merge out.h5 -o merged.h5 --single-ob --provenance-log=provenance-merge.log
} > "$work/log" 2>&1 || {
    tail -n 20 "$work/log" >&2
    exit 1
}
