"""Whatever is given in the place of an argument: the call works, or raises a robocache.Error."""

from __future__ import annotations

import functools
import io
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import robocache as rc

JUNK: dict[str, Any] = {
    "None": None, "True": True, "7": 7, "-1": -1, "0": 0, "2**70": 2**70, "1.5": 1.5,
    "nan": math.nan, "-inf": -math.inf, "complex": 1j, "text": "bogus", "empty text": "",
    "surrogate": "\ud800", "NUL": "a\0b", "bytes": b"\xff", "list": [], "list of None": [None],
    "nested": [[1], [2, 3]], "list of text": ["a"], "tuple": (), "pair": (1, 2), "dict": {},
    "set": {1}, "object": object(), "type": int, "function": len, "slice": slice("a", None, 0),
    "generator": (i for i in ()),
    "scalar": np.float32(3), "empty array": np.zeros(0), "text array": np.array(["a"]),
    "object array": np.array([None, {}], object), "complex array": np.zeros((2, 4), complex),
    "structured": np.zeros(3, [("a", "i4")]), "swapped": np.zeros((2, 4), ">f4"),
    "dates": np.array(["2026-01-01"], "M8[ns]"),
    "read only": np.broadcast_to(np.float32(0), (2, 4)),
    "many axes": np.zeros([1] * 12, np.float32), "unaligned": np.zeros(9, "u1")[1:].view("f4"),
    "tensor": torch.zeros(2, 4), "empty tensor": torch.zeros(0, 3),
    "sparse": torch.eye(4).to_sparse(),
    "meta": torch.zeros(2, 4, device="meta"),
    "complex tensor": torch.zeros(2, dtype=torch.complex64),
    "expanded": torch.zeros(1).expand(2, 4), "parameter": torch.nn.Parameter(torch.zeros(2, 4)),
}  # fmt: skip


