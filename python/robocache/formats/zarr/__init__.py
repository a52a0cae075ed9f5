"""Zarr groups as diffusion_policy and UMI write them, of the versions 2 and 3, in folders and .zip.

/data/<name> have the steps of all episodes one behind the other along axis 0, and
/meta/episode_ends says where each episode ends. Other layouts are declared by a mapping.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ...errors import FormatError, UnsupportedError
from .. import there
from ..mapping import DRAFTED
from ..sources import ArrayRows, Column, Pieces
from .chunks import Chunks, find_chunks
from .metadata import ZarrArray, read_array
from .store import Store, open_store

if TYPE_CHECKING:
    from ..indexer import Indexer
    from ..mapping import Mapping
    from ..part import Part

__all__ = ["draft", "index"]

_ENDS = "meta/episode_ends"
_COLUMN_BYTES = 4096
_COLUMNS_BYTES = 64 << 20  # of all columns together, or a tenth of the data
_MAX_EPISODES = 1 << 26
_MAX_METADATA = 64  # values of an episode


@dataclass(frozen=True)
class _Stream:
    name: str
    array: ZarrArray
    kind: str  # "image" or "numeric"
    encoding: str
    is_column: bool
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0


def index(path: str, dataset: Indexer) -> None:
    """Declares streams and the part, which is the group."""
    store = open_store(path)
    mapping = dataset.mapping
    if mapping is not None:
        mapping.allow(("format", "rate_hz", "episode_ends", "streams"))
        dataset.control_rate_hz = mapping.positive("rate_hz")
    dataset.name = os.path.basename(path.rstrip("/")).removesuffix(".zip").removesuffix(".zarr")
    ends = _find_ends(store, mapping)
    streams = _choose_columns(_find_streams(store, mapping, dataset))
    if not streams:
        raise FormatError(f"{path}: found no array below 'data' with a row a step")
    for stream in streams:
        dtype = stream.array.dtype
        dataset.stream(
            stream.name,
            kind=stream.kind,
            encoding=stream.encoding,
            dtype=dtype.newbyteorder("=").name,
            shape=_sample_shape(stream.array),
            unit=stream.unit,
            scale=stream.scale,
            offset=stream.offset,
        )
    read = partial(_read, path=path, ends=ends, streams=streams)
    if there.is_file(path):
        dataset.part(os.path.basename(path), read=read)
        return
    known = [
        (each.key, repr(each), store.stamp(each.key))
        for each in (*(stream.array for stream in streams), *((ends,) if ends else ()))
    ]
    digest = hashlib.blake2b(repr(known).encode(), digest_size=8).digest()
    dataset.part("/", read=read, stamp=int.from_bytes(digest, "little", signed=True))


def draft(path: str) -> str:
    """Returns a mapping to start from, as TOML: the arrays of equally many rows are streams."""
    store = open_store(path)
    arrays = []
    for key in store.arrays(""):
        try:
            arrays.append(read_array(store, key))
        except UnsupportedError:  # opening names it
            continue
    arrays = [array for array in arrays if array.shape]
    lengths = Counter(array.shape[0] for array in arrays)
    rows = max(lengths, key=lambda length: (lengths[length], length), default=0)
    ends = [
        array.key
        for array in arrays
        if len(array.shape) == 1 and array.dtype.kind in "iu" and array.shape[0] < rows
    ]
    ends.sort(key=lambda key: ("end" not in key, key))
    lines = [f"# of {path}", 'format = "zarr"', "# rate_hz = 20"]
    lines += [f"episode_ends = {json.dumps(key)}" for key in ends[:1]]
    lines += ["", "[streams]"]
    lines += [
        f"{json.dumps(array.key)} = {json.dumps(array.key)}"
        for array in arrays
        if array.shape[0] == rows
    ]
    return "\n".join(lines)


def _sample_shape(array: ZarrArray) -> tuple[int, ...]:
    return array.shape[1:]


def _find_ends(store: Store, mapping: Mapping | None) -> ZarrArray | None:
    """Returns the array of the episodes' ends; None: all rows are one episode."""
    key = _ENDS if mapping is None else mapping.text("episode_ends") or _ENDS
    if store.kind(key) != "array":
        if mapping is not None and "episode_ends" not in mapping:
            return None
        raise FormatError(
            f"{store.what(key)}: found no array that says where episodes end, as diffusion_policy "
            f"and UMI write it; {DRAFTED}"
        )
    ends = read_array(store, key)
    if ends.dtype.kind not in "iu" or len(ends.shape) != 1 or ends.shape[0] > _MAX_EPISODES:
        raise FormatError(
            f"{store.what(key)}: found {ends.dtype} {ends.shape}, wanted integers [n]"
        )
    return ends


def _find_streams(store: Store, mapping: Mapping | None, dataset: Indexer) -> list[_Stream]:
    declared = {} if mapping is None else mapping.tables("streams", "path")
    if not declared:
        keys = {key.removeprefix("data/"): key for key in store.arrays("data")}
        found = [_stream(store, name, key) for name, key in keys.items()]
    else:
        found = []
        for name, table in declared.items():
            table.allow(("path", "kind", "unit", "scale", "offset"))
            key = (table.text("path") or name).strip("/")
            if store.kind(key) != "array":
                raise FormatError(f"{table.what('path')}: {store.what(key)}: found no array")
            found.append(_stream(store, name, key, table))
    is_read = [bool(stream.array.shape) and stream.array.row_bytes > 0 for stream in found]
    others = [stream.name for stream, read in zip(found, is_read, strict=True) if not read]
    if others:
        dataset.note(f"not read: arrays of no axis, or whose rows are empty: {', '.join(others)}")
    return [stream for stream, read in zip(found, is_read, strict=True) if read]


