"""Calls that look like earlier ones, whose launches are kept and get the new tensors' addresses."""

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


def test_grids_of_equal_points() -> None:
    t = scene(35)
    grids: list[tuple[Any, Any, Any, str]] = [
        ((16, 20, 24), 0.1, None, "count"),
        ((20, 16, 24), 0.1, None, "count"),
        ((16, 20, 24), 0.11, None, "count"),
        ((16, 20, 24), 0.1, (-0.8, -1.0, -1.1), "count"),
        ((16, 20, 24), 0.1, None, "occupancy"),
    ]

    def call(size: Any, voxel: Any, origin: Any, mode: str) -> list[torch.Tensor]:
        return listed(rc.voxelize_point_cloud(t["points"], size, voxel, origin, mode=mode))

    expected = [alone(lambda grid=grid: call(*grid)) for grid in grids]
    for _ in range(4):
        for grid, wanted in zip(grids, expected, strict=True):
            assert same(call(*grid), wanted), grid


def test_what_was_an_error_still_is() -> None:
    t = scene(36)
    values, times, targets = t["values"], t["times"], t["targets"]
    room = torch.empty(2 * 5 * 300 * 67, device="cuda")
    apart = room[5 * 300 * 67 :][: 5 * 200 * 67].view(5, 200, 67)
    inside = room[: 5 * 200 * 67].view(5, 200, 67)
    source = room[: values.numel()].view(values.shape).copy_(values)
    expected = alone(lambda: rc.resample_trajectories(values, times, targets))[0]
    for _ in range(4):
        assert torch.equal(rc.resample_trajectories(source, times, targets, out=apart), expected)
        with pytest.raises(rc.errors.InvalidArgumentError, match="overlap"):
            rc.resample_trajectories(source, times, targets, out=inside)
        with pytest.raises(rc.errors.InvalidArgumentError, match="source_times"):
            rc.resample_trajectories(source, times[:, 1:], targets, out=apart)
        with pytest.raises(rc.errors.InvalidArgumentError, match="device"):
            rc.resample_trajectories(source, times, targets.cpu(), out=apart)
    source.requires_grad_()
    assert rc.resample_trajectories(source, times, targets).requires_grad


def test_a_tensor_that_moved() -> None:
    t = scene(37)
    expected = alone(lambda: rc.resample_trajectories(t["values"], t["times"], t["targets"]))
    values = torch.zeros_like(t["values"])
    for _ in range(3):
        rc.resample_trajectories(values, t["times"], t["targets"])
    values.set_(t["values"].clone())
    result = rc.resample_trajectories(values, t["times"], t["targets"])
    assert same([result], expected)


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
