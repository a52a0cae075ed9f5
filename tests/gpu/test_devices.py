"""Several GPUs in one process, and several threads on each."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
import torch

import robocache as rc
from tests.gpu.operations import OPERATIONS, listed, scene
from tests.python.test_decode_jpeg import encode


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


def test_devices_take_turns(second: torch.device) -> None:
    """Launches of equal shapes on the default stream of each: the graphs kept are their own."""
    scenes = [scene(23, "cuda:0"), scene(23, str(second))]
    for name in ("resample linear", "fuse", "voxelize mean", "sparse sorted"):
        results = [[listed(OPERATIONS[name](inputs)) for inputs in scenes] for _ in range(5)]
        for here, there in results:
            assert equal(here, there)
            assert equal(here, results[0][0])


def plans(t: dict[str, torch.Tensor]) -> list[rc.Plan]:
    times, targets = t["times"], t["targets"]
    return [
        rc.Plan(rc.resample_trajectories, t["values"], times, targets),
        rc.Plan(rc.fuse_streams, [(t["values"], times), (t["other"], t["other_times"])], targets),
        rc.Plan(rc.voxelize_point_cloud, t["points"], 16, 0.1, mode="mean", features=t["features"]),
    ]


def test_plans_on_the_other_device(second: torch.device) -> None:
    here, there = plans(scene(24, "cuda:0")), plans(scene(24, str(second)))
    for _ in range(3):
        for plan, other in zip(here, there, strict=True):
            assert other().device == second
            assert torch.equal(plan().cpu(), other().cpu())
            assert torch.cuda.current_device() == 0


@pytest.mark.parametrize("name", OPERATIONS)
def test_graphs_on_the_other_device(second: torch.device, name: str) -> None:
    inputs = scene(24, str(second))
    expected = listed(OPERATIONS[name](inputs))
    with torch.cuda.device(second):
        graph = torch.cuda.CUDAGraph()
        # torch's own stream for captures is of the device that captured first.
        with torch.cuda.graph(graph, stream=torch.cuda.Stream()):
            captured = listed(OPERATIONS[name](inputs))
        for tensor in captured:
            tensor.zero_()
        graph.replay()
        torch.cuda.synchronize()
    assert equal(captured, expected)


@pytest.mark.parametrize("name", ["resample linear", "fuse", "voxelize mean", "sparse sorted"])
def test_threads_on_two_devices(second: torch.device, name: str) -> None:
    scenes = [scene(25, "cuda:0"), scene(25, str(second))]
    expected = [listed(OPERATIONS[name](inputs)) for inputs in scenes]

    def work(index: int) -> None:
        for turn in range(40):
            device = index % 2 if index < 4 else turn % 2  # the last two work on both
            result = listed(OPERATIONS[name](scenes[device]))
            assert equal(result, expected[device])

    in_threads(work, 6)
    assert equal(expected[0], expected[1])


def test_jpegs_on_the_other_device(second: torch.device) -> None:
    images = [encode(80, 60, seed=i) for i in range(12)]
    data = torch.frombuffer(bytearray(b"".join(images)), dtype=torch.uint8)
    offsets = torch.tensor([0, *map(len, images)]).cumsum(0)
    expected = rc.decode_jpeg(images)
    outs = [torch.zeros_like(expected, device=f"cuda:{i}") for i in range(2)]
    for turn in range(6):
        out = outs[turn % 2]
        for streams in (
            images,
            (data, offsets),
            (data.to(second), offsets),
            (data.cuda(), offsets),
        ):
            _, valid = rc.decode_jpeg(streams, out=out.zero_(), on_error="mask")
            assert valid.device == out.device
            assert valid.all()
            assert torch.equal(out.cpu(), expected)
            assert torch.cuda.current_device() == 0
    assert rc.decode_jpeg((data.to(second), offsets)).device == second


def test_streams_of_the_other_device_are_refused(second: torch.device) -> None:
    inputs = scene(27, "cuda:0")
    arguments = (inputs["values"], inputs["times"], inputs["targets"])
    plan = rc.Plan(rc.resample_trajectories, *arguments)
    expected = plan().clone()
    torch.cuda.synchronize()
    theirs = torch.cuda.Stream(second)
    wrong = torch.cuda.ExternalStream(theirs.cuda_stream, device="cuda:0")
    with torch.cuda.stream(wrong):
        for _ in range(3):
            with pytest.raises(
                rc.errors.InvalidArgumentError, match=r"stream is of another device.* CUDA device 0"
            ):
                rc.resample_trajectories(*arguments)
            with pytest.raises(
                rc.errors.InvalidArgumentError, match=r"stream is of another device.* CUDA device 0"
            ):
                plan()
    assert torch.equal(rc.resample_trajectories(*arguments), expected)
    assert torch.equal(plan(), expected)


def test_only_the_device_that_is_used_gets_a_context(second: torch.device) -> None:
    code = (
        "import ctypes, torch, robocache as rc\n"
        "cuda = ctypes.CDLL('libcuda.so.1')\n"
        "def active():\n"
        "    flags, state = ctypes.c_uint(), ctypes.c_int()\n"
        "    where = ctypes.byref(flags), ctypes.byref(state)\n"
        "    assert cuda.cuDevicePrimaryCtxGetState(0, *where) == 0\n"
        "    return state.value\n"
        "v = torch.rand(2, 9, 5, device='cuda:1')\n"
        "t = torch.rand(2, 9, device='cuda:1').sort(1)[0]\n"
        "before = active()\n"
        "assert torch.equal(rc.resample_trajectories(v, t, t), v)\n"
        "assert active() == before, 'device 0 has a context now'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_cupy_on_the_other_device(second: torch.device) -> None:
    cupy = pytest.importorskip("cupy")
    names = ("values", "times", "targets")
    host = [scene(28, "cpu")[name].numpy() for name in names]
    expected = rc.resample_trajectories(*host)
    with cupy.cuda.Device(second.index):
        arrays = [cupy.asarray(array) for array in host]
        late = cupy.zeros_like(arrays[0])
        cupy.cuda.Device().synchronize()
        with cupy.cuda.Stream(non_blocking=True) as stream:
            big = cupy.ones((4096, 4096), dtype=cupy.float32)
            for _ in range(5):
                big = big @ big
            late[...] = arrays[0]
            with cupy.cuda.Device(0):
                out = rc.resample_trajectories(late, *arrays[1:])
            stream.synchronize()
    assert out.device.id == second.index
    torch.testing.assert_close(torch.from_numpy(out.get()), torch.from_numpy(expected))


def test_jax_on_the_other_device(second: torch.device) -> None:
    jax = pytest.importorskip("jax")
    try:
        device = jax.devices("gpu")[second.index]
    except (RuntimeError, IndexError) as error:
        pytest.skip(f"jax sees no second GPU: {error}")
    names = ("values", "times", "targets")
    host = [scene(29, "cpu")[name].float().numpy() for name in names]
    arrays = [jax.device_put(array, device) for array in host]
    for _ in range(5):
        out = rc.resample_trajectories(arrays[0] + 1, *arrays[1:])
        assert out.devices() == {device}
    expected = rc.resample_trajectories(host[0] + 1, *host[1:])
    torch.testing.assert_close(
        torch.tensor(jax.device_get(out * 2)), torch.from_numpy(expected * 2), rtol=1e-5, atol=1e-6
    )


def test_devices_are_not_mixed(second: torch.device) -> None:
    here, there = scene(26, "cuda:0"), scene(26, str(second))
    both = r"CUDA device 1.*CUDA device 0"
    with pytest.raises(rc.errors.InvalidArgumentError, match=both):
        rc.resample_trajectories(here["values"], there["times"], here["targets"])
    with pytest.raises(rc.errors.InvalidArgumentError, match=both):
        rc.resample_trajectories(
            here["values"],
            here["times"],
            here["targets"],
            out=torch.empty(5, 200, 67, device=second),
        )
    with pytest.raises(rc.errors.InvalidArgumentError, match=both):
        rc.fuse_streams(
            [(here["values"], here["times"]), (there["other"], there["other_times"])],
            here["targets"],
        )
    with pytest.raises(rc.errors.InvalidArgumentError, match=both):
        rc.voxelize_point_cloud(here["points"], 8, 0.1, features=there["features"], mode="mean")
    with pytest.raises(rc.errors.InvalidArgumentError, match=both):
        rc.depth_to_points(here["depth"], there["intrinsics"])
