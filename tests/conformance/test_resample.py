"""resample_trajectories on every backend, against the float64 reference."""

from __future__ import annotations

import functools
import hashlib
import zlib
from typing import Any

import numpy as np
import pytest
import torch

import robocache as rc
from tests.conformance.backends import Backend
from tests.conformance.reference import Options, Result, resample

# Units in the last place of the compute type times the operations of the longest mode.
RTOL = {
    torch.float64: 1e-11,
    torch.float32: 4e-6,
    torch.float16: 2e-3,
    torch.bfloat16: 1.6e-2,
}
FLOATS = list(RTOL)
INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool]
EPOCH_NS = 1_726_000_000_000_000_000
POSE = [(slice(0, 3), "linear"), (slice(3, 7), "slerp"), (7, "hold")]

SHAPES = [  # B, S, T, D
    (1, 1, 1, 1),
    (1, 2, 5, 3),
    (2, 7, 13, 5),
    (3, 100, 50, 32),
    (1, 33, 64, 17),
    (2, 300, 257, 8),
    (5, 20, 1, 130),
]

CASES: dict[str, Options] = {
    "linear": Options(),
    "hold": Options(mode="hold"),
    "nearest": Options(mode="nearest"),
    "cubic": Options(mode="cubic"),
    "angle": Options(mode="angle"),
    "mean": Options(mode="mean"),
    "max": Options(mode="max"),
    "min": Options(mode="min"),
    "linear-nan": Options(outside="nan"),
    "linear-zero": Options(outside="zero"),
    "linear-extrapolate": Options(outside="extrapolate"),
    "hold-nan": Options(mode="hold", outside="nan"),
    "nearest-zero": Options(mode="nearest", outside="zero"),
    "cubic-nan": Options(mode="cubic", outside="nan"),
    "mean-nan": Options(mode="mean", outside="nan"),
    "linear-gap": Options(max_gap=0.05),
    "linear-gap-nan": Options(max_gap=0.05, outside="nan"),
    "hold-tolerance": Options(mode="hold", tolerance=0.03),
    "nearest-tolerance-zero": Options(mode="nearest", tolerance=0.02, outside="zero"),
    "linear-tolerance-nan": Options(tolerance=0.02, outside="nan"),
    "cubic-gap-tolerance": Options(mode="cubic", max_gap=0.06, tolerance=0.03, outside="nan"),
}
UNITS = {"int64": 1_000_000_000, "float64": 1, "float32": 1}


