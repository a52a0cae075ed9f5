"""What users give a writer, made the arrays and bytes that are stored, or refused."""

from __future__ import annotations

import importlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import ArgumentTypeError, InvalidArgumentError, UnsupportedError

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from .rlds import Feature


@dataclass
class Samples:
    """One stream of an episode: an array [n, *shape], or a list of n bytes."""

    values: Any
    row_lengths: NDArray[numpy.int64] | None  # [num_steps], for ragged streams
    num_steps: int


def stream_samples(name: str, feature: Feature, given: Any) -> Samples:
    """Returns the samples of a stream as they are stored.

    Raises:
        InvalidArgumentError: one does not fit; the message names stream and step.
    """
    label = f"steps[{name!r}]"
    items = _sequence(label, given, "a sequence with one entry a step")
    if not feature.ragged:
        if feature.kind == "numeric":
            values = _numbers(label, feature, given)
            if values.ndim == 0 or values.shape[1:] != feature.shape:
                raise _misshapen(label, values, ("T", *feature.shape))
            return Samples(values, None, len(values))
        encoded = [_encode(f"{label}[{i}]", feature, item) for i, item in enumerate(items)]
        return Samples(encoded, None, len(encoded))
    import numpy

    rows = [_row(f"{label}[{step}]", feature, row) for step, row in enumerate(items)]
    lengths = numpy.array([len(row) for row in rows], numpy.int64)
    if feature.kind != "numeric":
        return Samples([item for row in rows for item in row], lengths, len(rows))
    empty = numpy.empty((0, *feature.shape), feature.dtype)
    return Samples(numpy.concatenate([*rows, empty]), lengths, len(rows))


def metadata_value(name: str, feature: Feature, given: Any) -> Any:
    """Returns a piece of metadata as it is stored: an array of the feature's shape, or [bytes]."""
    label = f"metadata[{name!r}]"
    if feature.kind != "numeric":
        return [_encode(label, feature, given)]
    value = _numbers(label, feature, given)
    if value.shape != feature.shape:
        raise _misshapen(label, value, feature.shape)
    return value


def _sequence(label: str, given: Any, wanted: str) -> Sequence[Any]:
    if isinstance(given, (str, bytes)) or not hasattr(given, "__len__"):
        raise ArgumentTypeError(f"{label}: found {given!r}, wanted {wanted}")
    try:
        len(given)
    except TypeError:  # an array without axes
        raise ArgumentTypeError(f"{label}: found {given!r}, wanted {wanted}") from None
    items: Sequence[Any] = given
    return items


def _row(label: str, feature: Feature, given: Any) -> Any:
    """Returns the samples of one step of a ragged stream."""
    items = _sequence(label, given, "a sequence with the samples of the step")
    if feature.kind != "numeric":
        return [_encode(f"{label}[{i}]", feature, item) for i, item in enumerate(items)]
    values = _numbers(label, feature, given)
    if len(values) == 0:
        return values.reshape((0, *feature.shape))
    if values.shape[1:] != feature.shape:
        raise _misshapen(label, values, ("n", *feature.shape))
    return values


def _misshapen(
    label: str, values: NDArray[Any], wanted: tuple[int | str, ...]
) -> InvalidArgumentError:
    found, asked = (f"[{', '.join(map(str, shape))}]" for shape in (values.shape, wanted))
    return InvalidArgumentError(f"{label}: shape {found} found, {asked} wanted")


def _numbers(label: str, feature: Feature, given: Any) -> NDArray[Any]:
    """Returns the numbers in the feature's dtype; those that it cannot hold are refused."""
    import numpy

    try:
        dtype = numpy.dtype(feature.dtype)
    except TypeError:
        raise InvalidArgumentError(
            f"{label}: dtype {feature.dtype!r} is none that NumPy has; declare another"
        ) from None
    try:
        values = numpy.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:  # the last is torch's
        raise InvalidArgumentError(f"{label}: found what makes no array: {error}") from None
    if values.size == 0 and values.dtype.kind == "f":
        return values.astype(dtype)  # an empty list has no dtype of its own
    if values.dtype.kind not in "biuf":
        raise ArgumentTypeError(f"{label}: dtype {values.dtype} found, {dtype} wanted")
    if values.dtype.kind == "f" and dtype.kind != "f":
        stamps = "_time_ns'" in label and dtype == numpy.int64
        raise ArgumentTypeError(
            f"{label}: dtype {values.dtype} found, {dtype} wanted"
            + ("; stamps are whole nanoseconds" if stamps else "; round and convert them first")
        )
    if dtype.kind == "f":
        with numpy.errstate(over="ignore"):
            stored = values.astype(dtype if dtype.itemsize < 4 else numpy.float32)
        fits = numpy.isfinite(stored) | ~numpy.isfinite(values)
        wanted = f"what {stored.dtype} can hold"
    elif dtype.kind == "b":
        fits = (values == 0) | (values == 1)
        wanted = "0 or 1"
    else:
        limits = numpy.iinfo(dtype)
        fits = (values >= limits.min) & (values <= limits.max)
        wanted = f"{limits.min} to {limits.max}"
    if not fits.all():
        at = tuple(int(i) for i in numpy.argwhere(~fits)[0])
        position = f"[{', '.join(map(str, at))}]" if at else ""
        raise InvalidArgumentError(f"{label}{position}: {values[at]} found, {wanted} wanted")
    return values.astype(dtype, copy=False)


def _encode(label: str, feature: Feature, item: Any) -> bytes:
    if feature.kind == "text":
        if not isinstance(item, (str, bytes)):
            raise ArgumentTypeError(f"{label}: found {type(item).__name__}, wanted str")
        try:
            return item.encode() if isinstance(item, str) else item
        except UnicodeEncodeError:
            raise InvalidArgumentError(f"{label}: found {item!r}, wanted text of Unicode") from None
    if isinstance(item, (bytes, bytearray, memoryview)):
        return bytes(item)
    return _encode_image(label, feature, item)


def _encode_image(label: str, feature: Feature, pixels: Any) -> bytes:
    import numpy

    if isinstance(pixels, str):
        raise ArgumentTypeError(f"{label}: found {pixels!r}, wanted bytes or an array [H, W, C]")
    pixels = numpy.asarray(pixels)
    if pixels.dtype != feature.dtype:
        raise InvalidArgumentError(f"{label}: dtype {pixels.dtype} found, {feature.dtype} wanted")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    fits = len(feature.shape) == pixels.ndim == 3 and all(
        wanted in (-1, found) for wanted, found in zip(feature.shape, pixels.shape, strict=True)
    )
    if not fits:
        raise _misshapen(label, pixels, feature.shape)
    try:
        image = importlib.import_module("PIL.Image")
    except ImportError as error:
        raise UnsupportedError(
            f"{label}: arrays are encoded by Pillow ({error}): install pillow, or give bytes"
        ) from error
    buffer = io.BytesIO()
    options = {"quality": 95} if feature.encoding == "jpeg" else {}
    try:
        picture = image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        picture.save(buffer, feature.encoding, **options)
    except (TypeError, ValueError, OSError, KeyError) as error:
        raise InvalidArgumentError(f"{label}: cannot be encoded: {error}") from error
    return buffer.getvalue()
