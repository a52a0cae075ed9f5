"""What indexers of formats_fit/ are held to: values, epochs in any order, and few bytes."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import robocache as rc

RNG = np.random.default_rng(11)
Values = Mapping[str, Sequence[Any]]
"""Of each stream the values of each episode, as the format's own library reads them."""


def smooth(*shape: int) -> Any:
    """Pixels that compress."""
    steps = RNG.integers(-2, 3, shape).cumsum(axis=1)
    return (128 + steps).clip(0, 255).astype(np.uint8)


def opened(name: str, path: Path, **options: Any) -> rc.Dataset:
    """Registers the format of that name in formats_fit/ for this path alone, and opens it."""
    module = pytest.importorskip(f"tests.python.formats_fit.{name}", exc_type=ImportError)
    return opened_by(module, path, **options)


def opened_by(module: ModuleType, path: Path, **options: Any) -> rc.Dataset:
    assert module.probe(str(path))
    name = module.__name__.rsplit(".", 1)[-1] + " by hand"  # others of that name come along
    with contextlib.suppress(rc.errors.InvalidArgumentError):
        rc.register_format(name, probe=lambda path: False, index=module.index)
    return rc.open(path, format=name, progress=False, **options)


def check(dataset: rc.Dataset, wanted: Values) -> None:
    """Episodes and shuffled epochs hold just the values that are wanted."""
    assert set(dataset.streams) >= set(wanted)
    for stream, episodes in wanted.items():
        assert len(dataset) == len(episodes)
        for episode, values in zip(dataset, episodes, strict=True):
            np.testing.assert_array_equal(episode[stream].values, values, strict=True)
    check_epoch(dataset, wanted, shuffle=True)
    check_epoch(dataset, wanted, shuffle="blocks", memory_bytes=4_000_000, num_threads=3)


def check_epoch(dataset: rc.Dataset, wanted: Values, **options: Any) -> None:
    windows = {stream: rc.Window(range(-1, 1), mode="hold") for stream in wanted}
    loader = rc.DataLoader(dataset, streams=windows, batch_size=7, array="numpy", **options)
    begins = np.cumsum([0, *(episode.num_steps for episode in dataset)])
    seen = np.zeros(begins[-1], int)
    for batch in loader:
        for row, (e, step) in enumerate(
            zip(batch["episode_index"], batch["step_index"], strict=True)
        ):
            seen[begins[e] + step] += 1
            for stream, episodes in wanted.items():
                two = episodes[e][[max(step - 1, 0), step]]
                np.testing.assert_array_equal(batch[stream][row], two)
    assert (seen == 1).all()


def index_bytes(dataset: rc.Dataset) -> int:
    """What the catalog says of where samples lie, metadata and the rows of episodes left out."""
    with contextlib.closing(sqlite3.connect(dataset.catalog_path)) as catalog:
        sums = [
            catalog.execute(f"SELECT coalesce(sum(length(data)), 0) FROM {table}").fetchone()[0]
            for table in ("layouts", "objects")
        ]
    return sum(sums)


def check_size(dataset: rc.Dataset) -> None:
    """At most 16 bytes a step and image stream, and 8 a stream and episode."""
    images = sum(info.kind == "image" for info in dataset.streams.values())
    steps = sum(episode.num_steps for episode in dataset)
    allowed = 16 * steps * images + 8 * len(dataset.streams) * len(dataset)
    assert index_bytes(dataset) <= allowed
