"""What the arm is asked to do, and the motion that does it.

A pose here is seven numbers: x, y, z of the tool (m), roll, pitch, yaw of the tool against pointing
straight down (rad), and the gripper (0 closed, 1 open).
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HOME_JOINTS: Floats = np.array([0.0, 0.15, 0.0, 1.85, 0.0, 1.14, 0.0])
HOME_POSE: Floats = np.array([0.36, 0.0, 0.25, 0.0, 0.0, 0.0, 1.0])
CUBE_HALF_M = 0.025
PLATE_TOP_M = 0.006
PINCH_HEIGHT_M = 0.024
HOVER_M = 0.085
CUBES = ("red", "green")


@dataclass(frozen=True)
class Task:
    """One pick and place.

    moved: cube to be moved. onto: "plate" or the name of the other cube.
    cube_positions: name to x, y (m). cube_yaws: name to yaw in [-pi/4, pi/4] (rad).
    plate_position: x, y (m).
    """

    moved: str
    onto: str
    cube_positions: dict[str, Floats]
    cube_yaws: dict[str, float]
    plate_position: Floats

    @property
    def instruction(self) -> str:
        """The task in words."""
        if self.onto == "plate":
            return f"put the {self.moved} cube on the blue plate"
        return f"stack the {self.moved} cube on the {self.onto} cube"

    @property
    def goal(self) -> Floats:
        """Where the moved cube's centre shall come to rest: x, y, z (m)."""
        if self.onto == "plate":
            return np.array([*self.plate_position, PLATE_TOP_M + CUBE_HALF_M])
        return np.array([*self.cube_positions[self.onto], 3 * CUBE_HALF_M])


def random_task(rng: np.random.Generator) -> Task:
    """Draw a task whose cubes and plate lie within reach and at least 13 cm from each other."""
    while True:
        spots = np.column_stack([rng.uniform(0.34, 0.53, 3), rng.uniform(-0.21, 0.21, 3)])
        gaps = np.linalg.norm(spots[[0, 0, 1]] - spots[[1, 2, 2]], axis=1)
        if gaps.min() > 0.13:
            break
    moved, other = rng.permutation(CUBES).tolist()
    return Task(
        moved=moved,
        onto="plate" if rng.random() < 0.5 else other,
        cube_positions={moved: spots[0], other: spots[1]},
        cube_yaws={name: float(rng.uniform(-np.pi / 4, np.pi / 4)) for name in CUBES},
        plate_position=spots[2],
    )


def plan(task: Task, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the way-points of a task: times float64[W] in s, poses float64[W,7].

    Speed and the tool's tilt in the air vary from plan to plan.
    """
    pace = rng.uniform(0.9, 1.15)
    tilts = rng.uniform(-0.15, 0.15, (3, 2))
    pick, goal = task.cube_positions[task.moved], task.goal
    yaw = task.cube_yaws[task.moved]
    put_yaw = yaw if task.onto == "plate" else task.cube_yaws[task.onto]
    pinch = PINCH_HEIGHT_M
    put = goal[2] - CUBE_HALF_M + pinch + 0.002

    def pose(xy: Floats, z: float, tilt: Floats, turn: float, opening: float) -> Floats:
        return np.array([*xy, z, *tilt, turn, opening])

    level = np.zeros(2)
    steps: list[tuple[float, Floats]] = [
        (0.15, HOME_POSE),
        (0.80, pose(pick, pinch + HOVER_M, tilts[0], yaw, 1.0)),
        (0.45, pose(pick, pinch, level, yaw, 1.0)),
        (0.15, pose(pick, pinch, level, yaw, 1.0)),
        (0.30, pose(pick, pinch, level, yaw, 0.0)),
        (0.45, pose(pick, pinch + HOVER_M + 0.02, tilts[1], yaw, 0.0)),
        (0.80, pose(goal[:2], put + HOVER_M, tilts[2], put_yaw, 0.0)),
        (0.45, pose(goal[:2], put, level, put_yaw, 0.0)),
        (0.15, pose(goal[:2], put, level, put_yaw, 0.0)),
        (0.30, pose(goal[:2], put, level, put_yaw, 1.0)),
        (0.45, pose(goal[:2], put + HOVER_M, level, put_yaw, 1.0)),
        (0.30, pose(goal[:2], put + HOVER_M, level, put_yaw, 1.0)),
    ]
    times = np.cumsum([0.0, *(pace * seconds for seconds, _ in steps)])
    return times, np.stack([HOME_POSE, *(target for _, target in steps)])


def poses_at(way_times_s: Floats, way_poses: Floats, times_s: Floats) -> Floats:
    """Return the planned poses float64[T,7] at times_s float64[T].

    Minimum-jerk between way-points; the gripper does at once what the next way-point asks for.
    """
    right = np.clip(np.searchsorted(way_times_s, times_s, side="right"), 1, way_times_s.size - 1)
    left = right - 1
    u = (times_s - way_times_s[left]) / (way_times_s[right] - way_times_s[left])
    u = np.clip(u, 0.0, 1.0)[:, None]
    blend = u**3 * (10.0 - 15.0 * u + 6.0 * u**2)
    poses = way_poses[left] + blend * (way_poses[right] - way_poses[left])
    poses[:, 6] = way_poses[right, 6]
    return poses


def actions_of(poses: Floats) -> NDArray[np.float32]:
    """Turn the poses at the control ticks float64[T,7] into the commands sent there float32[T,7].

    A command moves the tool's set point by (dx, dy, dz, droll, dpitch, dyaw) until the next tick
    and opens (1) or closes (0) the gripper; the last command holds.
    """
    following = np.concatenate([poses[1:], poses[-1:]])
    actions = following - poses
    actions[:, 6] = poses[:, 6]
    return actions.astype(np.float32)


def tool_rotation(rpy: Floats) -> Floats:
    """Return the tool's rotation in the world, float64[3,3], for roll, pitch, yaw float64[3]."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    turn_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    turn_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    turn_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    down: Floats = np.diag([-1.0, 1.0, -1.0])
    rotation: Floats = turn_z @ turn_y @ turn_x @ down
    return rotation


class InverseKinematics:
    """Joint angles that put the tool at a pose.

    Damped least squares; the null space is used to stay near the home pose.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        """Keep a scratch state of its own; the simulation's is never touched."""
        self._model = model
        self._data = mujoco.MjData(model)
        self._tool = int(model.site("tool").id)
        self._range: Floats = model.jnt_range[:7]

    def solve(self, joints: Floats, pose: Floats, iterations: int) -> Floats:
        """Return joint angles float64[7] for pose float64[7], starting from joints float64[7]."""
        model, data = self._model, self._data
        wanted = tool_rotation(pose[3:6])
        jacobian = np.zeros((6, model.nv))
        for _ in range(iterations):
            data.qpos[:7] = joints
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], self._tool)
            actual = data.site_xmat[self._tool].reshape(3, 3)
            turn = 0.5 * np.cross(actual.T, wanted.T).sum(axis=0)
            error = np.concatenate([pose[:3] - data.site_xpos[self._tool], turn])
            arm = jacobian[:, :7]
            inverse = arm.T @ np.linalg.inv(arm @ arm.T + 1e-4 * np.eye(6))
            drift = 0.05 * (HOME_JOINTS - joints)
            step = inverse @ error + drift - inverse @ (arm @ drift)
            joints = np.clip(joints + step, self._range[:, 0], self._range[:, 1])
        return joints
