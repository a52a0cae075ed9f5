#!/usr/bin/env bash
# usage: tools/wheel.sh
#
# Builds the wheel, bundles the shared libraries it needs, FFmpeg's decoders (tools/ffmpeg.sh) and the
# licences of all those, and leaves it in dist/, with the C tests of the CUDA backend in dist/cuda-tests/ for machines that have a GPU and no
# compiler. CUDA_ARCHITECTURES="90 120" compiles the kernels for those alone. Needs tools/setup.sh
# build wheel cuda.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH
work=build/wheel
build=build/wheel-cuda${CUDA_ARCHITECTURES:+-${CUDA_ARCHITECTURES// /-}}
rm -rf $work dist
mkdir -p $work dist

settings=(--config-settings="build-dir=$build"
    --config-settings=cmake.define.ROBOCACHE_CUDA=ON)
[ -z "${CUDA_ARCHITECTURES:-}" ] ||
    settings+=("--config-settings=cmake.define.ROBOCACHE_CUDA_ARCHITECTURES=${CUDA_ARCHITECTURES// /;}")
python -m pip wheel . --no-deps --no-build-isolation --no-input --disable-pip-version-check -q \
    --wheel-dir $work/plain "${settings[@]}"
# FFmpeg's libraries are loaded by name, from the folder beside the module.
tools/ffmpeg.sh build/ffmpeg-libs
python -m wheel unpack -d $work/with $work/plain/robocache-*.whl >/dev/null
mkdir "$(echo $work/with/robocache-*)/robocache/ffmpeg"
cp build/ffmpeg-libs/lib*.so.* "$(echo $work/with/robocache-*)/robocache/ffmpeg/"
rm $work/plain/*.whl
python -m wheel pack -d $work/plain "$(echo $work/with/robocache-*)" >/dev/null
auditwheel repair --plat auto --wheel-dir $work/repaired $work/plain/robocache-*.whl 2>$work/auditwheel.log ||
    { cat $work/auditwheel.log >&2 && exit 1; }
python -m wheel unpack -d $work/tree $work/repaired/robocache-*.whl >/dev/null
tree=$(echo $work/tree/robocache-*)
licences=$(echo "$tree"/robocache-*.dist-info)/licenses
mkdir -p "$licences"
cp build/ffmpeg-libs/*.txt "$licences"
shopt -s nullglob
# A bundled library is named LIBRARY-HASH.so.VERSION. The system knows it by a version that is as long or
# shorter, and has the licence in the package of that file.
find_library() {
    local name=$1 path
    while [[ $name == *.so.* ]]; do
        path=$(ldconfig -p | awk -v name="$name" '$1 == name { print $NF; exit }')
        [ -z "$path" ] || { echo "$path" && return; }
        name=${name%.*}
    done
    echo "wheel: no library $1 here to take the licence of" >&2
    return 1
}
for library in "$tree"/robocache.libs/*.so*; do
    name=$(basename "$library" | sed -E 's/-[0-9a-f]{8}\.so/.so/')
    path=$(find_library "$name")
    package=$(dpkg -S "$(basename "$(readlink -f "$path")")" | head -n 1 | cut -d : -f 1)
    cp "/usr/share/doc/$package/copyright" "$licences/${name%%.so*}.txt"
done
python -m wheel pack -d dist "$tree" >/dev/null

# The C tests, with what they need beside them, but for the C library's own.
mkdir dist/cuda-tests
cmake --build "$build" --target test_cuda_operations >$work/tests.log ||
    { cat $work/tests.log >&2 && exit 1; }
cp "$build"/tests/cuda/test_cuda_operations dist/cuda-tests/
for library in $(ldd dist/cuda-tests/test_cuda_operations | awk '$3 ~ "^/" { print $3 }'); do
    dpkg -S "$(basename "$(readlink -f "$library")")" | grep '^libc6' >/dev/null ||
        cp -L "$library" dist/cuda-tests/
done
patchelf --force-rpath --set-rpath '$ORIGIN' dist/cuda-tests/test_cuda_operations

wheel=$(echo dist/robocache-*.whl)
python -m pip install -q --no-deps --no-index --target $work/check "$wheel"
PYTHONPATH=$work/check python - <<'PYTHON'
import robocache
import robocache._core as core

video = robocache.check_installation()["video"]
print("imports", core.__file__, "and decodes", *video.get("decoders", []))
if not video["available"] or "ffmpeg/" not in video["path"] or not video["licence"].startswith("LGPL"):
    raise SystemExit(f"wheel: wanted FFmpeg of its own, under the LGPL; found {video}")
PYTHON
echo "$wheel"
