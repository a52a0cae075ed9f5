"""Feeds of a training loop: the same samples, by RoboCache, by PyTorch's DataLoader, by LeRobot's.

A feed gives batches on the loop's device for ever, epoch after epoch, all with the same fields:

    picture          uint8 [B, S, S, 3]   a random crop of nine tenths of each side, mirrored or not
    state            float32 [B, D]       mean 0, deviation 1
    actions          float32 [B, T, A]    from -1 to 1 between the 1st and 99th percentiles
    actions_is_pad   bool [B, T]          behind the episode's end
    actions_valid    bool [B, T]

Those of RoboCache and PyTorch give the same bits for the same sample of the same epoch.
"""

from __future__ import annotations

import io
import itertools
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Sampler

import robocache as rc

from .data import Streams

FEEDS = ("robocache-gpu", "robocache-host", "torch", "lerobot", "resident")
PICTURE = "picture"  # the field, whose name is part of what is drawn for it

Fields = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What a feed is asked for."""

    streams: Streams
    batch_size: int
    chunk: int
    size: int
    device: str = "cpu"
    seed: int = 0
    jpeg: str | None = (
        None  # of "robocache-gpu": where pictures are decoded; None: as the loader likes
    )
    threads: int = 0  # of RoboCache; 0: all cores but one, which is the loop's
    workers: int = 16  # processes, of PyTorch's and LeRobot's DataLoader


class Feed:
    """Batches for ever, and how long the loop has waited for them."""

    def __init__(self) -> None:
        self.waited_s = 0.0
        self._batches = self._make()

    def _make(self) -> Iterator[Fields]:
        raise NotImplementedError

    def __iter__(self) -> Feed:
        return self

    def __next__(self) -> Fields:
        begin = time.perf_counter()
        batch = next(self._batches)
        self.waited_s += time.perf_counter() - begin
        return batch

    def state_dict(self) -> Fields | None:
        """Returns where it stands; None: it cannot say."""
        return None

    def load_state_dict(self, state: Fields | None) -> None:
        raise SystemExit("this feed cannot go on where another stood; robocache-gpu and -host can")

    def close(self) -> None:
        """Ends its threads and processes."""


def open_feed(name: str, dataset: rc.Dataset, wanted: Wanted) -> Feed:
    if name in ("robocache-gpu", "robocache-host"):
        return RoboCacheFeed(dataset, wanted, on_device=name == "robocache-gpu")
    if name == "torch":
        return TorchFeed(dataset, wanted)
    if name == "lerobot":
        return LeRobotFeed(dataset, wanted)
    return ResidentFeed(dataset, wanted)


# ---- RoboCache ----------------------------------------------------------------------------------


def windows(dataset: rc.Dataset, wanted: Wanted) -> dict[str, rc.Window]:
    streams = wanted.streams
    height, width = dataset.streams[streams.camera].shape[:2]
    picture = rc.Image(
        size=(wanted.size, wanted.size),
        crop=("random", _crop(height, width)),
        flip=0.5,
    )
    return {
        PICTURE: rc.Window(0, source=streams.camera, image=picture, squeeze=True),
        "state": rc.Window(0, source=streams.state, normalize="mean_std", squeeze=True),
        "actions": rc.Window(range(wanted.chunk), source=streams.action, normalize="q01_q99"),
    }


def _crop(height: int, width: int) -> tuple[int, int]:
    return (height * 9 // 10, width * 9 // 10)


def cores_but_one() -> int:
    """Returns this process' share of the host's cores but one, which launches the loop's work."""
    share = len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(share - 1, 1)


