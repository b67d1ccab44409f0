# The verbs of this house. A fresh machine needs Python >= 3.11 (with venv) and make; nothing else.
# PYTHON picks the interpreter. A distribution's own is often built with profile-guided optimisation and a third
# faster than one compiled from source, so it comes first where it is new enough.
PYTHON ?= $(shell for p in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
# More than the two cores of a small machine: some tests wait for what they have started.
WORKERS ?= 3
ARGS ?=

.PHONY: help run test check format bench soak conformance live image clean

help: ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

run: $(VENV)/installed ## serve on 127.0.0.1:7455
	@exec $(BIN)/pillion serve --config $${PILLION_CONFIG:-config.yaml} $(ARGS)

# What tests import and start is compiled once, also where nothing that runs may leave its bytecode behind.
test soak conformance bench: export PYTHONDONTWRITEBYTECODE :=

test: $(VENV)/tested ## every test
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: $(VENV)/checked ## ruff, ruff format, mypy --strict, the architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest tests/test_architecture.py

format: $(VENV)/checked ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/tested ## CPU per request beside nginx, start-up and memory (wants gcc, nginx, wrk); then other figures
	$(BIN)/python tests/bench/run.py $(ARGS)
	$(BIN)/python tests/bench/figures.py
	$(BIN)/python tests/bench/outages.py
	$(BIN)/python tests/bench/holding.py
	$(BIN)/python tests/bench/ledger.py

soak: $(VENV)/tested ## the tests of which `make test` takes a sample, in full
	PILLION_SOAK=1 $(BIN)/pytest -n $(WORKERS) --timeout 3600 $(ARGS)

conformance: $(VENV)/tested ## every recording through pillion, read by every official SDK: four figures for each pair
	$(BIN)/python -m tests.conformance.run --workers $(WORKERS) --failures build/conformance.txt $(ARGS)

live: $(VENV)/tested ## ask each vendor whose key is in the environment: it costs money, and says how much at most
	PILLION_LIVE=1 $(BIN)/pytest tests/live $(ARGS)

image: ## the container image, with whichever of podman, docker and buildah works, and its size (BASE, BUILDER)
	@sh tools/image.sh

clean: ## everything that was made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# --- what the verbs need ---

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "pillion needs Python 3.11 or newer with venv (Debian: python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/python -m pip install -q -e .
	@$(BIN)/python -m compileall -q proxy # pip compiles what it copies, and an editable install is left where it is
	@touch $@

$(VENV)/tested: $(VENV)/installed
	$(BIN)/python -m pip install -q -e '.[test]'
	@touch $@

$(VENV)/checked: $(VENV)/tested
	$(BIN)/python -m pip install -q -e '.[test,check]'
	@touch $@
