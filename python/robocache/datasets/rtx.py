"""RT-X (Open X-Embodiment) datasets in RLDS."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from ..dataset import Dataset
from ..window import Window
from .base import ChunkDataLoader, is_wanted

__all__ = ["BridgeDataLoader", "RTXDataLoader"]


class RTXDataLoader(ChunkDataLoader):
    """Batches of observations and action chunks from an RT-X dataset.

    Every sample is a step: of each numeric and image stream under "observation/" the last
    `observation_horizon` steps up to it, and of "action" (or each stream under "action/") the next
    `action_horizon` steps from it. See :class:`robocache.DataLoader` for what a batch holds.

    Args:
        dataset_path: folder of the dataset, such as "bridge_dataset/1.0.0".
        batch_size: samples a batch.
        use_robocache: False reads the files with plain PyTorch instead: same batches, slower. With
            shuffle=True both shuffle all samples, in orders of their own; Pillow decodes JPEG with
            the accurate inverse DCT, so pixels differ by rounding.
        split: of the dataset; all of it by default.
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
            if name == "action" or name.startswith("action/"):
                windows[name] = Window(future)
            elif name.startswith("observation/") and is_wanted(info, images):
                windows[name] = Window(past)
        return windows

    def _plain_reader(self) -> Any:
        return importlib.import_module("._plain", __package__).RldsReader(self.dataset)


class BridgeDataLoader(RTXDataLoader):
    """Batches from BridgeData V2: image_0, the robot's state, and a chunk of "actions"."""

    def _default_windows(
        self, observation_horizon: int, action_horizon: int, images: bool | Sequence[str]
    ) -> dict[str, Window]:
        if images is True:
            images = ["observation/image_0"]
        windows = super()._default_windows(observation_horizon, action_horizon, images)
        chosen = {}
        for name, window in windows.items():
            if name == "action":
                chosen[name] = Window(window.ticks, name="actions")
            elif name == "observation/state" or _is_image(self.dataset, name):
                chosen[name] = window
        return chosen


def _is_image(dataset: Dataset, name: str) -> bool:
    return dataset.streams[name].kind == "image"
