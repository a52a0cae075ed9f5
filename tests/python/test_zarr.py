"""Zarr: values are those that zarr reads, in every way in which zarr writes them."""

from __future__ import annotations

import itertools
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from robocache.formats.builtin import draft_mapping
from tests.python.fitting import index_bytes
from tests.python.test_docs import DOCS, run_page
from tests.python.zarr_sets import ENDS, RNG, ROWS, check, one_array, opened, smooth, write_ends

zarr = pytest.importorskip("zarr")
numcodecs = pytest.importorskip("numcodecs")


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
