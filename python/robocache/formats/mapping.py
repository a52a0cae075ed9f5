"""What a user declares of data whose layout no format knows: which files, episodes and streams.

A mapping is a table, given as ``robocache.open(path, mapping={...})``, as the path of a TOML file,
or as ``robocache.toml`` in the folder that is opened::

    format = "hdf5"
    rate_hz = 20

    [streams]
    action = "commands"                         # short for { path = "commands" }
    "observation/front" = { path = "cam0", kind = "image" }

Which keys there are is the format's to say, see :meth:`Mapping.allow`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from collections.abc import Mapping as Table
from typing import Any

from .. import _arguments
from ..errors import ArgumentTypeError, FormatError, InvalidArgumentError, IoError, UnsupportedError
from . import there

__all__ = ["DRAFTED", "FILE", "Mapping", "find"]

DRAFTED = "declare it with a mapping: `robocache info` drafts one"
"""End of messages on data that a format knows but for its layout; its module has ``draft(path)``,
which returns a mapping to start from as TOML."""

FILE = "robocache.toml"
"""Name of the file that is looked for in the folder that is opened."""

_MAX_BYTES = 1 << 20


class Mapping:
    """A table of a mapping, or one within it; knows what it is called in messages."""

    def __init__(self, where: str, table: Table[str, Any]) -> None:
        self.where = where
        self.table = dict(table)

    def allow(self, known: Iterable[str]) -> None:
        """Raises InvalidArgumentError that names a key which is none of those known."""
        known = tuple(known)
        for key in self.table:
            if key not in known:
                raise InvalidArgumentError(
                    f"{self.where}: found {key!r}, wanted one of {', '.join(map(repr, known))}"
                )

    def __contains__(self, key: str) -> bool:
        return key in self.table

    def what(self, key: str) -> str:
        """Returns what messages call a value."""
        return f"{self.where}: {key}"

    def text(self, key: str, default: str | None = None) -> str | None:
        """Returns a string, the default where there is none."""
        if key not in self.table:
            return default
        return _arguments.string(self.what(key), self.table[key])

    def choice(self, key: str, choices: tuple[str, ...], default: str | None = None) -> str | None:
        """Returns one of some strings, the default where there is none."""
        if key not in self.table:
            return default
        return _arguments.choice(self.what(key), self.table[key], choices)

    def positive(self, key: str) -> float | None:
        """Returns a number above 0, None where there is none."""
        return _arguments.positive(self.what(key), self.table[key]) if key in self.table else None

    def number(self, key: str, default: float) -> float:
        """Returns a number, the default where there is none."""
        return _arguments.number(self.what(key), self.table.get(key, default))

    def inner(self, key: str) -> Mapping:
        """Returns the table at a key."""
        return Mapping(self.what(key), _table(self.what(key), self.table.get(key, {})))

    def tables(self, key: str, short: str) -> dict[str, Mapping]:
        """Returns tables by their names; a string in place of one is its value of `short`."""
        tables = {}
        for name, given in _table(self.what(key), self.table.get(key, {})).items():
            what = f"{self.what(key)}[{name!r}]"
            table = {short: given} if isinstance(given, str) else _table(what, given)
            tables[name] = Mapping(what, table)
        return tables

    @property
    def digest(self) -> str:
        """Eight digits that are others where the mapping says anything else."""
        text = json.dumps(self.table, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def _table(what: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Table):
        raise ArgumentTypeError(f"{what}: found {_arguments.found(value)}, wanted a table")
    for key in value:
        _arguments.string(f"{what}: key", key)
    return dict(value)


def find(given: Any, path: str) -> tuple[str, dict[str, Any]] | None:
    """Returns where a mapping was found and what it holds; None where there is none.

    Args:
        given: what the user gave: a table, the path of a TOML file or None.
        path: that is opened, where a file :data:`FILE` is looked for if nothing was given.
    """
    if isinstance(given, Table):
        where, table = "mapping", _table("mapping", given)
    else:
        where = os.path.join(path, FILE)
        if given is not None:
            where = os.path.abspath(_arguments.path("mapping", given))
        elif not there.is_file(where):
            return None
        table = _read(where)
    if "format" not in table:
        raise InvalidArgumentError(f"{where}: format: is missing, wanted the name of a format")
    _arguments.string(f"{where}: format", table["format"])
    try:
        json.dumps(table)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"{where}: {error}: wanted strings, numbers, lists and tables alone"
        ) from None
    return where, table


def _read(path: str) -> dict[str, Any]:
    try:
        import tomllib
    except ImportError as error:
        raise UnsupportedError(
            f"{path}: TOML is read with Python 3.11 or later ({error}): give the mapping as a dict"
        ) from error
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise IoError(f"{path}: {error.strerror or error}") from error
    if len(content) > _MAX_BYTES:
        raise FormatError(f"{path}: found more than {_MAX_BYTES} bytes, wanted a mapping")
    try:
        return tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise FormatError(f"{path}: {error}") from None
