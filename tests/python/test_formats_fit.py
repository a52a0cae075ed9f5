"""Formats fit: files written by their own libraries, indexed by hand, load as those libraries read.

The indexers in formats_fit/ are examples of how one is written.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import robocache as rc

RNG = np.random.default_rng(11)

Values = Mapping[str, Sequence[Any]]
"""Of each stream the values of each episode, as the format's own library reads them."""


def smooth(*shape: int) -> Any:
    """Pixels that compress."""
    steps = RNG.integers(-2, 3, shape).cumsum(axis=1)
    return (128 + steps).clip(0, 255).astype(np.uint8)


def opened(name: str, path: Path, **options: Any) -> rc.Dataset:
    """Registers the format of that name in formats_fit/ for this path alone, and opens it."""
    module = pytest.importorskip(f"tests.python.formats_fit.{name}", exc_type=ImportError)
    return opened_by(module, path, **options)


def opened_by(module: ModuleType, path: Path, **options: Any) -> rc.Dataset:
    assert module.probe(str(path))
    name = module.__name__.rsplit(".", 1)[-1] + " by hand"  # others of that name come along
    with contextlib.suppress(rc.errors.InvalidArgumentError):
        rc.register_format(name, probe=lambda path: False, index=module.index)
    return rc.open(path, format=name, progress=False, **options)


def check(dataset: rc.Dataset, wanted: Values) -> None:
    """Episodes and shuffled epochs hold just the values that are wanted."""
    assert set(dataset.streams) >= set(wanted)
    for stream, episodes in wanted.items():
        assert len(dataset) == len(episodes)
        for episode, values in zip(dataset, episodes, strict=True):
            np.testing.assert_array_equal(episode[stream].values, values, strict=True)
    check_epoch(dataset, wanted, shuffle=True)
    check_epoch(dataset, wanted, shuffle="blocks", memory_bytes=4_000_000, num_threads=3)


def check_epoch(dataset: rc.Dataset, wanted: Values, **options: Any) -> None:
    windows = {stream: rc.Window(range(-1, 1), mode="hold") for stream in wanted}
    loader = rc.DataLoader(dataset, streams=windows, batch_size=7, array="numpy", **options)
    begins = np.cumsum([0, *(episode.num_steps for episode in dataset)])
    seen = np.zeros(begins[-1], int)
    for batch in loader:
        for row, (e, step) in enumerate(
            zip(batch["episode_index"], batch["step_index"], strict=True)
        ):
            seen[begins[e] + step] += 1
            for stream, episodes in wanted.items():
                two = episodes[e][[max(step - 1, 0), step]]
                np.testing.assert_array_equal(batch[stream][row], two)
    assert (seen == 1).all()


def index_bytes(dataset: rc.Dataset) -> int:
    """What the catalog says of where samples lie, metadata and the rows of episodes left out."""
    with contextlib.closing(sqlite3.connect(dataset.catalog_path)) as catalog:
        sums = [
            catalog.execute(f"SELECT coalesce(sum(length(data)), 0) FROM {table}").fetchone()[0]
            for table in ("layouts", "objects")
        ]
    return sum(sums)


def check_size(dataset: rc.Dataset) -> None:
    """At most 16 bytes a step and image stream, and 8 a stream and episode."""
    images = sum(info.kind == "image" for info in dataset.streams.values())
    steps = sum(episode.num_steps for episode in dataset)
    allowed = 16 * steps * images + 8 * len(dataset.streams) * len(dataset)
    assert index_bytes(dataset) <= allowed


# ---- HDF5 ---------------------------------------------------------------------------------------


def read_hdf5(*paths: Path) -> dict[str, list[Any]]:
    from tests.python.formats_fit import hdf5, hdf5_chunks

    wanted: dict[str, list[Any]] = {}
    for path in paths:
        with hdf5_chunks.h5py.File(path) as file:
            for demo in hdf5.demos(file):
                for name, leaf in hdf5_chunks.leaves(demo).items():
                    native = leaf.dtype.newbyteorder("=")
                    wanted.setdefault(name, []).append(leaf[:].astype(native))
    return wanted


