"""CALVIN: an archive of arrays a step."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ..dataset import Dataset
from ..episode import StreamInfo
from ..window import Window
from .base import ChunkDataLoader

__all__ = ["CalvinDataLoader"]

_IMAGES = ("rgb_static", "rgb_gripper")


class CalvinDataLoader(ChunkDataLoader):
    """Batches of observations and action chunks from CALVIN.

    Every sample is a step: of "rgb_static", "rgb_gripper" and "robot_obs" the last
    `observation_horizon` steps up to it, and of "rel_actions" the next `action_horizon` steps from
    it, as "actions". With `language=True` samples are the steps of spans that have an instruction,
    which is the batch's "task", and windows end where the span does. See
    :class:`robocache.DataLoader` for what a batch holds.

    Args:
        dataset_path: folder of the dataset, such as "task_D_D".
        batch_size: samples a batch.
        use_robocache: False reads the archives with NumPy and plain PyTorch instead: same batches,
            slower. With shuffle=True both shuffle all samples, in orders of their own.
        language: whether samples are of the spans that have an instruction alone.
        split: "training" or "validation"; by default both.
        observation_horizon, action_horizon: ticks of the windows.
        images: whether to load image streams; or the names of those to load.
        streams: windows to use instead.
        shuffle, seed, drop_last: as in DataLoader.
        num_threads: worker threads (worker processes of the plain path); 0 means all cores (no
            process).
        loader_options: further arguments of DataLoader; the plain path takes none.

    Raises:
        As robocache.open() and DataLoader.
    """

    def __init__(
        self,
        dataset_path: str | os.PathLike[str],
        batch_size: int = 32,
        use_robocache: bool = True,
        *,
        language: bool = False,
        **options: Any,
    ) -> None:
        self._language = language
        super().__init__(dataset_path, batch_size, use_robocache, **options)

    def _episodes(self, dataset: Dataset) -> Dataset:
        return dataset.segments("language") if self._language else dataset

    def _default_windows(
        self, observation_horizon: int, action_horizon: int, images: bool | Sequence[str]
    ) -> dict[str, Window]:
        if isinstance(images, bool):
            images = _IMAGES if images else ()
        wanted = ("robot_obs", *images)
        past, future = range(1 - observation_horizon, 1), range(action_horizon)
        windows = {name: Window(past) for name in self.dataset.streams if name in wanted}
        if "rel_actions" in self.dataset.streams:
            windows["rel_actions"] = Window(future, name="actions")
        return windows

    def _plain_reader(self) -> Any:
        return ArchiveReader(self.dataset)


class ArchiveReader:
    """Archives of a step each, some of which are kept open; a `Reader` of _plain.py."""

    def __init__(self, dataset: Dataset, open_archives: int = 64) -> None:
        from ..formats.calvin import step_files

        files = step_files(dataset.path)
        self._files = [files[episode.split] for episode in dataset]
        self._first = [int(episode.metadata["first_step"]) for episode in dataset]
        self._open_archives = open_archives

    def read(self, episode: int, info: StreamInfo, steps: Any) -> tuple[Any, Any]:
        import numpy

        # Made in the process that uses it: open files do not travel to workers.
        if "_load" not in self.__dict__:
            self._load = lru_cache(self._open_archives)(numpy.load)
        prefix, digits = self._files[episode]
        numbers = self._first[episode] + steps
        values = [self._load(f"{prefix}{step:0{digits}}.npz")[info.name] for step in numbers]
        return numpy.stack(values), numpy.ones(len(steps), bool)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_load"}
