"""Writes vectors.bin, packed blocks made by other libraries, for the C tests of this folder.

usage: python tests/packing/make_vectors.py     (with what requirements/vectors.txt names)

A vector is a line, "NAME DATA UNPACKED_BYTES PACKED_BYTES STEP[:PARAMETER]...", and the packed
bytes. DATA says which function made the unpacked bytes; vectors.c has the same.
"""

from __future__ import annotations

import bz2
import gzip
import io
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import hdf5plugin
import lz4.block
import lz4.frame
import numcodecs
import numpy as np
import snappy
import zstandard
from numcodecs.checksum32 import CRC32C

SIZES = [0, 1, 7, 100, 1001]
LARGE = 150_000

Vector = tuple[str, str, int, bytes, list[str]]


def text(size: int) -> bytes:
    """What compresses: a row of 13 that changes every 600 bytes."""
    i = np.arange(size)
    return ((i % 13 * 17 + i // 600) % 256).astype(np.uint8).tobytes()


def noise(size: int) -> bytes:
    """What does not."""
    out = bytearray(size)
    state = 1
    for i in range(size):
        state = (state * 1103515245 + 12345) % 2**32
        out[i] = state >> 16 & 255
    return bytes(out)


DATA = {"text": text, "noise": noise}


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def halves(pack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Two streams, one behind the other."""
    return lambda data: pack(data[: len(data) // 2]) + pack(data[len(data) // 2 :])


def zstd_unsized(data: bytes) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(data) + packer.flush()


def behind_skipped(pack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """A frame of the user's own before it, which LZ4 and Zstandard skip."""
    return lambda data: struct.pack("<II", 0x184D2A53, 3) + b"own" + pack(data)


def gzip_member(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


STREAMS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "deflate": ("deflate", deflate),
    "zlib": ("zlib", zlib.compress),
    "gzip": ("gzip", gzip_member),
    "gzip_members": ("gzip", halves(gzip_member)),
    "gzip_padded": ("gzip", lambda data: gzip_member(data) + bytes(20)),
    "bz2": ("bz2", bz2.compress),
    "bz2_streams": ("bz2", halves(bz2.compress)),
    "lz4_block": ("lz4_block", lambda data: lz4.block.compress(data, store_size=False)),
    "lz4_sized": ("lz4_block:4", numcodecs.LZ4().encode),
    "lz4_frame": ("lz4_frame", lz4.frame.compress),
    "lz4_frames": ("lz4_frame", halves(lz4.frame.compress)),
    "lz4_frame_skipped": ("lz4_frame", behind_skipped(lz4.frame.compress)),
    "lz4_frame_unsized": (
        "lz4_frame",
        lambda data: lz4.frame.compress(
            data, store_size=False, content_checksum=True, block_checksum=True, block_linked=False
        ),
    ),
    "zstd": ("zstd", zstandard.ZstdCompressor().compress),
    "zstd_frames": ("zstd", halves(zstandard.ZstdCompressor(write_checksum=True).compress)),
    "zstd_skipped": ("zstd", behind_skipped(zstandard.ZstdCompressor().compress)),
    "zstd_unsized": ("zstd", zstd_unsized),
    "snappy": ("snappy", snappy.compress),
}


# Cut between their streams, empty ones are whole.
SEVERAL = {
    "gzip_members",
    "bz2_streams",
    "lz4_frames",
    "lz4_frame_skipped",
    "zstd_frames",
    "zstd_skipped",
}


def streams() -> list[Vector]:
    out = []
    for name, (step, pack) in STREAMS.items():
        for kind, sizes in {"text": [*SIZES, LARGE], "noise": [1001]}.items():
            for size in sizes:
                if size > 0 or name not in {"lz4_sized", *SEVERAL}:
                    out.append((name, kind, size, bytes(pack(DATA[kind](size))), [step]))
    return out


def blosc() -> list[Vector]:
    """The codecs and filters of chunks of version 1, one block and many."""
    numcodecs.blosc.set_nthreads(1)  # several put blocks down as they are done
    out = []
    for codec in ["blosclz", "lz4", "lz4hc", "zlib", "zstd"]:
        for shuffle in [numcodecs.Blosc.NOSHUFFLE, numcodecs.Blosc.SHUFFLE, 2]:
            for width, size, block in [(1, 1001, 0), (4, 1000, 0), (8, 20_001, 4096), (3, 999, 0)]:
                pack = numcodecs.Blosc(cname=codec, clevel=5, shuffle=shuffle, blocksize=block)
                data = np.frombuffer(text(size - size % width), dtype=f"V{width}")
                packed = bytes(pack.encode(data.view("u1" if width == 3 else f"u{width}")))
                out.append((f"blosc_{codec}_{shuffle}", "text", data.nbytes, packed, ["blosc"]))
    for size in [0, 1, 7, 1001]:
        packed = bytes(numcodecs.Blosc(cname="lz4").encode(noise(size)))
        out.append(("blosc_stored", "noise", size, packed, ["blosc"]))
    return out


def chunks() -> list[Vector]:
    """Chunks as HDF5 wrote them."""
    plug = hdf5plugin
    cases: list[tuple[str, str, dict, list[str]]] = [
        ("gzip", "<u4", {"compression": "gzip"}, ["zlib"]),
        ("shuffle", "<f8", {"shuffle": True}, ["shuffle:8"]),
        ("fletcher32", "u1", {"fletcher32": True}, ["fletcher32"]),
        (
            "all",
            "<u2",
            {"compression": "gzip", "shuffle": True, "fletcher32": True},
            ["shuffle:2", "zlib", "fletcher32"],
        ),
        ("lzf", "<u4", {"compression": "lzf", "shuffle": True}, ["shuffle:4", "lzf"]),
        ("lz4", "<u4", {**plug.LZ4()}, ["lz4_hdf5"]),
        ("lz4_blocks", "u1", {**plug.LZ4(nbytes=300)}, ["lz4_hdf5"]),
        ("zstd", "<u4", {**plug.Zstd()}, ["zstd"]),
        ("bzip2", "<u4", {**plug.BZip2()}, ["bz2"]),
        ("blosc", "<f4", {**plug.Blosc(cname="zstd", shuffle=plug.Blosc.SHUFFLE)}, ["blosc"]),
    ]
    for width in [1, 2, 4, 8]:
        for block in [0, 64]:
            for codec in ["none", "lz4", "zstd"]:
                parameter = width if codec != "none" else width | block // 8 << 16
                step = "bitshuffle" if codec == "none" else f"bitshuffle_{codec}"
                cases.append(
                    (
                        f"{step}_{block}",
                        f"<u{width}",
                        {**plug.Bitshuffle(nelems=block, cname=codec)},
                        [f"{step}:{parameter}"],
                    )
                )
    out = []
    with tempfile.TemporaryDirectory() as folder, h5py.File(Path(folder) / "f.h5", "w") as file:
        for number, (name, dtype, options, steps) in enumerate(cases):
            width = np.dtype(dtype).itemsize
            counts = [9, 301] if "_64" in name else [1, 9, 9001 // width]
            for count in counts:
                data = np.frombuffer(text(count * width), dtype=dtype)
                dataset = file.create_dataset(
                    f"{number}/{count}", data=data, chunks=data.shape, **options
                )
                mask, packed = dataset.id.read_direct_chunk((0,))
                if mask == 0:
                    out.append((f"hdf5_{name}", "text", data.nbytes, packed, steps))
    return out


def chains() -> list[Vector]:
    """One to eight steps; the tests undo what Python did in order."""
    out = []
    packed = data = text(1000)
    steps: list[str] = []
    chain: list[tuple[str, Callable[[bytes], bytes]]] = [
        ("zlib", zlib.compress),
        ("crc32c", with_crc32c),
        ("gzip", gzip_member),
        ("bz2", bz2.compress),
        ("zstd", zstandard.ZstdCompressor().compress),
        ("crc32c", with_crc32c),
        ("lz4_frame", lz4.frame.compress),
        ("snappy", snappy.compress),
    ]
    for name, pack in chain:
        packed = bytes(pack(packed))
        steps = [*steps, name]
        out.append((f"chain_{len(steps)}", "text", len(data), packed, steps))
    sums = with_crc32c(with_crc32c(data))
    out.append(("checksums", "text", len(data), sums, ["crc32c", "crc32c"]))
    return out


def with_crc32c(data: bytes) -> bytes:
    return bytes(CRC32C(location="end").encode(data))


def zips() -> list[Vector]:
    """Members of archives with their headers, as zipfile writes them."""
    out = []
    for method, name in ((zipfile.ZIP_STORED, "stored"), (zipfile.ZIP_DEFLATED, "deflated")):
        for size in SIZES if name == "stored" else [*SIZES, LARGE]:
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w", method) as archive:
                member = zipfile.ZipInfo("rgb_static.npy", (2020, 1, 1, 0, 0, 0))
                member.compress_type = method
                with archive.open(member, "w", force_zip64=size == LARGE) as stream:
                    stream.write(text(size))
                packed = file.getvalue()[: archive.start_dir]
            out.append((f"zip_{name}", "text", size, packed, ["zip"]))
    return out


def main() -> None:
    with (Path(__file__).parent / "vectors.bin").open("wb") as file:
        for name, kind, size, packed, steps in streams() + blosc() + chunks() + chains() + zips():
            line = f"{name} {kind} {size} {len(packed)} {' '.join(steps)}\n"
            file.write(line.encode() + packed)


if __name__ == "__main__":
    main()
