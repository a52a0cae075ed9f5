"""Every operation gives the bits that were recorded, on the inputs of this suite.

A digest that changes is a change of results: where it is wanted, `python -m
tests.conformance.test_digest` writes digests.json anew, and the commit says what changed and why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import robocache as rc
from tests.conformance import test_fuse, test_resample, test_sparse, test_voxelize
from tests.conformance.backends import BACKENDS, Backend
from tests.conformance.reference import Options

FILE = Path(__file__).with_name("digests.json")
ALL_TYPES = [*test_resample.FLOATS, *test_resample.INTEGERS]
PRESETS = ["mmcv", "spconv", "open3d_down_sample", "open3d_voxelize", "kaolin"]


def flatten(value: Any) -> Iterable[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for name in sorted(value):
            yield from flatten(value[name])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from flatten(item)


class Calls:
    """Calls operations on one backend and digests what goes in and what comes out."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._inputs = hashlib.sha256()
        self._outputs = hashlib.sha256()

    @staticmethod
    def _fold(digest: Any, value: Any) -> None:
        for tensor in flatten(value):
            array = tensor.detach().cpu()
            if array.is_floating_point():
                # Any NaN is as good as another; widening loses nothing.
                wide = array.dtype == torch.float64
                array = array.to(torch.float64 if wide else torch.float32)
                array = torch.where(array.isnan(), torch.full_like(array, torch.nan), array)
            digest.update(repr((str(tensor.dtype), tuple(tensor.shape))).encode())
            digest.update(array.contiguous().numpy().tobytes())

    def put(self, array: Any, dtype: torch.dtype | None = None) -> torch.Tensor:
        return self.backend.tensor(array, dtype)

    def __call__(self, operation: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        result = operation(*arguments, backend=self.backend.argument, **options)
        self._fold(self._inputs, [arguments, options])
        self._fold(self._outputs, result)
        return result

    def gradient(self, result: torch.Tensor, values: torch.Tensor) -> None:
        weights = torch.linspace(-1, 1, result.numel(), dtype=torch.float64)
        result.backward(weights.reshape(result.shape).to(result))
        self._fold(self._outputs, values.grad)

    def digests(self) -> list[str]:
        return [self._inputs.hexdigest()[:16], self._outputs.hexdigest()[:16]]


def resample(
    calls: Calls, seed: str, options: Options, dtype: torch.dtype, unit: str = "int64", **more: Any
) -> None:
    for shape in test_resample.SHAPES:
        values, times, targets = test_resample.make(f"{seed}{shape}", shape, unit)
        calls(
            rc.resample_trajectories,
            calls.put(torch.as_tensor(values * 60).to(dtype)),
            calls.put(times),
            calls.put(targets),
            return_valid=True,
            return_dt=True,
            **test_resample.scaled(options, unit).arguments(),
            **more,
        )


def modes(case: str) -> Callable[[Calls], None]:
    def run(calls: Calls) -> None:
        for unit in test_resample.UNITS:
            resample(calls, case, test_resample.CASES[case], torch.float32, unit)

    return run


def types(dtype: torch.dtype) -> Callable[[Calls], None]:
    def run(calls: Calls) -> None:
        floats = ("linear", "cubic", "angle", "mean") if dtype.is_floating_point else ()
        for mode in (*floats, "hold", "nearest", "max", "min"):
            resample(calls, mode, Options(mode=mode), dtype)

    return run


def groups(calls: Calls) -> None:
    for dtype in test_resample.FLOATS:
        values, times, targets = test_resample.make("pose", (3, 64, 128, 8), "int64")
        x, y, z, w = (values[..., i : i + 1] for i in range(3, 7))
        values[..., 3:7] /= np.sqrt(((x * x + y * y) + z * z) + w * w)
        tensors = (calls.put(values, dtype), calls.put(times), calls.put(targets))
        for outside in ("hold", "nan", "zero"):
            options = Options(channels=test_resample.POSE, outside=outside)
            calls(rc.resample_trajectories, *tensors, return_valid=True, **options.arguments())
    many = [(c, ("linear", "hold", "cubic", "nearest")[c % 4]) for c in range(131)]
    values, times, targets = test_resample.make("groups", (2, 40, 33, 131), "int64")
    tensors = (calls.put(values, torch.float32), calls.put(times), calls.put(targets))
    calls(rc.resample_trajectories, *tensors, **Options(channels=many).arguments())


def missing(calls: Calls) -> None:
    rng = np.random.default_rng(11)
    lengths = calls.put(np.array([60, 0, 1, 17], dtype=np.int32))
    for mode in ("linear", "hold", "nearest", "cubic", "mean"):
        for ordered in (True, False):
            shape = (4, 60, 45, 6)
            values, times, targets = test_resample.make(f"missing{mode}", shape, "int64", ordered)
            values[rng.random(values.shape) < 0.3] = np.nan
            tensors = (calls.put(values, torch.float32), calls.put(times), calls.put(targets))
            for nan_missing in (True, False):
                calls(
                    rc.resample_trajectories,
                    *tensors,
                    lengths=lengths,
                    return_valid=True,
                    **Options(mode=mode, nan_missing=nan_missing).arguments(),
                )


def gradients(calls: Calls) -> None:
    for mode in ("linear", "hold", "nearest", "cubic", "mean"):
        for dtype in (torch.float32, torch.float64):
            for width in (5, 32):
                shape = (2, 90, 70, width)
                values, times, targets = test_resample.make(f"gradient{mode}", shape, "int64")
                tensor = calls.put(values, dtype).requires_grad_()
                stamps = (calls.put(times), calls.put(targets))
                calls.gradient(calls(rc.resample_trajectories, tensor, *stamps, mode=mode), tensor)


def fuse(calls: Calls) -> None:
    for sizes in test_fuse.STREAMS:
        for dtype in (torch.float32, torch.bfloat16, torch.float64):
            for count in (1, 50, 129):
                streams, targets = test_fuse.make(len(sizes), sizes, 3, count, dtype)
                pairs = [(calls.put(v), calls.put(t)) for v, t in streams]
                names = [test_fuse.MODES[i % 4] for i in range(len(pairs))]
                ticks = calls.put(targets)
                calls(rc.fuse_streams, pairs, ticks, modes=names, return_valid=True)
                calls(rc.fuse_streams, pairs, ticks)


def voxels(mode: str) -> Callable[[Calls], None]:
    def run(calls: Calls) -> None:
        counting = mode in ("occupancy", "count")
        for cells, size, origin in test_voxelize.GRIDS:
            for kind in (np.float32, np.float64):
                for count in (0, 1, 1000, 20_001):
                    points = test_voxelize.cloud(count, count, kind)
                    features = np.random.default_rng(count).normal(size=(count, 5)) - 3
                    for dtype in [None] if counting else test_voxelize.RTOL:
                        given = {} if dtype is None else {"features": calls.put(features, dtype)}
                        calls(
                            rc.voxelize_point_cloud,
                            calls.put(points),
                            cells,
                            size,
                            origin,
                            mode=mode,
                            return_counts=not counting,
                            return_dropped=True,
                            **given,
                        )

    return run


def sparse(preset: str | None) -> Callable[[Calls], None]:
    def run(calls: Calls) -> None:
        hard = preset in ("mmcv", "spconv")
        for seed, limits in enumerate([(35, 1000), (3, 1000), (5, 40)] if hard else [None]):
            points = test_sparse.cloud(seed, 3000)
            grid: dict[str, Any] = {"grid_size": 32}
            where: tuple[Any, ...] = ()
            if preset != "kaolin":
                where = (tuple(test_sparse.SIZE), tuple(test_sparse.LOW))
                grid = {"grid_size": tuple(test_sparse.GRID)}
            if preset == "open3d_down_sample":
                where, grid = (0.25,), {}
            if preset == "open3d_voxelize":
                grid = {"upper": (1.0, 1.0, 1.0)}
            if limits is not None:
                grid |= {"max_points": limits[0], "max_voxels": limits[1]}
                grid["outputs"] = test_sparse.OUTPUTS
            else:
                grid |= {"mode": "mean", "outputs": ["coordinates", "num_voxels", "features"]}
                grid["outputs"] += ["counts", "point_to_voxel", "point_coordinates", "dropped"]
            calls(
                rc.voxelize_sparse,
                calls.put(points[:, :3].copy()),
                *where,
                features=calls.put(points),
                **({} if preset is None else {"preset": preset}),
                **grid,
            )

    return run


def depth(calls: Calls) -> None:
    rng = np.random.default_rng(8)
    intrinsics = calls.put(np.array([[40.0, 0, 15.5], [0, 42.0, 11.5], [0, 0, 1]]))
    pose = np.eye(4)
    pose[:3, :3] = [[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]]
    pose[:3, 3] = [0.1, -0.2, 0.9]
    millimetres = rng.integers(0, 4000, (24, 32)).astype(np.uint16)
    for image in (millimetres, (millimetres * 0.001).astype(np.float32)):
        tensors = (calls.put(image), intrinsics, calls.put(pose))
        scale = {"depth_scale": 0.001 if image.dtype == np.uint16 else 1.0}
        calls(rc.depth_to_points, *tensors, **scale)
        packed, length = rc.depth_to_points(
            *tensors, compact=True, backend=calls.backend.argument, **scale
        )
        calls._fold(calls._outputs, packed[: int(length.reshape(-1)[0])])
        for mode in ("occupancy", "count"):
            calls(
                rc.voxelize_depth, tensors[0], intrinsics, (16, 16, 16), 0.5, pose=tensors[2],
                mode=mode, **scale,
            )  # fmt: skip


CASES: dict[str, Callable[[Calls], None]] = {
    **{f"resample {case}": modes(case) for case in test_resample.CASES},
    **{f"resample {str(dtype).removeprefix('torch.')}": types(dtype) for dtype in ALL_TYPES},
    "resample groups": groups,
    "resample missing": missing,
    "resample gradients": gradients,
    "fuse": fuse,
    **{
        f"voxelize {mode}": voxels(mode)
        for mode in ("occupancy", "count", "sum", "mean", "max", "min")
    },
    **{f"sparse {preset or 'dense order'}": sparse(preset) for preset in (None, *PRESETS)},
    "depth": depth,
}


def digests(backend: Backend, case: str) -> list[str]:
    calls = Calls(backend)
    CASES[case](calls)
    return calls.digests()


@pytest.mark.parametrize("case", list(CASES))
def test_results_are_those_recorded(backend: Backend, case: str) -> None:
    if backend.argument == "pytorch":
        pytest.skip("the reference rounds otherwise")
    inputs, outputs = json.loads(FILE.read_text())[case]
    found = digests(backend, case)
    assert found[0] == inputs, "the inputs are others than those recorded"
    assert found[1] == outputs


if __name__ == "__main__":
    recorded = {case: digests(BACKENDS[0], case) for case in CASES}
    FILE.write_text(json.dumps(recorded, indent=2) + "\n")
