"""Zarr: values are those that zarr reads, in every way in which zarr writes them."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from robocache.formats.builtin import draft_mapping
from tests.python.test_docs import DOCS, run_page
from tests.python.test_formats_fit import index_bytes

zarr = pytest.importorskip("zarr")
numcodecs = pytest.importorskip("numcodecs")

RNG = np.random.default_rng(3)
ENDS = [7, 8, 30]
ROWS = ENDS[-1]

Make = Callable[..., Any]


def opened(path: Path, **options: Any) -> rc.Dataset:
    return rc.open(path, progress=False, control_rate_hz=10, **options)


def smooth(*shape: int) -> Any:
    """Pixels that compress."""
    return (128 + RNG.integers(-2, 3, shape).cumsum(axis=1)).clip(0, 255).astype(np.uint8)


def write_ends(group: Any, ends: Any = ENDS, **options: Any) -> None:
    array = group.create_array(
        "meta/episode_ends", shape=len(ends), chunks=2, dtype="i8", **options
    )
    array[:] = ends


def check(path: Path, dataset: rc.Dataset, ends: list[int] = ENDS) -> None:
    """All values are zarr's, in episodes and in shuffled epochs."""
    store = zarr.storage.ZipStore(path, mode="r") if path.suffix == ".zip" else path
    group = zarr.open_group(store, mode="r")
    wanted = {name.removeprefix("data/"): array[:] for name, array in arrays_of(group["data"])}
    assert set(dataset.streams) == set(wanted)
    begins = [0, *ends[:-1]]
    assert [episode.num_steps for episode in dataset] == list(np.diff([0, *ends]))
    for episode, begin, end in zip(dataset, begins, ends, strict=True):
        for name, values in wanted.items():
            native = values[begin:end].astype(values.dtype.newbyteorder("="))
            np.testing.assert_array_equal(episode[name].values, native, strict=True)
    for shuffle in (True, "blocks"):
        loader = rc.DataLoader(dataset, 4, streams=list(wanted), shuffle=shuffle, array="numpy")
        seen = []
        for batch in loader:
            rows = [
                begins[e] + s
                for e, s in zip(batch["episode_index"], batch["step_index"], strict=True)
            ]
            seen += rows
            for name, values in wanted.items():
                np.testing.assert_array_equal(batch[name][:, 0], values[rows])
        assert sorted(seen) == list(range(ends[-1]))


def arrays_of(group: Any, prefix: str = "") -> Any:
    for name, member in group.members():
        if isinstance(member, zarr.Array):
            yield prefix + name, member
        else:
            yield from arrays_of(member, f"{prefix}{name}/")


# ---- as diffusion_policy and UMI write them -----------------------------------------------------


def write_v2(path: Path, store: Any = None) -> Path:
    """As diffusion_policy's ReplayBuffer does, with every codec that numcodecs has for bytes."""
    group = zarr.open_group(path if store is None else store, mode="w", zarr_format=2)
    blosc = [
        numcodecs.Blosc(name, 5, shuffle)
        for name, shuffle in itertools.product(
            ("lz4", "lz4hc", "zstd", "zlib", "blosclz"),
            (numcodecs.Blosc.NOSHUFFLE, numcodecs.Blosc.SHUFFLE, numcodecs.Blosc.BITSHUFFLE),
        )
    ]
    others = [
        numcodecs.Zstd(3),
        numcodecs.LZ4(),
        numcodecs.Zlib(4),
        numcodecs.GZip(4),
        numcodecs.BZ2(4),
        None,
    ]
    for number, codec in enumerate([*blosc, *others]):
        array = group.create_array(
            f"data/state_{number}",
            shape=(ROWS, 3),
            chunks=(7, 2),
            dtype="f4",
            compressors=codec,
            order="CF"[number % 2],
        )
        array[:] = RNG.random((ROWS, 3)).round(1)
        images = group.create_array(
            f"data/image_{number}",
            shape=(ROWS, 12, 10, 3),
            chunks=(4, 12, 10, 3),
            dtype="u1",
            compressors=codec,
        )
        images[:] = smooth(ROWS, 12, 10, 3)
    write_ends(group, compressors=numcodecs.Blosc("lz4"))
    return path


@pytest.mark.parametrize("is_consolidated", [False, True])
def test_version_2_with_every_compressor(tmp_path: Path, is_consolidated: bool) -> None:
    path = write_v2(tmp_path / "replay.zarr")
    if is_consolidated:
        zarr.consolidate_metadata(path)
    dataset = opened(path)
    assert (dataset.format, dataset.name, dataset.control_rate_hz) == ("zarr", "replay", 10)
    check(path, dataset)


