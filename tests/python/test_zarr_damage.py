"""Zarr that is damaged, hostile or cut off: refused by name, or read as it is."""

from __future__ import annotations

import json
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python.zarr_sets import ENDS, RNG, ROWS, one_array, opened, write_ends

zarr = pytest.importorskip("zarr")
numcodecs = pytest.importorskip("numcodecs")


DAMAGED_V2: list[tuple[dict[str, Any], str]] = [
    ({"zarr_format": 4}, "zarr_format: found 4"),
    ({"shape": [30]}, "chunks: found 2 axes, wanted 1"),
    ({"shape": [-1, 3]}, r"shape: found \[-1, 3\]"),
    ({"shape": "x"}, "shape: found 'x'"),
    ({"shape": [2**62, 2**62]}, "shape: found"),
    ({"shape": [2**61, 3]}, "shape: found .*wanted fewer elements"),
    ({"shape": [2**59, 3]}, "chunks, at most"),
    ({"shape": [True, 3]}, "shape: found"),
    ({"chunks": [0, 3]}, "chunks: found"),
    ({"chunks": [2**61, 3]}, "chunks: found"),
    ({"chunks": None}, "chunks: found None"),
    ({"dtype": "|O"}, r"dtype: found '\|O'"),
    ({"dtype": [["a", "<f4"]]}, "dtype: found"),
    ({"dtype": "<U8"}, "dtype: found '<U8'"),
    ({"dtype": "<f1"}, "dtype: found '<f1'"),
    ({"order": "A"}, "order: found 'A'"),
    ({"fill_value": [1]}, "fill_value: found"),
    ({"fill_value": "x"}, "fill_value: found 'x'"),
    ({"dtype": "|u1", "fill_value": 256}, "fill_value: found 256, wanted one of uint8"),
    ({"dtype": "<i2", "fill_value": -32769}, "fill_value: found -32769"),
    ({"dtype": "<i4", "fill_value": 0.5}, "fill_value: found 0.5"),
    ({"dtype": "<i4", "fill_value": float("nan")}, "fill_value: found nan"),
    ({"dtype": "<u8", "fill_value": float("inf")}, "fill_value: found inf"),
    ({"dtype": "|b1", "fill_value": 2}, "fill_value: found 2, wanted one of bool"),
    ({"filters": 3}, "filters: found 3"),
    ({"filters": [3]}, "codec: found 3"),
    ({"filters": [{"id": "delta", "dtype": "<f4"}]}, "codec 'delta': is not read"),
    ({"compressor": {"id": "lzma"}}, "codec 'lzma': is not read"),
    ({"compressor": {"id": ["x"]}}, "codec .*is not read"),
    ({"compressor": {"id": "imagecodecs_jpegxl"}}, "packed as jxl"),
    ({"dimension_separator": "x"}, "dimension_separator"),
    ({"filters": [{"id": "shuffle", "elementsize": 2**40}]}, "codec 'shuffle'"),
]


