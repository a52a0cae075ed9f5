"""Calls whose launches are kept as a graph, which gets each call's own parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import robocache as rc
from tests.gpu.operations import OPERATIONS, listed, scene


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(
        torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(left, right, strict=True)
    )


def alone(call: Callable[[], Any]) -> list[torch.Tensor]:
    """The outputs of a call on a stream of its own, where none was before."""
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        outputs = [tensor.clone() for tensor in listed(call())]
    torch.cuda.synchronize()
    return outputs


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_call_works_on_its_own_tensors(name: str) -> None:
    operation = OPERATIONS[name]
    scenes = [scene(seed) for seed in (30, 31, 32)]
    expected = [alone(lambda t=t: operation(t)) for t in scenes]
    results = [listed(operation(scenes[turn % 3])) for turn in range(12)]
    for turn, result in enumerate(results):
        assert same(result, expected[turn % 3]), turn


def test_addresses_of_every_alignment() -> None:
    t = scene(33)
    expected = alone(lambda: rc.resample_trajectories(t["half"], t["times"], t["targets"]))[0]
    room = torch.empty(2 * expected.numel(), dtype=expected.dtype, device="cuda")
    source = torch.empty(2 * t["half"].numel(), dtype=expected.dtype, device="cuda")
    for _ in range(3):
        for shift in (0, 1, 2, 4, 8, 64, 128, 1024):
            out = room[shift : shift + expected.numel()].view(expected.shape)
            values = source[shift : shift + t["half"].numel()].view(t["half"].shape)
            values.copy_(t["half"])
            room.fill_(float("nan"))
            rc.resample_trajectories(values, t["times"], t["targets"], out=out)
            assert torch.equal(out, expected)
            assert int(room.isnan().sum()) == expected.numel()


def test_options_of_equal_tensors() -> None:
    t = scene(34)
    options: list[dict[str, Any]] = [
        {},
        {"mode": "hold"},
        {"outside": "zero"},
        {"max_gap": 0.002},
        {"tolerance": 0.001, "outside": "nan"},
        {"nan_missing": True},
        {"channels": [(slice(0, 3), "hold")]},
        {"channels": [(slice(0, 4), "hold")]},
        {"lengths": torch.tensor([300, 200, 100, 1, 0], device="cuda")},
        {"return_valid": True},
        {"return_dt": True},
    ]

    def call(chosen: dict[str, Any]) -> list[torch.Tensor]:
        return listed(rc.resample_trajectories(t["values"], t["times"], t["targets"], **chosen))

    expected = [alone(lambda chosen=chosen: call(chosen)) for chosen in options]
    for _ in range(4):
        for chosen, wanted in zip(options, expected, strict=True):
            assert same(call(chosen), wanted), chosen


def test_captured_between_calls() -> None:
    t = scene(38)
    arguments = (t["values"], t["times"], t["targets"])
    expected = rc.resample_trajectories(*arguments)
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        for _ in range(4):
            rc.resample_trajectories(*arguments)
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            captured = rc.resample_trajectories(*arguments)
        again = rc.resample_trajectories(*arguments)
        captured.zero_()
        graph.replay()
        stream.synchronize()
    assert same([captured, again], [expected, expected])


def test_more_shapes_than_are_kept() -> None:
    t = scene(39)

    def call(count: int) -> torch.Tensor:
        return rc.resample_trajectories(t["values"], t["times"], t["targets"][:, :count])

    counts = range(100, 140)
    expected = [alone(lambda count=count: call(count))[0] for count in counts]
    usual = alone(lambda: call(200))[0]
    for _ in range(3):
        for count, wanted in zip(counts, expected, strict=True):
            assert torch.equal(call(count), wanted)
            assert torch.equal(call(200), usual)
