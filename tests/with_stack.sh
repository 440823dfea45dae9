#!/bin/sh
# Runs a command on a stack of its own:  with_stack.sh COMMAND [ARGUMENTS]
# The command finds it in CTA_RUCIO_TESTBED_DIR. Afterwards the stack is removed (KEEP_STACK=1: not if the command failed).
set -eu
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin

# Another directory and other ports than anybody's who uses a stack on this machine.
directory=$(mktemp -d /var/tmp/cta-rucio-test.XXXXXX)
ports=$("$bin/python" tests/free_ports.py)
export CTA_RUCIO_TESTBED_DIR="$directory/stack"
finish() {
    status=$?
    [ "$status" -eq 0 ] || "$bin/cta-rucio-testbed" status || true
    if [ "$status" -eq 0 ] || [ -z "${KEEP_STACK:-}" ]; then
        "$bin/cta-rucio-testbed" reset --yes || true
        rm -rf "$directory"
    fi
    exit "$status"
}
trap finish EXIT INT TERM
chmod 755 "$directory"
echo "=== starting a stack in $CTA_RUCIO_TESTBED_DIR, ports from $ports"
"$bin/cta-rucio-testbed" up --port-base "$ports" --tape-latency 0.5
"$@"
