"""Operations bound to their tensors once and run many times."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import robocache as rc


@pytest.fixture(params=["cpu", "cuda"])
def scene(request: pytest.FixtureRequest) -> dict[str, torch.Tensor]:
    if request.param == "cuda":
        cuda = rc.check_installation()["cuda"]
        if not cuda["available"] or not torch.cuda.is_available():
            pytest.skip(f"no CUDA: {cuda.get('reason', 'torch sees no CUDA device')}")
    generator = torch.Generator().manual_seed(0)
    made = {
        "values": torch.rand(3, 40, 9, generator=generator),
        "times": torch.rand(3, 40, generator=generator).sort(dim=1)[0],
        "targets": torch.rand(3, 25, generator=generator) * 1.2 - 0.1,
        "points": torch.rand(500, 3, generator=generator) - 0.5,
        "features": torch.rand(500, 4, generator=generator),
        "depth": torch.rand(2, 30, 40, generator=generator) - 0.2,
        "intrinsics": torch.tensor([[30.0, 0, 20], [0, 30.0, 15], [0, 0, 1]]),
    }
    return {name: tensor.to(request.param) for name, tensor in made.items()}


def bound(scene, name):
    v, t, q = scene["values"], scene["times"], scene["targets"]
    calls = {
        "resample": (rc.resample_trajectories, (v, t, q), {"return_valid": True}),
        "modes": (
            rc.resample_trajectories,
            (v, t, q),
            {"channels": [(slice(0, 3), "cubic"), (slice(3, 7), "slerp"), (8, "hold")]},
        ),
        "fuse": (rc.fuse_streams, ([(v, t), (v, t)], q), {"return_valid": True}),
        "multimodal": (rc.fuse_multimodal, (v, t, v, t, v, t, q), {"modes": ["linear"] * 3}),
        "count": (rc.voxelize_point_cloud, (scene["points"], 4, 0.25), {"mode": "count"}),
        "mean": (
            rc.voxelize_point_cloud,
            (scene["points"], 4, 0.25),
            {"mode": "mean", "features": scene["features"], "return_counts": True},
        ),
        "sparse": (
            rc.voxelize_sparse,
            (scene["points"], 0.25, (-0.5, -0.5, -0.5)),
            {"grid_size": 4, "features": scene["features"], "preset": "mmcv"},
        ),
        "depth": (rc.depth_to_points, (scene["depth"], scene["intrinsics"]), {}),
        "compact": (
            rc.depth_to_points,
            (scene["depth"], scene["intrinsics"], torch.eye(4, device=v.device)),
            {"compact": True},
        ),
        "voxels of depth": (
            rc.voxelize_depth,
            (scene["depth"], scene["intrinsics"], 8, 0.1),
            {"mode": "count", "return_dropped": True},
        ),
    }
    return calls[name]


NAMES = ["resample", "modes", "fuse", "multimodal", "count", "mean"]
NAMES += ["sparse", "depth", "compact", "voxels of depth"]


def listed(outputs):
    if isinstance(outputs, dict):
        return list(outputs.values())
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


@pytest.mark.parametrize("name", NAMES)
def test_a_plan_follows_its_inputs(scene, name) -> None:
    function, args, options = bound(scene, name)
    plan = rc.Plan(function, *args, **options)
    first = listed(plan())
    for turn in range(3):
        for key in ("values", "points", "features", "depth"):
            scene[key].mul_(0.5 + turn * 0.2)
        outputs = listed(plan())
        for mine, before in zip(outputs, first, strict=True):
            assert mine is before
        for mine, expected in zip(outputs, listed(function(*args, **options)), strict=True):
            assert torch.equal(mine.nan_to_num(), expected.nan_to_num())


def test_out_is_written_and_kept(scene) -> None:
    out = torch.empty(3, 25, 9, device=scene["values"].device)
    expected = rc.resample_trajectories(scene["values"], scene["times"], scene["targets"])
    plan = rc.Plan(
        rc.resample_trajectories, scene["values"], scene["times"], scene["targets"], out=out
    )
    assert torch.equal(out, expected)
    out.fill_(7)
    pointer = out.data_ptr()
    del out
    scene.clear()
    gc.collect()
    again = plan()
    assert again.data_ptr() == pointer
    assert torch.equal(again, expected)


def test_numpy_plans() -> None:
    values, times = np.random.default_rng(0).random((2, 9, 3)), np.arange(9.0)
    plan = rc.Plan(rc.resample_trajectories, values, times, times + 0.25)
    values += 1
    np.testing.assert_array_equal(plan(), rc.resample_trajectories(values, times, times + 0.25))


def test_what_cannot_be_planned(scene) -> None:
    v, t, q = scene["values"], scene["times"], scene["targets"]
    with pytest.raises(rc.errors.InvalidArgumentError, match="wanted resample_trajectories"):
        rc.Plan(len, v)
    with pytest.raises(rc.errors.ArgumentTypeError, match="needs a function"):
        rc.Plan()
    with pytest.raises(rc.errors.InvalidArgumentError, match="requires a gradient"):
        rc.Plan(rc.resample_trajectories, v.clone().requires_grad_(), t, q)
    with pytest.raises(rc.errors.InvalidArgumentError, match="pytorch"):
        rc.Plan(rc.fuse_streams, [(v, t)], q, backend="pytorch")
    with pytest.raises(rc.errors.InvalidArgumentError, match="shape"):
        rc.Plan(rc.resample_trajectories, v, t, q, out=torch.empty_like(v))
    plan = rc.Plan(rc.resample_trajectories, v, t, q)
    with pytest.raises(rc.errors.ArgumentTypeError, match="without arguments"):
        plan(v)


def test_threads_that_share_a_plan() -> None:
    """A call that meets another is refused; what the plan holds stays whole."""
    points = np.random.default_rng(0).random((200_000, 3), dtype=np.float32) - 0.5
    features = np.ones((len(points), 4), np.float32)
    plan = rc.Plan(rc.voxelize_point_cloud, points, 64, 1 / 64, features=features, mode="sum")
    refused: list[str] = []

    def call() -> None:
        for _ in range(20):
            try:
                plan()
            except rc.errors.InvalidArgumentError as error:
                refused.append(str(error))

    rc.set_num_threads(1)  # or calls would take turns at the threads
    try:
        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        rc.set_num_threads(0)
    assert all("a plan for each thread" in message for message in refused)
    expected = rc.voxelize_point_cloud(points, 64, 1 / 64, features=features, mode="sum")
    np.testing.assert_array_equal(plan(), expected)


def test_plans_are_freed() -> None:
    class Tracked(np.ndarray):
        pass

    import weakref

    values = np.zeros((2, 9, 3)).view(Tracked)
    plan = rc.Plan(rc.resample_trajectories, values, np.arange(9.0), np.arange(3.0))
    gone = weakref.ref(values)
    del values
    assert gone() is not None
    del plan
    gc.collect()
    assert gone() is None
