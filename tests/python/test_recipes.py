"""The page of recipes runs, and its batches hold what they are said to."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import torch

import robocache as rc
from tests.python.test_docs import DOCS, run_page

PAGE = DOCS / "recipes.md"


@pytest.fixture(scope="module")
def names(bridge_path, test_data, tmp_path_factory):
    """Returns what the page leaves behind."""
    folder = tmp_path_factory.mktemp("recipes")
    shutil.copytree(bridge_path, folder / "bridge_dataset" / "1.0.0")
    shutil.copytree(test_data("lerobot_v30_g1"), folder / "g1")
    modality = re.search(r"^```json\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (folder / "g1").chmod(0o755)
    (folder / "g1/meta").chmod(0o755)
    (folder / "g1/meta/modality.json").write_text(json.dumps(json.loads(modality.group(1))))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("ROBOCACHE_CACHE", str(folder / "cache"))
        yield run_page(PAGE)


def test_groot(names):
    g1, loader, to_groot = (names[name] for name in ("g1", "groot_loader", "to_groot"))
    batch = next(iter(loader))
    found = to_groot(batch)
    action = torch.cat([torch.from_numpy(g1_action(g1, batch, row))[None] for row in range(4)])
    low, high = (
        torch.tensor(getattr(g1.statistics(["action"])["action"], k)) for k in ("min", "max")
    )
    is_constant = low == high
    wanted = torch.where(
        is_constant, 0, 2 * (action - low) / torch.where(is_constant, 1, high - low) - 1
    )
    torch.testing.assert_close(found["action"][..., :26].double(), wanted, atol=1e-5, rtol=0)
    assert not found["action"][..., 26:].any()
    assert not found["action_mask"][..., 26:].any()
    assert not found["action_mask"][batch["action_is_pad"]].any()
    assert found["action_mask"].sum() == 26 * (~batch["action_is_pad"]).sum()
    assert found["state_mask"].sum() == 4 * 26
    assert found["language"] == [g1[0].task] * 4
    assert names["robot"].shape == (4, 16, 26)
    robot = loader.denormalize("action", found["action"])[..., :26]
    torch.testing.assert_close(robot.double(), action, atol=1e-4, rtol=0)


def g1_action(g1, batch, row):
    """Returns the chunk of a row as the dataset holds it, the last action going on."""
    values = g1[int(batch["episode_index"][row])]["action"].values
    step = int(batch["step_index"][row])
    return values[np.minimum(np.arange(step, step + 16), len(values) - 1)].astype(float)


def test_openvla(names):
    loader, to_openvla = names["vla_loader"], names["to_openvla"]
    datasets = {name: rc.open(path, progress=False) for name, path in names["paths"].items()}
    for batch, _ in zip(loader, range(6), strict=False):
        found = to_openvla(batch)
        for row, name in enumerate(found["dataset_name"]):
            episode = next(e for e in datasets[name] if e.id == int(batch["episode_id"][row]))
            own, step = names["actions"][name], int(batch["step_index"][row])
            made = names["transforms"][name](episode)
            (at,) = np.flatnonzero(made["steps"] == step)
            action = made["action"][at]
            wanted = 2 * (action - own.q01) / (own.q99 - own.q01) - 1
            np.testing.assert_allclose(found["action"][row], wanted.clip(-1, 1), atol=1e-6)
            assert found["action"][row, -1] == action[-1]
            text = episode[names["transforms"][name].language].values[step]
            assert found["prompt"][row].endswith(f" to {text.lower()}?\nOut:")
    assert names["actions"]["bridge_orig"].kept.num_steps == 500 - 2 * 50


def test_act(names):
    g1, loader, to_act = (names[name] for name in ("g1", "act_loader", "to_act"))
    lengths = [episode.num_steps for episode in g1]
    batch = next(iter(loader))
    _, qpos, chunk, is_pad = to_act(batch)
    for row in range(4):
        episode, step = int(batch["episode_index"][row]), int(batch["step_index"][row])
        assert (~is_pad[row]).sum() == min(100, lengths[episode] - step)
        last = chunk[row, int((~is_pad[row]).sum()) - 1 :]
        assert (last == last[0]).all()
    stored = loader.denormalize("qpos", qpos)
    values = g1[int(batch["episode_index"][0])]["observation.state"].values
    np.testing.assert_allclose(stored[0], values[int(batch["step_index"][0])], atol=1e-5)
    assert names["loss"] > 0
