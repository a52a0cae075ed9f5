#!/usr/bin/env bash
# usage: tools/test_neon.sh [BUILD_FOLDER]
#
# Cross-compiles the operations for aarch64, runs them under qemu-user, and compares what they give
# to the bit with this processor's baseline and best instruction sets.
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1:-build/release}
work=build/neon
mkdir -p $work
[ -f "$build/include/dlpack/dlpack.h" ] || {
    echo "$build has no headers: build first (make build)" >&2
    exit 1
}

sources=(tests/isa/digest.c src/core/*.c src/image/*.c src/cpu/*.c)
for source in src/ops/*.c; do
    [ "$source" = src/ops/backend.c ] || sources+=("$source")
done
# The backend's table names what decodes JPEGs, which no case here calls.
no_codecs=(-static -Wl,--unresolved-symbols=ignore-in-object-files)
kernel_flags=(-fno-trapping-math -fno-math-errno)
flags=(-std=c11 -O3 -ffp-contract=off -Wall -Wextra -Wconversion -Wshadow -Werror
       -Iinclude -Isrc "-I$build/include")

# compile CC ISA OUT FLAG...: the kernels of one ISA as objects under OUT
compile_kernels() {
    local cc=$1 isa=$2 out=$3 source name type
    shift 3
    mkdir -p "$out"
    for source in src/cpu/kernels/*.c; do
        name=$(basename "$source" .c)
        if [ "$name" = resample_times ]; then
            for type in 0 1 2; do
                "$cc" "${flags[@]}" "${kernel_flags[@]}" "$@" -DRBC__ISA="$isa" -DRBC__TIME_TYPE=$type -c "$source" \
                    -o "$out/$name.$type.$isa.o"
            done
        else
            "$cc" "${flags[@]}" "${kernel_flags[@]}" "$@" -DRBC__ISA="$isa" -c "$source" -o "$out/$name.$isa.o"
        fi
    done
}

rm -rf $work/host $work/neon
echo "==> compiling for $(uname -m)"
compile_kernels gcc baseline $work/host
if [ "$(uname -m)" = x86_64 ]; then
    avx2=(-mavx2 -mfma -mf16c -mbmi -mbmi2 -mlzcnt -mpopcnt)
    compile_kernels gcc avx2 $work/host "${avx2[@]}"
    compile_kernels gcc avx512 $work/host "${avx2[@]}" -mavx512f -mavx512bw -mavx512dq -mavx512vl
fi
gcc "${flags[@]}" "${sources[@]}" $work/host/*.o -o $work/digest_host -lm -pthread "${no_codecs[@]}"
echo "==> compiling for aarch64"
compile_kernels aarch64-linux-gnu-gcc baseline $work/neon
aarch64-linux-gnu-gcc "${flags[@]}" "${sources[@]}" $work/neon/*.o -o $work/digest_neon \
    -lm -pthread "${no_codecs[@]}"

echo "==> running"
$work/digest_host 0 >$work/baseline.txt
$work/digest_host >$work/best.txt
qemu-aarch64 $work/digest_neon >$work/neon.txt
for other in best neon; do
    diff $work/baseline.txt $work/$other.txt >$work/$other.diff || {
        echo "$other differs from baseline:" >&2
        head -20 $work/$other.diff >&2
        exit 1
    }
done
echo "$(wc -l <$work/baseline.txt) cases give the same bits on baseline, the best ISA here, and NEON"
