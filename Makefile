# Every target installs what it needs into .venv on first use.
PYTHON ?= python3
BIN := .venv/bin
TORCH := "torch>=2.9,<2.14"
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
# Compile bytecode now: where Python may not write it later (PYTHONDONTWRITEBYTECODE, a read-only
# file system), every process would compile TensorFlow and Airflow again at each start.
.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.7"
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

demo: install
	$(PRICEBOOK) demo

test: install
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed-bench
	$(BIN)/python -m benchmarks

# pip, unlike uv, reads pip's own configuration, which may offer a build of torch without CUDA.
.venv/installed-bench: .venv/installed requirements-bench.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes \
		--requirement requirements-bench.lock
	touch $@

up: install
	$(PRICEBOOK) up

down: install
	$(PRICEBOOK) down

clean: install
	$(PRICEBOOK) clean --yes

COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header
CUDA := cuda-bindings cuda-pathfinder cuda-toolkit triton $(addprefix nvidia-,cublas cuda-cupti \
	cuda-nvrtc cuda-runtime cudnn-cu13 cufft cufile curand cusolver cusparse cusparselt-cu13 nccl-cu13 \
	nvjitlink nvshmem-cu13 nvtx)

lock: install
	$(COMPILE) --all-extras --group test --group check pyproject.toml --output-file requirements.lock
	$(COMPILE) --group bench --constraint requirements.lock \
		$(addprefix --no-emit-package ,torch $(CUDA)) --output-file requirements-bench.lock
