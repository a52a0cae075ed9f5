#!/usr/bin/env bash
# usage: tools/test_gpu.sh
#
# The conformance suite on CUDA, the tests of gradients, plans, graphs, streams and frameworks on it,
# and the C tests under the tools of compute-sanitizer. The C tests are
# those of $CUDA_TESTS, build/cuda/tests/cuda/test_cuda_operations unless set.
set -euo pipefail
cd "$(dirname "$0")/.."
tests=${CUDA_TESTS:-build/cuda/tests/cuda/test_cuda_operations}
logs=build/test-gpu
mkdir -p $logs
tools/gpu.sh python3 -m pytest tests/conformance tests/python/test_torch_operators.py \
    tests/python/test_plan.py -q -k cuda -p no:cacheprovider "$@"
tools/gpu.sh python3 -m pytest tests/gpu -q -p no:cacheprovider "$@"
[ -x "$tests" ] || {
    echo "test-gpu: no $tests; build it with cmake --preset cuda && cmake --build --preset cuda" >&2
    exit 1
}
"$tests"
for tool in memcheck racecheck initcheck synccheck; do
    compute-sanitizer --tool $tool --error-exitcode 1 "$tests" >$logs/$tool.log 2>&1 || {
        tail -n 60 $logs/$tool.log >&2
        exit 1
    }
    printf 'test-gpu: %-10s %s\n' $tool "$(tail -n 1 $logs/$tool.log)"
done
