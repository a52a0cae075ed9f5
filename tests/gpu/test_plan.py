"""Plans on streams and in graphs."""

from __future__ import annotations

import pytest
import torch

import robocache as rc
from tests.gpu.operations import scene


def test_plan_in_a_graph() -> None:
    inputs = scene(12)
    plan = rc.Plan(
        rc.resample_trajectories, inputs["values"], inputs["times"], inputs["targets"], mode="cubic"
    )
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = plan()
    inputs["values"].mul_(3)
    graph.replay()
    torch.cuda.synchronize()
    expected = rc.resample_trajectories(
        inputs["values"], inputs["times"], inputs["targets"], mode="cubic"
    )
    assert torch.equal(out, expected)


def test_plan_uses_the_stream_of_the_call() -> None:
    inputs = scene(13)
    plan = rc.Plan(rc.voxelize_point_cloud, inputs["points"], 16, 0.1, mode="count")
    expected = plan().clone()
    fresh = inputs["points"].clone()
    inputs["points"].zero_()
    plan()
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(20_000_000)
        inputs["points"].copy_(fresh)
        out = plan()
    torch.cuda.synchronize()
    assert torch.equal(out, expected)


def test_cupy_plan() -> None:
    cupy = pytest.importorskip("cupy")
    inputs = {
        name: cupy.asarray(t.cpu().numpy()) for name, t in scene(14).items() if name != "half"
    }
    plan = rc.Plan(rc.resample_trajectories, inputs["values"], inputs["times"], inputs["targets"])
    inputs["values"] *= 2
    with cupy.cuda.Stream(non_blocking=True) as stream:
        out = plan()
        stream.synchronize()
    expected = rc.resample_trajectories(inputs["values"], inputs["times"], inputs["targets"])
    assert bool((out == expected).all())


def test_a_plan_may_end_while_a_stream_is_captured() -> None:
    inputs = scene(15)
    arguments = (inputs["values"], inputs["times"], inputs["targets"])
    plan = rc.Plan(rc.resample_trajectories, *arguments)
    expected = plan().clone()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = rc.resample_trajectories(*arguments)
        del plan
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(out, expected)