def make(
    seed: str, shape: tuple[int, int, int, int], unit: str, ordered: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values [B, S, D] in [-2, 2], times [B, S] with repeats, targets [B, T] around them."""
    rng = np.random.default_rng(zlib.crc32(seed.encode()))
    b, s, t, d = shape
    step = rng.uniform(0.005, 0.06, (b, s))
    step[rng.random((b, s)) < 0.1] = 0.0
    seconds = np.cumsum(step, axis=1)
    targets = rng.uniform(-0.05, seconds[:, -1:] + 0.05, (b, t))
    picks = rng.random((b, t)) < 0.2
    targets[picks] = np.take_along_axis(seconds, rng.integers(0, s, (b, t)), axis=1)[picks]
    if ordered:
        targets.sort(axis=1)
    values = rng.uniform(-2, 2, (b, s, d))
    if unit == "int64":
        return (
            values,
            EPOCH_NS + np.rint(seconds * 1e9).astype(np.int64),
            EPOCH_NS + np.rint(targets * 1e9).astype(np.int64),
        )
    kind = np.dtype(unit)
    return values, seconds.astype(kind), targets.astype(kind)


def scaled(options: Options, unit: str) -> Options:
    """Limits from seconds to the unit of the times."""
    factor = UNITS[unit]
    limits = {
        name: None if (limit := getattr(options, name)) is None else limit * factor
        for name in ("max_gap", "tolerance")
    }
    return Options(
        options.mode, options.outside, options.channels, nan_missing=options.nan_missing, **limits
    )


@functools.cache
def expected(digest: str, options: str) -> list[Result]:
    """Where the reference's result for these inputs is kept: it is the same for every backend."""
    return []


def reference_result(
    values: np.ndarray,
    times: np.ndarray,
    targets: np.ndarray,
    options: Options,
    lengths: np.ndarray | None,
) -> Result:
    digest = hashlib.sha256()
    for array in (values, times, targets, lengths):
        digest.update(b"none" if array is None else repr(array.shape).encode() + array.tobytes())
    kept = expected(digest.hexdigest(), repr(options))
    if not kept:
        kept.append(resample(values, times, targets, options, lengths))
    return kept[0]


def compare(
    backend: Backend,
    values: np.ndarray,
    times: np.ndarray,
    targets: np.ndarray,
    options: Options,
    dtype: torch.dtype,
    lengths: np.ndarray | None = None,
    near: float | None = None,
) -> None:
    """The backend's values, valid and dt against the reference's on the rounded values."""
    data = torch.as_tensor(values).to(dtype)
    wide = data.to(torch.float64).numpy()
    result = reference_result(wide, times, targets, options, lengths)
    arguments: dict[str, Any] = options.arguments()
    if lengths is not None:
        arguments["lengths"] = backend.tensor(lengths)
    out, valid, dt = rc.resample_trajectories(
        data.to(backend.device),
        backend.tensor(times),
        backend.tensor(targets),
        return_valid=True,
        return_dt=True,
        backend=backend.argument,
        **arguments,
    )
    assert out.dtype == dtype
    assert out.device.type == backend.device
    assert tuple(out.shape) == result.values.shape
    np.testing.assert_array_equal(valid.cpu().numpy().astype(bool), result.valid)
    if times.dtype.kind == "i":
        np.testing.assert_array_equal(dt.cpu().numpy(), result.dt)
    else:
        np.testing.assert_allclose(
            dt.cpu().numpy().astype(np.float64), result.dt, rtol=1e-5, atol=1e-6
        )
    got = out.cpu().to(torch.float64).numpy()
    if dtype in RTOL:
        bound = near if near is not None else RTOL[dtype]
        np.testing.assert_allclose(got, result.values, rtol=bound, atol=2 * bound)
    else:
        np.testing.assert_array_equal(got, result.values)


@pytest.mark.parametrize("unit", list(UNITS))
@pytest.mark.parametrize("case", list(CASES))
def test_modes_and_policies(backend: Backend, case: str, unit: str) -> None:
    options = scaled(CASES[case], unit)
    for shape in SHAPES:
        values, times, targets = make(f"{case}{shape}", shape, unit)
        near = 2e-4 if unit == "float32" else None
        if options.outside == "extrapolate" or options.mode in ("cubic", "angle"):
            near = 2e-3 if unit == "float32" else 4e-4
        compare(backend, values, times, targets, options, torch.float32, near=near)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("mode", ["linear", "hold", "nearest", "cubic", "mean", "max"])
def test_float_types(backend: Backend, mode: str, dtype: torch.dtype) -> None:
    for shape in SHAPES:
        values, times, targets = make(f"{mode}{dtype}{shape}", shape, "int64")
        near = {torch.float64: 1e-9, torch.float32: 2e-4}.get(dtype) if mode == "cubic" else None
        compare(backend, values, times, targets, Options(mode=mode), dtype, near=near)


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("mode", ["hold", "nearest", "max", "min"])
def test_integer_types(backend: Backend, mode: str, dtype: torch.dtype) -> None:
    for shape in SHAPES:
        values, times, targets = make(f"{mode}{dtype}{shape}", shape, "int64")
        whole = np.rint(values * 60) if dtype != torch.bool else values > 0
        if dtype == torch.uint8:
            whole = np.abs(whole)
        compare(backend, whole, times, targets, Options(mode=mode), dtype)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_pose_groups(backend: Backend, dtype: torch.dtype) -> None:
    for shape in ((2, 40, 33, 8), (1, 3, 9, 8), (3, 64, 128, 8)):
        values, times, targets = make(f"pose{shape}", shape, "int64")
        values[..., 3:7] /= np.linalg.norm(values[..., 3:7], axis=-1, keepdims=True)
        near = {torch.float64: 1e-7, torch.float32: 2e-5}.get(dtype, 2 * RTOL[dtype])
        compare(backend, values, times, targets, Options(channels=POSE), dtype, near=near)


@pytest.mark.parametrize("outside", ["hold", "nan"])
def test_many_groups(backend: Backend, outside: str) -> None:
    modes = ("linear", "hold", "cubic", "nearest")
    groups = [(c, modes[c % 4]) for c in range(131)]
    values, times, targets = make(f"groups{outside}", (2, 40, 33, 131), "int64")
    options = Options(channels=groups, max_gap=0.05, tolerance=0.03, outside=outside)
    near = 4e-4
    compare(backend, values, times, targets, scaled(options, "int64"), torch.float32, near=near)


def test_slerp_antipodal_and_parallel(backend: Backend) -> None:
    q = np.array(
        [[0, 0, 0, 1], [0, 0, 0, -1], [1e-9, 0, 0, 1], [0.6, 0, 0, 0.8], [-0.6, 0, 0, -0.8]]
    )
    times = np.arange(5) * 1_000_000_000
    targets = np.arange(0, 4_000_000_001, 125_000_000)
    out = rc.resample_trajectories(
        backend.tensor(q[None]),
        backend.tensor(times),
        backend.tensor(targets),
        mode="slerp",
        backend=backend.argument,
    ).cpu()
    assert torch.isfinite(out).all()
    np.testing.assert_allclose(np.linalg.norm(out[0].numpy(), axis=-1), 1.0, atol=1e-12)
    # q and -q are one rotation: between them nothing turns.
    np.testing.assert_allclose(np.abs(out[0, :9, 3].numpy()), 1.0, atol=1e-12)
    np.testing.assert_allclose(np.abs(out[0, 24:, 3].numpy()), 0.8, atol=1e-12)


@pytest.mark.parametrize(
    "case", ["linear", "hold", "cubic", "mean", "linear-nan", "linear-gap-nan"]
)
@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_ragged_lengths(backend: Backend, case: str, kind: Any) -> None:
    values, times, targets = make(f"ragged{case}", (6, 50, 40, 9), "int64")
    lengths = np.array([50, 0, 1, 2, 17, 49], dtype=kind)
    near = 4e-4 if case == "cubic" else None
    compare(
        backend,
        values,
        times,
        targets,
        scaled(CASES[case], "int64"),
        torch.float32,
        lengths,
        near=near,
    )


@pytest.mark.parametrize("mode", ["linear", "hold", "nearest", "cubic", "mean"])
def test_nan_is_missing(backend: Backend, mode: str) -> None:
    rng = np.random.default_rng(11)
    values, times, targets = make(f"missing{mode}", (3, 60, 45, 6), "int64")
    values[rng.random(values.shape) < 0.3] = np.nan
    values[1, :, 2] = np.nan
    near = 4e-3 if mode == "cubic" else None
    compare(
        backend,
        values,
        times,
        targets,
        Options(mode=mode, nan_missing=True),
        torch.float32,
        near=near,
    )


def test_nan_values_pass_through_otherwise(backend: Backend) -> None:
    values = np.array([[[1.0], [np.nan], [3.0]]])
    out = rc.resample_trajectories(
        backend.tensor(values),
        backend.tensor(np.array([0, 10, 20])),
        backend.tensor(np.array([0, 5, 20])),
        backend=backend.argument,
    )
    np.testing.assert_array_equal(out.cpu().numpy()[0, :, 0], [1.0, np.nan, 3.0])


@pytest.mark.parametrize("mode", ["linear", "hold", "nearest", "cubic"])
def test_unsorted_targets(backend: Backend, mode: str) -> None:
    values, times, targets = make(f"unsorted{mode}", (3, 80, 200, 12), "int64", ordered=False)
    near = 4e-4 if mode == "cubic" else None
    compare(backend, values, times, targets, Options(mode=mode), torch.float32, near=near)


def test_shared_times(backend: Backend) -> None:
    values, times, targets = make("shared", (4, 60, 40, 7), "int64")
    compare(backend, values, times[0], targets, Options(), torch.float32)
    compare(backend, values, times[0], targets[1], Options(), torch.float32)
    compare(backend, values, times, targets[2], Options(mode="hold"), torch.float32)


def test_strided_inputs(backend: Backend) -> None:
    rng = np.random.default_rng(13)
    _, times, targets = make("strided", (4, 30, 20, 6), "int64")
    wide = backend.tensor(rng.normal(size=(4, 60, 14)), torch.float32)
    views = [wide[:, ::2, 3:9], wide[:, :30, ::2][..., :6], wide[:, 30:, 1:7]]
    views += [wide.permute(0, 2, 1)[:, :14, :6], wide[:, :30, :6].expand(4, 30, 6)]
    for view in views:
        s = view.shape[1]
        stamps = backend.tensor(np.ascontiguousarray(times[:, :s]))
        ticks = backend.tensor(np.repeat(targets, 2, axis=1))[:, ::2]
        plain = rc.resample_trajectories(
            view.contiguous(), stamps, ticks.contiguous(), backend=backend.argument
        )
        out = rc.resample_trajectories(view, stamps, ticks, backend=backend.argument)
        assert torch.equal(out, plain)


@pytest.mark.parametrize("shape", [(0, 5, 4, 3), (2, 5, 0, 3), (2, 5, 4, 0), (2, 0, 4, 3)])
def test_empty(backend: Backend, shape: tuple[int, int, int, int]) -> None:
    b, s, t, d = shape
    for outside, blank in (("hold", 0.0), ("nan", np.nan), ("zero", 0.0)):
        out, valid = rc.resample_trajectories(
            torch.zeros(b, s, d, device=backend.device),
            torch.zeros(b, s, dtype=torch.int64, device=backend.device),
            torch.zeros(b, t, dtype=torch.int64, device=backend.device),
            outside=outside,
            return_valid=True,
            backend=backend.argument,
        )
        assert tuple(out.shape) == (b, t, d)
        if s == 0:
            np.testing.assert_array_equal(out.cpu().numpy(), np.full((b, t, d), blank, np.float32))
            assert not valid.any()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "hold", "tolerance": 10**7},
        {"mode": "nearest", "tolerance": 10**7, "outside": "nan"},
        {"mode": "cubic", "max_gap": 3 * 10**7},
        {"outside": "extrapolate"},
        {"mode": "mean"},
        {"mode": "angle", "nan_missing": True},
    ],
    ids=str,
)
def test_no_channels(backend: Backend, options: dict[str, Any]) -> None:
    """Which targets have a value, and how far away it is, the stamps say."""
    values, times, targets = make("no channels", (3, 40, 60, 4), "int64")
    lengths = backend.tensor(np.array([40, 7, 0], np.int32))
    stamps, ticks = backend.tensor(times), backend.tensor(targets)
    found, expected = (
        rc.resample_trajectories(
            backend.tensor(values)[..., :width], stamps, ticks, lengths=lengths, **options,
            return_valid=True, return_dt=True, backend=backend.argument,
        )
        for width in (0, 4)
    )  # fmt: skip
    assert tuple(found[0].shape) == (3, 60, 0)
    assert bool(expected[1].any())
    assert not bool(expected[1].all())
    assert torch.equal(found[1], expected[1])
    assert torch.equal(found[2], expected[2])


