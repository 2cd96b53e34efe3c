# How to work on Ostinato. `make` alone lists the targets.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
UV := .venv/bin/uv
# More arguments for pytest and the benchmarks: make test ARGS="-k retry"
ARGS ?=

# Files are pinned and hashed, and so is what builds the two packages that come as source.
INSTALL := $(UV) pip install --quiet --python $(PY) --build-constraints requirements/build.txt
COMPILE := $(UV) pip compile --quiet --generate-hashes --universal --python-version 3.11 \
	--no-header --no-emit-index-url $(if $(UPGRADE),--upgrade)
CHECKED := src tests $(wildcard benchmarks examples)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: .venv/.demo ## Run the example pipeline: flights from New York, from the source to a dashboard
	$(PY) examples/nyc_flights/demo.py $(ARGS)

.PHONY: setup
setup: .venv/.dev ## Make .venv with everything that tests and checks need (the others do it too)

.PHONY: test
test: .venv/.dev ## Run the tests
	$(PY) -m pytest -n 2 --dist worksteal $(ARGS)

.PHONY: test-foreign
test-foreign: .venv/.dev .venv-foreign/.done ## Compare with Airflow and gusty, in an environment of their own
	$(PY) -m pytest -p no:randomly --foreign .venv-foreign/bin/python tests/foreign $(ARGS)

.PHONY: check
check: .venv/.dev ## Lint, format, types, layers, changelog and version
	$(PY) -m ruff check $(CHECKED)
	$(PY) -m ruff format --check $(CHECKED)
	$(PY) -m mypy $(CHECKED)
	.venv/bin/lint-imports
	$(PY) -m pytest -q tests/test_house.py

.PHONY: bench
bench: .venv/.dev ## Measure Ostinato against the limits of the machine
	$(PY) -m benchmarks $(ARGS)

.PHONY: bench-peers
bench-peers: .venv/.dev ## Measure other orchestrators doing the same work
	$(PY) -m benchmarks.peers $(ARGS)

.PHONY: soak
soak: .venv/.dev ## Run the simulation and survival tests at length
	$(PY) -m pytest -n 2 --dist worksteal --soak --timeout 7200 tests/simulation tests/survival tests/fuzz $(ARGS)

.PHONY: lock
lock: .venv/.tools ## Pin the requirements again after pyproject.toml changed (UPGRADE=1: to the newest)
	$(COMPILE) requirements/uv.in -o requirements/uv.txt
	$(COMPILE) requirements/build.in -o requirements/build.txt
	$(COMPILE) pyproject.toml --all-extras -o requirements/dev.txt
	$(COMPILE) pyproject.toml -c requirements/dev.txt -o requirements/base.txt
	$(COMPILE) pyproject.toml --extra examples -c requirements/dev.txt \
		--excludes requirements/demo-excludes.in -o requirements/demo.txt
	$(COMPILE) requirements/foreign.in -o requirements/foreign.txt

# Nothing is installed, and nobody is asked for a password, where all of it is there already.
.PHONY: system-deps
system-deps: ## Install what some tests need of the system by apt: R, pandoc, node, Ruby, Chromium
	@lacking=; \
	for name in $$(sed 's/ *#.*//' requirements/system.apt); do \
		dpkg-query -W -f '$${Status}' $$name 2>/dev/null | grep -q 'ok installed' || lacking="$$lacking $$name"; \
	done; \
	[ -n "$$lacking" ] || exit 0; \
	command -v apt-get >/dev/null || { echo "error: there is no apt-get here; install what requirements/system.apt lists" >&2; exit 1; }; \
	[ "$$(id -u)" = 0 ] && root= || root=sudo; \
	$$root apt-get update -qq && \
	$$root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$lacking

.PHONY: clean
clean: ## Remove .venv, caches and what was built
	rm -rf .venv .venv-foreign .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.* \
		build dist htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: a second `make` finds them newer than what they were made from, and installs nothing.

# A command of this name may be there and not work (a version manager's stub), so each is tried.
.venv/.tools: requirements/uv.txt
	@found=; lacking=; \
	for python in python3.13 python3.12 python3.11 python3; do \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		if $$python -c 'import ensurepip, venv' 2>/dev/null; then found=$$python; break; fi; \
		lacking=$$python; \
	done; \
	if [ -z "$$found" ] && [ -n "$$lacking" ]; then \
		echo "error: $$lacking cannot make virtual environments, it lacks venv or ensurepip (Debian, Ubuntu: apt install $$lacking-venv)" >&2; exit 1; \
	elif [ -z "$$found" ]; then \
		echo "error: Ostinato needs Python 3.11 or newer; tried python3.13, python3.12, python3.11 and python3" >&2; exit 1; \
	fi; \
	echo "making .venv with $$($$found --version)"; \
	$$found -m venv --clear .venv
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

.venv/.demo: .venv/.tools pyproject.toml requirements/demo.txt requirements/build.txt
	@$(INSTALL) --require-hashes --no-deps -r requirements/demo.txt
	@$(INSTALL) --no-deps -e .
	@touch $@

# What the tests need includes what the demo needs, in the same versions.
.venv/.dev: .venv/.tools pyproject.toml requirements/dev.txt requirements/build.txt
	@$(INSTALL) --require-hashes -r requirements/dev.txt
	@$(INSTALL) --no-deps -e .
	@touch .venv/.demo $@

# Airflow pins much, so it has an environment apart; it takes a minute to fill.
.venv-foreign/.done: .venv/.tools requirements/foreign.txt requirements/build.txt
	@$(PY) -m venv --clear .venv-foreign
	@$(UV) pip install --quiet --python .venv-foreign/bin/python --build-constraints requirements/build.txt \
		--require-hashes --no-deps -r requirements/foreign.txt
	@touch $@
