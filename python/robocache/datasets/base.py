"""What loaders by the name of a dataset share."""

from __future__ import annotations

import copy
import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import _arguments
from .._frameworks import need_torch
from ..dataset import Dataset
from ..episode import StreamInfo
from ..errors import ArgumentTypeError, InvalidArgumentError, NotFoundError, UnsupportedError
from ..loader import DataLoader
from ..opening import open as open_dataset
from ..window import MAX_TICKS, Window

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ChunkDataLoader", "NamedDataLoader", "Windows", "is_wanted"]

Windows = Mapping[str, Window]

_MAX_THREADS = 1024


class NamedDataLoader:
    """A loader by the name of a dataset: what it is beyond that, another one does underneath."""

    _loader: Any

    def __copy__(self) -> Self:
        """Returns a loader that starts where this one stands."""
        again = type(self).__new__(type(self))
        again.__dict__.update({**self.__dict__, "_loader": copy.copy(self._loader)})
        return again

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self._loader!r}>"

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._loader)

    def __len__(self) -> int:
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        """Gives state_dict(), stats() and all else of the loader underneath."""
        if name == "_loader":
            raise AttributeError(name)
        return getattr(self._loader, name)


class ChunkDataLoader(NamedDataLoader):
    """Batches of observations and action chunks; subclasses know the dataset's streams.

    What the arguments mean is said with :class:`RTXDataLoader`; `split` of another name and what
    `images` may be, with each class.
    """

    def __init__(
        self,
        dataset_path: str | os.PathLike[str],
        batch_size: int = 32,
        use_robocache: bool = True,
        *,
        split: str | None = None,
        observation_horizon: int = 2,
        action_horizon: int = 16,
        images: bool | Sequence[str] = True,
        streams: Windows | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        num_threads: int = 0,
        **loader_options: Any,
    ) -> None:
        batch_size = _arguments.integer("batch_size", batch_size, 1, 2**31 - 1)
        num_threads = _arguments.integer("num_threads", num_threads, 0, _MAX_THREADS)
        seed = _arguments.integer("seed", seed, 0, 2**63 - 1)
        shuffle = _arguments.flag("shuffle", shuffle)
        drop_last = _arguments.flag("drop_last", drop_last)
        use_robocache = _arguments.flag("use_robocache", use_robocache)
        dataset = open_dataset(dataset_path, control_rate_hz=loader_options.get("rate_hz"))
        self.dataset = self._episodes(dataset if split is None else dataset.split(split))
        if streams is None:
            if not isinstance(images, bool):
                wanted = "True, False or names of image streams"
                names = _arguments.items("images", images, wanted)
                images = [self._image(name) for name in names]
            ticks = (
                _horizon("observation_horizon", observation_horizon),
                _horizon("action_horizon", action_horizon),
            )
            streams = self._default_windows(*ticks, images)
            self._check_found(streams, *ticks)
        self.streams = _checked(streams)
        if use_robocache:
            self._loader = DataLoader(
                self.dataset,
                batch_size,
                streams=self.streams,
                shuffle=shuffle,
                seed=seed,
                drop_last=drop_last,
                num_threads=num_threads,
                **loader_options,
            )
            return
        if loader_options:
            raise UnsupportedError(
                f"use_robocache=False: takes no {', '.join(sorted(loader_options))}"
            )
        need_torch("use_robocache=False")
        plain = importlib.import_module("._plain", __package__)
        self._loader = plain.make_loader(
            plain.PlainDataset(self.dataset, self.streams, self._plain_reader()),
            batch_size,
            shuffle,
            seed,
            drop_last,
            num_threads,
        )

    def _episodes(self, dataset: Dataset) -> Dataset:
        """Returns what samples are of: the episodes of the dataset, or segments of them."""
        return dataset

    def _default_windows(
        self, observation_horizon: int, action_horizon: int, images: bool | Sequence[str]
    ) -> dict[str, Window]:
        raise NotImplementedError

    def _image(self, name: Any) -> str:
        info = self.dataset.streams[_arguments.string("images", name)]
        if info.kind != "image":
            raise InvalidArgumentError(
                f"images: stream {info.name!r} is {info.kind}, wanted images"
            )
        return info.name

    def _check_found(self, windows: Windows, before: int, ahead: int) -> None:
        """Holds the windows to have observations and actions: another dataset has other names."""
        found = [window.ticks for window in windows.values()]
        for what, ticks in (("observation", range(1 - before, 1)), ("action", range(ahead))):
            if tuple(ticks) not in found:
                raise NotFoundError(
                    f"{type(self).__name__}: found no stream of {what}s by the names it knows; "
                    f"give streams=. The dataset has {', '.join(self.dataset.streams)}"
                )

    def _plain_reader(self) -> Any:
        """Returns a `Reader` of _plain.py: what reads the files for the plain path."""
        raise NotImplementedError


def _horizon(name: str, ticks: Any) -> int:
    return _arguments.integer(name, ticks, 1, MAX_TICKS)


def _checked(streams: Any) -> dict[str, Window]:
    if not isinstance(streams, Mapping):
        raise ArgumentTypeError(
            f"streams: found {_arguments.found(streams)}, wanted a dict of names to Window"
        )
    for name, window in streams.items():
        if not isinstance(window, Window):
            raise ArgumentTypeError(
                f"streams[{name!r}]: found {_arguments.found(window)}, wanted a Window"
            )
    return dict(streams)


def is_wanted(info: StreamInfo, images: bool | Sequence[str]) -> bool:
    """Whether windows of observations take the stream by default."""
    if info.kind == "image":
        return images if isinstance(images, bool) else info.name in images
    return info.kind == "numeric" and not info.is_ragged
