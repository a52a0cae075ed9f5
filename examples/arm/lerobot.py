"""Recorded episodes as a LeRobot dataset: every sensor put on one clock of ten frames a second."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import robocache as rc

from .record import IMAGE_SIZE, Episode, Samples

FPS = 10
NAME = "simulated_arm_lerobot"
IMAGE = "observation.images.front"
JOINTS = [f"joint_{i}" for i in range(1, 8)]


def write_episodes(episodes: Iterable[Episode], folder: Path) -> Path:
    """Write a dataset to folder/simulated_arm_lerobot, which is not there yet; return that path."""
    features: dict[str, dict[str, Any]] = {
        "observation.state": {"dtype": "float32", "shape": (8,), "names": [*JOINTS, "gripper"]},
        "observation.wrench": {"dtype": "float32", "shape": (6,)},
        IMAGE: {"dtype": "video", "shape": (IMAGE_SIZE, IMAGE_SIZE, 3)},
        "action": {"dtype": "float32", "shape": (7,)},
        "next.done": {"dtype": "bool", "shape": (1,)},
    }
    with rc.LeRobotWriter(folder / NAME, features, fps=FPS, robot_type="simulated arm") as writer:
        for episode in episodes:
            writer.add_episode(
                steps_of(episode), episode.instruction, metadata={"success": episode.success}
            )
    return folder / NAME


def steps_of(episode: Episode) -> dict[str, Any]:
    """Return the streams of an episode at its frames, in the way that suits each sensor."""
    streams = episode.streams
    first, last = streams["action"].times_ns[[0, -1]]
    ticks = np.arange(first, last + 1, 1_000_000_000 // FPS)
    gripper = at(ticks, streams["observation/gripper_position"], "hold")
    images = streams["observation/image"]
    latest = np.clip(np.searchsorted(images.times_ns, ticks, side="right") - 1, 0, None)
    jpegs = [bytes(images.values[i]) for i in latest]  # type: ignore[arg-type]
    return {
        "observation.state": np.concatenate(
            [at(ticks, streams["observation/joint_position"], "linear"), gripper], axis=1
        ),
        "observation.wrench": at(ticks, streams["observation/wrench"], "linear"),
        IMAGE: np.asarray(rc.decode_jpeg(jpegs, size=(IMAGE_SIZE, IMAGE_SIZE), channels=3)),
        "action": at(ticks, streams["action"], "nearest"),
        "next.done": np.arange(len(ticks)) == len(ticks) - 1,
    }


def at(ticks: NDArray[np.int64], samples: Samples, mode: str) -> NDArray[np.float32]:
    """Return the values of a stream at some times."""
    values = np.asarray(samples.values, np.float32)[None]
    found: NDArray[np.float32] = rc.resample_trajectories(
        values, samples.times_ns, ticks, mode=mode
    )[0]
    return found
