"""The tables of MP4 files in all their forms, and damaged ones: errors name file, box and byte."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import robocache as rc

from . import mp4_boxes as mp4
from .video_files import open_videos

COUNT = 11


def samples(count: int = COUNT) -> list[bytes]:
    rng = np.random.default_rng(7)
    return [rng.integers(0, 256, mp4.FRAME_BYTES, np.uint8).tobytes() for _ in range(count)]


def written(path, content: bytes):
    path.write_bytes(content)
    return path


def check(tmp_path, content: bytes, shown: list[int], pts: list[int]) -> None:
    """The file has these samples as frames, in this order, shown at these times."""
    written(tmp_path / "a.mp4", content)
    video = rc.read_mp4(tmp_path / "a.mp4")
    assert video.pts.tolist() == pts
    camera = open_videos(tmp_path, "a.mp4").episodes[0]["camera"].values
    assert [picture.tobytes() for picture in camera] == [samples()[i] for i in shown]


IN_ORDER = list(range(COUNT))
TIMES = [20 * i for i in IN_ORDER]


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("tables_first", [False, True])
@pytest.mark.parametrize("sizes", ["stsz", "even", "8", "16"])
@pytest.mark.parametrize("chunks", [[COUNT], [1] * COUNT, [3, 3, 4, 1], [2, 5, 4]])
def test_each_form_of_sizes_and_chunks(tmp_path, long, tables_first, sizes, chunks) -> None:
    content = mp4.movie(samples(), chunks=chunks, sizes=sizes, long=long, tables_first=tables_first)
    check(tmp_path, content, IN_ORDER, TIMES)


def test_sizes_of_four_bits(tmp_path) -> None:
    small = [bytes([i]) * (1 + i) for i in range(9)]
    written(tmp_path / "a.mp4", mp4.movie(small, sizes="4", chunks=[4, 5]))
    assert len(rc.read_mp4(tmp_path / "a.mp4")) == 9


def test_samples_of_no_bytes_are_no_frames(tmp_path) -> None:
    some = samples(3)
    written(tmp_path / "a.mp4", mp4.movie([some[0], b"", some[1], b"", some[2]]))
    assert rc.read_mp4(tmp_path / "a.mp4").pts.tolist() == [0, 40, 80]


@pytest.mark.parametrize("base", [0, -40])
def test_times_that_go_back(tmp_path, base) -> None:
    """Frames are shown in another order than they are decoded in."""
    order = [0, 4, 2, 1, 3, 8, 6, 5, 7, 9, 10]
    shifts = [20 * (shown - i) + 40 + base for i, shown in enumerate(order)]
    content = mp4.movie(samples(), shifts=shifts, keys=[1])
    check(tmp_path, content, [order.index(i) for i in range(COUNT)], [t + 40 + base for t in TIMES])


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize(
    ("edits", "shown", "first"),
    [
        ([(0, 0)], IN_ORDER, 0),
        ([(10_000, 60)], IN_ORDER[3:], 0),
        ([(100, 60)], [3, 4, 5], 0),
        ([(500, -1), (10_000, 40)], IN_ORDER[2:], 300),
        ([(100, 20), (50, -1), (100, 120)], [1, 2, 3, 6, 7, 8], None),
    ],
)
def test_edit_lists(tmp_path, long, edits, shown, first) -> None:
    content = mp4.movie(samples(), edits=mp4.edit_list(edits, long=long), keys=[1, 6])
    pts = [0, 20, 40, 90, 110, 130]
    if first is not None:
        pts = [20 * i + first for i in range(len(shown))]
    check(tmp_path, content, shown, pts)


def test_fragments(tmp_path) -> None:
    some = samples()
    content = mp4.fragmented([some[:4], some[4:5], some[5:]])
    check(tmp_path, content, IN_ORDER, TIMES)
    content = mp4.fragmented([some[:4], some[4:]], shifts=[40, 80, 0, 0, *[40] * 7])
    later = range(120, 260, 20)
    check(tmp_path, content, [0, 2, 3, 1, *range(4, COUNT)], [40, 40, 60, 100, *later])


def test_rotation_is_said_and_not_applied(tmp_path) -> None:
    one = 0x10000
    for matrix, rotation in [
        ((0, one, 0, -one, 0, 0, 0, 0, 1 << 30), 90),
        ((-one, 0, 0, 0, -one, 0, 0, 0, 1 << 30), 180),
        ((0, -one, 0, one, 0, 0, 0, 0, 1 << 30), 270),
        ((-one, 0, 0, 0, one, 0, 0, 0, 1 << 30), None),
    ]:
        written(tmp_path / "a.mp4", mp4.movie(samples(), matrix=matrix))
        assert rc.read_mp4(tmp_path / "a.mp4").rotation == rotation


# ---- what is wrong -------------------------------------------------------------------------------

WHOLE = mp4.movie(samples(), shifts=[0] * COUNT, keys=[1, 5], edits=mp4.edit_list([(10_000, 0)]))


def patched(kind: str, offset: int, value: int, content: bytes = WHOLE) -> bytes:
    """Returns the file with a u32 replaced that lies `offset` bytes behind a box's type."""
    at = content.index(kind.encode()) + 4 + offset
    return content[:at] + mp4.ints("I", value) + content[at + 4 :]


