"""Exceptions raised by RoboCache, all of them an :class:`Error`.

Each is also the built-in exception that fits, so that ``except ValueError`` or ``except OSError``
catch what one would expect.
"""

from __future__ import annotations

__all__ = [
    "ArgumentTypeError",
    "CancelledError",
    "DeviceError",
    "Error",
    "FormatError",
    "InternalError",
    "InvalidArgumentError",
    "IoError",
    "NotFoundError",
    "OutOfMemoryError",
    "UnsupportedError",
]


class Error(Exception):
    """Base of every error that RoboCache raises."""

    # KeyError would show the message quoted.
    __str__ = Exception.__str__


class InvalidArgumentError(Error, ValueError):
    """An argument has a wrong value or shape; the message names it, what it was and must be."""


class ArgumentTypeError(Error, TypeError):
    """An argument has a wrong type, is missing or unknown."""


class OutOfMemoryError(Error, MemoryError):
    """Memory could not be had."""


class IoError(Error, OSError):
    """The operating system refused: a file is missing or unreadable, the disk is full."""


class FormatError(Error, ValueError):
    """A file is damaged or not what its metadata says; the message names file and byte offset."""


class NotFoundError(Error, KeyError, IndexError):
    """There is no such stream, split, task or episode."""


class UnsupportedError(Error, NotImplementedError):
    """The request is valid, but this build or device cannot do it; the message says why."""


class CancelledError(Error):
    """A progress callback asked to stop."""


class DeviceError(Error, RuntimeError):
    """The CUDA driver reported an error."""


class InternalError(Error, RuntimeError):
    """A defect in RoboCache."""
