"""Writing RLDS datasets that TensorFlow Datasets and RoboCache read alike."""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import _core
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

    @property
    def kind(self) -> str:
        """One of "numeric", "image" or "text"."""
        if self.dtype == "str":
            return "text"
        return "image" if self.encoding else "numeric"


class RldsWriter:
    """Writes episodes into TFRecord shards; use it in a ``with`` block.

    The dataset appears at `<path>/<name>/<version>` when the block ends; after an exception
    nothing is left behind.

    Args:
        path: folder for datasets.
        name: of the dataset.
        features: streams of the steps by name, "observation/state"; stamps of a stream "x" are an
            int64 stream "x_time_ns", ragged where "x" is.
        version: of the dataset.
        metadata: features of an episode as a whole, numeric or text.
        description: of the dataset.
        shard_bytes: a shard that has reached this is followed by another; 0 means 256 MiB.

    Raises:
        InvalidArgumentError: a name, dtype or shape cannot be written.
        IoError: the folder cannot be written, or the dataset is there already.
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
    ) -> None:
        self.features = dict(features)
        self.metadata = dict(metadata or {})
        self.path = os.path.join(path, name, version)
        self._native = _core.create_writer(
            path,
            name,
            version,
            description,
            _describe(self.features),
            _describe(self.metadata),
            shard_bytes,
        )

    def add_episode(
        self,
        steps: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
        *,
        split: str = "train",
    ) -> None:
        """Appends an episode.

        Args:
            steps: for every feature, its samples: numeric an array [T, *shape]; text a list of T
                str; images a list of T encoded bytes (b"" where there is none), or of arrays
                [H, W, C], which Pillow encodes. Ragged ones a list of T of these, one a step.
            metadata: for every feature of the metadata, its value.
            split: which the episode belongs to.

        Raises:
            InvalidArgumentError: samples do not fit their feature. Nothing is written then.
        """
        metadata = metadata or {}
        _check_names("steps", steps, self.features)
        _check_names("metadata", metadata, self.metadata)
        num_steps = min((len(samples) for samples in steps.values()), default=0)
        for name, samples in steps.items():
            if len(samples) != num_steps:
                raise InvalidArgumentError(
                    f"steps[{name!r}]: {len(samples)} steps found, others have {num_steps}"
                )
        self._native.add(
            split,
            num_steps,
            [_samples(name, feature, steps[name]) for name, feature in self.features.items()],
            [_value(name, feature, metadata[name]) for name, feature in self.metadata.items()],
        )

    def close(self) -> None:
        """Finishes the dataset and moves it to its place in one step."""
        self._native.close()

    def abort(self) -> None:
        """Gives up: removes what has been written."""
        self._native.abort()

    def __enter__(self) -> RldsWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def _describe(features: Mapping[str, Feature]) -> list[tuple[Any, ...]]:
    for name, feature in features.items():
        if not isinstance(feature, Feature):
            raise ArgumentTypeError(f"features[{name!r}]: found {feature!r}, wanted a Feature")
    return [
        (name, f.kind, f.dtype, tuple(f.shape), f.encoding, f.ragged)
        for name, f in features.items()
    ]


def _check_names(what: str, given: Mapping[str, Any], declared: Mapping[str, Feature]) -> None:
    for name in declared:
        if name not in given:
            raise NotFoundError(f"{what}: {name!r} is missing")
    for name in given:
        if name not in declared:
            raise NotFoundError(f"{what}: {name!r} was not declared; features are {list(declared)}")


def _samples(name: str, feature: Feature, samples: Any) -> tuple[Any, Any]:
    """Returns what Writer.add() wants of a stream: values or bytes, and row lengths."""
    import numpy

    if feature.ragged:
        lengths = numpy.array([len(step) for step in samples], numpy.int64)
        if feature.kind != "numeric":
            return _encode(name, feature, [item for step in samples for item in step]), lengths
        rows = [numpy.asarray(step, feature.dtype).reshape(-1, *feature.shape) for step in samples]
        rows.append(numpy.empty((0, *feature.shape), feature.dtype))
        return numpy.concatenate(rows), lengths
    if feature.kind == "numeric":
        return numpy.asarray(samples, feature.dtype), None
    return _encode(name, feature, samples), None


def _value(name: str, feature: Feature, value: Any) -> tuple[Any, Any]:
    import numpy

    if feature.kind == "numeric":
        return numpy.asarray(value, feature.dtype), None
    return _encode(name, feature, [value]), None


def _encode(name: str, feature: Feature, samples: Sequence[Any]) -> list[bytes]:
    return [
        item
        if isinstance(item, bytes)
        else item.encode()
        if isinstance(item, str)
        else _encode_image(name, feature, item)
        for item in samples
    ]


def _encode_image(name: str, feature: Feature, pixels: Any) -> bytes:
    if feature.kind != "image":
        raise ArgumentTypeError(f"steps[{name!r}]: found {type(pixels)!r}, wanted str")
    image = importlib.import_module("PIL.Image")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    buffer = io.BytesIO()
    options = {"quality": 95} if feature.encoding == "jpeg" else {}
    image.fromarray(pixels).save(buffer, feature.encoding, **options)
    return buffer.getvalue()