BAD = {
    "no tables": (mp4.box("ftyp", bytes(8)) + mp4.box("mdat", bytes(9)), "of the file.*box moov"),
    "empty": (b"", "of the file: wanted a box moov"),
    "another format": (
        b"\x89HDF\r\n\x1a\n" + bytes(99),
        "wanted the boxes of an MP4",
    ),
    "text": (
        b"version https://git-lfs.github.com/spec/v1\n",
        "no MP4 file: it is a Git LFS pointer",
    ),
    "cut in the data": (
        mp4.movie(samples(), tables_first=True)[:-9],
        "packet 10 lies at byte 892, 24 bytes, wanted within the 907",
    ),
    "cut in the tables": (WHOLE[:-9], "moov: found a size of .* cut short"),
    "a child that is too large": (patched("minf", -8, 2**31), "moov/trak/mdia/minf: found a size"),
    "a child that is too small": (patched("minf", -8, 7), "minf: found a size of 7 bytes"),
    "more samples than sizes": (patched("stsz", 8, 2**32 - 1), "stsz: found 4294967295 samples"),
    "even samples beyond the file": (patched("stsz", 4, 2**20), "stsz: found 11 samples, wanted"),
    "more chunks than offsets": (patched("stco", 4, 2**30), "stco: found 1073741824 entries"),
    "more times than bytes": (patched("stts", 4, 2**30), "stts: found 1073741824 entries"),
    "more shifts than bytes": (patched("ctts", 4, 99), "ctts: found 99 entries"),
    "more keys than bytes": (patched("stss", 4, 99), "stss: found 99 entries"),
    "fewer times": (patched("stts", 8, 3), "stts: found times of 3 samples, wanted those of 11"),
    "fewer shifts": (patched("ctts", 8, 3), "ctts: found times of 3 samples"),
    "keys that go back": (patched("stss", 12, 1), "stss: found key sample 1, wanted numbers that"),
    "a packet outside": (patched("stco", 8, 2**31), "stco: packet 0 lies at byte 2147483648"),
    "a packet that is too large": (
        patched("stsz", 12, 2**31),
        "packet 0 .* 2147483648 bytes",
    ),
    "chunks from 2 on": (patched("stsc", 8, 2), "stsc: entry 0 is of chunks 2"),
    "too few in chunks": (patched("stsc", 12, 3), "stsc: found 3 samples in chunks"),
    "too many in chunks": (patched("stsc", 12, 12), "stsc: found more samples"),
    "no time": (patched("mdhd", 12, 0), "mdhd: found 0 units of time"),
    "no size": (patched("raw ", 24, 0), "raw : found pictures of 0 x 0"),
    "edits beyond the box": (patched("elst", 4, 9), "elst: found 9 entries"),
    "an edit before the start": (patched("elst", 12, 2**32 - 5), "edit 0 begins at -5"),
}
REFUSED = {
    "another description": (patched("stsc", 16, 2), "sample description 2"),
    "a rate": (patched("elst", 16, 0x20000), "edit 0 plays at a rate of 2"),
    "edits that repeat": (
        mp4.movie(samples(), edits=mp4.edit_list([(100, 60), (100, 0)])),
        "edit 1 begins at 0, before the one ahead of it ends",
    ),
    "encrypted": (mp4.movie(samples(), description=mp4.entry("encv")), "the video is encrypted"),
}


