"""Measures HDF5: against robomimic's and ACT's own dataset classes, indexing, and memory.

Each comparison is paired: the two run in turn over the same file and the same windows, shuffled,
and the ratio is the median over the rounds. robomimic is the installed one (`pip install --no-deps
robomimic`); ACT, which is no package, is written again here: a file opened a sample, a step drawn,
its rows read, actions and positions normalised, images divided by 255. With ``--act FILE``, ACT's
own utils.py, the processor's time that an item takes is compared with that one's. torch's
DataLoader runs without and with two workers, and the better of the two counts. Everything is
written to a temporary folder and is in the page cache.

What is wanted is 5 times the other's rate without images; with images twice that, or 0.8 of what
unpacking alone allows, whichever is less: `wanted` and `is_reached` say so in each row.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from host import machine
from unpacking import UNPACK_RATE, unpacked_alone

import robocache as rc

BATCH = 64
RNG = np.random.default_rng(0)
LOW = {"robot0_eef_pos": 3, "robot0_eef_quat": 4, "robot0_gripper_qpos": 2, "object": 10}
CAMERAS = ("agentview_image", "robot0_eye_in_hand_image")


def smooth(*shape: int) -> np.ndarray:
    """Images that gzip packs to about a third."""
    steps = RNG.integers(-2, 3, shape).cumsum(axis=1)
    return (128 + steps).clip(0, 255).astype(np.uint8)


def write_demos(path: Path, demos: int, steps: int, size: int = 0, **options: Any) -> None:
    """Writes demonstrations as robomimic has them, with images of `size` where it is not 0."""
    arguments = json.dumps({"env_name": "Lift", "type": 1, "env_kwargs": {"control_freq": 20}})
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = arguments
        data.attrs["total"] = demos * steps
        for number in range(demos):
            demo = data.create_group(f"demo_{number}")
            demo.attrs["num_samples"] = steps
            demo["actions"] = RNG.normal(size=(steps, 7))
            for name, width in LOW.items():
                demo[f"obs/{name}"] = RNG.normal(size=(steps, width))
            for name in CAMERAS if size else ():
                demo.create_dataset(f"obs/{name}", data=smooth(steps, size, size, 3), **options)


def rate(batches: Callable[[], Iterable[Any]], seconds: float) -> float:
    """Returns samples a second over about so many seconds, the first batches left out."""
    iterator = forever(batches)
    for _ in range(3):
        next(iterator)
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        count += next(iterator)
    return count / (time.perf_counter() - began)


def forever(batches: Callable[[], Iterable[Any]]) -> Iterator[int]:
    while True:
        for batch in batches():
            yield len(batch["actions"])


def paired(
    name: str,
    ours: Callable[[], Iterable[Any]],
    theirs: dict[str, Callable[[], Iterable[Any]]],
    seconds: float,
    rounds: int,
    wanted: float,
) -> dict[str, Any]:
    """Returns samples a second of both, and the median of the ratios of the rounds."""
    best = max(theirs, key=lambda each: rate(theirs[each], seconds / 2))
    pairs = []
    for _ in range(rounds):
        a = rate(ours, seconds)
        pairs.append((a, rate(theirs[best], seconds)))
    row = {
        "what": name,
        "robocache": round(statistics.median(a for a, _ in pairs)),
        "other": round(statistics.median(b for _, b in pairs)),
        "other_is": best,
        "ratio": round(statistics.median(a / b for a, b in pairs), 1),
        "ratios": [round(a / b, 2) for a, b in pairs],
        "wanted": wanted,
        "is_reached": statistics.median(a / b for a, b in pairs) >= wanted,
    }
    print(json.dumps(row), flush=True)
    return row


# ---- robomimic ----------------------------------------------------------------------------------


def robomimic_loader(
    path: Path, keys: list[str], ticks: int, cache: str | None, workers: int
) -> Callable[[], Iterable[Any]]:
    """Returns torch's DataLoader over robomimic's own class: two frames and `ticks` - 1 more."""
    from robomimic.utils import obs_utils
    from robomimic.utils.dataset import SequenceDataset

    obs_utils.initialize_obs_utils_with_obs_specs(
        {"obs": {"low_dim": list(LOW), "rgb": list(CAMERAS)}}
    )
    dataset = SequenceDataset(
        str(path),
        obs_keys=keys,
        dataset_keys=("actions",),
        frame_stack=2,
        seq_length=ticks,
        hdf5_cache_mode=cache,
        load_next_obs=False,
    )
    loader = torch.utils.data.DataLoader(
        dataset, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    return lambda: loader


def against_robomimic(
    program: str, folder: Path, seconds: float, rounds: int
) -> list[dict[str, Any]]:
    rows = []
    low, plain, packed = (folder / f"{name}.hdf5" for name in ("low", "plain", "packed"))
    write_demos(low, 200, 150)
    write_demos(plain, 20, 100, 84)
    write_demos(packed, 20, 100, 84, chunks=(10, 84, 84, 3), compression="gzip")
    for path, ticks, caches in (
        (low, 15, (None, "low_dim", "all")),
        (plain, 1, (None, "low_dim")),
        (packed, 1, (None, "low_dim")),
    ):
        keys = [*LOW, *(CAMERAS if path != low else ())]
        dataset = rc.open(path, progress=False)
        window = rc.Window(range(-1, ticks))
        loader = rc.DataLoader(
            dataset,
            BATCH,
            streams={"actions": window, **{f"obs/{key}": window for key in keys}},
            shuffle=True,
        )
        for cache in caches:
            theirs = {
                f"SequenceDataset(hdf5_cache_mode={cache!r}), {workers} workers": robomimic_loader(
                    path, keys, ticks, cache, workers
                )
                for workers in (0, 2)
            }
            what = f"{path.stem}, cache {cache}"
            wanted = 5 if path == low else 2
            row = paired(what, lambda each=loader: each, theirs, seconds, rounds, wanted)
            rows.append(row)
    rows.append(against_unpacking(program, packed, seconds, rounds))
    return rows


def against_unpacking(program: str, path: Path, seconds: float, rounds: int) -> dict[str, Any]:
    """Returns the chunks a second that a loader unpacks which can hold a few of them, over those
    that two threads of C do which do nothing else.
    """
    dataset = rc.open(path, progress=False)
    window = rc.Window(range(-1, 1))
    loader = rc.DataLoader(
        dataset,
        BATCH,
        streams={f"obs/{name}": window for name in CAMERAS},
        shuffle=True,
        num_threads=2,
        memory_bytes=24 << 20,
    )
    with h5py.File(path) as file:
        chunks = [
            (
                file[f"data/demo_{demo}/obs/{name}"].id.read_direct_chunk((row, 0, 0, 0))[1],
                10 * 84 * 84 * 3,
            )
            for demo in range(20)
            for name in CAMERAS
            for row in range(0, 100, 10)
        ]

    def loaded() -> tuple[float, float]:
        """Chunks a second, and a second of processor time, once the cache is what it stays."""
        iterator = iter(forever_any(loader))
        for _ in range(10):
            next(iterator)
        before, began, spent = (
            loader.stats()["blocks_read"],
            time.perf_counter(),
            time.process_time(),
        )
        while time.perf_counter() - began < seconds:
            next(iterator)
        chunks = loader.stats()["blocks_read"] - before
        return chunks / (time.perf_counter() - began), chunks / (time.process_time() - spent)

    pairs = []
    for _ in range(rounds):
        pairs.append((loaded(), unpacked_alone(program, chunks, "zlib", seconds, 2)))
    loader.close()
    shares = [a[0] / b[0] for a, b in pairs]
    of_cpu = [a[1] / b[1] for a, b in pairs]
    row = {
        "what": "packed, few chunks held: chunks unpacked, over unpacking alone",
        "robocache": round(statistics.median(a[0] for a, _ in pairs)),
        "other": round(statistics.median(b[0] for _, b in pairs)),
        "other_is": "two threads of C that only unpack, by libdeflate",
        "ratio": round(statistics.median(shares), 2),
        "ratios": [round(share, 2) for share in shares],
        "ratios_of_cpu": [round(share, 2) for share in of_cpu],
        "wanted": 0.8,
        "is_reached": statistics.median(shares) >= 0.8,
    }
    print(json.dumps(row), flush=True)
    return row


def forever_any(loader: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from loader


# ---- ACT ----------------------------------------------------------------------------------------


class Episodes(torch.utils.data.Dataset):
    """What ACT's training reads: of each episode one step, and all actions from there."""

    def __init__(self, folder: Path, episodes: int, cameras: list[str]) -> None:
        self._files = [folder / f"episode_{number}.hdf5" for number in range(episodes)]
        self._cameras = cameras
        self._mean, self._deviation = np.zeros(14, np.float32), np.ones(14, np.float32)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        with h5py.File(self._files[index], "r") as file:
            assert file.attrs["sim"]
            steps = file["/action"].shape[0]
            step = np.random.choice(steps)
            qpos = file["/observations/qpos"][step]
            file["/observations/qvel"][step]
            images = [file[f"/observations/images/{name}"][step] for name in self._cameras]
            actions = file["/action"][step:]
        padded = np.zeros((steps, actions.shape[1]), np.float32)
        padded[: len(actions)] = actions
        is_pad = np.arange(steps) >= len(actions)
        normalised = (torch.from_numpy(padded) - self._mean) / self._deviation
        positions = (torch.from_numpy(qpos).float() - self._mean) / self._deviation
        pictures = {}
        if images:
            stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
            pictures = {"images": stacked / 255.0}
        return {
            **pictures,
            "qpos": positions,
            "actions": normalised,
            "is_pad": torch.from_numpy(is_pad),
        }


