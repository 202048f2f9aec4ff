# The commands of the project. They only wrap uv, or venv and pip if uv is not installed: `uv sync` and
# `pip install -e '.[dev]'` do the same by hand.

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
UV    := $(shell command -v uv 2>/dev/null)
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
            $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)

# For one process, as a debugger needs it: make test PYTEST=
PYTEST   ?= -n logical --maxprocesses 4 --dist worksteal

.PHONY: help setup demo demo-orb test test-all lint bench docs lock clean

help:
	@echo "make demo    load a simulated Stripe account into DuckDB and look at it"
	@echo "make demo-orb load a simulated Orb account in the same way"
	@echo "make test    lint, types, import direction, and the tests on DuckDB and on a real Postgres"
	@echo "make test-all the long tests too, as continuous integration runs them"
	@echo "make bench   speed and memory beside plain code, and each target with met or not met"
	@echo "make lint    ruff and mypy alone"
	@echo "make docs    write the generated reference, and what the pages' sessions print"
	@echo "make lock    resolve uv.lock again (needs uv)"
	@echo "make setup   the virtual environment alone"

setup: $(STAMP)

$(STAMP): pyproject.toml uv.lock constraints.txt
ifneq ($(UV),)
	@# The project's own .venv, whichever environment the caller has active.
	env -u VIRTUAL_ENV UV_PROJECT_ENVIRONMENT=$(VENV) $(UV) sync --locked --quiet
else
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found: install one, or name it with make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
endif
	@touch $@

demo: setup
	@$(BIN)/python demo.py

demo-orb: setup
	@$(BIN)/python demo.py --orb

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Lint, types and import direction are tests as well (tests/test_project.py), so one line at the end shows the result.
test: setup
	@$(BIN)/pytest $(PYTEST) -m "not long"

test-all: setup
	@$(BIN)/pytest $(PYTEST)

bench: setup
	$(BIN)/python -m benchmarks

docs: setup
	$(BIN)/python docs/generate_reference.py
	$(BIN)/python docs/sessions.py
	$(BIN)/python docs/picture.py

lock:
	@test -n "$(UV)" || { echo "make lock needs uv: https://docs.astral.sh/uv/"; exit 1; }
	$(UV) lock --upgrade
	$(UV) export --quiet --frozen --all-extras --no-emit-project --no-hashes --no-annotate --no-header --output-file constraints.txt

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
