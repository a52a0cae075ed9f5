"""What numbers of a window are normalised with: `Window(normalize=)`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from . import _arguments, _vectors
from .episode import StreamInfo
from .errors import ArgumentTypeError, InvalidArgumentError
from .statistics import KINDS, Statistics, scale_offset

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .dataset import Dataset

    Numbers: TypeAlias = NDArray[Any]
    Affine: TypeAlias = tuple[Numbers, Numbers]  # scale and offset
    Normal: TypeAlias = tuple[Numbers, Numbers, int]  # and `pad_to`, 0 where nothing is padded

_BOUNDS = {"mean_std": ("mean", "std"), "min_max": ("min", "max"), "q01_q99": ("q01", "q99")}

# Frames between the warning of constant channels and who makes the loader.
_TO_THE_CALLER = 7


def checked(value: Any) -> Any:
    """Returns a kind, or a pair of a kind and Statistics or bounds, of what a window is given."""
    if isinstance(value, str):
        return _arguments.choice("Window: normalize", value, KINDS)
    kind = None
    if isinstance(value, tuple) and len(value) == 2:
        kind, value = _arguments.choice("Window: normalize", value[0], KINDS), value[1]
    if isinstance(value, Statistics):
        return kind or "mean_std", value
    if isinstance(value, Mapping):
        return _checked_bounds(kind, value)
    raise ArgumentTypeError(
        f"Window: normalize: found {_arguments.found(value)}, wanted "
        f"{', '.join(map(repr, KINDS))}, Statistics, a dict of bounds, "
        "or a pair of a kind and one of these"
    )


def _checked_bounds(kind: str | None, given: Mapping[str, Any]) -> tuple[str, Any]:
    known = [each for each in KINDS if all(name in given for name in _BOUNDS[each])]
    if not known or (kind is not None and kind not in known):
        wanted = " or ".join(
            f"{low!r} and {high!r}"
            for low, high in map(_BOUNDS.__getitem__, [kind] if kind else KINDS)
        )
        raise InvalidArgumentError(
            f"Window: normalize: found a dict of {', '.join(map(repr, given))}, wanted one with "
            f"{wanted}"
        )
    kind = kind or known[0]
    bounds = {
        name: _vectors.checked_numbers(f"Window: normalize: {name}", given[name])
        for name in _BOUNDS[kind]
    }
    mask = given.get("mask")
    if mask is not None:
        mask = _arguments.items("Window: normalize: mask", mask, "a list of True and False")
        bounds["mask"] = tuple(_arguments.flag("Window: normalize: mask", each) for each in mask)
    return kind, bounds


def check_streams(given: str, parts: Sequence[StreamInfo], makes_images: bool) -> None:
    """Raises where a window holds what is not normalised."""
    for part in parts:
        is_cloud = part.is_ragged and part.times is None
        if part.kind == "numeric" and not is_cloud and not makes_images:
            continue
        held = "rows of any length" if is_cloud else "text" if part.kind == "text" else "images"
        raise InvalidArgumentError(
            f"streams[{given!r}]: normalize: stream {part.name!r} holds {held}, wanted numbers"
            + ("; images have Image(mean=, std=)" if held == "images" else "")
        )


def find(
    normalize: Any,
    dataset: Dataset,
    given: str,
    parts: Sequence[StreamInfo],
    shape: tuple[int, ...],
    own: tuple[Any, Any],
    on_error: str,
    member: str | None,
) -> Affine:
    """Returns scale and offset that normalise a target of `shape`: float64 [*shape].

    Args:
        normalize: what `checked()` returned.
        dataset: whose statistics are taken where none are given.
        given: name of the window, for messages.
        parts: streams that a target is made of.
        shape: of a target.
        own: scale and offset of the window, which are applied before; None: none.
        on_error: what damaged data does to statistics.
        member: name of the dataset in a mixture, for warnings.
    """
    import numpy

    if not isinstance(normalize, str):
        kind, bounds = normalize
        return _of_given(kind, bounds, given, shape)
    table = dataset.statistics(
        [part.name for part in parts], on_error="raise" if on_error == "raise" else "skip"
    )

    def joined(arrays: Iterable[Numbers]) -> Numbers:
        pairs = zip(arrays, parts, strict=True)
        flat = [numpy.broadcast_to(each, part.shape).reshape(-1) for each, part in pairs]
        return numpy.concatenate(flat).reshape(shape)

    constant = joined(table[part.name].constant for part in parts)
    if constant.any():
        _warn_of_constant(given, constant, member)
    scale, offset = map(
        joined, zip(*(table[part.name].scale_offset(normalize) for part in parts), strict=True)
    )
    factor = numpy.asarray(1.0 if own[0] is None else own[0], numpy.float64)
    shift = numpy.asarray(0.0 if own[1] is None else own[1], numpy.float64)
    # Bounds are multiplied likewise, and change places where the factor is negative.
    scale = numpy.where(factor == 0, 1.0, scale / numpy.where(factor == 0, 1.0, abs(factor)))
    return scale, numpy.sign(factor) * offset - scale * shift


def chained(own: tuple[Any, Any], normal: Affine) -> Affine:
    """Returns scale and offset of those of a window and of what normalises, one after the other."""
    import numpy

    scale, offset = normal
    factor = numpy.asarray(1.0 if own[0] is None else own[0], numpy.float64)
    shift = numpy.asarray(0.0 if own[1] is None else own[1], numpy.float64)
    return factor * scale, shift * scale + offset


def _warn_of_constant(given: str, constant: Numbers, member: str | None) -> None:
    import numpy

    channels = [list(map(int, index)) for index in numpy.argwhere(constant)]
    listed = ", ".join(str(each[0] if len(each) == 1 else each) for each in channels[:20])
    more = f" and {len(channels) - 20} more" if len(channels) > 20 else ""
    what = f"channels {listed}{more} have" if constant.ndim else "it has"
    whose = "" if member is None else f"dataset {member!r}: "
    warnings.warn(
        f"{whose}streams[{given!r}]: normalize: {what} one value only, which becomes 0",
        stacklevel=_TO_THE_CALLER,
    )


def _of_given(kind: str, given: Any, name: str, shape: tuple[int, ...]) -> Affine:
    import numpy

    if isinstance(given, Statistics):
        scale, offset = given.scale_offset(kind)
    else:
        low, high = (numpy.asarray(given[each], numpy.float64) for each in _BOUNDS[kind])
        scale, offset = scale_offset(kind, low, high)
        if "mask" in given:
            mask = numpy.asarray(given["mask"])
            scale, offset = numpy.where(mask, scale, 1.0), numpy.where(mask, offset, 0.0)
    try:
        return numpy.broadcast_to(scale, shape), numpy.broadcast_to(offset, shape)
    except ValueError:
        raise InvalidArgumentError(
            f"streams[{name!r}]: normalize: found statistics of shape {list(scale.shape)}, wanted "
            f"{list(shape)}"
        ) from None


def undo(name: str, values: Any, scale: Numbers, offset: Numbers, pad_to: int) -> Any:
    """Returns values before scale and offset: in float64 where they are, else in float32.

    Vectors may have what they are padded with, which stays as it is, or not.
    """
    import numpy

    if not hasattr(values, "shape"):
        values = numpy.asarray(values, numpy.float64)
    if scale.ndim == 1 and pad_to > scale.size and tuple(values.shape[-1:]) == (pad_to,):
        padding = (0, pad_to - scale.size)
        scale, offset = numpy.pad(scale, padding, constant_values=1), numpy.pad(offset, padding)
    factor, shift = 1 / scale, -offset / scale
    if tuple(values.shape[len(values.shape) - scale.ndim :]) != scale.shape:
        raise InvalidArgumentError(
            f"denormalize: {name!r}: found shape {list(values.shape)}, wanted "
            f"[..., {', '.join(map(str, scale.shape))}]"
            + (f", or {pad_to} with what it is padded with" if pad_to > scale.size else "")
        )
    is_double = str(values.dtype).endswith("float64")
    if hasattr(values, "new_tensor"):
        values = values.double() if is_double else values.float()
        return values * values.new_tensor(factor.tolist()) + values.new_tensor(shift.tolist())
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(values, jax.Array):
        numpy = jax.numpy
    dtype = "float64" if is_double else "float32"
    return numpy.asarray(values, dtype) * numpy.asarray(factor, dtype) + numpy.asarray(shift, dtype)
