"""Byte strings in parquet files: where those of a column lie."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..errors import FormatError, NotFoundError, UnsupportedError
from .builtin import need
from .sources import Pieces

if TYPE_CHECKING:
    from .part import Part

__all__ = ["find_values"]

_PACKINGS = {
    "UNCOMPRESSED": [],
    "SNAPPY": ["snappy"],
    "GZIP": ["gzip"],
    "ZSTD": ["zstd"],
    "LZ4": ["lz4_block"],
    "LZ4_RAW": ["lz4_block"],
}


def find_values(part: Part, path: str, column: str, blob: int) -> Pieces:
    """See :meth:`Part.parquet`."""
    import numpy as np

    parquet = need("pyarrow.parquet", "lerobot")
    arrow = need("pyarrow", "lerobot")
    full = os.path.join(part.folder, path)
    try:
        metadata = parquet.read_metadata(full)
    except (arrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise FormatError(f"{full}: found no parquet that can be read: {error}") from error
    number = _find_column(full, metadata.schema, column)
    level = metadata.schema.column(number).max_definition_level
    packings: dict[str, Any] = {}
    rows = []
    for group in range(metadata.num_row_groups):
        chunk = metadata.row_group(group).column(number)
        codec = chunk.compression
        if codec not in _PACKINGS:
            raise UnsupportedError(
                f"{full}: column {column!r}: codec {codec} found, wanted one of "
                f"{', '.join(_PACKINGS)}"
            )
        if codec not in packings:
            packings[codec] = part.packing(_PACKINGS[codec]) if _PACKINGS[codec] else None
        starts = [chunk.data_page_offset]
        if chunk.has_dictionary_page:
            starts.append(chunk.dictionary_page_offset)
        pages, values = part._native.parquet(
            full,
            min(starts),
            chunk.total_compressed_size,
            chunk.num_values,
            level,
            packings[codec] or 0,
        )
        found = np.frombuffer(values, np.int64).reshape(-1, 3).copy()
        blocks = np.frombuffer(pages, np.int64).reshape(-1, 3)
        if len(blocks):
            first = part.block(
                offset=blocks[:, 0],
                bytes=blocks[:, 1],
                unpacked_bytes=blocks[:, 2],
                blob=blob,
                packing=packings[codec],
            )[0]
            found[:, 0] = np.where(found[:, 0] < 0, -1, found[:, 0] + first)
        rows.append(found)
    table = np.concatenate(rows) if rows else np.zeros((0, 3), np.int64)
    blobs = np.where(table[:, 0] < 0, blob, 0)
    return Pieces(offset=table[:, 1], bytes=table[:, 2], blob=blobs, block=table[:, 0])


def _find_column(path: str, schema: Any, column: str) -> int:
    names = [schema.column(i).path for i in range(len(schema))]
    if column not in names:
        raise NotFoundError(f"{path}: column {column!r} not found, it has {', '.join(names)}")
    number = names.index(column)
    found = schema.column(number)
    if found.physical_type != "BYTE_ARRAY" or found.max_repetition_level != 0:
        raise UnsupportedError(
            f"{path}: column {column!r}: {found.physical_type} of repetition level "
            f"{found.max_repetition_level} found, wanted BYTE_ARRAY without lists"
        )
    return number
