"""Loaders by dataset name, and that plain PyTorch delivers the same."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

import robocache as rc
from robocache import datasets
from robocache.datasets import BridgeDataLoader, RTXDataLoader
from robocache.datasets.base import NamedDataLoader

BOTH = pytest.mark.parametrize("use_robocache", [True, False])


@BOTH
def test_rtx_loader(bridge_copy, use_robocache):
    loader = RTXDataLoader(bridge_copy, 64, use_robocache, images=False)
    assert len(loader) == 8
    batches = list(loader)
    assert sum(len(batch["task"]) for batch in batches) == 500
    assert batches[0]["action"].shape == (64, 16, 7)
    assert batches[0]["observation/state"].shape == (64, 2, 7)
    assert not any("image" in name for name in batches[0])


@BOTH
def test_bridge_loader(bridge_copy, use_robocache):
    loader = BridgeDataLoader(
        bridge_copy, 32, use_robocache, split="train", action_horizon=4, drop_last=True
    )
    assert len(loader) == 7
    batch = next(iter(loader))
    assert isinstance(batch["actions"], torch.Tensor)
    assert batch["actions"].shape == (32, 4, 7)
    assert batch["observation/image_0"].shape[:2] == (32, 2)
    assert set(loader.streams) == {"action", "observation/image_0", "observation/state"}


def test_plain_pytorch_delivers_the_same_batches(bridge_copy):
    ours, plain = (
        BridgeDataLoader(bridge_copy, 64, use_robocache, shuffle=False)
        for use_robocache in (True, False)
    )
    count = 0
    for a, b in zip(ours, plain, strict=True):
        assert a.keys() == b.keys()
        for name, values in a.items():
            if name == "task":
                assert values == b[name]
                continue
            assert values.dtype == b[name].dtype, name
            got, wanted = values.numpy(), b[name].numpy()
            if name == "observation/image_0":  # Pillow's inverse DCT rounds otherwise
                difference = np.abs(got.astype(int) - wanted)
                assert difference.mean() < 3
                assert difference.max() < 64
                continue
            np.testing.assert_array_equal(got, wanted, err_msg=name)
        count += 1
    assert count == 8


@pytest.mark.forks
def test_plain_pytorch_with_workers(bridge_copy):
    loader = BridgeDataLoader(bridge_copy, 100, False, images=False, num_threads=2)
    steps = [
        pair
        for batch in loader
        for pair in zip(batch["episode_index"].tolist(), batch["step_index"].tolist(), strict=True)
    ]
    assert len(set(steps)) == len(steps) == 500


def test_state_and_statistics_pass_through(bridge_copy):
    loader = RTXDataLoader(bridge_copy, 50, images=False, array="numpy")
    next(iter(loader))
    assert loader.state_dict()["position"] == 50
    assert loader.stats()["batches_delivered"] == 1


def test_what_the_plain_path_cannot_do_is_said(bridge_copy):
    with pytest.raises(rc.Error, match="use_robocache=False: takes no array"):
        RTXDataLoader(bridge_copy, 8, False, array="torch")
    windows = {"observation/state": rc.Window(mode="linear")}
    with pytest.raises(rc.Error, match="the plain path takes ticks with mode 'hold'"):
        RTXDataLoader(bridge_copy, 8, False, streams=windows)
    with pytest.raises(ValueError, match="observation_horizon: found 0, wanted 1"):
        RTXDataLoader(bridge_copy, 8, observation_horizon=0)


def test_loaders_by_name_have_one_base():
    names = ("BridgeDataLoader", "CalvinDataLoader", "LeRobotDataLoader", "RobomimicDataLoader")
    for name in (*names, "RTXDataLoader"):
        loader = getattr(datasets, name)
        assert issubclass(loader, NamedDataLoader)
        positional = list(inspect.signature(loader).parameters)[:3]
        assert positional == ["dataset_path", "batch_size", "use_robocache"]


@pytest.mark.parametrize("loader", [RTXDataLoader, BridgeDataLoader, datasets.RobomimicDataLoader])
def test_data_of_other_names_are_refused(loader, test_data):
    with pytest.raises(
        rc.errors.NotFoundError, match=rf"^{loader.__name__}: found no stream of \w+"
    ):
        loader(test_data("lerobot_v30_g1"), 4)


def test_images_that_are_not_there_are_named(bridge_copy):
    with pytest.raises(rc.errors.NotFoundError, match="stream 'wrist': not in the dataset"):
        RTXDataLoader(bridge_copy, 4, images=["wrist"])
    with pytest.raises(rc.errors.InvalidArgumentError, match="images: stream 'action' is numeric"):
        RTXDataLoader(bridge_copy, 4, images=["action"])


def test_a_loader_by_name_shows_what_it_is(bridge_copy):
    loader = BridgeDataLoader(bridge_copy, 32, split="train")
    assert repr(loader).startswith(
        "<BridgeDataLoader over <DataLoader of <Dataset 'bridge_dataset'"
    )
