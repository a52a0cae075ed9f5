"""Units and value maps of streams: value = scale * stored + offset."""

from __future__ import annotations

import io
import sqlite3
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python.wire_bytes import varint

STEPS = [5, 0, 3, 7]  # of the episodes of every dataset here
TOTAL = sum(STEPS)
FIRST = np.cumsum([0, *STEPS[:-1]])
RNG = np.random.default_rng(5)
FLOATS = RNG.normal(size=(TOTAL, 4)).astype("f4")
FLOATS[2, 1:] = np.nan, np.inf, -0.0
LARGE = np.array([2**53 + 1, 2**62 + 3, -(2**63), 2**63 - 1] * TOTAL).reshape(TOTAL, 4)


def ints(dtype: str, shape: tuple[int, ...] = (4,)) -> Any:
    limits = np.iinfo(dtype)
    kept = RNG.integers(limits.min, limits.max, (TOTAL, *shape), np.dtype(dtype).newbyteorder("="))
    return np.asarray(kept, dtype)


def varints(numbers: Any) -> bytes:
    return b"".join(varint(int(number)) for number in np.ravel(numbers))


def npy(sample: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, sample)
    return file.getvalue()


# ---- how samples `stored` [N, *shape] may lie, of which `file` gets the bytes -------------------


def rows(part: rc.Part, file: Path, stored: Any) -> Any:
    file.write_bytes(b"head" + stored.tobytes())
    return rc.Rows(offset=4 + FIRST * stored[0].nbytes)


def strided(part: rc.Part, file: Path, stored: Any) -> Any:
    file.write_bytes(b"".join(sample.tobytes() + b"gap" for sample in stored))
    stride = stored[0].nbytes + 3
    return rc.Rows(offset=FIRST * stride, stride=stride)


def block(part: rc.Part, file: Path, stored: Any) -> Any:
    packed = zlib.compress(stored.tobytes())
    file.write_bytes(packed)
    number = part.block(
        offset=0, bytes=len(packed), unpacked_bytes=stored.nbytes, packing=part.packing(["zlib"])
    )
    return rc.Rows(offset=FIRST * stored[0].nbytes, block=number)


def chunks(part: rc.Part, file: Path, stored: Any) -> Any:
    """Chunks of four rows, of which the first is absent: `stored` has zeros there."""
    cut = [stored[at : at + 4] for at in range(0, TOTAL, 4)]
    full = [np.concatenate([c, np.zeros_like(stored)])[:4].tobytes() for c in cut]
    packed = [b"", *(zlib.compress(chunk) for chunk in full[1:])]
    sizes = np.array([len(chunk) for chunk in packed])
    file.write_bytes(b"".join(packed))
    array = part.array(
        shape=stored.shape,
        chunks=(4, *stored.shape[1:]),
        dtype=stored.dtype,
        packing=part.packing(["zlib"]),
        offsets=np.cumsum(sizes) - sizes,
        sizes=sizes,
    )
    return rc.ArrayRows(array, first=FIRST)


def pieces(file: Path, samples: list[bytes], packing: Any = None) -> Any:
    sizes = np.array([len(sample) for sample in samples])
    file.write_bytes(b"".join(samples))
    return rc.Pieces(offset=np.cumsum(sizes) - sizes, bytes=sizes, packing=packing)


def packed_pieces(part: rc.Part, file: Path, stored: Any) -> Any:
    samples = [zlib.compress(sample.tobytes()) for sample in stored]
    return pieces(file, samples, part.packing(["zlib"]))


def npy_pieces(part: rc.Part, file: Path, stored: Any) -> Any:
    return pieces(file, [npy(sample) for sample in stored])


def varint_pieces(part: rc.Part, file: Path, stored: Any) -> Any:
    return pieces(file, [varints(sample) for sample in stored])


def column(part: rc.Part, file: Path, stored: Any) -> Any:
    file.write_bytes(b"not read")
    return rc.Column(stored)


