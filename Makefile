# `make run` and `make test` do all of their own set-up in .venv; nothing is installed globally.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CONSTRAINTS := constraints.txt

.PHONY: run test check lint types clean

run: $(STAMP)            ## the quickstart suite, and its report
	$(BIN)/harness run suites/quickstart.yaml

test: $(STAMP)           ## all tests
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder --durations=20

check: lint types test   ## what CI runs

lint: $(STAMP)           ## ruff
	$(BIN)/ruff check .

types: $(STAMP)          ## mypy
	$(BIN)/mypy

$(STAMP): pyproject.toml $(CONSTRAINTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[test,lint]'
	touch $(STAMP)

clean:                   ## the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
