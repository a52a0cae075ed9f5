"""Trains one policy on two robots' datasets, which differ in names, sizes and rates, on the CPU.

    python examples/train_mixture.py                # writes two small datasets, and trains for 20 s
    python examples/train_mixture.py --seconds 5

Both arms reach for a target. One dataset has its state in one stream at 10 Hz, the other in two
at 5 Hz, and its actions are of the other sign. A mixture of 3 to 1 puts them under one name, on one
clock, each normalised by its own statistics. Needs PyTorch.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import robocache as rc

CHUNK = 4


def reach(rng: np.random.Generator, steps: int, gain: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns [steps, 4] of hand and target, and the [steps, 2] moves between them."""
    hand, target = rng.uniform(-1, 1, (2, 2))
    states, moves = [], []
    for _ in range(steps):
        move = gain * (target - hand)
        states.append([*hand, *target])
        moves.append(move)
        hand = hand + move
    return np.array(states), np.array(moves)


def write(folder: Path, episodes: int) -> rc.Mix:
    """Writes both datasets, and returns their mixture."""
    rng = np.random.default_rng(0)
    two = rc.Feature("float32", (2,))
    wide = {"observation/state": rc.Feature("float32", (4,)), "action": two}
    with rc.RldsWriter(folder, "wide", wide, control_rate_hz=10) as writer:
        for _ in range(episodes):
            states, moves = reach(rng, 40, 0.1)
            writer.add_episode({"observation/state": states, "action": moves})
    apart = {"hand": two, "target": two, "motion": two}
    with rc.RldsWriter(folder, "apart", apart, control_rate_hz=5) as writer:
        for _ in range(max(episodes // 2, 1)):
            states, moves = reach(rng, 20, 0.2)
            writer.add_episode({"hand": states[:, :2], "target": states[:, 2:], "motion": -moves})
    opened = {name: rc.open(folder / name, progress=False) for name in ("wide", "apart")}
    return rc.mix({"wide": (opened["wide"], 3), "apart": (opened["apart"], 1)})


def train(mix: rc.Mix, seconds: float) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the other cores load
    streams = {
        "state": rc.Window(
            0,
            source={"wide": "observation/state", "apart": ["hand", "target"]},
            normalize="mean_std",
            squeeze=True,
        ),
        "actions": rc.Window(
            range(CHUNK),
            source={"wide": "action", "apart": "motion"},
            scale={"apart": -1.0},
            normalize="mean_std",
        ),
    }
    loader = rc.DataLoader(mix, 64, rate_hz=10, streams=streams, shuffle=True, drop_last=True)
    policy = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2 * CHUNK))
    optimizer = torch.optim.AdamW(policy.parameters(), 1e-3)
    losses: list[float] = []
    counts = torch.zeros(2, dtype=torch.long)
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        for batch in loader:
            distance = (policy(batch["state"]).view(-1, CHUNK, 2) - batch["actions"]).abs().mean(-1)
            loss = distance[~batch["actions_is_pad"]].mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            counts += torch.bincount(batch["dataset_index"], minlength=2)
    first, last = (sum(part) / len(part) for part in (losses[:5], losses[-5:]))
    of = ", ".join(f"{n} of {name!r}" for name, n in zip(mix.names, counts.tolist(), strict=True))
    print(f"{len(losses)} steps, {of}, loss {first:.3f} to {last:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of training (default: 20)")
    parser.add_argument("--episodes", type=int, default=40, help="of the larger dataset")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mix = write(Path(folder), arguments.episodes)
        print(mix)
        train(mix, arguments.seconds)


if __name__ == "__main__":
    main()
