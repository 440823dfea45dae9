# The commands people guess. Each sets up what it needs first; the second time that takes seconds.
.PHONY: help setup demo test test-unit bench lint clean

help:
	@echo "make demo                  set up, start the stack, and do the whole job on a night of raw data"
	@echo "make demo INPUT=/directory the same with your own raw files (DL0 in ACADA's tree, or simtel)"
	@echo "make test                  set up, and pass all tests (unit, contract, integration, system)"
	@echo "make lint                  style, types, import directions, spelling"
	@echo "make bench                 compare the catalogue with its peers; docs/performance.md has a run"
	@echo "make setup                 only set up: system packages, .venv, workers' software"
	@echo "make clean                 stop the stack, remove it, and remove the environments"

VENV := .venv
SOFTWARE := .software
OLD := .venvs/dirac-9.1.9

# (the environments don't need each other: three at a time)
setup: system-packages
	@$(MAKE) --no-print-directory -j3 environment software

.PHONY: system-packages environment software old-column
system-packages:
	@sh install/system-packages.sh

environment: system-packages
	@sh install/environment.sh $(VENV) requirements/dirac-9.1.22.txt --extension

software: system-packages
	@sh install/software.sh $(SOFTWARE)

old-column: system-packages
	@sh install/environment.sh $(OLD) requirements/dirac-9.1.9.txt --extension

demo: setup
	@$(VENV)/bin/cta-rucio-testbed up
	@$(VENV)/bin/cta-rucio-demo $(if $(INPUT),--input "$(INPUT)")

test: system-packages
	@$(MAKE) --no-print-directory -j3 environment software old-column
	@sh tests/run.sh

test-unit: environment
	@$(VENV)/bin/python -m pytest tests/unit tests/contract -m "not stack"

bench: setup
	@sh tests/with_stack.sh $(VENV)/bin/python benchmarks/catalogue.py $(BENCH)

lint: environment
	@sh tests/lint.sh

clean:
	-@[ ! -x $(VENV)/bin/cta-rucio-testbed ] || $(VENV)/bin/cta-rucio-testbed reset --yes
	@rm -rf $(VENV) $(OLD) $(SOFTWARE)
