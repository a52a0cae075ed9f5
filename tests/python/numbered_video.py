"""Videos whose pictures tell their numbers, written by PyAV."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

HEIGHT, WIDTH = 48, 64
BLOCK = 16
BITS = (HEIGHT // BLOCK) * (WIDTH // BLOCK)

CODECS = {
    "h264": ("libx264", "yuv420p", {"preset": "ultrafast", "bf": "2", "b-adapt": "0"}),
    "hevc": (
        "libx265",
        "yuv420p",
        {"preset": "ultrafast", "x265-params": "log-level=none:bframes=2"},
    ),
    "av1": (
        "libsvtav1",
        "yuv420p",
        {"preset": "10", "crf": "5", "svtav1-params": "enable-tf=0:scd=1"},
    ),
    "mpeg4": ("mpeg4", "yuv420p", {"qscale": "2"}),
}


def picture(number: int) -> Any:
    """Returns a picture [H, W, 3] with a white block for each bit of the number."""
    bits = np.array([number >> bit & 1 for bit in range(BITS)], np.uint8) * 255
    blocks = bits.reshape(HEIGHT // BLOCK, WIDTH // BLOCK)
    return np.kron(blocks, np.ones((BLOCK, BLOCK), np.uint8))[..., None].repeat(3, -1)


def numbers_of(pictures: Any) -> Any:
    """Returns the numbers of pictures [..., H, W, 3]."""
    shape = pictures.shape[:-3]
    green = np.asarray(pictures)[..., 1].reshape(
        *shape, HEIGHT // BLOCK, BLOCK, WIDTH // BLOCK, BLOCK
    )
    bits = green.mean((-3, -1)).reshape(*shape, BITS) > 127
    return (bits << np.arange(BITS)).sum(-1)


def needs_encoder(name: str) -> None:
    """Skips a test where PyAV lacks an encoder, or it crashes by itself."""
    import av

    is_tsan = "libtsan" in os.environ.get("LD_PRELOAD", "")
    if name not in av.codecs_available or (name == "libsvtav1" and is_tsan):
        import pytest

        pytest.skip(f"{name} is not in PyAV, or crashes under the thread sanitizer")


def write(
    path: Path,
    numbers: Sequence[int],
    codec: str = "h264",
    *,
    fps: int = 10,
    group: int = 6,
    pts: Sequence[int] | None = None,
) -> None:
    """Writes a picture for each number; `pts` in thousandths of a second, by default at `fps`."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    name, pixels, options = CODECS[codec]
    needs_encoder(name)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as file:
        stream = file.add_stream(name, rate=fps, options={**options, "g": str(group)})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        stream.thread_count = 1
        if pts is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for i, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24").reformat(format=pixels)
            frame.pts = i if pts is None else pts[i]
            frame.time_base = Fraction(1, fps) if pts is None else Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def cut_by_edit(path: Path, frames: int, fps: int = 10) -> None:
    """Lets the edit list begin some frames later, so that a key frame is cut off."""
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 4
    version, count = data[at], struct.unpack_from(">I", data, at + 4)[0]
    assert (version, count) == (0, 1)
    scale_at = data.index(b"mdhd") + 4 + 12
    scale = struct.unpack_from(">I", data, scale_at)[0]
    movie = struct.unpack_from(">I", data, data.index(b"mvhd") + 4 + 12)[0]
    length, start = struct.unpack_from(">Ii", data, at + 8)
    struct.pack_into(
        ">Ii", data, at + 8, length - frames * movie // fps, start + frames * scale // fps
    )
    path.write_bytes(data)
