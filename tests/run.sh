#!/bin/sh
# All tests:  tests/run.sh [pytest options]
# On the older supported DIRAC what needs no server; everything on the default one, on a stack of its own. Several tests
# run at a time (AT_A_TIME=3), as most of them wait most of the time; those marked "alone" follow by themselves.
set -eu
cd "$(dirname "$0")/.."
if [ -n "${CTA_RUCIO_TESTBED_DIR:-}" ] && [ "${1:-}" = --on-the-stack ]; then
    shift
    bin=$PWD/.venv/bin
    failed=0
    echo "=== unit, contract, integration and system tests, DIRAC 9.1.22"
    "$bin/python" -m pytest -q -n "${AT_A_TIME:-3}" --dist loadscope --no-loadscope-reorder -m "not alone" \
        --durations 15 tests "$@" || failed=1
    echo "=== tests that kill services, one after the other"
    "$bin/python" -m pytest -q -m alone --durations 15 tests "$@" || failed=1
    exit "$failed"
fi

echo "=== unit and loading tests, DIRAC 9.1.9 (what pip resolves for CTADIRAC 3.1.0)"
# (the workers' tools run in an environment of their own, the same for both)
.venvs/dirac-9.1.9/bin/python -m pytest -q -n 2 tests/unit --ignore tests/unit/test_software_worker_tools.py \
    -m "not stack and not default_column" "$@"
[ -d ../shared/data ] || echo "=== ../shared/data is not there: the tests on real simulation files are left out"
sh tests/with_stack.sh sh tests/run.sh --on-the-stack "$@"
