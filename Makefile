# Every target installs what it needs into .venv on first use.
PYTHON ?= python3
BIN := .venv/bin
PRICEBOOK := $(BIN)/pricebook

ifdef PARAMS
export PRICEBOOK_PARAMS := $(abspath $(PARAMS))
endif
ifdef PRICEBOOK_HOME
override PRICEBOOK_HOME := $(abspath $(PRICEBOOK_HOME))
export PRICEBOOK_HOME
endif
export KEEP

.PHONY: install demo test check bench up down clean lock

install: .venv/installed
.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.7"
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

demo: install
	$(PRICEBOOK) demo

test: install
	$(BIN)/python -m pytest

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python -m benchmarks

up: install
	$(PRICEBOOK) up

down: install
	$(PRICEBOOK) down

clean: install
	$(PRICEBOOK) clean --yes

lock: install
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header \
		--all-extras --group test --group check pyproject.toml --output-file requirements.lock
