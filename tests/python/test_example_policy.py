"""examples/train_policy.py: it learns, goes on where it stopped, and its feeds deliver the same."""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

import robocache as rc

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import train_policy
from policy import data
from policy.feeds import Wanted, open_feed, windows


@pytest.fixture(scope="module")
def reaching(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reaching")
    return rc.open(data.write(folder, 400, 48, steps=20), progress=False)


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def digest(batch):
    found = 0
    for name, value in sorted(batch.items()):
        if torch.is_tensor(value):
            found = zlib.crc32(value.numpy(), zlib.crc32(name.encode(), found))
    return found


def test_it_learns_and_a_resumed_run_is_the_same(reaching, tmp_path, one_thread):
    arguments = train_policy.parse(["--tiny", "--device", "cpu"])
    whole, seen = train_policy.make(reaching, arguments), []

    def told(step, batch, loss):
        seen.append(digest(batch))
        if step == 33:  # within the second epoch of 25 batches
            whole.save(tmp_path / "run.pt")

    losses = whole.go(60, told)
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])

    resumed, again = train_policy.make(reaching, arguments), []
    resumed.load(tmp_path / "run.pt")
    assert resumed.done == 33
    assert resumed.go(60, lambda step, batch, loss: again.append(digest(batch))) == losses[33:]
    assert again == seen[33:]
    batch = next(whole.feed)
    actions = whole.trainer.policy.act(batch["picture"], batch["state"])
    assert actions.shape == (16, 8, 2)
    assert torch.isfinite(actions).all()


def test_feeds_deliver_the_same(reaching):
    streams = data.find_streams(reaching)
    wanted = Wanted(streams, 16, 8, 32, seed=3, workers=0)
    torchs = open_feed("torch", reaching, wanted)
    frames = torchs.loader.dataset
    firsts = np.cumsum([0, *(each.num_steps for each in reaching)])
    feeds = [open_feed(f"robocache-{kind}", reaching, wanted) for kind in ("gpu", "host")]
    for number in range(30):  # the second epoch, too
        batch, other = map(next, feeds)
        for name, value in batch.tensors.items():
            assert torch.equal(other[name], value), name
        rows = firsts[batch["episode_index"]] + batch["step_index"].numpy()
        for row, sample in enumerate(map(frames.__getitem__, [(number // 25, r) for r in rows])):
            for name, value in sample.items():
                np.testing.assert_array_equal(batch[name][row].numpy(), value, err_msg=name)
    assert next(torchs).keys() == sample.keys()
    resident = open_feed("resident", reaching, wanted)
    assert next(resident) is next(resident)
    for feed in (*feeds, torchs, resident):
        feed.close()


def test_what_is_not_real_is_not_learnt(reaching, one_thread):
    arguments = train_policy.parse(["--tiny", "--device", "cpu"])
    runs = [train_policy.make(reaching, arguments) for _ in range(2)]
    batch = dict(next(runs[0].feed))
    batch["actions_is_pad"] = torch.arange(8).expand(16, 8) >= 5
    other = {**batch, "actions": batch["actions"].clone()}
    other["actions"][:, 5:] = 100.0
    other["actions_valid"] = ~batch["actions_is_pad"]
    other["actions_is_pad"] = torch.zeros_like(batch["actions_is_pad"])
    # What is not real is not of the loss, though it is among what the network sees.
    with torch.no_grad():
        for run in runs:
            for block in run.trainer.policy.blocks:
                block.join.weight.zero_()  # no token sees another
                block.join.bias.zero_()
    found = [run.trainer.step(each, 0) for run, each in zip(runs, (batch, other), strict=True)]
    assert found[0] == found[1]


def test_a_feed_that_cannot_resume_says_so(reaching, tmp_path):
    arguments = train_policy.parse(["--tiny", "--device", "cpu", "--feed", "resident"])
    run = train_policy.make(reaching, arguments)
    run.save(tmp_path / "run.pt")
    with pytest.raises(SystemExit, match="cannot go on"):
        run.load(tmp_path / "run.pt")


def test_streams_are_found_by_the_names_of_both_formats(bridge):
    streams = data.find_streams(bridge)
    assert (streams.camera, streams.num_states) == ("observation/image_0", 7)
    assert data.find_streams(bridge, "observation/image_2").camera == "observation/image_2"
    with pytest.raises(SystemExit, match="found cameras"):
        data.find_streams(bridge, "action")
    asked = windows(bridge, Wanted(streams, 2, 4, 32))
    batch = next(iter(rc.DataLoader(bridge, 2, streams=asked)))
    assert batch["picture"].shape == (2, 32, 32, 3)


def test_lerobot_data(test_data, tmp_path, one_thread):
    dataset = rc.open(test_data("lerobot_v30_g1"), catalog=tmp_path / "catalog", progress=False)
    arguments = train_policy.parse(["--tiny", "--device", "cpu", "--steps", "2"])
    arguments.batch_size = 2
    run = train_policy.make(dataset, arguments)
    assert all(np.isfinite(run.go(2)))
    arguments.feed = "torch"
    with pytest.raises(SystemExit, match="wanted jpeg"):
        train_policy.make(dataset, arguments)
