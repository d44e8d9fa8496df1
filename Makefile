# make quickstart: the whole study on a laptop. make real: real weights, 93 MB. make test: the test suite.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# processes of make quickstart and make real: one a core, as far as memory of a laptop goes
JOBS ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores < 4 ? cores : 4)))

# also where it is set: or each of the tests' fifty processes compiles kvarena anew
export PYTHONDONTWRITEBYTECODE :=

.PHONY: quickstart real test lint clean

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit("kvarena needs Python 3.11 or newer: make PYTHON=...") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml requirements.txt | $(BIN)/pip
	$(BIN)/pip install --quiet --constraint requirements.txt torch
	$(BIN)/pip install --quiet --constraint requirements.txt --editable .
	@touch $@

# bytecode of what is imported is written when it is, not of all that is installed
$(VENV)/developed: pyproject.toml requirements.txt | $(BIN)/pip
	$(BIN)/pip install --quiet --no-compile --constraint requirements.txt --editable '.[dev]'
	@touch $(VENV)/installed $@

quickstart: $(VENV)/installed
	@start=$$(date +%s); \
	PATH=$(CURDIR)/$(BIN):$$PATH scripts/reproduce.sh quickstart jobs=$(JOBS); \
	echo "run: $$(($$(date +%s) - start)) s"

$(VENV)/gguf: $(VENV)/installed
	@$(BIN)/pip install --quiet --constraint requirements.txt --editable '.[gguf]' || \
		{ echo "make real: pip cannot install what is above, which is needed once" >&2; exit 2; }
	@touch $@

real: $(VENV)/gguf
	@BIN=$(BIN) JOBS=$(JOBS) scripts/real.sh

test: $(VENV)/developed
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=2 --dist=worksteal

lint: $(VENV)/developed
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

clean:
	rm -rf $(VENV) build *.egg-info
