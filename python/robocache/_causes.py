"""One call of open(): what formats in Python are given, and what they raise and note meanwhile."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ._told import Told
from .errors import Error

_MESSAGE_CHARACTERS = 200  # of a message are looked for: the library may cut its end, or add to it

_local = threading.local()


class Opening:
    """One call of open(): the causes of its errors, and what is to be let go of at its end.

    Attributes:
        mapping: where the user's mapping was found and what it holds; None: there is none.
        ignores_mapping: the format took no notice of it.
        told: what the format tells of the dataset.
    """

    def __init__(self, mapping: tuple[str, dict[str, Any]] | None = None) -> None:
        self.mapping = mapping
        self.ignores_mapping = mapping is not None
        self.told = Told()
        self.causes: list[tuple[str, BaseException]] = []
        self.at_end: list[Callable[[], object]] = []

    def add(self, message: str, cause: BaseException) -> None:
        """Keeps the exception that an error with this message stands for."""
        self.causes.append((message[:_MESSAGE_CHARACTERS], cause))

    def find(self, error: Error) -> BaseException | None:
        """Returns the exception behind an error of the library, if there is one."""
        text = str(error)
        return next((cause for message, cause in self.causes if message in text), None)


def current() -> Opening:
    """Returns the call of open() that this thread is in; a new one where it is in none."""
    return getattr(_local, "opening", None) or Opening()


@contextlib.contextmanager
def opening(mapping: tuple[str, dict[str, Any]] | None = None) -> Iterator[Opening]:
    """Raises errors of the library from the exceptions that formats raised meanwhile."""
    outer = getattr(_local, "opening", None)
    _local.opening = inner = Opening(mapping)
    try:
        yield inner
    except Error as error:
        cause = inner.find(error)
        if cause is None:
            raise
        if not isinstance(cause, Exception):  # Ctrl-C and its like stop more than this
            raise cause from None
        raise error from cause
    finally:
        _local.opening = outer
        for end in inner.at_end:
            end()
