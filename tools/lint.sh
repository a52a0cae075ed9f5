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

# Leaves out the generated sources that compile each header alone, and the tests.
tidy() {
    python - <<'END' | xargs -r -n 1 -P "$jobs" clang-tidy-19 -p build/lint-clang --quiet
import json, pathlib
root = pathlib.Path.cwd()
folders = [root / name for name in ("src", "python/src", "fuzz")]
names = {entry["file"] for entry in json.load(open("build/lint-clang/compile_commands.json"))}
print(*sorted(n for n in names if any(f in pathlib.Path(n).parents for f in folders)), sep="\n")
END
}

analyse() {
    cppcheck --project=build/lint-clang/compile_commands.json --enable=warning,performance,portability \
        --inline-suppr --suppressions-list=tools/cppcheck.txt --error-exitcode=1 --quiet -j "$jobs" \
        --cppcheck-build-dir=$logs -i build -i tests
}

# shellcheck disable=SC2046
check clang-format clang-format-19 --dry-run -Werror $(files '*.c' '*.h' '*.cu' '*.cuh')
check ruff ruff check .
check ruff-format ruff format --check .
check mypy mypy
check gcc build gcc
check clang build clang
check clang-tidy tidy
check cppcheck analyse

if [ ${#failed[@]} -gt 0 ]; then
    echo "lint: failed: ${failed[*]} (whole output in $logs/)"
    exit 1
fi
echo "lint: clean"
