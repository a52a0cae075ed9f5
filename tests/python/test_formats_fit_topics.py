"""Messages of topics on clocks of their own, and videos, indexed by hand in formats_fit/."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python.fitting import RNG, check, check_size, index_bytes, opened, smooth

# ---- messages of topics -------------------------------------------------------------------------


def cdr(stamp_ns: int, values: Any) -> bytes:
    """A sensor_msgs/Image of pixels, or a header and numbers."""
    out = bytearray(b"\0\1\0\0")

    def put(code: str, *numbers: int) -> None:
        out.extend(bytes(-(len(out) - 4) % struct.calcsize(code[0])))
        out.extend(struct.pack("<" + code, *numbers))

    def put_text(text: bytes) -> None:
        put("I", len(text) + 1)
        out.extend(text + b"\0")

    put("iI", *divmod(stamp_ns, 10**9))
    put_text(b"base_link"[: 1 + stamp_ns % 9])  # so that all else is differently aligned
    if values.dtype == np.uint8:
        put("II", *values.shape[:2])
        put_text(b"rgb8")
        put("B", 0)
        put("II", values.shape[1] * 3, values.nbytes)
    else:
        put(f"d{len(values) - 1}d" if len(values) > 1 else "d", *values)
        return bytes(out)
    return bytes(out) + values.tobytes()


RATES_HZ = {
    "camera/front": 30,
    "camera/wrist": 15,
    "joint_states": 100,
    "action": 20,
    "imu": 250,
    "wrench": 125,
    "gripper": 10,
    "battery": 1,
    "odometry": 50,
    "temperature": 2,
    "pressure": 40,
    "tool": 60,
}


def write_bag(path: Path, seconds: float, compression: str) -> dict[str, tuple[Any, Any]]:
    """Returns stamps and values of each topic."""
    from mcap.writer import CompressionType, Writer

    wanted: dict[str, tuple[Any, Any]] = {}
    messages = []
    for number, (topic, rate) in enumerate(RATES_HZ.items()):
        count = max(int(seconds * rate), 1)
        stamps = 10**18 + number * 1_111_111 + np.arange(count, dtype=np.int64) * 10**9 // rate
        if topic.startswith("camera"):
            values = smooth(count, 24, 32, 3)
        else:
            values = RNG.random((count, 1 + number % 7))
        wanted[topic] = (stamps, values)
        messages += [(stamp, topic, row) for row, stamp in enumerate(stamps.tolist())]
    with path.open("wb") as file:
        writer = Writer(
            file, chunk_size=40_000, compression=CompressionType[compression.upper() or "NONE"]
        )
        writer.start(profile="ros2")
        channels = {}
        for topic in RATES_HZ:
            kind = "sensor_msgs/msg/Image" if topic.startswith("camera") else "my_msgs/msg/Numbers"
            schema = writer.register_schema(kind, "ros2msg", b"std_msgs/Header header")
            channels[topic] = writer.register_channel("/" + topic, "cdr", schema)
        for stamp, topic, row in sorted(messages):
            writer.add_message(
                channels[topic], stamp + 5_000, cdr(stamp, wanted[topic][1][row]), stamp + 5_000
            )
        writer.finish()
    return wanted


@pytest.mark.parametrize(
    ("compression", "in_columns"), [("lz4", True), ("lz4", False), ("zstd", False), ("", True)]
)
def test_topics_of_their_own_clocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str, in_columns: bool
) -> None:
    pytest.importorskip("mcap")
    pytest.importorskip("lz4")
    from tests.python.formats_fit import ros_bag

    monkeypatch.setattr(ros_bag, "NUMBERS_IN_COLUMNS", in_columns)
    bags = [write_bag(tmp_path / f"{i}.mcap", 1.5 + i, compression) for i in range(3)]
    dataset = opened("ros_bag", tmp_path)
    assert len(dataset.streams) == 24
    for episode, bag in zip(dataset, bags, strict=True):
        for topic, (stamps, values) in bag.items():
            np.testing.assert_array_equal(episode[topic].times_ns, stamps)
            np.testing.assert_array_equal(episode[topic].values, values)
    windows = {topic: rc.Window(range(-2, 1), mode="hold") for topic in RATES_HZ}
    loader = rc.DataLoader(
        dataset, rate_hz=25, streams=windows, batch_size=16, shuffle=True, array="numpy"
    )
    seen = 0
    for batch in loader:
        for row, (e, now) in enumerate(zip(batch["episode_index"], batch["time_ns"], strict=True)):
            targets = now + np.arange(-2, 1) * 40_000_000
            for topic, (stamps, values) in bags[e].items():
                held = np.searchsorted(stamps, targets + 1000, side="right") - 1
                is_valid = batch[f"{topic}_valid"][row]
                np.testing.assert_array_equal(is_valid, held >= 0)
                np.testing.assert_array_equal(batch[topic][row][is_valid], values[held[is_valid]])
            seen += 1
    assert seen == loader.num_samples
    assert seen >= 25 * (1.5 + 2.5 + 3.5) - 3
    if in_columns:
        images = sum(len(bag[f"camera/{name}"][0]) for bag in bags for name in ("front", "wrist"))
        assert index_bytes(dataset) <= 16 * images + 8 * len(dataset.streams) * len(dataset)


# ---- videos in chunks ---------------------------------------------------------------------------


GROUP = 7


def write_video_bag(path: Path, frames: Any, compression: str) -> Any:
    """Writes packets of a raw video, those of a group last to first but for the key; stamps."""
    from mcap.writer import CompressionType, Writer

    stamps = 10**18 + np.arange(len(frames)) * 33_333_333
    groups = [list(range(g, min(g + GROUP, len(frames)))) for g in range(0, len(frames), GROUP)]
    order = [number for group in groups for number in [group[0], *reversed(group[1:])]]
    with path.open("wb") as file:
        writer = Writer(
            file, chunk_size=2_500, compression=CompressionType[compression.upper() or "NONE"]
        )
        writer.start(profile="ros2")
        schema = writer.register_schema("foxglove_msgs/msg/CompressedVideo", "ros2msg", b"time t")
        channel = writer.register_channel("/camera", "cdr", schema)
        for at, number in enumerate(order):
            name = (b"K" if number % GROUP == 0 else b"-") + b"camera"[: number % 6] + b"\0"
            head = struct.pack("<iII", *divmod(int(stamps[number]), 10**9), len(name)) + name
            packet = frames[number].tobytes()
            data = b"\0\1\0\0" + head + bytes(-len(head) % 4) + struct.pack("<I", len(packet))
            writer.add_message(channel, at, data + packet, at)
        writer.finish()
    return stamps


@pytest.mark.parametrize("compression", ["lz4", "zstd", ""])
def test_packets_of_a_video_in_chunks(tmp_path: Path, compression: str) -> None:
    pytest.importorskip("mcap")
    pytest.importorskip("lz4")
    videos = [smooth(count, 12, 16, 3) for count in (60, 31, 7)]
    stamps = [
        write_video_bag(tmp_path / f"{i}.mcap", video, compression)
        for i, video in enumerate(videos)
    ]
    dataset = opened("video_bag", tmp_path)
    for episode, video, times in zip(dataset, videos, stamps, strict=True):
        np.testing.assert_array_equal(episode["camera"].values, video)
        np.testing.assert_array_equal(episode["camera"].times_ns, times)
    for options in (
        {"shuffle": True},  # all pictures fit
        {"shuffle": True, "memory_bytes": 200_000, "num_threads": 3},  # decoded where they go
        {"shuffle": "blocks", "memory_bytes": 200_000},
        {"num_threads": 2},
    ):
        loader = rc.DataLoader(
            dataset,
            rate_hz=30,
            streams={"camera": rc.Window([-8, 0, 0, 1], mode="hold")},
            batch_size=4,
            array="numpy",
            **options,
        )
        seen = 0
        for batch in loader:
            for row, (e, now) in enumerate(
                zip(batch["episode_index"], batch["time_ns"], strict=True)
            ):
                targets = now + np.array([-8, 0, 0, 1]) * 33_333_333
                held = np.searchsorted(stamps[e], targets + 1000, side="right") - 1
                valid = batch["camera_valid"][row]
                np.testing.assert_array_equal(batch["camera"][row][valid], videos[e][held[valid]])
                seen += 1
        assert seen == loader.num_samples >= 90


def test_a_damaged_chunk_of_a_video(tmp_path: Path) -> None:
    pytest.importorskip("mcap")
    pytest.importorskip("lz4")
    from mcap.reader import make_reader

    video = smooth(30, 12, 16, 3)
    path = tmp_path / "0.mcap"
    write_video_bag(path, video, "lz4")
    with path.open("rb") as file:
        chunks = make_reader(file).get_summary().chunk_indexes
    dataset = opened("video_bag", tmp_path)
    data = bytearray(path.read_bytes())
    begin = sorted(chunk.chunk_start_offset for chunk in chunks)[4] + 52
    stat = path.stat()
    data[begin + 20 : begin + 60] = bytes(40)
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    dataset = opened("video_bag", tmp_path)

    def loader(on_error: str) -> rc.DataLoader:
        streams = {"camera": rc.Window(0, mode="hold")}
        return rc.DataLoader(
            dataset, rate_hz=30, streams=streams, batch_size=5, array="numpy", on_error=on_error
        )

    where = rf".*0\.mcap: byte {begin}: stream 'camera' of record 0: .*lz4_frame"
    with pytest.raises(rc.errors.FormatError, match=rf"episode 0, step \d+: {where}"):
        list(loader("raise"))
    with pytest.raises(rc.errors.FormatError, match=where):
        _ = dataset[0]["camera"].values
    masked = loader("mask")
    for batch in masked:
        for row, step in enumerate(batch["step_index"]):
            if batch["camera_valid"][row, 0]:
                np.testing.assert_array_equal(batch["camera"][row, 0], video[step])
            else:
                assert not batch["camera"][row].any()
    lost = masked.stats()["samples_masked"]
    assert lost % GROUP == 0
    assert 0 < lost < 30  # the groups that have packets in the chunk, all of them
    assert lost == len(masked.skipped)
    assert sum(len(batch["step_index"]) for batch in loader("skip")) == 30 - lost


# ---- videos -------------------------------------------------------------------------------------


def box(kind: str, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind.encode() + body


def table(kind: str, rows: Any) -> bytes:
    rows = np.asarray(rows, ">i4")
    return box(kind, struct.pack(">II", 0, len(rows)), rows.tobytes())


def write_mp4(path: Path, frames: Any, group: int, hidden: int) -> None:
    """Writes raw pictures: the first `hidden` are cut off by an edit list; others come before those
    that they would be predicted from."""
    order = []
    for begin in range(0, len(frames), group):
        end = min(begin + group, len(frames))
        order += [begin, *(k for i in range(begin + 1, end, 2) for k in (i + 1, i) if k < end)]
    packed = [frames[k].tobytes() for k in order]
    chunks = [packed[i : i + 5] for i in range(0, len(packed), 5)]  # five packets, then junk
    start = box("ftyp", b"isom")
    offsets = len(start) + 8 + np.cumsum([0, *(11 + sum(map(len, c)) for c in chunks[:-1])])
    per_chunk = [[1, 5, 1], [len(chunks), len(chunks[-1]), 1]]
    entry = box("raw ", bytes(24), struct.pack(">HH", frames.shape[2], frames.shape[1]), bytes(50))
    shifts = (np.array(order) - np.arange(len(order)) + 1) * 512
    tables = box(
        "stbl",
        box("stsd", struct.pack(">II", 0, 1), entry),
        table("stts", [[len(order), 512]]),
        table("ctts", [[1, shift] for shift in shifts]),
        table("stss", [[i + 1] for i, k in enumerate(order) if k % group == 0]),
        table("stsc", per_chunk if per_chunk[1][0] > 1 else per_chunk[1:]),
        box("stsz", struct.pack(">III", 0, 0, len(order)), np.array([*map(len, packed)], ">i4")),
        table("stco", offsets[:, None]),
    )
    edits = box("edts", table("elst", [[len(frames) - hidden, (hidden + 1) * 512, 1 << 16]]))
    media = box(
        "mdia", box("mdhd", struct.pack(">IIIIII", 0, 0, 0, 15360, 0, 0)), box("minf", tables)
    )
    mdat = box("mdat", *(b"".join(c) + bytes(11) for c in chunks))
    path.write_bytes(start + mdat + box("moov", box("trak", edits, media)))


def test_frames_of_videos(tmp_path: Path) -> None:
    ends = np.array([13, 14, 60, 91])
    (tmp_path / "videos").mkdir()
    wanted: dict[str, list[Any]] = {}
    for camera, group, hidden in (("front", 10, 3), ("wrist", 2, 0)):
        frames = RNG.integers(0, 256, (ends[-1] + hidden, 8, 14, 3), np.uint8)
        write_mp4(tmp_path / f"videos/{camera}.mp4", frames, group, hidden)
        wanted[camera] = np.split(frames[hidden:], ends[:-1])
    actions = RNG.random((ends[-1], 7), np.float32)
    wanted["action"] = np.split(actions, ends[:-1])
    np.save(tmp_path / "actions.npy", actions)
    np.save(tmp_path / "episode_ends.npy", ends)
    dataset = opened("mp4", tmp_path)
    check(dataset, wanted)
    check_size(dataset)
