"""Writing RLDS datasets that TensorFlow Datasets and RoboCache read alike."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import _arguments, _core
from ._samples import metadata_value, stream_samples
from .errors import ArgumentTypeError, InvalidArgumentError, NotFoundError

__all__ = ["Feature", "RldsWriter"]


@dataclass(frozen=True)
class Feature:
    """What one stream of the steps, or one piece of metadata, holds.

    Attributes:
        dtype: NumPy's name, "float32"; "str" for text. Floats of any width are stored as float32.
        shape: of one sample; -1 for extents of images that are not all the same.
        encoding: "jpeg" or "png" for images.
        ragged: a step holds any number of samples.
    """

    dtype: str = "float32"
    shape: tuple[int, ...] = ()
    encoding: str = ""
    ragged: bool = False

    def __post_init__(self) -> None:
        """Refuses what is no dtype, shape or encoding by type; the writer looks closer."""
        _arguments.string("Feature: dtype", self.dtype)
        _arguments.string("Feature: encoding", self.encoding)
        extents = self.shape
        if isinstance(extents, (str, bytes)) or not hasattr(extents, "__len__"):
            raise ArgumentTypeError(
                f"Feature: shape {extents!r} found, wanted a tuple of extents such as (7,)"
            )
        items = _arguments.items("Feature: shape", extents, "extents such as (7,)")
        shape = tuple(_arguments.integer("Feature: shape", item, -1) for item in items)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "ragged", _arguments.flag("Feature: ragged", self.ragged))

    @property
    def kind(self) -> str:
        """One of "numeric", "image" or "text"."""
        if self.dtype == "str":
            return "text"
        return "image" if self.encoding else "numeric"


class RldsWriter:
    """Writes episodes into TFRecord shards; use it in a ``with`` block.

    The dataset appears at `<path>/<name>/<version>` when the block ends, in one step. After an
    exception nothing is left behind, unless `on_error` is "keep".

    Args:
        path: folder for datasets.
        name: of the dataset.
        features: streams of the steps by name, "observation/state"; stamps of a stream "x" are an
            int64 stream "x_time_ns" in nanoseconds, ragged where "x" is.
        version: of the dataset.
        metadata: features of an episode as a whole, numeric or text.
        description: of the dataset.
        shard_bytes: a shard that has reached this is followed by another; 0 means 256 MiB.
        control_rate_hz: steps a second; stored, so that those who open the dataset need not say it.
        append: a dataset that is there is added to; it must have the same features. Its shards are
            not copied but linked, and until the block ends it stays as it was.
        on_error: what becomes of the episodes added before an exception or Ctrl-C ends the block:
            "discard", or "keep", which finishes the dataset with them.

    Raises:
        InvalidArgumentError: a name, dtype or shape cannot be written; the dataset is there already
            and `append` is false, or it has other features.
        IoError: the folder cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        name: str,
        features: Mapping[str, Feature],
        *,
        version: str = "1.0.0",
        metadata: Mapping[str, Feature] | None = None,
        description: str | None = None,
        shard_bytes: int = 0,
        control_rate_hz: float | None = None,
        append: bool = False,
        on_error: str = "discard",
    ) -> None:
        _arguments.choice("on_error", on_error, ("discard", "keep"))
        if control_rate_hz is not None:
            control_rate_hz = _arguments.positive("control_rate_hz", control_rate_hz)
        path = _arguments.path("path", path)
        _arguments.string("name", name)
        _arguments.string("version", version)
        if description is not None:
            _arguments.string("description", description)
        shard_bytes = _arguments.integer("shard_bytes", shard_bytes, 0)
        append = _arguments.flag("append", append)
        self.features = _declared("features", features)
        self.metadata = _declared("metadata", {} if metadata is None else metadata)
        self.path = os.path.join(path, name, version)
        self.num_episodes = 0
        """Added by this writer."""
        self._keeps = on_error == "keep"
        self._native = _core.create_writer(
            path,
            name,
            version,
            description,
            _describe(self.features),
            _describe(self.metadata),
            shard_bytes,
            control_rate_hz or 0.0,
            append,
        )

    def add_episode(
        self,
        steps: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
        *,
        split: str = "train",
    ) -> None:
        """Appends an episode of at least one step.

        Numbers are stored as declared or refused: integers must fit their dtype, and floats are not
        made integers. Stamps must not go back, and there are as many as samples. Images must be
        sound, of the shape, dtype and encoding declared.

        Args:
            steps: for every feature, its samples: numeric an array [T, *shape]; text a list of T
                str; images a list of T encoded bytes (b"" where there is none), or of arrays
                [H, W, C], which Pillow encodes. Ragged ones a list of T of these, one a step.
            metadata: for every feature of the metadata, its value.
            split: which the episode belongs to.

        Raises:
            InvalidArgumentError: samples do not fit their feature; the message names the stream,
                the sample, what was found and what was wanted.
            IoError: the episode could not be written.
            In either case it is not in the dataset; the episodes before it are, and more can be
            added.
        """
        metadata = {} if metadata is None else metadata
        _arguments.string("split", split)
        _check_names("steps", steps, self.features)
        _check_names("metadata", metadata, self.metadata)
        streams = {
            name: stream_samples(name, feature, steps[name])
            for name, feature in self.features.items()
        }
        counts = {name: samples.num_steps for name, samples in streams.items()}
        found = list(counts.values())
        num_steps = max(found, key=found.count)  # the odd one out is named
        for name, count in counts.items():
            if count != num_steps:
                raise InvalidArgumentError(
                    f"steps[{name!r}]: {count} steps found, others have {num_steps}"
                )
        if num_steps == 0:
            raise InvalidArgumentError("steps: 0 steps found, wanted at least 1")
        self._native.add(
            split,
            num_steps,
            [(samples.values, samples.row_lengths) for samples in streams.values()],
            [
                (metadata_value(name, feature, metadata[name]), None)
                for name, feature in self.metadata.items()
            ],
        )
        self.num_episodes += 1

    def close(self) -> None:
        """Finishes the dataset and moves it to its destination in one step."""
        self._native.close()

    def abort(self) -> None:
        """Gives up: removes what has been written."""
        self._native.abort()

    def __enter__(self) -> RldsWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None or (self._keeps and self.num_episodes > 0):
            self.close()
        else:
            self.abort()


def _declared(what: str, features: Any) -> dict[str, Feature]:
    if not isinstance(features, Mapping):
        raise ArgumentTypeError(f"{what}: found {features!r}, wanted a mapping of names to Feature")
    for name, feature in features.items():
        _arguments.string(f"{what}: name", name)
        if not isinstance(feature, Feature):
            raise ArgumentTypeError(f"{what}[{name!r}]: found {feature!r}, wanted a Feature")
    return dict(features)


def _describe(features: Mapping[str, Feature]) -> list[tuple[Any, ...]]:
    return [
        (name, f.kind, f.dtype, tuple(f.shape), f.encoding, f.ragged)
        for name, f in features.items()
    ]


def _check_names(what: str, given: Any, declared: Mapping[str, Feature]) -> None:
    if not isinstance(given, Mapping):
        raise ArgumentTypeError(f"{what}: found {type(given).__name__}, wanted a mapping of names")
    for name in declared:
        if name not in given:
            raise NotFoundError(f"{what}: {name!r} is missing")
    for name in given:
        if name not in declared:
            raise NotFoundError(f"{what}: {name!r} was not declared; features are {list(declared)}")
