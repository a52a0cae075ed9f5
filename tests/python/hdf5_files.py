"""HDF5 files for tests, written by h5py, and what they hold, read by h5py."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import robocache as rc

RNG = np.random.default_rng(16)


def pixels(*shape: int) -> Any:
    """Images that compress."""
    steps = RNG.integers(-2, 3, shape).cumsum(axis=1)
    return (128 + steps).clip(0, 255).astype(np.uint8)


def numbers(*shape: int, dtype: str = "float32") -> Any:
    """Numbers whose every value is another."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def write_demos(
    path: Path,
    lengths: Mapping[int, int],
    *,
    image: tuple[int, int] | None = (16, 24),
    attributes: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Writes demonstrations as robomimic does; `lengths`: steps by the number of the demo."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = sum(lengths.values())
        data.attrs.update(attributes or {})
        for number, steps in lengths.items():
            demo = data.create_group(f"demo_{number}")
            demo.attrs["num_samples"] = steps
            demo.create_dataset("actions", data=numbers(steps, 7) + number, **options)
            demo.create_dataset("rewards", data=numbers(steps, dtype="float64"), **options)
            demo.create_dataset("dones", data=np.arange(steps) == steps - 1, **options)
            obs = demo.create_group("obs")
            obs.create_dataset("eef_pos", data=numbers(steps, 3) - number, **options)
            if image is not None:
                obs.create_dataset("front_image", data=pixels(steps, *image, 3), **options)


def episodes_of(path: Path, base: str = "data", series: str = "demo_") -> list[str]:
    """Returns the paths of the episodes' groups, by their numbers."""
    with h5py.File(path, locking=False) as file:
        names = [name for name in file[base] if name.startswith(series)]
    return [f"{base}/{name}" for name in sorted(names, key=lambda n: int(n[len(series) :]))]


def wanted_of(dataset: h5py.Dataset, steps: int) -> Any:
    """Returns what a stream is to hold: the first rows, in this machine's byte order."""
    values = dataset[:steps]
    return values.astype(values.dtype.newbyteorder("="))


def check_against_h5py(
    dataset: rc.Dataset,
    files: Sequence[tuple[Path, str]],
    steps: str = "actions",
    paths: Mapping[str, str] | None = None,
) -> None:
    """Every value of every stream is that which h5py reads, from episodes and from batches.

    `files`: file and group of each episode; `paths`: of streams, where those are not their names.
    """
    assert len(dataset) == len(files)
    wanted: list[dict[str, Any]] = []
    for path, group in files:
        with h5py.File(path, locking=False) as file:
            rows = len(file[group][steps])
            each = {}
            for name in dataset.streams:
                found = file[group]
                at = (paths or {}).get(name, name)
                with contextlib.suppress(KeyError):
                    found = found[at]
                    at = ""
                if at:  # a field of a compound
                    head, _, field = at.rpartition("/")
                    each[name] = file[group][head][field][:rows]
                else:
                    each[name] = wanted_of(found, rows)
            wanted.append(each)
    for episode, each in zip(dataset, wanted, strict=True):
        for name, values in each.items():
            if dataset.streams[name].kind == "text":
                texts = [v.decode() if isinstance(v, bytes) else str(v) for v in values]
                assert episode[name].values == texts
            else:
                np.testing.assert_array_equal(episode[name].values, values, strict=True)
    check_batches(dataset, wanted)


def check_batches(dataset: rc.Dataset, wanted: Sequence[Mapping[str, Any]]) -> None:
    """A shuffled epoch of two steps a sample holds just what is wanted."""
    names = [name for name, info in dataset.streams.items() if info.kind != "text"]
    for shuffle in (True, "blocks"):
        loader = rc.DataLoader(
            dataset,
            batch_size=7,
            rate_hz=dataset.control_rate_hz or 10,
            streams={name: rc.Window(range(-1, 1), mode="hold") for name in names},
            shuffle=shuffle,
            array="numpy",
        )
        seen = 0
        for batch in loader:
            for row, (e, step) in enumerate(
                zip(batch["episode_index"], batch["step_index"], strict=True)
            ):
                seen += 1
                for name in names:
                    two = wanted[e][name][[max(step - 1, 0), step]]
                    np.testing.assert_array_equal(batch[name][row], two)
        assert seen == dataset.num_steps
