#!/usr/bin/env bash
# usage: [PRESET=asan] tools/sweep_faults.sh [SCENARIO...]
#
# Makes every call of every scenario of tests/faults fail in turn, or of the scenarios named, on all cores, and prints
# what does not hold then. A line is a scenario, a kind of fault, the number of the call, the function that failed:
# `test_faults SCENARIO KIND NUMBER` does it again. Needs tools/setup.sh build test.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH
preset=${PRESET:-asan}

cmake --preset "$preset" --log-level=WARNING
cmake --build --preset "$preset" -j "$(nproc)" --target test_faults
program=build/$preset/tests/faults/test_faults
"$program" list | grep -E "^($(IFS='|'; echo "${*:-.*}")) " | xargs -P "$(nproc)" -L 1 "$program"
