"""A dataset written for tests: four episodes with images, signals on their own clock, clouds."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

import robocache as rc

NUM_EPISODES = 4
RATE_HZ = 10.0
START_NS = 1_700_000_000_000_000_000
TASKS = ["open the drawer", "close the drawer", "open the drawer", "wipe the table"]


def num_steps(index: int) -> int:
    return 12 + index


def jpeg(step: int) -> bytes:
    pixels = np.full((24, 32, 3), 40, np.uint8)
    pixels[:, : 2 * (step % 16)] = (200, 90, 30)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def write(folder: Path, *, images: bool = True, clouds: bool = True) -> Path:
    """Writes folder/small/1.0.0 and returns that path."""
    features = {
        "action": rc.Feature("float32", (3,)),
        "observation/state": rc.Feature("float32", (4,)),
        "observation/force": rc.Feature("float32", (2,), ragged=True),
        "observation/force_time_ns": rc.Feature("int64", ragged=True),
        "language_instruction": rc.Feature("str"),
        "is_last": rc.Feature("bool"),
    }
    if images:
        features["observation/image"] = rc.Feature("uint8", (24, 32, 3), encoding="jpeg")
    if clouds:
        features["observation/cloud"] = rc.Feature("float32", (3,), ragged=True)
    random = np.random.default_rng(0)
    with rc.RldsWriter(folder, "small", features) as writer:
        for index in range(NUM_EPISODES):
            count = num_steps(index)
            seconds = np.arange(count)[:, None] / RATE_HZ
            start_ns = START_NS + index * 60_000_000_000
            stamps = start_ns + np.arange(5 * count).reshape(count, 5) * 20_000_000
            steps = {
                "action": random.normal(size=(count, 3)),
                "observation/state": np.sin(seconds * [1, 2, 3, 4]),
                "observation/force": random.normal(size=(count, 5, 2)),
                "observation/force_time_ns": stamps,
                "language_instruction": [TASKS[index]] * count,
                "is_last": np.arange(count) == count - 1,
                "observation/image": [jpeg(step) for step in range(count)],
                "observation/cloud": [random.random((20 + step, 3)) for step in range(count)],
            }
            writer.add_episode({name: steps[name] for name in features}, split="train")
    return folder / "small" / "1.0.0"
