"""The public functions under torch.compile, torch.export, torch.func and forward mode."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import robocache as rc

Call = Callable[..., Any]


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda":
        cuda = rc.check_installation()["cuda"]
        if not cuda["available"] or not torch.cuda.is_available():
            pytest.skip(f"no CUDA: {cuda.get('reason', 'torch sees no CUDA device')}")
    return request.param


def scene(device: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = {
        "values": torch.randn(2, 9, 4, generator=generator, dtype=torch.float64),
        "times": torch.rand(2, 9, generator=generator, dtype=torch.float64).sort(dim=1)[0],
        "targets": torch.rand(2, 5, generator=generator, dtype=torch.float64),
        "lengths": torch.tensor([9, 6]),
        "points": torch.rand(2, 30, 3, generator=generator) - 0.5,
        "features": torch.randn(2, 30, 3, generator=generator),
        "depth": torch.rand(2, 6, 8, generator=generator) + 0.1,
        "pixels": torch.randn(2, 6, 8, 2, generator=generator),
        "intrinsics": torch.tensor([[8.0, 0, 4], [0, 8.0, 3], [0, 0, 1]]),
    }
    return {name: tensor.to(device) for name, tensor in made.items()}


POSE = [(slice(0, 2), "cubic"), (3, "hold")]
# Each takes what is differentiated, and the scene.
CALLS: dict[str, tuple[str, Call]] = {
    "resample": ("values", lambda v, s: rc.resample_trajectories(v, s["times"], s["targets"])),
    "options": (
        "values",
        lambda v, s: rc.resample_trajectories(
            v, s["times"], s["targets"], channels=POSE, lengths=s["lengths"], max_gap=0.3,
            tolerance=0.2, outside="zero", return_valid=True, return_dt=True),
    ),
    "fuse": (
        "values",
        lambda v, s: rc.fuse_streams([(v, s["times"]), (v * 2, s["times"])], s["targets"]),
    ),
    "fuse options": (
        "values",
        lambda v, s: rc.fuse_streams(
            [(v, s["times"]), (v * 2, s["times"])], s["targets"], modes=["hold", "linear"],
            max_gap=[0.1, None], return_valid=True),
    ),
    "multimodal": (
        "values",
        lambda v, s: rc.fuse_multimodal(
            v, s["times"], v, s["times"], v, s["times"], s["targets"],
            modes=["mean", None, "hold"]),
    ),
    "occupancy": ("points", lambda p, s: rc.voxelize_point_cloud(p, 4, 0.25)),
    "mean": (
        "features",
        lambda f, s: rc.voxelize_point_cloud(
            s["points"], (4, 4, 2), 0.25, features=f, mode="mean", return_counts=True),
    ),
    "sum": (
        "features",
        lambda f, s: rc.voxelize_point_cloud(
            s["points"], 4, 0.25, 0.0, features=f, mode="sum", return_dropped=True),
    ),
    "sparse": (
        "points",
        lambda p, s: list(rc.voxelize_sparse(
            p, 0.25, -0.5, grid_size=4, features=s["features"], max_points=3, max_voxels=40,
            outputs=["voxels", "features", "dropped"]).values()),
    ),
    "depth to points": (
        "depth", lambda d, s: rc.depth_to_points(d, s["intrinsics"]).nan_to_num(),
    ),
    "voxels of depth": (
        "pixels",
        lambda f, s: rc.voxelize_depth(
            s["depth"], s["intrinsics"], 4, 0.25, features=f, mode="mean", return_dropped=True),
    ),
}  # fmt: skip
DIFFERENTIABLE = [name for name in CALLS if name not in ("occupancy", "sparse")]


def listed(result: Any) -> list[torch.Tensor]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def same(found: Any, expected: Any) -> None:
    for mine, theirs in zip(listed(found), listed(expected), strict=True):
        torch.testing.assert_close(mine, theirs, equal_nan=True)


@pytest.mark.parametrize("name", list(CALLS))
def test_compiled_whole(device: str, name: str) -> None:
    torch._dynamo.reset()
    given = scene(device)
    argument, call = CALLS[name]
    compiled = torch.compile(lambda x: call(x, given), fullgraph=True, backend="aot_eager")
    same(compiled(given[argument]), call(given[argument], given))


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_compiled_with_its_backward_pass(device: str, name: str) -> None:
    torch._dynamo.reset()
    given = scene(device)
    argument, call = CALLS[name]

    def loss(x: torch.Tensor) -> torch.Tensor:
        return (listed(call(x, given))[0] * 2).square().sum()

    x = given[argument].requires_grad_()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    (mine,) = torch.autograd.grad(compiled(x), x)
    (expected,) = torch.autograd.grad(loss(x), x)
    assert expected.abs().sum() > 0
    torch.testing.assert_close(mine, expected)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("name", list(CALLS))
def test_exported(device: str, name: str, strict: bool) -> None:
    torch._dynamo.reset()
    given = scene(device)
    argument, call = CALLS[name]

    class Module(torch.nn.Module):
        def forward(self, x: torch.Tensor, rest: dict[str, torch.Tensor]) -> Any:
            return call(x, rest)

    program = torch.export.export(Module(), (given[argument], given), strict=strict)
    same(program.module()(given[argument], given), call(given[argument], given))


@pytest.mark.parametrize("name", [n for n in CALLS if n not in ("options", "fuse options")])
def test_mapped_over_rows(device: str, name: str) -> None:
    """vmap over the batch is the batch, for one call a row and for one more axis."""
    given = scene(device)
    argument, call = CALLS[name]
    expected = listed(call(given[argument], given))
    rows = {key: tensor for key, tensor in given.items() if key != "intrinsics"}

    def one(x: torch.Tensor, rest: dict[str, torch.Tensor]) -> Any:
        return call(x, {**rest, "intrinsics": given["intrinsics"]})

    mapped = listed(torch.vmap(one)(rows[argument], rows))
    for mine, theirs in zip(mapped, expected, strict=True):
        torch.testing.assert_close(mine.reshape(theirs.shape), theirs, equal_nan=True)
    twice = {key: torch.stack([tensor, tensor.flip(0)]) for key, tensor in rows.items()}
    for mine, theirs in zip(
        listed(torch.vmap(one)(twice[argument], twice)),
        [torch.stack([t, t.flip(0)]) for t in expected],
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, equal_nan=True)


def test_mapped_over_values_alone(device: str) -> None:
    given = scene(device)
    values, times, targets = given["values"][0], given["times"][0], given["targets"][0]
    many = torch.stack([values, values * 2, values - 1])
    mapped = torch.vmap(lambda v: rc.resample_trajectories(v, times, targets))(many)
    same(mapped, rc.resample_trajectories(many, times, targets))
    batched = torch.vmap(lambda v: rc.resample_trajectories(v, given["times"], given["targets"]))
    stacked = torch.stack([given["values"], given["values"] * 2])
    same(batched(stacked)[1], batched(stacked)[0] * 2)


def test_derivatives_of_torch_func_and_forward_mode(device: str) -> None:
    given = scene(device)
    x = given["values"]
    call = CALLS["resample"][1]
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(call(leaf, given).square().sum(), leaf)
    same(torch.func.grad(lambda v: call(v, given).square().sum())(x), expected)
    tangent = torch.randn_like(x)
    _, moved = torch.func.jvp(lambda v: call(v, given), (x,), (tangent,))
    same(moved, call(tangent, given))
    import torch.autograd.forward_ad as forward

    with forward.dual_level():
        dual = forward.unpack_dual(call(forward.make_dual(x, tangent), given))
        same(dual.tangent, call(tangent, given))
        same(call(x, given), call(x.clone(), given))
    each = torch.vmap(torch.func.grad(lambda v: call(v, given).square().sum()))
    same(each(x[None]), expected[None])
    with pytest.raises(rc.Error, match="functorch transforms"):
        torch.func.grad(lambda v: torch.vmap(lambda w: call(w, given))(v).sum())(x[None])


@pytest.mark.parametrize("mode", ["linear", "cubic", "hold", "mean"])
def test_gradients_of_times(device: str, mode: str) -> None:
    given = scene(device)
    values, times = given["values"].requires_grad_(), given["times"].requires_grad_()
    targets = (times.detach()[:, 2:7] * 0.6 + times.detach()[:, 3:8] * 0.4).requires_grad_()

    def call(v: torch.Tensor, t: torch.Tensor, q: torch.Tensor) -> Any:
        return rc.resample_trajectories(v, t, q, mode=mode)

    assert torch.autograd.gradcheck(call, (values, times, targets), atol=1e-4)
    slopes = torch.autograd.grad(call(values, times, targets).sum(), targets, allow_unused=True)[0]
    assert (slopes is not None and slopes.abs().sum() > 0) == (mode in ("linear", "cubic"))
    fused = rc.fuse_streams([(values.detach(), times.detach())], targets, modes=[mode])
    same(fused, call(values, times, targets))
    assert fused.requires_grad == (mode in ("linear", "cubic"))


def test_gradients_that_are_not_there(device: str) -> None:
    given = scene(device)
    points, depth = given["points"].requires_grad_(), given["depth"].requires_grad_()
    for call in (
        lambda: rc.voxelize_point_cloud(points, 4, 0.25),
        lambda: rc.voxelize_sparse(points, 0.25, -0.5),
        lambda: rc.voxelize_depth(depth, given["intrinsics"], 4, 0.25),
    ):
        with pytest.raises(rc.errors.UnsupportedError, match=r"requires a gradient.*detach"):
            call()
        with torch.no_grad():
            call()


@pytest.mark.parametrize("mode", ["slerp", "max"])
def test_what_cannot_be_compiled_says_so(device: str, mode: str) -> None:
    torch._dynamo.reset()
    given = scene(device)
    values = given["values"].requires_grad_()
    compiled = torch.compile(
        lambda v: rc.resample_trajectories(v, given["times"], given["targets"], mode=mode),
        fullgraph=True,
        backend="aot_eager",
    )
    with pytest.raises(Exception, match=f"{mode}.*gradient comes from the PyTorch reference"):
        compiled(values)
    with torch.no_grad():
        same(compiled(values), rc.resample_trajectories(
            values, given["times"], given["targets"], mode=mode))  # fmt: skip


@pytest.mark.parametrize("order", ["torch, robocache as rc", "robocache as rc, torch"])
def test_whatever_is_imported_first(order: str) -> None:
    code = (
        f"import {order}, sys\n"
        "assert 'torch._dynamo' not in sys.modules and 'robocache.torch' not in sys.modules\n"
        "call = torch.compile(lambda v, t: rc.resample_trajectories(v, t, t), fullgraph=True,\n"
        "                     backend='eager')\n"
        "v, t = torch.rand(2, 5, 3), torch.arange(5.0)\n"
        "assert torch.equal(call(v, t), v)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
