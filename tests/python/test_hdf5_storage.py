"""However HDF5 stores values, streams hold what h5py reads; what cannot be read is named."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc

h5py = pytest.importorskip("h5py")

from tests.python.hdf5_files import check_against_h5py, episodes_of, numbers, pixels, write_demos

STEPS = 21


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBOCACHE_CACHE", str(tmp_path_factory.mktemp("cache")))


def write(path: Path, fill: Callable[[Any], None], **options: Any) -> None:
    """Writes two demos, of which `fill` writes all but the actions."""
    with h5py.File(path, "w", **options) as file:
        for number in range(2):
            demo = file.create_group(f"data/demo_{number}")
            demo["actions"] = numbers(STEPS, 4) + number
            fill(demo)


def check(path: Path, **options: Any) -> rc.Dataset:
    dataset = rc.open(path, **options)
    check_against_h5py(dataset, [(path, group) for group in episodes_of(path)])
    return dataset


def low_level(
    demo: Any, name: str, values: Any, set_up: Callable[[Any], object], fill: bool = True
) -> None:
    """Writes a dataset whose creation properties are made by hand."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    set_up(plist)
    space = h5py.h5s.create_simple(values.shape)
    dtype = h5py.h5t.py_create(values.dtype)
    made = h5py.h5d.create(demo.id, name.encode(), dtype, space, plist)
    if fill:
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, values)


STORED: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunked": {"chunks": True},
    "chunks along the first axis": {"chunks": "rows"},
    "gzip": {"chunks": True, "compression": "gzip"},
    "lzf": {"chunks": True, "compression": "lzf"},
    "shuffle": {"chunks": True, "shuffle": True, "compression": "gzip"},
    "fletcher32": {"chunks": True, "fletcher32": True},
    "all": {"chunks": True, "shuffle": True, "compression": "lzf", "fletcher32": True},
    "extensible": {"chunks": True, "maxshape": "any"},
}
DTYPES = (
    "uint8",
    "int8",
    "<u2",
    ">u2",
    "<i4",
    ">i4",
    "<i8",
    "<u8",
    "<f2",
    "<f4",
    ">f4",
    "<f8",
    ">f8",
)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("stored", STORED)
def test_storage(tmp_path: Path, stored: str, libver: str) -> None:
    path = tmp_path / "demo.hdf5"
    with h5py.File(path, "w", libver=libver, userblock_size=512) as file:
        for number, steps in ((0, STEPS), (1, 40), (3, 7)):
            demo = file.create_group(f"data/demo_{number}")
            values = {
                "actions": numbers(steps, 4) + number,
                "rewards": numbers(steps, dtype="f8"),
                "dones": np.arange(steps) % 3 == 0,
                "obs/heavy": numbers(steps, 30, 41),  # more than a column takes
                "obs/image": pixels(steps, 24, 32, 3),
                "obs/gray": pixels(steps, 24, 32, 1),
                "obs/depth": numbers(steps, 24, 32, 1, dtype="u2"),
                "obs/distance": numbers(steps, 24, 32, 1),
                **{f"obs/{dtype}": numbers(steps, 2, 3, dtype=dtype) for dtype in DTYPES},
            }
            for name, each in values.items():
                options = dict(STORED[stored])
                if options.get("chunks") == "rows":
                    options["chunks"] = (5, *each.shape[1:])
                if options.get("maxshape") == "any":
                    options["maxshape"] = (None, *each.shape[1:])
                demo.create_dataset(name, data=each, **options)
    dataset = check(path)
    kinds = {info.name: info.kind for info in dataset.streams.values()}
    assert {name for name, kind in kinds.items() if kind == "image"} == {
        "obs/image",
        "obs/gray",
        "obs/depth",
    }