def test_hdf5_in_chunks(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "packed.hdf5"
    checked = {"compression": "gzip", "shuffle": True, "fletcher32": True}
    with h5py.File(path, "w") as file:
        for demo, steps in ((0, 500), (2, 40), (10, 33)):
            group = file.create_group(f"data/demo_{demo}")
            front = smooth(steps, 84, 84, 3)
            obs = group.create_group("obs")
            obs.create_dataset("front", data=front, chunks=True, compression="gzip")
            obs.create_dataset("wrist", data=front[:, ::7, ::7], chunks=True, **checked)
            state = RNG.random((steps, 9))
            obs.create_dataset("state", data=state, chunks=(16, 4), compression="lzf")
            sparse = obs.create_dataset("sparse", (steps, 3), "i4", chunks=(10, 2), fillvalue=-7)
            sparse[20:33, 2] = np.arange(13)
            group.create_dataset("actions", data=state[:, :7].astype("f4"), chunks=(25, 7))
        front = file["data/demo_0/obs/front"]
        assert front.chunks == (63, 21, 21, 1)
        assert front.id.get_num_chunks() == 8 * 48
        state = file[
            "data/demo_0/obs/state"
        ]  # lzf cannot compress all of it, and is left out there
        masks = [state.id.get_chunk_info(i).filter_mask for i in range(state.id.get_num_chunks())]
        assert any(masks)
        sparse = file["data/demo_0/obs/sparse"]
        assert 0 < sparse.id.get_num_chunks() < 50
    dataset = opened("hdf5", tmp_path)
    check(dataset, read_hdf5(path))
    check_size(dataset)
    assert [episode.metadata["demo"] for episode in dataset] == [
        "/data/demo_0",
        "/data/demo_2",
        "/data/demo_10",
    ]


def test_a_damaged_chunk_is_left_out(tmp_path: Path) -> None:
    """With all samples that it has a part of, and each says which it is."""
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "packed.hdf5"
    images, actions = [smooth(40, 24, 24, 3) for _ in range(2)], RNG.random((40, 7))
    with h5py.File(path, "w") as file:
        for demo in range(2):
            file[f"data/demo_{demo}/actions"] = actions
            file.create_dataset(
                f"data/demo_{demo}/obs/front",
                data=images[demo],
                chunks=(7, 10, 24, 3),
                compression="gzip",
                fletcher32=True,
            )
        chunk = file["data/demo_1/obs/front"].id.get_chunk_info(5)  # rows 7 to 13, below the others
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset + chunk.size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 0x55]))
    dataset = opened("hdf5", tmp_path)
    what = re.escape(f"{path}: byte {chunk.byte_offset}: stream 'obs/front' of record 1: packing")
    with pytest.raises(rc.errors.FormatError, match=what):
        _ = dataset[1]["obs/front"].values
    np.testing.assert_array_equal(dataset[1]["obs/front"].read(14), images[1][14:])
    loader = rc.DataLoader(dataset, batch_size=9, shuffle=True, on_error="skip", array="numpy")
    seen = set()
    for batch in loader:
        seen |= set(zip(batch["episode_index"].tolist(), batch["step_index"].tolist(), strict=True))
    assert seen == {(e, i) for e in range(2) for i in range(40)} - {(1, i) for i in range(7, 14)}
    assert len(loader.skipped) == 7
    for step in range(7, 14):
        assert any(re.match(f"episode 1, step {step}: {what}", text) for text in loader.skipped)


@pytest.mark.parametrize("order", ["<", ">"])
def test_hdf5_contiguous(tmp_path: Path, order: str) -> None:
    h5py = pytest.importorskip("h5py")
    paths = [tmp_path / name for name in ("a.hdf5", "b.hdf5")]
    for path in paths:
        with h5py.File(path, "w") as file:
            for demo in range(100):
                steps = int(RNG.integers(1, 9))
                group = file.create_group(f"data/demo_{demo}")
                group.attrs["success"] = demo % 2 == 0
                group["obs/agentview_image"] = RNG.integers(0, 256, (steps, 12, 12, 3), np.uint8)
                group["obs/robot0_eef_pos"] = RNG.random((steps, 3)).astype(f"{order}f8")
                group["actions"] = RNG.random((steps, 7)).astype(f"{order}f8")
                group["rewards"] = RNG.random(steps).astype(f"{order}f4")
                group["dones"] = RNG.integers(0, 2, steps).astype(f"{order}i8")
    dataset = opened("hdf5", tmp_path)
    check(dataset, read_hdf5(*paths))
    check_size(dataset)
    assert sum(episode.metadata["success"] for episode in dataset) == 100


# ---- Zarr ---------------------------------------------------------------------------------------


