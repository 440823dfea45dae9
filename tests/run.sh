#!/bin/sh
# All tests:  tests/run.sh [pytest options]
# On both supported DIRAC versions what needs no server; everything else on a stack of its own, which is removed
# afterwards (KEEP_STACK=1: not if a test failed). Several tests run at a time, as most of them wait most of the time;
# those marked "alone" follow by themselves.
set -eu
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
old=$PWD/.venvs/dirac-9.1.9/bin
at_a_time=${AT_A_TIME:-4}

echo "=== unit and loading tests, DIRAC 9.1.9 (what pip resolves for CTADIRAC 3.1.0)"
# (the workers' tools run in an environment of their own, the same for both)
"$old/python" -m pytest -q -n 2 tests/unit --ignore tests/unit/test_software_worker_tools.py \
    -m "not stack and not default_column" "$@"

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
failed=0
echo "=== unit, contract, integration and system tests, DIRAC 9.1.22, $at_a_time at a time"
"$bin/python" -m pytest -q -n "$at_a_time" --dist loadscope --no-loadscope-reorder -m "not alone" --durations 15 tests "$@" || failed=1
echo "=== tests that kill services, one after the other"
"$bin/python" -m pytest -q -m alone --durations 15 tests "$@" || failed=1
exit "$failed"
