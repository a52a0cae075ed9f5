#!/usr/bin/env bash
# usage: tools/gpu.sh COMMAND...
#
# Runs a command with robocache importable on a machine with a GPU, where packages may be out of reach:
# from a wheel in dist/ with CUDA kernels if there is one, unpacked into build/gpu and used with the
# python3 that has PyTorch; else from .venv, where `make build` put it.
set -euo pipefail
cd "$(dirname "$0")/.."
shopt -s nullglob
wheels=(dist/robocache-*.whl)
if [ ${#wheels[@]} -gt 0 ]; then
    rm -rf build/gpu
    python3 -m pip install -q --no-deps --no-index --target build/gpu "${wheels[0]}"
    export PYTHONPATH=$PWD/build/gpu:$PWD${PYTHONPATH:+:$PYTHONPATH}
elif [ -x .venv/bin/python ]; then
    export PATH=$PWD/.venv/bin:$PATH PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
else
    echo "gpu: no wheel in dist/ and no .venv; run make wheel or make build first" >&2
    exit 1
fi
python3 - <<'END'
import robocache, sys
cuda = robocache.check_installation()["cuda"]
sys.exit(None if cuda["available"] else f"gpu: {cuda['reason']}")
END
exec "$@"
