# Two commands for a newcomer: `make up` and `make test`. Everything they need goes into .venv, from requirements.lock.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# The first of these that really runs; a version manager's shim may be there and fail. The distribution's own goes first: its optimised
# build decides for a seventh less than what a version manager compiles by default. Another, for a new .venv: make up PYTHON=/path/to/python3.12
ifndef PYTHON
PYTHON = $(shell for python in /usr/bin/python3 python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 && { command -v $$python; break; }; done)
endif

BIN := .venv/bin
# Named after what was installed, and where: a second run finds it and installs nothing.
INSTALLED := .venv/installed-$(shell { cat requirements.lock pyproject.toml; echo '$(CURDIR)'; } | cksum | cut -d' ' -f1)
# Rooms whose tests need no database and answer in seconds.
FAST := $(wildcard tests/architecture tests/policy tests/processes tests/learning tests/memory tests/guard tests/adapters tests/flows \
	tests/ledger/test_canonical.py tests/ledger/test_entry.py tests/test_settings.py)

export DAGSTER_DISABLE_TELEMETRY := 1
export DBT_SEND_ANONYMOUS_USAGE_STATS := false

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 14

.PHONY: install
install: $(INSTALLED) ## make .venv from requirements.lock

$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python 3.11, 3.12 or 3.13 with venv found (Debian: python3-venv): install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; exit 1; }
	@echo "installing into .venv with $(PYTHON): once, about a minute"
	@test -x $(BIN)/python && $(BIN)/python -c '' 2>/dev/null || "$(PYTHON)" -m venv --clear .venv
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements.lock
	@# The checkout itself: on the path by one line, and the command; no build backend is fetched for that.
	@echo "$(CURDIR)" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/precedent.pth"
	@printf '#!/bin/sh\nexec "$$(dirname "$$0")/python" -P -m precedent.cli.main "$$@"\n' > $(BIN)/precedent
	@chmod 755 $(BIN)/precedent
	@rm -f .venv/installed-*
	@touch $@

.PHONY: up
up: $(INSTALLED) ## start everything, with sample data; Ctrl-C stops it
	@exec $(BIN)/precedent up

.PHONY: down
down: $(INSTALLED) ## stop what runs
	@$(BIN)/precedent down

.PHONY: status
status: $(INSTALLED) ## the addresses, and the state of each process
	@$(BIN)/precedent status

.PHONY: dev
dev: $(INSTALLED) ## the API alone, restarted when its code changes
	@exec $(BIN)/precedent up --reload --no-dagster --no-docs --no-sample

.PHONY: test
test: $(INSTALLED) ## all tests but the long ones
	@$(BIN)/python -m pytest -m "not long"

.PHONY: test-faults
test-faults: $(INSTALLED) ## break database, disk, clock and process under load; FAULT_TABLE=docs/operations.md writes what was kept
	@FAULT_TABLE="$(FAULT_TABLE)" $(BIN)/python -m pytest -m "not long" tests/e2e/test_fault_table.py

.PHONY: test-long
test-long: $(INSTALLED) ## the long tests
	@$(BIN)/python -m pytest -m long

.PHONY: check
check: $(INSTALLED) ## format, lint, types, imports, policies, dbt parse, fast tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/precedent policy lint policies
	@$(BIN)/precedent policy test policies
	@PRECEDENT_DBT_HOST=127.0.0.1 PRECEDENT_DBT_PORT=5432 PRECEDENT_DBT_USER=none PRECEDENT_DBT_PASSWORD=none PRECEDENT_DBT_DATABASE=none \
		PRECEDENT_DBT_ROLE=none $(BIN)/dbt --quiet --log-path .venv/dbt-logs parse --project-dir dbt --profiles-dir dbt --target-path "$(CURDIR)/.venv/dbt-target"
	@$(BIN)/python -m pytest -q -m "not long" $(FAST)

.PHONY: bench
bench: $(INSTALLED) ## measure against baselines on this machine, into docs/benchmarks.md; ARGS=--quick only prints
	@$(BIN)/python -m tests.bench $(ARGS)

.PHONY: smoke
smoke: ## the round trip by curl: make smoke URL=https://… TOKEN=…
	@URL="$(URL)" TOKEN="$(TOKEN)" sh deploy/smoke.sh

.PHONY: notebooks
notebooks: $(INSTALLED) ## serve the notebooks on this machine; the tests run them
	@exec $(BIN)/precedent notebooks $(ARGS)

.PHONY: lock
lock: .venv/uv/bin/uv ## resolve pyproject.toml into requirements.lock: versions and hashes, no addresses
	@.venv/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
		--all-extras --no-emit-index-url --no-header --no-annotate --output-file requirements.lock pyproject.toml

.venv/uv/bin/uv:
	@"$(PYTHON)" -m venv .venv/uv
	@.venv/uv/bin/python -m pip --disable-pip-version-check install --quiet uv

.PHONY: format
format: $(INSTALLED) ## lay out the code, sort imports, apply safe fixes
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

.PHONY: clean
clean: ## remove caches and build products; .venv and .precedent stay
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dbt/target dbt/logs
	@find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +
