"""LeRobot datasets under LeRobot's own names: a loader of batches, and items one at a time."""

from __future__ import annotations

import bisect
import itertools
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from .. import _arguments
from .._frameworks import need_torch
from ..batch import Batch
from ..dataset import Dataset
from ..episode import Episode
from ..errors import InvalidArgumentError, NotFoundError, UnsupportedError
from ..formats.lerobot.reader import STAMPS
from ..loader import DataLoader
from ..opening import open as open_dataset
from ..window import Window
from ._lerobot_meta import LeRobotMetadata
from .base import NamedDataLoader

__all__ = ["LeRobotDataLoader", "LeRobotDataset", "LeRobotMetadata"]

Deltas = Mapping[str, Sequence[float]]

_OPEN_EPISODES = 64
_STEP_TASK = "task of the step"
_COUNTED = ("frame_index", "task_index")


class LeRobotDataset:
    """A dataset's frames one at a time, as LeRobot's class of that name gives them.

    An item is a dict of torch tensors: numbers as float32, int64 or bool, pictures as float32
    [C, H, W] from 0 to 1 (uint8 with `return_uint8`), depth maps as float32 [1, H, W] in the output
    unit; "task", the text of that frame's own task; "timestamp", "frame_index", "episode_index",
    "index" and "task_index". A key of `delta_timestamps` has an axis more, its frames, and
    "<key>_is_pad" beside it, True where a frame lies outside the episode; there the nearest one
    inside stands.

    An item costs what its frames cost to decode, and some 0.1 ms. For training,
    :class:`LeRobotDataLoader` gives the same frames in batches, decoded by native threads.

    May be pickled, and used in the workers of a torch DataLoader.

    Args:
        root: folder of the dataset, of version 2.0, 2.1 or 3.0.
        episodes: LeRobot's numbers of those to take; None: all.
        image_transforms: called with each picture, or frames of it, depth maps left out.
        delta_timestamps: seconds from the frame, of features by name.
        tolerance_s: how far those may be from frames.
        return_uint8: pictures as they are, [C, H, W] uint8.
        depth_output_unit: "mm" or "m".
        open_options: further arguments of robocache.open(), such as on_error="skip".

    Raises:
        As robocache.open(); NotFoundError: there is no such episode or feature.
        InvalidArgumentError: seconds that are no frames'.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        episodes: Sequence[int] | None = None,
        image_transforms: Callable[[Any], Any] | None = None,
        delta_timestamps: Deltas | None = None,
        tolerance_s: float = 1e-4,
        return_uint8: bool = False,
        depth_output_unit: str = "mm",
        **open_options: Any,
    ) -> None:
        need_torch("LeRobotDataset")
        self.dataset = _taken(open_dataset(root, **open_options), episodes)
        self.meta = LeRobotMetadata(self.dataset)
        self.root = self.meta.root
        self.episodes = None if episodes is None else _numbers(episodes)
        self.image_transforms = image_transforms
        self.delta_indices = frames_of(self.meta, delta_timestamps, tolerance_s)
        self._as_items = _Conversion(self.meta, self.dataset, return_uint8, depth_output_unit)
        self._ends = list(itertools.accumulate(self._as_items.rows.lengths))
        self._opened: OrderedDict[int, Episode] = OrderedDict()

    @property
    def num_frames(self) -> int:
        """Frames of the episodes taken."""
        return self._ends[-1] if self._ends else 0

    @property
    def num_episodes(self) -> int:
        """Episodes taken."""
        return len(self._ends)

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.meta.fps

    @property
    def features(self) -> dict[str, dict[str, Any]]:
        """As info.json has them."""
        return self.meta.features

    def __len__(self) -> int:
        return self.num_frames

    def __getitem__(self, index: int | slice) -> Any:
        """Returns a frame, or the list of those of a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = _arguments.integer("index", index, -_arguments.INT64_MAX)
        if not -len(self) <= number < len(self):
            raise NotFoundError(f"index: {number} found, wanted 0 to {len(self) - 1}")
        number %= len(self)
        position = bisect.bisect_right(self._ends, number)
        episode = self._episode(position)
        step = number - (self._ends[position - 1] if position else 0)
        return self._item(episode, step)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(len(self)))

    def _episode(self, position: int) -> Episode:
        episode = self._opened.pop(position, None) or self.dataset.episodes[position]
        self._opened[position] = episode
        if len(self._opened) > _OPEN_EPISODES:
            self._opened.popitem(last=False)
        return episode

    def _item(self, episode: Episode, step: int) -> dict[str, Any]:
        item: dict[str, Any] = {}
        for name in self._as_items.names:
            steps, pad = [step], None
            if name in self.delta_indices:
                wanted = [step + delta for delta in self.delta_indices[name]]
                steps = [min(max(each, 0), episode.num_steps - 1) for each in wanted]
                pad = [not 0 <= each < episode.num_steps for each in wanted]
            values = self._as_items.convert(name, _read(episode[name], steps))
            item[name] = values if pad is not None else values[0]
            if pad is not None:
                import torch

                item[f"{name}_is_pad"] = torch.tensor(pad)
        item.update(self._as_items.bookkeeping(episode, step))
        if self.image_transforms is not None:
            for name in self._as_items.colours:
                item[name] = self.image_transforms(item[name])
        return item

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": OrderedDict()}

    def __repr__(self) -> str:
        return (
            f"<LeRobotDataset {self.root}: {self.num_episodes} episodes, {self.num_frames} frames>"
        )


