"""Bad input: the error names the argument, what it was and what it must be."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import robocache as rc
from tests.conformance.backends import Backend

Call = Callable[..., Any]


def resample(values: Any = None, times: Any = None, targets: Any = None, **keywords: Any) -> Call:
    def call(backend: Backend, **more: Any) -> Any:
        def put(array: Any, default: Any) -> Any:
            return backend.tensor(default if array is None else array)

        given = {
            k: backend.tensor(v) if isinstance(v, np.ndarray) else v for k, v in keywords.items()
        }
        return rc.resample_trajectories(
            put(values, np.zeros((2, 4, 3), np.float32)),
            put(times, np.tile(np.arange(4), (2, 1))),
            put(targets, np.tile(np.arange(5), (2, 1))),
            backend=backend.argument,
            **given,
            **more,
        )

    return call


def voxelize(points: Any = None, grid: Any = 4, size: Any = 0.5, **keywords: Any) -> Call:
    def call(backend: Backend) -> Any:
        given = {
            k: backend.tensor(v) if isinstance(v, np.ndarray) else v for k, v in keywords.items()
        }
        cloud = np.zeros((10, 3), np.float32) if points is None else points
        return rc.voxelize_point_cloud(
            backend.tensor(cloud), grid, size, backend=backend.argument, **given
        )

    return call


def fuse(*values: Any, out: Any = None, **keywords: Any) -> Call:
    """Streams of `values`, each with the times that fit it; targets [2, 5]."""

    def call(backend: Backend) -> Any:
        streams = [
            (backend.tensor(v), backend.tensor(np.tile(np.arange(v.shape[1]), (len(v), 1))))
            for v in values
        ]
        return rc.fuse_streams(
            streams,
            backend.tensor(np.tile(np.arange(5), (2, 1))),
            out=None if out is None else backend.tensor(out),
            backend=backend.argument,
            **keywords,
        )

    return call


def times(*rows: Any, kind: Any = np.int64) -> np.ndarray:
    return np.array(rows, dtype=kind)


PAIR = np.zeros((2, 4, 1), np.float32)
WHOLE = np.zeros((2, 4, 3), np.int32)
BAD: dict[str, tuple[Call, list[str]]] = {
    "times of another length": (
        resample(times=np.tile(np.arange(5), (2, 1))), ["source_times", "5", "4"]),
    "times of another batch": (
        resample(times=np.tile(np.arange(4), (3, 1))), ["source_times", "3", "2"]),
    "targets of another batch": (
        resample(targets=np.tile(np.arange(4), (3, 1))), ["target_times", "3", "2"]),
    "targets of another type": (
        resample(targets=np.zeros((2, 5))), ["target_times", "float64", "int64"]),
    "times of whole seconds": (
        resample(times=np.zeros((2, 4), np.int32), targets=np.zeros((2, 5), np.int32)),
        ["source_times", "int32", "int64"]),
    "complex values": (
        resample(np.zeros((2, 4, 3), np.complex64)), ["data|values", "complex|code 5"]),
    "four axes": (resample(np.zeros((2, 4, 3, 1), np.float32)), ["data", "4"]),
    "lengths of another batch": (resample(lengths=np.array([1, 2, 3])), ["lengths", "3", "2"]),
    "float lengths": (resample(lengths=np.array([1.0, 2.0])), ["lengths", "float64", "int"]),
    "no such mode": (resample(mode="spline"), ["mode", "spline", "linear"]),
    "no such policy": (resample(outside="wrap"), ["outside", "wrap", "hold"]),
    "linear on integers": (resample(WHOLE, mode="linear"), ["linear", "int32"]),
    "nan in integers": (resample(WHOLE, mode="hold", outside="nan"), ["nan", "int32"]),
    "extrapolated hold": (
        resample(mode="hold", outside="extrapolate"), ["extrapolate", "hold", "linear"]),
    "slerp of three": (resample(mode="slerp"), ["slerp", "3", "4|four"]),
    "slerp group of two": (resample(channels=[(slice(0, 2), "slerp")]), ["slerp", "2", "4|four"]),
    "groups overlap": (
        resample(channels=[(slice(0, 2), "hold"), (1, "linear")]), ["channels", "overlap"]),
    "channel out of range": (resample(channels=[(3, "hold")]), ["channels", "3"]),
    "out of another shape": (resample(out=np.zeros((2, 4, 3), np.float32)), ["out", "4", "5"]),
    "out of another type": (resample(out=np.zeros((2, 5, 3))), ["out", "float64", "float32"]),
    "no streams": (fuse(), ["streams", "0", "1"]),
    "streams of two types": (
        fuse(PAIR, PAIR.astype(np.float64)), ["1", "values|dtype", "float64", "float32"]),
    "streams of two batches": (fuse(PAIR, np.zeros((3, 4, 1), np.float32)), ["2", "3"]),
    "modes for more streams": (fuse(PAIR, modes=["hold", "hold"]), ["modes", "2", "1"]),
    "fused out of another shape": (
        fuse(PAIR, PAIR, out=np.zeros((2, 5, 1), np.float32)), ["out", "1", "2"]),
    "zero voxel size": (voxelize(size=0.0), ["voxel_size", "0"]),
    "negative voxel size": (voxelize(size=(1.0, -1.0, 1.0)), ["voxel_size", "-1"]),
    "nan voxel size": (voxelize(size=float("nan")), ["voxel_size", "nan"]),
    "empty grid": (voxelize(grid=(4, 0, 4)), ["grid_size", "0"]),
    "two axes of grid": (voxelize(grid=(4, 4)), ["grid_size", "3|three"]),
    "infinite origin": (voxelize(origin=(0.0, float("inf"), 0.0)), ["origin", "inf"]),
    "points of two": (voxelize(np.zeros((10, 2), np.float32)), ["points", "2", "3"]),
    "integer points": (voxelize(np.zeros((10, 3), np.int64)), ["points", "int64", "float"]),
    "features left out": (voxelize(mode="mean"), ["features"]),
    "features of another length": (
        voxelize(mode="mean", features=np.zeros((9, 2), np.float32)), ["features", "9", "10"]),
    "features of integers": (
        voxelize(mode="mean", features=np.zeros((10, 2), np.int32)), ["features", "int32"]),
    "no such reduction": (voxelize(mode="median"), ["mode", "median", "mean"]),
}  # fmt: skip


@pytest.mark.parametrize("case", list(BAD))
def test_bad_arguments(backend: Backend, case: str) -> None:
    call, words = BAD[case]
    with pytest.raises((ValueError, TypeError)) as caught:
        call(backend)
    assert isinstance(caught.value, rc.Error), type(caught.value)
    for word in words:
        assert re.search(word, str(caught.value)), f"{word!r} not in: {caught.value}"


CHECKED: dict[str, tuple[Call, list[str]]] = {
    "unsorted times": (
        resample(times=times([0, 1, 2, 3], [0, 5, 4, 6])), ["source_times", "1", "2", "5", "4"]),
    "unsorted float times": (
        resample(
            times=times([0, 1, 0.5, 3], [0, 1, 2, 3], kind=np.float64),
            targets=times([0.0], [1.0], kind=np.float64)),
        ["source_times", "0.5"]),
    "nan times": (
        resample(
            times=times([0, 1, np.nan, 3], [0, 1, 2, 3], kind=np.float32),
            targets=times([0.0], [1.0], kind=np.float32)),
        ["source_times", "nan"]),
    "nan target": (
        resample(
            times=np.tile(np.arange(4.0), (2, 1)), targets=np.full((2, 1), np.nan)),
        ["target_times", "NaN"]),
    "negative lengths": (resample(lengths=np.array([4, -1])), ["lengths", "-1"]),
    "lengths past the samples": (resample(lengths=np.array([5, 4])), ["lengths", "5", "4"]),
}  # fmt: skip


@pytest.mark.parametrize("case", list(CHECKED))
def test_bad_contents(backend: Backend, case: str) -> None:
    """What only reading the tensors can tell; CUDA looks when it is asked to, and never crashes."""
    call, words = CHECKED[case]
    asked = {}
    if backend.device != "cpu":
        call(backend)
        torch.cuda.synchronize()
        if "lengths" in words:
            return
        asked = {"check_times": True}
    with pytest.raises(rc.errors.InvalidArgumentError) as caught:
        call(backend, **asked)
    for word in words:
        assert re.search(word, str(caught.value), re.IGNORECASE), str(caught.value)


@pytest.mark.parametrize("kind", [np.int64, np.float64, np.float32])
def test_the_first_bad_stamp_is_named(backend: Backend, kind: Any) -> None:
    """By batch row, by source, by sample."""
    if backend.argument == "pytorch":
        pytest.skip("the reference names the sample, not the stream")
    first = np.tile(np.arange(300), (3, 1)).astype(kind)
    second = first.copy()
    first[1, 200:] -= 100
    first[2, 5] = 0
    second[1, 7] = 5
    targets = backend.tensor(np.arange(4).astype(kind))
    values = backend.tensor(np.zeros((3, 300, 2), np.float32))

    def fuse() -> torch.Tensor:
        return rc.fuse_streams(
            [(values, backend.tensor(first)), (values, backend.tensor(second))],
            targets,
            check_times=True,
            backend=backend.argument,
        )

    with pytest.raises(rc.errors.InvalidArgumentError, match=r"\[0\].*\[1, 200\] is 100.*199"):
        fuse()
    first[1, 200:] += 100
    with pytest.raises(rc.errors.InvalidArgumentError, match=r"\[1\].*\[1, 7\] is 5.*6"):
        fuse()
    first[2, 5] = 5
    second[1, 7] = 7
    assert fuse().shape == (3, 4, 4)


def test_stamps_too_far_apart(backend: Backend) -> None:
    if backend.argument == "pytorch":
        pytest.skip("the reference does not look")
    stamps = backend.tensor(np.array([-1.7e308, 0.0, 1.7e308]))
    with pytest.raises(rc.errors.InvalidArgumentError, match="further apart"):
        rc.resample_trajectories(
            backend.tensor(np.zeros((1, 3, 1), np.float32)),
            stamps,
            stamps,
            check_times=True,
            backend=backend.argument,
        )


def test_output_that_overlaps_an_input(backend: Backend) -> None:
    if backend.argument == "pytorch":
        pytest.skip("the reference computes before it copies to out")
    whole = torch.zeros(1, 12, 3, device=backend.device)
    stamps = torch.arange(6, device=backend.device)
    with pytest.raises(ValueError, match=r"out.*overlap"):
        rc.resample_trajectories(
            whole[:, :6], stamps, stamps, out=whole[:, 4:10], backend=backend.argument
        )


def test_grid_that_overlaps_the_points(backend: Backend) -> None:
    if backend.argument == "pytorch":
        pytest.skip("the reference computes before it copies to out")
    points = torch.zeros(64, 3, device=backend.device)
    grid = points.view(-1)[:64].view(4, 4, 4, 1)
    with pytest.raises(ValueError, match=r"out.*overlap"):
        rc.voxelize_point_cloud(
            points, 4, 0.5, features=points[:, :1], mode="max", out=grid, backend=backend.argument
        )


def test_kinds_do_not_mix(backend: Backend) -> None:
    if backend.argument == "pytorch":
        pytest.skip("the reference takes what torch can convert")
    with pytest.raises((TypeError, ValueError), match="source_times"):
        rc.resample_trajectories(
            torch.zeros(1, 2, 1), np.arange(2), torch.arange(2), backend=backend.argument
        )


def test_cuda_that_is_not_there_says_why() -> None:
    if rc.check_installation()["cuda"]["available"]:
        pytest.skip("CUDA is there")
    with pytest.raises(rc.Error, match="CUDA"):
        rc.resample_trajectories(
            torch.zeros(1, 2, 1), torch.arange(2), torch.arange(2), backend="cuda"
        )
