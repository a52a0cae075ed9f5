"""Recording: each sensor looks at the simulated arm on its own clock and stamps what it saw."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import mujoco  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .clocks import NS_PER_SECOND, Clock, sample_times
from .controller import Floats, actions_of, plan, poses_at, random_task
from .simulate import GRIPPER_OPEN_M, Trace, load_model, place_plate, simulate

CLOCKS = {
    "joints": Clock(rate_hz=250.0, jitter_s=2.5e-4, drop_probability=0.004, max_offset_s=0.010),
    "wrench": Clock(rate_hz=400.0, jitter_s=1.5e-4, drop_probability=0.004, max_offset_s=0.010),
    "image": Clock(rate_hz=20.0, jitter_s=2.5e-3, drop_probability=0.02, max_offset_s=0.045),
    "point_cloud": Clock(rate_hz=10.0, jitter_s=4e-3, drop_probability=0.03, max_offset_s=0.080),
    "control": Clock(rate_hz=10.0, jitter_s=1e-3, max_offset_s=0.015),
}
"""Joint positions and velocities share a clock; actions and the gripper share the control clock."""

FIRST_START_NS = 1_780_000_000 * NS_PER_SECOND
EPISODE_SPACING_NS = 60 * NS_PER_SECOND
IMAGE_SIZE = 256
DEPTH_HEIGHT, DEPTH_WIDTH = 120, 160
DEPTH_NOISE_M = 0.001
CLOUD_CELL_M = 0.015
CLOUD_MAX_POINTS = 4096
CLOUD_LOW: Floats = np.array([-0.10, -0.42, -0.01])
CLOUD_HIGH: Floats = np.array([0.75, 0.42, 0.9])


@dataclass(frozen=True)
class Samples:
    """One stream of one episode.

    times_ns: int64[N], strictly increasing, nanoseconds since the Unix epoch.
    values: float32[N,D], or a list of N JPEG files, or a list of N point clouds float32[M_i,3] in
        world coordinates (m).
    """

    times_ns: NDArray[np.int64]
    values: NDArray[np.float32] | list[bytes] | list[NDArray[np.float32]]


@dataclass(frozen=True)
class Episode:
    """One recorded pick and place.

    streams: name to samples.
        action float32[N,7]: set-point move dx, dy, dz (m), droll, dpitch, dyaw (rad), and the
            gripper's command (0 close, 1 open).
        observation/gripper_position float32[N,1]: 0 closed to 1 open. Stamps: those of action.
        observation/joint_position, observation/joint_velocity float32[N,7]: rad, rad/s. The two
            have the same stamps.
        observation/wrench float32[N,6]: force (N) and torque (N m) at the wrist, in its frame.
        observation/image: N JPEG files, 256x256 RGB.
        observation/point_cloud: N clouds float32[M,3] (m), at most CLOUD_MAX_POINTS points each.
    instruction: the task in words. success: the cube came to rest at its goal.
    """

    streams: dict[str, Samples]
    instruction: str
    success: bool


def record_episodes(count: int, seed: int = 0) -> Iterator[Episode]:
    """Record count episodes, one after the other. The same seed gives the same episodes."""
    model = load_model()
    for index in range(count):
        yield record_episode(model, index, seed)


def record_episode(model: mujoco.MjModel, index: int, seed: int = 0) -> Episode:
    """Simulate and record episode number index, about five seconds long.

    It depends on seed and index alone. Raises mujoco.FatalError where no OpenGL context can be had.
    """
    rng = np.random.default_rng([seed, index])
    task = random_task(rng)
    way_times, way_poses = plan(task, rng)
    duration_s = float(way_times[-1])

    clocks = {name: sample_times(clock, duration_s, rng) for name, clock in CLOCKS.items()}
    ticks = clocks["control"]
    actions = actions_of(poses_at(way_times, way_poses, ticks / NS_PER_SECOND))
    trace = simulate(model, task, ticks, actions, duration_s)

    start_ns = FIRST_START_NS + index * EPISODE_SPACING_NS
    positions = _at(trace, trace.positions[:, :7], clocks["joints"])
    velocities = _at(trace, trace.velocities[:, :7], clocks["joints"])
    wrenches = _at(trace, trace.wrenches, clocks["wrench"])
    opening = _at(trace, trace.positions[:, 7:9].mean(axis=1, keepdims=True), ticks)
    wrench_noise = np.array([0.15, 0.15, 0.15, 0.005, 0.005, 0.005])
    streams = {
        "action": Samples(start_ns + ticks, actions),
        "observation/gripper_position": Samples(
            start_ns + ticks, _noisy(opening / GRIPPER_OPEN_M, 0.002, rng)
        ),
        "observation/joint_position": Samples(
            start_ns + clocks["joints"], _noisy(positions, 2e-5, rng)
        ),
        "observation/joint_velocity": Samples(
            start_ns + clocks["joints"], _noisy(velocities, 2e-3, rng)
        ),
        "observation/wrench": Samples(
            start_ns + clocks["wrench"], _noisy(wrenches, wrench_noise, rng)
        ),
        "observation/image": Samples(
            start_ns + clocks["image"], _photograph(model, trace, clocks["image"])
        ),
        "observation/point_cloud": Samples(
            start_ns + clocks["point_cloud"], _scan(model, trace, clocks["point_cloud"], rng)
        ),
    }
    return Episode(streams=streams, instruction=task.instruction, success=trace.success)


def _at(trace: Trace, rows: Floats, times_ns: NDArray[np.int64]) -> Floats:
    """Return rows float64[K,D] at times_ns int64[N], linear between physics steps: float64[N,D]."""
    columns = [np.interp(times_ns, trace.times_ns, rows[:, i]) for i in range(rows.shape[1])]
    return np.column_stack(columns)


def _noisy(
    values: Floats, deviation: float | Floats, rng: np.random.Generator
) -> NDArray[np.float32]:
    return (values + rng.normal(size=values.shape) * deviation).astype(np.float32)


def _poses(
    model: mujoco.MjModel, trace: Trace, times_ns: NDArray[np.int64]
) -> Iterator[mujoco.MjData]:
    """Yield the scene as it stood at each of times_ns, ready to render; one object, reused."""
    data = mujoco.MjData(model)
    place_plate(data, trace.plate_position)
    for row in _at(trace, trace.positions, times_ns):
        data.qpos[:] = row
        mujoco.mj_normalizeQuat(model, data.qpos)
        mujoco.mj_fwdPosition(model, data)
        yield data


def _photograph(model: mujoco.MjModel, trace: Trace, times_ns: NDArray[np.int64]) -> list[bytes]:
    files: list[bytes] = []
    with mujoco.Renderer(model, IMAGE_SIZE, IMAGE_SIZE) as renderer:
        for data in _poses(model, trace, times_ns):
            renderer.update_scene(data, "rgb")
            buffer = io.BytesIO()
            Image.fromarray(renderer.render()).save(buffer, "JPEG", quality=90)
            files.append(buffer.getvalue())
    return files


def _scan(
    model: mujoco.MjModel,
    trace: Trace,
    times_ns: NDArray[np.int64],
    rng: np.random.Generator,
) -> list[NDArray[np.float32]]:
    camera = model.camera("depth")
    rays = _camera_rays(float(np.radians(camera.fovy[0])))
    clouds: list[NDArray[np.float32]] = []
    with mujoco.Renderer(model, DEPTH_HEIGHT, DEPTH_WIDTH) as renderer:
        renderer.enable_depth_rendering()
        for data in _poses(model, trace, times_ns):
            renderer.update_scene(data, "depth")
            depth = renderer.render().astype(np.float64).reshape(-1, 1)
            depth += rng.normal(0.0, DEPTH_NOISE_M, depth.shape)
            frame = data.camera("depth")
            points = (rays * depth) @ frame.xmat.reshape(3, 3).T + frame.xpos
            clouds.append(_thin(points, rng))
    return clouds


def _camera_rays(fov_y: float) -> Floats:
    """Return each pixel's ray float64[H*W,3] of depth 1 in the camera's frame: x right, y up."""
    focal = 0.5 * DEPTH_HEIGHT / np.tan(0.5 * fov_y)
    x = (np.arange(DEPTH_WIDTH) + 0.5 - 0.5 * DEPTH_WIDTH) / focal
    y = (0.5 * DEPTH_HEIGHT - np.arange(DEPTH_HEIGHT) - 0.5) / focal
    grid_x, grid_y = np.meshgrid(x, y)
    return np.column_stack([grid_x.ravel(), grid_y.ravel(), np.full(grid_x.size, -1.0)])


def _thin(points: Floats, rng: np.random.Generator) -> NDArray[np.float32]:
    """Keep points over the table, one a cell of CLOUD_CELL_M, CLOUD_MAX_POINTS at most."""
    points = points[np.all((points >= CLOUD_LOW) & (points < CLOUD_HIGH), axis=1)]
    cells = np.floor((points - CLOUD_LOW) / CLOUD_CELL_M).astype(np.int64)
    _, first = np.unique(cells, axis=0, return_index=True)
    if first.size > CLOUD_MAX_POINTS:
        first = rng.choice(first, CLOUD_MAX_POINTS, replace=False)
    return points[np.sort(first)].astype(np.float32)
