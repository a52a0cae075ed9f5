"""Where the values of HDF5 datasets lie, as h5py says: in one piece, or in chunks with filters."""

from __future__ import annotations

import h5py
import numpy as np

import robocache as rc

FILTERS = {1: "zlib", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}


def leaves(demo: h5py.Group) -> dict[str, h5py.Dataset]:
    found: dict[str, h5py.Dataset] = {}
    demo.visititems(lambda key, o: found.update({key: o}) if isinstance(o, h5py.Dataset) else None)
    return found


def add_array(part: rc.Part, leaf: h5py.Dataset, blob: int = 0) -> int:
    shape, chunks = leaf.shape, leaf.chunks
    if chunks is None:
        return part.array(shape=shape, dtype=leaf.dtype, offsets=leaf.id.get_offset(), blob=blob)
    grid = [-(-extent // chunk) for extent, chunk in zip(shape, chunks, strict=True)]
    offsets, sizes, skipped = np.zeros((3, *grid), np.int64)
    for number in range(leaf.id.get_num_chunks()):
        chunk = leaf.id.get_chunk_info(number)
        at = tuple(np.array(chunk.chunk_offset) // chunks)
        offsets[at], sizes[at], skipped[at] = chunk.byte_offset, chunk.size, chunk.filter_mask
    plist = leaf.id.get_create_plist()
    filters = [plist.get_filter(i) for i in range(plist.get_nfilters())]
    steps = [(FILTERS[code], leaf.dtype.itemsize * (code == 2)) for code, *_ in filters]
    return part.array(
        shape=shape,
        chunks=chunks,
        dtype=leaf.dtype,
        fill=leaf.fillvalue,
        offsets=offsets.ravel(),
        sizes=sizes.ravel(),
        skipped=skipped.ravel(),
        packing=part.packing(steps),
        blob=blob,
    )
