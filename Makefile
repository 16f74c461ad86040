# A fresh machine needs Python 3.13 (pyenv finds it through .python-version), Node and make; the rest is installed here.
SHELL := /bin/bash
PYTHON ?= python3.13
VENV := .venv
BIN := $(VENV)/bin
# Three tests side by side, in the groups that tests/support/side_by_side.py names. Tests of whole hosts wait on real clocks,
# so they come by themselves, when nothing else takes the processor from them.
SIDE_BY_SIDE := --numprocesses 3 --dist loadscope --no-loadscope-reorder
WHOLE_HOSTS := tests/e2e tests/chaos tests/integrations
READY := $(VENV)/.ready local/azurite/node_modules/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo run test check bench chaos soak package clean

help: ## Show what there is to make.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

setup: $(READY) ## Install what is missing (done by every other target).

$(VENV)/.ready: requirements.txt requirements-dev.txt
	@echo "Setting up Python in $(VENV) ..."
	@python=$$(command -v $(PYTHON) || true); \
	  if command -v pyenv >/dev/null && version=$$(pyenv latest 3.13 2>/dev/null); then \
	    python=$$(pyenv prefix $$version)/bin/python; fi; \
	  test -n "$$python" || { echo "Python 3.13 is needed: install it, or pyenv with 3.13."; exit 1; }; \
	  "$$python" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt 2> $(VENV)/pip.log \
	  || { cat $(VENV)/pip.log; exit 1; }
	@touch $@

local/azurite/node_modules/.ready: local/azurite/package.json local/azurite/package-lock.json
	@echo "Setting up Azurite (the storage emulator) ..."
	@cd local/azurite && npm ci --silent --no-audit --no-fund
	@touch $@

demo: $(READY) ## Start everything, revoke one user, one by queue message, a group; show the status log.
	@$(BIN)/python -m local demo

run: $(READY) ## Start everything and stay up; prints the URLs and the key.
	@$(BIN)/python -m local up

test: $(READY) ## Run the tests against Azurite, the tenant simulator and the Functions runtime.
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(addprefix --ignore=,$(WHOLE_HOSTS))
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(WHOLE_HOSTS)

check: $(READY) ## Format, lint, types, the API's descriptions; Bicep, where there is a compiler.
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/python -m local openapi
	@$(BIN)/python -m local bicep

bench: $(READY) ## Measure the budgets as ratios, side by side in one run.
	@$(BIN)/python -m local bench $(ARGS)

chaos: $(READY) ## Kill hosts at every point, 20 seeds each, and hold Graph's log against the tables (about an hour).
	@$(BIN)/python -m local chaos $(ARGS)

soak: $(READY) ## Large requests with five kills each, and kills anywhere, over hours.
	@$(BIN)/python -m local chaos --points five,random,double --seeds 100 --users 1000 $(ARGS)

package: $(READY) ## Build dist/entra-session-revoker-VERSION.zip, the package that Azure runs.
	@$(BIN)/python -m local package

clean: ## Remove everything that was installed or produced.
	rm -rf $(VENV) local/azurite/node_modules dist .local .mypy_cache .ruff_cache .pytest_cache
