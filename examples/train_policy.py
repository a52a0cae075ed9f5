"""Trains a policy from pictures, on one GPU, on several, or on the CPU.

    python examples/train_policy.py --tiny                        # a made-up arm, on the CPU too
    python examples/train_policy.py DATASET                       # RLDS with JPEGs, LeRobot, ...
    python examples/train_policy.py DATASET --checkpoint run.pt   # and --resume to go on with it
    torchrun --nproc-per-node 4 examples/train_policy.py DATASET  # a share for each GPU

DATASET has a camera, "observation/state" (or "observation.state") and "action". The policy is a
transformer over patches of the picture, the state and a chunk of actions, which learns a flow from
noise to actions (policy/model.py). A checkpoint holds the policy, the optimizer and where the
loader stands; a run that goes on with it learns from the batches that the first one would have.

--feed says who makes the batches, so that they can be compared: robocache-gpu (batches are on the
GPU when they come), robocache-host (batches on the host, and `to()`), torch (PyTorch's DataLoader
with 16 processes and Pillow), lerobot (LeRobot's own dataset in that loader), resident (one batch
for ever: as quick as the policy itself can be). Needs PyTorch and Pillow.
"""

from __future__ import annotations

import time

START = time.monotonic()

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn.functional  # imported later it would hold the process group

import robocache as rc
from policy import data
from policy.feeds import FEEDS, Feed, Wanted, open_feed
from policy.model import Shape, Trainer

IMPORTED = time.monotonic()
TINY = {
    "steps": 60,
    "batch_size": 16,
    "rate": 2e-3,
    "size": 32,
    "patch": 8,
    "width": 64,
    "depth": 2,
}
WHOLE = {"steps": 1000, "batch_size": 128, "rate": 3e-4, "size": 224, "patch": 16, "width": 384,
         "depth": 6}  # fmt: skip
TELL_EVERY = 20  # steps

Told = Callable[[int, dict[str, Any], torch.Tensor], None]


@dataclass
class Run:
    """A feed and who learns from it, with where they stand."""

    feed: Feed
    trainer: Trainer
    done: int = 0  # steps

    def go(self, steps: int, told: Told | None = None) -> list[float]:
        """Trains up to step number `steps`, and returns the losses of those that were left.

        Losses stay on the device until the end, so that the host need not wait for each.
        """
        losses = []
        while self.done < steps:
            batch = next(self.feed)
            loss = self.trainer.step(batch, self.done)
            self.done += 1
            losses.append(loss)
            if told is not None:
                told(self.done, batch, loss)
        return torch.stack(losses).tolist() if losses else []

    def save(self, path: Path) -> None:
        """Writes a checkpoint, whole or not at all. The state of any rank serves all of them."""
        state = {"steps": self.done, "feed": self.feed.state_dict(), **self.trainer.state_dict()}
        aside = path.with_name(path.name + ".partial")
        torch.save(state, aside)
        os.replace(aside, path)

    def load(self, path: Path) -> None:
        state = torch.load(path, map_location=self.trainer.device)
        self.trainer.load_state_dict(state)
        self.feed.load_state_dict(state["feed"])
        self.done = state["steps"]


def make(dataset: rc.Dataset, arguments: argparse.Namespace, rank: int | None = None) -> Run:
    streams = data.find_streams(dataset, arguments.camera)
    wanted = Wanted(
        streams,
        batch_size=arguments.batch_size,
        chunk=arguments.chunk,
        size=arguments.size,
        device=arguments.device,
        seed=arguments.seed,
        jpeg=arguments.jpeg,
        threads=arguments.threads,
        workers=arguments.workers,
    )
    shape = Shape(
        state=streams.num_states,
        action=streams.num_actions,
        chunk=arguments.chunk,
        size=arguments.size,
        patch=arguments.patch,
        width=arguments.width,
        depth=arguments.depth,
    )
    trainer = Trainer(
        shape,
        arguments.device,
        seed=arguments.seed,
        rate=arguments.rate,
        rank=rank,
        is_compiled=not arguments.eager,
        is_captured=not arguments.eager,
    )
    return Run(open_feed(arguments.feed, dataset, wanted), trainer)


