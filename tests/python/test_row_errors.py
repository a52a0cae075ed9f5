"""Which error a damaged row has: the same, however rows are shared out among threads."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python.wire_bytes import replace_in_record

Image = pytest.importorskip("PIL.Image")

STEPS = 32
DAMAGED = (10, 11, 12)

CAMERA = ((16.0, 0.0, 8.0), (0.0, 16.0, 8.0), (0.0, 0.0, 1.0))
GRID = rc.Voxels(grid_size=4, voxel_size=0.1, intrinsics=CAMERA, depth_scale=0.001)
WINDOWS = {
    "camera": rc.Window(range(-1, 2)),
    "made": rc.Window(range(-1, 2), source="camera", image=rc.Image((8, 8))),
    "drawn": rc.Window(range(-1, 2), source="camera", image=rc.Image((8, 8), crop=("random", 0.5))),
    "backwards": rc.Window((1, 0, -1), source="camera"),
    "depth": rc.Window(range(-1, 2)),
    "grid": rc.Window(range(-1, 2), source="depth", voxelize=GRID),
    "text": rc.Window(range(-1, 2)),
}


def encoded(pixels: Any, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An episode of which some images and texts in a row are damaged."""
    where = tmp_path_factory.mktemp("damaged")
    rng = np.random.default_rng(0)
    steps = {
        "camera": [
            encoded(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8), "JPEG") for _ in range(STEPS)
        ],
        "depth": [
            encoded(rng.integers(0, 2**16, (16, 16), dtype=np.uint16), "PNG") for _ in range(STEPS)
        ],
        "text": [f"this is step {step}" for step in range(STEPS)],
    }
    features = {
        "camera": rc.Feature("uint8", (16, 16, 3), encoding="jpeg"),
        "depth": rc.Feature("uint16", (16, 16, 1), encoding="png"),
        "text": rc.Feature("str"),
    }
    with rc.RldsWriter(where, "row", features, control_rate_hz=10) as writer:
        writer.add_episode(steps)
    changes = {}
    for step in DAMAGED:
        jpeg, png, text = (steps[name][step] for name in features)
        changes[jpeg] = jpeg[:2] + bytes(38) + jpeg[40:]
        changes[png] = png[:60] + bytes(20) + png[80:]
        changes[text.encode()] = b"\xff" * len(text)
    (shard,) = where.rglob("*.tfrecord*")
    replace_in_record(shard, changes)
    return where / "row"


def errors(dataset: Any, streams: Any, batch_size: int, **options: Any) -> dict[int, str]:
    """Returns the error of each step that has one."""
    loader = rc.DataLoader(
        dataset, batch_size, streams=streams, on_error="skip", array="numpy", **options
    )
    for _ in loader:
        pass
    found = {}
    for message in loader.skipped:
        step = int(message.split("step ")[1].split(":")[0])
        assert step not in found
        found[step] = message
    return found


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_first_damaged_tick_is_named(folder: Path, name: str, shuffle: bool) -> None:
    window = WINDOWS[name]
    stream = window.source or name
    dataset = rc.open(folder, progress=False)
    wanted = {}
    for step in range(STEPS):
        damaged = [step + tick for tick in window.ticks if step + tick in DAMAGED]
        if damaged:
            wanted[step] = f"sample {damaged[0]}"
    streams = {name: window}
    for batch_size, num_threads in ((1, 1), (3, 2), (7, 3), (STEPS, 1), (STEPS, 2)):
        found = errors(dataset, streams, batch_size, num_threads=num_threads, shuffle=shuffle)
        assert found.keys() == wanted.keys()
        for step, says in wanted.items():
            assert re.search(rf"{stream}\b.* {says}\b|{says}: {stream}\b", found[step])


def test_rows_of_a_mixture_do_not_depend_on_each_other(folder: Path) -> None:
    dataset = rc.open(folder, progress=False)
    streams = {"camera": rc.Window(range(-1, 2)), "text": rc.Window(range(-1, 1))}
    found = []
    for batch_size, num_threads in ((1, 1), (5, 3), (64, 1)):
        mix = rc.mix({"a": (dataset, 2), "b": (dataset.take([0]), 1)})
        loader = rc.DataLoader(
            mix,
            batch_size,
            streams=streams,
            on_error="skip",
            array="numpy",
            num_threads=num_threads,
            shuffle=True,
        )
        for _ in loader:
            pass
        found.append(sorted(loader.skipped))
    assert {text.split(",")[0] for text in found[0]} == {"dataset 'a'", "dataset 'b'"}
    assert found[0] == found[1] == found[2]
