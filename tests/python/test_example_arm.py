"""The simulated arm of examples/arm: its clocks, its physics and what it records."""

from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

for module in ("mujoco", "PIL"):
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"the simulated arm needs {module}", allow_module_level=True)

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

from PIL import Image

import arm
from arm.clocks import Clock, sample_times
from arm.controller import (
    CUBE_HALF_M,
    HOME_POSE,
    Task,
    actions_of,
    plan,
    poses_at,
    random_task,
)
from arm.simulate import Trace, simulate

SEED = 3
TASK = Task(
    moved="red",
    onto="plate",
    cube_positions={"red": np.array([0.45, 0.10]), "green": np.array([0.40, -0.05])},
    cube_yaws={"red": 0.4, "green": -0.2},
    plate_position=np.array([0.45, -0.17]),
)


@pytest.fixture(scope="module")
def episode() -> arm.Episode:
    return arm.record_episode(arm.load_model(), index=0, seed=SEED)


def rows(samples: arm.Samples) -> NDArray[np.float32]:
    assert isinstance(samples.values, np.ndarray)
    return samples.values


def jpegs(episode: arm.Episode) -> list[bytes]:
    values = episode.streams["observation/image"].values
    return [item for item in values if isinstance(item, bytes)]


def clouds(episode: arm.Episode) -> list[NDArray[np.float32]]:
    values = episode.streams["observation/point_cloud"].values
    return [item for item in values if isinstance(item, np.ndarray)]


def run(*, gripper_works: bool) -> Trace:
    way_times, way_poses = plan(TASK, np.random.default_rng(0))
    duration_s = float(way_times[-1])
    ticks = np.arange(0, int(duration_s * 1e9), 100_000_000, dtype=np.int64)
    actions = actions_of(poses_at(way_times, way_poses, ticks / 1e9))
    if not gripper_works:
        actions[:, 6] = 1.0
    return simulate(arm.load_model(), TASK, ticks, actions, duration_s)


def test_clock_keeps_its_rate_and_its_order() -> None:
    clock = Clock(rate_hz=200.0, jitter_s=0.01, max_offset_s=0.02)
    times = sample_times(clock, 30.0, np.random.default_rng(1))
    assert times.dtype == np.int64
    assert np.all(np.diff(times) > 0)
    assert times[0] >= 0
    assert times[-1] < 30_000_000_000
    assert abs(times.size - 6000) <= 6
    assert np.unique(np.diff(times)).size > 1000


def test_clock_drops_the_share_it_is_told_to() -> None:
    clock = Clock(rate_hz=1000.0, jitter_s=0.0, drop_probability=0.1)
    times = sample_times(clock, 20.0, np.random.default_rng(2))
    assert 17_700 < times.size < 18_300


def test_actions_add_up_to_the_planned_pose() -> None:
    way_times, way_poses = plan(TASK, np.random.default_rng(0))
    ticks_s = np.arange(0.0, way_times[-1] + 0.2, 0.1)
    actions = actions_of(poses_at(way_times, way_poses, ticks_s))
    reached = HOME_POSE[:6] + actions[:, :6].sum(axis=0)
    np.testing.assert_allclose(reached, way_poses[-1, :6], atol=1e-5)
    assert set(np.unique(actions[:, 6])) == {0.0, 1.0}


def test_arm_grasps_the_cube_and_puts_it_down() -> None:
    trace = run(gripper_works=True)
    assert trace.success
    half_opening = trace.positions[:, 7:9].mean(axis=1)
    held = np.abs(half_opening - CUBE_HALF_M) < 0.002
    assert held.mean() > 0.3
    cube_height = trace.positions[:, 11]
    assert cube_height[held].max() > CUBE_HALF_M + 0.05
    np.testing.assert_allclose(trace.positions[-1, 9:11], TASK.plate_position, atol=0.01)


def test_arm_that_does_not_grasp_moves_nothing() -> None:
    trace = run(gripper_works=False)
    assert not trace.success
    np.testing.assert_allclose(trace.positions[-1, 9:11], TASK.cube_positions["red"], atol=0.01)


