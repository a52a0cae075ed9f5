"""Checks of arguments: what does not fit is an error that says what was found and wanted.

Numbers may be Python's, NumPy's of any dtype, or arrays and tensors without axes.
"""

from __future__ import annotations

import math
import numbers
import operator
import os
import reprlib
from collections.abc import Iterable
from typing import Any

from .errors import ArgumentTypeError, InvalidArgumentError

INT64_MAX = 2**63 - 1


def found(value: object) -> str:
    """Returns what a message shows of a value."""
    return reprlib.repr(value)


def as_plain(value: Any) -> Any:
    """Returns a number or list of Python's for NumPy's and torch's, all else as it is."""
    if not hasattr(value, "tolist"):
        return value
    try:
        return value.tolist()
    except Exception:  # sparse and meta tensors have none
        return value


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def integer(name: str, value: Any, low: int, high: int = INT64_MAX) -> int:
    """Returns a whole number from `low` to `high`; a float may be one."""
    plain = as_plain(value)
    if isinstance(plain, float) and plain.is_integer():
        plain = int(plain)
    try:
        if isinstance(plain, bool):
            raise TypeError
        number = operator.index(plain)
    except Exception:  # of a tensor's own kind, where it holds no number
        raise ArgumentTypeError(f"{name}: found {found(value)}, wanted an integer") from None
    if not low <= number <= high:
        limit = "or more" if number < low and high == INT64_MAX else f"to {high}"
        raise InvalidArgumentError(f"{name}: found {number}, wanted {low} {limit}")
    return number


def number(name: str, value: Any) -> float:
    """Returns a number that is not NaN."""
    plain = as_plain(value)
    if not _is_number(plain):
        raise ArgumentTypeError(f"{name}: found {found(value)}, wanted a number")
    if math.isnan(plain):
        raise InvalidArgumentError(f"{name}: found nan, wanted a number")
    return float(plain)


def positive(name: str, value: Any) -> float:
    """Returns a finite number above 0."""
    checked = number(name, value)
    if not 0 < checked < math.inf:
        wanted = "a finite number" if checked > 0 else "positive"
        raise InvalidArgumentError(f"{name}: {found(value)} found, wanted {wanted}")
    return checked


def at_least_zero(name: str, value: Any) -> float:
    """Returns a number from 0 on; infinity is one."""
    checked = number(name, value)
    if checked < 0:
        raise InvalidArgumentError(f"{name}: found {checked:g}, wanted 0 or more")
    return checked


def items(name: str, value: Any, wanted: str) -> Iterable[Any]:
    """Returns one number in a list, or any iterable of values as it is."""
    plain = as_plain(value)
    if _is_number(plain):
        return [plain]
    if isinstance(plain, (str, bytes)) or not isinstance(plain, Iterable):
        raise ArgumentTypeError(f"{name}: found {found(value)}, wanted {wanted}")
    return plain


def flag(name: str, value: Any) -> bool:
    """Returns True or False, given as such or as 1 or 0."""
    plain = as_plain(value)
    if not isinstance(plain, (bool, int)) or plain not in (0, 1):
        raise ArgumentTypeError(f"{name}: found {found(value)}, wanted True or False")
    return bool(plain)


def choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """Returns one of `choices`."""
    if not isinstance(value, str):
        raise ArgumentTypeError(f"{name}: found {found(value)}, wanted a string")
    if value not in choices:
        listed = ", ".join(map(repr, choices))
        raise InvalidArgumentError(f"{name}: found {value!r}, wanted one of {listed}")
    return value


def path(name: str, value: Any) -> str:
    """Returns a path as a string that the system can have."""
    try:
        text = os.fsdecode(value)
        os.fsencode(text)
    except (TypeError, UnicodeError):
        raise ArgumentTypeError(f"{name}: found {found(value)}, wanted a path") from None
    if not text or "\0" in text:
        wanted = "a path without NUL" if text else "a path"
        raise InvalidArgumentError(f"{name}: found {text!r}, wanted {wanted}")
    return text


def string(name: str, value: Any) -> str:
    """Returns a string without NUL, which C could not see the end of."""
    if not isinstance(value, str):
        raise ArgumentTypeError(f"{name}: found {found(value)}, wanted a string")
    if "\0" in value:
        raise InvalidArgumentError(f"{name}: found {value!r}, wanted a string without NUL")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"{name}: found {value!r}, wanted text of Unicode") from None
    return value
