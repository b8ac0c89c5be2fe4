# Everything here sets up what it needs in .venv first. Outside this folder only pip's cache is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs docs-check bench soak clean

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.ready ## Set up, then watch the daemon work on samples/
	@$(BIN)/python scripts/demo.py

test: $(VENV)/.ready-dev ## Set up, then run all tests
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

lint: $(VENV)/.ready-dev ## Style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

PAGES = README.md docs/cli.md docs/config.md docs/json.md docs/database.md docs/errors.md docs/benchmarks.md

docs: $(VENV)/.ready-dev ## Write the generated pages and parts of pages
	$(BIN)/python -m cogapp -r -I docs -I . $(PAGES)
	$(BIN)/agentd config schema > config.schema.json

docs-check: $(VENV)/.ready-dev ## Fail where a generated page is out of date
	$(BIN)/python -m cogapp --check -I docs -I . $(PAGES)
	$(BIN)/agentd config schema | diff -u config.schema.json -

bench: $(VENV)/.ready-bench ## Speed, as ratios to a peer measured in the same run; some hours on a quiet machine
	$(BIN)/python benchmarks/startup.py
	@mkdir -p build
	$(BIN)/python -m benchmarks.engine --json build/bench.json
	$(BIN)/python -m benchmarks.logs --json build/bench-logs.json
	$(BIN)/python -m benchmarks.folders --json build/bench-folders.json

soak: $(VENV)/.ready-dev ## The long runs: hundreds of kills, then two hours of everything at once
	$(BIN)/python -m pytest -m slow
	$(BIN)/python -m tests.soak.mixed_load --minutes 120

clean: ## Remove .venv and what tools left behind
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) scripts/setup_venv.py $(VENV) starter
	@touch $@

$(VENV)/.ready-bench: pyproject.toml
	@$(PYTHON) scripts/setup_venv.py $(VENV) starter,dev,bench
	@touch $@ $(VENV)/.ready $(VENV)/.ready-dev

$(VENV)/.ready-dev: pyproject.toml
	@$(PYTHON) scripts/setup_venv.py $(VENV) starter,dev
	@touch $@ $(VENV)/.ready
