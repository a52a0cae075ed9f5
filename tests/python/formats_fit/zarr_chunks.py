"""Where the chunks of a Zarr array lie: each is a file, or a range of a shard.

Files lie at "<array>/0.0.0" in version 2 and "<array>/c/0/0/0" in version 3.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import robocache as rc


def add_array(part: rc.Part, array: Any) -> int:
    shape, chunks, outer = array.shape, array.chunks, array.shards or array.chunks
    files, per_file = grid(shape, outer), grid(outer, chunks)
    # of all chunks of all files, also those past the edge of the array: blob, offset, size
    found = np.zeros((3, *np.multiply(files, per_file)), np.int64)
    for others in np.ndindex(*files[1:]):
        pattern = pattern_of(array, others)
        first = part.blobs(pattern, count=files[0])
        for number in range(files[0]):
            path = Path(part.folder, pattern.format(number))
            if path.exists():
                corner = np.multiply((number, *others), per_file)
                at = tuple(slice(i, i + n) for i, n in zip(corner, per_file, strict=True))
                found[(0, *at)] = first + number
                found[(slice(1, 3), *at)] = ranges(path, per_file, array.shards is not None)
    blob, offsets, sizes = found[(slice(None), *(slice(n) for n in grid(shape, chunks)))]
    return part.array(
        shape=shape,
        chunks=chunks,
        dtype=array.dtype,
        fill=array.fill_value,
        blob=blob.ravel(),
        offsets=offsets.ravel(),
        sizes=sizes.ravel(),
        packing=part.packing(steps_of(array)),
        order=range(array.ndim)[::-1] if array.order == "F" else None,
    )


def grid(shape: tuple[int, ...], chunks: tuple[int, ...]) -> list[int]:
    """Returns how many chunks there are along each axis."""
    return [-(-extent // chunk) for extent, chunk in zip(shape, chunks, strict=True)]


def pattern_of(array: Any, others: tuple[int, ...]) -> str:
    """Returns the names of the files with those numbers along all axes but the first."""
    numbers = ["{}", *map(str, others)]
    if array.metadata.zarr_format == 2:
        return f"{array.path}/{'.'.join(numbers)}"
    return f"{array.path}/c/{'/'.join(numbers)}"


def ranges(path: Path, per_file: list[int], is_shard: bool) -> Any:
    """Returns offsets and sizes of the chunks of a file; a shard's index is at its end."""
    if not is_shard:
        return np.reshape([0, path.stat().st_size], (2, *[1] * len(per_file)))
    with path.open("rb") as file:
        file.seek(-16 * int(np.prod(per_file)) - 4, 2)
        entries = np.frombuffer(file.read()[:-4], "<u8").reshape(*per_file, 2)
    return np.moveaxis(np.where(entries == 2**64 - 1, 0, entries), -1, 0)  # absent: no bytes


def steps_of(array: Any) -> list[str]:
    if array.metadata.zarr_format == 2:
        return [compressor.codec_id for compressor in array.compressors]
    codecs = json.loads(Path(array.store.root, array.path, "zarr.json").read_text())["codecs"]
    if codecs[0]["name"] == "sharding_indexed":
        codecs = codecs[0]["configuration"]["codecs"]
    return [codec["name"] for codec in codecs if codec["name"] != "bytes"]
