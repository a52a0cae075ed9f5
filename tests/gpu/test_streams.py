"""CUDA graphs, streams, and results that never change."""

from __future__ import annotations

import threading

import pytest
import torch

import robocache as rc
from tests.gpu.operations import OPERATIONS, listed, scene


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(
        torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("name", OPERATIONS)
def test_graph_replays_with_new_inputs(name: str) -> None:
    operation, inputs = OPERATIONS[name], scene(0)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        operation(inputs)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        captured = listed(operation(inputs))
    for seed in (1, 2):
        fresh = scene(seed)
        for key, tensor in inputs.items():
            tensor.copy_(fresh[key])
        graph.replay()
        torch.cuda.synchronize()
        assert same(captured, listed(operation(fresh)))


def test_first_use_may_be_captured() -> None:
    """Kernels load lazily; that the first call of one is in a capture must not matter."""
    import subprocess
    import sys

    code = (
        "import torch, robocache as rc\n"
        "v = torch.rand(2, 9, 5, device='cuda'); t = torch.rand(2, 9, device='cuda').sort(1)[0]\n"
        "torch.cuda.synchronize(); g = torch.cuda.CUDAGraph()\n"
        "with torch.cuda.graph(g):\n"
        "    out = rc.resample_trajectories(v, t, t)\n"
        "g.replay(); torch.cuda.synchronize(); assert torch.equal(out, v)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", OPERATIONS)
def test_hundred_runs_on_interleaved_streams_are_the_same(name: str) -> None:
    operation, inputs = OPERATIONS[name], scene(3)
    first = listed(operation(inputs))
    torch.cuda.synchronize()
    streams = [torch.cuda.Stream() for _ in range(4)]
    others = list(OPERATIONS.values())
    for turn in range(100):
        results = []
        for index, stream in enumerate(streams):
            with torch.cuda.stream(stream):
                if index % 2 == turn % 2:
                    others[(turn + index) % len(others)](inputs)
                results.append(listed(operation(inputs)))
        torch.cuda.synchronize()
        for result in results:
            assert same(first, result)


def test_work_follows_the_current_stream() -> None:
    """The input is written late on a side stream; only work queued behind that sees it."""
    inputs = scene(4)
    expected = listed(OPERATIONS["resample linear"](inputs))
    late = {**inputs, "values": torch.zeros_like(inputs["values"])}
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        late["values"].copy_(inputs["values"])
        result = listed(OPERATIONS["resample linear"](late))
    assert not stream.query(), "the call waited for the device"
    torch.cuda.synchronize()
    assert same(expected, result)


def test_other_threads_may_work_while_one_captures() -> None:
    """Loading kernels and making graphs are what a capture forbids other threads by default."""
    inputs = scene(7)
    arguments = (inputs["values"], inputs["times"], inputs["targets"])
    expected = rc.resample_trajectories(*arguments)
    out = torch.empty_like(expected)
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    torch.cuda.synchronize()

    def work() -> None:
        with torch.cuda.stream(stream):
            for _ in range(4):
                rc.resample_trajectories(*arguments, out=out)

    with torch.cuda.graph(graph):
        captured = rc.resample_trajectories(*arguments)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(out, expected)
    assert torch.equal(captured, expected)


def test_checking_times_is_refused_in_a_capture() -> None:
    inputs = scene(0)
    call = lambda: rc.resample_trajectories(  # noqa: E731
        inputs["values"], inputs["times"], inputs["targets"], check_times=True
    )
    expected = call()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        inputs["targets"] + 0
        with pytest.raises(rc.Error, match="captured"):
            call()
    assert torch.equal(call(), expected)


def test_a_plan_checks_times_every_time() -> None:
    inputs = scene(0)
    plan = rc.Plan(
        rc.resample_trajectories,
        inputs["values"],
        inputs["times"],
        inputs["targets"],
        check_times=True,
    )
    plan()
    inputs["times"][2, 7] = -1.0
    with pytest.raises(ValueError, match=r"source_times\[2, 7\] is -1"):
        plan()
