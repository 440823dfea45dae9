#!/bin/sh
# All tests:  tests/run.sh [pytest options]
# Unit and contract tests on both supported DIRAC versions, then everything that needs the stack on a stack of its own.
set -eu
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
old=$PWD/.venvs/dirac-9.1.9/bin

echo "=== unit and contract tests, DIRAC 9.1.22"
"$bin/python" -m pytest -q tests/unit tests/contract -m "not stack" "$@"
echo "=== unit and loading tests, DIRAC 9.1.9 (what pip resolves for CTADIRAC 3.1.0)"
# (the workers' tools run in an environment of their own, the same for both)
"$old/python" -m pytest -q tests/unit --ignore tests/unit/test_software_worker_tools.py -m "not stack and not default_column" "$@"

[ -d ../shared/data ] || echo "=== ../shared/data is not there: the tests on real simulation files are left out"

# A stack of its own: another directory and other ports than anybody's who uses one on this machine.
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
echo "=== contract, integration and system tests on the stack"
failed=0
"$bin/python" -m pytest -q tests/unit tests/contract -m stack "$@" || failed=1
"$bin/python" -m pytest -q tests/system "$@" || failed=1
"$bin/python" -m pytest -q tests/integration "$@" || failed=1
exit "$failed"
