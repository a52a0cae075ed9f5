"""The reference itself, against SciPy and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline, interp1d
from scipy.spatial.transform import Rotation, Slerp

from tests.conformance.reference import Options, resample, voxelize


def samples(seed: int, count: int = 40, width: int = 3) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.01, 0.3, count))
    targets = rng.uniform(times[0], times[-1], 200)
    return rng.normal(size=(1, count, width)), times, targets


@pytest.mark.parametrize(("mode", "kind"), [("linear", "linear"), ("hold", "previous")])
def test_interp1d(mode: str, kind: str) -> None:
    values, times, targets = samples(1)
    expected = interp1d(times, values[0], kind=kind, axis=0)(targets)
    result = resample(values, times, targets, Options(mode=mode))
    np.testing.assert_allclose(result.values[0], expected, rtol=1e-12, atol=1e-12)
    assert result.valid.all()


def test_nearest_is_closest_stamp() -> None:
    values, times, targets = samples(2)
    expected = values[0][np.abs(targets[:, None] - times[None]).argmin(axis=1)]
    result = resample(values, times, targets, Options(mode="nearest"))
    np.testing.assert_array_equal(result.values[0], expected)


def test_cubic_is_hermite_with_gradient_tangents() -> None:
    values, times, targets = samples(3)
    slopes = np.gradient(values[0], times, axis=0)
    expected = CubicHermiteSpline(times, values[0], slopes)(targets)
    result = resample(values, times, targets, Options(mode="cubic"))
    np.testing.assert_allclose(result.values[0], expected, rtol=1e-10, atol=1e-10)


def test_slerp() -> None:
    _, times, targets = samples(4)
    turns = Rotation.random(len(times), random_state=np.random.RandomState(4))
    expected = Slerp(times, turns)(targets)
    result = resample(turns.as_quat()[None], times, targets, Options(mode="slerp"))
    off = (Rotation.from_quat(result.values[0]) * expected.inv()).magnitude()
    assert off.max() < 1e-7


def test_angle_follows_unwrapped_phase() -> None:
    rng = np.random.default_rng(5)
    times = np.cumsum(rng.uniform(0.01, 0.1, 60))
    phase = np.cumsum(rng.uniform(-3.0, 3.0, 60))
    wrapped = np.angle(np.exp(1j * phase))
    targets = rng.uniform(times[0], times[-1], 300)
    expected = np.angle(np.exp(1j * np.interp(targets, times, phase)))
    result = resample(wrapped[None, :, None], times, targets, Options(mode="angle"))
    np.testing.assert_allclose(
        np.exp(1j * result.values[0, :, 0]), np.exp(1j * expected), atol=1e-9
    )


@pytest.mark.parametrize("mode", ["mean", "max", "min"])
def test_reductions_partition_the_samples(mode: str) -> None:
    rng = np.random.default_rng(6)
    times = np.sort(rng.integers(0, 1000, 500))
    values = rng.normal(size=(1, 500, 2))
    targets = np.arange(0, 1001, 50)
    result = resample(values, times, targets, Options(mode=mode))
    for j, end in enumerate(targets):
        rows = values[0][(times > end - 50) & (times <= end)]
        assert result.valid[0, j] == (len(rows) > 0)
        if len(rows):
            np.testing.assert_allclose(result.values[0, j], getattr(np, mode)(rows, axis=0))


def test_voxel_counts_are_a_histogram() -> None:
    rng = np.random.default_rng(7)
    points = rng.uniform(-1.2, 1.2, (5000, 3))
    _, counts, dropped = voxelize(points, (4, 5, 6), (0.5, 0.4, 0.3), (-1, -1, -1), None, "count")
    edges = [np.arange(n + 1) * s - 1 for n, s in ((4, 0.5), (5, 0.4), (6, 0.3))]
    expected, _ = np.histogramdd(points, bins=edges)
    # Points on a cell's very edge may fall to either side of histogramdd's rounded edges.
    assert np.abs(counts - expected).sum() <= 2
    assert counts.sum() + dropped == 5000
