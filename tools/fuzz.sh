#!/usr/bin/env bash
# usage: [FUZZ_SECONDS=60] [FUZZ_RUNS=N] [FUZZ_OPTIONS="..."] [FUZZ_JSON=FILE] tools/fuzz.sh [TARGET...]
#
# Builds the fuzz targets with libFuzzer and runs each, all or those named, for FUZZ_SECONDS or
# FUZZ_RUNS inputs, with the words of fuzz/TARGET.dict where there is one. New inputs go to
# build/fuzz/corpus/TARGET; a crashing input stays in build/fuzz. Prints the number of runs of each,
# and adds a row for it to FUZZ_JSON. Needs tools/setup.sh build fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH
commit=$(git rev-parse --short=12 HEAD) # of what is built, whatever is committed meanwhile

cmake --preset fuzz --log-level=WARNING
cmake --build --preset fuzz -j "$(nproc)"

if [ -n "${FUZZ_RUNS:-}" ]; then
    limit="-runs=$FUZZ_RUNS"
else
    limit="-max_total_time=${FUZZ_SECONDS:-60}"
fi
if [ $# -eq 0 ]; then
    while read -r folder; do
        set -- "$@" "$(basename "$folder")"
    done < <(find fuzz/corpus -mindepth 1 -maxdepth 1 -type d | sort)
fi
for target in "$@"; do
    program=$(find "$PWD/build/fuzz/fuzz" -type f -name "fuzz_$target")
    found=$PWD/build/fuzz/corpus/$target
    mkdir -p "$found"
    log=$PWD/build/fuzz/$target.log
    start=$SECONDS
    findings=0
    words=()
    if [ -f "fuzz/$target.dict" ]; then
        words=("-dict=$PWD/fuzz/$target.dict")
    fi
    # shellcheck disable=SC2086 # options are words
    if ! (cd build/fuzz && "$program" "$limit" -print_final_stats=1 "${words[@]}" ${FUZZ_OPTIONS:-} "$found" \
        "$OLDPWD/fuzz/corpus/$target") >"$log" 2>&1; then
        findings=1
        tail -n 40 "$log"
    fi
    runs=$(awk '/stat::number_of_executed_units/ { print $2 }' "$log")
    if [ -n "${FUZZ_JSON:-}" ]; then
        python tools/fuzz_row.py "$FUZZ_JSON" "$target" "${runs:-0}" $((SECONDS - start)) $findings \
            "$commit"
    fi
    if [ $findings -ne 0 ]; then
        echo "fuzz: $target FAILED ($log)"
        exit 1
    fi
    echo "fuzz: $target ok, $runs runs"
done
