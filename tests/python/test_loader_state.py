"""Loaders' states: a run goes on where it stood, on as many ranks as there are."""

from __future__ import annotations

import json

import pytest

import robocache as rc
from tests.python.bridge_loader import epoch, make, same, samples


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_the_epoch(bridge, world_size):
    whole = epoch(make(bridge, shuffle=True, seed=3))
    options = {"shuffle": True, "seed": 3, "world_size": world_size, "remainder": "uneven"}
    ranks = [epoch(make(bridge, rank=rank, **options)) for rank in range(world_size)]
    merged = [ranks[k % world_size][k // world_size] for k in range(len(whole))]
    for a, b in zip(whole, merged, strict=True):
        same(a, b)


@pytest.mark.parametrize(("remainder", "batches"), [("drop", 2), ("repeat", 3)])
def test_remainder(bridge, remainder, batches):
    loaders = [
        make(bridge, rank=r, world_size=3, remainder=remainder, drop_last=True) for r in range(3)
    ]
    assert [len(loader) for loader in loaders] == [batches] * 3
    assert [len(epoch(loader)) for loader in loaders] == [batches] * 3


def test_rank_from_the_environment(bridge, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    loader = make(bridge)
    assert (loader.rank, loader.world_size) == (1, 2)
    assert (make(bridge, rank=0, world_size=1).rank) == 0
    monkeypatch.setenv("RANK", "one")
    with pytest.raises(ValueError, match="RANK, WORLD_SIZE"):
        make(bridge)
    with pytest.raises(ValueError, match="give both or neither"):
        make(bridge, rank=1)


@pytest.mark.parametrize("position", [0, 1, 5, 8])
def test_resume_continues_bit_for_bit(bridge, position):
    loader = make(bridge, shuffle=True, seed=5)
    epoch(loader)
    iterator = iter(loader)
    for _ in range(position):
        next(iterator)
    state = json.loads(json.dumps(loader.state_dict()))
    rest = list(iterator) + epoch(loader)
    resumed = make(bridge, shuffle=True, seed=5, num_threads=1)
    resumed.load_state_dict(state)
    again = (epoch(resumed) if position < 8 else []) + epoch(resumed)
    assert len(rest) == len(again) == 16 - position
    for a, b in zip(rest, again, strict=True):
        same(a, b)


def test_state_of_other_samples_is_refused(bridge):
    state = make(bridge, shuffle=True).state_dict()
    for other, key in (
        (make(bridge.split("train"), shuffle=True), "fingerprint"),
        (make(bridge, shuffle=True, seed=1), "seed"),
        (make(bridge), "shuffle"),
    ):
        with pytest.raises(ValueError, match=f"state: {key}"):
            other.load_state_dict(state)
    with pytest.raises(ValueError, match="version 99 found, 1 to 2 wanted"):
        make(bridge, shuffle=True).load_state_dict({**state, "version": 99})


def test_state_moves_to_another_world_size(bridge):
    two = make(bridge, shuffle=True, batch_size=10, rank=0, world_size=2)
    iterator = iter(two)
    for _ in range(6):
        next(iterator)
    state = two.state_dict()
    whole = epoch(make(bridge, shuffle=True, batch_size=10))
    one = make(bridge, shuffle=True, batch_size=10)
    one.load_state_dict(state)
    same(next(iter(one)), whole[12])
    three = make(bridge, shuffle=True, batch_size=10, rank=1, world_size=3)
    three.load_state_dict(state)
    same(next(iter(three)), whole[13])
    five = make(bridge, shuffle=True, batch_size=4, rank=2, world_size=5)
    five.load_state_dict(state)
    assert samples([next(iter(five))]) == samples(whole)[128:132]


def as_version_1(loader, position):
    """A state as it was when positions counted rounds, and batch_size and drop_last were fixed."""
    state = loader.state_dict()
    return {
        "version": 1,
        "epoch": state["epoch"],
        "position": position,
        "world_size": state["world_size"],
        "num_workers": state["num_workers"],
        "num_batches": len(loader),
        "fingerprint": state["fingerprint"],
        "num_samples": state["num_samples"],
        "batch_size": loader.batch_size,
        "shuffle": state["shuffle"],
        "seed": state["seed"],
        "drop_last": False,
        "rate_hz": state["rate_hz"],
        "windows": state["windows"],
    }


def test_states_of_version_1_are_taken(bridge):
    two = make(bridge, shuffle=True, batch_size=20, rank=1, world_size=2)
    wanted = [samples([batch]) for batch in epoch(two)]
    second = [samples([batch]) for batch in epoch(two)]
    two.set_epoch(0)
    iter(two)
    for position in range(len(wanted) + 1):
        again = make(bridge, shuffle=True, batch_size=20, rank=1, world_size=2)
        again.load_state_dict(as_version_1(two, position))
        rest = [samples([batch]) for batch in epoch(again)]
        assert rest == (wanted[position:] or second)


def test_states_stay_those_of_their_windows(bridge):
    """What older versions wrote of windows is what this one writes: their states load."""
    windows = {
        "action": rc.Window(
            range(4), name="actions", tolerance=0.5, channels=[(slice(0, 2), "linear")]
        ),
        "observation/image_0": rc.Window(0, squeeze=True),
    }
    loader = rc.DataLoader(bridge, 8, streams=windows, num_threads=1, require=["action"])
    assert loader.state_dict()["windows"] == "2791270cfb7f5c54"


def test_a_state_of_a_worker_is_for_the_same_workers(bridge):
    loader = make(bridge, batch_size=10)
    state = {**loader.state_dict(), "position": 120, "num_workers": 3}
    with pytest.raises(ValueError, match="state: of one of 3 workers on each of 1 ranks"):
        loader.load_state_dict(state)
    loader.load_state_dict({**state, "position": 500})
    assert loader.epoch == 1
