.DEFAULT_GOAL := help
.PHONY: help setup run stack test lint types bench faults model conformance lock clean dev
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
WORKERS ?= 2
UV ?= build/uv/bin/uv
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check
COMPILE = $(UV) pip compile pyproject.toml --extra services --extra local --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-header --no-annotate -q

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do printf '%-11s %s\n' "$$name" "$$text"; done

setup: .venv/.installed ## make .venv with everything that runs

run: .venv/.installed ## everything on this machine (DATA_DIR, HTTP_PORT, DEMO=0)
	@exec $(BIN)/python -m deploy.local run

stack: .venv/.installed ## only PostgreSQL, NATS and an MQTT broker (DATA_DIR)
	@exec $(BIN)/python -m deploy.local stack

test: .venv/.installed-dev ## every test
	@$(BIN)/python -m pytest -n $(WORKERS)

faults: .venv/.installed-dev ## every fault under load, message by message; the table is kept in build/faults.md
	@FAULTS=all $(if $(WRITE),WRITE=1) $(BIN)/python -m pytest -n $(WORKERS) tests/faults

model: .venv/.installed-dev ## counting under random faults for ten minutes (MODEL_SECONDS, MODEL_SEED)
	@MODEL_SECONDS=$${MODEL_SECONDS:-600} $(BIN)/python -m pytest -s tests/status_collector/test_model.py

conformance: .venv/.installed-dev ## what each MQTT broker supports (BROKER=host:port adds one)
	@PYTHONPATH=.:shared $(BIN)/python -m tests.conformance $(if $(BROKER),--broker $(BROKER)) $(ARGS)

lint: .venv/.installed-dev ## style and layering
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PYTHONPATH=.:shared $(BIN)/lint-imports

types: .venv/.installed-dev ## types, strict
	@$(BIN)/basedpyright

bench: .venv/.installed-dev ## figures beside their floors
	@LOG_LEVEL=warning $(BIN)/python -m benchmarks $(ARGS)

lock: $(UV) ## write both requirements files anew
	$(COMPILE) -o requirements.lock
	$(COMPILE) --group dev -c requirements.lock -o requirements-dev.lock

clean: ## remove .venv and caches; data stays
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache

dev: .venv/.installed-dev

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found: install one, or set PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than Python 3.11: set PYTHON to a newer one" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.installed: requirements.lock pyproject.toml | .venv/bin/python
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.venv/.installed-dev: requirements-dev.lock .venv/.installed
	$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

build/uv/bin/uv: | .venv/bin/python
	.venv/bin/python -m venv build/uv
	build/uv/bin/pip install -q uv
