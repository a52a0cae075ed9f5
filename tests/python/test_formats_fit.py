"""Formats fit: files written by their own libraries, indexed by hand, load as those libraries read.

The indexers in formats_fit/ are examples of how one is written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python.fitting import RNG, Values, check, check_size, index_bytes, opened, smooth

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
