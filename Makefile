# Trunkline: `make run` starts the gateway with a local model, `make test` runs everything that CI runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check -q
PYTEST := $(BIN)/python -m pytest

.PHONY: help
help:  ## what can be made
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/.run  ## start the gateway with a local model, print address, key and a first request
	@$(BIN)/trunkline run

.PHONY: demo
demo: $(VENV)/.run  ## the gateway over simulated providers with the figures of a real page
	@$(BIN)/trunkline demo

# Tests run in as many processes as there are cores, at most four: a file's tests in one of them, in the order of folders, so that no long file is last.
# Compiled Python is kept whatever the environment says, or each process that a test starts would compile its modules again.
WORKERS ?= logical
.PHONY: test
test:  ## everything that CI runs
	@$(MAKE) --no-print-directory -j2 $(VENV)/.dev $(VENV)/.debian
	@$(MAKE) --no-print-directory -j2 lint types
	PYTHONDONTWRITEBYTECODE= $(PYTEST) -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations 25

.PHONY: lint
lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: types
types: $(VENV)/.dev
	$(BIN)/mypy

.PHONY: bench
bench: $(VENV)/.dev  ## CPU per request and event, latency, memory, start time, beside nginx and peers
	$(BIN)/python -m bench

.PHONY: bench-pages
bench-pages: $(VENV)/.dev  ## server time of each page on a large store, and what page views do to the API's latency
	$(BIN)/python -m bench.pages

.PHONY: screenshots
screenshots: $(VENV)/.dev $(VENV)/.debian  ## every page on demo traffic, light and dark, wide and narrow
	$(BIN)/python scripts/screenshots.py

.PHONY: soak
soak: $(VENV)/.dev  ## ten minutes of load with callers that leave: memory and descriptors must not grow
	$(BIN)/python -m bench.soak

.PHONY: faults
faults: $(VENV)/.dev  ## ten minutes at 200 requests a second over providers of which one answer in twenty goes wrong
	$(BIN)/python -m bench.faults

.PHONY: crash
crash: $(VENV)/.dev  ## kill -9 under load, again and again: no record may be lost
	$(BIN)/python -m bench.crash --rounds 20

.PHONY: crash-cluster
crash-cluster: $(VENV)/.dev $(VENV)/.debian  ## the same over gateways, PostgreSQL and Redis behind nginx, 50 times
	$(BIN)/python -m bench.crash_cluster --rounds 50

.PHONY: test-clients
test-clients: $(VENV)/.dev  ## real client programs against the gateway (fetches them from their registries)
	$(PYTEST) tests/clients -m 'clients or not clients'

.PHONY: sbom
sbom: $(VENV)/.dev  ## the bill of materials of what `make run` installs, as CycloneDX JSON
	@$(BIN)/cyclonedx-py requirements requirements/run.lock --pyproject pyproject.toml --output-format JSON --output-file sbom.json
	@echo "sbom.json"

.PHONY: catalog
catalog: $(VENV)/.dev  ## take the models and prices anew from their sources
	$(BIN)/python scripts/build_catalog.py

.PHONY: lock
lock: $(VENV)/.dev  ## resolve the dependencies anew, with hashes
	@$(BIN)/python scripts/lock.py

.PHONY: clean
clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis sbom.json

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Trunkline needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.lock pyproject.toml | $(BIN)/python
	@echo "Installing Trunkline into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements/run.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.lock pyproject.toml | $(BIN)/python
	@echo "Installing Trunkline and what its checks need into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements/dev.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.run

$(VENV)/.debian: scripts/debian.py | $(BIN)/python
	@$(BIN)/python scripts/debian.py chromium nginx postgresql redis
	@touch $@