ZEROS_FIRST = np.concatenate([np.zeros((4, 4), "i2"), ints("i2")[4:]])
MILLI: dict[str, Any] = {"dtype": "float32", "scale": 0.001, "unit": "m"}
BIG: dict[str, Any] = {**MILLI, "encoding": "swapped"}
PLACES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "int16 big-endian": (rows, ints(">i2"), {**BIG, "stored": "int16"}),
    "int16 big-endian with a stride": (strided, ints(">i2"), {**BIG, "stored": "int16"}),
    "float64 big-endian": (rows, FLOATS.astype(">f8"), {**BIG, "stored": "float64"}),
    "float32 as it lies": (rows, FLOATS, MILLI),
    "float32 to float64": (rows, FLOATS, {**MILLI, "dtype": "float64", "stored": "float32"}),
    "float64 to float32": (rows, FLOATS.astype("f8"), {**MILLI, "stored": "float64"}),
    "float16": (rows, FLOATS.astype("f2"), {**MILLI, "stored": "float16", "offset": -1.5}),
    "uint8 centred": (rows, ints("u1"), {**MILLI, "stored": "uint8", "offset": -0.128}),
    "uint32 in a block": (block, ints("u4"), {**MILLI, "stored": "uint32"}),
    "int16 in chunks": (chunks, ZEROS_FIRST, {**MILLI, "stored": "int16", "offset": 7}),
    "int32 packed each": (packed_pieces, ints("i4"), {**MILLI, "stored": "int32"}),
    "offset alone": (rows, ints("i8"), {"dtype": "float64", "stored": "int64", "offset": 273.15}),
    "a negative scale": (rows, FLOATS, {"dtype": "float32", "scale": -1}),
    "int64 past 2^53": (rows, LARGE, {**MILLI, "dtype": "float64", "stored": "int64"}),
    "uint64": (rows, ints("u8"), {**MILLI, "dtype": "float64", "stored": "uint64"}),
    "past float32": (rows, FLOATS, {"dtype": "float32", "scale": 1e300}),
    "int16 in npy": (npy_pieces, ints("i2"), {**MILLI, "encoding": "npy", "stored": "int16"}),
    "big-endian npy": (npy_pieces, ints(">i2"), {**MILLI, "encoding": "npy", "stored": "int16"}),
    "varints": (varint_pieces, LARGE, {**MILLI, "encoding": "varint"}),
    "varints of one size": (varint_pieces, ints("i8") % 100, {**MILLI, "encoding": "varint"}),
    "uint64 varints": (
        varint_pieces,
        ints("u8"),
        {"dtype": "float64", "scale": 2, "encoding": "varint", "stored": "uint64"},
    ),
    "no map": (rows, ints("i2"), {"dtype": "float32", "stored": "int16"}),
    "scale 1": (rows, ints(">u4"), {**BIG, "stored": "uint32", "scale": 1, "offset": 0}),
    "float64 narrowed": (rows, FLOATS.astype("f8"), {"dtype": "float32", "stored": "float64"}),
    "npy without a map": (
        npy_pieces,
        ints("i2"),
        {"dtype": "float64", "stored": "int16", "encoding": "npy"},
    ),
    "varints without a map": (
        varint_pieces,
        ints("i8") % 100,
        {"dtype": "float32", "encoding": "varint"},
    ),
    "a column without a map": (column, ints("i2"), {"dtype": "float32", "stored": "int16"}),
    "a column": (column, ints("i2"), {**MILLI, "stored": "int16"}),
    "a column for big-endian": (column, ints("i2"), {**BIG, "stored": "int16"}),
    "a column for varints": (column, ints("i8"), {**MILLI, "encoding": "varint"}),
    "a shape": (rows, ints("i2", (2, 3)), {**MILLI, "stored": "int16"}),
    "scalars": (rows, ints("i2", ()), {**MILLI, "stored": "int16"}),
    "more than a block of numbers": (rows, ints("i2", (700,)), {**MILLI, "stored": "int16"}),
}


def mapped(stored: Any, dtype: str, scale: float = 1.0, offset: float = 0.0) -> Any:
    with np.errstate(over="ignore"):
        return (scale * stored.astype("f8") + offset).astype(dtype)


def wanted_of(stored: Any, declared: dict[str, Any]) -> Any:
    keys = ("dtype", "scale", "offset")
    return mapped(stored, **{key: declared[key] for key in keys if key in declared})


def values(dataset: rc.Dataset, stream: str) -> Any:
    return np.concatenate([episode[stream].values for episode in dataset])