def _stream(store: Store, name: str, key: str, table: Mapping | None = None) -> _Stream:
    array = read_array(store, key)
    shape, is_native = _sample_shape(array), array.dtype.str[0] != ">"
    looks_like_image = (
        array.dtype.kind == "u" and array.dtype.itemsize <= 2 and len(shape) == 3 and is_native
    )
    kind = "image" if looks_like_image and shape[-1] in (1, 3, 4) else "numeric"
    unit, scale, offset = "", 1.0, 0.0
    if table is not None:
        kind = table.choice("kind", ("image", "numeric"), kind) or kind
        unit = table.text("unit", "") or ""
        scale, offset = table.number("scale", 1.0), table.number("offset", 0.0)
    if kind == "image" and not looks_like_image:
        raise UnsupportedError(f"{store.what(key)}: found {array.dtype} {shape}, which is no image")
    encoding = "plain" if is_native else "swapped"
    if kind == "image":
        encoding = "image" if array.image and _is_frame_a_chunk(array) else "pixels"
    if array.image and encoding != "image" and (array.image != "jxl" or not looks_like_image):
        raise UnsupportedError(
            f"{store.what(key)}: chunks of {array.chunks} packed as {array.image}: a chunk is read "
            "as an image where it is a step"
        )
    return _Stream(name, array, kind, encoding, False, unit, scale, offset)


def _is_frame_a_chunk(array: ZarrArray) -> bool:
    return array.shards is None and array.chunks == (1, *array.shape[1:])


def _choose_columns(streams: Sequence[_Stream]) -> list[_Stream]:
    """Returns the streams with those marked that are copied: small, packed, and few in all."""
    sizes = [max(each.array.shape[0], 1) * each.array.row_bytes for each in streams]
    may = [
        each.kind == "numeric"
        and each.array.row_bytes <= _COLUMN_BYTES
        and bool(each.array.steps or each.array.shards)
        and (each.scale, each.offset) == (1.0, 0.0)
        for each in streams
    ]
    copied = sum(size for size, is_small in zip(sizes, may, strict=True) if is_small)
    if copied > max(_COLUMNS_BYTES, sum(sizes) // 10):
        return list(streams)
    return [
        _Stream(each.name, each.array, each.kind, "plain", True, each.unit) if is_small else each
        for each, is_small in zip(streams, may, strict=True)
    ]


# ---- the part -----------------------------------------------------------------------------------


def _read(part: Part, path: str, ends: ZarrArray | None, streams: Sequence[_Stream]) -> None:
    import numpy

    store = open_store(path)
    shortest = min((stream.array for stream in streams), key=lambda array: array.shape[0])
    rows = shortest.shape[0]
    found = [rows] if ends is None else find_chunks(part, store, ends).read(part).tolist()
    begins, counts, records = [], [], []
    begin = 0
    for record, end in enumerate(found):
        if begin < end <= rows:
            begins.append(begin)
            counts.append(end - begin)
            records.append(record)
            begin = end
        else:
            where = store.what(shortest.key if ends is None else ends.key)
            wanted = f"at most {rows}, as {shortest.key} has" if end > rows else "more"
            part.skip(
                record, f"{where}: episode {record}: found rows {begin} to {end}, wanted {wanted}"
            )
    chunks = {stream.name: find_chunks(part, store, stream.array) for stream in streams}
    told = {} if ends is None else _per_episode(part, store, ends, len(found))
    first, count = numpy.array(begins, numpy.int64), numpy.array(counts, numpy.int64)
    part.episodes(
        num_steps=count,
        record=records,
        metadata=[{name: values[record] for name, values in told.items()} for record in records],
        streams={
            stream.name: _source(part, stream, chunks[stream.name], first, count)
            for stream in streams
        },
    )


def _source(part: Part, stream: _Stream, chunks: Chunks, first: Any, count: Any) -> Any:
    import numpy

    if stream.encoding != "image" and not stream.is_column:
        return ArrayRows(chunks.add_to(part), first=first)
    begins = numpy.cumsum(count) - count
    rows = numpy.arange(int(count.sum())) + numpy.repeat(first - begins, count)
    if stream.is_column:
        return Column(chunks.read(part)[rows])
    return Pieces(
        offset=chunks.offsets.ravel()[rows],
        bytes=chunks.sizes.ravel()[rows],
        blob=chunks.blobs.ravel()[rows],
        packing=part.packing(["zip"]) if chunks.are_members else None,
    )


def _per_episode(part: Part, store: Store, ends: ZarrArray, count: int) -> dict[str, list[Any]]:
    """Returns what the other arrays beside the ends say of each episode."""
    folder = ends.key.rpartition("/")[0]
    told = {}
    for key in store.arrays(folder) if folder else ():
        array = read_array(store, key)
        values = array.row_bytes // array.dtype.itemsize
        if key != ends.key and array.shape[:1] == (count,) and values <= _MAX_METADATA:
            found = find_chunks(part, store, array).read(part)
            text = json.dumps(found.tolist()).replace("NaN", "null").replace("-Infinity", "null")
            told[key.removeprefix(f"{folder}/")] = json.loads(text.replace("Infinity", "null"))
    return told
