"""Splits that single episodes name in their metadata, as the masks of robomimic's files do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import _core

__all__ = ["Told", "marks"]


@dataclass(frozen=True)
class Told:
    """What a format in Python tells of a dataset beyond its schema.

    Attributes:
        notes: that users are to see.
        splits_by: key of episodes' metadata that lists the splits which an episode is in, besides
            that of its part; None: there is none.
    """

    notes: list[str] = field(default_factory=list)
    splits_by: str | None = None


def marks(native: _core.Dataset, key: str) -> Mapping[str, dict[int, int]]:
    """Returns the steps of the episodes of each split by their ids, which takes a look at each."""
    found: dict[str, dict[int, int]] = {}
    everything = native.select(None, None)
    for index in range(len(everything)):
        info: Mapping[str, Any] = everything.open(index).info()
        try:
            names = json.loads(info["metadata"] or "{}").get(key, [])
        except (ValueError, AttributeError, RecursionError):
            continue  # told of where the episode is opened
        for name in names if isinstance(names, list) else []:
            if isinstance(name, str):
                found.setdefault(name, {})[info["id"]] = info["num_steps"]
    return found
