"""Files that are something else than what belongs in their place."""

from __future__ import annotations

from .. import _core
from ..errors import FormatError

__all__ = ["foreign"]

_PEEK_BYTES = 256


def foreign(path: str, wanted: str, *, is_text: bool = False) -> FormatError | None:
    """Returns an error that says what a file is instead: a pointer of Git LFS, a server's page.

    Args:
        path: of the file.
        wanted: what it should be, "an HDF5 file".
        is_text: what is wanted is text, so that text says nothing.

    Returns:
        None where the file's beginning is of no such kind.
    """
    with open(path, "rb") as file:
        what = _core.describe_foreign(file.read(_PEEK_BYTES), not is_text)
    return None if what is None else FormatError(f"{path}: wanted {wanted}, but the file {what}")