def test_out_is_written_in_place(backend: Backend) -> None:
    values, times, targets = make("out", (2, 30, 20, 5), "float64")
    arguments = (backend.tensor(values), backend.tensor(times), backend.tensor(targets))
    expected = rc.resample_trajectories(*arguments, backend=backend.argument)
    out = torch.full_like(expected, float("nan"))
    returned = rc.resample_trajectories(*arguments, backend=backend.argument, out=out)
    assert returned is out
    assert torch.equal(out, expected)
    wide = torch.full((2, 20, 9), float("nan"), dtype=torch.float64, device=backend.device)
    rc.resample_trajectories(*arguments, backend=backend.argument, out=wide[..., 2:7])
    assert torch.equal(wide[..., 2:7], expected)
    assert torch.isnan(wide[..., :2]).all()
    assert torch.isnan(wide[..., 7:]).all()


@pytest.mark.parametrize("unit", ["int64", "float64"])
def test_epoch_stamps_lose_nothing(backend: Backend, unit: str) -> None:
    """float32 cannot tell stamps of one day in 2024 apart: its steps there are 128 s."""
    offset = np.arange(1000) * 0.01
    ramp = offset.reshape(1, -1, 1)
    base = 1_726_000_000
    if unit == "int64":
        times = base * 10**9 + np.rint(offset * 1e9).astype(np.int64)
        targets = times[:-1] + 2_500_000
        bound = 1e-7
    else:
        times = base + offset
        targets = times[:-1] + 0.0025
        bound = 5e-7  # float64 seconds are 2.4e-7 s apart there
        assert len(np.unique(times.astype(np.float32))) <= 2
    out = rc.resample_trajectories(
        backend.tensor(ramp),
        backend.tensor(times),
        backend.tensor(targets),
        backend=backend.argument,
    )
    np.testing.assert_allclose(out.cpu().numpy()[0, :, 0], offset[:-1] + 0.0025, atol=bound)


def test_extreme_stamps(backend: Backend) -> None:
    """Stamps on both sides of zero, almost as far apart as int64 reaches."""
    low, high = -(2**62) + 2, 2**62 - 2
    out = rc.resample_trajectories(
        backend.tensor(np.array([[[0.0], [1.0]]])),
        backend.tensor(np.array([low, high])),
        backend.tensor(np.array([low, low // 2, 0, high // 2, high])),
        backend=backend.argument,
    )
    np.testing.assert_allclose(out.cpu().numpy()[0, :, 0], [0, 0.25, 0.5, 0.75, 1], atol=1e-15)
