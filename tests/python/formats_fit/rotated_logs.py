"""Logs that go on in a new file when one is full: log_0.hdf5, log_1.hdf5, ...; episodes.npy says at
which rows of all of them together episodes begin and end. An episode may lie in several files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

import robocache as rc

from .hdf5_chunks import add_array, leaves


def probe(path: str) -> bool:
    return Path(path, "episodes.npy").is_file()


def index(path: str, dataset: rc.Indexer) -> None:
    dataset.control_rate_hz = 50
    with h5py.File(Path(path, "log_0.hdf5"), locking=False) as file:
        for name, leaf in leaves(file).items():
            is_image = leaf.ndim == 4
            dataset.stream(
                name,
                kind="image" if is_image else "numeric",
                dtype=leaf.dtype.name,
                shape=leaf.shape[1:],
                encoding="pixels" if is_image else "plain",
            )
    dataset.part("episodes.npy", read=read)


def read(part: rc.Part) -> None:
    begins, ends = np.load(Path(part.folder, part.path)).T
    count = len(list(Path(part.folder).glob("log_*.hdf5")))
    blob = part.blobs("log_{}.hdf5", count=count)
    streams: dict[str, list[Any]] = {}
    file_begin = 0
    for number in range(count):
        with h5py.File(Path(part.folder, f"log_{number}.hdf5"), locking=False) as file:
            for name, leaf in leaves(file).items():
                array = add_array(part, leaf, blob + number)
                first = np.clip(begins - file_begin, 0, len(leaf))
                last = np.clip(ends - file_begin, 0, len(leaf))
                run = rc.ArrayRows(array, first=first, count=last - first)
                streams.setdefault(name, []).append(run)
            file_begin += len(leaf)
    part.episodes(num_steps=ends - begins, streams=streams)
