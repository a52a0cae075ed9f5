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

tests=${CUDA_TESTS:-dist/cuda-tests/test_cuda_operations}
if [ ! -x "$tests" ]; then
    tests=build/cuda/tests/cuda/test_cuda_operations
    cmake --preset cuda --log-level=WARNING
    cmake --build --preset cuda --target test_cuda_operations
fi
command -v compute-sanitizer >/dev/null || {
    echo "test-gpu: compute-sanitizer, of the CUDA toolkit, is not on the PATH" >&2
    exit 1
}

# The tools are slow and leave the GPU idle: they run while the Python tests do.
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
declare -A runs
"$tests" >$logs/plain.log 2>&1 &
runs[plain]=$!
for tool in memcheck racecheck initcheck synccheck; do
    compute-sanitizer --tool $tool --error-exitcode 1 "$tests" >$logs/$tool.log 2>&1 &
    runs[$tool]=$!
done

status=0
tools/gpu.sh python3 -m pytest tests/conformance tests/python/test_torch_operators.py \
    tests/python/test_plan.py -q -k cuda -p no:cacheprovider "$@" || status=1
tools/gpu.sh python3 -m pytest tests/gpu -q -p no:cacheprovider "$@" || status=1
for run in plain memcheck racecheck initcheck synccheck; do
    wait "${runs[$run]}" || {
        tail -n 60 $logs/$run.log >&2
        status=1
    }
    printf 'test-gpu: %-10s %s\n' $run "$(tail -n 1 $logs/$run.log)"
done
exit $status
