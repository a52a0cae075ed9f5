"""GR00T: what modality.json says of a LeRobot dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python import lerobot_sets as sets
from tests.python.lerobot_checks import TASKS, check, opened

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def make_groot(root: Path, **changes: Any) -> sets.Made:
    features = {"annotation.human.task": {"dtype": "int64", "shape": [1]}}
    made = sets.make(
        root,
        "v2.0",
        [4, 3],
        tasks=TASKS,
        features=features,
        more=lambda e, n: {"annotation.human.task": np.full(n, e)},
    )
    modality = {
        "state": {"arm": {"start": 0, "end": 2}, "gripper": {"start": 2, "end": 3}},
        "action": {"hand": {"start": 1, "end": 2}, "all": {"original_key": "observation.state"}},
        "video": {},
        "annotation": {"human.task": {}, "human.step": {"original_key": "task_index"}},
        **changes,
    }
    (root / "meta/modality.json").write_text(json.dumps(modality))
    (root / "meta/embodiment.json").write_text('{"embodiment_tag": "new_embodiment"}')
    return made


def test_modality_has_slices_annotations_and_the_embodiment(tmp_path: Path) -> None:
    made = make_groot(tmp_path / "set")
    dataset = opened(made.root)
    check(dataset, made)
    for episode, columns in zip(dataset, made.episodes, strict=True):
        state, action = columns["observation.state"], columns["action"]
        for name, wanted in (
            ("state.arm", state[:, :2]),
            ("state.gripper", state[:, 2:]),
            ("action.hand", action[:, 1:]),
            ("action.all", state),
        ):
            np.testing.assert_array_equal(episode[name].values, wanted, strict=True)
        assert set(episode["annotation.human.task"].values) == {TASKS[episode.index]}
        assert episode["annotation.human.step"].values == episode["task"].values
        assert episode.metadata["embodiment_tag"] == "new_embodiment"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"video": {"ego": {}}}, "found camera 'observation.images.ego', which meta/info.json"),
        (
            {"state": {"arm": {"start": 0, "end": 4}}},
            r"found channels \[0, 4\), wanted some of the 3",
        ),
        ({"action": {"a": {"original_key": "x"}}}, "found feature 'x', wanted a vector"),
        ({"annotation": {"a": {}}}, "found column 'annotation.a', which meta/info.json has not"),
        ({"state": [1]}, r"state: found \[1\], wanted entries by name"),
    ],
)
def test_modality_that_cannot_be(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    made = make_groot(tmp_path / "set", **changes)
    with pytest.raises(rc.errors.FormatError, match=message):
        opened(made.root)