def test_streams_have_their_shapes_rates_and_own_stamps(episode: arm.Episode) -> None:
    widths = {
        "action": (7, 10.0),
        "observation/gripper_position": (1, 10.0),
        "observation/joint_position": (7, 250.0),
        "observation/joint_velocity": (7, 250.0),
        "observation/wrench": (6, 400.0),
        "observation/image": (None, 20.0),
        "observation/point_cloud": (None, 10.0),
    }
    assert set(episode.streams) == set(widths)
    for name, (width, rate_hz) in widths.items():
        samples = episode.streams[name]
        gaps_s = np.diff(samples.times_ns) / 1e9
        assert samples.times_ns.dtype == np.int64
        assert len(samples.values) == samples.times_ns.size
        assert gaps_s.min() > 0.0
        assert np.median(gaps_s) == pytest.approx(1.0 / rate_hz, rel=0.05)
        if width is not None:
            assert rows(samples).dtype == np.float32
            assert rows(samples).shape[1] == width
            assert np.all(np.isfinite(rows(samples)))
    own_clocks = ["action", "observation/joint_position", "observation/wrench", "observation/image"]
    assert len({int(episode.streams[name].times_ns[0]) for name in own_clocks}) == len(own_clocks)
    assert episode.success
    assert "cube" in episode.instruction


def test_velocity_is_the_slope_of_position(episode: arm.Episode) -> None:
    position = episode.streams["observation/joint_position"]
    velocity = rows(episode.streams["observation/joint_velocity"])
    angles = rows(position)
    seconds = (position.times_ns - position.times_ns[0]) / 1e9
    travelled = np.sum(0.5 * (velocity[1:] + velocity[:-1]) * np.diff(seconds)[:, None], axis=0)
    np.testing.assert_allclose(travelled, angles[-1] - angles[0], atol=0.01)


def test_images_are_jpegs_that_change_as_the_arm_moves(episode: arm.Episode) -> None:
    files = jpegs(episode)
    assert len(files) == len(episode.streams["observation/image"].values)
    first, middle = (
        np.asarray(Image.open(io.BytesIO(files[i])).convert("RGB"), dtype=np.float64)
        for i in (0, len(files) // 2)
    )
    assert all(data.startswith(b"\xff\xd8\xff") for data in files)
    assert first.shape == (256, 256, 3)
    assert np.abs(first - middle).mean() > 2.0


def test_clouds_lie_in_the_world_with_the_table_at_zero(episode: arm.Episode) -> None:
    sizes = {len(cloud) for cloud in clouds(episode)}
    assert len(sizes) > 1
    assert min(sizes) > 1000
    assert max(sizes) <= 4096
    for cloud in clouds(episode):
        assert cloud.dtype == np.float32
        table = np.abs(cloud[:, 2]) < 0.006
        assert 0.5 < table.mean() < 0.95
        assert abs(float(np.median(cloud[table, 2]))) < 0.001
        assert cloud[:, 2].max() > 0.3


def test_cubes_lie_in_the_first_cloud_where_the_task_put_them(episode: arm.Episode) -> None:
    task = random_task(np.random.default_rng([SEED, 0]))
    cloud = clouds(episode)[0]
    tops = cloud[np.abs(cloud[:, 2] - 2 * CUBE_HALF_M) < 0.004, :2]
    for position in task.cube_positions.values():
        near = np.linalg.norm(tops - position, axis=1) < 1.5 * CUBE_HALF_M
        assert near.sum() >= 5
        np.testing.assert_allclose(tops[near].mean(axis=0), position, atol=0.008)


def test_the_same_seed_records_the_same_episode(episode: arm.Episode) -> None:
    again = arm.record_episode(arm.load_model(), index=0, seed=SEED)
    for name, samples in episode.streams.items():
        other = again.streams[name]
        np.testing.assert_array_equal(samples.times_ns, other.times_ns)
        for mine, theirs in zip(samples.values, other.values, strict=True):
            np.testing.assert_array_equal(np.asarray(mine), np.asarray(theirs))
