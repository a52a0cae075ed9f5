# The front door. Each target sets up what it needs on Debian or Ubuntu: `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PY := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHON ?= python3
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
BENCH_DATA := $(or $(DATA),$(wildcard $(ROBOCACHE_TEST_DATA)/rlds_bridge/bridge_dataset/1.0.0))
PRESET := release
PACKAGE := .venv/.package
SOURCES := $(shell find CMakeLists.txt CMakePresets.json VERSION LICENSE README.md pyproject.toml cmake include \
             src python -type f -not -name '*.pyc' 2>/dev/null)

.PHONY: help build demo test test-gpu test-asan test-tsan test-neon lint format bench bench-ops bench-gpu profile-gpu \
        fuzz wheel docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

build: $(PACKAGE) ## build the package and install it in .venv

# Python packages are built in the preset's own folder, so that nothing is compiled twice.
$(PACKAGE): $(SOURCES) requirements/build.txt requirements/apt-build.txt
	@tools/setup.sh build
	@echo "==> building robocache $$(cat VERSION)"
	@cmake --preset $(PRESET) --log-level=WARNING
	@cmake --build --preset $(PRESET) -j $(JOBS) --target _core
	@$(PY) -m pip install . -q --no-deps --no-build-isolation --no-input --force-reinstall \
	    --disable-pip-version-check --config-settings=build-dir=build/$(PRESET)
	@touch $@

demo: build ## record [FORMAT=lerobot], index, load and view simulated episodes, or DATA=path [RATE_HZ=n] of a dataset
	@tools/setup.sh demo
	@$(PY) examples/demo.py $(if $(DATA),"$(DATA)") $(if $(FORMAT),--format $(FORMAT)) $(if $(RATE_HZ),--rate-hz $(RATE_HZ))

test: build ## run every C and Python test; the last line counts them
	@tools/setup.sh test
	@cmake --preset $(PRESET) --log-level=WARNING
	@cmake --build --preset $(PRESET) -j $(JOBS)
	@$(PY) tools/run_tests.py build/$(PRESET) $(PYTEST_ARGS)

test-gpu: ## run the conformance suite and the compute-sanitizer tools on a GPU, from dist/'s wheel or .venv
	@tools/test_gpu.sh

test-asan: ## run the tests under the address and undefined-behaviour sanitizers
	@tools/setup.sh build test
	@tools/test_sanitized.sh asan

test-tsan: ## run the tests under the thread sanitizer
	@tools/setup.sh build test
	@tools/test_sanitized.sh tsan

test-neon: build ## compile the operations for aarch64, run them under qemu, compare to the bit
	@tools/setup.sh neon
	@tools/test_neon.sh build/$(PRESET)

lint: ## formatting, static analysis, types, and both compilers without a warning
	@tools/setup.sh build lint
	@tools/lint.sh

format: ## format the C and Python sources in place
	@tools/setup.sh build lint
	@git ls-files -z '*.c' '*.h' '*.cu' '*.cuh' | xargs -0 -r clang-format-19 -i
	@ruff check -q --fix-only . && ruff format -q .

bench: build ## measure loading DATA=path against tf.data and libjpeg-turbo
	@tools/setup.sh test
	@test -n "$(BENCH_DATA)" || { echo "usage: make bench DATA=path/to/bridge_dataset/1.0.0" >&2; exit 2; }
	@cmake --preset $(PRESET) --log-level=WARNING
	@cmake --build --preset $(PRESET) -j $(JOBS) --target jpeg_rate
	@mkdir -p bench/results
	@$(PY) bench/loading.py "$(BENCH_DATA)" --json bench/results/loading.json
	@$(PY) bench/decoding.py "$(BENCH_DATA)" --jpeg-rate build/$(PRESET)/bench/jpeg_rate \
	    --json bench/results/decoding.json

bench-ops: build ## measure the operations on the CPU against their peers
	@tools/setup.sh test
	@cmake --preset $(PRESET) --log-level=WARNING
	@cmake --build --preset $(PRESET) -j $(JOBS) --target resample_floor
	@$(PY) bench/ops.py --floor build/$(PRESET)/bench/libresample_floor.so \
	    --json bench/results/ops.json

bench-gpu: ## measure the operations on a GPU against their peers; BENCH_ARGS=--check fails where torch.compile leads
	@tools/gpu.sh python3 bench/gpu.py --json bench/results/gpu.json $(BENCH_ARGS)

profile-gpu: ## hardware counters of each CUDA kernel, as CSV and a roofline picture
	@tools/gpu.sh python3 bench/profile_gpu.py --csv bench/results/gpu_profile.csv \
	    --picture docs/images/roofline.png

fuzz: ## run each fuzz target for FUZZ_SECONDS
	@tools/setup.sh build fuzz
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tools/fuzz.sh

wheel: ## build a self-contained wheel in dist/
	@tools/setup.sh build wheel cuda
	@tools/wheel.sh

docs: build ## build the documentation in site/
	@tools/setup.sh docs
	@$(PY) -m mkdocs build --strict --quiet --site-dir site
	@echo "site/index.html"

clean: ## remove what was built; .venv stays
	rm -rf build dist out site .venv/.package
