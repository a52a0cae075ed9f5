"""Datasets of formats that a test declares itself."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc

STEPS = [5, 0, 3, 7]  # of the episodes of every dataset here
TOTAL = sum(STEPS)
FIRST = np.cumsum([0, *STEPS[:-1]])
RNG = np.random.default_rng(3)
STATE = RNG.random((TOTAL, 4), np.float32)
PIXELS = RNG.integers(0, 256, (TOTAL, 6, 5, 3), np.uint8)

Read = Callable[[rc.Part], None]
Declare = Callable[[rc.Indexer], None]


class Format:
    """A format of one test: counts its calls, and knows the folder of that test alone."""

    number = 0

    def __init__(self, folder: Path, declare: Declare) -> None:
        Format.number += 1
        self.name = f"test {Format.number}"
        self.folder = folder
        self.declare = declare
        self.indexed = 0
        rc.register_format(self.name, probe=self.probe, index=self.index)

    def probe(self, path: str) -> bool:
        return self.folder.exists() and os.path.samefile(path, self.folder)

    def index(self, path: str, dataset: rc.Indexer) -> None:
        self.indexed += 1
        self.declare(dataset)

    def open(self, **options: Any) -> rc.Dataset:
        return rc.open(self.folder, progress=False, **options)


def own_folder(tmp_path: Path) -> Iterator[Path]:
    """For a fixture: a folder that no format knows any more once the test is over."""
    path = tmp_path / "data"
    path.mkdir()
    yield path
    shutil.rmtree(path, ignore_errors=True)


def png(pixels: Any) -> bytes:
    image = pytest.importorskip("PIL.Image")
    out = io.BytesIO()
    image.fromarray(pixels).save(out, "png")
    return out.getvalue()


def declare_state(
    dataset: rc.Indexer, read: Read, file: str | None = "data.bin", **stream: Any
) -> None:
    dataset.control_rate_hz = 10
    dataset.stream("state", **{"dtype": "float32", "shape": (4,), **stream})
    if file is None:
        dataset.part("everything", read=read, stamp=1)
    else:
        dataset.part(file, read=read)


def rows_of_a_file(folder: Path) -> Declare:
    (folder / "data.bin").write_bytes(b"head" + STATE.tobytes())

    def read(part: rc.Part) -> None:
        part.episodes(num_steps=STEPS, streams={"state": rc.Rows(offset=4 + FIRST * 16)})

    return lambda dataset: declare_state(dataset, read)


def rows_of_another_file(folder: Path) -> Declare:
    (folder / "data.bin").write_bytes(b"only names the other")
    (folder / "states").mkdir()
    for number, first in enumerate(FIRST):
        end = first + STEPS[number]
        (folder / "states" / f"{number + 7:03}.bin").write_bytes(STATE[first:end].tobytes())

    def read(part: rc.Part) -> None:
        sizes = np.array(STEPS) * 16
        first = part.blobs("states/{:03}.bin", first=7, count=4, sizes=sizes)
        part.episodes(
            num_steps=STEPS, streams={"state": rc.Rows(offset=0, blob=first + np.arange(4))}
        )

    return lambda dataset: declare_state(dataset, read)


def columns(folder: Path) -> Declare:
    def read(part: rc.Part) -> None:  # two calls: what follows is appended
        half = FIRST[2]
        part.episodes(num_steps=STEPS[:2], streams={"state": rc.Column(STATE[:half])})
        part.episodes(num_steps=STEPS[2:], streams={"state": rc.Column(STATE[half:])})

    return lambda dataset: declare_state(dataset, read, None)


def add(**arguments: Any) -> Read:
    given = {"num_steps": STEPS, "streams": {"state": rc.Rows(offset=FIRST * 16)}, **arguments}
    return lambda part: part.episodes(**given)


def values(dataset: rc.Dataset, stream: str) -> Any:
    return np.concatenate([episode[stream].values for episode in dataset])


def check_loader(dataset: rc.Dataset, stream: str, wanted: Any) -> None:
    """Each row of a shuffled epoch is the sample of the episode and step that it names."""
    seen = 0
    loader = rc.DataLoader(
        dataset, streams={stream: rc.Window(0)}, batch_size=4, shuffle=True, array="numpy"
    )
    for batch in loader:
        for value, episode, step in zip(
            batch[stream], batch["episode_index"], batch["step_index"], strict=True
        ):
            np.testing.assert_array_equal(np.squeeze(value, 0), wanted[FIRST[episode] + step])
            seen += 1
    assert seen == TOTAL
