"""Several GPUs in one process, and several threads on each."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch

import robocache as rc
from tests.gpu.operations import OPERATIONS, listed, scene


@pytest.fixture
def second() -> torch.device:
    """A GPU that is not the current one."""
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    torch.cuda.set_device(0)
    return torch.device("cuda:1")


def in_threads(work: Callable[[int], None], count: int) -> None:
    """Runs work(0) ... work(count - 1) at once, and fails where one of them does."""
    failures: list[BaseException] = []
    start = threading.Barrier(count)

    def run(index: int) -> None:
        try:
            start.wait()
            work(index)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def equal(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(
        torch.equal(a.cpu().nan_to_num(), b.cpu().nan_to_num())
        for a, b in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("name", OPERATIONS)
def test_threads_give_what_one_gives(name: str) -> None:
    operation, inputs = OPERATIONS[name], scene(20)
    expected = listed(operation(inputs))
    torch.cuda.synchronize()

    def work(index: int) -> None:
        stream = torch.cuda.Stream() if index % 2 else torch.cuda.current_stream()
        with torch.cuda.stream(stream):
            for _ in range(25):
                result = listed(operation(inputs))
            stream.synchronize()
            assert equal(result, expected)

    in_threads(work, 6)


def test_one_plan_from_many_threads() -> None:
    inputs = scene(21)
    plan = rc.Plan(rc.resample_trajectories, inputs["values"], inputs["times"], inputs["targets"])
    expected = plan().clone()

    def work(_: int) -> None:
        for _ in range(50):
            plan()
        torch.cuda.current_stream().synchronize()

    in_threads(work, 4)
    torch.cuda.synchronize()
    assert torch.equal(plan(), expected)


@pytest.mark.parametrize("name", OPERATIONS)
def test_work_goes_where_the_tensors_are(second: torch.device, name: str) -> None:
    operation = OPERATIONS[name]
    expected = listed(operation(scene(22, "cuda:0")))
    for _ in range(3):  # the third time launches are known
        got = listed(operation(scene(22, str(second))))
        assert torch.cuda.current_device() == 0
        assert all(tensor.device == second for tensor in got)
        assert equal(got, expected)


def test_each_device_has_its_stream(second: torch.device) -> None:
    inputs = scene(23, str(second))
    expected = listed(OPERATIONS["resample linear"](inputs))
    late = {**inputs, "values": torch.zeros_like(inputs["values"])}
    stream = torch.cuda.Stream(second)
    torch.cuda.synchronize(second)
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        late["values"].copy_(inputs["values"])
        torch.cuda.set_device(0)
        result = listed(OPERATIONS["resample linear"](late))
    torch.cuda.synchronize(second)
    assert equal(result, expected)


def test_plans_and_graphs_on_the_other_device(second: torch.device) -> None:
    inputs = scene(24, str(second))
    arguments = (inputs["values"], inputs["times"], inputs["targets"])
    expected = rc.resample_trajectories(*arguments)
    plan = rc.Plan(rc.resample_trajectories, *arguments)
    for _ in range(3):
        assert torch.equal(plan(), expected)
    with torch.cuda.device(second):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = rc.resample_trajectories(*arguments)
        captured.zero_()
        graph.replay()
        torch.cuda.synchronize()
    assert torch.equal(captured, expected)


def test_threads_on_two_devices(second: torch.device) -> None:
    scenes = [scene(25, "cuda:0"), scene(25, str(second))]
    expected = [listed(OPERATIONS["voxelize mean"](inputs)) for inputs in scenes]

    def work(index: int) -> None:
        inputs = scenes[index % 2]
        for _ in range(40):
            result = listed(OPERATIONS["voxelize mean"](inputs))
        assert equal(result, expected[index % 2])

    in_threads(work, 6)
    assert equal(expected[0], expected[1])


def test_devices_are_not_mixed(second: torch.device) -> None:
    here, there = scene(26, "cuda:0"), scene(26, str(second))
    with pytest.raises(rc.errors.InvalidArgumentError, match="device"):
        rc.resample_trajectories(here["values"], there["times"], here["targets"])
    with pytest.raises(rc.errors.InvalidArgumentError, match="device"):
        rc.resample_trajectories(
            here["values"],
            here["times"],
            here["targets"],
            out=torch.empty(5, 200, 67, device=second),
        )
    with pytest.raises(rc.errors.InvalidArgumentError, match="device"):
        rc.voxelize_point_cloud(here["points"], 8, 0.1, features=there["features"], mode="mean")
