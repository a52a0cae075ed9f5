"""Videos that the tests make with PyAV, and the arithmetic of src/codec/yuv.h in NumPy."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import robocache as rc

av = pytest.importorskip("av", reason="PyAV makes the files of these tests and is their oracle")

SIZE = (64, 96)
BITS = 12
MATRICES = {1: (2126, 722), 5: (2990, 1140), 6: (2990, 1140), 9: (2627, 593)}


def numbered(number: int, shape: tuple[int, int] = SIZE) -> np.ndarray:
    """Returns a picture [H, W, 3] that shows its number: a bit a cell, and a moving background."""
    height, width = shape
    y, x = np.mgrid[:height, :width]
    picture = np.stack([x + 3 * number, y + 2 * number, x + y - number], -1).astype(np.uint8) // 3
    cell = width // BITS
    for bit in range(BITS):
        picture[: height // 2, bit * cell : (bit + 1) * cell] = 235 if number >> bit & 1 else 20
    return picture


def number_in(picture: np.ndarray) -> int:
    """Returns the number that a picture of 8 bits shows; of one channel or three."""
    height, width = picture.shape[:2]
    cell = width // BITS
    cells = picture[: height // 2, : BITS * cell].reshape(height // 2, BITS, cell, -1)
    means = cells[4:-4, :, 2:-2].astype(np.float64).mean(axis=(0, 2, 3))
    return int(((means > 128) << np.arange(BITS)).sum())


def write_video(
    path: Path,
    codec: str,
    frames: int = 100,
    *,
    shape: tuple[int, int] = SIZE,
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    times: list[int] | None = None,
    rate: int = 30,
    container: dict[str, str] | None = None,
    pictures=None,
    **settings,
) -> Path:
    """Writes a file whose frames show their numbers; `times` in units of 1/1000 of a frame."""
    with av.open(str(path), "w", options=container or {}) as out:
        stream = out.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *shape, pixel_format
        stream.codec_context.time_base = Fraction(1, rate * 1000)
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        for number in range(frames):
            picture = pictures(number) if pictures else numbered(number, shape)
            layout = {"uint8": "rgb24", "uint16": "gray16le"}[picture.dtype.name]
            if pixel_format.startswith("gray") and picture.ndim == 2:
                layout = pixel_format
            frame = av.VideoFrame.from_ndarray(picture, format=layout)
            frame.time_base = Fraction(1, rate * 1000)
            frame.pts = times[number] if times else number * 1000
            if layout != pixel_format:
                frame = frame.reformat(format=pixel_format)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def remux(path: Path, to: Path, *, from_pts: int, container: dict[str, str] | None = None) -> Path:
    """Copies packets from the last key packet before a time on: an edit list hides what is before.

    from_pts is in units of the file's time base.
    """
    with av.open(str(path)) as source, av.open(str(to), "w", options=container or {}) as out:
        stream = source.streams.video[0]
        packets = [p for p in source.demux(stream) if p.pts is not None]
        keys = [i for i, p in enumerate(packets) if p.is_keyframe and p.pts <= from_pts]
        if stream.codec_context.name == "libdav1d":  # which is no encoder
            size = {"width": stream.width, "height": stream.height}
            copy = out.add_mux_stream("libdav1d", **size)
        else:
            copy = out.add_stream_from_template(stream)
        for packet in packets[keys[-1] :]:
            packet.pts -= from_pts
            packet.dts -= from_pts
            packet.stream = copy
            out.mux(packet)
    return to


def open_videos(folder: Path, *names: str, shape: tuple[int, ...] | None = None, dtype="uint8"):
    """Opens files as a dataset, each an episode of the stream "camera"."""

    def index(path, dataset):
        first = rc.read_mp4(Path(path, names[0]))
        dataset.control_rate_hz = 30.0
        size = shape or (first.height, first.width, 3)
        dataset.stream("camera", kind="image", shape=size, dtype=dtype, encoding="frame")
        dataset.stream("number", dtype="int32", shape=())
        for name in names:
            dataset.part(name, read=read)

    def read(part):
        video = part.mp4(0)
        part.episodes(
            num_steps=[len(video)],
            streams={
                "camera": rc.Frames(video, first=[0]),
                "number": rc.Column(np.arange(len(video), dtype=np.int32)),
            },
        )

    rc.register_format("files of video", probe=lambda path: False, index=index, replace=True)
    return rc.open(folder, format="files of video", progress=False)


def decoded(path: Path) -> list:
    """Returns all frames of a file as PyAV decodes them, in the order in which they are shown."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def planes(frame) -> list[np.ndarray]:
    """Returns the planes of a frame without what pads their rows."""
    dtype = np.uint8 if frame.format.components[0].bits <= 8 else np.uint16
    size = np.dtype(dtype).itemsize
    return [
        np.frombuffer(plane, dtype).reshape(-1, plane.line_size // size)[
            : plane.height, : plane.width
        ]
        for plane in frame.planes
    ]


