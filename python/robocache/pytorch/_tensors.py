"""Tensors in, the same kind out; and the checks all operations share."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from .._frameworks import convert
from ..errors import ArgumentTypeError, InvalidArgumentError

Number = TypeVar("Number", int, float)
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
TIMES = (torch.int64, torch.float64, torch.float32)


def is_numpy(array: Any) -> bool:
    """Whether `array` is a NumPy array; does not import NumPy."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(array, numpy.ndarray)


def to_torch(array: Any, name: str, like: torch.Tensor | None = None) -> torch.Tensor:
    """Returns `array` as a tensor, without a copy where it is writable."""
    if isinstance(array, torch.Tensor):
        tensor = array
    elif is_numpy(array):
        tensor = _of_numpy(array, name)
    else:
        raise ArgumentTypeError(f"{name}: found {type(array)!r}, wanted a torch or NumPy tensor")
    if like is not None and tensor.device != like.device:
        raise InvalidArgumentError(
            f"{name}: on {tensor.device}, wanted {like.device} as the first tensor"
        )
    return tensor


def _of_numpy(array: Any, name: str) -> torch.Tensor:
    if not array.flags.writeable:
        array = array.copy()
    try:
        if array.dtype.name == "bfloat16":
            return torch.from_numpy(array.view("int16")).view(torch.bfloat16)
        return torch.from_numpy(array)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"{name}: dtype {array.dtype!r} found, wanted a native float, integer or bool"
        ) from error


def from_torch(tensor: torch.Tensor, like: Any) -> Any:
    """Returns `tensor` as the kind of array that `like` is."""
    if not is_numpy(like):
        return tensor
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def store(result: torch.Tensor, out: Any, like: Any) -> Any:
    """Returns `result` as `like`'s kind, written to `out` where that is given."""
    if out is None:
        return from_torch(result, like)
    target = to_torch(out, "out", result)
    if target.dtype != result.dtype:
        raise InvalidArgumentError(f"out: dtype {target.dtype} found, {result.dtype} wanted")
    if target.shape != result.shape:
        raise InvalidArgumentError(
            f"out: shape {list(target.shape)} found, {list(result.shape)} wanted"
        )
    with torch.no_grad():
        target.copy_(result)
    return out


def to_small(numbers: Any, name: str, dtype: str, like: torch.Tensor) -> torch.Tensor:
    """Returns a few numbers (lengths, a matrix) as a tensor beside `like`; new ones of `dtype`."""
    if isinstance(numbers, torch.Tensor) and numbers.device == like.device:
        return numbers
    converted: torch.Tensor = convert(numbers, like, dtype, name)
    return converted


def to_times(target_times: Any, times: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Returns target times as a tensor; a list has the dtype of `times`."""
    if isinstance(target_times, (list, tuple)):
        return to_small(target_times, "target_times", str(times.dtype).removeprefix("torch."), like)
    return to_torch(target_times, "target_times", like)


def to_lengths(lengths: Any, batch: int, most: int, like: torch.Tensor) -> torch.Tensor:
    """Returns lengths as int64 [batch], each in [0, most]; all `most` where None."""
    if lengths is None:
        return torch.full((batch,), most, dtype=torch.int64, device=like.device)
    if is_numpy(lengths) and lengths.dtype.kind == "f":
        lengths = to_torch(lengths, "lengths")
    tensor = to_small(lengths, "lengths", "int64", like)
    if tensor.dtype not in (torch.int32, torch.int64):
        raise InvalidArgumentError(f"lengths: dtype {tensor.dtype} found, int32 or int64 wanted")
    if tensor.shape != (batch,):
        raise InvalidArgumentError(f"lengths: shape {list(tensor.shape)} found, [{batch}] wanted")
    tensor = tensor.to(torch.int64)
    if batch > 0 and bool(((tensor < 0) | (tensor > most)).any()):
        raise InvalidArgumentError(
            f"lengths: {tensor.tolist()} found, each wanted from 0 to {most}"
        )
    return tensor


def number(value: Any, name: str) -> float:
    """Returns a number of any kind, or an array of one, as a float."""
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentTypeError(f"{name}: found {value!r}, wanted a number") from error


def whole(value: Any, name: str) -> int:
    """Returns a whole number of any kind, or an array of one, as an int of at most 64 bits."""
    try:
        found: float = operator.index(value)
    except TypeError:
        found = number(value, name)
    if abs(found) >= 2**63 or found != found // 1:
        raise ArgumentTypeError(f"{name}: found {value!r}, wanted an integer of at most 64 bits")
    return int(found)


def three(value: Any, name: str, kind: Callable[[Any, str], Number]) -> list[Number]:
    """Returns one number for all axes, or three, as a list of three; `kind` is one of the above."""
    try:
        items = list(value)
    except TypeError:
        return [kind(value, name)] * 3
    if len(items) != 3:
        raise ArgumentTypeError(f"{name}: found {value!r}, wanted one number or three")
    return [kind(item, name) for item in items]
