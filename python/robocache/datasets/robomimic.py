"""robomimic: demonstrations in HDF5, as robosuite, LIBERO and Isaac Lab write them, too."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ..dataset import Dataset
from ..episode import StreamInfo
from ..errors import UnsupportedError
from ..window import Window
from .base import ChunkDataLoader, is_wanted

__all__ = ["RobomimicDataLoader"]


class RobomimicDataLoader(ChunkDataLoader):
    """Batches of observations and action chunks from robomimic's files.

    Every sample is a step: of each numeric and image stream under "obs/" the last
    `observation_horizon` steps up to it, and of "actions" the next `action_horizon` steps from it.
    See :class:`robocache.DataLoader` for what a batch holds.

    Args:
        dataset_path: an HDF5 file, or a folder of them.
        batch_size: samples a batch.
        use_robocache: False reads the files with h5py and plain PyTorch instead: same batches,
            slower. With shuffle=True both shuffle all samples, in orders of their own.
        split: the name of a mask, such as "train"; by default all demonstrations.
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

    def _default_windows(
        self, observation_horizon: int, action_horizon: int, images: bool | Sequence[str]
    ) -> dict[str, Window]:
        past, future = range(1 - observation_horizon, 1), range(action_horizon)
        windows = {}
        for name, info in self.dataset.streams.items():
            if name in ("actions", "action"):
                windows[name] = Window(future)
            elif name.startswith("obs/") and is_wanted(info, images):
                windows[name] = Window(past)
        return windows

    def _plain_reader(self) -> Any:
        return DemoReader(self.dataset)


class DemoReader:
    """Files that h5py opens, each once in a process; a `Reader` of _plain.py."""

    def __init__(self, dataset: Dataset, open_files: int = 64) -> None:
        self._groups: list[tuple[str, str]] = []
        for episode in dataset:
            if "episode" not in episode.metadata:
                raise UnsupportedError(
                    f"use_robocache=False: {episode.file} has no group a demonstration"
                )
            path = os.path.join(dataset.path, episode.file)
            self._groups.append((path, f"data/{episode.metadata['episode']}"))
        self._open_files = open_files

    def read(self, episode: int, info: StreamInfo, steps: Any) -> tuple[Any, Any]:
        """Returns the rows of those steps, each read once, and that all are there."""
        import numpy

        path, group = self._groups[episode]
        rows, which = numpy.unique(steps, return_inverse=True)
        values = self._open(path)[f"{group}/{info.name}"][rows[0] : rows[-1] + 1]
        return values[rows - rows[0]][which].astype(info.dtype), numpy.ones(len(steps), bool)

    def _open(self, path: str) -> Any:
        import h5py

        # Made in the process that uses it: a handle does not travel to workers.
        if "_file" not in self.__dict__:
            self._file = lru_cache(self._open_files)(lambda each: h5py.File(each, locking=False))
        return self._file(path)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_file"}
