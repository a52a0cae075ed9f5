"""The header of a NumPy array as .npy files have it, read as a stranger's."""

from __future__ import annotations

import tokenize
from typing import IO, TYPE_CHECKING, Any

from ..errors import FormatError

if TYPE_CHECKING:
    import numpy

__all__ = ["read_npy_header"]


def read_npy_header(stream: IO[bytes], what: str) -> tuple[tuple[int, ...], bool, numpy.dtype[Any]]:
    """Returns shape, whether the first axis goes fastest, and dtype; the values come next.

    Args:
        stream: at the beginning of the array.
        what: begins the message of the FormatError that is raised where it is none.
    """
    from numpy.lib import format as npy

    try:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, dtype = read(stream)
    except (
        *(ValueError, TypeError, KeyError, SyntaxError, EOFError, tokenize.TokenError),
        *(RecursionError, MemoryError, OverflowError),
    ) as error:
        raise FormatError(f"{what}: no NumPy array: {error}") from None
    return shape, is_fortran, dtype