def compare_original(original: Path, folder: Path, episodes: int, used: list[str]) -> list[float]:
    """Returns the processor's time of an item here over that of ACT's own class, of some rounds."""
    spec = importlib.util.spec_from_file_location("act_utils", original)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    zero, one = np.zeros(14, np.float32), np.ones(14, np.float32)
    stats = {"action_mean": zero, "qpos_mean": zero, "action_std": one, "qpos_std": one}
    theirs = module.EpisodicDataset(list(range(episodes)), str(folder), used, stats)
    here = Episodes(folder, episodes, used)
    ratios = []
    for _ in range(15):
        spent = []
        for each in (here, theirs):
            began = time.process_time()
            for index in range(4 * episodes):
                each[index % episodes]
            spent.append(time.process_time() - began)
        ratios.append(round(spent[0] / spent[1], 3))
    return sorted(ratios)


def against_act(
    folder: Path, seconds: float, rounds: int, original: Path | None
) -> list[dict[str, Any]]:
    rows = []
    cameras = ["top", "wrist"]
    steps, episodes, batch = 200, 24, 8
    for height, width in ((240, 320), (0, 0)):
        used = cameras if height else []
        for number in range(episodes):
            with h5py.File(folder / f"episode_{number}.hdf5", "w") as file:
                file.attrs["sim"] = True
                file["action"] = RNG.normal(size=(steps, 14)).astype("f4")
                file["observations/qpos"] = RNG.normal(size=(steps, 14))
                file["observations/qvel"] = RNG.normal(size=(steps, 14))
                frame = smooth(1, height, width, 3) if height else None
                for name in used:
                    shape = (steps, height, width, 3)
                    made = file.create_dataset(
                        f"observations/images/{name}", shape, "u1", chunks=(1, *shape[1:])
                    )
                    for step in range(steps):
                        made[step] = frame[0]
        if original is not None and used:  # theirs wants a camera
            ratios = compare_original(original, folder, episodes, used)
            what = "ACT written again, processor's time of an item over that of its own class"
            rows.append({"what": what, "ratio": statistics.median(ratios), "ratios": ratios})
            print(json.dumps(rows[-1]), flush=True)
        dataset = rc.open(folder, progress=False)
        streams = {
            "observations/qpos": rc.Window(0),
            "observations/qvel": rc.Window(0),
            "action": rc.Window(range(steps), name="actions", outside="zero"),
        }
        loaders = []
        for image in (rc.Image(dtype="float32", channels="first"), None):  # as there, and bytes
            images = {f"observations/images/{n}": rc.Window(0, image=image) for n in used}
            loaders.append(
                rc.DataLoader(
                    dataset, batch, rate_hz=50, streams={**streams, **images}, shuffle=True
                )
            )
        theirs = {}
        for workers in (0, 1, 2):
            data = torch.utils.data.DataLoader(
                Episodes(folder, episodes, used),
                batch,
                shuffle=True,
                num_workers=workers,
                persistent_workers=workers > 0,
            )
            theirs[f"ACT's EpisodicDataset written again, {workers} workers"] = lambda d=data: d
        if height:
            what = "ACT, two cameras of 240 x 320, floats made by both on the CPU"
            rows.append(paired(what, lambda each=loaders[0]: each, theirs, seconds, rounds, 2))
        what = "ACT, two cameras of 240 x 320, bytes of RoboCache" if height else "ACT, no images"
        wanted = 2 if height else 5
        rows.append(paired(what, lambda each=loaders[1]: each, theirs, seconds, rounds, wanted))
    return rows