class LeRobotDataLoader(NamedDataLoader):
    """Batches of a LeRobot dataset with the keys, shapes and dtypes of its items.

    What torch's DataLoader makes of :class:`LeRobotDataset`, or of LeRobot's own class: numbers
    [B, ...], or [B, W, ...] with "<key>_is_pad" [B, W] where `delta_timestamps` names the feature;
    pictures float32 [B, C, H, W] from 0 to 1; "task" a list of str. Frames are decoded by native
    threads into the batch, each group of pictures once for all that want frames of it.

    Pictures stay uint8 with `return_uint8`, which is a quarter of the bytes: normalise them on the
    GPU. :class:`robocache.DataLoader` gives channels last, and windows of any clock besides.

    Args:
        dataset_path: folder of the dataset, of version 2.0, 2.1 or 3.0.
        batch_size: samples a batch.
        use_robocache: False gives torch's DataLoader over LeRobot's own class instead, which has to
            be installed and reads version 3.0 alone.
        episodes, delta_timestamps, tolerance_s, return_uint8, depth_output_unit: as of
            :class:`LeRobotDataset`.
        features: names of those to load, by default all.
        shuffle: see DataLoader; "blocks" decodes each group of pictures about once.
        seed, drop_last: as in DataLoader.
        num_threads: worker threads (worker processes without RoboCache); 0: all cores (no process).
        loader_options: further arguments of DataLoader.

    Raises:
        As robocache.open() and DataLoader.
    """

    def __init__(
        self,
        dataset_path: str | os.PathLike[str],
        batch_size: int = 32,
        use_robocache: bool = True,
        *,
        episodes: Sequence[int] | None = None,
        delta_timestamps: Deltas | None = None,
        tolerance_s: float = 1e-4,
        return_uint8: bool = False,
        depth_output_unit: str = "mm",
        features: Sequence[str] | None = None,
        shuffle: bool | str = True,
        seed: int = 0,
        drop_last: bool = False,
        num_threads: int = 0,
        **loader_options: Any,
    ) -> None:
        batch_size = _arguments.integer("batch_size", batch_size, 1, 2**31 - 1)
        if not _arguments.flag("use_robocache", use_robocache):
            self._loader = _lerobots_own(
                dataset_path,
                episodes,
                delta_timestamps,
                batch_size=batch_size,
                shuffle=bool(shuffle),
                drop_last=drop_last,
                num_workers=num_threads,
            )
            self._as_items: _Conversion | None = None
            return
        self.dataset = _taken(open_dataset(dataset_path), episodes)
        self.meta = LeRobotMetadata(self.dataset)
        self._as_items = _Conversion(
            self.meta, self.dataset, return_uint8, depth_output_unit, features
        )
        deltas = frames_of(self.meta, delta_timestamps, tolerance_s)
        for name in deltas:
            if name not in self._as_items.names:
                raise NotFoundError(f"delta_timestamps: {name!r}: is none of the features loaded")
        windows = {
            name: Window(deltas[name], mode="nearest", name=name)
            if name in deltas
            else Window(0, mode="nearest", name=name, squeeze=True)
            for name in self._as_items.names
        }
        if self._as_items.has_step_tasks:
            windows["task"] = Window(0, mode="nearest", name=_STEP_TASK, squeeze=True)
        for name in self._as_items.counted:
            windows[name] = Window(0, mode="nearest", name=name, squeeze=True)
        self._deltas = deltas
        self._loader = DataLoader(
            self.dataset,
            batch_size,
            streams=windows,
            shuffle=shuffle,
            seed=seed,
            drop_last=drop_last,
            num_threads=num_threads,
            array="torch",
            **loader_options,
        )

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self._as_items is None:
            return super().__iter__()
        return map(self._batch, self._loader)

    def _batch(self, batch: Batch) -> Batch:
        assert self._as_items is not None
        found = Batch()
        for name in self._as_items.names:
            found[name] = self._as_items.convert(name, batch[name])
            if name in self._deltas:
                found[f"{name}_is_pad"] = batch[f"{name}_is_pad"]
        found.update(self._as_items.bookkeeping_of(batch))
        found["task"] = batch[_STEP_TASK] if _STEP_TASK in batch else batch["task"]
        return found


