#!/usr/bin/env bash
# usage: tools/test_sanitized.sh asan|tsan
#
# Builds the preset with gcc's sanitizer and runs the C tests, and the Python tests too with the
# sanitizer's library loaded first. Needs tools/setup.sh build test.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH
preset=$1

cmake --preset "$preset" --log-level=WARNING
cmake --build --preset "$preset" -j "$(nproc)"

case $preset in
asan)
    # CPython and the frameworks leave memory behind at exit; the C tests do look for leaks.
    ctest --preset asan
    LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
        ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=$PWD/build/asan/python \
        python -m pytest -p no:cacheprovider tests/python tests/conformance "${@:2}"
    ;;
tsan)
    export TSAN_OPTIONS="halt_on_error=1 suppressions=$PWD/tools/tsan_suppressions.txt"
    ctest --preset tsan
    # The threads of OpenMP, whose library is not instrumented, would be taken for races.
    LD_PRELOAD=$(gcc -print-file-name=libtsan.so) OMP_NUM_THREADS=1 \
        PYTHONPATH=$PWD/build/tsan/python \
        python -m pytest -p no:cacheprovider -o timeout=1200 tests/python tests/conformance \
        "${@:2}"
    ;;
*)
    echo "no such sanitizer: $preset (asan or tsan)" >&2
    exit 2
    ;;
esac
