"""What tests of LeRobot datasets share: opening one, and holding it to what was written."""

from __future__ import annotations

import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python import lerobot_sets as sets

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

TASKS = ("pick up the cup", "put it down")
VERSIONS = ("v2.0", "v2.1", "v3.0")


def opened(path: Path, **options: Any) -> rc.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return rc.open(path, progress=False, **options)


def check(dataset: rc.Dataset, made: sets.Made, numbers: list[int] | None = None) -> None:
    """Every stream of every episode, and every batch of an epoch, hold what was written."""
    numbers = list(range(len(made.episodes))) if numbers is None else numbers
    assert [e.metadata["episode_index"] for e in dataset] == numbers
    names = [name for name in made.info["features"] if name in dataset.streams]
    for episode, number in zip(dataset, numbers, strict=True):
        columns = made.episodes[number]
        for name in names:
            if dataset.streams[name].kind == "numeric":
                np.testing.assert_array_equal(episode[name].values, columns[name], strict=True)
        texts = [made.tasks[i] for i in columns["task_index"]]
        assert episode["task"].values == texts
        assert episode.task == texts[0]
        grid = [round(Fraction(int(k) * 10**9) / Fraction(sets.FPS)) for k in range(len(texts))]
        assert episode["action"].times_ns.tolist() == grid
    loader = rc.DataLoader(dataset, batch_size=5, shuffle=True, array="numpy", streams=["action"])
    seen = 0
    for batch in loader:
        for row, (e, step) in enumerate(
            zip(batch["episode_index"], batch["step_index"], strict=True)
        ):
            wanted = made.episodes[numbers[e]]["action"][step]
            np.testing.assert_array_equal(batch["action"][row, 0], wanted)
            seen += 1
    assert seen == sum(len(made.episodes[number]["action"]) for number in numbers)
