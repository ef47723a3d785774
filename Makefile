# `make run` and `make test` do all of their own set-up in .venv; nothing else is installed but Chromium, by root on a Debian, for the tests of report.html.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CONSTRAINTS := constraints.txt

.PHONY: run test check lint types gpu-check clean

run: $(STAMP)            ## the quickstart suite, and its report
	$(BIN)/harness run suites/quickstart.yaml

test: $(STAMP)           ## all tests
	tests/report/install_chromium.sh
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder --durations=20

check: lint types test   ## what CI runs

lint: $(STAMP)           ## ruff
	$(BIN)/ruff check .

types: $(STAMP)          ## mypy
	$(BIN)/mypy

# `make gpu-check` on a machine with wheels in $(WHEELS) and no network uses the Python that has torch, and these; elsewhere the environment above.
WHEELS := .wheels
GPU_PYTHON ?= python3
GPU_OUT ?= $(or $(OUT),results/reference)
GPU_ARGS ?=

ifneq ($(wildcard $(WHEELS)/*.whl),)
gpu-check: $(WHEELS)/site/.installed   ## everything that is measured on a GPU, in nine minutes
	PYTHONPATH="$(CURDIR)/$(WHEELS)/site:$(CURDIR)" $(GPU_PYTHON) benchmarks/gpu_check.py --out "$(GPU_OUT)" $(GPU_ARGS)

$(WHEELS)/site/.installed: $(wildcard $(WHEELS)/*.whl)
	$(GPU_PYTHON) -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-compile --upgrade --target $(WHEELS)/site $(WHEELS)/*.whl
	touch $@
else
gpu-check: $(STAMP)      ## everything that is measured on a GPU, in nine minutes
	$(BIN)/python benchmarks/gpu_check.py --out "$(GPU_OUT)" $(GPU_ARGS); code=$$?; test $$code -eq 2 || $(BIN)/python benchmarks/measured.py && exit $$code
endif

$(STAMP): pyproject.toml $(CONSTRAINTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[test,lint]'
	touch $(STAMP)

clean:                   ## the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
