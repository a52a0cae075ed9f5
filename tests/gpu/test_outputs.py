"""Outputs are written whole, also very large ones, and agree with the CPU."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

import robocache as rc
from tests.gpu.operations import OPERATIONS, listed, scene


def poisoned(like: torch.Tensor, byte: int) -> torch.Tensor:
    out = torch.empty_like(like)
    out.view(-1).view(torch.uint8).fill_(byte)
    return out


CALLS: dict[str, Callable[..., torch.Tensor]] = {
    "resample": lambda t, **o: rc.resample_trajectories(t["values"], t["times"], t["targets"], **o),
    "resample bfloat16": lambda t, **o: rc.resample_trajectories(
        t["half"], t["times"], t["targets"], **o
    ),
    "resample cubic": lambda t, **o: rc.resample_trajectories(
        t["values"], t["times"], t["targets"], mode="cubic", **o
    ),
    "fuse": lambda t, **o: rc.fuse_streams(
        [(t["values"], t["times"]), (t["other"], t["other_times"])], t["targets"], **o
    ),
    **{
        f"voxelize {mode}": lambda t, mode=mode, **o: rc.voxelize_point_cloud(
            t["points"], (16, 20, 24), 0.1, mode=mode, **o
        )
        for mode in ("occupancy", "count")
    },
    **{
        f"voxelize {mode}": lambda t, mode=mode, **o: rc.voxelize_point_cloud(
            t["points"], (16, 20, 24), 0.1, mode=mode, features=t["features"], **o
        )
        for mode in ("sum", "mean", "max", "min")
    },
    "voxelize depth": lambda t, **o: rc.voxelize_depth(
        t["depth"], t["intrinsics"], 16, 0.2, mode="count", **o
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_poisoned_outputs_are_fully_written(name: str) -> None:
    inputs = scene(5)
    expected = CALLS[name](inputs)
    for byte in (0x00, 0x7F, 0xFF):
        out = poisoned(expected, byte)
        assert CALLS[name](inputs, out=out) is out
        assert torch.equal(out, expected)


@pytest.mark.parametrize("name", OPERATIONS)
def test_agrees_with_the_cpu(name: str) -> None:
    on_gpu = listed(OPERATIONS[name](scene(6)))
    on_cpu = listed(OPERATIONS[name](scene(6, "cpu")))
    for got, expected in zip(on_gpu, on_cpu, strict=True):
        assert got.dtype == expected.dtype
        if expected.dtype.is_floating_point:
            bound = 8e-3 if expected.dtype == torch.bfloat16 else 1e-5
            torch.testing.assert_close(got.cpu(), expected, rtol=bound, atol=bound, equal_nan=True)
        else:
            assert torch.equal(got.cpu(), expected)


SPREADS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "alike": lambda t: t * 1.02 - 0.01,
    "crowded": lambda t: t**9,
    "to one side": lambda t: t * 0.1 + 0.85,
    "unsorted": lambda t: t.flip(1),
    "on the stamps": lambda t: (t * 64).round() / 64,
}


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize(
    ("dtype", "times", "mode"),
    [
        (torch.bfloat16, torch.float32, "linear"),
        (torch.float32, torch.int64, "linear"),
        (torch.float64, torch.float64, "linear"),
        (torch.float16, torch.float64, "nearest"),
        (torch.int32, torch.int64, "hold"),
    ],
    ids=str,
)
def test_large_jobs_give_the_bits_of_small_ones(
    dtype: torch.dtype, times: torch.dtype, mode: str, spread: str
) -> None:
    generator = torch.Generator("cuda").manual_seed(9)
    batch, samples, targets = 9, 1501, 1999
    width = (160 << 20) // (batch * targets * dtype.itemsize) // 8 * 8

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, device="cuda", dtype=torch.float64)

    def stamps(seconds: torch.Tensor) -> torch.Tensor:
        return (seconds * 1e6).to(times) if times == torch.int64 else seconds.to(times)

    values = (uniform(batch, samples, width) * 200 - 100).to(dtype)
    source = uniform(batch, samples).sort(dim=1)[0]
    source[1] = (source[1] * 64).round() / 64
    wanted = SPREADS[spread](uniform(batch, targets).sort(dim=1)[0])
    out = rc.resample_trajectories(values, stamps(source), stamps(wanted), mode=mode)
    for b in range(batch):
        row = slice(b, b + 1)
        alone = rc.resample_trajectories(
            values[row], stamps(source[row]), stamps(wanted[row]), mode=mode
        )
        assert torch.equal(out[row], alone)


@pytest.mark.slow
def test_more_than_two_to_the_31_elements() -> None:
    if torch.cuda.mem_get_info()[0] < 20 << 30:
        pytest.skip("needs 20 GiB of free device memory")
    batch, samples, targets, width = 3, 1500, 3000, 240_000
    values = torch.randint(0, 127, (batch, samples, width), dtype=torch.int8, device="cuda")
    times = torch.arange(samples, dtype=torch.int64, device="cuda")
    wanted = torch.arange(targets, dtype=torch.int64, device="cuda") // 2
    out = rc.resample_trajectories(values, times, wanted, mode="hold")
    assert out.numel() > 2**31
    for b in range(batch):
        for first in range(0, targets, 500):
            rows = slice(first, first + 500)
            assert torch.equal(out[b, rows], values[b].index_select(0, wanted[rows]))


@pytest.mark.slow
def test_gradient_of_more_than_two_to_the_31_elements() -> None:
    if torch.cuda.mem_get_info()[0] < 40 << 30:
        pytest.skip("needs 40 GiB of free device memory")
    samples, width = 2200, 1_000_000
    grad = torch.ones(2, width, device="cuda")
    values = torch.empty(samples, width, device="cuda")
    times = torch.arange(samples, dtype=torch.float64, device="cuda")
    from robocache import _core

    _core.resample_backward(grad, values, times, times[[0, samples - 1]].contiguous())
    assert values.numel() > 2**31
    assert torch.equal(values[0], grad[0])
    assert torch.equal(values[-1], grad[0])
    assert not values[1:-1].any()


def test_outputs_are_kept_for_the_streams_that_use_them() -> None:
    """record_stream() counts for memory of torch's own, not for memory that a tensor borrows."""
    t = scene(18)
    side = torch.cuda.Stream()

    def address(call: Callable[[], torch.Tensor], recorded: bool) -> tuple[int, int]:
        out = call()
        torch.cuda.synchronize()
        with torch.cuda.stream(side):
            torch.cuda._sleep(20_000_000)
        if recorded:
            out.record_stream(side)
        first = out.data_ptr()
        del out
        second = call().data_ptr()
        torch.cuda.synchronize()
        return first, second

    for name in ("resample", "fuse"):
        call = lambda name=name: CALLS[name](t)  # noqa: E731
        for _ in range(3):
            first, second = address(call, recorded=True)
            assert first != second, name
        first, second = address(call, recorded=False)
        assert first == second, name


@pytest.mark.parametrize(
    "change", ["del guards._empty_strided_cuda", "guards._empty_strided_cuda = 1"]
)
def test_outputs_of_another_pytorch(change: str) -> None:
    """Without the function that PyTorch's compiled code allocates through, or with another one."""
    code = (
        "import torch, torch._C._dynamo.guards as guards, robocache as rc\n"
        f"{change}\n"
        "v = torch.rand(2, 9, 5, device='cuda'); t = torch.rand(2, 9, device='cuda').sort(1)[0]\n"
        "for _ in range(3):\n"
        "    out, valid = rc.resample_trajectories(v, t, t, return_valid=True)\n"
        "    assert torch.equal(out, v) and bool(valid.all()) and out.device == v.device\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
