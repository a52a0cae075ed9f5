"""Opening a dataset: :func:`robocache.open`."""

from __future__ import annotations

import os
import re
import warnings
from array import array
from collections.abc import Callable, Mapping
from typing import Any

from . import _arguments, _causes, _core
from ._progress import ProgressBar, format_bytes, reporting
from ._told import read_told
from .dataset import Dataset
from .errors import InvalidArgumentError, UnsupportedError
from .formats import register as _formats  # noqa: F401 - so that the built-in ones are known
from .formats.mapping import find as find_mapping

__all__ = ["open", "open_again"]


def open_again(
    opened: Mapping[str, Any],
    chosen: str,
    ids: bytes | None,
    fingerprint: int,
    kept: tuple[bytes, bytes] | None = None,
) -> Dataset:
    """Returns a dataset as it was when it was pickled."""
    dataset = open(**opened, progress=False)
    selection = dataset._selection
    if ids is not None:
        wanted = [index for index in array("q", ids) if index < len(dataset)]
        selection = selection.take(wanted)
    if kept is not None and len(kept[0]) == 8 * len(selection):
        selection = selection.keep_steps(*kept)
    if selection.fingerprint() != fingerprint:
        raise InvalidArgumentError(
            f"{dataset.path}: its episodes are not those that it had when it was pickled"
        )
    return Dataset(dataset._native, selection, opened, chosen, dataset._told)


def open(  # noqa: A001 - the public name is robocache.open
    path: str | os.PathLike[str],
    *,
    catalog: str | os.PathLike[str] | None = None,
    progress: bool | Callable[[int, int, int, int, int], object] | None = None,
    on_error: str = "raise",
    control_rate_hz: float | None = None,
    rebuild: bool = False,
    num_threads: int = 0,
    jpeg_dct: str = "accurate",
    format: str | None = None,  # noqa: A002 - what it is
    unpack: str | os.PathLike[str] | None = None,
    mapping: Mapping[str, Any] | str | os.PathLike[str] | None = None,
) -> Dataset:
    """Opens a dataset, indexing what is new or changed since the last time.

    Args:
        path: folder or file of the dataset, such as "bridge_dataset/1.0.0" or "demo.hdf5".
        catalog: its file; by default beside the dataset, or, where that cannot be written
            or used, in $ROBOCACHE_CACHE or ~/.cache/robocache. One given here that is damaged, no
            catalog, or that of another dataset is an error, and left as it is.
        progress: True draws a progress bar on stderr while indexing, None does where stderr is a
            terminal, False does not. A callable is given (files done, files, bytes done, bytes,
            episodes) a few times a second, and returns False to stop.
        on_error: what a damaged record does to indexing: "raise", or "skip" to leave it out, see
            :attr:`Dataset.skipped`.
        control_rate_hz: steps a second of data without time stamps, where neither the format nor
            the table of published datasets says it.
        rebuild: make the catalog anew, whatever it holds; a file that is no catalog is left alone.
        num_threads: for indexing; 0 means all cores.
        jpeg_dct: how JPEGs are decoded: "accurate", the pixels of Pillow, OpenCV and torchvision,
            or "fast", those of TensorFlow.
        format: "rlds", or the name of one that :func:`register_format` added; None: the one that
            knows the path.
        unpack: folder where RLDS files that are compressed as a whole (gzip, zlib) are unpacked to,
            once, to be read there from then on, also without it; a warning says how much that is
            before it begins. None: such a file is an error.
        mapping: for data whose layout no format knows: a table, or the path of a TOML file, that
            says which format it is of and where episodes and streams are, see docs/hdf5.md; by
            default ``robocache.toml`` in the folder, where there is one.

    Raises:
        NotFoundError, IoError: there is no such folder, or it cannot be read.
        UnsupportedError: no format knows the files, or there is none of that name.
        FormatError: a file is damaged; the message names file and byte offset.
        InvalidArgumentError: `catalog` is that of another dataset.
        CancelledError: `progress` returned False. What is indexed so far stays.
    """
    path = _arguments.path("path", path)
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", path):
        raise UnsupportedError(
            f"path: found the URL {path!r}, wanted a folder or file of this machine: nothing is "
            "read over a network"
        )
    path = os.path.abspath(path)
    if catalog is not None:
        catalog = os.path.abspath(_arguments.path("catalog", catalog))
    if unpack is not None:
        unpack = os.path.abspath(_arguments.path("unpack", unpack))
    options: dict[str, Any] = {
        "catalog": catalog,
        "on_error": _arguments.choice("on_error", on_error, ("raise", "skip")),
        "control_rate_hz": None
        if control_rate_hz is None
        else _arguments.positive("control_rate_hz", control_rate_hz),
        "jpeg_dct": _arguments.choice("jpeg_dct", jpeg_dct, ("accurate", "fast")),
        "format": None if format is None else _arguments.string("format", format),
        "unpack": unpack,
        "mapping": mapping,
    }
    declared = find_mapping(mapping, path)
    if declared is not None:
        where, table = declared
        if options["format"] not in (None, table["format"]):
            raise InvalidArgumentError(
                f"format: found {options['format']!r}, but {where} says {table['format']!r}"
            )
        options.update(format=table["format"], mapping=table)

    def tell_unpacking(
        folder: str, files: int, packed: int, unpacked: int, unsaid: int, free: int
    ) -> None:
        without = f" ({unsaid} of them do not say their size)" if unsaid else ""
        warnings.warn(
            f"{path}: unpacking {files} files of {format_bytes(packed)} that are compressed as a "
            f"whole into {folder}, where they take at least {format_bytes(unpacked)}{without} of "
            f"{format_bytes(free)} free",
            RuntimeWarning,
            stacklevel=3,
        )

    with (
        reporting(progress, ProgressBar, os.path.basename(path)) as callback,
        _causes.opening(declared) as opening,
    ):
        native = _core.open_dataset(
            path,
            catalog or "",
            callback,
            options["on_error"],
            options["control_rate_hz"] or 0.0,
            _arguments.flag("rebuild", rebuild),
            _arguments.integer("num_threads", num_threads, 0, 2**31 - 1),
            options["jpeg_dct"],
            options["format"],
            unpack or "",
            tell_unpacking,
        )
    if opening.ignores_mapping:
        raise UnsupportedError(f"{where}: format {options['format']!r} takes no mapping")
    # a file is not found again by the folder that it lies in
    found = path if os.path.isfile(path) else native.info()["path"]
    opened = {**options, "path": found}
    told = read_told(native, opening.told)
    dataset = Dataset(native, native.select(None, None), opened, told=told)
    passed_over = dataset._info["catalog_passed_over"]
    if passed_over:
        if dataset.catalog_path not in passed_over:
            passed_over += f" (used instead: {dataset.catalog_path})"
        warnings.warn(passed_over, RuntimeWarning, stacklevel=2)
    return dataset
