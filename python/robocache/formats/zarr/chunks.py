"""Where the chunks of a Zarr array lie: each at a key, or in a shard that lies at one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ... import _core
from ...errors import FormatError, UnsupportedError
from ..part import packing_step
from .metadata import ZarrArray
from .store import Run, Store

if TYPE_CHECKING:
    from ..part import Part

__all__ = ["Chunks", "find_chunks"]

_ABSENT = 2**64 - 1


@dataclass
class Chunks:
    """All chunks of an array, on the grid [n0, n1, ...] that they make.

    Attributes:
        blobs: numbers of blobs of the part.
        offsets: of the bytes in them.
        sizes: of the bytes there; 0 where the chunk is absent.
        are_members: they are members of an archive, header and all, held to its CRC.
    """

    store: Store
    array: ZarrArray
    blobs: Any
    offsets: Any
    sizes: Any
    are_members: bool

    @property
    def _steps(self) -> tuple[str, ...]:
        array = self.array
        steps = array.steps if array.image is None else (array.image,)
        return (*steps, "zip") if self.are_members else steps

    def add_to(self, part: Part) -> int:
        """Tells the part of the array and returns its number."""
        array, steps = self.array, self._steps
        return part.array(
            shape=array.shape,
            chunks=array.chunks,
            dtype=array.dtype,
            fill=array.fill,
            blob=self.blobs.ravel(),
            offsets=self.offsets.ravel(),
            sizes=self.sizes.ravel(),
            packing=part.packing(steps) if steps else None,
            order=array.order,
        )

    def read(self, part: Part) -> Any:
        """Returns the whole array, in native byte order."""
        import numpy

        array = self.array
        found = numpy.full(array.shape, array.fill, array.dtype.newbyteorder("="))
        for index in numpy.argwhere(self.sizes).tolist():
            corner = [i * n for i, n in zip(index, array.chunks, strict=True)]
            ends = [
                min(c + n, e) for c, n, e in zip(corner, array.chunks, array.shape, strict=True)
            ]
            chunk = self._read_chunk(tuple(index))
            inside = tuple(slice(0, e - c) for c, e in zip(corner, ends, strict=True))
            found[tuple(slice(c, e) for c, e in zip(corner, ends, strict=True))] = chunk[inside]
            part.progress(0)
        return found

    def _read_chunk(self, index: tuple[int, ...]) -> Any:
        import numpy

        array = self.array
        key = _key(
            array, [i * n // s for i, n, s in zip(index, array.chunks, array.stored, strict=True)]
        )
        data = self.store.read_range(key, int(self.offsets[index]), int(self.sizes[index]))
        size = math.prod(array.chunks) * array.dtype.itemsize
        try:
            data = _core.unpack([packing_step(step) for step in self._steps], data, size)
        except FormatError as error:
            raise FormatError(f"{self.store.what(key)}: {error}") from None
        order = array.order or tuple(range(len(array.chunks)))
        stored = numpy.frombuffer(data, array.dtype).reshape([array.chunks[a] for a in order])
        return stored.transpose(numpy.argsort(order))


def find_chunks(part: Part, store: Store, array: ZarrArray) -> Chunks:
    """Returns where the chunks of an array lie, whose files become blobs of the part.

    Raises:
        FormatError: a file is empty, of another size than a chunk that is not packed, or a shard
            whose table of chunks is damaged; names file and byte.
    """
    import numpy

    grid = _grid(array.shape, array.stored)
    axis = max(range(len(grid)), key=grid.__getitem__)
    located = store.locate(part, _runs(array, grid, axis), math.prod(grid))
    shape = [n for a, n in enumerate(grid) if a != axis] + [grid[axis]]
    tables = [
        numpy.moveaxis(table.reshape(shape), -1, axis)
        for table in (
            located.blobs,
            located.offsets,
            located.sizes,
            located.headers,
            located.methods,
        )
    ]
    blobs, offsets, sizes, headers, methods = tables
    for index in numpy.argwhere(sizes == 0)[:1].tolist():
        raise FormatError(f"{store.what(_key(array, index))}: found an empty file, wanted a chunk")
    if array.shards is not None:
        return _find_in_shards(store, array, grid, tables)
    size = math.prod(array.chunks) * array.dtype.itemsize
    if not array.steps and array.image is None:
        wrong = (sizes >= 0) & (sizes != size) & (methods == 0)
        for index in numpy.argwhere(wrong)[:1].tolist():
            raise FormatError(
                f"{store.what(_key(array, index))}: found {sizes[tuple(index)]} bytes, wanted a "
                f"chunk of {size}"
            )
    # Rows of members that are not packed are read where they lie, without all of the member.
    are_members = bool(headers.any() and (array.steps or array.image or methods.any()))
    sizes = numpy.maximum(sizes, 0)
    if are_members:
        offsets, sizes = offsets - headers, sizes + headers
    return Chunks(store, array, blobs, offsets, sizes, are_members)


def _grid(shape: tuple[int, ...], chunks: tuple[int, ...]) -> list[int]:
    """Returns how many chunks there are along each axis."""
    return [-(-extent // chunk) for extent, chunk in zip(shape, chunks, strict=True)]


def _key(array: ZarrArray, index: list[int]) -> str:
    return array.prefix + array.separator.join(map(str, index))


def _runs(array: ZarrArray, grid: list[int], axis: int) -> Iterator[Run]:
    """Yields the keys of an array: a run along one axis for all numbers of the others."""
    import numpy

    others = [n for a, n in enumerate(grid) if a != axis]
    for index in numpy.ndindex(*others):
        before = "".join(f"{i}{array.separator}" for i in index[:axis])
        behind = "".join(f"{array.separator}{i}" for i in index[axis:])
        yield array.prefix + before, behind, grid[axis]


def _find_in_shards(store: Store, array: ZarrArray, grid: list[int], tables: list[Any]) -> Chunks:
    import numpy

    per_shard = [s // c for s, c in zip(array.stored, array.chunks, strict=True)]
    found = numpy.zeros((3, *numpy.multiply(grid, per_shard)), numpy.int64)
    blobs, offsets, sizes, _, methods = tables
    for index in numpy.argwhere(sizes >= 0).tolist():
        at = tuple(index)
        key = _key(array, index)
        if methods[at]:
            raise UnsupportedError(f"{store.what(key)}: a shard that zip has deflated is not read")
        table = _read_index(store, key, array, int(offsets[at]), int(sizes[at]))
        inside = tuple(slice(i * n, (i + 1) * n) for i, n in zip(index, per_shard, strict=True))
        found[0][inside] = blobs[at]
        for k in (0, 1):
            found[1 + k][inside] = table[:, k].reshape(per_shard)
    kept = tuple(slice(n) for n in _grid(array.shape, array.chunks))
    blobs, offsets, sizes = (each[kept] for each in found)
    return Chunks(store, array, blobs, offsets, sizes, are_members=False)


def _read_index(store: Store, key: str, array: ZarrArray, offset: int, size: int) -> Any:
    """Returns offset in the blob and size of each chunk of a shard, int64 [n, 2]; 0: absent."""
    import numpy

    count = math.prod(s // c for s, c in zip(array.stored, array.chunks, strict=True))
    num_bytes = 16 * count + (4 if array.index_is_checked else 0)
    if size < num_bytes:
        raise FormatError(
            f"{store.what(key)}: found {size} bytes, wanted a shard with a table of {num_bytes}"
        )
    begin = size - num_bytes if array.index_at_end else 0
    data = store.read_range(key, offset + begin, num_bytes)
    if array.index_is_checked:
        try:
            data = _core.unpack([("crc32c", 0, 0)], data, 16 * count)
        except FormatError as error:
            raise FormatError(
                f"{store.what(key)}: byte {begin}: table of chunks: {error}"
            ) from None
    table = numpy.frombuffer(data, "<u8").reshape(-1, 2)
    is_absent = (table == _ABSENT).all(axis=1)
    is_wrong = ~is_absent & (
        (table[:, 0] > size) | (table[:, 1] > size - table[:, 0]) | (table[:, 1] == 0)
    )
    for wrong in numpy.flatnonzero(is_wrong)[:1].tolist():
        raise FormatError(
            f"{store.what(key)}: byte {begin + 16 * wrong}: found a chunk of "
            f"{table[wrong, 1]} bytes at {table[wrong, 0]}, wanted one within {size}"
        )
    found = numpy.where(is_absent[:, None], 0, table).astype(numpy.int64)
    found[:, 0] += offset
    return found