class _Conversion:
    """From what streams hold to what LeRobot's items hold."""

    def __init__(
        self,
        meta: LeRobotMetadata,
        dataset: Dataset,
        return_uint8: bool,
        depth_output_unit: str,
        features: Sequence[str] | None = None,
    ) -> None:
        streams = dataset.streams
        known = [name for name in meta.features if name in streams]
        self.counted = [name for name in known if name in _COUNTED]
        self.names = [name for name in known if name not in _COUNTED]
        if features is not None:
            for name in features:
                if name not in self.names:
                    raise NotFoundError(f"features: {name!r} not found, wanted {self.names}")
            self.names = [name for name in self.names if name in features]
        self.kinds = {name: streams[name].kind for name in self.names}
        self.depths = [name for name in self.names if name in meta.depth_keys]
        self.colours = [
            name for name in self.names if self.kinds[name] == "image" and name not in self.depths
        ]
        self.has_step_tasks = "task" in streams and streams["task"].kind == "text"
        self._units = {name: streams[name] for name in self.depths}
        self._return_uint8 = _arguments.flag("return_uint8", return_uint8)
        unit = _arguments.choice("depth_output_unit", depth_output_unit, ("mm", "m"))
        self._a_metre = 1000.0 if unit == "mm" else 1.0
        self.rows = meta.rows(dataset)

    def convert(self, name: str, values: Any) -> Any:
        """Returns values [..., *shape] as LeRobot has them; texts as they are."""
        import torch

        if self.kinds[name] == "text":
            return values
        tensor = values if isinstance(values, torch.Tensor) else torch.from_numpy(values)
        if name in self.depths:
            return self._depth(name, tensor)
        if self.kinds[name] == "image":
            planes = tensor.movedim(-1, -3)
            if self._return_uint8 or planes.dtype != torch.uint8:
                return planes
            return planes.contiguous().to(torch.float32).div_(255)
        if tensor.dtype == torch.bool:
            return tensor
        return tensor.to(torch.float32 if tensor.dtype.is_floating_point else torch.int64)

    def _depth(self, name: str, codes: Any) -> Any:
        """Returns depths [..., 1, H, W] float32 in the output unit, of pictures or of codes."""
        import torch

        stream = self._units[name]
        planes = codes.movedim(-1, -3).contiguous().to(torch.float32)
        kind, *numbers = stream.unit.split()
        if kind == "log":
            low, high, shift = map(float, numbers[1:])
            begin = torch.log(torch.tensor(low + shift, dtype=torch.float64)).item()
            end = torch.log(torch.tensor(high + shift, dtype=torch.float64)).item()
            metres = planes.mul_((end - begin) / 4095).add_(begin).exp_().sub_(shift)
            metres = metres.clamp_(low, high)
        elif stream.scale != 1.0 or stream.offset != 0.0:
            metres = planes.mul_(stream.scale).add_(stream.offset)
        elif kind in ("m", "mm"):
            return planes.mul_(self._a_metre / (1000.0 if kind == "mm" else 1.0))
        else:
            return planes
        found = metres.mul_(self._a_metre)
        return found.round_().clamp_(0, 65535) if self._a_metre == 1000.0 else found

    @cached_property
    def _tables(self) -> tuple[Any, Any]:
        import torch

        return torch.tensor(self.rows.numbers), torch.tensor(self.rows.firsts)

    def bookkeeping(self, episode: Episode, step: int) -> dict[str, Any]:
        """Returns LeRobot's own columns of one frame."""
        import torch

        seconds = int(episode[STAMPS].read(step, 1)[0]) * 1e-9
        found: dict[str, Any] = {
            "timestamp": torch.tensor(seconds, dtype=torch.float32),
            "episode_index": torch.tensor(self.rows.numbers[episode.index]),
            "index": torch.tensor(self.rows.firsts[episode.index] + step),
        }
        for name in self.counted:
            found[name] = torch.tensor(int(episode[name].read(step, 1)[0]))
        if self.has_step_tasks:
            found["task"] = episode["task"].raw(step).decode()
        else:
            found["task"] = episode.task
        return found

    def bookkeeping_of(self, batch: Batch) -> dict[str, Any]:
        """Returns the same of a batch."""
        import torch

        which = batch["episode_index"]
        steps = batch["frame_index"] if "frame_index" in batch else batch["step_index"]
        numbers, firsts = self._tables
        return {
            "timestamp": (batch["time_ns"].to(torch.float64) * 1e-9).to(torch.float32),
            "episode_index": numbers[which],
            "index": firsts[which] + steps,
            **{name: batch[name] for name in self.counted},
        }