# ---- indexing -----------------------------------------------------------------------------------


def bare(paths: list[Path]) -> float:
    """Returns the seconds that h5py itself takes to tell what an index has to know."""
    began = time.perf_counter()
    for path in paths:
        with h5py.File(path, locking=False) as file:

            def look(_: str, found: Any) -> None:
                dict(found.attrs)
                if isinstance(found, h5py.Dataset):
                    _ = found.shape, found.dtype
                    if found.chunks is None:
                        found.id.get_offset()
                    else:
                        found.id.chunk_iter(lambda chunk: None)

            file.visititems(look)
    return time.perf_counter() - began


def indexing(folder: Path) -> list[dict[str, Any]]:
    rows = []
    one = folder / "demos.hdf5"
    write_demos(one, 1000, 20)
    many = folder / "episodes"
    many.mkdir()
    for number in range(1000):
        with h5py.File(many / f"episode_{number}.hdf5", "w") as file:
            file["action"] = np.zeros((20, 14), "f4")
            file["observations/qpos"] = np.zeros((20, 14))
            file["observations/images/top"] = np.zeros((20, 24, 32, 3), "u1")
    chunks = folder / "chunks.hdf5"
    count = 1_000_000
    packed = zlib.compress(np.arange(64, dtype="f4").tobytes(), 1)
    with h5py.File(chunks, "w") as file:
        file["data/demo_0/actions"] = np.zeros((count, 1), "u1")
        options = {"shape": (count, 64), "dtype": "f4", "chunks": (1, 64), "compression": "gzip"}
        made = file.create_dataset("data/demo_0/obs", **options).id
        for row in range(count):
            made.write_direct_chunk((row, 0), packed)
    for what, path, files in (
        ("1,000 demonstrations in a file", one, [one]),
        ("1,000 files of an episode", many, sorted(many.iterdir())),
        ("1,000,000 chunks", chunks, [chunks]),
    ):
        rc.open(path, progress=False)  # and what it imports
        alone = bare(files)
        times = []
        for rebuild, threads in ((True, 1), (True, 0), (False, 1)):
            began = time.perf_counter()
            dataset = rc.open(path, progress=False, rebuild=rebuild, num_threads=threads)
            times.append(time.perf_counter() - began)
        row = {
            "what": what,
            "indexed_s": round(times[0], 2),
            "indexed_by_all_cores_s": round(times[1], 2),
            "h5py_alone_s": round(alone, 2),
            "rate_over_h5py_alone": round(alone / times[0], 2),
            "rate_by_all_cores_over_h5py_alone": round(alone / times[1], 2),
            "opened_again_s": round(times[2], 4),
            "catalog_bytes": os.path.getsize(dataset.catalog_path),
        }
        print(json.dumps(row), flush=True)
        rows.append(row)
    return rows


