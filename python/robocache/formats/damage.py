"""Which errors speak of data, and may be left out, and which of the machine."""

from __future__ import annotations

import errno

from ..errors import Error, FormatError, IoError, NotFoundError, UnsupportedError

__all__ = ["is_damage", "is_shortage", "pass_shortage"]

_GONE = (None, 0, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)

_SHORT = (
    errno.EAGAIN,
    errno.EBUSY,
    errno.EINTR,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOBUFS,
    errno.ENOLCK,
    errno.ENOMEM,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ECONNRESET,
    errno.EREMOTEIO,
)


def is_shortage(error: OSError) -> bool:
    """Whether the machine could not tell, which says nothing of what is there."""
    return error.errno in _SHORT


def pass_shortage(error: Exception) -> None:
    """Raises what an error stands for where that is a shortage: zipfile calls a file that a failing
    disk did not give no zip file.
    """
    hidden = error.__context__
    if isinstance(hidden, OSError) and is_shortage(hidden):
        raise hidden from None


def is_damage(error: Error) -> bool:
    """Whether files are damaged, missing or of a kind that is not supported; else it is a shortage
    (memory, descriptors, a failing disk, rights), which is never skipped.
    """
    if isinstance(error, IoError):
        return error.errno in _GONE
    return isinstance(error, (FormatError, NotFoundError, UnsupportedError))
