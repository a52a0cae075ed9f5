"""Byte strings of parquet columns lie where pyarrow reads them, however they were written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def index(path: str, dataset: rc.Indexer) -> None:
    dataset.control_rate_hz = 10
    dataset.stream("text", kind="text")
    column = "image.bytes" if Path(path, "nested").exists() else "image"

    def read(part: rc.Part) -> None:
        pieces = part.parquet("a.parquet", column=column, blob=0)
        part.episodes(num_steps=[len(pieces.offset)], streams={"text": pieces})

    dataset.part("a.parquet", read=read)


def opened(folder: Path) -> rc.Dataset:
    rc.register_format("parquet strings", probe=lambda path: False, index=index, replace=True)
    return rc.open(folder, format="parquet strings", progress=False)


def strings(kind: str) -> list[bytes | None]:
    rng = np.random.default_rng(5)
    count = 700
    if kind == "few":  # all in the dictionary
        return [b"text %d" % (i % 9) for i in rng.integers(0, 9, count)]
    if kind == "many":  # the dictionary grows too large, and the rest is plain
        return [bytes(rng.integers(48, 58, int(n), np.uint8)) for n in rng.integers(0, 90, count)]
    if kind == "nulls":
        return [None if rng.random() < 0.4 else b"%d" % i for i in range(count)]
    return [None] * count


def as_column(values: list[bytes | None], is_nested: bool) -> Any:
    column = pa.array(values, pa.binary())
    if not is_nested:
        return column
    paths = pa.array([f"{i}.png" for i in range(len(values))])
    return pa.StructArray.from_arrays([column, paths], ["bytes", "path"])


@pytest.mark.parametrize("is_nested", [False, True])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("kind", ["few", "many", "nulls", "none"])
@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "lz4"])
def test_values_are_those_of_pyarrow(
    tmp_path: Path, codec: str, kind: str, version: str, is_nested: bool
) -> None:
    values = strings(kind)
    if is_nested:
        (tmp_path / "nested").touch()
    for has_dictionary in (True, False):
        folder = tmp_path / str(has_dictionary)
        folder.mkdir()
        if is_nested:
            (folder / "nested").touch()
        pq.write_table(
            pa.table({"image": as_column(values, is_nested)}),
            folder / "a.parquet",
            compression=codec,
            use_dictionary=has_dictionary,
            data_page_version=version,
            data_page_size=2000,
            write_batch_size=50,
            dictionary_pagesize_limit=4000,
            row_group_size=300,
        )
        texts = [(value or b"").decode() for value in values]
        assert opened(folder)[0]["text"].values == texts


def test_required_columns_have_no_levels(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("image", pa.binary(), nullable=False)])
    values = strings("many")
    pq.write_table(pa.table({"image": values}, schema), tmp_path / "a.parquet")
    assert opened(tmp_path)[0]["text"].values == [value.decode() for value in values]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compression": "brotli"}, "codec BROTLI found, wanted one of UNCOMPRESSED"),
        (
            {"use_dictionary": False, "column_encoding": {"image": "DELTA_LENGTH_BYTE_ARRAY"}},
            r"a.parquet: byte 4: page: encoding 6 found, wanted PLAIN \(0\) or RLE_DICTIONARY",
        ),
    ],
)
def test_what_is_not_read_is_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    pq.write_table(pa.table({"image": strings("many")}), tmp_path / "a.parquet", **options)
    with pytest.raises(rc.errors.UnsupportedError, match=message):
        opened(tmp_path)


def test_columns_that_are_not_there_or_no_strings(tmp_path: Path) -> None:
    pq.write_table(pa.table({"other": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(rc.errors.NotFoundError, match="column 'image' not found, it has other"):
        opened(tmp_path)
    pq.write_table(pa.table({"image": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(rc.errors.UnsupportedError, match="INT64 of repetition level 0 found"):
        opened(tmp_path)


@pytest.mark.parametrize("codec", ["none", "snappy"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_damage_is_told_and_never_read_past(tmp_path: Path, codec: str, version: str) -> None:
    """Bytes of the pages are changed, one at a time: an error, or other texts."""
    values = [b"%d" % (i % 7) * 9 for i in range(40)]
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": values}), file, compression=codec, data_page_version=version)
    whole = bytearray(file.read_bytes())
    chunk = pq.read_metadata(file).row_group(0).column(0)
    told = []
    for at in range(4, 4 + chunk.total_compressed_size):
        changed = bytearray(whole)
        changed[at] ^= 0xFF
        file.write_bytes(changed)
        try:
            opened(tmp_path)
        except rc.Error as error:
            told.append(str(error))
    assert len(told) > chunk.total_compressed_size / 4
    assert all("a.parquet: byte " in message for message in told), told
