# Koban: make run, make test. Everything else is set up on the way.
# uv is used where it is there, pip where it is not.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
export UV_PYTHON_DOWNLOADS := never

# Compiled modules are kept in the environment's own folder, wherever Python is told to keep none beside the sources:
# the suite starts hundreds of processes, and compiling costs each of them twice what it has to do. The folder may be
# there before the environment is: the check of the version compiles already.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/compiled

ifneq ($(UV),)
  MAKE_VENV = uv venv --quiet --allow-existing --python $(PYTHON) $(VENV)
  INSTALL = uv pip install --quiet --python $(BIN)/python
else
  MAKE_VENV = $(PYTHON) -m venv $(VENV)
  INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

CHECKS := check-types check-form check-imports check-tidy check-pack

.PHONY: help install run serve test warehouse-test check $(CHECKS) bench lock format screenshots clean

help:  ## Say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 20

$(VENV)/python-is-new-enough:
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 14) else "Koban needs Python 3.11, 3.12 or 3.13; " + sys.executable + " is " + sys.version.split()[0] + ". Name another one: make run PYTHON=python3.12")'
	@test -x $(BIN)/python || $(MAKE_VENV)
	@touch $@

$(VENV)/installed: $(VENV)/python-is-new-enough requirements.lock pyproject.toml
	$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --no-deps --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.lock
	$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

install: $(VENV)/installed  ## Make .venv with the koban command in it

run: install  ## Start Koban with the starter pack and a simulated marketplace
	$(BIN)/koban demo

serve: install  ## Start Koban with the starter pack
	$(BIN)/koban serve

test: $(VENV)/installed-dev  ## Run the whole suite on SQLite and PostgreSQL
	$(BIN)/pytest --numprocesses $(or $(JOBS),2) --dist loadscope --no-loadscope-reorder $(TESTS)

WAREHOUSE := .venv-warehouse

$(WAREHOUSE)/%/installed: tests/warehouse/%.txt
ifneq ($(UV),)
	uv venv --quiet --clear --python $(PYTHON) $(WAREHOUSE)/$*
	uv pip install --quiet --python $(WAREHOUSE)/$*/bin/python -r $<
else
	$(PYTHON) -m venv --clear $(WAREHOUSE)/$*
	$(WAREHOUSE)/$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
endif
	@touch $@

warehouse-test: $(VENV)/installed-dev $(WAREHOUSE)/clickhouse/installed $(WAREHOUSE)/spark/installed  ## Run the dialects of koban sql on the real engines, each in an environment of its own
	KOBAN_WAREHOUSE=1 $(BIN)/pytest tests/warehouse

check:  ## Format, lint, types, import contract, tidy
	@$(MAKE) --no-print-directory --jobs 2 $(CHECKS)

check-types: $(VENV)/installed-dev  # the longest, so it is begun first and the others run beside it
	$(BIN)/mypy

check-form: $(VENV)/installed-dev
	$(BIN)/ruff format --check src tests tools bench
	$(BIN)/ruff check src tests tools bench

check-imports: $(VENV)/installed-dev
	$(BIN)/lint-imports --no-cache

check-tidy: $(VENV)/installed-dev
	$(BIN)/python tools/tidy.py

check-pack: $(VENV)/installed-dev
	$(BIN)/koban fmt packs/starter --check
	$(BIN)/koban check packs/starter

format: $(VENV)/installed-dev  ## Put the sources into form
	$(BIN)/ruff format src tests tools bench
	$(BIN)/ruff check --fix src tests tools bench

bench: $(VENV)/installed-dev  ## Measure, beside peers, and print a table
	$(BIN)/python -m bench.run

screenshots: $(VENV)/installed-dev  ## Take the pictures of docs and README from a running demonstration
	$(BIN)/python tools/pictures.py

lock:  ## Pin every dependency with its hash (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --extra postgresql pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --extra postgresql --group dev --group bench pyproject.toml -o requirements-dev.lock

clean:  ## Remove the environment and caches; data is left alone
	rm -rf $(VENV) $(WAREHOUSE) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