def open_one(
    tmp_path: Path, place: Any, stored: Any, declared: dict[str, Any], **options: Any
) -> tuple[rc.Dataset, list[str]]:
    """Opens the only stream of a dataset in `tmp_path`; also which parts were read for it."""
    read_parts: list[str] = []
    file = tmp_path / "data.bin"
    if not file.exists():
        file.write_bytes(b"x" * 1000)
        place(NoPart(), file, stored)  # what lies there is not written while it is indexed

    def read(part: rc.Part) -> None:
        read_parts.append(part.path)
        source = place(part, tmp_path / "again", stored)
        part.episodes(num_steps=STEPS, streams={"x": source})

    def index(path: str, dataset: rc.Indexer) -> None:
        dataset.control_rate_hz = 10
        dataset.stream("x", **{"shape": stored.shape[1:], **declared})
        dataset.part("data.bin", read=read)

    rc.register_format("maps", probe=lambda path: False, index=index, replace=True)
    return rc.open(tmp_path, format="maps", progress=False, **options), read_parts


class NoPart:
    """Stands for a part while the file is written."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **keywords: 0


@pytest.mark.parametrize("case", PLACES)
def test_values_are_scaled_wherever_they_lie(tmp_path: Path, case: str) -> None:
    place, stored, declared = PLACES[case]
    wanted = wanted_of(stored, declared)
    for reopened in (False, True):
        dataset, read_parts = open_one(tmp_path, place, stored, declared)
        assert read_parts == ([] if reopened else ["data.bin"])
        info = dataset.streams["x"]
        told = (info.dtype, info.unit, info.scale, info.offset)
        names = ("dtype", "unit", "scale", "offset")
        none = ("", "", 1.0, 0.0)
        assert told == tuple(declared.get(n, d) for n, d in zip(names, none, strict=True))
        assert dataset[0]["x"].unit == declared.get("unit", "")
        assert (dataset[0]["x"].scale, dataset[0]["x"].offset) == (info.scale, info.offset)
        found = values(dataset, "x")
        assert found.dtype == declared["dtype"]
        np.testing.assert_array_equal(found, wanted, strict=True)
        np.testing.assert_array_equal(dataset[3]["x"].read(2, 3), wanted[10:13])

    windows = {"x": rc.Window(range(-1, 2))}
    loader = rc.DataLoader(dataset, streams=windows, batch_size=4, shuffle=True, array="numpy")
    seen = 0
    for batch in loader:
        for value, episode, step in zip(
            batch["x"], batch["episode_index"], batch["step_index"], strict=True
        ):
            steps = np.clip(np.arange(step - 1, step + 2), 0, STEPS[episode] - 1)
            np.testing.assert_array_equal(value, wanted[FIRST[episode] + steps])
            seen += 1
    assert seen == TOTAL


def test_ragged_streams_are_scaled(tmp_path: Path) -> None:
    lengths = RNG.integers(0, 4, TOTAL)
    stored = ints("i2", (3,))[RNG.integers(0, TOTAL, int(lengths.sum()))]
    samples = [int(lengths[f : f + n].sum()) for f, n in zip(FIRST, STEPS, strict=True)]
    first = np.cumsum([0, *samples[:-1]])
    (tmp_path / "data.bin").write_bytes(stored.astype(">i2").tobytes())

    def read(part: rc.Part) -> None:
        part.episodes(
            num_steps=STEPS,
            row_lengths={"lies": lengths, "copied": lengths},
            streams={"lies": rc.Rows(offset=first * 6), "copied": rc.Column(stored)},
        )

    def index(path: str, dataset: rc.Indexer) -> None:
        dataset.control_rate_hz = 10
        for name, encoding in (("lies", "swapped"), ("copied", "plain")):
            dataset.stream(
                name, shape=(3,), encoding=encoding, stored="int16", ragged=True, **MILLI
            )
        dataset.part("data.bin", read=read)

    rc.register_format("maps", probe=lambda path: False, index=index, replace=True)
    dataset = rc.open(tmp_path, format="maps", progress=False)
    wanted = mapped(stored, "float32", 0.001)
    for name in ("lies", "copied"):
        np.testing.assert_array_equal(values(dataset, name), wanted)
        found = [episode[name].row_lengths for episode in dataset]
        np.testing.assert_array_equal(np.concatenate(found), lengths)
    starts = np.cumsum(lengths) - lengths
    windows = {"lies": rc.Window(0, max_points=3)}
    for batch in rc.DataLoader(dataset, streams=windows, batch_size=4, shuffle=True, array="numpy"):
        for i, (episode, step) in enumerate(
            zip(batch["episode_index"], batch["step_index"], strict=True)
        ):
            at = FIRST[episode] + step
            row = np.zeros((3, 3), "f4")
            row[: lengths[at]] = wanted[starts[at] : starts[at] + lengths[at]]
            np.testing.assert_array_equal(batch["lies"][i, 0], row)


@pytest.mark.parametrize("encoding", ["pixels", "npy", "image"])
def test_images_are_as_stored_and_say_what_they_mean(tmp_path: Path, encoding: str) -> None:
    depth = RNG.integers(0, 2**16, (TOTAL, 6, 5, 1), np.uint16)
    declared = {"kind": "image", "dtype": "uint16", "encoding": encoding}

    def png_pieces(part: rc.Part, file: Path, stored: Any) -> Any:
        image = pytest.importorskip("PIL.Image")
        files = [io.BytesIO() for _ in stored]
        for out, pixels in zip(files, stored, strict=True):
            image.fromarray(pixels[:, :, 0]).save(out, "png")
        return pieces(file, [out.getvalue() for out in files])

    place = {"pixels": rows, "npy": npy_pieces, "image": png_pieces}[encoding]
    meaning = {"unit": "mm", "scale": 0.25, "offset": -3}
    dataset, _ = open_one(tmp_path, place, depth, {**declared, **meaning})
    info = dataset.streams["x"]
    assert (info.unit, info.scale, info.offset) == ("mm", 0.25, -3.0)
    assert info.dtype == "uint16"
    np.testing.assert_array_equal(values(dataset, "x"), depth, strict=True)
    loader = rc.DataLoader(dataset, batch_size=4, shuffle=True, array="numpy")
    for batch in loader:
        at = FIRST[batch["episode_index"]] + batch["step_index"]
        np.testing.assert_array_equal(batch["x"], depth[at][:, None], strict=True)


def test_a_unit_alone_changes_nothing(tmp_path: Path) -> None:
    stored = ints("i2")
    declared: dict[str, Any] = {"dtype": "int16", "unit": "µm/√Hz", "scale": 1, "offset": 0}
    dataset, _ = open_one(tmp_path, rows, stored, declared)
    info = dataset.streams["x"]
    assert (info.unit, info.scale, info.offset) == ("µm/√Hz", 1.0, 0.0)
    np.testing.assert_array_equal(values(dataset, "x"), stored, strict=True)
    assert "int16 [4] in µm/√Hz" in str(dataset)
    assert "int16 [4] in µm/√Hz" in repr(dataset[0]["x"])


def test_another_map_makes_the_catalog_anew(tmp_path: Path) -> None:
    stored = ints("i2")
    declared: dict[str, Any] = {"dtype": "float32", "stored": "int16"}
    for more in ({"scale": 0.5}, {"scale": 0.25}, {"scale": 0.25, "unit": "m"}, {"offset": 1}):
        dataset, read_parts = open_one(tmp_path, rows, stored, {**declared, **more})
        assert read_parts == ["data.bin"]
        np.testing.assert_array_equal(
            values(dataset, "x"), wanted_of(stored, {**declared, **more}), strict=True
        )


# ---- what cannot be -----------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "scale 0": ({"scale": 0}, "scale: found 0, wanted finite and not 0"),
    "scale NaN": ({"scale": np.nan}, "scale: found nan"),
    "scale infinite": ({"scale": -np.inf}, "scale: found -inf"),
    "scale a text": ({"scale": "0.5"}, "scale: found '0.5', wanted a number"),
    "offset NaN": ({"offset": np.nan}, "offset: found nan"),
    "offset infinite": ({"offset": np.inf}, "offset: found inf"),
    "a long unit": ({"unit": "µ" * 17}, "unit: found 'µµ.*, wanted at most 32 bytes"),
    "a unit of two lines": ({"unit": "m\ns"}, "unit: found"),
    "a unit with NUL": ({"unit": "m\0"}, "unit: found .*without NUL"),
    "a unit that is no Unicode": ({"unit": "\ud800"}, "unit: found .*Unicode"),
    "a unit that is no text": ({"unit": 3}, "unit: found 3, wanted a string"),
    "integers": ({"dtype": "int32", "scale": 2}, "dtype: found 'int32', wanted float32"),
    "half floats": ({"dtype": "float16", "offset": 2}, "dtype: found 'float16'"),
    "bool": ({"stored": "bool", "scale": 2}, "plain numbers stored as bool cannot be read"),
    "float varints": (
        {"stored": "float32", "encoding": "varint", "scale": 2},
        "varint numbers stored as float32 cannot be read",
    ),
    "a text in metres": ({"kind": "text", "unit": "m"}, "wanted no unit, scale or offset of a te"),
    "a text with a scale": ({"kind": "text", "scale": 2}, "wanted no unit, scale or offset"),
    "half floats of integers": (
        {"dtype": "float16", "stored": "int16"},
        "plain numbers stored as int16 cannot be read as float16",
    ),
    "bool without a map": ({"stored": "bool"}, "plain numbers stored as bool cannot be read"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_declared(tmp_path: Path, case: str) -> None:
    declared, message = WRONG[case]
    with pytest.raises(rc.Error, match=f"stream 'x': {message}"):
        open_one(tmp_path, rows, ints("i2", ()), {"dtype": "float32", "shape": (), **declared})


@pytest.mark.parametrize("declared", [{"encoding": "varint", "stored": "uint8", "scale": 2}])
def test_numbers_that_are_not_of_the_stored_dtype(tmp_path: Path, declared: Any) -> None:
    stored = np.full((TOTAL, 2), 300)
    dataset, _ = open_one(tmp_path, varint_pieces, stored, {"dtype": "float32", **declared})
    with pytest.raises(rc.errors.FormatError, match=r"stream 'x'.*holds 300, which is no uint8"):
        values(dataset, "x")


def test_npy_files_of_another_dtype(tmp_path: Path) -> None:
    declared = {**MILLI, "encoding": "npy", "stored": "int16"}
    dataset, _ = open_one(tmp_path, npy_pieces, FLOATS, declared)
    with pytest.raises(rc.errors.FormatError, match=r"stream 'x'.*float32.*wanted is int16"):
        values(dataset, "x")


def test_columns_hold_what_is_stored(tmp_path: Path) -> None:
    with pytest.raises(rc.Error, match=r"Column: found float32.*wanted int16"):
        open_one(tmp_path, column, FLOATS, {**MILLI, "stored": "int16"})


DAMAGE = {
    "scale 0": ("scale = 0.0", "scale"),
    "scale NaN": ("scale = NULL", "scale"),
    "scale infinite": ("scale = 9e999", "scale"),
    "scale a text": ("scale = 'wide'", "scale"),
    "offset infinite": ("offset = -9e999", "offset"),
    "offset NaN": ("offset = NULL", "offset"),
    "a long unit": ("unit = printf('%033d', 0)", "unit"),
    "a unit that is not UTF-8": ("unit = CAST(x'6dff' AS TEXT)", "unit"),
    "a unit with NUL": ("unit = CAST(x'6d006d' AS TEXT)", "unit"),
    "a unit that is no text": ("unit = x'6d'", "unit"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_catalog_is_named(tmp_path: Path, case: str) -> None:
    change, what = DAMAGE[case]
    catalog = tmp_path / "catalog.sqlite"
    place, stored, declared = PLACES["int16 big-endian"]
    open_one(tmp_path, place, stored, declared, catalog=catalog)

    def define(old: str, new: str) -> None:  # SQLite keeps NaN as NULL
        with sqlite3.connect(catalog) as db:
            db.execute("PRAGMA writable_schema = ON")
            db.execute(
                "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE name = 'streams'",
                (old, new),
            )
        db.close()

    define("REAL NOT NULL", "REAL")
    with sqlite3.connect(catalog) as db:
        db.execute(f"UPDATE streams SET {change}")
    db.close()
    define("REAL", "REAL NOT NULL")
    with pytest.raises(rc.errors.FormatError, match=f"catalog.sqlite': stream 'x': its .*{what}"):
        open_one(tmp_path, place, stored, declared, catalog=catalog)
    dataset, _ = open_one(tmp_path, place, stored, declared, catalog=catalog, rebuild=True)
    np.testing.assert_array_equal(values(dataset, "x"), wanted_of(stored, declared))