@pytest.mark.parametrize("name", BAD)
def test_damaged_files(tmp_path, name) -> None:
    content, message = BAD[name]
    path = written(tmp_path / "a.mp4", content)
    with pytest.raises(rc.errors.FormatError, match=rf"a\.mp4: byte \d+: .*{message}"):
        rc.read_mp4(path)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_named(tmp_path, name) -> None:
    content, message = REFUSED[name]
    path = written(tmp_path / "a.mp4", content)
    with pytest.raises(rc.errors.UnsupportedError, match=rf"a\.mp4: byte \d+: box.*{message}"):
        rc.read_mp4(path)


def test_files_cut_anywhere(tmp_path) -> None:
    parts = [samples()[:4], samples()[4:]]
    whole, first = (mp4.fragmented(parts[:n]) for n in (2, 1))
    for content, ends in ((WHOLE, []), (whole, [len(first)])):
        for end in range(len(content)):
            path = written(tmp_path / "a.mp4", content[:end])
            if end in ends:
                assert 0 < len(rc.read_mp4(path)) < COUNT
                continue
            with pytest.raises(rc.errors.FormatError, match=r"a\.mp4: byte"):
                rc.read_mp4(path)


def test_which_video(tmp_path) -> None:
    path = written(tmp_path / "a.mp4", mp4.movie(samples()))
    assert rc.read_mp4(path).num_videos == 1
    with pytest.raises(rc.errors.FormatError, match="found 1 tracks of video, wanted number 1"):
        rc.read_mp4(path, video=1)
    with pytest.raises(rc.errors.IoError, match="absent"):
        rc.read_mp4(tmp_path / "absent.mp4")


def test_a_video_without_a_part_is_no_track(tmp_path) -> None:
    video = rc.read_mp4(written(tmp_path / "a.mp4", mp4.movie(samples())))
    with pytest.raises(TypeError, match="without a part has no number"):
        video.__index__()


def test_without_ffmpeg_videos_open_and_decoding_names_what_is_missing(tmp_path) -> None:
    """In a process of its own: which libraries there are is found out once."""
    code = f"""
        import robocache as rc
        from tests.python import mp4_boxes as mp4

        def index(path, dataset):
            dataset.control_rate_hz = 10
            dataset.stream("camera", kind="image", shape=(2, 4, 3), encoding="frame")
            dataset.part("a.mp4", read=read)

        def read(part):
            video = part.mp4(0)
            part.episodes(num_steps=[len(video)], streams={{"camera": rc.Frames(video, first=[0])}})

        rc.register_format("video", probe=lambda path: False, index=index)
        episode = rc.open({str(tmp_path)!r}, format="video", progress=False).episodes[0]
        assert episode.num_steps == 11
        try:
            episode["camera"].values
        except rc.errors.UnsupportedError as error:
            print(error)
        print(rc.check_installation()["video"]["reason"])
    """
    head = mp4.box("av1C", b"\x81\x00\x0c\x00")
    content = mp4.movie(samples(), description=mp4.entry("av01", head))
    written(tmp_path / "a.mp4", content)
    environment = {**os.environ, "ROBOCACHE_FFMPEG": str(tmp_path / "nowhere")}
    environment["PYTHONPATH"] = os.pathsep.join([*sys.path, str(Path(__file__).parents[2])])
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    error, reason = run.stdout.splitlines()
    assert "a.mp4: byte " in error
    for line in (error, reason):
        assert re.search(r"needs FFmpeg's libavcodec\.so\.\d+ .*nowhere", line)
