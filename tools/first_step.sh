#!/usr/bin/env bash
# usage: tools/first_step.sh WHEEL [ARGUMENTS of examples/train_policy.py]
#
# How long it takes from `pip install` of a wheel to the first step of training, and what of it is what.
# Without arguments the example's made-up arm is trained. Needs a python3 with PyTorch and Pillow;
# nothing is fetched, and the package is installed into a folder of its own, which is removed.
set -euo pipefail
wheel=$(realpath "${1:?a wheel}")
shift
[ $# -gt 0 ] || set -- --tiny
cd "$(dirname "$0")/.."
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }

begin=$(now)
python3 -m pip install -q --no-deps --no-index --target "$site" "$wheel"
echo "installed after $(since "$begin") s"
PYTHONPATH=$site python3 -u examples/train_policy.py --steps 1 "$@" | while IFS= read -r told; do
    echo "  of the script: $told"
    case $told in "first step"*) echo "first step, from pip install on: $(since "$begin") s" ;; esac
done
