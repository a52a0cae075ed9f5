"""CuPy and JAX arrays, and tensors that do not belong together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import robocache as rc
from tests.gpu.operations import scene


def numpy_of(inputs: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    names = ("values", "times", "other", "other_times", "targets", "points", "features")
    return {name: inputs[name].cpu().numpy() for name in names}


def test_cupy() -> None:
    cupy = pytest.importorskip("cupy")
    host = numpy_of(scene(7))
    device = {name: cupy.asarray(array) for name, array in host.items()}
    cupy.cuda.get_current_stream().synchronize()  # the next one does not wait for it
    with cupy.cuda.Stream(non_blocking=True) as stream:
        out, valid = rc.resample_trajectories(
            device["values"], device["times"], device["targets"], return_valid=True
        )
        mean = rc.voxelize_point_cloud(
            device["points"], (9, 8, 7), 0.3, mode="mean", features=device["features"]
        )
        stream.synchronize()
    assert isinstance(out, cupy.ndarray)
    expected, on_host = rc.resample_trajectories(
        host["values"], host["times"], host["targets"], return_valid=True
    )
    np.testing.assert_allclose(out.get(), expected, rtol=1e-6)
    np.testing.assert_array_equal(valid.get(), on_host)
    np.testing.assert_allclose(
        mean.get(),
        rc.voxelize_point_cloud(
            host["points"], (9, 8, 7), 0.3, mode="mean", features=host["features"]
        ),
        rtol=1e-5,
        atol=1e-6,
    )
    again = cupy.empty_like(out)
    rc.resample_trajectories(device["values"], device["times"], device["targets"], out=again)
    np.testing.assert_array_equal(again.get(), out.get())


def fused(t: dict[str, Any]) -> Any:
    return rc.fuse_streams(
        [(t["values"], t["times"]), (t["other"], t["other_times"])],
        t["targets"],
        modes=["linear", "hold"],
    )


def sparse(t: dict[str, Any]) -> dict[str, Any]:
    return rc.voxelize_sparse(
        t["points"], voxel_size=0.2, features=t["features"], preset="mmcv", max_points=5,
        max_voxels=900, origin=(-1, -1, -1), grid_size=10,
        outputs=["counts", "voxels", "point_to_voxel"],
    )  # fmt: skip


def test_cupy_fuses_and_finds_voxels() -> None:
    cupy = pytest.importorskip("cupy")
    host = numpy_of(scene(16))
    device = {name: cupy.asarray(array) for name, array in host.items()}
    for _ in range(3):  # the third time launches are known
        np.testing.assert_allclose(fused(device).get(), fused(host), rtol=1e-6)
        found, expected = sparse(device), sparse(host)
        for name, array in expected.items():
            assert isinstance(found[name], cupy.ndarray)
            np.testing.assert_array_equal(found[name].get(), array)


def test_cupy_work_follows_its_current_stream() -> None:
    cupy = pytest.importorskip("cupy")
    host = numpy_of(scene(8))
    times, targets = cupy.asarray(host["times"]), cupy.asarray(host["targets"])
    values = cupy.zeros_like(cupy.asarray(host["values"]))
    source = cupy.asarray(host["values"])
    cupy.cuda.Device().synchronize()
    with cupy.cuda.Stream(non_blocking=True) as stream:
        big = cupy.ones((4096, 4096), dtype=cupy.float32)
        for _ in range(5):
            big = big @ big
        values[...] = source
        out = rc.resample_trajectories(values, times, targets)
        stream.synchronize()
    expected = rc.resample_trajectories(host["values"], host["times"], host["targets"])
    np.testing.assert_allclose(out.get(), expected, rtol=1e-6)


def test_jax() -> None:
    jax = pytest.importorskip("jax")
    try:
        device = jax.devices("gpu")[0]
    except RuntimeError as error:
        pytest.skip(f"jax sees no GPU: {error}")
    host = {name: a.astype(np.float32) for name, a in numpy_of(scene(9)).items()}
    arrays = {name: jax.device_put(array, device) for name, array in host.items()}
    for _ in range(20):
        moved = arrays["values"] + 1
        out = rc.resample_trajectories(moved, arrays["times"], arrays["targets"])
        assert isinstance(out, jax.Array)
        assert out.devices() == {device}
        after = out * 2
    expected = rc.resample_trajectories(host["values"] + 1, host["times"], host["targets"])
    np.testing.assert_allclose(np.asarray(after), expected * 2, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(fused(arrays)), fused(host), rtol=1e-5)
    count = rc.voxelize_point_cloud(arrays["points"], (9, 8, 7), 0.3, mode="count")
    np.testing.assert_array_equal(
        np.asarray(count), rc.voxelize_point_cloud(host["points"], (9, 8, 7), 0.3, mode="count")
    )


def test_mixed_devices_are_errors() -> None:
    gpu, cpu = scene(10), scene(10, "cpu")
    for values, times, targets in (
        (gpu["values"], cpu["times"], gpu["targets"]),
        (gpu["values"], gpu["times"], cpu["targets"]),
        (cpu["values"], gpu["times"], cpu["targets"]),
    ):
        with pytest.raises(rc.errors.InvalidArgumentError, match="device"):
            rc.resample_trajectories(values, times, targets)
    with pytest.raises(rc.errors.InvalidArgumentError, match="device"):
        rc.resample_trajectories(
            gpu["values"], gpu["times"], gpu["targets"], out=torch.empty(5, 200, 67)
        )
    with pytest.raises(rc.errors.InvalidArgumentError, match="device"):
        rc.voxelize_point_cloud(
            gpu["points"], 8, 0.1, features=cpu["features"], mode="mean", backend="cuda"
        )
    with pytest.raises(rc.errors.InvalidArgumentError, match="CUDA device 0"):
        fused({**gpu, "other_times": cpu["other_times"]})
    with pytest.raises(rc.errors.InvalidArgumentError, match="CUDA device 0"):
        sparse({**gpu, "features": cpu["features"]})
    with pytest.raises(rc.errors.InvalidArgumentError, match="CUDA device 0"):
        rc.depth_to_points(gpu["depth"], cpu["intrinsics"])
    with pytest.raises(rc.errors.InvalidArgumentError, match="move it to the host"):
        rc.resample_trajectories(gpu["values"], gpu["times"], gpu["targets"], backend="cpu")
    with pytest.raises(rc.errors.InvalidArgumentError, match="not on a CUDA device"):
        rc.resample_trajectories(cpu["values"], cpu["times"], cpu["targets"], backend="cuda")


def test_mixed_frameworks_are_errors() -> None:
    cupy = pytest.importorskip("cupy")
    gpu = scene(17)
    with pytest.raises(rc.errors.ArgumentTypeError, match="not mixed"):
        rc.resample_trajectories(gpu["values"], cupy.asarray(gpu["times"]), gpu["targets"])


def test_installation_reports_the_backend() -> None:
    found = rc.check_installation()["cuda"]
    assert found["available"], found
    assert torch.cuda.get_device_name(0) in found["devices"]
