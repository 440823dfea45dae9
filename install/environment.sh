#!/bin/sh
# Makes one Python environment:  environment.sh DIRECTORY REQUIREMENTS [--extension]
# REQUIREMENTS is a complete list of versions, installed as it is: DIRAC 9.1.22 with CTADIRAC 3.1.0 is a combination that
# pip's resolver refuses (CTADIRAC pins DIRAC 9.1.9 exactly) and that works.
# --extension adds Debian's gfal2 module and this package itself, editable.
set -eu

directory=$1
requirements=$2
extension=${3:-}
here=$(cd "$(dirname "$0")/.." && pwd)
stamp="$directory/.installed"
wanted=$(cat "$requirements" "$here/setup.py" "$here/install/environment.sh" | sha256sum | cut -d' ' -f1)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted $here" ]; then
    exit 0
fi

# Debian's own interpreter, whatever comes first in PATH: gfal2 is built for it.
python=/usr/bin/python3
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
    echo "$python is not Python 3.11 (Debian 12's); gfal2 and DIRAC need it." >&2
    exit 1
}
echo "Environment $directory from $(basename "$requirements") ..."
# --copies: DIRAC's JobAgent writes the real path of its interpreter into job scripts; a link would lead out of the environment.
[ -x "$directory/bin/python" ] || "$python" -m venv --copies "$directory"
site=$("$directory/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
pip="$directory/bin/python -m pip --disable-pip-version-check -qq"
if [ "$extension" = "--extension" ]; then
    ln -sf /usr/lib/python3/dist-packages/gfal2.cpython-311-*.so "$site/"
    # Debian ships the module without the metadata by which pip would see that it is there.
    info="$site/gfal2_python-1.12.0.dist-info"
    mkdir -p "$info"
    : > "$info/RECORD"
    echo debian > "$info/INSTALLER"
    printf 'Metadata-Version: 2.1\nName: gfal2-python\nVersion: 1.12.0\nSummary: provided by Debian python3-gfal2\n' > "$info/METADATA"
fi
$pip install 'setuptools>=70,<81' wheel
$pip install --no-deps -r "$requirements"
if [ "$extension" = "--extension" ]; then
    # one at a time: it writes into the checkout
    flock "$here/setup.py" $pip install --no-deps --no-build-isolation -e "$here"
    "$directory/bin/python" -c 'import gfal2, DIRAC, CTADIRAC, CTARucioDIRAC, rucio.client'
fi
printf '%s %s' "$wanted" "$here" > "$stamp"
