#!/bin/sh
# Style, types, spelling, import directions.
set -eu
cd "$(dirname "$0")/.."
bin=.venv/bin
$bin/ruff check .
$bin/ruff format --check .
$bin/mypy CTARucioDIRAC/domain CTARucioDIRAC/gateway CTARucioDIRAC/usecases
$bin/codespell $(git ls-files '*.py' '*.md' '*.sh' '*.yaml' '*.cfg' '*.c' '*.toml' Makefile)
$bin/python -m pytest -q tests/unit/test_layout.py tests/unit/test_commands.py