def arguments() -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Each public operation with arguments that it takes."""
    values, times = np.zeros((2, 4, 4), np.float32), np.arange(4.0)
    points, depth = np.zeros((2, 5, 3), np.float32), np.ones((2, 6, 8), np.float32)
    features = np.ones((2, 5, 2), np.float32)
    resampling = {
        "outside": "hold", "lengths": [4, 4], "channels": [(slice(0, 2), "hold")], "max_gap": 1.0,
        "tolerance": 1.0, "nan_missing": False, "check_times": False, "return_valid": True,
    }  # fmt: skip
    grid = {"grid_size": 4, "voxel_size": 0.5, "origin": 0.0, "mode": "mean", "features": features}
    grid |= {"return_counts": True, "return_dropped": True, "out": None}
    camera = {"depth": depth, "intrinsics": np.eye(3), "pose": np.eye(4), "depth_scale": 1.0}
    camera |= {"min_depth": 0.0, "max_depth": 9.0, "pixel_offset": 0.0}
    per_stream = {name: [option] for name, option in resampling.items() if name in (
        "outside", "lengths", "channels", "max_gap", "tolerance")}  # fmt: skip
    fusing = {**resampling, **per_stream, "modes": ["linear"], "out": None}
    one = {"target_times": times, "mode": "linear", "return_dt": True, "out": None}
    three = {
        f"{name}{of}": array
        for name, (of, array) in itertools.product(
            ("vision", "proprio", "force"), (("", values), ("_times", times))
        )
    }
    return {
        "resample_trajectories": (
            rc.resample_trajectories,
            {"data": values, "source_times": times, **one, **resampling},
        ),
        "fuse_streams": (
            rc.fuse_streams,
            {"streams": [(values, times)], "target_times": times, **fusing},
        ),
        "fuse_multimodal": (
            rc.fuse_multimodal,
            {**three, "target_times": times, **{k: v for k, v in fusing.items() if k != "modes"},
             "modes": None, "outside": "hold", "lengths": None, "channels": None, "max_gap": None,
             "tolerance": None},
        ),
        "voxelize_point_cloud": (
            rc.voxelize_point_cloud, {"points": points, "lengths": None, **grid}),
        "voxelize_sparse": (
            rc.voxelize_sparse,
            {"points": points, "voxel_size": 0.5, "origin": 0.0, "grid_size": 4, "mode": "mean",
             "features": features, "preset": "robocache", "upper": 1.0, "scale": 1.0,
             "max_points": 3, "max_voxels": 9, "lengths": [5, 2], "outputs": ["voxels"]},
        ),
        "depth_to_points": (rc.depth_to_points, {**camera, "compact": True}),
        "voxelize_depth": (
            rc.voxelize_depth,
            {**camera, **grid, "features": np.ones((2, 6, 8, 2), np.float32)},
        ),
    }  # fmt: skip


CASES = [
    (name, parameter)
    for name, (_, given) in arguments().items()
    for parameter in [*given, "backend"]
]


def attempt(call: Callable[[], Any]) -> Exception | None:
    try:
        call()
    except rc.Error:
        return None
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("backend", ["cpu", "pytorch"])
@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_operations(name: str, parameter: str, backend: str) -> None:
    function, given = arguments()[name]
    function(**given, backend=backend)
    others = {}
    for kind, value in JUNK.items():
        call = functools.partial(function, **{"backend": backend, **given, parameter: value})
        error = attempt(call)
        if error is not None:
            others[kind] = repr(error)[:200]
    assert not others


@pytest.mark.parametrize("backend", ["cpu", "pytorch", None])
@pytest.mark.parametrize("parameter", ["images", "size", "channels", "out", "on_error", "jpeg_dct"])
def test_decoding(parameter: str, backend: str | None) -> None:
    buffer = io.BytesIO()
    pytest.importorskip("PIL.Image").fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, "jpeg")
    given = {"images": [buffer.getvalue()], "size": (8, 8), "channels": 3, "backend": backend}
    rc.decode_jpeg(**given)
    others = {}
    for kind, value in JUNK.items():
        error = attempt(functools.partial(rc.decode_jpeg, **{**given, parameter: value}))
        if error is not None:
            others[kind] = repr(error)[:200]
    assert not others


@pytest.mark.parametrize(
    "function",
    [rc.set_num_threads, rc.set_cpu_features, rc.Plan, lambda v: rc.set_image_limits(max_scans=v),
     lambda v: rc.Plan(rc.fuse_streams, v), rc.Window, lambda v: rc.Window(seconds=v),
     lambda v: rc.Window(mode=v), lambda v: rc.Window(outside=v), lambda v: rc.Window(name=v),
     lambda v: rc.Window(tolerance=v), lambda v: rc.Window(max_gap=v),
     lambda v: rc.Window(channels=v), lambda v: rc.Window(max_points=v), rc.Feature,
     lambda v: rc.Window(voxelize=v), lambda v: rc.Voxels(v, 0.5), lambda v: rc.Voxels(4, v),
     lambda v: rc.Voxels(4, 0.5, v), lambda v: rc.Voxels(4, 0.5, mode=v),
     lambda v: rc.Voxels(4, 0.5, intrinsics=v), lambda v: rc.Voxels(4, 0.5, max_depth=v),
     lambda v: rc.Voxels(4, 0.5, min_depth=v), rc.Voxels(4, 0.5),
     lambda v: rc.Feature("float32", v), lambda v: rc.Feature("uint8", (-1, -1, 3), v),
     lambda v: rc.Feature("float32", (3,), ragged=v)],
)  # fmt: skip
def test_settings_and_declarations(function: Callable[[Any], Any]) -> None:
    others = {}
    try:
        for kind, value in JUNK.items():
            error = attempt(functools.partial(function, value))
            if error is not None:
                others[kind] = repr(error)[:200]
    finally:
        rc.set_num_threads(0)
        rc.set_cpu_features(None)
        rc.set_image_limits()
    assert not others


WRITER = ["path", "name", "features", "version", "metadata", "description", "shard_bytes"]
WRITER += ["control_rate_hz", "append", "on_error"]


@pytest.mark.parametrize("parameter", WRITER)
def test_writers(tmp_path, monkeypatch, parameter: str) -> None:
    monkeypatch.chdir(tmp_path)
    others = {}
    for number, (kind, value) in enumerate(JUNK.items()):
        given = {"path": tmp_path / str(number), "name": "x", "features": {"a": rc.Feature()}}
        error = attempt(functools.partial(rc.RldsWriter, **{**given, parameter: value}))
        if error is not None:
            others[kind] = repr(error)[:200]
    assert not others


@pytest.mark.parametrize("parameter", ["steps", "metadata", "split", "sample", "text", "stamps"])
def test_episodes(tmp_path, parameter: str) -> None:
    features = {
        "a": rc.Feature("float32", (2,)),
        "text": rc.Feature("str"),
        "force": rc.Feature("float32", ragged=True),
        "force_time_ns": rc.Feature("int64", ragged=True),
    }
    others = {}
    with rc.RldsWriter(tmp_path, "x", features, metadata={"m": rc.Feature("str")}) as writer:
        for kind, value in JUNK.items():
            steps = {
                "a": np.zeros((2, 2)), "text": ["a", "b"], "force": [[1.0], [2.0]],
                "force_time_ns": [[1], [2]],
            }  # fmt: skip
            given: dict[str, Any] = {"steps": steps, "metadata": {"m": "x"}, "split": "train"}
            if parameter in given:
                given[parameter] = value
            else:
                steps[{"sample": "a", "text": "text", "stamps": "force_time_ns"}[parameter]] = value
            error = attempt(functools.partial(writer.add_episode, **given))
            if error is not None:
                others[kind] = repr(error)[:200]
        writer.add_episode(
            {"a": np.zeros((1, 2)), "text": ["a"], "force": [[1.0]], "force_time_ns": [[1]]},
            metadata={"m": "x"},
        )
    assert not others
