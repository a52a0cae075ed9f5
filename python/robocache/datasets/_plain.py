"""The same batches from plain PyTorch: a map-style Dataset in torch's DataLoader."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol

import numpy
import torch
from PIL import Image

from ..batch import Batch, Text
from ..dataset import Dataset, StreamInfo
from ..errors import InvalidArgumentError, UnsupportedError
from ..window import Window
from ._tfrecord import parse_example, read_record


class Reader(Protocol):
    """Reads files with plain Python; is pickled where workers are processes."""

    def read(self, episode: int, info: StreamInfo, steps: Any) -> tuple[Any, Any]:
        """Returns values [W, ...] of those steps, int64 [W], and where there are some [W]."""


class PlainDataset:
    """One sample a step; takes windows of ticks with mode "hold" on the steps' own clock.

    Args:
        dataset: says which episodes there are; nothing is read through it.
        windows: what a sample takes of each stream.
        reader: of the files.
    """

    def __init__(self, dataset: Dataset, windows: Mapping[str, Window], reader: Reader) -> None:
        rate_hz = dataset.control_rate_hz
        if rate_hz is None:
            raise InvalidArgumentError(f"rate_hz: the control rate of {dataset.name} is unknown")
        self._rate_hz = rate_hz
        self._windows = {
            window.name or name: (dataset.streams[name], _ticks(name, window))
            for name, window in windows.items()
        }
        for info, _ in self._windows.values():
            if info.is_ragged or info.times is not None or info.kind == "text":
                raise UnsupportedError(f"stream {info.name!r}: the plain path takes no such stream")
        episodes = [dataset.episodes[i] for i in range(len(dataset))]
        self._tasks = [episode.task for episode in episodes]
        self._ids = [episode.id for episode in episodes]
        self._ends = numpy.cumsum([episode.num_steps for episode in episodes])
        self._reader = reader

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> dict[str, Any]:
        episode = int(numpy.searchsorted(self._ends, index, side="right"))
        start = int(self._ends[episode - 1]) if episode else 0
        num_steps = int(self._ends[episode]) - start
        step = index - start
        sample: dict[str, Any] = {
            "episode_index": episode,
            "episode_id": self._ids[episode],
            "step_index": step,
            "time_ns": round(step * 1_000_000_000 / self._rate_hz),
            "task": self._tasks[episode],
        }
        for name, (info, ticks) in self._windows.items():
            wanted = step + ticks
            steps = wanted.clip(0, num_steps - 1)
            values, valid = self._reader.read(episode, info, steps)
            inside = (wanted >= 0) & (wanted < num_steps)
            sample[name] = torch.from_numpy(values)
            sample[f"{name}_is_pad"] = torch.from_numpy(~inside)
            sample[f"{name}_valid"] = torch.from_numpy(valid & (wanted >= 0))
        return sample


def _ticks(name: str, window: Window) -> Any:
    if window.ticks is None or window.mode != "hold" or window.outside != "hold":
        raise UnsupportedError(
            f"streams[{name!r}]: the plain path takes ticks with mode 'hold' and outside 'hold'"
        )
    return numpy.array(window.ticks, numpy.int64)


class RldsReader:
    """Records of TFRecord files, some of which are kept parsed."""

    def __init__(self, dataset: Dataset, cached_episodes: int = 64) -> None:
        episodes = [dataset.episodes[i] for i in range(len(dataset))]
        self._records = [
            (os.path.join(dataset.path, e.file), e.offset, e.num_bytes) for e in episodes
        ]
        self._num_steps = [episode.num_steps for episode in episodes]
        self._cached_episodes = cached_episodes

    def read(self, episode: int, info: StreamInfo, steps: Any) -> tuple[Any, Any]:
        feature = self._features(episode)["steps/" + info.name]
        return _take(info, feature, steps, self._num_steps[episode])

    def _features(self, episode: int) -> dict[str, Any]:
        # Made in the process that uses it: a cache does not travel to workers.
        if "_parse" not in self.__dict__:
            self._parse = lru_cache(self._cached_episodes)(self._read)
        return self._parse(episode)

    def _read(self, episode: int) -> dict[str, Any]:
        return parse_example(read_record(*self._records[episode]))

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_parse"}


def _take(info: StreamInfo, feature: Any, steps: Any, num_steps: int) -> tuple[Any, Any]:
    """Returns values [W, ...] of the steps, and where there is an image."""
    if info.kind == "image":
        images = [_decode(feature[step]) for step in steps]
        shape = next((i.shape for i in images if i is not None), tuple(map(abs, info.shape)))
        blank = numpy.zeros(shape, info.dtype)
        valid = numpy.array([image is not None for image in images])
        return numpy.stack([blank if image is None else image for image in images]), valid
    values = feature.reshape(num_steps, *info.shape)[steps].astype(info.dtype)
    return values, numpy.ones(len(steps), bool)


def _decode(encoded: bytes) -> Any:
    """Returns [H, W, C], None for the empty image that pads."""
    if not encoded:
        return None
    pixels = numpy.asarray(Image.open(io.BytesIO(encoded)))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _collate(samples: list[dict[str, Any]]) -> Batch:
    batch = Batch()
    for name, first in samples[0].items():
        column = [sample[name] for sample in samples]
        if isinstance(first, torch.Tensor):
            batch[name] = torch.stack(column)
        elif isinstance(first, int):
            batch[name] = torch.tensor(column, dtype=torch.int64)
        else:
            batch[name] = Text(column)
    return batch


def make_loader(
    dataset: PlainDataset,
    batch_size: int,
    shuffle: bool,
    seed: int,
    drop_last: bool,
    num_workers: int,
) -> torch.utils.data.DataLoader[Batch]:
    """Returns torch's DataLoader over it."""
    generator = torch.Generator()
    generator.manual_seed(seed)
    return torch.utils.data.DataLoader(
        dataset,
        batch_size=batch_size,
        shuffle=shuffle,
        drop_last=drop_last,
        num_workers=num_workers,
        collate_fn=_collate,
        generator=generator,
    )