@pytest.mark.parametrize(("change", "message"), DAMAGED_V2)
def test_metadata_that_cannot_be(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = one_array(tmp_path / "a.zarr")
    file = path / "data/x/.zarray"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(rc.Error, match=message) as caught:
        opened(path)
    assert "data/x" in str(caught.value)


DAMAGED_V3: list[tuple[str, Any, str]] = [
    ("node_type", "x", "found"),
    ("chunk_grid", {"name": "rectilinear"}, "chunk_grid: found 'rectilinear'"),
    ("chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [0, 3]}}, "chunk_shape"),
    ("data_type", "string", "data_type: found 'string'"),
    ("data_type", {"name": "x"}, "data_type: found"),
    ("codecs", [], "codecs: found"),
    ("codecs", "x", "codecs: found"),
    ("codecs", [{"name": "vlen-utf8"}], "codec 'vlen-utf8': is not read"),
    ("codecs", [{"name": "transpose", "configuration": {"order": [0, 0]}}], "transpose: found"),
    ("codecs", [{"name": "transpose", "configuration": {"order": [0, 2**70]}}], "transpose"),
    ("codecs", [{"name": "transpose", "configuration": 3}], "configuration: found 3"),
    ("codecs", [{"name": "sharding_indexed"}], "chunk_shape: found None"),
    (
        "codecs",
        [{"name": "sharding_indexed", "configuration": {"chunk_shape": [3, 3]}}],
        "wanted a multiple",
    ),
    (
        "codecs",
        [
            {
                "name": "sharding_indexed",
                "configuration": {"chunk_shape": [2, 3], "codecs": [{"name": "sharding_indexed"}]},
            }
        ],
        "codec 'sharding_indexed': is not read",
    ),
    ("fill_value", "0xzz", "fill_value: found '0xzz'"),
    ("storage_transformers", [{"name": "x"}], "storage_transformers"),
    ("chunk_key_encoding", {"name": "x"}, "chunk_key_encoding: found 'x'"),
    ("chunk_key_encoding", {"name": "v2", "configuration": {"separator": "../"}}, "separator|../"),
]


@pytest.mark.parametrize(("key", "value", "message"), DAMAGED_V3)
def test_metadata_of_version_3_that_cannot_be(
    tmp_path: Path, key: str, value: Any, message: str
) -> None:
    path = one_array(tmp_path / "a.zarr", 3)
    file = path / "data/x/zarr.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    with pytest.raises(rc.Error, match=message):
        opened(path)


@pytest.mark.parametrize(
    ("ends", "message", "kept"),
    [
        ([7, 5, 30], "episode 1: found rows 7 to 5", [7, 23]),
        ([7, 7, 30], "episode 1: found rows 7 to 7", [7, 23]),
        ([7, 20, 31], "episode 2: found rows 20 to 31, wanted at most 30, as data/x has", [7, 13]),
        ([-1, 20, 30], "episode 0: found rows 0 to -1", [20, 10]),
        ([7, 2**63 - 1, 30], "episode 1: found rows 7 to 9223372036854775807", [7, 23]),
    ],
)
def test_ends_that_cannot_be(
    tmp_path: Path, ends: list[int], message: str, kept: list[int]
) -> None:
    path = one_array(tmp_path / "a.zarr")
    zarr.open_group(path)["meta/episode_ends"][:] = ends
    with pytest.raises(rc.errors.FormatError, match=message):
        opened(path)
    dataset = opened(path, on_error="skip")
    assert [episode.num_steps for episode in dataset] == kept
    assert len(dataset.skipped) == 1


def test_groups_without_what_is_looked_for(tmp_path: Path) -> None:
    path = one_array(tmp_path / "a.zarr")
    shutil.rmtree(path / "meta/episode_ends")
    with pytest.raises(rc.errors.FormatError, match=r"meta/episode_ends: found no array"):
        opened(path)
    path = one_array(tmp_path / "b.zarr")
    shutil.rmtree(path / "data/x")
    with pytest.raises(rc.errors.FormatError, match="found no array below 'data'"):
        opened(path)


def test_chunks_that_are_damaged(tmp_path: Path) -> None:
    """A chunk that cannot be unpacked costs its rows; an empty one, or one of another size, all."""
    path = one_array(tmp_path / "a.zarr", shape=(ROWS, 3000), chunks=(4, 3000))
    chunk = path / "data/x/1.0"
    data = bytearray(chunk.read_bytes())
    data[100] ^= 255
    chunk.write_bytes(data)
    dataset = opened(path)
    loader = rc.DataLoader(dataset, 4, streams=["x"], on_error="skip", array="numpy")
    rows = [
        [0, *ENDS][e] + s
        for b in loader
        for e, s in zip(b["episode_index"], b["step_index"], strict=True)
    ]
    kept = set(range(ROWS)) - {4, 5, 6, 7}
    assert set(rows) >= kept
    assert all("data/x/1.0" in each for each in loader.skipped)
    chunk.write_bytes(b"")
    with pytest.raises(rc.errors.FormatError, match=r"data/x/1\.0: found an empty file"):
        opened(path, rebuild=True)
    path = one_array(tmp_path / "b.zarr", compressors=None)
    os.truncate(path / "data/x/1.0", 47)
    with pytest.raises(rc.errors.FormatError, match=r"data/x/1\.0: found 47 bytes, wanted a chunk"):
        opened(path)


def test_shards_cut_off_and_changed_are_read_or_refused(tmp_path: Path) -> None:
    path = one_array(tmp_path / "a.zarr", 3, shape=(ROWS, 4), chunks=(4, 2), shards=(32, 4))
    wanted = zarr.open_group(path)["data/x"][:]
    shard = path / "data/x/c/0/0"
    data = shard.read_bytes()
    for length in range(1, len(data), 29):
        shard.write_bytes(data[:length])
        with pytest.raises(rc.Error, match="data/x/c/0/0"):
            opened(path, rebuild=True)
    for _ in range(30):
        changed = bytearray(data)
        changed[RNG.integers(len(data))] ^= 1 << RNG.integers(8)
        shard.write_bytes(changed)
        read_or_refuse(path, wanted)
    shard.write_bytes(data)
    file = path / "data/x/zarr.json"
    said = json.loads(file.read_text())
    said["codecs"][0]["configuration"]["index_codecs"].pop()  # a table that nothing checks
    file.write_text(json.dumps(said))
    table = np.frombuffer(data[-4 - 16 * 16 : -4], "<u8").reshape(16, 2)
    for offset, size in ((2**64 - 2, 5), (0, 2**64 - 2), (2**63, 2**63), (len(data), 1), (5, 0)):
        changed_table = table.copy()
        changed_table[3] = offset, size
        shard.write_bytes(data[: -4 - 256] + changed_table.tobytes())
        with pytest.raises(rc.errors.FormatError, match=r"byte \d+: found a chunk of"):
            opened(path, rebuild=True)


def read_or_refuse(path: Path, wanted: Any) -> None:
    """Whatever is read, or the error names the file."""
    found = None
    try:
        dataset = opened(path, rebuild=True)
        for episode in dataset:
            episode["x"].read()
    except rc.Error as error:
        found = str(error)
    assert found is None or "data/x" in found or "found no array below 'data'" in found


def test_metadata_with_any_bytes_is_read_or_refused(tmp_path: Path) -> None:
    for version, name in ((2, ".zarray"), (3, "zarr.json")):
        path = one_array(tmp_path / f"{version}.zarr", version)
        file = path / "data/x" / name
        data = file.read_bytes()
        for length in range(0, len(data), 67):
            file.write_bytes(data[:length])
            with pytest.raises(rc.Error):
                opened(path, rebuild=True)
        digits = [i for i, byte in enumerate(data) if chr(byte).isdigit()]
        for _ in range(50):
            changed = bytearray(data)
            at = RNG.choice(digits) if RNG.random() < 0.7 else RNG.integers(len(data))
            changed[at] = RNG.choice(np.frombuffer(b'0123456789-"{[,]}e.', np.uint8))
            file.write_bytes(changed)
            read_or_refuse(path, None)


def test_hostile_folders(tmp_path: Path) -> None:
    """Groups within themselves, pipes in place of chunks, JSON without end."""
    path = one_array(tmp_path / "a.zarr")
    os.symlink(path / "data", path / "data" / "again")
    with pytest.raises(rc.errors.FormatError, match="found groups nested"):
        opened(path)
    os.unlink(path / "data" / "again")
    os.unlink(path / "data/x/1.0")
    os.mkfifo(path / "data/x/1.0")
    assert len(opened(path)) == 3  # no chunk lies there
    (path / "data/x/.zarray").write_text("[" * 100000)
    with pytest.raises(rc.errors.FormatError, match=r"\.zarray"):
        opened(path)
    os.unlink(path / "data/x/.zarray")
    os.mkfifo(path / "data/x/.zarray")
    with pytest.raises(rc.errors.FormatError, match="found no array below"):
        opened(path)


def test_archives_cut_off_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr.zip"
    with zarr.storage.ZipStore(path, mode="w") as store:
        group = zarr.open_group(store, mode="w", zarr_format=2)
        group.create_array("data/x", shape=(ROWS, 3), chunks=(9, 3), dtype="f4")[:] = 1
        write_ends(group)
    data = path.read_bytes()
    for length in range(0, len(data), 171):
        path.write_bytes(data[:length])
        with pytest.raises(rc.Error, match=r"a\.zarr\.zip"):
            opened(path)
    at = data.index(b"PK\x01\x02")
    path.write_bytes(data[: at + 20] + struct.pack("<II", 2**32 - 2, 2**32 - 2) + data[at + 28 :])
    with pytest.raises(rc.errors.FormatError, match="wanted them before the directory"):
        opened(path)
