"""Streams that are named as fields of a batch are: left out where none is named, else an error."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import robocache as rc
from robocache.suggest import suggest_windows

FACTS = ["episode_index", "episode_id", "step_index", "time_ns", "task"]
CLASHES = [*FACTS, "state_valid", "state_is_pad"]
OTHERS = ["state", "state_lengths", "valid", "task/state", "action_valid"]


@pytest.fixture
def dataset(tmp_path: Path) -> rc.Dataset:
    (tmp_path / "0.bin").write_bytes(b"-")

    def index(path: str, indexer: rc.Indexer) -> None:
        indexer.control_rate_hz = 10
        for name in CLASHES + OTHERS:
            indexer.stream(name, dtype="int64")
        indexer.part("0.bin", read=read)

    def read(part: rc.Part) -> None:
        columns = {name: rc.Column(np.arange(3) * 7) for name in CLASHES + OTHERS}
        part.episodes(num_steps=[3], streams=columns)

    rc.register_format("clashing names", probe=lambda path: False, index=index, replace=True)
    return rc.open(tmp_path, format="clashing names", progress=False)


def test_names_of_fields_are_left_out_with_a_warning(dataset: rc.Dataset) -> None:
    with pytest.warns(UserWarning, match="streams are left out") as warned:
        loader = rc.DataLoader(dataset, batch_size=3, array="numpy")
    assert len(warned) == 1
    for name in CLASHES:
        said = f"'{name}': a batch has another field of that name: take it with streams={{'{name}'"
        assert said in str(warned[0].message)
    batch = next(iter(loader))
    for name in OTHERS:
        np.testing.assert_array_equal(batch[name][:, 0], np.arange(3) * 7)
    np.testing.assert_array_equal(batch["step_index"], np.arange(3))
    assert batch["task"] == [""] * 3
    with pytest.warns(UserWarning, match="'task': a batch has another field"):
        assert set(suggest_windows(dataset)) == set(OTHERS)


@pytest.mark.parametrize("name", CLASHES)
def test_asked_for_by_name(dataset: rc.Dataset, name: str) -> None:
    with pytest.raises(rc.errors.InvalidArgumentError, match=f"'{name}': give a window another"):
        rc.DataLoader(dataset, streams=[name, "state"] if "state" in name else [name])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loader = rc.DataLoader(
            dataset, batch_size=3, array="numpy", streams={name: rc.Window(name="mine")}
        )
    np.testing.assert_array_equal(next(iter(loader))["mine"][:, 0], np.arange(3) * 7)
