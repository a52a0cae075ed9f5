"""What the policy learns from: streams of a dataset, or a made-up arm that reaches for a square.

The made-up pictures are distinct JPEGs: smooth scenes with some noise, so that one of 256 x 256
takes about 20 kB, as a camera's does.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import robocache as rc

STEPS = 100  # of an episode, unless fewer are asked for
STATES = ("observation/state", "observation.state")


@dataclass(frozen=True)
class Streams:
    """Names of the streams that a policy is trained on, and their widths."""

    camera: str
    state: str
    action: str
    num_states: int
    num_actions: int


def find_streams(dataset: rc.Dataset, camera: str | None = None) -> Streams:
    """Returns a camera, by default the first one in colours, the state and the action."""
    streams = dataset.streams
    cameras = [n for n, s in streams.items() if s.kind == "image" and s.shape[-1:] == (3,)]
    states = [name for name in STATES if name in streams]
    chosen = camera or next(iter(cameras), None)
    if chosen not in cameras or not states or "action" not in streams:
        raise SystemExit(
            f"{dataset.path}: found cameras {cameras} and states {states}, wanted the camera "
            f"{camera or 'of any name'}, one of {STATES}, and 'action'"
        )
    widths = [int(np.prod(streams[name].shape)) for name in (states[0], "action")]
    return Streams(str(chosen), states[0], "action", *widths)


# ---- an arm that reaches ------------------------------------------------------------------------


def reach(rng: np.random.Generator, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns where the hand is, [steps, 2] within [0, 1], its moves, and the target."""
    hand, target = rng.uniform(0.1, 0.9, (2, 2))
    hands, moves = [], []
    for _ in range(steps):
        move = 0.1 * (target - hand) + rng.normal(0, 0.01, 2)
        hands.append(hand)
        moves.append(move)
        hand = (hand + move).clip(0.05, 0.95)
    return np.array(hands), np.array(moves), target


def draw(rng: np.random.Generator, side: int, hand: np.ndarray, target: np.ndarray) -> bytes:
    """Returns a JPEG of a scene with a white hand and a red target."""
    coarse = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    scene = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
    pixels = scene + rng.integers(-14, 15, scene.shape)
    half = max(side // 24, 2)
    for (x, y), colour in ((target, (255, 0, 0)), (hand, (255, 255, 255))):
        row, column = int(y * side), int(x * side)
        pixels[max(row - half, 0) : row + half, max(column - half, 0) : column + half] = colour
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def episode(arguments: tuple[int, int, int]) -> dict[str, Any]:
    """Returns the streams of episode (number, steps, side)."""
    number, steps, side = arguments
    rng = np.random.default_rng(number)
    hands, moves, target = reach(rng, steps)
    return {
        "observation/image": [draw(rng, side, hand, target) for hand in hands],
        "observation/state": hands,
        "action": moves,
    }


def write(folder: Path, frames: int, side: int = 256, steps: int = STEPS) -> Path:
    """Writes a dataset of so many frames, made on all cores, and returns its path."""
    features = {
        "observation/image": rc.Feature("uint8", (side, side, 3), encoding="jpeg"),
        "observation/state": rc.Feature("float32", (2,)),
        "action": rc.Feature("float32", (2,)),
    }
    wanted = [(number, steps, side) for number in range(-(-frames // steps))]
    with rc.RldsWriter(folder, "reaching", features, control_rate_hz=10) as writer:
        for each in _made(wanted):
            writer.add_episode(each, split="train")
    return folder / "reaching" / "1.0.0"


def _made(wanted: list[tuple[int, int, int]]) -> Iterator[dict[str, Any]]:
    if len(wanted) < 16:
        yield from map(episode, wanted)
        return
    with ProcessPoolExecutor() as pool:
        yield from pool.map(episode, wanted)
