"""Physics: the arm carries out its commands, and its whole state is written down at every step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mujoco  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from .clocks import NS_PER_SECOND
from .controller import (
    CUBE_HALF_M,
    CUBES,
    HOME_JOINTS,
    HOME_POSE,
    Floats,
    InverseKinematics,
    Task,
)

MODEL_PATH = Path(__file__).with_name("model.xml")
SERVO_STEPS = 2
GRIPPER_OPEN_M = 0.040
GRIPPER_CLOSED_M = -0.004


@dataclass(frozen=True)
class Trace:
    """The whole state at every physics step.

    times_ns: int64[K] since the start.
    positions: float64[K,nq], MuJoCo's qpos: seven joints (rad), two fingers (m), then for the red
        and the green cube x, y, z (m) and a quaternion w, x, y, z.
    velocities: float64[K,nv], MuJoCo's qvel, in the same order.
    wrenches: float64[K,6], force (N) and torque (N m) at the wrist, in its frame.
    plate_position: float64[2] (m).
    success: the cube lay at its goal when the trace ended.
    """

    times_ns: NDArray[np.int64]
    positions: Floats
    velocities: Floats
    wrenches: Floats
    plate_position: Floats
    success: bool


def load_model() -> mujoco.MjModel:
    """Compile the arm's model; needs no display."""
    return mujoco.MjModel.from_xml_path(str(MODEL_PATH))


def place_plate(data: mujoco.MjData, position: Floats) -> None:
    """Put the plate at x, y on the table."""
    data.mocap_pos[0] = [*position, 0.0]


def simulate(
    model: mujoco.MjModel,
    task: Task,
    control_times_ns: NDArray[np.int64],
    actions: NDArray[np.float32],
    duration_s: float,
) -> Trace:
    """Carry out actions float32[T,7], each sent at its tick of control_times_ns int64[T].

    The arm follows the commands alone: the set point is the home pose plus the sum of what was
    sent, and moves evenly between ticks. Joint targets are renewed every SERVO_STEPS physics steps.
    """
    data = mujoco.MjData(model)
    _lay_out(model, data, task)
    kinematics = InverseKinematics(model)
    joints = kinematics.solve(HOME_JOINTS, HOME_POSE, iterations=100)
    data.qpos[:7] = joints
    data.qpos[7:9] = GRIPPER_OPEN_M

    step_ns = round(model.opt.timestep * NS_PER_SECOND)
    count = int(duration_s * NS_PER_SECOND) // step_ns + 1
    times_ns = step_ns * np.arange(count, dtype=np.int64)
    set_points = _set_points(control_times_ns, actions, times_ns)

    positions = np.empty((count, model.nq))
    velocities = np.empty((count, model.nv))
    wrenches = np.empty((count, 6))
    for k in range(count):
        if k % SERVO_STEPS == 0:
            joints = kinematics.solve(joints, set_points[k], iterations=1)
            data.ctrl[:7] = joints
            data.ctrl[7] = GRIPPER_OPEN_M if set_points[k, 6] > 0.5 else GRIPPER_CLOSED_M
        positions[k], velocities[k] = data.qpos, data.qvel
        mujoco.mj_step(model, data)
        wrenches[k] = data.sensordata
    return Trace(
        times_ns=times_ns,
        positions=positions,
        velocities=velocities,
        wrenches=wrenches,
        plate_position=task.plate_position,
        success=_succeeded(data, task),
    )


def _lay_out(model: mujoco.MjModel, data: mujoco.MjData, task: Task) -> None:
    place_plate(data, task.plate_position)
    for name in CUBES:
        half_yaw = 0.5 * task.cube_yaws[name]
        x, y = task.cube_positions[name]
        data.joint(name).qpos = [x, y, CUBE_HALF_M, np.cos(half_yaw), 0.0, 0.0, np.sin(half_yaw)]
    mujoco.mj_forward(model, data)


def _set_points(
    control_times_ns: NDArray[np.int64],
    actions: NDArray[np.float32],
    times_ns: NDArray[np.int64],
) -> Floats:
    """Return the tool's set point float64[K,7] at every physics step."""
    moves = actions[:, :6].astype(np.float64)
    reached = HOME_POSE[:6] + np.concatenate([np.zeros((1, 6)), np.cumsum(moves[:-1], axis=0)])
    seconds = times_ns / NS_PER_SECOND
    ticks = control_times_ns / NS_PER_SECOND
    tick = np.clip(np.searchsorted(control_times_ns, times_ns, side="right") - 1, 0, None)
    columns = [np.interp(seconds, ticks, reached[:, i]) for i in range(6)]
    return np.column_stack([*columns, actions[tick, 6].astype(np.float64)])


def _succeeded(data: mujoco.MjData, task: Task) -> bool:
    cube = data.body(task.moved)
    away = cube.xpos - task.goal
    at_rest = np.linalg.norm(data.joint(task.moved).qvel) < 0.05
    return bool(np.hypot(away[0], away[1]) < 0.03 and abs(away[2]) < 0.006 and at_rest)