# ---- memory -------------------------------------------------------------------------------------


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory(folder: Path, seconds: float) -> list[dict[str, Any]]:
    """Goes through 10 GB of gzip chunks for a while in both shuffles."""
    path = folder / "large.hdf5"
    rows_a_chunk, shape, chunks = 16, (128, 128, 3), 13_200
    coarse = smooth(rows_a_chunk, 16, 16, 3)
    raw = coarse.repeat(8, axis=1).repeat(8, axis=2).tobytes()
    packed = zlib.compress(raw, 6)
    with h5py.File(path, "w") as file:
        for number in range(40):
            steps = chunks // 40 * rows_a_chunk
            file[f"data/demo_{number}/actions"] = np.zeros((steps, 7), "f4")
            made = file.create_dataset(
                f"data/demo_{number}/obs/image",
                (steps, *shape),
                "u1",
                chunks=(rows_a_chunk, *shape),
                compression="gzip",
            )
            for row in range(0, steps, rows_a_chunk):
                made.id.write_direct_chunk((row, 0, 0, 0), packed)
    dataset = rc.open(path, progress=False)
    rows = []
    for shuffle in (True, "blocks"):
        loader = rc.DataLoader(
            dataset,
            BATCH,
            rate_hz=20,
            streams={"obs/image": rc.Window(0)},
            shuffle=shuffle,
            memory_bytes=320 << 20,
        )
        began, samples, seen = time.perf_counter(), 0, []
        for batch in islice(loader, 1_000_000):
            samples += len(batch["obs/image"])
            seen.append(resident())
            if time.perf_counter() - began > seconds:
                break
        stats = loader.stats()
        kind = "blocks" if shuffle == "blocks" else "global"
        settled = seen[len(seen) // 2]
        row = {
            "what": f"10 GB of gzip chunks, shuffle={shuffle!r}",
            "unpacked_bytes": dataset.num_steps * 128 * 128 * 3,
            "file_bytes": path.stat().st_size,
            "samples": samples,
            "samples_per_s": round(samples / (time.perf_counter() - began)),
            "resident_half_way": settled,
            "resident_at_the_end": seen[-1],
            "foretold": round(stats[f"unpack_factor_{kind}"], 2),
            "measured": round((stats["blocks_read"] - 40) / (samples / rows_a_chunk), 2),
        }
        loader.close()
        print(json.dumps(row), flush=True)
        rows.append(row)
    return rows


def main() -> None:
    """Prints a line a measurement; --json writes them with the machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--act", type=Path, help="ACT's own utils.py, to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--unpack-rate", default=UNPACK_RATE, help="bench/loader/unpack_rate.c")
    parser.add_argument("--only", choices=["robomimic", "act", "indexing", "memory"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # workers are processes, and threads of RoboCache its own
    result: dict[str, Any] = {"machine": machine(), "h5py": h5py.version.version}
    for name, measure in (
        (
            "robomimic",
            lambda f: against_robomimic(
                arguments.unpack_rate, f, arguments.seconds, arguments.rounds
            ),
        ),
        ("act", lambda f: against_act(f, arguments.seconds, arguments.rounds, arguments.act)),
        ("indexing", indexing),
        ("memory", lambda f: memory(f, 10 * arguments.seconds)),
    ):
        if arguments.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory() as folder:
            result[name] = measure(Path(folder))
    if arguments.json:
        if arguments.json.exists():
            result = {**json.loads(arguments.json.read_text()), **result}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
