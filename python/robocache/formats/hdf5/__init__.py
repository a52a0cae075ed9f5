"""HDF5 files of episodes: robomimic, robosuite, LIBERO, Isaac Lab Mimic, ManiSkill, ALOHA and ACT,
RoboTwin, and others by a mapping, see docs/hdf5.md.

Another process (:mod:`.process`) looks into the files; :mod:`.part` tells what it found.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ... import _causes
from ...errors import Error, FormatError, InvalidArgumentError, NotFoundError
from .. import there
from ..mapping import DRAFTED
from . import layouts
from .beside import Beside
from .part import PartIndex, check_kind
from .process import readers

if TYPE_CHECKING:
    from ..indexer import Indexer
    from ..part import Part
    from .process import Reader

__all__ = ["draft", "index"]

_ENDINGS = (".hdf5", ".h5", ".hdf")
_DEPTH = 4  # folders below the path, in which files are looked for
_TRIED = 16  # files of which the first that can be read says what all hold


def index(path: str, dataset: Indexer) -> None:
    """Declares the streams of the first file that can be read, and a part a file."""
    mapping = dataset.mapping
    files = find_files(path, None if mapping is None else mapping.text("files"))
    pool = readers(_causes.current())
    plan, is_of_first = _plan(dataset, files, pool)
    dataset.name = os.path.splitext(os.path.basename(path.rstrip("/")))[0]
    dataset.control_rate_hz = plan.rate_hz
    dataset.splits_by = "mask" if plan.has_masks else None
    for note in plan.notes:
        dataset.note(note)
    for leaf in plan.leaves:
        _declare(dataset, leaf)

    def read(part: Part) -> None:
        reader = pool.take()
        try:
            PartIndex(part, plan).read(reader)
        finally:
            pool.give(reader)
        if part.path == files[0] and is_of_first:
            part.remember(_to_remember(dataset, files, plan))

    for file in files:
        dataset.part(file, read=read, split="all" if plan.has_masks else "train")


def draft(path: str) -> str:
    """Returns a mapping of the first file to start from, as TOML."""
    files = find_files(path, None)
    opening = _causes.Opening()
    pool = readers(opening)
    root = path if there.is_folder(path) else os.path.dirname(path)
    try:
        return layouts.draft(_survey(root, files[0], pool.take()), files[0])
    finally:
        pool.close()


# ---- files --------------------------------------------------------------------------------------


def find_files(path: str, pattern: str | None) -> list[str]:
    """Returns the files of a dataset relative to its folder, sorted as people number them."""
    if not there.is_folder(path):
        return [os.path.basename(path)]
    import fnmatch

    found = []
    for file in _walk(path, "", _DEPTH):
        is_ours = file.lower().endswith(_ENDINGS)
        if is_ours if pattern is None else fnmatch.fnmatch(file, pattern):
            found.append(file)
    if not found:
        wanted = f"a file that ends in {', '.join(_ENDINGS)}" if pattern is None else repr(pattern)
        raise NotFoundError(f"{path}: no file found, wanted {wanted}")
    return sorted(found, key=_by_number)


def _walk(root: str, below: str, depth: int) -> Iterator[str]:
    with os.scandir(os.path.join(root, below)) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            if depth > 1:
                yield from _walk(root, f"{below}{entry.name}/", depth - 1)
        elif entry.is_file():
            yield below + entry.name


def _by_number(file: str) -> list[tuple[int, int, str]]:
    import re

    pieces = re.split(r"(\d+)", file)
    return [(1, int(piece), piece) if piece.isdecimal() else (0, 0, piece) for piece in pieces]


# ---- what all files hold ------------------------------------------------------------------------


def _to_remember(dataset: Indexer, files: list[str], plan: layouts.Plan | None) -> dict[str, Any]:
    """Returns what the first file keeps; with None all but the plan."""
    mapping = dataset.mapping
    return {
        "file": files[0],
        "mapping": None if mapping is None else mapping.digest,
        "version": layouts.VERSION,
        "plan": None if plan is None else plan.to_json(),
    }


def _plan(dataset: Indexer, files: list[str], pool: Any) -> tuple[layouts.Plan, bool]:
    """Returns what the first file holds that can be read, found now or when it was indexed, and
    whether that is the first.
    """
    mapping = dataset.mapping
    found = dataset.remembered or {}
    if {**found, "plan": None} == _to_remember(dataset, files, None):
        plan = layouts.Plan.from_json(found["plan"])
        if plan is not None:
            return plan, True
    reader = pool.take()
    problem: Error | None = None
    try:
        for file in files[:_TRIED]:
            try:
                survey = _survey(dataset.path, file, reader)
                if mapping is None:
                    plan = layouts.recognised(survey)
                    if plan is None:
                        raise FormatError(_unknown(dataset.path, file, survey))
                else:
                    plan = layouts.plan_by_mapping(survey, mapping)
                if plan.rate_hz is None:
                    rate_hz = Beside(os.path.join(dataset.path, file)).rate_hz
                    plan = dataclasses.replace(plan, rate_hz=rate_hz)
            except (FormatError, InvalidArgumentError) as error:
                problem = problem or error
                continue
            return plan, file == files[0]
    finally:
        pool.give(reader)
    assert problem is not None
    raise problem


def _survey(root: str, file: str, reader: Reader) -> layouts.Survey:
    path = os.path.join(root, file)
    check_kind(path)
    request = {"do": "survey", "file": path, "root": root}
    for message, _ in reader.ask(request, lambda: None):
        if "why" in message:
            raise FormatError(f"{path}: {message['why']}")
        return layouts.Survey(message["nodes"])
    raise AssertionError


def _unknown(root: str, file: str, survey: layouts.Survey) -> str:
    paths = [layouts.shown(path) for path in survey.nodes if path != "/"][:8]
    holds = f"it holds {', '.join(paths)}" if paths else "it holds no group and no dataset"
    return (
        f"{os.path.join(root, file)}: no layout is known of what it holds; looked for: "
        f"{layouts.LOOKED_FOR}; {holds}; {DRAFTED}"
    )


def _declare(dataset: Indexer, leaf: layouts.Leaf) -> None:
    import numpy

    if leaf.kind == "text":
        dataset.stream(leaf.stream, kind="text", encoding="string")
    elif leaf.kind == "encoded":
        dataset.stream(leaf.stream, kind="image", **leaf.options)
    else:
        dtype = numpy.dtype(leaf.dtype)
        native = dtype.newbyteorder("=").name
        encoding = "pixels" if leaf.kind == "image" else "plain" if dtype.isnative else "swapped"
        options = dict(leaf.options)
        stored = None
        if leaf.kind == "numeric" and ("scale" in options or "offset" in options):
            stored, native = native, native if native in ("float32", "float64") else "float32"
        dataset.stream(
            leaf.stream,
            kind=leaf.kind,
            dtype=native,
            shape=leaf.shape,
            encoding=encoding,
            stored=stored,
            **options,
        )