class RoboCacheFeed(Feed):
    """rc.DataLoader: batches that are on the device when they come, or host batches and `to()`."""

    def __init__(self, dataset: rc.Dataset, wanted: Wanted, *, on_device: bool) -> None:
        self.copy_to = None if on_device else torch.device(wanted.device)
        options: dict[str, Any] = {"device": wanted.device} if on_device else {}
        if on_device and wanted.jpeg is not None:
            options["jpeg"] = wanted.jpeg
        self.loader = rc.DataLoader(
            dataset,
            wanted.batch_size,
            streams=windows(dataset, wanted),
            shuffle=True,
            seed=wanted.seed,
            drop_last=True,
            num_threads=wanted.threads or cores_but_one(),
            **options,
        )
        super().__init__()

    def _make(self) -> Iterator[Fields]:
        while True:
            for batch in self.loader:
                yield batch if self.copy_to is None else self._copied(batch)

    def _copied(self, batch: rc.Batch) -> Fields:
        if self.copy_to is not None and self.copy_to.type == "cuda":
            batch = batch.pin_memory()  # else the loop waits until it is copied
        return batch.to(self.copy_to, non_blocking=True)

    def state_dict(self) -> Fields:
        return self.loader.state_dict()

    def load_state_dict(self, state: Fields | None) -> None:
        if state is None:
            raise SystemExit("the checkpoint is of a feed that could not say where it stood")
        self.loader.load_state_dict(state)
        self._batches = self._make()

    def close(self) -> None:
        self.loader.close()


class ResidentFeed(Feed):
    """One batch that stays on the device: no feed can be quicker."""

    def __init__(self, dataset: rc.Dataset, wanted: Wanted) -> None:
        feed = RoboCacheFeed(dataset, wanted, on_device=False)
        self.batch = next(feed)
        feed.close()
        super().__init__()

    def _make(self) -> Iterator[Fields]:
        return itertools.repeat(self.batch)


# ---- PyTorch ------------------------------------------------------------------------------------


class Frames(Dataset[Fields]):
    """Samples of a dataset of JPEGs as one would write it by hand: Pillow, NumPy.

    The JPEGs lie in one file that all workers map; numbers are in memory, normalised.
    """

    def __init__(self, dataset: rc.Dataset, wanted: Wanted, file: Path) -> None:
        streams = wanted.streams
        kind = dataset.streams[streams.camera].encoding
        if kind != "jpeg":
            raise SystemExit(f"torch: stream {streams.camera!r}: found {kind}, wanted jpeg")
        self.wanted, self.file = wanted, str(file)
        found = dataset.statistics([streams.state, streams.action])
        states, actions, lengths, offsets = [], [], [], [0]
        with file.open("wb") as out:
            for each in dataset:
                state, action = (
                    each[n].values.astype(float) for n in (streams.state, streams.action)
                )
                states.append(found[streams.state].normalize(state))
                actions.append(found[streams.action].normalize(action, "q01_q99"))
                lengths.append(each.num_steps)
                for step in range(each.num_steps):
                    offsets.append(offsets[-1] + out.write(each[streams.camera].raw(step)))
        self.states = np.concatenate(states).astype(np.float32)
        self.actions = np.concatenate(actions).astype(np.float32)
        self.offsets = np.array(offsets)
        self.ids = np.repeat([each.id for each in dataset], lengths)
        ends = np.cumsum(lengths)
        self.first = np.repeat(ends - lengths, lengths)
        self.end = np.repeat(ends, lengths)
        self.data: Any = None

    def __len__(self) -> int:
        return len(self.states)

    def __getitem__(self, which: tuple[int, int]) -> Fields:
        """Returns sample `row` of `epoch`."""
        epoch, row = which
        if self.data is None:
            self.data = np.memmap(self.file, np.uint8, "r")
        step = row - self.first[row]
        key = rc.image_key(self.wanted.seed, epoch, int(self.ids[row]), int(step), name=PICTURE)
        rows = np.arange(row, row + self.wanted.chunk)
        is_pad = rows >= self.end[row]
        return {
            PICTURE: self.picture(self.data[self.offsets[row] : self.offsets[row + 1]], key),
            "state": self.states[row],
            "actions": self.actions[np.minimum(rows, self.end[row] - 1)],
            "actions_is_pad": is_pad,
            "actions_valid": np.ones_like(is_pad),
        }

    def picture(self, jpeg: np.ndarray, key: int) -> np.ndarray:
        image = Image.open(io.BytesIO(jpeg)).convert("RGB")
        height, width = _crop(image.height, image.width)
        top = int(drawn(key, 4) * (image.height - height + 1))
        left = int(drawn(key, 3) * (image.width - width + 1))
        box = (left, top, left + width, top + height)
        made = image.resize((self.wanted.size,) * 2, Image.Resampling.BILINEAR, box=box)
        pixels = np.array(made)
        return pixels[:, ::-1].copy() if drawn(key, 0) < 0.5 else pixels


