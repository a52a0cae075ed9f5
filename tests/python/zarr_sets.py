"""Zarr groups as a test wants them, and what they hold, as zarr reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc

zarr = pytest.importorskip("zarr")
numcodecs = pytest.importorskip("numcodecs")

RNG = np.random.default_rng(3)
ENDS = [7, 8, 30]
ROWS = ENDS[-1]
Make = Callable[..., Any]


def opened(path: Path, **options: Any) -> rc.Dataset:
    return rc.open(path, progress=False, control_rate_hz=10, **options)


def smooth(*shape: int) -> Any:
    """Pixels that compress."""
    return (128 + RNG.integers(-2, 3, shape).cumsum(axis=1)).clip(0, 255).astype(np.uint8)


def write_ends(group: Any, ends: Any = ENDS, **options: Any) -> None:
    array = group.create_array(
        "meta/episode_ends", shape=len(ends), chunks=2, dtype="i8", **options
    )
    array[:] = ends


def check(path: Path, dataset: rc.Dataset, ends: list[int] = ENDS) -> None:
    """All values are zarr's, in episodes and in shuffled epochs."""
    store = zarr.storage.ZipStore(path, mode="r") if path.suffix == ".zip" else path
    group = zarr.open_group(store, mode="r")
    wanted = {name.removeprefix("data/"): array[:] for name, array in arrays_of(group["data"])}
    assert set(dataset.streams) == set(wanted)
    begins = [0, *ends[:-1]]
    assert [episode.num_steps for episode in dataset] == list(np.diff([0, *ends]))
    for episode, begin, end in zip(dataset, begins, ends, strict=True):
        for name, values in wanted.items():
            native = values[begin:end].astype(values.dtype.newbyteorder("="))
            np.testing.assert_array_equal(episode[name].values, native, strict=True)
    for shuffle in (True, "blocks"):
        loader = rc.DataLoader(dataset, 4, streams=list(wanted), shuffle=shuffle, array="numpy")
        seen = []
        for batch in loader:
            rows = [
                begins[e] + s
                for e, s in zip(batch["episode_index"], batch["step_index"], strict=True)
            ]
            seen += rows
            for name, values in wanted.items():
                np.testing.assert_array_equal(batch[name][:, 0], values[rows])
        assert sorted(seen) == list(range(ends[-1]))


def arrays_of(group: Any, prefix: str = "") -> Any:
    for name, member in group.members():
        if isinstance(member, zarr.Array):
            yield prefix + name, member
        else:
            yield from arrays_of(member, f"{prefix}{name}/")


def one_array(path: Path, version: Any = 2, **options: Any) -> Path:
    group = zarr.open_group(path, mode="w", zarr_format=version)
    defaults = {"shape": (ROWS, 3), "chunks": (4, 3), "dtype": "f4"}
    array = group.create_array("data/x", **{**defaults, **options})
    array[:] = RNG.random(array.shape)
    write_ends(group)
    return path
