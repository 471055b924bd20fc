# make run    install, then play 500 scenarios and print a first table
# make test   install, then run all tests
# make lint   ruff and mypy
# make bench  what is claimed about speed
# make docs   regenerate docs/cli.md
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Byte-compiling what is never imported would take longer than the download.
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --no-compile -c constraints.txt

# It is written when a module is first imported; without that, every process would compile all of torch again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test lint bench docs clean

run: $(VENV)/.installed
	$(BIN)/harness run --rec smtpo --sim smtpo-sft --limit 500

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks

docs: $(VENV)/.installed
	$(BIN)/python docs/generate_cli.py

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e ".[dev]"
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
