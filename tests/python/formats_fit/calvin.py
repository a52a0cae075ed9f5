"""CALVIN: a zip archive of arrays each step, training/episode_0000123.npz.

Images are read where they lie, stored or deflated; numbers are copied into columns.
"""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import robocache as rc

NAME = "training/episode_{:07}.npz"
SPANS = "training/ep_start_end_ids.npy"  # of each episode its first and last step


def probe(path: str) -> bool:
    return Path(path, SPANS).is_file()


def index(path: str, dataset: rc.Indexer) -> None:
    dataset.control_rate_hz = 30
    spans = np.load(Path(path, SPANS))
    with np.load(Path(path, NAME.format(spans[0, 0]))) as step:
        for name in step.files:
            value = step[name]
            kind, encoding = ("image", "npy") if value.ndim == 3 else ("numeric", "plain")
            dataset.stream(
                name, kind=kind, encoding=encoding, dtype=value.dtype.name, shape=value.shape
            )
    for first, last in spans.tolist():  # a part each: what is appended is indexed alone
        dataset.part(f"{first} to {last}", read=partial(read, first=first, last=last), stamp=0)


def read(part: rc.Part, first: int, last: int) -> None:
    deflate = part.packing(["deflate"])
    images: dict[str, list[Any]] = {}
    numbers: dict[str, list[Any]] = {}
    blob = part.blobs(NAME, first=first, count=last + 1 - first)
    for number in range(first, last + 1):
        path = Path(part.folder, NAME.format(number))
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if not name.startswith("rgb"):
                    numbers.setdefault(name, []).append(np.load(archive.open(member)))
                    continue
                is_packed = member.compress_type == zipfile.ZIP_DEFLATED
                place = (data_offset(file, member), member.compress_size, blob + number - first)
                images.setdefault(name, []).append((*place, is_packed))
    streams: dict[str, Any] = {name: pieces(each, deflate) for name, each in images.items()}
    streams |= {name: rc.Column(np.stack(values)) for name, values in numbers.items()}
    part.episodes(num_steps=[last + 1 - first], streams=streams)


def pieces(places: list[Any], deflate: Any) -> list[Any]:
    """Returns runs of steps that are packed alike."""
    offsets, sizes, blobs, is_packed = np.array(places).T
    runs = np.split(np.arange(len(places)), np.flatnonzero(np.diff(is_packed)) + 1)
    return [
        rc.Pieces(
            offset=offsets[run],
            bytes=sizes[run],
            blob=blobs[run],
            count=[len(run)],
            packing=deflate if is_packed[run[0]] else None,
        )
        for run in runs
    ]


def data_offset(file: Any, member: zipfile.ZipInfo) -> int:
    """Returns where its bytes begin: the header before them has a length of its own."""
    file.seek(member.header_offset + 26)
    lengths = np.frombuffer(file.read(4), "<u2")
    return member.header_offset + 30 + int(lengths.sum())
