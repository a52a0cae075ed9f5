#!/usr/bin/env bash
# usage: tools/lint.sh
#
# Every check of `make lint`, all of them even when one fails. Prints a line a check, and the output
# of those that fail. Needs tools/setup.sh build lint.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
PATH=$PWD/.venv/bin:$PATH
jobs=$(nproc)
logs=build/lint
mkdir -p $logs
failed=()

check() {
    local name=$1 start=$SECONDS
    shift
    if "$@" >"$logs/$name.log" 2>&1; then
        printf 'lint: %-14s ok      %3d s\n' "$name" $((SECONDS - start))
    else
        failed+=("$name")
        printf 'lint: %-14s FAILED  %3d s\n' "$name" $((SECONDS - start))
        tail -n 100 "$logs/$name.log"
    fi
}

files() { git ls-files --cached --others --exclude-standard -- "$@"; }

build() {
    cmake --preset "lint-$1" && cmake --build --preset "lint-$1" -j "$jobs"
}

# What is analysed, in a compilation database of its own: each source once, though the kernels are
# compiled for several instruction sets; without the tests and the sources generated to compile each
# header alone. CUDA's host code as it is with kernels, which it takes no CUDA to read.
list_sources() {
    python - "$logs" <<'END'
import json, pathlib, sys
root = pathlib.Path.cwd()
folders = [root / name for name in ("src", "python/src", "fuzz")]
entries = {}
for entry in json.load(open("build/lint-clang/compile_commands.json")):
    parents = pathlib.Path(entry["file"]).parents
    if any(folder in parents for folder in folders):
        if root / "src/cuda" in parents:
            entry["command"] = entry["command"].replace(" -c ", " -DRBC_HAS_CUDA_KERNELS -c ")
        entries.setdefault(entry["file"], entry)
(pathlib.Path(sys.argv[1]) / "compile_commands.json").write_text(json.dumps(list(entries.values())))
print(*sorted(entries), sep="\n")
END
}

tidy() {
    list_sources | xargs -r -n 1 -P "$jobs" clang-tidy-19 -p "$logs" --quiet
}

analyse() {
    mkdir -p $logs/cppcheck && list_sources >/dev/null &&
        cppcheck --project=$logs/compile_commands.json --enable=warning,performance,portability \
            --library=python --inline-suppr --suppressions-list=tools/cppcheck.txt \
            --error-exitcode=1 --quiet -j "$jobs" --cppcheck-build-dir=$logs/cppcheck
}

# shellcheck disable=SC2046
check clang-format clang-format-19 --dry-run -Werror $(files '*.c' '*.h' '*.cu' '*.cuh')
check ruff ruff check .
check ruff-format ruff format --check .
check mypy mypy
check errors python tools/check_errors.py
check headers python tools/check_headers.py
check gcc build gcc
check clang build clang
check clang-tidy tidy
check cppcheck analyse

if [ ${#failed[@]} -gt 0 ]; then
    echo "lint: failed: ${failed[*]} (whole output in $logs/)"
    exit 1
fi
echo "lint: clean"
