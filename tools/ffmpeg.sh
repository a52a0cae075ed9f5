#!/usr/bin/env bash
# usage: tools/ffmpeg.sh FOLDER
#
# Builds what a wheel carries of FFmpeg into FOLDER: libavcodec and libavutil with the decoders of
# src/codec/ffmpeg and nothing else, under the LGPL, from Debian's source package, with libdav1d, the
# source itself and the licences. Refuses to leave there what is not under the LGPL. What stands in
# FOLDER already is kept. Needs tools/setup.sh build wheel.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "$1")
work=$PWD/build/ffmpeg
suffix=-robocache # names of libraries that no other one of a process has
decoders=h264,hevc,mpeg4,libdav1d,vp9

if [ ! -e "$folder/built" ]; then
    rm -rf "$work" "$folder"
    mkdir -p "$work/apt/lists/partial" "$folder"
    # A list of sources of our own: the system's may name none.
    for suite in bookworm bookworm-updates; do
        echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main"
    done >"$work/apt/sources.list"
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian-security bookworm-security main" \
        >>"$work/apt/sources.list"
    options=(-q -o "Dir::Etc::SourceList=$work/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$work/apt/lists" -o "Dir::Cache::srcpkgcache=" -o "Dir::Cache::pkgcache=")
    apt-get "${options[@]}" update
    (cd "$work" && apt-get "${options[@]}" source ffmpeg)
    source=$(find "$work" -mindepth 1 -maxdepth 1 -type d -name 'ffmpeg-*')
    (cd "$source" && ./configure --prefix="$work/out" --build-suffix=$suffix --disable-everything --disable-autodetect \
        --disable-programs --disable-doc --disable-network --disable-avdevice --disable-avfilter \
        --disable-avformat --disable-swscale --disable-postproc --disable-swresample --enable-pic \
        --enable-shared --disable-static --disable-debug --enable-libdav1d --enable-decoder=$decoders \
        --enable-parser=h264,hevc,mpeg4video,av1,vp9 \
        --enable-bsf=h264_mp4toannexb,hevc_mp4toannexb,extract_extradata,mpeg4_unpack_bframes,vp9_superframe_split)
    make -C "$source" -j "$(nproc)"
    make -C "$source" install-libs
    cp -L "$work"/out/lib/lib*$suffix.so.?? "$folder/"
    cp -L "$(ldconfig -p | awk '$1 ~ /^libdav1d\.so\.[0-9]+$/ { print $NF; exit }')" "$folder/"
    cp "$source/COPYING.LGPLv2.1" "$folder/FFmpeg.txt"
    cp "/usr/share/doc/libdav1d6/copyright" "$folder/dav1d.txt"
    {
        echo
        echo "FFmpeg of Debian's source package $(basename "$(echo "$work"/ffmpeg_*.dsc)" .dsc), configured with"
        sed -n 's/^FFMPEG_CONFIGURATION=//p' "$source/ffbuild/config.mak"
    } >>"$folder/FFmpeg.txt"
    for library in "$folder"/lib*.so*; do
        patchelf --set-rpath '$ORIGIN' "$library"
    done
    touch "$folder/built"
fi
python3 - "$folder"/libavcodec$suffix.so.?? <<'PYTHON'
import ctypes
import sys

library = ctypes.CDLL(sys.argv[1])
library.avcodec_license.restype = ctypes.c_char_p
licence = library.avcodec_license().decode()
if not licence.startswith("LGPL"):
    sys.exit(f"ffmpeg: {sys.argv[1]} is under {licence}: wanted the LGPL")
print(f"{sys.argv[1]} is under {licence}")
PYTHON
