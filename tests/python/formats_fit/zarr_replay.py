"""Zarr groups as diffusion_policy writes them, version 2, and version 3 with or without shards.

/data/<name> have episodes one behind the other along axis 0, /meta/episode_ends where they end.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zarr

import robocache as rc

from .zarr_chunks import add_array


def probe(path: str) -> bool:
    return Path(path, "meta/episode_ends").is_dir()


def index(path: str, dataset: rc.Indexer) -> None:
    dataset.control_rate_hz = 10
    for name, array in sorted(zarr.open_group(path, mode="r")["data"].arrays()):
        is_image = array.ndim == 4 and array.dtype == np.uint8
        dataset.stream(
            name,
            kind="image" if is_image else "numeric",
            encoding="pixels" if is_image else "plain",
            dtype=array.dtype.name,
            shape=array.shape[1:],
        )
    stamp = max(file.stat().st_mtime_ns for file in Path(path).glob("*/*/*") if file.is_file())
    dataset.part("data", read=read, stamp=stamp)


def read(part: rc.Part) -> None:
    group = zarr.open_group(part.folder, mode="r")
    ends = group["meta/episode_ends"][:]
    begins = np.concatenate([[0], ends[:-1]])
    arrays = {name: add_array(part, array) for name, array in group["data"].arrays()}
    streams = {name: rc.ArrayRows(array, first=begins) for name, array in arrays.items()}
    part.episodes(num_steps=ends - begins, streams=streams)