def drawn(key: int, number: int) -> float:
    """Returns number n of a key, in [0, 1): the generator that docs/images.md writes down."""
    mask = 2**64 - 1
    z = (key + (number + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
    return float((z ^ z >> 31) >> 11) / 2.0**53


class Shuffled(Sampler[tuple[int, int]]):
    """(epoch, row), for ever."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for epoch in itertools.count():
            order = np.random.default_rng((self.seed, epoch)).permutation(self.count)
            yield from ((epoch, int(row)) for row in order)


class TorchFeed(Feed):
    """torch.utils.data.DataLoader with worker processes, pinned memory and `to()`."""

    def __init__(self, dataset: rc.Dataset, wanted: Wanted) -> None:
        self.device = torch.device(wanted.device)
        self.folder = tempfile.TemporaryDirectory()
        frames = Frames(dataset, wanted, Path(self.folder.name) / "frames")
        self.loader = DataLoader(
            frames,
            wanted.batch_size,
            sampler=Shuffled(len(frames), wanted.seed),
            drop_last=True,
            **worker_options(wanted),
        )
        super().__init__()

    def _make(self) -> Iterator[Fields]:
        for batch in self.loader:
            yield {k: v.to(self.device, non_blocking=True) for k, v in batch.items()}

    def close(self) -> None:
        self._batches = iter(())
        self.folder.cleanup()


def worker_options(wanted: Wanted) -> dict[str, Any]:
    """Returns what both of PyTorch's loaders are given."""
    options: dict[str, Any] = {
        "num_workers": wanted.workers,
        "pin_memory": torch.device(wanted.device).type == "cuda",
    }
    if wanted.workers > 0:
        # Not fork: this process has threads and, it may be, a device's context.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["numpy", "torch", "PIL.Image"])
        options |= {"multiprocessing_context": context, "worker_init_fn": _alone}
    return options


def _alone(_: int) -> None:
    torch.set_num_threads(1)


# ---- LeRobot ------------------------------------------------------------------------------------


class LeRobotFeed(Feed):
    """LeRobot's own dataset in PyTorch's DataLoader; sizes and crops are made on the device."""

    def __init__(self, dataset: rc.Dataset, wanted: Wanted) -> None:
        if dataset.format != "lerobot":
            raise SystemExit(
                f"lerobot: {dataset.path}: found {dataset.format}, wanted LeRobot data"
            )
        self.wanted = wanted
        rate = dataset.streams[wanted.streams.action].rate_hz
        found = dataset.statistics([wanted.streams.state, wanted.streams.action])
        self.state, self.action = (
            found[name] for name in (wanted.streams.state, wanted.streams.action)
        )
        self.loader = rc.datasets.LeRobotDataLoader(
            dataset.path,
            wanted.batch_size,
            use_robocache=False,
            delta_timestamps={wanted.streams.action: [k / rate for k in range(wanted.chunk)]},
            num_threads=wanted.workers,
            shuffle=True,
            drop_last=True,
        )
        super().__init__()

    def _make(self) -> Iterator[Fields]:
        names = self.wanted.streams
        while True:
            for given in self.loader:
                kept = (names.camera, names.state, names.action, f"{names.action}_is_pad")
                batch = [given[k].to(self.wanted.device, non_blocking=True) for k in kept]
                picture, state, actions, is_pad = batch
                yield {
                    PICTURE: self.picture(picture),
                    "state": self.state.normalize(state),
                    "actions": self.action.normalize(actions, "q01_q99"),
                    "actions_is_pad": is_pad,
                    "actions_valid": torch.ones_like(is_pad),
                }

    def picture(self, given: Tensor) -> Tensor:
        """Returns one crop for the batch, as uint8 and channels last, of floats from 0 to 1."""
        height, width = _crop(*given.shape[2:])
        top = int(torch.randint(given.shape[2] - height + 1, ()))
        left = int(torch.randint(given.shape[3] - width + 1, ()))
        part = given[:, :, top : top + height, left : left + width]
        size = (self.wanted.size,) * 2
        small = functional.interpolate(part, size, mode="bilinear", antialias=True)
        return (small * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
