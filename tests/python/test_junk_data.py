"""Whatever is given to datasets and loaders: they take it, or raise a robocache.Error."""

from __future__ import annotations

import functools
import inspect

import pytest

import robocache as rc
from robocache.datasets import RTXDataLoader
from robocache.suggest import suggest_windows
from tests.python.test_junk import JUNK, attempt

HUGE = {"2**31": 2**31, "2**63 - 1": 2**63 - 1, "range": range(3), "long range": range(2**40)}
VALUES = {**JUNK, **HUGE, "window": rc.Window(), "number of a name": {3: rc.Window()}}

pytestmark = pytest.mark.filterwarnings("ignore")


def others(call):
    """What is raised for any of the values that is not of this package."""
    found = {}
    for kind, value in VALUES.items():
        error = attempt(functools.partial(call, value))
        if error is not None:
            found[kind] = repr(error)[:200]
    return found


def take_one(loader):
    batches = next(iter(loader), None)
    if isinstance(loader, rc.DataLoader):
        loader.close()
    return batches


@pytest.mark.parametrize("parameter", inspect.signature(rc.DataLoader).parameters)
def test_loaders(bridge, parameter):
    given = {"dataset": bridge, "streams": ["action"], "num_threads": 1, "array": "numpy"}
    assert not others(lambda value: take_one(rc.DataLoader(**{**given, parameter: value})))


@pytest.mark.parametrize("parameter", inspect.signature(rc.Window).parameters)
@pytest.mark.parametrize("stream", ["action", "observation/image_0", "language_instruction"])
def test_windows(bridge, stream, parameter):
    def load(value):
        streams = {stream: rc.Window(**{parameter: value})}
        take_one(rc.DataLoader(bridge, 2, streams=streams, num_threads=1, array="numpy"))

    assert not others(load)


def test_states(bridge):
    loader = rc.DataLoader(bridge, 8, streams=["action"], num_threads=1, array="numpy")
    state = loader.state_dict()
    assert not others(loader.load_state_dict)
    assert not others(loader.set_epoch)
    for name in state:
        assert not others(lambda value, name=name: loader.load_state_dict({**state, name: value}))
        missing = {other: value for other, value in state.items() if other != name}
        with pytest.raises(rc.Error, match=f"state: {name}"):
            loader.load_state_dict(missing)
    loader.load_state_dict(state)


@pytest.mark.parametrize("parameter", inspect.signature(rc.open).parameters)
def test_open(bridge_copy, tmp_path, monkeypatch, parameter):
    monkeypatch.chdir(tmp_path)
    given = {"path": bridge_copy, "catalog": tmp_path / "c.sqlite"}
    assert not others(lambda value: rc.open(**{**given, parameter: value}))


def test_what_is_chosen_of_a_dataset(bridge):
    for call in (
        bridge.where, bridge.split, bridge.take, bridge.__getitem__, bridge.episodes.__getitem__,
        bridge.tasks.__getitem__, bridge.tasks.num_episodes, bridge.streams.__getitem__,
        bridge.splits.__getitem__, bridge[0].__getitem__,
    ):  # fmt: skip
        assert not others(call), call


@pytest.mark.parametrize("stream", ["action", "observation/image_0", "language_instruction"])
def test_what_is_read_of_a_stream(bridge, stream):
    read = bridge[0][stream]
    assert not others(read.raw)
    assert not others(read.read)
    assert not others(lambda value: read.read(0, value))


BY_NAME = [name for name in inspect.signature(RTXDataLoader).parameters if "options" not in name]


@pytest.mark.parametrize(
    "parameter",
    [
        pytest.param(name, marks=pytest.mark.forks) if name == "use_robocache" else name
        for name in BY_NAME
    ],
)
def test_loaders_by_name(bridge_copy, parameter):
    given = {"dataset_path": bridge_copy, "batch_size": 4, "images": False, "num_threads": 1}
    assert not others(lambda value: take_one(RTXDataLoader(**{**given, parameter: value})))


@pytest.mark.parametrize("parameter", [name for name in BY_NAME if name != "num_threads"])
def test_plain_loaders_by_name(bridge_copy, parameter):
    given = {"dataset_path": bridge_copy, "use_robocache": False, "images": False}
    assert not others(lambda value: RTXDataLoader(**{**given, parameter: value}))


