"""Formats by name: those that are built in, and those that are registered."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from .. import _arguments, _causes, _core, errors
from .._told import Told, remembered
from ..errors import ArgumentTypeError, Error, InvalidArgumentError
from . import builtin
from .indexer import DeclaredPart, Indexer
from .mapping import Mapping
from .part import Part

__all__ = ["register_format"]

Probe = Callable[[str], bool]
Index = Callable[[str, Indexer], None]


def register_format(name: str, *, probe: Probe, index: Index, replace: bool = False) -> None:
    """Makes :func:`robocache.open` know a format, for as long as the process lives.

    A process that is started to load data, such as a worker that is spawned, has to register it,
    too: do so where the module that defines it is imported.

    Args:
        name: of the format. It is kept in catalogs.
        probe: called with a path, returns whether what is there looks like the format. Cheap.
        index: called with a path and an :class:`Indexer` at every open of a path that `probe`
            knows, to declare streams and parts. Cheap, too: it reads metadata only. What it
            declares as ``read`` is called for parts that are new or changed, in several threads at
            once.
        replace: take the place of a format registered earlier by that name.

    Raises:
        InvalidArgumentError: there is a format of that name, or one that is built in has it.
    """
    name = _arguments.string("name", name)
    if not name or "'" in name or "\n" in name:
        raise InvalidArgumentError(f"name: found {name!r}, wanted the name of a format")
    for argument, value in (("probe", probe), ("index", index)):
        if not callable(value):
            raise ArgumentTypeError(f"{argument}: found {value!r}, wanted a function")
    if any(name == known.name for known in builtin.BUILTIN):
        raise InvalidArgumentError(f"format '{name}': is built in; choose another name")
    adapter = _Adapter(name, probe, index)
    looks_for = f"what {_describe(probe)} accepts"
    _core.register_format(name, looks_for, adapter, _arguments.flag("replace", replace))


def _describe(function: Any) -> str:
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{module}.{name}" if module else str(name)


class _Adapter:
    """A format as the native module calls it; what is raised here is one of robocache's errors."""

    _numbers = itertools.count()

    def __init__(self, name: str, probe: Probe, index: Index) -> None:
        self._name = name
        self._probe = probe
        self._index = index
        self._opened: dict[int, tuple[Indexer, list[DeclaredPart], _causes.Opening]] = {}

    def probe(self, path: str) -> bool:
        try:
            return bool(self._probe(path))
        except BaseException as error:
            raise self._told(f"format '{self._name}', {path}", error, _causes.current()) from error

    def open(self, path: str, told: str) -> tuple[Any, ...]:
        """Returns a number for what was declared, and all of that; `told` by the first part."""
        opening = _causes.current()
        handle = next(self._numbers)
        mapping = None if opening.mapping is None else Mapping(*opening.mapping)
        dataset = Indexer(path, mapping, remembered(told))
        try:
            self._index(path, dataset)
            schema = dataset.schema()
        except BaseException as error:
            raise self._told(f"format '{self._name}', {path}", error, opening) from error
        opening.told = Told(dataset.notes, dataset.splits_by)
        opening.ignores_mapping = dataset.ignores_mapping
        self._opened[handle] = dataset, list(dataset.parts.values()), opening
        opening.at_end.append(lambda: self._opened.pop(handle, None))
        return handle, *schema

    def read(self, handle: int, number: int, native: _core.Part, prefix: str) -> None:
        dataset, parts, opening = self._opened[handle]
        part = parts[number]
        try:
            reading = Part(
                native, part.path, dataset.path, list(dataset.streams), dataset.splits_by, prefix
            )
            part.read(reading)
            reading.tell()
        except BaseException as error:
            raise self._told(prefix, error, opening) from error

    def _told(self, prefix: str, error: BaseException, opening: _causes.Opening) -> Error:
        """Returns the error that stands for an exception of the format's functions."""
        told: Error
        if isinstance(error, Error):
            kind, text = type(error), str(error)
        elif isinstance(error, MemoryError):
            kind, text = errors.OutOfMemoryError, f"{type(error).__name__}: {error}"
        elif isinstance(error, OSError):
            kind, text = errors.IoError, f"{type(error).__name__}: {error}"
        elif isinstance(error, Exception):
            kind, text = InvalidArgumentError, f"{type(error).__name__}: {error}"
        else:
            kind, text = errors.CancelledError, repr(error)
        if kind is ArgumentTypeError:
            kind = InvalidArgumentError
        told = kind(_prefixed(prefix, text))
        if isinstance(error, OSError) and isinstance(told, OSError):
            told.errno = error.errno
        if not isinstance(error, Error):
            opening.add(str(told), error)
        return told


def _prefixed(prefix: str, text: str) -> str:
    """Returns a message behind what it is of, which it may have said itself, as may its path."""
    name, _, path = prefix.partition(", ")
    if path and text.startswith(path):
        prefix = name
    return f"{prefix}: {text.replace(f'{prefix}: ', '')}"


for _format in builtin.BUILTIN:
    _core.register_format(
        _format.name,
        _format.looks_for,
        _Adapter(_format.name, _format.probe, _format.index),
        True,  # where this module is imported a second time
    )