def write_replay(path: Path, lengths: list[int], arrays: Mapping[str, tuple[Any, Any]]) -> Values:
    """Writes values with what zarr is to be told; returns what it reads."""
    import zarr

    version = 3 if "shards" in next(iter(arrays.values()))[1] else 2
    group = zarr.create_group(path, zarr_format=version)
    ends = np.cumsum(lengths)
    group.create_array("meta/episode_ends", data=ends)
    for name, (values, told) in arrays.items():
        array = group.create_array(f"data/{name}", shape=values.shape, dtype=values.dtype, **told)
        array[:] = values
    read = zarr.open_group(path, mode="r")
    return {name: np.split(read[f"data/{name}"][:], ends[:-1]) for name in arrays}


def test_zarr_shards(tmp_path: Path) -> None:
    codecs = pytest.importorskip("zarr.codecs")
    image = smooth(150, 40, 33, 3)
    image[64:90, :20] = 9  # the fill value: chunks of it are not stored
    shuffled = codecs.BloscCodec(cname="zstd", shuffle="shuffle", typesize=4)
    arrays = {
        "img": (
            image,
            {
                "shards": (64, 40, 40, 3),
                "chunks": (16, 20, 20, 3),
                "compressors": [codecs.ZstdCodec(level=3), codecs.Crc32cCodec()],
                "fill_value": 9,
            },
        ),
        "state": (
            RNG.random((150, 5), np.float32),
            {"shards": (100, 6), "chunks": (10, 3), "compressors": shuffled},
        ),
        "action": (RNG.random((150, 2)), {"shards": (50, 2), "chunks": (50, 2)}),
        "done": (RNG.integers(0, 2, 150).astype(bool), {"shards": (64,), "chunks": (32,)}),
    }
    wanted = write_replay(tmp_path / "replay.zarr", [60, 1, 89], arrays)
    dataset = opened("zarr_replay", tmp_path / "replay.zarr")
    check(dataset, wanted)
    check_size(dataset)


