"""Real logs on the camera's clock, against float64 SciPy on the int64 stamps."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline, interp1d
from scipy.spatial.transform import Rotation, Slerp

import robocache as rc
from tests.conformance.backends import Backend

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
import align_logs


def data(folder: str) -> Path:
    root = os.environ.get("ROBOCACHE_TEST_DATA")
    if not root:
        pytest.skip("ROBOCACHE_TEST_DATA is not set")
    return Path(root) / folder


def expected(stream: align_logs.Stream, clock: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """SciPy's values at the clock's ticks that are valid, and which those are."""
    last = np.append(np.diff(stream.times_ns) > 0, True)  # of equal stamps the newest
    times, values = stream.times_ns[last], stream.values[last].astype(np.float64)
    inside = (clock >= times[0]) & ((clock <= times[-1]) | (stream.mode == "hold"))
    # Relative to the first stamp, int64 ns are exact in float64.
    x, at = (times - times[0]).astype(np.float64), (clock[inside] - times[0]).astype(np.float64)
    if stream.mode == "slerp":
        return Slerp(x, Rotation.from_quat(values))(at).as_quat(), inside
    if stream.mode == "cubic":
        return CubicHermiteSpline(x, values, np.gradient(values, x, axis=0))(at), inside
    if stream.mode == "angle":
        values = np.unwrap(values, axis=0)
    if stream.mode == "hold":
        return values[np.searchsorted(x, at, side="right") - 1], inside
    return interp1d(x, values, kind="linear", axis=0)(at), inside


@pytest.mark.parametrize("log", ["comma2k19", "screw"])
def test_streams_agree_with_scipy(backend: Backend, log: str) -> None:
    if log == "comma2k19":
        clock, streams = align_logs.load_comma2k19(data("multirate_comma2k19"))
        assert len(streams) >= 15
    else:
        clock, streams = align_logs.load_screw(data("multirate_screw_ft") / "data/data_1")
    # Half-way between frames too, so that no stream is merely asked for its own stamps.
    ticks = np.sort(np.concatenate([clock, clock[:-1] + np.diff(clock) // 2]))
    for name, stream in streams.items():
        want, inside = expected(stream, ticks)
        out, valid = rc.resample_trajectories(
            backend.tensor(stream.values[None]),
            backend.tensor(stream.times_ns),
            backend.tensor(ticks),
            mode=stream.mode,
            return_valid=True,
            backend=backend.argument,
        )
        np.testing.assert_array_equal(valid[0].cpu().numpy().astype(bool), inside, err_msg=name)
        got = out[0].cpu().numpy()[inside].astype(np.float64)
        if stream.mode == "slerp":
            got *= np.sign((got * want).sum(axis=1, keepdims=True))
        if stream.mode == "angle":
            want, got = np.exp(1j * want), np.exp(1j * got)
        scale = np.nanmax(np.abs(want))
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6 * scale, err_msg=name)


def test_the_arm_starts_late_and_its_gaps_show(backend: Backend) -> None:
    clock, streams = align_logs.load_screw(data("multirate_screw_ft") / "data/data_1")
    force = streams["arm/force"]
    assert force.times_ns[0] - clock[0] == 659_000_000
    _, valid, dt = rc.resample_trajectories(
        backend.tensor(force.values[None]),
        backend.tensor(force.times_ns),
        backend.tensor(clock),
        max_gap=60_000_000,
        return_valid=True,
        return_dt=True,
        backend=backend.argument,
    )
    valid, dt = valid[0].cpu().numpy().astype(bool), dt[0].cpu().numpy()
    early = clock < force.times_ns[0]
    assert early.sum() >= 15
    assert not valid[early].any()
    assert dt[0] == -659_000_000
    stamps = force.times_ns
    wide = np.flatnonzero(np.diff(stamps) > 60_000_000)
    assert len(wide) > 0
    for i in wide:
        within = (clock > stamps[i]) & (clock < stamps[i + 1])
        assert not valid[within].any()
    covered = ~early & (clock <= stamps[-1])
    for i in wide:
        covered &= ~((clock > stamps[i]) & (clock < stamps[i + 1]))
    assert valid[covered].all()
