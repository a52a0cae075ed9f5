"""RoboCache against the dataset classes that CALVIN and diffusion_policy train with, in pairs.

Their classes are written anew here: CALVIN's opens the archive of each step of a window and stacks
its arrays; diffusion_policy's holds all arrays in memory and slices them. Both give the same
windows to torch's DataLoader as RoboCache delivers; neither transforms anything, which theirs do
besides. Checks first that all deliver the same values. With ``--original FOLDER``, which holds
CALVIN's disk_dataset.py, it compares the speed of loading a window with that one's.

Usage: python bench/array_files.py CALVIN_FRAMES [--json FILE]
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loading import machine, spread

import robocache as rc
from robocache import _core

WINDOW = 16
BATCH = 32
NUMBERS = {"calvin": ("robot_obs", "scene_obs", "rel_actions"), "zarr": ("state", "action")}
IMAGES = {"calvin": ("rgb_static", "rgb_gripper"), "zarr": ("img",)}
CALVIN_STEPS = 6000
ZARR_EPISODES, ZARR_STEPS = 20, 125
MEMORY = 3 << 30  # a quarter of it holds all unpacked chunks, as diffusion_policy's memory does


# ---- what is loaded -----------------------------------------------------------------------------


def write_calvin(folder: Path, frames: Path) -> None:
    """Two genuine steps in turn, by links."""
    training = folder / "training"
    training.mkdir(parents=True)
    sources = []
    for number, file in enumerate(sorted(frames.glob("episode_*.npz"))[:2]):
        sources.append(folder / f"source_{number}.npz")
        sources[-1].write_bytes(file.read_bytes())
    for step in range(CALVIN_STEPS):
        os.link(sources[step % 2], training / f"episode_{step:07}.npz")
    np.save(training / "ep_start_end_ids.npy", np.array([[0, CALVIN_STEPS - 1]]))


def write_zarr(folder: Path) -> None:
    """As pusht_cchi_v7_replay.zarr: float32 images in chunks of 161 steps, packed by Blosc."""
    import numcodecs
    import zarr

    rng = np.random.default_rng(0)
    rows = ZARR_EPISODES * ZARR_STEPS
    group = zarr.open_group(folder, mode="w", zarr_format=2)
    codec = numcodecs.Blosc("zstd", 5, numcodecs.Blosc.BITSHUFFLE)
    shapes = {"img": (96, 96, 3), "state": (5,), "action": (2,)}
    for name, shape in shapes.items():
        array = group.create_array(
            f"data/{name}",
            shape=(rows, *shape),
            chunks=(161, *shape),
            dtype="f4",
            compressors=codec,
        )
        for begin in range(0, rows, 161):
            count = min(161, rows - begin)
            pixels = rng.integers(0, 255, (count, 12, 12, 3)).repeat(8, 1).repeat(8, 2)
            array[begin : begin + count] = (
                pixels if name == "img" else rng.random((count, *shape), np.float32)
            )
    ends = group.create_array("meta/episode_ends", shape=ZARR_EPISODES, chunks=99, dtype="i8")
    ends[:] = np.arange(1, ZARR_EPISODES + 1) * ZARR_STEPS


# ---- theirs -------------------------------------------------------------------------------------


class CalvinWindows:
    """A window of steps, each from its own archive."""

    def __init__(self, folder: Path, keys: tuple[str, ...]) -> None:
        self.folder, self.keys = folder / "training", keys
        spans = np.load(self.folder / "ep_start_end_ids.npy")
        self.starts = np.concatenate([np.arange(a, b + 2 - WINDOW) for a, b in spans])

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        start = int(self.starts[index])
        names = [self.folder / f"episode_{start + i:07}.npz" for i in range(WINDOW)]
        steps = [np.load(name) for name in names]
        return {key: torch.from_numpy(np.stack([step[key] for step in steps])) for key in self.keys}


class ZarrWindows:
    """Windows of arrays that lie in memory."""

    def __init__(self, folder: Path, keys: tuple[str, ...]) -> None:
        import zarr

        group = zarr.open_group(folder, mode="r")
        self.arrays = {key: group[f"data/{key}"][:] for key in keys}
        ends = group["meta/episode_ends"][:]
        begins = np.concatenate([[0], ends[:-1]])
        self.starts = np.concatenate(
            [np.arange(a, b + 1 - WINDOW) for a, b in zip(begins, ends, strict=True)]
        )

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        start = int(self.starts[index])
        return {
            key: torch.from_numpy(array[start : start + WINDOW])
            for key, array in self.arrays.items()
        }


def their_dataset(kind: str, folder: Path, keys: tuple[str, ...]) -> Any:
    return (CalvinWindows if kind == "calvin" else ZarrWindows)(folder, keys)


def their_loader(kind: str, folder: Path, keys: tuple[str, ...], workers: int) -> Any:
    dataset = their_dataset(kind, folder, keys)
    return torch.utils.data.DataLoader(
        dataset, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )


# ---- ours ---------------------------------------------------------------------------------------


def our_loader(folder: Path, keys: tuple[str, ...], threads: int) -> rc.DataLoader:
    dataset = rc.open(folder, progress=False, control_rate_hz=10)
    return rc.DataLoader(
        dataset,
        BATCH,
        streams={key: rc.Window(range(WINDOW)) for key in keys},
        shuffle=True,
        num_threads=threads,
        memory_bytes=MEMORY,
    )


def check(kind: str, folder: Path, keys: tuple[str, ...]) -> None:
    """Windows of ours are theirs, value by value."""
    theirs = their_dataset(kind, folder, keys)
    at = {int(start): index for index, start in enumerate(theirs.starts)}
    checked = 0
    begins = np.arange(ZARR_EPISODES) * ZARR_STEPS if kind == "zarr" else np.zeros(1, int)
    for batch in our_loader(folder, keys, 2):
        for row in range(len(batch[keys[0]])):
            start = int(begins[int(batch["episode_index"][row])] + batch["step_index"][row])
            if start in at:
                wanted = theirs[at[start]]
                assert all(torch.equal(batch[key][row], wanted[key]) for key in keys)
                checked += 1
        if checked > 200:
            return


def measure(loader: Any, seconds: float) -> float:
    """Returns windows a second, from the tenth batch on."""
    count, begin = 0, 0.0
    epochs = 0
    batches = 0
    while True:
        epochs += 1
        for batch in loader:
            batches += 1
            if batches == 10:
                begin = time.perf_counter()
            elif batches > 10:
                count += len(next(iter(batch.values())))
                if time.perf_counter() - begin > seconds:
                    return count / (time.perf_counter() - begin)


def read_alone(folder: Path) -> float:
    """Steps a second of which only those bytes are read that indexing needs, by one thread."""
    path = folder / "training" / "episode_0000000.npz"
    _, *numbers = _core.zip_members(str(path), b"")
    offsets, packed, unpacked, _ = (np.frombuffer(n, np.int64).tolist() for n in numbers)
    begin = time.perf_counter()
    for step in range(CALVIN_STEPS):
        file = os.open(folder / "training" / f"episode_{step:07}.npz", os.O_RDONLY)
        os.pread(file, 4096, os.fstat(file).st_size - 4096)
        for offset, size, whole in zip(offsets, packed, unpacked, strict=True):
            os.pread(file, 30, offset - 60)
            if whole < 4096:
                os.pread(file, size, offset)
        os.close(file)
    return CALVIN_STEPS / (time.perf_counter() - begin)


def unpacked_alone(kind: str, folder: Path, seconds: float, threads: int) -> float:
    """Windows a second of which the images are only unpacked, by as many threads."""
    assert kind == "calvin"
    path = str(folder / "training" / "episode_0000000.npz")
    names, *numbers = _core.zip_members(path, b"")
    members = []
    for name, offset, packed, unpacked, method in zip(
        names.decode().split("\0"), *(np.frombuffer(n, np.int64) for n in numbers), strict=False
    ):
        if name.removesuffix(".npy") in IMAGES["calvin"] and method == 8:
            data = Path(path).read_bytes()[offset : offset + packed]
            members.append((data, int(unpacked)))

    def work(_: int) -> int:
        windows, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            for _ in range(WINDOW):
                for data, unpacked in members:
                    _core.unpack([("deflate", 0, 0)], data, unpacked)
            windows += 1
        return windows

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads))) / seconds


# ---- the projects' own code ---------------------------------------------------------------------


def compare_original(original: Path, folder: Path, seconds: float) -> dict[str, float]:
    """Windows a second of CALVIN's own class over those of the one here, without workers."""
    for name in ("calvin_agent", "calvin_agent.datasets", "calvin_agent.datasets.utils"):
        sys.modules[name] = types.ModuleType(name)
    base = types.ModuleType("calvin_agent.datasets.base_dataset")
    base.BaseDataset = object  # type: ignore[attr-defined]
    utils = types.ModuleType("calvin_agent.datasets.utils.episode_utils")
    utils.lookup_naming_pattern = None  # type: ignore[attr-defined]
    sys.modules[base.__name__], sys.modules[utils.__name__] = base, utils
    spec = importlib.util.spec_from_file_location("disk_dataset", original / "disk_dataset.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    keys = (*NUMBERS["calvin"], *IMAGES["calvin"])
    theirs = module.DiskDataset.__new__(module.DiskDataset)
    here = CalvinWindows(folder, keys)
    theirs.observation_space = {
        "all": [key for key in keys if key != "scene_obs"],
        "language": ["language"],
    }
    theirs.with_lang, theirs.episode_lookup = False, here.starts
    theirs.load_file, theirs.n_digits = module.load_npz, 7
    theirs.naming_pattern = (here.folder / "episode_", ".npz")
    ratios = []
    for _ in range(5):
        rates = []
        for load in (lambda i: theirs._load_episode(i, WINDOW), here.__getitem__):
            count, end = 0, time.perf_counter() + seconds
            while time.perf_counter() < end:
                load(count % len(here))
                count += 1
            rates.append(count / seconds)
        ratios.append(rates[0] / rates[1])
    return spread(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", type=Path, help="folder with two genuine steps of CALVIN")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--original", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--program", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.program:
        kind, whose, keys = arguments.program.split(":")
        if whose == "ours":
            loader: Any = our_loader(arguments.frames, tuple(keys.split(",")), arguments.threads)
        else:
            loader = their_loader(kind, arguments.frames, tuple(keys.split(",")), arguments.threads)
        print(json.dumps(measure(loader, arguments.seconds)))
        return
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folders = {"calvin": Path(scratch, "task"), "zarr": Path(scratch, "pusht.zarr")}
        write_calvin(folders["calvin"], arguments.frames)
        write_zarr(folders["zarr"])
        indexed, read = [], []
        for _ in range(arguments.pairs):
            begin = time.perf_counter()
            rc.open(folders["calvin"], progress=False, rebuild=True, num_threads=1)
            indexed.append(CALVIN_STEPS / (time.perf_counter() - begin))
            read.append(read_alone(folders["calvin"]))
        for kind in ("calvin", "zarr"):
            for images in (False, True):
                keys = NUMBERS[kind] + (IMAGES[kind] if images else ())
                check(kind, folders[kind], keys)
                rates: dict[str, list[float]] = {"ours": [], "theirs": []}
                alone = []
                for _ in range(arguments.pairs):
                    for whose, found in rates.items():
                        found.append(
                            run(arguments, folders[kind], f"{kind}:{whose}:{','.join(keys)}")
                        )
                    if kind == "calvin" and images:
                        alone.append(
                            unpacked_alone(
                                kind, folders[kind], arguments.seconds, arguments.threads
                            )
                        )
                ratios = [a / b for a, b in zip(rates["ours"], rates["theirs"], strict=True)]
                rows.append(
                    {
                        "data": kind,
                        "images": images,
                        "windows_per_s": spread(rates["ours"]),
                        "their_windows_per_s": spread(rates["theirs"]),
                        "ratio": spread(ratios),
                    }
                )
                if alone:
                    shares = [a / b for a, b in zip(rates["ours"], alone, strict=True)]
                    rows[-1]["share_of_unpacking_alone"] = spread(shares)
                print(json.dumps(rows[-1]))
        result = {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "machine": machine(arguments.threads),
            "robocache": rc.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "window": WINDOW,
            "batch": BATCH,
            "calvin_indexed_steps_per_s": spread(indexed),
            "calvin_read_alone_steps_per_s": spread(read),
            "calvin_indexed_over_read_alone": spread(
                [a / b for a, b in zip(indexed, read, strict=True)]
            ),
            "rows": rows,
        }
        if arguments.original:
            result["calvin_s_own_class_over_ours_of_it"] = compare_original(
                arguments.original, folders["calvin"], 1.0
            )
    print(json.dumps(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def run(arguments: argparse.Namespace, folder: Path, program: str) -> float:
    command = [sys.executable, __file__, str(folder), "--program", program]
    command += ["--seconds", str(arguments.seconds), "--threads", str(arguments.threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rate: float = json.loads(done.stdout.strip().splitlines()[-1])
    return rate


if __name__ == "__main__":
    main()
