"""The header of a NumPy array as .npy files have it, read as a stranger's."""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING, Any

from .. import _core
from ..errors import FormatError, UnsupportedError

if TYPE_CHECKING:
    import numpy

__all__ = ["read_npy_header"]

_MAX_BYTES = 65536
_DTYPE = re.compile(r"[<>|=]?([biufcSUO?]|[mM]8)[0-9]{0,9}(\[[a-zA-Z0-9]{1,9}\])?")


def read_npy_header(stream: IO[bytes], what: str) -> tuple[tuple[int, ...], bool, numpy.dtype[Any]]:
    """Returns shape, whether the first axis goes fastest, and dtype; the values come next.

    Args:
        stream: at the beginning of the array.
        what: begins the message of the error that is raised.

    Raises:
        FormatError: there is no array, or its header is damaged.
        UnsupportedError: it holds records.
    """
    import numpy

    begin = stream.read(10)
    if begin[6:7] > b"\1":  # the header's size has 2 bytes in version 1, then 4
        begin += stream.read(2)
    size = int.from_bytes(begin[8:], "little")
    try:
        data = begin + stream.read(min(size, _MAX_BYTES))
        descr, is_fortran, shape, _ = _core.npy_header(data)
        dtype = numpy.dtype(descr) if _DTYPE.fullmatch(descr) else None
    except (FormatError, UnsupportedError) as error:
        raise type(error)(f"{what}: {error}") from None
    except (TypeError, ValueError):
        dtype = None
    if dtype is None:
        raise FormatError(f"{what}: found {descr!r}, which is no dtype of NumPy's")
    return shape, is_fortran, dtype
