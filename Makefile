# The two commands of the README, `make demo` and `make test`, need Python >= 3.11, pip and make.
# Options: PYTHON=/path/to/python, WORKERS=2, PYTEST_ARGS="tests/solvers -k fem".

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
PYTEST_ARGS ?=

# Each test worker has a core of its own: BLAS and OpenMP pools inside it would only contend.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PRECIOUS: $(VENV)/.installed-%

.PHONY: help
help:
	@echo "make demo    Burgers' equation by every method, compared in one report"
	@echo "make test    the test suite"
	@echo "make lint    ruff (check and format) and pyright"
	@echo "make format  let ruff fix and format the sources"
	@echo "make clean   remove the environment and the caches; results in runs/ are kept"

.PHONY: demo
demo: $(VENV)/.installed-core
	$(ONE_THREAD) $(BIN)/physml compare burgers

.PHONY: test
test: $(VENV)/.installed-test
	$(ONE_THREAD) MPLBACKEND=Agg $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

.PHONY: lint
lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

.PHONY: format
format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: clean
clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is newer than pyproject.toml once the extra of that name is installed.
$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	@spec=.; test "$*" = core || spec=".[$*]"; \
	echo "installing physml ($*) into $(VENV)"; \
	if command -v uv >/dev/null 2>&1; then \
		uv pip install --quiet --python $(BIN)/python -e "$$spec"; \
	else \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -e "$$spec"; \
	fi
	@touch $@

# A name on the PATH can be a stub (pyenv) or lack ensurepip (Debian): each candidate is tried.
$(BIN)/python:
	@rm -rf $(VENV); \
	for candidate in $(PYTHON) python3.13 python3.12 python3.11 python3 python3.14 python; do \
		"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
		if command -v uv >/dev/null 2>&1; then \
			uv venv --quiet --python "$$candidate" $(VENV) && exit 0; \
		else \
			"$$candidate" -c 'import ensurepip' >/dev/null 2>&1 || continue; \
			"$$candidate" -m venv $(VENV) && exit 0; \
		fi; \
	done; \
	echo "error: no Python >= 3.11 with venv found; install one (Debian, Ubuntu: apt install python3 python3-venv) or name it: make PYTHON=/path/to/python" >&2; \
	exit 1
