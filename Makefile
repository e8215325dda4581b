# Everything a person or a machine does with this checkout; `make` alone lists it.
# Works with GNU make ≥ 3.81 and a POSIX shell. A second `make install` does nothing: stamps in .venv say what is done.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed-runtime
DEV := $(VENV)/.installed-dev
LOCKS := requirements/bootstrap.lock requirements/build.lock requirements/runtime.lock
FRONT_END := $(shell find web/canvas -name node_modules -prune -o -type f -print 2>/dev/null)
PROJECT := pyproject.toml platform/refmill/__init__.py tools/install.py $(wildcard hatch_build.py)

# Options: DEMO_EXIT=1 ends the demo by itself; DEMO_ARGS and PYTEST_ARGS are handed on; COVERAGE=1 measures the tests.
DEMO_EXIT ?=
DEMO_ARGS ?=
PYTEST_ARGS ?=
CLUSTER_ARGS ?=
CLUSTER_HOST ?=
BENCH_ARGS ?=
COVERAGE ?=
WORKERS ?= auto
PYTEST := $(BIN)/python -m pytest
PARALLEL := -n $(WORKERS) --maxprocesses=8 --dist=worksteal

# Only said in so many words: what a shell exports may well lead to a cluster that people work with.
GIVEN_CLUSTER := $(if $(filter command%,$(origin KUBECONFIG)),$(KUBECONFIG))
unexport KUBECONFIG

# What a surrounding shell has set for other Python projects must not reach into this one.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV CONDA_PREFIX

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test browser servers cluster-up cluster-down test-cluster test-all bench bench-cluster check lint types contracts front-end docs docs-check format lock clean

help:
	@awk 'BEGIN { FS = ":.*## " } \
		/^## / { printf "\n%s\n", substr($$0, 4) } \
		/^[a-z][a-z0-9-]*:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '\nOptions: PYTHON=python3.12  DEMO_EXIT=1  DEMO_ARGS="…"  PYTEST_ARGS="-k push"  COVERAGE=1  WORKERS=4\n'

## Use it

install: $(RUNTIME) ## make .venv with the refmill command, from pinned packages

demo: $(RUNTIME) ## start the platform and push a dataset and a pipeline to it
	@$(BIN)/refmill demo $(if $(filter 1,$(DEMO_EXIT)),--exit) $(DEMO_ARGS)

## Test it

test: $(DEV) ## every test that needs neither browser nor cluster
	$(PYTEST) $(PARALLEL) --ignore=tests/browser $(if $(COVERAGE),--cov --cov-report=term) $(PYTEST_ARGS)

browser: $(DEV) ## the tests that drive a Chromium
	$(PYTEST) tests/browser $(PYTEST_ARGS)

cluster-up: $(DEV) ## start a real Kubernetes on this machine (root; docs/test-cluster.md)
	@cd tests && $(CURDIR)/$(BIN)/python -m cluster up $(CLUSTER_ARGS)

cluster-down: $(DEV) ## end it, or clear what one that was killed has left
	@cd tests && $(CURDIR)/$(BIN)/python -m cluster down

test-cluster: $(DEV) ## the tests that need a cluster: that one, one of their own, or KUBECONFIG=FILE
	@$(if $(GIVEN_CLUSTER),,cd tests && $(CURDIR)/$(BIN)/python -m cluster build)
	$(if $(GIVEN_CLUSTER),REFMILL_CLUSTER_KUBECONFIG='$(abspath $(GIVEN_CLUSTER))' REFMILL_CLUSTER_HOST='$(CLUSTER_HOST)') \
		$(PYTEST) -m cluster tests/on_cluster $(PYTEST_ARGS)

test-all: $(DEV) ## all of them but the cluster's, with the full counts; hours
	$(PYTEST) $(PARALLEL) -m 'not cluster' $(PYTEST_ARGS)

servers: $(BIN)/uv ## build the S3 servers that tests start, into .build/servers; minutes, once
	@$(BIN)/python tools/servers.py

bench: $(DEV) ## measure against make and dvc; the figures stand in docs/benchmarks.md
	@for script in $(filter-out bench/bench_cluster.py,$(wildcard bench/bench_*.py)); do echo "$$script"; $(BIN)/python "$$script" || exit 1; done

bench-cluster: $(DEV) ## the same of runs on the test cluster, beside argo and kubectl
	$(BIN)/python bench/bench_cluster.py $(BENCH_ARGS)

## Change it

install-dev: $(DEV) ## the same .venv with the tools for development

check: lint types contracts docs-check ## all that reads the code without running it

lint: $(DEV) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV) ## mypy, strict
	$(BIN)/mypy

contracts: $(DEV) ## who may import whom
	$(BIN)/lint-imports

front-end: $(DEV) ## the browser's code: types and tests, with the Node of a wheel
	$(BIN)/python tools/front_end.py

docs-check: $(DEV) ## what the documents say is what the code does
	$(PYTEST) tests/docs

docs: $(DEV) ## write the pages and files that come from the code anew
	$(BIN)/python tools/reference.py

format: $(DEV) ## let ruff mend what it can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: $(RUNTIME) ## pin every dependency anew (LOCK_ARGS=--upgrade for newer ones)
	$(BIN)/python tools/lock.py $(LOCK_ARGS)

clean: ## take away .venv and all that was built; repositories' data stays
	rm -rf $(VENV) .build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache web/refmill_web/static/dist web/canvas/node_modules
	find platform templates repos argo web/refmill_web tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
		echo "Refmill needs Python 3.11 or newer, and there is no $(PYTHON). Install it, or name yours: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) tools/install.py venv

# Missing where making .venv was cut off half-way.
$(BIN)/uv: | $(BIN)/python
	@test -x $@ || $(PYTHON) tools/install.py venv

$(RUNTIME): $(LOCKS) $(PROJECT) $(FRONT_END) | $(BIN)/uv
	@$(BIN)/python tools/install.py runtime
	@touch $@

$(DEV): $(RUNTIME) requirements/dev.lock
	@$(BIN)/python tools/install.py dev
	@touch $@
