"""RoboCache against the dataset classes that CALVIN and diffusion_policy train with, in pairs.

Their classes are written anew here: CALVIN's opens the archive of each step of a window and stacks
its arrays; diffusion_policy's holds all arrays in memory and slices them. Both give the same
windows to torch's DataLoader as RoboCache delivers; neither transforms anything, which theirs do
besides. Checks first that all deliver the same values. With ``--original FOLDER``, which holds
CALVIN's disk_dataset.py and diffusion_policy's sampler.py, it compares the processor's time of a
window with that of those.

What is wanted is 5 times the other's rate without images; with images twice that, or 0.8 of what
unpacking alone allows, whichever is less: `wanted` and `is_reached` say so in each row.

Usage: python bench/array_files.py CALVIN_FRAMES [--json FILE]
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from host import spread
from loading import machine
from unpacking import UNPACK_RATE, unpacked_alone

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


def padded(rows: np.ndarray, begin: int, end: int) -> np.ndarray:
    """Rows `begin` to `end` of a window, whose other rows are the first or last of them."""
    if begin == 0 and end == WINDOW:
        return rows
    window = np.empty((WINDOW, *rows.shape[1:]), rows.dtype)
    window[:begin], window[begin:end], window[end:] = rows[0], rows, rows[-1]
    return window


class ZarrWindows:
    """Windows of arrays that lie in memory, padded where they reach beyond their episode."""

    def __init__(self, folder: Path, keys: tuple[str, ...]) -> None:
        import zarr

        group = zarr.open_group(folder, mode="r")
        self.keys = keys
        self.arrays = {key: group[f"data/{key}"][:] for key in keys}
        ends = group["meta/episode_ends"][:]
        begins = np.concatenate([[0], ends[:-1]])
        self.starts = starts = np.concatenate(
            [np.arange(a, b + 1 - WINDOW) for a, b in zip(begins, ends, strict=True)]
        )
        # Rows of the arrays, and where in the window they are; none is padded of those.
        self.windows = np.stack(
            [starts, starts + WINDOW, np.zeros_like(starts), np.full_like(starts, WINDOW)], 1
        )

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        first, last, begin, end = self.windows[index]
        found = {}
        for key in self.keys:
            found[key] = padded(self.arrays[key][first:last], begin, end)
        return {key: torch.from_numpy(rows) for key, rows in found.items()}


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
    """Returns windows a second, from the third batch on."""
    count, begin = 0, 0.0
    epochs = 0
    batches = 0
    while True:
        epochs += 1
        for batch in loader:
            batches += 1
            if batches == 3:
                begin = time.perf_counter()
            elif batches > 3:
                count += len(next(iter(batch.values())))
                if time.perf_counter() - begin > seconds:
                    return count / (time.perf_counter() - begin)


def read_alone(folder: Path) -> float:
    """Steps a second of which only those bytes are read that indexing needs, by one thread."""
    path = folder / "training" / "episode_0000000.npz"
    _, *numbers = _core.zip_members(str(path), b"")
    _, offsets, packed, unpacked, _ = (np.frombuffer(n, np.int64).tolist() for n in numbers)
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


def windows_alone(program: str, folder: Path, seconds: float, threads: int) -> float:
    """Windows a second of which the images are only unpacked, by as many threads of C."""
    path = str(folder / "training" / "episode_0000000.npz")
    names, *numbers = _core.zip_members(path, b"")
    members = []
    for name, _, offset, packed, unpacked, method in zip(
        names.decode().split("\0"), *(np.frombuffer(n, np.int64) for n in numbers), strict=False
    ):
        if name.removesuffix(".npy") in IMAGES["calvin"] and method == 8:
            data = Path(path).read_bytes()[offset : offset + packed]
            members.append((data, int(unpacked)))
    rate, _ = unpacked_alone(program, members, "deflate", seconds, threads)
    return rate / (WINDOW * len(members))


# ---- the projects' own code ---------------------------------------------------------------------


def load_module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compare_times(
    here: Any, theirs: Callable[[int], Any], windows: int, seconds: float
) -> dict[str, float]:
    """The processor's time of a window here over that of the projects' own class."""
    ratios = []
    for _ in range(9):
        spent = []
        for load in (here.__getitem__, theirs):
            count, began = 0, time.process_time()
            while time.process_time() - began < seconds:
                load(count * 97 % windows)
                count += 1
            spent.append((time.process_time() - began) / count)
        ratios.append(spent[0] / spent[1])
    return spread(ratios)


def compare_calvin(original: Path, folder: Path, seconds: float) -> dict[str, float]:
    for name in ("calvin_agent", "calvin_agent.datasets", "calvin_agent.datasets.utils"):
        sys.modules[name] = types.ModuleType(name)
    base = types.ModuleType("calvin_agent.datasets.base_dataset")
    base.BaseDataset = object  # type: ignore[attr-defined]
    utils = types.ModuleType("calvin_agent.datasets.utils.episode_utils")
    utils.lookup_naming_pattern = None  # type: ignore[attr-defined]
    sys.modules[base.__name__], sys.modules[utils.__name__] = base, utils
    module = load_module(original / "disk_dataset.py")
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
    return compare_times(here, lambda i: theirs._load_episode(i, WINDOW), len(here), seconds)


def compare_diffusion_policy(original: Path, folder: Path, seconds: float) -> dict[str, float]:
    """Their sampler over the arrays that lie in memory here, and then as tensors."""
    compiler = types.ModuleType("numba")
    compiler.jit = lambda **options: lambda function: function  # type: ignore[attr-defined]
    buffer = types.ModuleType("diffusion_policy.common.replay_buffer")
    buffer.ReplayBuffer = dict  # type: ignore[attr-defined]
    for name in ("diffusion_policy", "diffusion_policy.common"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["numba"], sys.modules[buffer.__name__] = compiler, buffer
    module = load_module(original / "sampler.py")
    here = ZarrWindows(folder, (*NUMBERS["zarr"], *IMAGES["zarr"]))

    class Buffer(dict):  # type: ignore[type-arg]
        episode_ends = np.arange(1, ZARR_EPISODES + 1) * ZARR_STEPS

    theirs = module.SequenceSampler(Buffer(here.arrays), WINDOW)

    def load(index: int) -> dict[str, torch.Tensor]:
        sample = theirs.sample_sequence(index)
        return {key: torch.from_numpy(value) for key, value in sample.items()}

    return compare_times(here, load, len(here), seconds)


def index_calvin(folder: Path, pairs: int) -> tuple[list[float], list[float]]:
    """Returns steps a second: indexed, and only read."""
    indexed, read = [], []
    for _ in range(pairs):
        begin = time.perf_counter()
        rc.open(folder, progress=False, rebuild=True, num_threads=1)
        indexed.append(CALVIN_STEPS / (time.perf_counter() - begin))
        read.append(read_alone(folder))
    return indexed, read


def compare_loading(
    arguments: argparse.Namespace, kind: str, folder: Path, images: bool
) -> dict[str, Any]:
    keys = NUMBERS[kind] + (IMAGES[kind] if images else ())
    check(kind, folder, keys)
    rates: dict[str, list[float]] = {"ours": [], "theirs": []}
    alone = []
    for _ in range(arguments.pairs):
        for whose, found in rates.items():
            found.append(run(arguments, folder, f"{kind}:{whose}:{','.join(keys)}"))
        if kind == "calvin" and images:
            alone.append(
                windows_alone(arguments.unpack_rate, folder, arguments.seconds, arguments.threads)
            )
    ratios = [a / b for a, b in zip(rates["ours"], rates["theirs"], strict=True)]
    wanted = 2 if images else 5
    row = {
        "data": kind,
        "images": images,
        "windows_per_s": spread(rates["ours"]),
        "their_windows_per_s": spread(rates["theirs"]),
        "ratio": spread(ratios),
        "wanted": wanted,
        "is_reached": statistics.median(ratios) >= wanted,
    }
    if alone:
        shares = [a / b for a, b in zip(rates["ours"], alone, strict=True)]
        row["share_of_unpacking_alone"] = spread(shares)
        row["is_reached"] |= statistics.median(shares) >= 0.8
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", type=Path, help="folder with two genuine steps of CALVIN")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--original", type=Path)
    parser.add_argument("--unpack-rate", default=UNPACK_RATE, help="bench/loader/unpack_rate.c")
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
    with tempfile.TemporaryDirectory() as scratch:
        folders = {"calvin": Path(scratch, "task"), "zarr": Path(scratch, "pusht.zarr")}
        write_calvin(folders["calvin"], arguments.frames)
        write_zarr(folders["zarr"])
        indexed, read = index_calvin(folders["calvin"], arguments.pairs)
        rows = []
        for kind, folder in folders.items():
            for images in (False, True):
                rows.append(compare_loading(arguments, kind, folder, images))
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
            result["time_over_calvin_s_own_class"] = compare_calvin(
                arguments.original, folders["calvin"], 1.0
            )
            result["time_over_diffusion_policy_s_own_class"] = compare_diffusion_policy(
                arguments.original, folders["zarr"], 0.3
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