def frames_of(
    meta: LeRobotMetadata, deltas: Deltas | None, tolerance_s: float
) -> dict[str, list[int]]:
    """Returns delta_timestamps in frames."""
    tolerance_s = _arguments.at_least_zero("tolerance_s", tolerance_s)
    frames: dict[str, list[int]] = {}
    for name, seconds in (deltas or {}).items():
        if name not in meta.features:
            raise NotFoundError(
                f"delta_timestamps: {name!r} not found, features are {', '.join(meta.features)}"
            )
        frames[name] = []
        for second in _arguments.items(f"delta_timestamps[{name!r}]", seconds, "seconds"):
            moment = _arguments.number(f"delta_timestamps[{name!r}]", second)
            frame = round(moment * meta.fps)
            if abs(moment * meta.fps - frame) > tolerance_s * meta.fps:
                raise InvalidArgumentError(
                    f"delta_timestamps[{name!r}]: {moment} s found, wanted a multiple of "
                    f"1/{meta.fps:g} s within {tolerance_s:g} s"
                )
            frames[name].append(frame)
    return frames


def _numbers(episodes: Sequence[int]) -> list[int]:
    items = _arguments.items("episodes", episodes, "numbers of episodes")
    return [_arguments.integer("episodes", number, 0) for number in items]


def _taken(dataset: Dataset, episodes: Sequence[int] | None) -> Dataset:
    """Returns a view of the episodes with LeRobot's numbers."""
    if dataset.format != "lerobot":
        raise UnsupportedError(f"{dataset.path}: is {dataset.format}, wanted a LeRobot dataset")
    if episodes is None:
        return dataset
    wanted = _numbers(episodes)
    places = {e.metadata.get("episode_index"): e.index for e in dataset}
    for number in wanted:
        if number not in places:
            raise NotFoundError(f"episodes: {number} not found in {dataset.path}")
    return dataset.take([places[number] for number in wanted])


def _read(stream: Any, steps: Sequence[int]) -> Any:
    """Returns the samples of some steps, those that follow each other read together."""
    import numpy as np

    runs: list[tuple[int, int]] = []
    for step in sorted(set(steps)):
        if runs and runs[-1][0] + runs[-1][1] == step:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((step, 1))
    known = [first + i for first, count in runs for i in range(count)]
    parts = [stream.read(first, count) for first, count in runs]
    if stream.info.kind == "text":
        texts = dict(zip(known, (text for part in parts for text in part), strict=True))
        return [texts[step] for step in steps]
    if len(parts) == 1 and known == list(steps):
        return parts[0]
    return np.concatenate(parts)[np.searchsorted(known, steps)]


def _lerobots_own(
    path: str | os.PathLike[str],
    episodes: Sequence[int] | None,
    deltas: Deltas | None,
    **options: Any,
) -> Any:
    """Returns torch's DataLoader over LeRobot's own dataset."""
    import importlib

    try:
        module = importlib.import_module("lerobot.datasets.lerobot_dataset")
    except ImportError as error:
        raise UnsupportedError(
            f"use_robocache=False: LeRobot is needed for it ({error})"
        ) from error
    import torch

    dataset = module.LeRobotDataset(
        "local/" + os.path.basename(os.path.abspath(path)),
        root=path,
        episodes=None if episodes is None else list(episodes),
        delta_timestamps=None if deltas is None else dict(deltas),
    )
    return torch.utils.data.DataLoader(dataset, **options)
