"""Spans of steps that a dataset tells apart within its episodes, opened as episodes themselves.

They have a catalog of their own, beside that of the dataset, as "<its name>.<segments>.sqlite".
"""

from __future__ import annotations

import bisect
import hashlib
import math
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .. import config
from ..errors import NotFoundError
from . import there

if TYPE_CHECKING:
    from ..dataset import Dataset
    from ..episode import Episode

__all__ = ["open_segments"]

_FORMATS = {("calvin", "language"): "calvin_language"}


def open_segments(
    dataset: Dataset, name: str, opened: Mapping[str, Any], open_dataset: Callable[..., Dataset]
) -> Dataset:
    """Returns the segments `name` of the episodes that the view has; see Dataset.segments().

    Args:
        dataset: or a view of it.
        name: "language".
        opened: how it was opened.
        open_dataset: robocache.open().
    """
    if (dataset.format, name) not in _FORMATS:
        known = [each for of, each in _FORMATS if of == dataset.format]
        raise NotFoundError(
            f"segments {name!r}: {dataset.path} has "
            + (f"those that are named {', '.join(known)}" if known else "none")
        )
    found = open_dataset(
        **{
            **opened,
            "format": _FORMATS[dataset.format, name],
            "catalog": _catalog(dataset, name),
        }
    )
    if not dataset._chosen:
        return found
    episodes = sorted(_span(each) for each in dataset)
    return found.take(
        [index for index, each in enumerate(found) if _is_within(_span(each), episodes)]
    )


def _span(episode: Episode) -> tuple[str, int, int]:
    return episode.split, episode.metadata["first_step"], episode.metadata["last_step"]


def _is_within(segment: tuple[str, int, int], episodes: list[tuple[str, int, int]]) -> bool:
    """Whether it lies in one of the episodes, which are sorted and do not overlap."""
    split, first, last = segment
    at = bisect.bisect_right(episodes, (split, first, math.inf)) - 1
    return at >= 0 and episodes[at][0] == split and last <= episodes[at][2]


def _catalog(dataset: Dataset, name: str) -> str:
    """Returns where the catalog of the segments lies: beside the dataset's, else in the cache."""
    folder, file = os.path.split(dataset.catalog_path)
    file = f"{file.removesuffix('.sqlite')}.{name}.sqlite"
    is_writable = os.access(folder, os.W_OK) and os.stat(folder).st_mode & 0o222
    if is_writable or there.is_file(os.path.join(folder, file)):
        return os.path.join(folder, file)
    cache = config.cache_folder()
    os.makedirs(cache, mode=0o700, exist_ok=True)
    digest = hashlib.sha256(dataset.catalog_path.encode()).hexdigest()[:16]
    return os.path.join(cache, f"{digest}.{name}.sqlite")