def test_zarr_of_diffusion_policy(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    from numcodecs import Blosc

    disk = Blosc(cname="zstd", clevel=5, shuffle=Blosc.BITSHUFFLE)
    arrays = {
        "img": (smooth(161, 48, 48, 3), {"chunks": (10, 48, 48, 3), "compressors": disk}),
        "keypoint": (RNG.random((161, 9, 2), np.float32), {"chunks": (61, 5, 2), "order": "F"}),
        "action": (
            RNG.random((161, 2), np.float32),
            {"chunks": (161, 2), "compressors": Blosc(cname="lz4")},
        ),
        "n_contacts": (RNG.random((161, 1)), {"chunks": (20, 1), "compressors": None}),
    }
    wanted = write_replay(tmp_path / "pusht.zarr", [20, 101, 3, 37], arrays)
    dataset = opened("zarr_replay", tmp_path / "pusht.zarr")
    check(dataset, wanted)
    check_size(dataset)


# ---- a file a step ------------------------------------------------------------------------------


def write_calvin(path: Path, spans: Sequence[tuple[int, int]]) -> None:
    folder = path / "training"
    folder.mkdir(exist_ok=True)
    for first, last in spans:
        for number in range(first, last + 1):
            # every seventh file is not compressed: files of a dataset need not be alike
            save = np.savez if number % 7 == 0 else np.savez_compressed
            save(
                folder / f"episode_{number:07}.npz",
                actions=RNG.random(7),
                robot_obs=RNG.random(15),
                scene_obs=RNG.random(24),
                rgb_static=smooth(20, 20, 3),
                rgb_gripper=smooth(12, 12, 3),
            )


def read_calvin(path: Path, spans: Sequence[tuple[int, int]]) -> Values:
    wanted: dict[str, list[Any]] = {}
    for first, last in spans:
        steps = []
        for number in range(first, last + 1):
            with np.load(path / "training" / f"episode_{number:07}.npz") as step:
                steps.append({name: step[name] for name in step.files})
        for name in steps[0]:
            wanted.setdefault(name, []).append(np.stack([step[name] for step in steps]))
    return wanted


def test_an_archive_a_step_and_what_is_appended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.python.formats_fit import calvin

    spans = [(358, 957), (1200, 1200), (2000, 2398)]  # 1,000 steps
    read: list[int] = []
    read_part = calvin.read
    monkeypatch.setattr(
        calvin,
        "read",
        lambda part, first, last: (read.append(first), read_part(part, first, last)),
    )
    for count in (2, 3):
        spans_now = spans[:count]
        write_calvin(tmp_path, spans_now if count == 2 else spans[2:])
        np.save(tmp_path / calvin.SPANS, np.array(spans_now))
        dataset = opened("calvin", tmp_path)
        check(dataset, read_calvin(tmp_path, spans_now))
        check_size(dataset)
    assert sorted(read) == [358, 1200, 2000]


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


# ---- videos in chunks ----------------------------------------------------------------------------

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


# ---- numbers of tables --------------------------------------------------------------------------


def test_numbers_of_parquet_are_columns(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "data").mkdir()
    lengths = [[31, 1, 50], [20, 7]]
    tables = []
    for number, episodes in enumerate(lengths):
        steps = sum(episodes)
        index = np.repeat(np.arange(len(episodes)) + 3 * number, episodes)
        frame = np.concatenate([np.arange(n) for n in episodes])
        state = RNG.random((steps, 7), np.float32)
        table = pa.table(
            {
                "observation.state": pa.FixedSizeListArray.from_arrays(state.ravel(), 7),
                "action": pa.array(list(RNG.random((steps, 2))), pa.list_(pa.float64())),
                "timestamp": (frame / 30).astype(np.float32),
                "frame_index": frame,
                "episode_index": index,
                "next.done": RNG.integers(0, 2, steps).astype(bool),
            }
        )
        path = tmp_path / f"data/file-{number:03}.parquet"
        with pq.ParquetWriter(path, table.schema, compression="snappy") as writer:
            for e in range(len(episodes)):  # a row group each, as LeRobot writes them
                writer.write_table(table.filter(index == e + 3 * number))
        tables.append(pq.read_table(path).to_pydict())
    wanted = {
        name: [
            np.array(values)
            for table, episodes in zip(tables, lengths, strict=True)
            for values in np.split(np.array(table[name]), np.cumsum(episodes)[:-1])
        ]
        for name in tables[0]
    }
    for name in ("observation.state", "timestamp"):
        wanted[name] = [values.astype(np.float32) for values in wanted[name]]
    del wanted["episode_index"]
    dataset = opened("episodes_parquet", tmp_path)
    check(dataset, wanted)
    check_size(dataset)


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


# ---- files of an episode, and files of a dataset ------------------------------------------------


def test_an_episode_over_several_files(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    lengths, total = [50, 7, 61], 118
    camera, state = smooth(total, 20, 20, 3), RNG.random((total, 6))
    begin = 0
    for number, length in enumerate(lengths):
        rows = slice(begin, begin + length)
        with h5py.File(tmp_path / f"log_{number}.hdf5", "w") as file:
            file.create_dataset("camera", data=camera[rows], chunks=(6, 10, 20, 3), compression=1)
            file["state"] = state[rows]
        begin += length
    episodes = np.array([[0, 20], [20, 90], [95, 96], [48, 58]])  # the second lies in all three
    np.save(tmp_path / "episodes.npy", episodes)
    dataset = opened("rotated_logs", tmp_path)
    wanted = {
        "camera": [camera[begin:end] for begin, end in episodes],
        "state": [state[begin:end] for begin, end in episodes],
    }
    check(dataset, wanted)


def test_a_million_files_are_not_looked_at(tmp_path: Path) -> None:
    """Opening goes to no file that a part points to: the way to them leads through a link, and who
    follows it leaves a time there."""
    count, steps = 1_000_000, 1000
    (tmp_path / "steps").mkdir()
    link = tmp_path / "data" / "steps"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "steps")
    rows = {number: RNG.random(4, np.float32) for number in (0, 345_678, 999_999)}
    for number, row in rows.items():
        (tmp_path / f"steps/{number:07}.bin").write_bytes(row.tobytes())

    def was_followed() -> bool:
        followed = link.lstat().st_atime > 1e9
        os.utime(link, (0, 0), follow_symlinks=False)
        return followed

    def read(part: rc.Part) -> None:
        first = part.blobs("steps/{:07}.bin", count=count)
        pieces = rc.Pieces(offset=0, bytes=16, blob=first + np.arange(count))
        part.episodes(num_steps=[steps] * (count // steps), streams={"state": pieces})

    def index(path: str, dataset: rc.Indexer) -> None:
        dataset.control_rate_hz = 10
        dataset.stream("state", dtype="float32", shape=(4,))
        dataset.part("all", read=read, stamp=1)

    rc.register_format("a million files", probe=lambda path: False, index=index)
    for _ in range(2):  # indexes, and opens what is indexed
        was_followed()
        dataset = rc.open(link.parent, format="a million files", progress=False)
        assert not was_followed()
    assert sum(episode.num_steps for episode in dataset) == count
    for number, row in rows.items():
        values = dataset[number // steps]["state"].read(number % steps, 1)
        np.testing.assert_array_equal(values, row[None])
    if not was_followed():
        pytest.skip("this file system keeps no time of access")
    assert index_bytes(dataset) <= 16 * count