@pytest.mark.parametrize("parameter", inspect.signature(suggest_windows).parameters)
def test_suggestions(bridge, parameter):
    assert not others(lambda value: suggest_windows(**{"dataset": bridge, parameter: value}))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": None}, "seed: found None, wanted an integer"),
        ({"seed": -1}, "seed: found -1, wanted 0"),
        ({"rate_hz": "5"}, "rate_hz: found '5', wanted a number"),
        ({"rate_hz": 0}, "rate_hz: 0 found, wanted positive"),
        ({"streams": "action"}, "streams: found 'action', wanted a dict of names"),
        ({"streams": {"action": 3}}, r"streams\['action'\]: found 3, wanted a Window"),
        ({"batch_size": 0}, "batch_size: found 0, wanted 1"),
        ({"batch_size": 2.5}, "batch_size: found 2.5, wanted an integer"),
        ({"shuffle": "yes"}, "shuffle: found 'yes', wanted True, False or 'blocks'"),
        ({"on_error": "ignore"}, "on_error: found 'ignore', wanted one of 'raise', 'skip'"),
        ({"remainder": "pad"}, "remainder: found 'pad', wanted one of 'drop', 'repeat', 'uneven'"),
        ({"rank": 2, "world_size": 2}, "rank: found 2, wanted 0 to 1"),
        ({"num_threads": -1}, "num_threads: found -1, wanted 0"),
    ],
)
def test_messages_name_the_argument(bridge, wrong, message):
    with pytest.raises(rc.Error, match=message):
        rc.DataLoader(**{"dataset": bridge, "streams": ["action"], **wrong})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tolerance": -1}, "Window: tolerance: found -1, wanted 0 or more"),
        ({"max_gap": float("nan")}, "Window: max_gap: found nan"),
        ({"mode": "bogus"}, "Window: mode: found 'bogus', wanted one of 'linear', 'hold'"),
        ({"outside": "wrap"}, "Window: outside: found 'wrap'"),
        ({"channels": [(0, "bogus")]}, "Window: channels: found 'bogus'"),
        ({"ticks": []}, "Window: ticks: none found"),
        ({"seconds": [float("inf")]}, "Window: seconds"),
        ({"max_points": 0}, "Window: max_points: found 0, wanted 1 or more"),
        ({"max_points": 2**63}, f"Window: max_points: found {2**63}, wanted 1 to {2**63 - 1}"),
    ],
)
def test_windows_without_meaning_are_refused_when_made(wrong, message):
    with pytest.raises(rc.Error, match=message):
        rc.Window(**wrong)


def test_numbers_of_numpy_and_whole_floats_are_taken(bridge):
    import numpy as np
    import torch

    window = rc.Window(np.arange(-1, 3, dtype=np.int16), tolerance=np.float32(0.5))
    assert window.ticks == (-1, 0, 1, 2)
    assert rc.Window(seconds=torch.tensor([0.5, 1.0])).seconds == (0.5, 1.0)
    loader = rc.DataLoader(
        bridge, 2.0, seed=np.uint64(2**64 - 1), rate_hz=torch.tensor(5), shuffle=np.True_,
        num_threads=np.array(1), streams={"action": window},
    )  # fmt: skip
    assert (loader.batch_size, loader.seed) == (2, 2**64 - 1)
    assert next(iter(loader))["action"].shape == (2, 4, 7)


@pytest.mark.filterwarnings("error")
def test_nothing_chosen_and_nothing_to_deliver_are_warnings(bridge):
    with pytest.warns(UserWarning, match="where num_steps > 1000: no episode"):
        empty = bridge.where("num_steps > 1000")
    with pytest.warns(UserWarning, match="has no batch: <Dataset .* is empty"):
        assert list(rc.DataLoader(empty, 8, streams=["action"])) == []
    with pytest.warns(UserWarning, match="500 samples are too few for drop_last True"):
        rc.DataLoader(bridge, 501, drop_last=True, streams=["action"])
    with pytest.warns(UserWarning, match="too few for drop_last False and world_size 501"):
        rc.DataLoader(bridge, 8, rank=0, world_size=501, streams=["action"])


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"rate_hz": 10}, "num_samples"),
        ({"rate_hz": 5.01}, "rate_hz"),
        ({"streams": ["observation/state"]}, "windows"),
        ({"streams": {"action": rc.Window(1)}}, "windows"),
        ({"streams": {"action": rc.Window(tolerance=1)}}, "windows"),
    ],
)
def test_states_of_other_clocks_and_windows_are_refused(bridge, changed, key):
    given = {"batch_size": 8, "streams": ["action"], "num_threads": 1, "rate_hz": 5}
    state = rc.DataLoader(bridge, **given).state_dict()
    rc.DataLoader(bridge, **given).load_state_dict(state)
    rc.DataLoader(bridge, **{**given, "rate_hz": None}).load_state_dict(state)
    with pytest.raises(ValueError, match=f"state: {key}"):
        rc.DataLoader(bridge, **{**given, **changed}).load_state_dict(state)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("epoch", 2**70, "epoch 1180591620717411303424 found, wanted 0 to"),
        ("epoch", -1, "epoch -1 found"),
        ("position", 1.5, "position 1.5 found, wanted an integer"),
        ("position", 501, "position 501 found, wanted 0 to 500"),
        ("world_size", 0, "world_size 0 found"),
        ("batch_size", None, "batch_size None found, wanted an integer"),
        ("version", 99, "version 99 found, 1 to 2 wanted"),
    ],
)
def test_states_that_cannot_be(bridge, key, value, message):
    loader = rc.DataLoader(bridge, 8, streams=["action"], num_threads=1)
    state = loader.state_dict()
    with pytest.raises(rc.Error, match=f"state: {message}"):
        loader.load_state_dict({**state, key: value})
    assert loader.state_dict() == state
