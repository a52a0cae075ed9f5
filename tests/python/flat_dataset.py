"""Datasets of any arrays, for tests: a file a stream, episodes one behind the other."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import robocache as rc

_NUMBERS = itertools.count()


def make(
    folder: Path,
    num_steps: Sequence[int],
    streams: Mapping[str, Any],
    *,
    row_lengths: Mapping[str, Any] | None = None,
    stamps: Mapping[str, str] | None = None,
    metadata: Sequence[Mapping[str, Any]] | None = None,
    tasks: Sequence[str] | None = None,
    control_rate_hz: float | None = 10.0,
    episodes_a_part: int | None = None,
) -> rc.Dataset:
    """Writes streams [samples of all episodes, *shape] to `folder` and opens them.

    `row_lengths` makes streams ragged: samples of each step. `stamps` names for a stream the one
    that has its stamps.
    """
    folder.mkdir(parents=True)
    arrays = {name: np.ascontiguousarray(values) for name, values in streams.items()}
    lengths = {name: np.asarray(each) for name, each in (row_lengths or {}).items()}
    steps = np.asarray(num_steps, np.int64)
    step_ends = np.concatenate(([0], np.cumsum(steps)))
    counts, firsts = {}, {}
    for number, (name, values) in enumerate(arrays.items()):
        values.tofile(folder / f"stream_{number:03}.bin")
        of_steps = lengths.get(name, np.ones(steps.sum(), np.int64))
        ends = np.concatenate(([0], np.cumsum(of_steps)))
        firsts[name] = ends[step_ends[:-1]]
        counts[name] = ends[step_ends[1:]] - firsts[name]
    size = len(steps)
    a_part = episodes_a_part or size

    def read(first: int, part: rc.Part) -> None:
        chosen = slice(first, min(first + a_part, size))
        blob = part.blobs("stream_{:03}.bin", first=0, count=len(arrays))
        sources = {
            name: rc.Rows(
                offset=firsts[name][chosen] * values[:1].nbytes,
                blob=blob + number,
                count=counts[name][chosen],
            )
            for number, (name, values) in enumerate(arrays.items())
        }
        part.episodes(
            num_steps=steps[chosen],
            streams=sources,
            metadata=None if metadata is None else list(metadata[chosen]),
            tasks=None if tasks is None else list(tasks[chosen]),
            row_lengths={
                name: each[step_ends[first] : step_ends[chosen.stop]]
                for name, each in lengths.items()
            },
            stamps={
                times: (
                    arrays[times][firsts[times][chosen]],
                    arrays[times][firsts[times][chosen] + counts[times][chosen] - 1],
                )
                for times in set((stamps or {}).values())
            },
        )

    def index(path: str, dataset: rc.Indexer) -> None:
        for name, values in arrays.items():
            dataset.stream(
                name,
                dtype=str(values.dtype),
                shape=values.shape[1:],
                ragged=name in lengths,
                times=(stamps or {}).get(name),
            )
        for first in range(0, size, a_part):
            dataset.part(f"part {first}", read=lambda part, first=first: read(first, part), stamp=1)

    name = f"flat {next(_NUMBERS)}"
    rc.register_format(name, probe=lambda path: _is_same(path, folder), index=index)
    return rc.open(folder, format=name, progress=False, control_rate_hz=control_rate_hz)


def _is_same(path: str, folder: Path) -> bool:
    return folder.exists() and os.path.samefile(path, folder)
