"""Where the values of an HDF5 dataset lie in its file."""

from __future__ import annotations

import array
import math
import os
from typing import Any

import h5py
import numpy as np

from .file import DamageError, Dataset, File

__all__ = ["NotInPlaceError", "filters_of", "layout_of", "lies"]

MOST_CHUNKS = 1 << 24  # of one dataset

_FILTERS = {
    1: "gzip",
    2: "shuffle",
    3: "fletcher32",
    4: "szip",
    5: "nbit",
    6: "scaleoffset",
    307: "bzip2",
    32000: "lzf",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32026: "blosc2",
}
_READ_IN_PLACE = {1, 2, 3, 307, 32000, 32001, 32004, 32008, 32015}


class NotInPlaceError(DamageError):
    """What only libhdf5 reads: a filter that is none of ours, or values in an object's header."""


def filters_of(dataset: Dataset) -> list[tuple[int, str, list[int]]]:
    """Returns number, name and parameters of each filter, in the order in which they act."""
    plist = dataset.plist
    found = []
    for index in range(plist.get_nfilters()):
        code, _, values, name = plist.get_filter(index)
        text = name.decode("utf-8", "replace").split("\0")[0]
        found.append((code, _FILTERS.get(code, f"{text or 'without name'} ({code})"), list(values)))
    return found


def layout_of(dataset: Dataset) -> str:
    """Returns "compact", "contiguous", "chunked" or "virtual"."""
    return {
        h5py.h5d.COMPACT: "compact",
        h5py.h5d.CONTIGUOUS: "contiguous",
        h5py.h5d.CHUNKED: "chunked",
    }.get(dataset.plist.get_layout(), "virtual")


def fill_of(dataset: Dataset) -> bytes:
    """Returns the fill value's bytes as they are stored; zeros where it is not defined."""
    value = np.zeros((), dataset.dtype)
    plist = dataset.plist
    if plist.fill_value_defined() != h5py.h5d.FILL_VALUE_UNDEFINED:
        plist.get_fill_value(value)
    return value.tobytes()


def lies(file: File, dataset: Dataset, path: str) -> tuple[dict[str, Any], list[Any]]:
    """Returns where the bytes of a dataset lie, and the arrays of that."""
    blob = file.blob(dataset.id, path)
    size = file.bytes[blob]
    layout = layout_of(dataset)
    total = math.prod(dataset.extents) * dataset.dtype.itemsize
    if layout == "virtual":
        raise DamageError(f"{path}: is a virtual dataset, whose values lie in others")
    if layout == "compact":
        raise NotInPlaceError(f"{path}: lies in its object header (compact)")
    if layout == "contiguous":
        if dataset.plist.get_external_count():
            return _external(file, dataset, path, total)
        offset = dataset.id.get_offset()
        if offset is None or total == 0:
            return {"at": "nowhere", "fill": fill_of(dataset).hex()}, []
        _check_inside(path, "it", offset, total, size)
        return {"at": "contiguous", "blob": blob, "offset": offset}, []
    return _chunked(dataset, path, blob, size)


def _check_inside(path: str, what: str, offset: int, bytes_: int, size: int) -> None:
    if not 0 <= offset <= size - bytes_:
        raise DamageError(
            f"{path}: byte {offset}: {what} takes {bytes_} bytes, the file has {size}"
        )


def _external(
    file: File, dataset: Dataset, path: str, total: int
) -> tuple[dict[str, Any], list[Any]]:
    plist = dataset.plist
    if plist.get_external_count() != 1:
        raise DamageError(
            f"{path}: lies in {plist.get_external_count()} external files, wanted one"
        )
    name, offset, _ = plist.get_external(0)
    blob = file.below(os.fsdecode(name), path)
    _check_inside(path, f"in {blob!r} it", offset, total, file.bytes[blob])
    return {"at": "contiguous", "blob": blob, "offset": offset}, []


def _chunked(dataset: Dataset, path: str, blob: str, size: int) -> tuple[dict[str, Any], list[Any]]:
    chunk = dataset.plist.get_chunk()
    filters = filters_of(dataset)
    for code, name, _ in filters:
        if code not in _READ_IN_PLACE:
            raise NotInPlaceError(f"{path}: filter {name} is not read")
    grid = [-(-extent // cut) for extent, cut in zip(dataset.extents, chunk, strict=True)]
    count = math.prod(grid)
    if count > MOST_CHUNKS:
        raise DamageError(f"{path}: found {count} chunks, wanted at most {MOST_CHUNKS}")
    found = array.array("Q")  # of each chunk: its coordinates, skipped filters, byte, size

    def visit(chunk: Any) -> None:
        found.extend(chunk[0])
        found.extend(chunk[1:])

    dataset.id.chunk_iter(visit)
    offsets, sizes = np.zeros(count, np.int64), np.zeros(count, np.int64)
    skipped = np.zeros(count, np.int64)
    if found:
        table = np.frombuffer(found, np.uint64).astype(np.int64).reshape(-1, len(grid) + 3)
        coordinates, (masks, begins, lengths) = table[:, :-3], table[:, -3:].T
        at = coordinates // np.array(chunk)
        if (coordinates % np.array(chunk)).any() or (at >= np.array(grid)).any():
            raise DamageError(f"{path}: its index has a chunk that is none of its grid")
        numbers = np.ravel_multi_index(tuple(at.T), grid)
        wrong = (begins < 0) | (lengths < 0) | (begins > size - lengths)
        if wrong.any():
            first = int(wrong.argmax())
            what = f"chunk {tuple(at[first].tolist())}"
            _check_inside(path, what, int(begins[first]), int(lengths[first]), size)
        offsets[numbers], sizes[numbers], skipped[numbers] = begins, lengths, masks
    described = {
        "at": "chunks",
        "blob": blob,
        "chunk": list(chunk),
        "filters": [[code, values] for code, _, values in filters],
        "fill": fill_of(dataset).hex(),
    }
    return described, [offsets, sizes, *([skipped] if skipped.any() else [])]
