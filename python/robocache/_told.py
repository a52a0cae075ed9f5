"""What formats in Python tell of a dataset beyond its schema, and of its parts in its catalog."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import FormatError, InvalidArgumentError

if TYPE_CHECKING:
    from . import _core

__all__ = ["Told", "ToldPart", "read_told", "remembered"]

_NOTED = 100  # parts whose notes are shown


@dataclass(frozen=True)
class Told:
    """What is told of a dataset.

    Attributes:
        notes: that users are to see.
        splits_by: key of episodes' metadata that lists the splits which an episode is in, besides
            that of its part; None: there is none.
        splits: the ids of the episodes of each of those, in order.
    """

    notes: list[str] = field(default_factory=list)
    splits_by: str | None = None
    splits: Mapping[str, list[int]] = field(default_factory=dict)


class ToldPart:
    """What is told of a part while it is read.

    Args:
        splits_by: see :class:`Told`.
    """

    def __init__(self, splits_by: str | None) -> None:
        self.notes: list[str] = []
        self.remembered: dict[str, Any] | None = None
        self._splits_by = splits_by
        self._splits: dict[str, list[list[int]]] = {}  # runs: the first episode, how many
        self._episodes = 0

    def add_episodes(
        self, count: int, metadata: Iterable[Mapping[str, Any] | str | None] | None
    ) -> None:
        """Takes the splits that so many episodes more name in their metadata."""
        first = self._episodes
        self._episodes += count
        if self._splits_by is None:
            return
        for number, each in enumerate(metadata or ()):
            table = json.loads(each) if isinstance(each, str) else each or {}
            names = table.get(self._splits_by)
            for name in dict.fromkeys(names) if isinstance(names, (list, tuple)) else ():
                if isinstance(name, str):
                    self._add(name, first + number)

    def _add(self, name: str, episode: int) -> None:
        runs = self._splits.setdefault(name, [])
        if runs and sum(runs[-1]) == episode:
            runs[-1][1] += 1
        else:
            runs.append([episode, 1])

    def to_json(self) -> str | None:
        """Returns what the catalog keeps; None where there is nothing to tell."""
        told = {"notes": self.notes, "splits": self._splits, "remembered": self.remembered}
        found = {key: value for key, value in told.items() if value}
        try:
            return json.dumps(found, allow_nan=False) if found else None
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidArgumentError(f"remember: {error}, wanted a JSON object") from None


def remembered(told: str) -> dict[str, Any] | None:
    """Returns what a part was to remember; None where that is nothing."""
    found = _table(told).get("remembered")
    return found if isinstance(found, dict) else None


def read_told(native: _core.Dataset, told: Told) -> Told:
    """Returns what the format and the parts in the catalog tell together.

    Raises:
        FormatError: the catalog is damaged.
    """
    notes = list(told.notes)
    splits: dict[str, list[int]] = {}
    number, noted, unnoted = 0, 0, 0
    while (each := native.told(number)) is not None:
        text, path, first = each
        table = _table(text)
        number += 1
        said = [note for note in _list(table.get("notes")) if isinstance(note, str)]
        noted += bool(said)
        if noted > _NOTED:
            unnoted += bool(said)
        else:
            notes += [f"{path}: {note}" for note in said]
        if told.splits_by is not None:
            for name, ids in _runs(native, table.get("splits"), path, first).items():
                splits.setdefault(name, []).extend(ids)
    if unnoted:
        notes.append(f"there are notes of {unnoted} other parts")
    return Told(notes, told.splits_by, splits)


def _runs(native: _core.Dataset, splits: Any, path: str, first: int) -> dict[str, list[int]]:
    """Returns the ids that the runs of each split stand for."""
    found: dict[str, list[int]] = {}
    size = native.info()["num_episodes"]
    for name, runs in splits.items() if isinstance(splits, dict) else ():
        at = first
        for run in _list(runs):
            begin, count = run if isinstance(run, list) and len(run) == 2 else (None, None)
            if not isinstance(begin, int) or not isinstance(count, int):
                begin, count = -1, -1
            if count < 1 or not at <= first + begin <= size - count:
                raise FormatError(
                    f"catalog '{native.info()['catalog_path']}': part '{path}': split {name!r} "
                    f"has episodes {run}, which makes no sense; open the dataset with rebuild"
                )
            at = first + begin + count
            found.setdefault(name, []).extend(range(first + begin, at))
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _table(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