def test_numbers_stay_where_they_lie_in_a_large_file_of_numbers(tmp_path: Path) -> None:
    path = tmp_path / "small.hdf5"
    write_demos(path, {0: 400, 1: 300}, image=None, chunks=True, compression="gzip")
    assert column_bytes(rc.open(path)) > 30_000
    path = tmp_path / "large.hdf5"
    actions = numbers(280_000, 64)  # past what is copied whatever it holds
    with h5py.File(path, "w") as file:
        demo = file.create_group("data/demo_0")
        demo.create_dataset("actions", data=actions, chunks=(4000, 64), fletcher32=True)
    dataset = rc.open(path)
    assert column_bytes(dataset) == 0
    np.testing.assert_array_equal(
        dataset[0]["actions"].read(123_456, 9000), actions[123_456:132_456]
    )


def column_bytes(dataset: rc.Dataset) -> int:
    return sum(file.stat().st_size for file in Path(f"{dataset.catalog_path}.columns").glob("*"))


def test_compact(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"

    def fill(demo: Any) -> None:
        low_level(demo, "state", numbers(STEPS, 3), lambda p: p.set_layout(h5py.h5d.COMPACT))
        low_level(demo, "image", pixels(STEPS, 8, 8, 3), lambda p: p.set_layout(h5py.h5d.COMPACT))

    write(path, fill)
    dataset = check(path)
    assert "state" in dataset.streams
    assert "image" not in dataset.streams
    assert "image (images in an object header (compact))" in dataset.notes[0]


def test_holes_and_fill_values(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"

    def fill(demo: Any) -> None:
        for name, options in {
            "gzip": {"chunks": (4, 3), "compression": "gzip"},
            "chunked": {"chunks": (4, 3)},
            "never written": {"chunks": (4, 3)},
            "not allocated": {},
        }.items():
            made = demo.create_dataset(name, (STEPS, 3), "f4", fillvalue=-2.5, **options)
            if name in ("gzip", "chunked"):
                made[5:7] = 1
        sparse = demo.create_dataset("image", (STEPS, 16, 16, 3), "u1", chunks=True, fillvalue=9)
        sparse[10] = 200
        demo.create_dataset("whole", (STEPS, 16, 16, 3), "u1", fillvalue=7)
        demo.create_dataset("huge", (STEPS, 70, 70, 4), "f4", fillvalue=7)

        def undefined(plist: Any) -> None:
            plist.set_chunk((4, 3))
            plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)

        low_level(demo, "undefined", np.zeros((STEPS, 3), "f4"), undefined, fill=False)

    write(path, fill)
    check(path)


def test_filters_left_out_of_single_chunks(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    image = pixels(STEPS, 16, 16, 3)

    def fill(demo: Any) -> None:
        made = demo.create_dataset(
            "image", image.shape, "u1", chunks=(7, 16, 16, 3), compression="gzip", shuffle=True
        )
        raw = image[0:7].tobytes()
        made.id.write_direct_chunk((0, 0, 0, 0), zlib.compress(raw), 1)
        made.id.write_direct_chunk((7, 0, 0, 0), image[7:14].tobytes(), 3)
        made[14:] = image[14:]

    write(path, fill)
    check(path)


def test_many_axes_and_none(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"

    def fill(demo: Any) -> None:
        demo["seven"] = numbers(STEPS, 1, 2, 1, 2, 1, 2, 3)
        demo["nine"] = numbers(STEPS, 1, 2, 1, 2, 1, 2, 1, 2, 3)
        demo["scalar"] = 3.5
        demo["null"] = h5py.Empty("f4")
        demo["empty"] = np.zeros((STEPS, 0))

    write(path, fill)
    dataset = check(path)
    assert set(dataset.streams) == {"actions", "seven"}
    assert dataset[0].metadata["scalar"] == 3.5
    note = dataset.notes[0]
    for what in (
        "nine (has 9 axes a sample",
        "null (holds nothing",
        "empty ([21, 0] has no values",
    ):
        assert what in note


# ---- types --------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [None, True])
def test_compounds(tmp_path: Path, chunks: bool | None) -> None:
    path = tmp_path / "demo.hdf5"
    dtype = np.dtype(
        [("t", "<i8"), ("pose", "<f4", (7,)), ("grip", "?"), ("name", "S4"), ("big", ">f8")]
    )

    def fill(demo: Any) -> None:
        table = np.zeros(STEPS, dtype)
        table["t"] = np.arange(STEPS) * 10
        table["pose"] = numbers(STEPS, 7)
        table["grip"] = np.arange(STEPS) % 2
        table["big"] = numbers(STEPS)
        demo.create_dataset("robot", data=table, chunks=chunks)

    write(path, fill)
    dataset = rc.open(path)
    assert set(dataset.streams) == {"actions", "robot/t", "robot/pose", "robot/grip", "robot/big"}
    for e, episode in enumerate(dataset):
        with h5py.File(path) as file:
            table = file[f"data/demo_{e}/robot"][()]
        for name in ("t", "pose", "grip", "big"):
            values = episode[f"robot/{name}"].values
            np.testing.assert_array_equal(values, table[name].astype(values.dtype))
            assert values.dtype == table[name].dtype.newbyteorder("=")


def test_text_and_enums(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    texts = [f"schritt {i % 3} ä" for i in range(STEPS)]

    def fill(demo: Any) -> None:
        demo["subtask"] = texts
        demo["fixed"] = np.array([text.encode() for text in texts])
        demo["language_instruction"] = "put the cup down"
        color = h5py.enum_dtype({"RED": 0, "GREEN": 1}, basetype="i2")
        demo.create_dataset("color", data=np.arange(STEPS) % 2, dtype=color)

    write(path, fill)
    dataset = check(path)
    assert dataset[1]["subtask"].values == texts
    assert dataset.streams["color"].dtype == "int16"
    assert dataset[0].task == "put the cup down"


# ---- filters that are not read in place ---------------------------------------------------------


def test_numbers_behind_other_filters_are_copied(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"

    def fill(demo: Any) -> None:
        demo.create_dataset("state", data=numbers(STEPS, 3, dtype="i4"), chunks=True, scaleoffset=0)

    write(path, fill)
    check(path)


@pytest.mark.parametrize(
    ("filter_", "says"),
    [
        (lambda plist: plist.set_scaleoffset(h5py.h5z.SO_INT, 8), "scaleoffset"),
        (lambda plist: plist.set_filter(4, h5py.h5z.FLAG_OPTIONAL, (141, 8)), "szip"),
        (lambda plist: plist.set_filter(32013, h5py.h5z.FLAG_OPTIONAL, ()), "zfp"),
        (lambda plist: plist.set_filter(307, h5py.h5z.FLAG_OPTIONAL, (9,)), None),
        (lambda plist: plist.set_filter(40123, h5py.h5z.FLAG_OPTIONAL, ()), "(40123)"),
    ],
    ids=["scaleoffset", "szip", "zfp", "bzip2", "unknown"],
)
def test_images_behind_other_filters_are_named(
    tmp_path: Path, filter_: Callable[[Any], None], says: str | None
) -> None:
    import bz2

    path = tmp_path / "demo.hdf5"
    image = pixels(STEPS, 16, 16, 3)

    def fill(demo: Any) -> None:
        def set_up(plist: Any) -> None:
            plist.set_chunk((7, 16, 16, 3))
            filter_(plist)

        low_level(demo, "image", image, set_up, fill=False)
        for first in (0, 7, 14):
            packed = bz2.compress(image[first : first + 7].tobytes())
            demo["image"].id.write_direct_chunk((first, 0, 0, 0), packed, 0)

    write(path, fill)
    if says is None:
        np.testing.assert_array_equal(rc.open(path)[0]["image"].values, image)
        return
    with pytest.raises(rc.errors.FormatError) as raised:
        rc.open(path)
    for what in (str(path), "/data/demo_0/image", "filter ", says):
        assert what in str(raised.value)


# ---- links --------------------------------------------------------------------------------------


def test_links_within_the_folder(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with h5py.File(tmp_path / "other/images.bin", "w") as file:
        for number in range(2):
            file[f"images_{number}"] = pixels(STEPS, 16, 16, 3)
            packed = {"chunks": True, "compression": "gzip"}
            file.create_dataset(f"packed_{number}", data=pixels(STEPS, 16, 16, 3), **packed)
    path = tmp_path / "demo.hdf5"

    def fill(demo: Any) -> None:
        number = demo.name[-1]
        demo["hard"] = demo["actions"]
        demo["soft"] = h5py.SoftLink(f"{demo.name}/actions")
        demo["image"] = h5py.ExternalLink("other/images.bin", f"/images_{number}")
        demo["packed"] = h5py.ExternalLink("other/images.bin", f"/packed_{number}")
        external = [(f"raw_{number}.bin", 16, STEPS * 12)]
        made = demo.create_dataset("raw", (STEPS, 3), "f4", external=external)
        assert made.external

    os.chdir(tmp_path)
    for number in range(2):
        raw = bytes(16) + (numbers(STEPS, 3) + number).tobytes()
        (tmp_path / f"raw_{number}.bin").write_bytes(raw)
    write(path, fill)
    dataset = check(path)
    assert {"hard", "soft", "image", "packed", "raw"} < set(dataset.streams)
    assert dataset.verify().num_files == 4


@pytest.mark.parametrize("kind", ["link", "external"])
def test_links_out_of_the_folder_are_refused(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "dataset"
    folder.mkdir()
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["image"] = pixels(STEPS, 16, 16, 3)
    path = folder / "demo.hdf5"

    def fill(demo: Any) -> None:
        if kind == "link":
            demo["image"] = h5py.ExternalLink("../secret.h5", "/image")
        else:
            bytes_ = STEPS * 16 * 16 * 3
            external = [(str(tmp_path / "secret.h5"), 0, bytes_)]
            demo.create_dataset("image", (STEPS, 16, 16, 3), "u1", external=external)

    write(path, fill)
    if kind == "link":
        dataset = rc.open(path)
        assert set(dataset.streams) == {"actions"}
        assert f"image (/data/demo_0/image: lies in '{tmp_path}/secret.h5'" in dataset.notes[0]
    else:
        with pytest.raises(rc.errors.FormatError, match=r"image: lies in '.*secret\.h5', wanted"):
            rc.open(path)


@pytest.mark.parametrize("kind", ["link", "group", "external", "small", "view"])
def test_pipes_are_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "demo.hdf5"
    os.mkfifo(tmp_path / "pipe")

    def fill(demo: Any) -> None:
        if kind in ("link", "group"):
            demo["obs" if kind == "group" else "image"] = h5py.ExternalLink("pipe", "/image")
        elif kind == "view":
            layout = h5py.VirtualLayout(shape=(3,), dtype="f4")
            layout[:] = h5py.VirtualSource(str(tmp_path / "pipe"), "x", shape=(3,))
            demo.create_virtual_dataset("view", layout)
        else:
            shape = (STEPS, 32) if kind == "external" else (3,)
            external = [(str(tmp_path / "pipe"), 0, h5py.h5s.UNLIMITED)]
            demo.create_dataset("raw", shape, "u1", external=external)

    write(path, fill, libver="latest")
    try:
        dataset = rc.open(path)
    except rc.errors.FormatError as error:
        told = str(error)
    else:
        told = " ".join(dataset.notes)
    assert any(name in told for name in ("image", "obs", "raw", "view"))


def test_cycles_and_broken_links(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"

    def fill(demo: Any) -> None:
        demo["up"] = demo
        demo["self"] = h5py.SoftLink(f"{demo.name}/self")
        demo["nowhere"] = h5py.SoftLink("/not/here")
        demo["no file"] = h5py.ExternalLink("absent.h5", "/x")
        again = demo.create_group("obs")
        again["root"] = demo.file["/"]
        again["pos"] = numbers(STEPS, 3)

    write(path, fill)
    dataset = check(path)
    assert set(dataset.streams) == {"actions", "obs/pos"}
    note = dataset.notes[0]
    for what in (
        "up (is a link to what it lies in)",
        "nowhere (/data/demo_0/nowhere: links to '/not/here', which is not there)",
        "links to '/x' in 'absent.h5', which is not there",
    ):
        assert what in note


def test_virtual_datasets_are_named(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"

    def fill(demo: Any) -> None:
        layout = h5py.VirtualLayout(shape=(STEPS, 4), dtype="f4")
        layout[:] = h5py.VirtualSource(demo["actions"])
        demo.create_virtual_dataset("view", layout)

    write(path, fill, libver="latest")
    dataset = check(path)
    assert set(dataset.streams) == {"actions"}
    assert "view (is a virtual dataset)" in dataset.notes[0]


# ---- files that others have open ----------------------------------------------------------------


def test_a_file_that_is_open_elsewhere_is_read_without_a_lock_h1(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    write_demos(path, {0: 5, 1: 6})
    with h5py.File(path, "a") as file:
        file["data"].attrs["x"] = 1
        file.flush()
        assert len(rc.open(path)) == 2
    hold = "import h5py, sys; f = h5py.File(sys.argv[1], 'a'); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        check(path)
        holder.kill()


def test_no_handle_is_shared_by_workers_h1(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "demo.hdf5"
    write_demos(path, {0: 30, 1: 26}, chunks=True, compression="gzip")
    dataset = rc.open(path, control_rate_hz=10)
    loader = rc.DataLoader(dataset, batch_size=4, shuffle=True, seed=3, streams=["obs/eef_pos"])
    alone = torch.cat([batch["obs/eef_pos"] for batch in loader])
    loader = rc.DataLoader(dataset, batch_size=4, shuffle=True, seed=3, streams=["obs/eef_pos"])
    workers = torch.utils.data.DataLoader(loader, batch_size=None, num_workers=2)
    assert torch.equal(torch.cat([batch["obs/eef_pos"] for batch in workers]), alone)


def test_a_writer_that_did_not_close_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    crash = (
        "import h5py, os, sys; f = h5py.File(sys.argv[1], 'w', libver='latest');"
        "f['data/demo_0/actions'] = [[1.0], [2.0]]; f.flush(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", crash, path], check=True)
    with pytest.raises(rc.errors.FormatError, match=r"ended without closing it; h5clear -s"):
        rc.open(path)


# ---- a chunk costs what it takes ----------------------------------------------------------------


def test_a_chunk_is_unpacked_once_while_it_is_hot_h2(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    with h5py.File(path, "w") as file:
        for number in range(4):
            demo = file.create_group(f"data/demo_{number}")
            demo["actions"] = numbers(64, 4)
            options = {"chunks": (32, 24, 24, 3), "compression": "gzip"}
            demo.create_dataset("obs/image", data=pixels(64, 24, 24, 3), **options)
    dataset = rc.open(path, control_rate_hz=10)
    loader = rc.DataLoader(dataset, batch_size=16, shuffle=True, streams=["obs/image"])
    for _ in loader:
        pass
    stats = loader.stats()
    assert stats["blocks_read"] <= 8
    assert stats["unpack_factor_global"] == 1


def test_many_chunks(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    count = 50_000
    packed = zlib.compress(numbers(32, 40).tobytes(), 1)
    with h5py.File(path, "w") as file:
        demo = file.create_group("data/demo_0")
        demo["actions"] = np.zeros((count, 1), "u1")
        options = {"shape": (count, 32, 40), "dtype": "f4", "chunks": (1, 32, 40)}
        made = demo.create_dataset("obs/grid", compression="gzip", **options)
        for row in range(count):
            made.id.write_direct_chunk((row, 0, 0), packed, 0)
    dataset = rc.open(path)
    values = dataset[0]["obs/grid"].read(count - 3, 3)
    np.testing.assert_array_equal(values[2], numbers(32, 40))
