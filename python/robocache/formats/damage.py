"""Which errors speak of data, and may be left out, and which of the machine."""

from __future__ import annotations

import errno

from ..errors import Error, FormatError, IoError, NotFoundError, UnsupportedError

__all__ = ["is_damage"]

_GONE = (None, 0, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)


def is_damage(error: Error) -> bool:
    """Whether files are damaged, missing or of a kind that is not supported; else it is a shortage
    (memory, descriptors, a failing disk, rights), which is never skipped.
    """
    if isinstance(error, IoError):
        return error.errno in _GONE
    return isinstance(error, (FormatError, NotFoundError, UnsupportedError))
