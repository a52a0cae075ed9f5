"""Whether files are there, told as os.path tells it, but that a shortage is an error.

`os.path.exists` and the like say no where a disk fails or memory is short, and a split, a text or a
whole format would be left out without a word.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from .damage import is_shortage

__all__ = ["exists", "is_file", "is_folder", "walk"]


def exists(path: str) -> bool:
    """Whether there is anything."""
    return _mode(path) != 0


def is_file(path: str) -> bool:
    """Whether there is a file."""
    return stat.S_ISREG(_mode(path))


def is_folder(path: str) -> bool:
    """Whether there is a folder."""
    return stat.S_ISDIR(_mode(path))


def walk(path: str, *, followlinks: bool = False) -> Iterator[tuple[str, list[str], list[str]]]:
    """Goes through folders as os.walk does."""
    return os.walk(path, onerror=_pass_on, followlinks=followlinks)


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except ValueError:  # no path at all
        return 0
    except OSError as error:
        _pass_on(error)
        return 0


def _pass_on(error: OSError) -> None:
    if is_shortage(error):
        raise error
