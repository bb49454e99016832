# Each target stands alone on a fresh clone: it makes the environment it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

# What compiled kernels were compiled from: an environment with older ones is made up to date.
KERNELS := $(wildcard csrc/CMakeLists.txt csrc/*.cpp csrc/*.hpp csrc/tables/*.hpp)

.PHONY: demo test lint types bench kernels docs-tables clean

demo: $(VENV)/.train
	$(BIN)/reparam trick --seed 47 --loc 2 --scale 5
	$(BIN)/reparam train vae --data digits --out runs/demo-$(shell date +%Y%m%d-%H%M%S)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/pyright

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/run.py

# Compiles csrc/ again, into the source tree; an editable install has done it once.
kernels: $(VENV)/.dev
	$(BIN)/cmake -G Ninja -S csrc -B build/kernels -DSKBUILD_STATE=editable -DPython_EXECUTABLE=$(abspath $(BIN)/python)
	$(BIN)/cmake --build build/kernels

docs-tables: $(VENV)/.dev
	$(BIN)/python tools/make_docs.py

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.train: $(VENV)/bin/python pyproject.toml constraints.txt $(KERNELS)
	$(PIP) -e '.[train]'
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt $(KERNELS)
	$(PIP) -e '.[dev]'
	touch $@
