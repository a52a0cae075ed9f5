"""Trains a small ACT policy on the CPU from a LeRobot dataset, for a minute a loader.

    python examples/train_act.py DATASET                  # batches of RoboCache
    python examples/train_act.py DATASET --beside         # then the same with LeRobot's own loader

The policy is ACT without its style variable: a few convolutions see the newest picture of each
camera, a transformer encoder takes those patches and the state, and a decoder's queries give the
next chunk of actions. The loss is the mean distance of actions, those behind the episode's end left
out.
Needs PyTorch; --beside needs LeRobot and a dataset of version 3.0.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from robocache.datasets import LeRobotDataLoader, LeRobotMetadata

CHUNK = 16
WIDTH = 128
PICTURE = (60, 80)  # height and width that pictures are made smaller to


class Act(nn.Module):
    """Pictures and a state to a chunk of actions; all of them of mean 0 and deviation 1."""

    def __init__(self, state: int, action: int, cameras: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, out in ((3, 16), (16, 32), (32, 64), (64, WIDTH)):
            layers += [nn.Conv2d(channels, out, 3, stride=2, padding=1), nn.ReLU()]
        self.see = nn.Sequential(*layers)
        self.feel = nn.Linear(state, WIDTH)
        patches = cameras * 4 * 5
        self.places = nn.Parameter(torch.randn(patches + 1, WIDTH) * 0.02)
        self.queries = nn.Parameter(torch.randn(CHUNK, WIDTH) * 0.02)
        shape = {"d_model": WIDTH, "nhead": 4, "dim_feedforward": 256, "batch_first": True}
        self.encode = nn.TransformerEncoder(nn.TransformerEncoderLayer(**shape, dropout=0.0), 2)
        self.decode = nn.TransformerDecoder(nn.TransformerDecoderLayer(**shape, dropout=0.0), 2)
        self.act = nn.Linear(WIDTH, action)

    def forward(self, pictures: Tensor, state: Tensor) -> Tensor:
        """[B, cameras, 3, H, W] and [B, D] to [B, CHUNK, A]."""
        seen = self.see(pictures.flatten(0, 1)).flatten(2).transpose(1, 2)
        seen = seen.reshape(len(state), -1, WIDTH)
        tokens = torch.cat([seen, self.feel(state)[:, None]], 1) + self.places
        chunk = self.decode(self.queries.expand(len(state), -1, -1), self.encode(tokens))
        actions: Tensor = self.act(chunk)
        return actions


class Normalized:
    """A feature by the statistics that the dataset brings."""

    def __init__(self, meta: LeRobotMetadata, name: str) -> None:
        if meta.stats is None:
            raise SystemExit(f"train_act: {meta.root} has no statistics")
        self.mean, self.std = (
            torch.tensor(meta.stats[name][key], dtype=torch.float32) for key in ("mean", "std")
        )

    def __call__(self, values: Tensor) -> Tensor:
        return (values - self.mean) / (self.std + 1e-6)


def batches_for_ever(loader: LeRobotDataLoader) -> Iterator[dict[str, Any]]:
    while True:
        yield from loader


def train(path: Path, use_robocache: bool, seconds: float, batch_size: int) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the other cores decode
    meta = LeRobotMetadata.of(path)
    deltas = {"action": [k / meta.fps for k in range(CHUNK)]}
    loader = LeRobotDataLoader(
        path,
        batch_size,
        use_robocache,
        delta_timestamps=deltas,
        num_threads=0 if use_robocache else 2,
        drop_last=True,
    )
    state, action = (Normalized(meta, name) for name in ("observation.state", "action"))
    policy = Act(len(state.mean), len(action.mean), len(meta.camera_keys))
    optimizer = torch.optim.AdamW(policy.parameters(), 3e-4)
    losses: list[float] = []
    waited = 0.0
    start = told = time.monotonic()
    batches = batches_for_ever(loader)
    while time.monotonic() - start < seconds:
        before = time.monotonic()
        batch = next(batches)
        waited += time.monotonic() - before
        pictures = torch.stack(
            [
                functional.interpolate(batch[name], PICTURE, mode="area")
                for name in meta.camera_keys
            ],
            1,
        )
        found = policy(pictures - 0.5, state(batch["observation.state"]))
        distance = (found - action(batch["action"])).abs().mean(-1)
        loss = distance[~batch["action_is_pad"]].mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
        if time.monotonic() - told > seconds / 6:
            told = time.monotonic()
            last = sum(losses[-10:]) / len(losses[-10:])
            print(f"    {told - start:4.0f} s  step {len(losses):4}  loss {last:.3f}", flush=True)
    took = time.monotonic() - start
    first, last = (sum(part) / len(part) for part in (losses[:3], losses[-3:]))
    print(
        f"    {len(losses)} steps, {len(losses) * batch_size / took:.0f} samples/s, "
        f"{waited / took:.0%} of the time waiting for data, loss {first:.3f} to {last:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", type=Path, help="folder of a LeRobot dataset")
    parser.add_argument("--beside", action="store_true", help="LeRobot's own loader, too")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each (default: 60)")
    parser.add_argument("--batch-size", type=int, default=32)
    arguments = parser.parse_args()
    for use_robocache in (True, False) if arguments.beside else (True,):
        print("RoboCache" if use_robocache else "LeRobot", flush=True)
        train(arguments.data, use_robocache, arguments.seconds, arguments.batch_size)


if __name__ == "__main__":
    main()