@pytest.mark.parametrize(
    "dtype",
    [
        "|b1",
        "|u1",
        "|i1",
        *(f"{o}{t}" for o in "<>" for t in ("u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")),
    ],
)
def test_dtypes_and_byte_orders(tmp_path: Path, dtype: str) -> None:
    """In columns, where they are small and packed, and where they lie."""
    path = tmp_path / "a.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    for name, width, codec in (
        ("packed", 3, numcodecs.Zlib()),
        ("plain", 3, None),
        ("wide", 4200 // np.dtype(dtype).itemsize, numcodecs.Zlib()),
    ):
        array = group.create_array(
            f"data/{name}",
            shape=(ROWS, width),
            chunks=(4, max(width // 2, 3)),
            dtype=dtype,
            compressors=codec,
        )
        array[:] = RNG.integers(0, 2, (ROWS, width))
    write_ends(group, compressors=None)
    check(path, opened(path))


@pytest.mark.parametrize("separator", [".", "/"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_grids_of_many_chunks(tmp_path: Path, separator: str, order: Any) -> None:
    """Cut along all axes, with the most chunks along any, and absent ones filled."""
    path = tmp_path / "a.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    key = {"name": "v2", "separator": separator}
    for number, chunks in enumerate([(5, 4, 4, 1), (30, 1, 2, 3), (1, 12, 10, 3), (7, 5, 3, 2)]):
        for name, dtype, fill in (("image", "u1", 7), ("depth", "f4", np.nan)):
            array = group.create_array(
                f"data/{name}_{number}",
                shape=(ROWS, 12, 10, 3),
                chunks=chunks,
                dtype=dtype,
                fill_value=fill,
                order=order,
                chunk_key_encoding=key,
                compressors=numcodecs.Zstd(),
            )
            array[3:9, 2:7] = smooth(6, 5, 10, 3)
            array[17:18, 2:7, 1:3] = 3
    write_ends(group)
    check(path, opened(path))


V3: dict[str, dict[str, Any]] = {
    "no codec": {"compressors": None},
    "gzip": {"compressors": zarr.codecs.GzipCodec()},
    "zstd with a checksum": {"compressors": zarr.codecs.ZstdCodec(checksum=True)},
    "blosc": {"compressors": zarr.codecs.BloscCodec(cname="lz4", shuffle="bitshuffle")},
    "blosc and crc32c": {"compressors": [zarr.codecs.BloscCodec(), zarr.codecs.Crc32cCodec()]},
    "big-endian": {"serializer": zarr.codecs.BytesCodec(endian="big")},
    "transposed": {"filters": zarr.codecs.TransposeCodec(order=(2, 0, 1))},
    "transposed twice": {
        "filters": [
            zarr.codecs.TransposeCodec(order=(2, 0, 1)),
            zarr.codecs.TransposeCodec(order=(1, 0, 2)),
        ]
    },
    "keys with dots": {"chunk_key_encoding": {"name": "default", "separator": "."}},
    "keys of version 2": {"chunk_key_encoding": {"name": "v2", "separator": "/"}},
    "shards": {"shards": (8, 12, 6)},
    "shards of one": {"shards": (4, 6, 3), "compressors": None},
    "a shard": {"shards": (32, 12, 6)},
}


def sharded(location: str, *, checked: bool = True) -> Any:
    index = [zarr.codecs.BytesCodec(), *([zarr.codecs.Crc32cCodec()] if checked else [])]
    return zarr.codecs.ShardingCodec(
        chunk_shape=(4, 6, 3),
        index_location=location,
        index_codecs=index,
        codecs=[
            zarr.codecs.TransposeCodec(order=(1, 2, 0)),
            zarr.codecs.BytesCodec(endian="big"),
            zarr.codecs.GzipCodec(),
        ],
    )


@pytest.mark.parametrize("name", V3)
def test_version_3(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=3)
    for dtype in ("u1", "f4", "i8"):
        array = group.create_array(
            f"data/{dtype}",
            shape=(ROWS, 12, 6),
            chunks=(4, 6, 3),
            dtype=dtype,
            fill_value=3,
            **V3[name],
        )
        array[:11] = smooth(11, 12, 6)
        array[25:, 3:] = 9
    group.create_array("data/obs/state", shape=(ROWS, 2), chunks=(9, 2), dtype="f8")[:] = 1.5
    write_ends(group)
    check(path, opened(path))


@pytest.mark.parametrize("location", ["start", "end"])
@pytest.mark.parametrize("checked", [False, True])
def test_shards_as_they_may_be(tmp_path: Path, location: str, checked: bool) -> None:
    path = tmp_path / "a.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=3)
    array = zarr.create_array(
        path / "data/x",
        shape=(ROWS, 12, 6),
        chunks=(8, 12, 6),
        dtype="f4",
        serializer=sharded(location, checked=checked),
        compressors=None,
        filters=None,
    )
    array[:11] = smooth(11, 12, 6)
    array[25:, 3:] = 9
    write_ends(group)
    zarr.open_group(path / "data", mode="a", zarr_format=3)
    check(path, opened(path))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archives(tmp_path: Path, version: Any, method: int) -> None:
    path = tmp_path / "replay.zarr.zip"
    with zarr.storage.ZipStore(path, mode="w", compression=method) as store:
        group = zarr.open_group(store, mode="w", zarr_format=version)
        for name, codec in (("packed", "auto"), ("plain", None)):
            array = group.create_array(
                f"data/{name}",
                shape=(ROWS, 12, 10, 3),
                chunks=(4, 12, 5, 3),
                dtype="u1",
                compressors=codec,
            )
            array[2:] = smooth(ROWS - 2, 12, 10, 3)
            group.create_array(
                f"data/{name} state", shape=(ROWS, 2), chunks=(4, 2), dtype="f4", compressors=codec
            )[:] = RNG.random((ROWS, 2))
        if version == 3 and method == zipfile.ZIP_STORED:
            group.create_array(
                "data/shards", shape=(ROWS, 6), chunks=(2, 3), shards=(10, 6), dtype="f4"
            )[3:25] = 1.5
        write_ends(group)
    dataset = opened(path)
    assert dataset.name == "replay"
    check(path, dataset)
    assert opened(path).catalog_path.endswith(".replay.zarr.zip.robocache.sqlite")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("codec", [None, numcodecs.Zlib()])
def test_a_changed_bit_of_an_archive_is_never_another_value(
    tmp_path: Path, method: int, codec: Any
) -> None:
    """Its CRC tells of every chunk that is packed, by the archive or before; and of metadata."""
    path = tmp_path / "a.zarr.zip"
    with zarr.storage.ZipStore(path, mode="w", compression=method) as store:
        group = zarr.open_group(store, mode="w", zarr_format=2)
        for name, width in (("x", 1100), ("column", 6)):
            group.create_array(
                f"data/{name}",
                shape=(ROWS, width),
                chunks=(9, width),
                dtype="f4",
                compressors=codec,
            )[:] = RNG.random((ROWS, width))
        write_ends(group)
    data = path.read_bytes()
    is_in_place = method == zipfile.ZIP_STORED and codec is None
    for member, is_read in (
        ("data/x/1.0", not is_in_place),
        ("data/column/1.0", not is_in_place),
        ("data/x/.zarray", True),
        ("meta/episode_ends/0", not is_in_place),
    ):
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(member)
        begin = info.header_offset + 30 + len(member)
        assert data[begin - len(member) : begin] == member.encode()
        end = begin + info.compress_size - 1  # the last byte may have bits that nothing reads
        for at in RNG.integers(begin, end, 12 if is_read else 0).tolist():
            changed = bytearray(data)
            changed[at] ^= 1 << RNG.integers(8)
            other = tmp_path / "b.zarr.zip"
            other.write_bytes(changed)
            with pytest.raises(rc.errors.FormatError, match=r"b\.zarr\.zip"):
                [e[name].read() for e in opened(other, rebuild=True) for name in ("x", "column")]
    check(path, opened(path))


def test_an_archive_of_a_folder_and_members_that_are_written_again(tmp_path: Path) -> None:
    """As `zip -r` makes it, with the folder's name before all names; the last of a name counts."""
    path = write_v2(tmp_path / "replay.zarr")
    archive = tmp_path / "replay.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.mkdir("replay.zarr")
        chunk = path / "data/state_20/0.0"
        file.writestr("replay.zarr/data/state_20/0.0", bytes(len(chunk.read_bytes())))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the member that is there twice
            for each in sorted(path.rglob("*")):
                file.write(each, f"replay.zarr/{each.relative_to(path)}")
    dataset, folder = opened(archive), opened(path)
    for name in dataset.streams:
        for one, other in zip(dataset, folder, strict=True):
            np.testing.assert_array_equal(one[name].values, other[name].values, strict=True)


def test_umi_s_images_are_jpeg_xl(tmp_path: Path) -> None:
    """A chunk a frame, as a lossless image, a lossy one, and frames of one."""
    codecs = pytest.importorskip("imagecodecs")
    from imagecodecs.numcodecs import Jpegxl, register_codecs

    register_codecs("imagecodecs_jpegxl", verbose=False)
    path = tmp_path / "umi.zarr.zip"
    frames = smooth(ROWS, 24, 32, 3)
    with zarr.storage.ZipStore(path, mode="w") as store:
        group = zarr.open_group(store, mode="w", zarr_format=2)
        for name, rows, codec in (
            ("camera0_rgb", 1, Jpegxl(lossless=True)),
            ("lossy_rgb", 1, Jpegxl(level=99)),
            ("frames", 4, Jpegxl(lossless=True)),
            ("grey", 1, Jpegxl(lossless=True)),
        ):
            values = frames[..., :1] if name == "grey" else frames
            array = group.create_array(
                f"data/{name}",
                shape=values.shape,
                chunks=(rows, *values.shape[1:]),
                dtype="u1",
                compressors=codec,
            )
            array[:] = values
        state = group.create_array(
            "data/robot0_eef_pos", shape=(ROWS, 3), chunks=(ROWS, 3), dtype="f4", compressors=None
        )
        state[:] = RNG.random((ROWS, 3))
        write_ends(group, compressors=None)
    dataset = opened(path)
    assert dataset.streams["camera0_rgb"].kind == "image"
    whole = {name: np.concatenate([e[name].values for e in dataset]) for name in dataset.streams}
    for name in ("camera0_rgb", "frames"):
        np.testing.assert_array_equal(whole[name], frames, strict=True)
    np.testing.assert_array_equal(whole["grey"], frames[..., :1], strict=True)
    for row, pixels in enumerate(whole["lossy_rgb"]):
        begin = [0, *ENDS][np.searchsorted(ENDS, row, side="right")]
        encoded = dataset[int(np.searchsorted(ENDS, row, side="right"))]["lossy_rgb"].raw(
            row - begin
        )
        decoded = codecs.jpegxl_decode(encoded)
        assert abs(pixels.astype(int) - decoded).max() <= 1  # another version of libjxl
    loader = rc.DataLoader(
        dataset, 6, shuffle=True, array="numpy", streams=["camera0_rgb", "frames"]
    )
    for batch in loader:
        rows = [
            [0, *ENDS][e] + s
            for e, s in zip(batch["episode_index"], batch["step_index"], strict=True)
        ]
        np.testing.assert_array_equal(batch["camera0_rgb"][:, 0], frames[rows])
        np.testing.assert_array_equal(batch["frames"][:, 0], frames[rows])


def test_what_is_said_of_each_episode_is_its_metadata(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("data/x", shape=(ROWS, 2), chunks=(9, 2), dtype="f8")[:] = 1.5
    write_ends(group)
    group.create_array("meta/success", shape=3, chunks=3, dtype="?")[:] = [True, False, True]
    group.create_array("meta/goal", shape=(3, 2), chunks=(2, 2), dtype="f4")[:] = [
        [1, 2],
        [np.nan, np.inf],
        [3, 4],
    ]
    group.create_array("meta/other", shape=4, chunks=3, dtype="i4")[:] = 1
    assert [episode.metadata for episode in opened(path)] == [
        {"goal": [1, 2], "success": True},
        {"goal": [None, None], "success": False},
        {"goal": [3, 4], "success": True},
    ]


def test_what_is_appended_is_indexed_when_it_is_opened(tmp_path: Path) -> None:
    path = write_v2(tmp_path / "a.zarr")
    assert len(opened(path)) == 3
    group = zarr.open_group(path, mode="a")
    for _, array in group["data"].arrays():
        array.resize((ROWS + 5, *array.shape[1:]))
        array[ROWS:] = 1
    group["meta/episode_ends"].resize((4,))
    group["meta/episode_ends"][3] = ROWS + 5
    check(path, opened(path), [*ENDS, ROWS + 5])


def test_small_arrays_are_columns_and_large_ones_stay(tmp_path: Path) -> None:
    path = write_v2(tmp_path / "a.zarr")
    dataset = opened(path)
    wanted = {name: dataset[2][name].values for name in ("state_0", "image_0", "state_20")}
    for folder in ("state_0", "image_0", "state_20"):
        for chunk in (path / "data" / folder).glob("[0-9]*"):
            os.truncate(chunk, 1)
    again = opened(path)
    np.testing.assert_array_equal(again[2]["state_0"].values, wanted["state_0"])
    for name in ("image_0", "state_20"):
        with pytest.raises(rc.Error, match=f"data/{name}/"):
            again[2][name].read()


# ---- declared layouts ---------------------------------------------------------------------------


def test_a_declared_layout(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=3)
    depth = RNG.integers(0, 5000, (ROWS, 6, 8, 1)).astype("u2")
    group.create_array("cameras/depth", shape=depth.shape, chunks=(4, 6, 8, 1), dtype="u2")[:] = (
        depth
    )
    group.create_array("qpos", shape=(ROWS, 3), chunks=(7, 3), dtype="i4")[:] = np.arange(
        90
    ).reshape(30, 3)
    group.create_array("ends", shape=2, chunks=2, dtype="i4")[:] = [10, 30]
    with pytest.raises(
        rc.errors.FormatError, match=r"meta/episode_ends: found no array .*drafts one"
    ):
        rc.open(path, progress=False)
    drafted = pytest.importorskip("tomllib").loads(draft_mapping(str(path)))
    streams = {"cameras/depth": "cameras/depth", "qpos": "qpos"}
    assert drafted == {"format": "zarr", "episode_ends": "ends", "streams": streams}
    found = rc.open(path, progress=False, mapping=drafted)
    assert [episode.num_steps for episode in found] == [10, 20]
    mapping = {
        "format": "zarr",
        "rate_hz": 15,
        "episode_ends": "ends",
        "streams": {
            "depth": {"path": "cameras/depth", "unit": "m", "scale": 0.001},
            "observation/state": {"path": "qpos", "unit": "rad", "scale": 0.5},
            "depth numbers": {"path": "cameras/depth", "kind": "numeric"},
        },
    }
    with pytest.raises(rc.errors.InvalidArgumentError, match="float32 or float64 with scale"):
        rc.open(path, progress=False, mapping=mapping)
    mapping["streams"]["observation/state"] = "qpos"  # type: ignore[index]
    dataset = rc.open(path, progress=False, mapping=mapping)
    assert dataset.control_rate_hz == 15
    assert [episode.num_steps for episode in dataset] == [10, 20]
    info = dataset.streams["depth"]
    assert (info.kind, info.unit, info.scale) == ("image", "m", 0.001)
    np.testing.assert_array_equal(dataset[1]["depth"].values, depth[10:])
    np.testing.assert_array_equal(dataset[1]["depth numbers"].values, depth[10:])
    np.testing.assert_array_equal(dataset[0]["observation/state"].values[:, 1], np.arange(1, 31, 3))
    del mapping["episode_ends"]
    assert [episode.num_steps for episode in rc.open(path, progress=False, mapping=mapping)] == [30]
    for key, message in (("streams", "streams"), ("episode_end", "found 'episode_end', wanted")):
        with pytest.raises(rc.Error, match=message):
            rc.open(path, progress=False, mapping={"format": "zarr", key: 3})
    with pytest.raises(rc.errors.FormatError, match="nowhere: found no array"):
        rc.open(path, progress=False, mapping={"format": "zarr", "streams": {"a": "nowhere"}})


# ---- damage -------------------------------------------------------------------------------------


def one_array(path: Path, version: Any = 2, **options: Any) -> Path:
    group = zarr.open_group(path, mode="w", zarr_format=version)
    defaults = {"shape": (ROWS, 3), "chunks": (4, 3), "dtype": "f4"}
    array = group.create_array("data/x", **{**defaults, **options})
    array[:] = RNG.random(array.shape)
    write_ends(group)
    return path


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


def test_many_chunks_take_few_bytes_of_the_catalog(tmp_path: Path) -> None:
    """Names are asked for one by one, and blobs told by template: no table of names."""
    path = one_array(tmp_path / "a.zarr", shape=(2_000, 2), chunks=(1, 2), compressors=None)
    write_ends(zarr.open_group(path, mode="a"), [2_000], overwrite=True)
    dataset = opened(path)
    assert index_bytes(dataset) < 2_000 * 8
    np.testing.assert_array_equal(dataset[0]["x"].values, zarr.open_group(path)["data/x"][:])


def test_the_page_on_zarr_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pusht.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    for name, shape in (("img", (96, 96, 3)), ("state", (5,)), ("action", (2,))):
        group.create_array(f"data/{name}", shape=(ROWS, *shape), chunks=(9, *shape), dtype="f4")[
            :
        ] = 1.5
    write_ends(group)
    other = zarr.open_group(tmp_path / "other.zarr", mode="w")
    other.create_array("qpos", shape=(20, 3), chunks=(7, 3), dtype="f4")[:] = 1
    other.create_array("cameras/front", shape=(20, 6, 8, 3), chunks=(4, 6, 8, 3), dtype="u1")[:] = 1
    other.create_array("ends", shape=2, chunks=2, dtype="i4")[:] = [10, 20]
    monkeypatch.chdir(tmp_path)
    names = run_page(DOCS / "zarr.md")
    assert names["batch"]["action"].shape == (8, 16, 2)
