"""The formats that are built in and have their indexer here, a module each.

How a path is recognised stands in this table, so that opening a dataset imports no other format's
module. A module has ``index(path, dataset)``, see docs/adding-a-format.md; the libraries that it
reads files with are optional and imported where they are used, through :func:`need`.
"""

from __future__ import annotations

import importlib
import itertools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from ..errors import UnsupportedError
from . import there
from .damage import is_shortage

if TYPE_CHECKING:
    from .indexer import Indexer

__all__ = ["BUILTIN", "Builtin", "draft_mapping", "need"]

_MOST_NAMES = 1000  # of a folder are looked at to recognise a format
_MOST_FOLDERS = 20


@dataclass(frozen=True)
class Builtin:
    """One format.

    Attributes:
        name: "lerobot"; of the module, too, with dots for underscores.
        looks_for: what `probe` does, for the message where no format knows a path.
        probe: whether `path`, which exists, looks like the format. Reads no data.
        needs: the package that it reads files with, which the extra of the format's name installs.
    """

    name: str
    looks_for: str
    probe: Callable[[str], bool]
    needs: str | None = None

    def index(self, path: str, dataset: Indexer) -> None:
        """Declares streams and parts of the dataset at `path`."""
        self.module().index(path, dataset)

    def module(self) -> ModuleType:
        """Imports the module that indexes it."""
        return importlib.import_module("." + self.name.replace("_", "."), __package__)


def _is_calvin(path: str) -> bool:
    folders = [os.path.join(path, name) for name in ("training", "validation", "")]
    if any(there.is_file(os.path.join(folder, "ep_start_end_ids.npy")) for folder in folders):
        return True
    return any(_has_step(folder) for folder in folders)


def _has_step(folder: str) -> bool:
    """Whether one of the first names in the folder is that of a step of CALVIN."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in itertools.islice(entries, 64)]
    except OSError as error:
        if is_shortage(error):
            raise
        return False
    return any(re.fullmatch(r"episode_[0-9]+\.npz", name) for name in names)


def _has_hdf5(path: str) -> bool:
    endings = (".hdf5", ".h5", ".hdf")
    if there.is_folder(path):
        # LeRobot's folders have very many files, and none of them is HDF5
        return not _is_lerobot(path) and _holds(path, endings, 3)
    if not there.is_file(path):  # a pipe would be waited for
        return False
    if path.lower().endswith(endings):
        return True
    with open(path, "rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


def _holds(folder: str, endings: tuple[str, ...], depth: int) -> bool:
    """Whether among the first names of a folder, or of those in it, is a file that ends so."""
    below = []
    try:
        with os.scandir(folder) as entries:
            for entry in itertools.islice(entries, _MOST_NAMES):
                if entry.name.startswith("."):
                    continue
                if entry.name.lower().endswith(endings) and entry.is_file():
                    return True
                if depth > 1 and entry.is_dir(follow_symlinks=False):
                    below.append(entry.path)
    except OSError as error:
        if is_shortage(error):
            raise
        return False
    return any(_holds(each, endings, depth - 1) for each in below[:_MOST_FOLDERS])


def _is_lerobot(path: str) -> bool:
    return there.is_file(os.path.join(path, "meta", "info.json"))


def _is_zarr(path: str) -> bool:
    names = (".zgroup", ".zattrs", ".zarray", ".zmetadata", "zarr.json")
    if there.is_file(path):
        return path.endswith(".zarr.zip") or (path.endswith(".zip") and _begins_zarr(path, names))
    if not any(there.is_file(os.path.join(path, name)) for name in names):
        return there.is_folder(os.path.join(path, "meta", "episode_ends"))
    return True


def _begins_zarr(path: str, names: tuple[str, ...]) -> bool:
    """Whether the first member of a zip archive is one that Zarr writes."""
    try:
        with open(path, "rb") as file:
            header = file.read(30 + 4096)
    except OSError as error:
        if is_shortage(error):
            raise
        return False
    name = header[30 : 30 + int.from_bytes(header[26:28], "little")].decode("utf-8", "replace")
    return header[:4] == b"PK\x03\x04" and (
        name.rpartition("/")[2] in names or name.rstrip("/").endswith(".zarr")
    )


def draft_mapping(path: str) -> str:
    """Returns a mapping to start from, as TOML, by the format that knows the path."""
    for known in BUILTIN:
        if known.probe(path):
            module = known.module()
            if hasattr(module, "draft"):
                text: str = module.draft(path)
                return text
    raise UnsupportedError(f"{path}: no format drafts a mapping of it")


BUILTIN: tuple[Builtin, ...] = (
    Builtin("calvin", "training/ep_start_end_ids.npy and steps episode_0000123.npz", _is_calvin),
    Builtin("tables", "a mapping of the format 'tables'", lambda path: False),
    Builtin("zarr", "a Zarr group with data/* and meta/episode_ends, or .zarr.zip", _is_zarr),
    Builtin("calvin_language", "nothing: for Dataset.segments()", lambda path: False),
    Builtin("hdf5", "a file *.hdf5 or *.h5, here or in the folders inside", _has_hdf5, "h5py"),
    Builtin("lerobot", "meta/info.json, as LeRobot's datasets have it", _is_lerobot, "pyarrow"),
)


def need(module: str, extra: str) -> ModuleType:
    """Imports an optional library.

    Args:
        module: to import, "pyarrow.parquet".
        extra: of this package that installs it, "lerobot".

    Raises:
        UnsupportedError: it is not installed; says how to.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UnsupportedError(
            f"{module.partition('.')[0]} is needed for this format and cannot be imported "
            f"({error}): pip install 'robocache[{extra}]'"
        ) from error