def train(dataset: rc.Dataset, arguments: argparse.Namespace, rank: int | None = None) -> None:
    opened = time.monotonic()
    run = make(dataset, arguments, rank)
    if arguments.resume:
        run.load(arguments.checkpoint)
    tells = not rank  # one of several processes does
    losses = run.go(min(run.done + 1, arguments.steps))  # the first step compiles
    if tells and losses:
        now = time.monotonic()
        print(
            f"first step after {now - START:.1f} s: imports {IMPORTED - START:.1f}, the dataset "
            f"{opened - IMPORTED:.1f}, the first batch {run.feed.waited_s:.1f}, the policy and its "
            f"step {now - opened - run.feed.waited_s:.1f}",
            flush=True,
        )
    run.feed.waited_s, begin = 0.0, time.monotonic()
    while run.done < arguments.steps:
        due = [run.done - run.done % n + n for n in (TELL_EVERY, arguments.save_every)]
        losses += run.go(min(*due, arguments.steps))
        if tells:
            print(f"step {run.done:6}  loss {losses[-1]:.3f}", flush=True)
            if arguments.checkpoint and run.done % arguments.save_every == 0:
                run.save(arguments.checkpoint)
    took = time.monotonic() - begin
    if tells and arguments.checkpoint:
        run.save(arguments.checkpoint)
    run.feed.close()
    if tells and len(losses) > 1:
        processes = 1 if rank is None else dist.get_world_size()
        frames = (len(losses) - 1) * arguments.batch_size * processes
        some = max(1, len(losses) // 10)
        begun, ended = (sum(part) / some for part in (losses[:some], losses[-some:]))
        print(
            f"{arguments.feed}: {len(losses)} steps, {frames / took:.0f} frames/s, "
            f"{run.feed.waited_s / took:.1%} of the time waiting for data, "
            f"mean loss {begun:.3f} of the first {some}, {ended:.3f} of the last"
        )


def parse(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", type=Path, nargs="?", help="a dataset; without, --tiny's arm")
    parser.add_argument("--tiny", action="store_true", help="small, and not compiled")
    parser.add_argument("--feed", choices=FEEDS, default="robocache-gpu")
    parser.add_argument("--steps", type=int, help="in all, those before --resume among them")
    parser.add_argument("--batch-size", type=int, help="of each process")
    parser.add_argument("--size", type=int, help="of pictures, in pixels")
    parser.add_argument("--patch", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--depth", type=int)
    parser.add_argument("--rate", type=float, help="of learning")
    parser.add_argument("--chunk", type=int, default=8, help="actions to come")
    parser.add_argument("--camera", help="a stream; by default the first of pictures in colours")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--jpeg", help="where robocache-gpu decodes: cpu, cuda or auto")
    parser.add_argument("--threads", type=int, default=0, help="of RoboCache; 0: all cores but one")
    parser.add_argument("--workers", type=int, default=16, help="processes of torch and lerobot")
    parser.add_argument("--eager", action="store_true", help="compile and capture nothing")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--checkpoint", type=Path, help="a file, written at the end and now and then"
    )
    parser.add_argument("--save-every", type=int, default=500, help="steps")
    parser.add_argument("--resume", action="store_true", help="go on with the checkpoint")
    parser.add_argument("--deterministic", action="store_true", help="the same losses every time")
    arguments = parser.parse_args(given)
    if arguments.data is None and not arguments.tiny:
        parser.error("a dataset or --tiny is wanted")
    if arguments.resume and arguments.checkpoint is None:
        parser.error("--resume goes with --checkpoint")
    arguments.eager |= arguments.tiny
    for name, value in (TINY if arguments.tiny else WHOLE).items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    return arguments


def begin_ranks(arguments: argparse.Namespace) -> int | None:
    """Joins the processes that torchrun has started; returns None where this one is alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    on_gpu = arguments.device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        arguments.device = f"cuda:{os.environ['LOCAL_RANK']}"
    dist.init_process_group("nccl" if on_gpu else "gloo")
    return dist.get_rank()


def main() -> None:
    arguments = parse()
    if arguments.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    if arguments.device == "cpu":
        torch.set_num_threads(1)  # the other cores make batches
    rank = begin_ranks(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.data or data.write(Path(folder), 400, 48, steps=20)
        train(rc.open(path), arguments, rank)
        if rank is not None:
            dist.destroy_process_group()  # the last to hold it, so that no thread of it is left


if __name__ == "__main__":
    main()
