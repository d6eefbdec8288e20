# Everything from nothing: `make run` and `make test` set up what they need first.

SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
SCENARIO ?= scenarios/neighbourhood.toml
ARGS ?=
MECHANISMS := neighbourhood uniform matching listing escrow delayed-demand supervision
TESTS ?= tests

# Stamps: a second call finds them newer than the files they depend on, and sets up nothing.
RUNTIME := $(VENV)/.runtime-is-set-up
TOOLS := $(VENV)/.tools-are-set-up
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help setup run scenarios test check clean

help: ## Show these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

setup: $(RUNTIME) ## Make the virtual environment and find or get a broker

run: $(RUNTIME) ## Run a market: SCENARIO=file.toml ARGS="more options"
	$(BIN)/gridbazaar run $(SCENARIO) $(ARGS)

scenarios: $(RUNTIME) ## Run a market of every mechanism, one after the other
	@for name in $(MECHANISMS); do \
		echo "== $$name"; $(BIN)/gridbazaar run scenarios/$$name.toml $(ARGS) || exit 1; \
	done

test: $(TOOLS) ## Run all tests: TESTS=path ARGS="more options"
	$(BIN)/python -m pytest $(TESTS) $(ARGS)

check: $(TOOLS) ## Check style, format and types, as the continuous integration does
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean: ## Remove the virtual environment and caches; run folders stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --constraint constraints.txt --editable '.[web]'
	$(BIN)/python -m mosquitto.install
	@touch $@

$(TOOLS): $(RUNTIME)
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(BIN)/python:
	@sh .ci/make-venv $(VENV)
