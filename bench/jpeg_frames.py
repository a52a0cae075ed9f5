"""JPEGs to measure and compare with, made by TurboJPEG, or by Pillow where that does."""

from __future__ import annotations

import ctypes
import functools
import io
import os
from typing import Any

import numpy as np

SUBSAMPLINGS = {"444": 0, "422": 1, "420": 2, "grey": 3, "440": 4, "411": 5}
_RGB = 0


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libturbojpeg.so.0")
    library.tjInitCompress.restype = ctypes.c_void_p
    return library


def encode(pixels: np.ndarray, quality: int, subsampling: str, **options: Any) -> bytes:
    """Encode RGB; `restart` rows of MCUs, `optimise` tables."""
    library = _library()
    # The library reads these from the environment; a handle keeps tables that it optimised.
    os.environ["TJ_RESTART"] = str(options.get("restart", 0))
    os.environ["TJ_OPTIMIZE"] = "1" if options.get("optimise") else "0"
    handle = ctypes.c_void_p(library.tjInitCompress())
    height, width = pixels.shape[:2]
    pixels = np.ascontiguousarray(pixels)
    out, size = ctypes.c_void_p(), ctypes.c_ulong()
    failed = library.tjCompress2(
        handle, pixels.ctypes.data_as(ctypes.c_void_p), width, 0, height, _RGB,
        ctypes.byref(out), ctypes.byref(size), SUBSAMPLINGS[subsampling], quality, 0,
    )  # fmt: skip
    if failed:
        raise RuntimeError("tjCompress2")
    data = ctypes.string_at(out, size.value)
    library.tjFree(out)
    library.tjDestroy(handle)
    return data


def picture(rng: np.random.Generator, height: int, width: int, noise: float) -> np.ndarray:
    """Return smooth waves and noise; noise alone where that is infinite."""
    if np.isinf(noise):
        return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    period = rng.uniform(5, 40)
    smooth = [np.sin((x * (c + 1) + y * (3 - c)) / period) for c in range(3)]
    pixels = 128 + 90 * np.stack(smooth, -1) + rng.normal(0, noise, (height, width, 1))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def scene(
    rng: np.random.Generator, side: int, coarse: int, noise: int = 0, **options: Any
) -> bytes:
    """Return a JPEG of smooth shapes, as of `coarse` pixels a side, and some noise."""
    from PIL import Image

    small = rng.integers(0, 256, (coarse, coarse, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)
    if noise > 0:
        noisy = np.asarray(image) + rng.integers(-noise, noise + 1, (side, side, 3))
        image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def noise_for(height: int, width: int, quality: int, wanted_bytes: float) -> float:
    """Return the noise with which frames have so many bytes, by bisection."""
    low, high = 0.0, 60.0
    for _ in range(12):
        noise = (low + high) / 2
        rng = np.random.default_rng(0)
        sizes = [len(encode(picture(rng, height, width, noise), quality, "420")) for _ in range(4)]
        low, high = (noise, high) if np.mean(sizes) < wanted_bytes else (low, noise)
    return (low + high) / 2


def frames(arguments: tuple[int, int, int, float, int, int]) -> list[bytes]:
    """Return distinct 4:2:0 frames of (height, width, quality, noise, seed, count)."""
    height, width, quality, noise, seed, count = arguments
    rng = np.random.default_rng(seed)
    bases = [picture(rng, height, width, 0).astype(np.float32) for _ in range(4)]
    out = []
    for i in range(count):
        grain = noise * rng.standard_normal((height, width, 1), np.float32)
        pixels = np.clip(bases[i % 4] + grain, 0, 255).astype(np.uint8)
        out.append(encode(pixels, quality, "420"))
    return out


def anything(rng: np.random.Generator, height: int, width: int) -> bytes:
    """Return a JPEG of that size, and of any kind, quality and content."""
    return encode(
        picture(rng, height, width, float(rng.choice([0, 3, 15, np.inf]))),
        int(rng.integers(1, 101)),
        str(rng.choice(list(SUBSAMPLINGS))),
        restart=int(rng.choice([0, 0, 0, 1, 2])),
        optimise=bool(rng.integers(2)),
    )


def images(arguments: tuple[int, int, int, int]) -> list[bytes]:
    """Return JPEGs of (least side, sides below, seed, count)."""
    least, below, seed, count = arguments
    rng = np.random.default_rng(seed)
    return [anything(rng, *map(int, rng.integers(least, below, 2))) for _ in range(count)]


def damaged(arguments: tuple[int, int, int, int]) -> list[bytes]:
    """Return streams of (height, width, seed, count), each with one to four changes."""
    height, width, seed, count = arguments
    rng = np.random.default_rng(seed)
    whole = [anything(rng, height, width) for _ in range(24)]
    return [_change(rng, bytearray(whole[i % len(whole)])) for i in range(count)]


def _change(rng: np.random.Generator, data: bytearray) -> bytes:
    first = data.find(b"\xff\xda") + 10 if rng.integers(5) else 2
    for _ in range(int(rng.choice([1, 1, 2, 4]))):
        at = int(rng.integers(first, max(first + 1, len(data) - 2)))
        count = int(rng.integers(1, 4))
        kind = int(rng.integers(8))
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[at] = int(rng.integers(256))
        elif kind == 2:
            del data[at : at + count]
        elif kind == 3:
            data[at:at] = rng.bytes(count)
        elif kind == 4:
            data[-2:-2] = bytes(count)
        elif kind == 5:
            data[-2:-2] = rng.bytes(count)
        elif kind == 6:
            data[at : at + 2 * count] = b"\xff\x00" * count
        else:
            data += bytes(4000)
    return bytes(data)
