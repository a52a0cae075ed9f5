#!/usr/bin/env bash
# usage: tools/test_gpu.sh
#
# The conformance suite on CUDA, the tests of gradients, plans, graphs, streams and frameworks on it,
# and the C tests under the tools of compute-sanitizer. The C tests are those of $CUDA_TESTS, else
# those that came with the wheel, else they are compiled here.
set -euo pipefail
cd "$(dirname "$0")/.."
logs=build/test-gpu
mkdir -p $logs
tools/gpu.sh python3 -m pytest tests/conformance tests/python/test_torch_operators.py \
    tests/python/test_plan.py -q -k cuda -p no:cacheprovider "$@"
tools/gpu.sh python3 -m pytest tests/gpu -q -p no:cacheprovider "$@"

tests=${CUDA_TESTS:-dist/cuda-tests/test_cuda_operations}
if [ ! -x "$tests" ]; then
    tests=build/cuda/tests/cuda/test_cuda_operations
    cmake --preset cuda --log-level=WARNING
    cmake --build --preset cuda --target test_cuda_operations
fi
"$tests" >$logs/plain.log 2>&1 || {
    cat $logs/plain.log >&2
    exit 1
}
printf 'test-gpu: %-10s %s\n' plain "$(tail -n 1 $logs/plain.log)"
command -v compute-sanitizer >/dev/null || {
    echo "test-gpu: compute-sanitizer, of the CUDA toolkit, is not on the PATH" >&2
    exit 1
}
for tool in memcheck racecheck initcheck synccheck; do
    compute-sanitizer --tool $tool --error-exitcode 1 "$tests" >$logs/$tool.log 2>&1 || {
        tail -n 60 $logs/$tool.log >&2
        exit 1
    }
    printf 'test-gpu: %-10s %s\n' $tool "$(tail -n 1 $logs/$tool.log)"
done