# ---- RGB, as src/codec/yuv.h has it --------------------------------------------------------------


def blend(chroma: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Returns 16 times the chroma of each pixel."""
    out = chroma.astype(np.int64)
    for axis in (0, 1):
        if out.shape[axis] == shape[axis]:
            out = 4 * out
            continue
        at = np.arange(shape[axis])
        far = np.clip(at // 2 + np.where(at % 2, 1, -1), 0, out.shape[axis] - 1)
        out = 3 * out.take(at // 2, axis) + out.take(far, axis)
    return out


def coefficients(matrix: int, bits: int, is_full: bool) -> dict[str, float]:
    """Returns what luma and chroma are multiplied by, exactly, for samples scaled to 8 bits."""
    red, blue = (share / 10000 for share in MATRICES.get(matrix, MATRICES[6]))
    green = 1 - red - blue
    full = 255 * 2 ** (bits - 8) / (2**bits - 1)
    luma, chroma = (full, full) if is_full else (255 / 219, 255 / 224)
    return {
        "luma": luma,
        "v_to_r": 2 * (1 - red) * chroma,
        "u_to_g": 2 * (1 - blue) * blue / green * chroma,
        "v_to_g": 2 * (1 - red) * red / green * chroma,
        "u_to_b": 2 * (1 - blue) * chroma,
    }


def rgb(frame, *, exact: bool = False) -> np.ndarray:
    """Returns the picture in RGB, in the integers of yuv.h or by exact arithmetic."""
    y, u, v = (plane.astype(np.int64) for plane in planes(frame))
    bits = frame.format.components[0].bits
    is_full = int(frame.color_range) == 2 or frame.format.name.startswith("yuvj")
    factors = coefficients(int(frame.colorspace), bits, is_full)
    u, v = (blend(c, y.shape) - (1 << (bits + 3)) for c in (u, v))
    if exact:
        scale = 2.0 ** (bits - 8)
        light = (y / scale - (0 if is_full else 16)) * factors["luma"]
        u, v = u / scale / 16, v / scale / 16
        picture = np.stack(
            [
                light + v * factors["v_to_r"],
                light - u * factors["u_to_g"] - v * factors["v_to_g"],
                light + u * factors["u_to_b"],
            ],
            -1,
        )
        return np.clip(picture, 0, 255)

    def product(a, b):
        return ((a * b >> 14) + 1) >> 1

    k = {name: round(f * (2**13 if name == "luma" else 2**12)) for name, f in factors.items()}
    y = product((y << (15 - bits)) - (0 if is_full else 16 << 7), k["luma"]) + 16
    u, v = u << (12 - bits), v << (12 - bits)
    picture = np.stack(
        [
            y + product(v, k["v_to_r"]),
            y - product(u, k["u_to_g"]) - product(v, k["v_to_g"]),
            y + product(u, k["u_to_b"]),
        ],
        -1,
    )
    return np.clip(picture >> 5, 0, 255).astype(np.uint8)
