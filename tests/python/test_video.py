"""Videos in MP4 files: their tables, and the frames that decoders make of their packets.

Frames are compared with PyAV's decode of the same file.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import robocache as rc

av = pytest.importorskip("av", reason="PyAV is the oracle of these tests")


def open_videos(folder: Path, *names: str, shape: tuple[int, ...] | None = None, dtype="uint8"):
    """Opens files as a dataset, each an episode of the stream "camera"."""

    def index(path, dataset):
        first = rc.read_mp4(Path(path, names[0]))
        dataset.control_rate_hz = 30.0
        dataset.stream(
            "camera",
            kind="image",
            shape=shape or (first.height, first.width, 3),
            dtype=dtype,
            encoding="frame",
        )
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


def up(chroma: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Returns chroma for each pixel: between the samples nearest to it, sited in their middle."""
    out = chroma.astype(np.float64)
    for axis in (0, 1):
        if out.shape[axis] == shape[axis]:
            continue
        last = out.shape[axis] - 1
        at = np.arange(shape[axis])
        near, far = at // 2, np.clip(at // 2 + np.where(at % 2, 1, -1), 0, last)
        out = 0.75 * out.take(near, axis) + 0.25 * out.take(far, axis)
    return out


MATRICES = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def rgb(frame) -> np.ndarray:
    """Returns the picture in RGB by floating-point arithmetic."""
    y, u, v = (plane.astype(np.float64) for plane in planes(frame))
    bits = frame.format.components[0].bits
    unit = 2.0 ** (bits - 8)
    red, blue = MATRICES.get(int(frame.colorspace), MATRICES[6])
    green = 1 - red - blue
    full = int(frame.color_range) == 2
    top = (2**bits - 1) / 255
    y = y / top if full else (y / unit - 16) * 255 / 219
    u, v = ((up(c, y.shape) / unit - 128) * (unit / top if full else 255 / 224) for c in (u, v))
    r = y + 2 * (1 - red) * v
    b = y + 2 * (1 - blue) * u
    g = y - 2 * (1 - blue) * blue / green * u - 2 * (1 - red) * red / green * v
    return np.clip(np.stack([r, g, b], -1), 0, 255)


def check_pictures(ours: np.ndarray, frames: list) -> None:
    """Each picture is that of the frame: the exact arithmetic rounded, within 0.6 of a level."""
    assert len(ours) == len(frames)
    for number, (picture, frame) in enumerate(zip(ours, frames, strict=True)):
        assert abs(picture - rgb(frame)).max() <= 0.6, f"frame {number}"


def g1_files(test_data) -> list[Path]:
    return sorted(
        path
        for name in ("lerobot_v21_g1", "lerobot_v30_g1")
        for path in test_data(name).glob("videos/**/*.mp4")
    )


def test_tables_of_a_real_file(test_data) -> None:
    for path in g1_files(test_data):
        video = rc.read_mp4(path)
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            pts = sorted(p.pts for p in container.demux(stream) if p.pts is not None)
            assert (video.codec, video.width, video.height) == ("av1", stream.width, stream.height)
            assert video.time_base == stream.time_base.as_integer_ratio()
            assert video.pixel_format == stream.pix_fmt
        assert video.pts.tolist() == pts
        assert np.abs(video.times_ns - np.arange(len(video)) * 1e9 / 30).max() <= 1


def test_frames_of_a_real_file(test_data, tmp_path) -> None:
    path = g1_files(test_data)[0]
    shutil.copy(path, tmp_path / "a.mp4")
    dataset = open_videos(tmp_path, "a.mp4")
    frames = decoded(path)
    ours = dataset.episodes[0]["camera"]
    for begin in range(0, len(frames), 50):
        check_pictures(ours.read(begin, 10), frames[begin : begin + 10])
