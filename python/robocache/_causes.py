"""What a format in Python raised, kept until the native library has told of it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from .errors import Error

_MESSAGE_CHARACTERS = 200  # of a message are looked for: the library may cut its end, or add to it

_local = threading.local()


class Opening:
    """One call of open(): the causes of its errors, and what is to be let go of at its end."""

    def __init__(self) -> None:
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
def opening() -> Iterator[None]:
    """Raises errors of the library from the exceptions that formats raised meanwhile."""
    outer = getattr(_local, "opening", None)
    _local.opening = inner = Opening()
    try:
        yield
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
