"""Operators in torch.library: gradients, fake tensors, torch.compile."""

from __future__ import annotations

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

import robocache as rc
import robocache.torch as rt

MODES = ["linear", "hold", "nearest", "cubic", "mean"]
device = "cpu"


@pytest.fixture(params=["cpu", "cuda"], autouse=True)
def _device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs each test on the CPU and, where there is one, on a GPU."""
    if request.param == "cuda":
        cuda = rc.check_installation()["cuda"]
        if not cuda["available"] or not torch.cuda.is_available():
            pytest.skip(f"no CUDA: {cuda.get('reason', 'torch sees no CUDA device')}")
    monkeypatch.setitem(globals(), "device", request.param)


def on_device(*tensors: torch.Tensor) -> list[torch.Tensor]:
    return [tensor.to(device) for tensor in tensors]


def problem(seed: int = 0, batch: int = 2, samples: int = 7, width: int = 3, count: int = 9):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(batch, samples, width, generator=generator, dtype=torch.float64)
    times = torch.rand(batch, samples, generator=generator, dtype=torch.float64).sort(dim=1)[0]
    times[:, 3] = times[:, 2]
    targets = torch.rand(batch, count, generator=generator, dtype=torch.float64) * 1.4 - 0.2
    values, times, targets = on_device(values, times, targets)
    return values.requires_grad_(), times, targets


@pytest.mark.parametrize("outside", ["hold", "nan", "zero"])
@pytest.mark.parametrize("mode", MODES)
def test_gradcheck(mode: str, outside: str) -> None:
    values, times, targets = problem()

    def call(v: torch.Tensor) -> torch.Tensor:
        return rt.resample_trajectories(v, times, targets, mode=mode, outside=outside).nan_to_num()

    assert torch.autograd.gradcheck(call, values)
    assert torch.autograd.gradgradcheck(call, values)


@pytest.mark.parametrize("mode", ["slerp", "angle", "max", "min"])
def test_gradcheck_of_the_others(mode: str) -> None:
    values, times, targets = problem(width=4)

    def call(v: torch.Tensor) -> torch.Tensor:
        return rt.resample_trajectories(v, times, targets, mode=mode)

    assert torch.autograd.gradcheck(call, values, atol=1e-4)


def test_gradients_with_limits_lengths_and_groups() -> None:
    values, times, targets = problem(width=8)
    lengths = torch.tensor([7, 4], device=device)
    options = {
        "lengths": lengths,
        "channels": [(slice(0, 3), "cubic"), (slice(3, 6), "hold"), (7, "mean")],
        "max_gap": 0.3,
        "tolerance": 0.1,
        "outside": "zero",
    }
    assert torch.autograd.gradcheck(
        lambda v: rt.resample_trajectories(v, times, targets, **options), values
    )
    out = rc.resample_trajectories(values, times, targets, **options)
    out.square().sum().backward()
    mine = values.grad.clone()
    values.grad = None
    reference = rc.resample_trajectories(values, times, targets, backend="pytorch", **options)
    reference.square().sum().backward()
    torch.testing.assert_close(mine, values.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_plain_calls_record_gradients(dtype: torch.dtype) -> None:
    values, times, targets = problem(batch=3, samples=40, count=200, width=33)
    low = values.detach().to(dtype).requires_grad_()
    out = rc.resample_trajectories(low, times, targets)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(device, dtype)
    out.backward(weight)
    exact = rc.resample_trajectories(values, times, targets, backend="pytorch")
    (expected,) = torch.autograd.grad(exact, values, weight.double())
    bound = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}[dtype]
    torch.testing.assert_close(low.grad.double(), expected, rtol=bound, atol=10 * bound)
    assert not rc.resample_trajectories(low.detach(), times, targets).requires_grad
    with torch.no_grad():
        assert not rc.resample_trajectories(low, times, targets).requires_grad


def test_fuse_gradients() -> None:
    one, times, targets = problem(1)
    two, other, _ = problem(2, samples=11, width=5)

    def call(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return rt.fuse_streams([(a, times), (b, other)], targets, modes=["linear", "cubic"])

    assert torch.autograd.gradcheck(call, (one, two))
    plain = rc.fuse_streams(
        [(one.detach(), times), (two.detach(), other)], targets, modes=["linear", "cubic"]
    )
    assert torch.equal(call(one, two).detach(), plain)
    pairs = [(one, times), (two, other)]
    for streams in (pairs, iter(pairs)):
        through = rc.fuse_streams(streams, targets, modes=["linear", "cubic"])
        assert through.requires_grad
        assert torch.equal(through.detach(), plain)


def test_mean_voxel_gradients() -> None:
    generator = torch.Generator().manual_seed(3)
    points = torch.rand(2, 30, 3, generator=generator) * 2.2 - 1.1
    features = torch.randn(2, 30, 2, generator=generator, dtype=torch.float64)
    points, features = on_device(points, features)
    features.requires_grad_()
    lengths = torch.tensor([30, 17], device=device)
    assert torch.autograd.gradcheck(
        lambda f: rt.voxelize_point_cloud(
            points, (2, 3, 2), 0.7, features=f, mode="mean", lengths=lengths
        ),
        features,
    )
    out = rc.voxelize_point_cloud(points, (2, 3, 2), 0.7, features=features, mode="mean")
    assert out.requires_grad


def test_opcheck() -> None:
    values, times, targets = problem()
    resample = (values, times, targets, None, "linear", "hold", "", None, None, False)
    torch.library.opcheck(torch.ops.robocache.resample.default, resample)
    torch.library.opcheck(
        torch.ops.robocache.fuse.default,
        ([values, values], [times, times], targets, "linear hold", "hold zero"),
    )
    generator = torch.Generator().manual_seed(3)
    points = torch.rand(20, 3, generator=generator).to(device)
    features = torch.randn(20, 2, generator=generator).to(device).requires_grad_()
    torch.library.opcheck(
        torch.ops.robocache.voxelize.default,
        (points, features, None, [3, 3, 3], [0.4, 0.4, 0.4], None, "mean"),
    )
    torch.library.opcheck(
        torch.ops.robocache.voxelize.default,
        (points, None, None, [3, 3, 3], [0.4, 0.4, 0.4], None, "count"),
    )
    outputs = "coordinates num_voxels counts voxels point_to_voxel dropped origins"
    torch.library.opcheck(
        torch.ops.robocache.voxelize_sparse.default,
        (points, features.detach(), None, [0.4] * 3, None, [3, 3, 3], None, None, "mean",
         "robocache", 5, 20, outputs),
    )  # fmt: skip


def test_traced_whole() -> None:
    values, times, targets = problem()

    def step(v: torch.Tensor) -> torch.Tensor:
        return (rt.resample_trajectories(v, times, targets, mode="cubic") * 2).sum()

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(values), step(values))
    (mine,) = torch.autograd.grad(compiled(values), values)
    (expected,) = torch.autograd.grad(step(values), values)
    torch.testing.assert_close(mine, expected)


def test_registered_only_when_needed() -> None:
    code = (
        "import torch, robocache as rc\n"
        "t = torch.zeros(1, 2)\n"
        "rc.resample_trajectories(torch.zeros(1, 2, 1), t, t)\n"
        "import sys; assert 'robocache.torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
