"""Recorded episodes as RLDS steps: one step a control tick, faster streams nested in the steps.

A stream on a clock of its own is a nested sequence: the step at a tick holds the samples since the
tick before it. Its stamps lie beside it under `<name>_time_ns`, so that its clock survives.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import robocache as rc

from .record import IMAGE_SIZE, Episode, Samples

CONTROL_RATE_HZ = 10.0
NAME = "simulated_arm"
VERSION = "1.0.0"
OWN_CLOCKS = (
    "observation/joint_position",
    "observation/joint_velocity",
    "observation/wrench",
    "observation/image",
)
CLOUD = "observation/point_cloud"


def write_episodes(episodes: Iterable[Episode], folder: Path) -> Path:
    """Write a dataset to folder/simulated_arm/1.0.0, which must not be there; return that path."""
    features: dict[str, Any] = {
        "action": rc.Feature("float32", (7,)),
        "action_time_ns": rc.Feature("int64"),
        "observation/gripper_position": rc.Feature("float32", (1,)),
        "observation/gripper_position_time_ns": rc.Feature("int64"),
        "observation/joint_position": rc.Feature("float32", (7,), ragged=True),
        "observation/joint_velocity": rc.Feature("float32", (7,), ragged=True),
        "observation/wrench": rc.Feature("float32", (6,), ragged=True),
        "observation/image": rc.Feature(
            "uint8", (IMAGE_SIZE, IMAGE_SIZE, 3), encoding="jpeg", ragged=True
        ),
        CLOUD: rc.Feature("float32", (3,), ragged=True),
        **{f"{name}_time_ns": rc.Feature("int64", ragged=True) for name in OWN_CLOCKS},
        "language_instruction": rc.Feature("str"),
        "is_first": rc.Feature("bool"),
        "is_last": rc.Feature("bool"),
        "is_terminal": rc.Feature("bool"),
        "reward": rc.Feature("float32"),
        "discount": rc.Feature("float32"),
    }
    with rc.RldsWriter(
        folder,
        NAME,
        features,
        version=VERSION,
        metadata={"success": rc.Feature("bool")},
        control_rate_hz=CONTROL_RATE_HZ,
    ) as writer:
        for episode in episodes:
            writer.add_episode(steps_of(episode), metadata={"success": episode.success})
    return folder / NAME / VERSION


def steps_of(episode: Episode) -> dict[str, Any]:
    """Return the streams of an episode by step; those on a clock of their own as a list a step."""
    action = episode.streams["action"]
    gripper = episode.streams["observation/gripper_position"]
    ticks = action.times_ns
    count = len(ticks)
    last = np.arange(count) == count - 1
    steps: dict[str, Any] = {
        "action": action.values,
        "action_time_ns": ticks,
        "observation/gripper_position": gripper.values,
        "observation/gripper_position_time_ns": gripper.times_ns,
        "language_instruction": [episode.instruction] * count,
        "is_first": np.arange(count) == 0,
        "is_last": last,
        "is_terminal": last & episode.success,
        "reward": (last & episode.success).astype(np.float32),
        "discount": np.ones(count, np.float32),
        CLOUD: _clouds_at(ticks, episode.streams[CLOUD]),
    }
    for name in OWN_CLOCKS:
        samples = episode.streams[name]
        starts, ends = _samples_of_steps(ticks, samples.times_ns)
        for key, rows in ((name, samples.values), (f"{name}_time_ns", samples.times_ns)):
            steps[key] = [rows[a:b] for a, b in zip(starts, ends, strict=True)]
    return steps


def _samples_of_steps(
    ticks: NDArray[np.int64], times_ns: NDArray[np.int64]
) -> tuple[list[int], list[int]]:
    """Return where each step's samples begin and end; those behind the last tick are the last's."""
    ends = np.searchsorted(times_ns, ticks, side="right").tolist()
    ends[-1] = len(times_ns)
    return [0, *ends[:-1]], ends


def _clouds_at(ticks: NDArray[np.int64], clouds: Samples) -> list[NDArray[np.float32]]:
    """Return the latest cloud at each tick; the first one where none was recorded yet."""
    latest = np.clip(np.searchsorted(clouds.times_ns, ticks, side="right") - 1, 0, None)
    return [np.asarray(clouds.values[i], np.float32) for i in latest]
