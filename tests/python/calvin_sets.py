"""CALVIN folders as a test wants them, and what their steps hold."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

import robocache as rc

RNG = np.random.default_rng(5)
SMALL = {"actions": (7,), "rel_actions": (7,), "robot_obs": (15,), "scene_obs": (24,)}
TEXTS = ["push the red block", "open the drawer", "turn on the light"]
Write = Callable[[Path, dict[str, Any]], None]


def step_arrays() -> dict[str, Any]:
    """The keys of a genuine step, with smaller pictures."""
    pixels = {"rgb_static": (20, 24, 3), "rgb_gripper": (8, 8, 3), "rgb_tactile": (16, 12, 6)}
    arrays: dict[str, Any] = {name: RNG.random(shape) for name, shape in SMALL.items()}
    arrays |= {n: RNG.integers(0, 255, shape, dtype=np.uint8) for n, shape in pixels.items()}
    arrays["depth_static"] = RNG.random((60, 40)).astype(np.float32)  # 9,600 bytes: no column
    return arrays


def deflated(path: Path, arrays: dict[str, Any]) -> None:
    np.savez_compressed(path, **arrays)


def stored(path: Path, arrays: dict[str, Any]) -> None:
    np.savez(path, **arrays)


def write_split(
    folder: Path,
    spans: Iterable[tuple[int, int]],
    name: str = "episode_{:07}.npz",
    write: Write = deflated,
) -> dict[int, dict[str, Any]]:
    """Writes the steps of a split and returns their arrays by their numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    spans = list(spans)
    steps = {step: step_arrays() for first, last in spans for step in range(first, last + 1)}
    for step, arrays in steps.items():
        write(folder / name.format(step), arrays)
    np.save(folder / "ep_start_end_ids.npy", np.array(spans))
    return steps


def annotate(folder: Path, spans: list[Any], texts: list[str] | None = None) -> Path:
    """Writes annotations as CALVIN's scripts do."""
    texts = [TEXTS[i % len(TEXTS)] for i in range(len(spans))] if texts is None else texts
    file = folder / "lang_annotations" / "auto_lang_ann.npy"
    file.parent.mkdir(exist_ok=True)
    emb = RNG.random((len(spans), 1, 384)).astype(np.float32)
    said = {"ann": texts, "task": [text.replace(" ", "_") for text in texts], "emb": emb}
    np.save(file, {"language": said, "info": {"episodes": [], "indx": spans}})  # type: ignore[arg-type]
    return file


def opened(path: Path, **options: Any) -> rc.Dataset:
    return rc.open(path, progress=False, **options)


def check(dataset: rc.Dataset, steps: dict[int, dict[str, Any]]) -> None:
    """Every value of every episode is the one that NumPy wrote, in episodes and in epochs."""
    for episode in dataset:
        first = episode.metadata["first_step"]
        assert episode.num_steps == episode.metadata["last_step"] + 1 - first
        for name in steps[first]:
            wanted = np.stack([steps[first + i][name] for i in range(episode.num_steps)])
            found = episode[name].values
            assert found.dtype == wanted.dtype.newbyteorder("=")
            np.testing.assert_array_equal(found, wanted)
    names = list(next(iter(steps.values())))
    loader = rc.DataLoader(dataset, 5, streams=names, shuffle=True, array="numpy", num_threads=2)
    seen = 0
    for batch in loader:
        for row, (e, step) in enumerate(
            zip(batch["episode_index"], batch["step_index"], strict=True)
        ):
            number = dataset[int(e)].metadata["first_step"] + step
            for name in names:
                np.testing.assert_array_equal(batch[name][row, 0], steps[number][name])
            seen += 1
    assert seen == dataset.num_steps


def read_or_refuse(read: Callable[[], Any], name: str) -> None:
    """Whatever is read, or the error names the file."""
    found = None
    try:
        read()
    except rc.Error as error:
        found = str(error)
    assert found is None or name in found


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array)
    return buffer.getvalue()
