"""LeRobot datasets, loaded by RoboCache and by LeRobot's own class: rates in turns, by the clock.

    python bench/lerobot_loading.py SET --lerobot PYTHON --json bench/results/lerobot.json

SET is a dataset of version 3.0 with one video in groups of two pictures, as LeRobot writes it;
PYTHON the interpreter of an environment with LeRobot. The video is encoded again in groups of 30
and of 250 pictures, and each set is laid out many times over by hard links, so that a decoded frame
is not met again before its memory has been used for others.

What the decoder allows is the rate at which FFmpeg's program decodes the same file in order, one
process on one thread for each core, over the decodes that a window of two frames needs: from where
its groups begin to the last frame that is wanted. It is measured in turns with the loaders.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from host import machine, spread
from video import decodes_needed, encode

import robocache as rc

PEER = Path(__file__).parent / "loader/lerobot_peer.py"
GROUPS = (2, 30, 250)
COPIES = 20
BATCH = 32
BATCHES = 4  # at least
THREADS = 2
MEMORY = 512 << 20
VIDEO, FLOATS, JPEG = "DataLoader, uint8", "LeRobotDataLoader, float32", "JPEG in RLDS"
DECODER = "FFmpeg, in order"


# ---- sets ---------------------------------------------------------------------------------------


def lay_out(source: Path, to: Path, copies: int) -> Path:
    """Makes a set of `copies` times the episodes, in as many files, of which videos are links."""
    info = json.loads((source / "meta/info.json").read_text())
    episodes = pq.read_table(source / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    rows = pq.read_table(source / "data/chunk-000/file-000.parquet")
    (to / "data/chunk-000").mkdir(parents=True)
    (to / "meta/episodes/chunk-000").mkdir(parents=True)
    for name in ("tasks.parquet", "stats.json"):
        (to / "meta" / name).write_bytes((source / "meta" / name).read_bytes())
    cameras = [name for name, f in info["features"].items() if f["dtype"] == "video"]
    table = []
    for copy in range(copies):
        for each in episodes:
            row = {**each, "episode_index": each["episode_index"] + copy * len(episodes)}
            row["dataset_from_index"] += copy * len(rows)
            row["dataset_to_index"] += copy * len(rows)
            row["data/file_index"] = copy
            for camera in cameras:
                row[f"videos/{camera}/file_index"] = copy
            table.append(row)
        moved = rows
        for name, step in (("episode_index", len(episodes)), ("index", len(rows))):
            at = moved.schema.get_field_index(name)
            values = pa.array(moved[name].to_numpy() + copy * step)
            moved = moved.set_column(at, name, values)
        pq.write_table(moved, to / f"data/chunk-000/file-{copy:03}.parquet")
        for camera in cameras:
            folder = to / f"videos/{camera}/chunk-000"
            folder.mkdir(parents=True, exist_ok=True)
            os.link(
                source / f"videos/{camera}/chunk-000/file-000.mp4", folder / f"file-{copy:03}.mp4"
            )
    pq.write_table(pa.Table.from_pylist(table), to / "meta/episodes/chunk-000/file-000.parquet")
    total = copies * len(episodes)
    info |= {"total_episodes": total, "total_frames": copies * len(rows)}
    (to / "meta/info.json").write_text(json.dumps({**info, "splits": {"train": f"0:{total}"}}))
    return to


def copied(source: Path, to: Path) -> Path:
    """Copies a set to where its files can be linked."""
    subprocess.run(["cp", "-r", source, to], check=True)
    subprocess.run(["chmod", "-R", "u+w", to], check=True)
    return to


def encode_again(folder: Path, group: int) -> None:
    """Encodes the videos of a set in groups of so many pictures."""
    for file in folder.glob("videos/*/*/*.mp4"):
        given = file.rename(file.with_suffix(".given"))
        encode(given, file, "av1", group, 10**9)
        given.unlink()


def jpeg_beside(source: Path, folder: Path) -> rc.Dataset:
    """Writes the same frames as JPEG in RLDS."""
    dataset = rc.open(source, catalog=folder / "c", progress=False)
    camera = camera_of(source)
    features = {
        camera: rc.Feature("uint8", dataset.streams[camera].shape, encoding="jpeg"),
        "observation.state": rc.Feature("float32", dataset.streams["observation.state"].shape),
        "action": rc.Feature("float32", dataset.streams["action"].shape),
    }
    with rc.RldsWriter(folder, "jpeg", features, control_rate_hz=30) as writer:
        for episode in dataset:
            steps = {name: episode[name].values for name in ("observation.state", "action")}
            writer.add_episode({camera: list(episode[camera].values), **steps})
    return rc.open(folder / "jpeg", progress=False)


def camera_of(folder: Path) -> str:
    info = json.loads((folder / "meta/info.json").read_text())
    return next(name for name, f in info["features"].items() if f["dtype"] == "video")


def deltas_of(folder: Path) -> dict[str, list[float]]:
    """Windows of two frames and states, and of sixteen actions."""
    fps = json.loads((folder / "meta/info.json").read_text())["fps"]
    past, chunk = [-1 / fps, 0.0], [k / fps for k in range(16)]
    return {camera_of(folder): past, "observation.state": past, "action": chunk}


# ---- contenders ---------------------------------------------------------------------------------

Found = dict[str, float]


def rate_of(loader: Any, camera: str, seconds: float) -> Found:
    """Returns frames, and the seconds and processor time that they took after the first batch."""
    frames, number, begin, spent = 0, 0, 0.0, 0.0
    while True:
        for batch in loader:
            now = time.monotonic()
            number += 1
            if number == 1:
                begin, spent = now, time.process_time()
                continue
            frames += len(batch[camera]) * 2
            if now - begin > seconds and number > BATCHES:
                wall = now - begin
                return {"frames": frames, "wall_s": wall, "cpu_s": time.process_time() - spent}


def ours(folder: Path, name: str, seconds: float) -> Found:
    camera = camera_of(folder)
    options: dict[str, Any] = {
        "shuffle": True,
        "num_threads": THREADS,
        "memory_bytes": MEMORY,
        "delta_timestamps": deltas_of(folder),
    }
    if name == FLOATS:
        return rate_of(rc.datasets.LeRobotDataLoader(folder, BATCH, **options), camera, seconds)
    loader = rc.DataLoader(rc.open(folder, progress=False), BATCH, **options)
    found = rate_of(loader, camera, seconds)
    stats = loader.stats()
    return {**found, "decodes_a_window": 2 * stats["pictures_decoded"] / stats["images_decoded"]}


def jpeg(dataset: rc.Dataset, deltas: dict[str, list[float]], seconds: float) -> Found:
    loader = rc.DataLoader(
        dataset,
        BATCH,
        delta_timestamps=deltas,
        shuffle=True,
        num_threads=THREADS,
        memory_bytes=MEMORY,
    )
    return rate_of(loader, next(iter(deltas)), seconds)


def decoder(file: Path, frames: int, seconds: float) -> Found:
    """FFmpeg's program, a process a core."""
    once, loops = 0.0, 0
    while once < seconds:
        command = ["ffmpeg", "-v", "error", "-stream_loop", str(loops), "-threads", "1"]
        command += ["-i", str(file), "-an", "-vsync", "0", "-f", "null", "-"]
        begin, before = time.monotonic(), os.times()
        running = [subprocess.Popen(command) for _ in range(THREADS)]
        if any(process.wait() != 0 for process in running):
            raise RuntimeError(f"{command} failed")
        once, after = time.monotonic() - begin, os.times()
        decoded = THREADS * frames * (loops + 1)
        loops = max(2 * loops, int(1.2 * (loops + 1) * seconds / once))
    spent = after.children_user + after.children_system
    spent -= before.children_user + before.children_system
    return {"frames": decoded, "wall_s": once, "cpu_s": spent}


class Peer:
    """LeRobot's class, in a process of its own that answers what it is asked to measure."""

    def __init__(self, python: str) -> None:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        self.process = subprocess.Popen(
            [python, str(PEER), "rate"],
            env={**environment, "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, folder: Path, backend: str, dtype: str, seconds: float) -> Found:
        asked = {
            "folder": str(folder),
            "deltas": deltas_of(folder),
            "seconds": seconds,
            "batches": BATCHES,
            "workers": THREADS,
            "backend": backend,
            "dtype": dtype,
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.startswith("found "):
                found: Found = json.loads(line.removeprefix("found "))
                return found
        raise RuntimeError(f"LeRobot's side ended with {self.process.wait()}")

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


# ---- in turns -----------------------------------------------------------------------------------


def per_second(found: Found, unit: str = "wall_s") -> float:
    return found["frames"] / found[unit]


def measure_group(
    group: int, source: Path, large: Path, peer: Peer | None, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Returns rates and ratios of a set with groups of so many pictures."""
    file = next(source.glob("videos/*/*/*.mp4"))
    frames = json.loads((source / "meta/info.json").read_text())["total_frames"]
    seconds = arguments.seconds
    contenders: dict[str, Any] = {
        DECODER: lambda: decoder(file, frames, seconds),
        VIDEO: lambda: ours(large, VIDEO, seconds),
    }
    if peer:
        for backend in ("torchcodec", "pyav"):
            contenders[f"LeRobotDataset, {backend}, uint8"] = lambda backend=backend: peer(
                large, backend, "uint8", seconds
            )
    if group == 2:
        (beside_folder := large.with_name("beside")).mkdir()
        beside = jpeg_beside(source, beside_folder)
        contenders[JPEG] = lambda: jpeg(beside, deltas_of(source), seconds)
        contenders[FLOATS] = lambda: ours(large, FLOATS, seconds)
        if peer:
            contenders["LeRobotDataset, torchcodec, float32"] = lambda: peer(
                large, "torchcodec", "float32", seconds
            )
    found: dict[str, list[Found]] = {}
    for turn in range(arguments.rounds):
        for name, measure in contenders.items():
            if turn == 0 or group == 2 or not name.startswith("LeRobotDataset"):
                found.setdefault(name, []).append(measure())
                rate = per_second(found[name][-1])
                print(f"groups of {group:3}  {name:36} {rate:8.0f} frames/s", flush=True)
    needed = decodes_needed(file)

    def over(one: str, other: str, factor: float = 1.0) -> dict[str, float]:
        pairs = zip(found[one], found[other], strict=False)
        return spread([factor * per_second(a) / per_second(b) for a, b in pairs])

    ratios = {f"{VIDEO} over what the decoder allows": over(VIDEO, DECODER, needed / 2)}
    for name in found:
        if name.startswith("LeRobotDataset"):
            mine = FLOATS if name.endswith("float32") else VIDEO
            ratios[f"{mine} over {name}"] = over(mine, name)
    if JPEG in found:
        ratios[f"{JPEG} over {VIDEO}"] = over(JPEG, VIDEO)
    return {
        "group": group,
        "decodes_needed_a_window": needed,
        "decodes_a_window": spread([each["decodes_a_window"] for each in found[VIDEO]]),
        "bytes_a_frame": file.stat().st_size / frames,
        **({"jpeg_bytes_a_frame": beside.num_bytes / frames} if group == 2 else {}),
        "ratios": ratios,
        "frames_per_s": {n: spread([per_second(f) for f in each]) for n, each in found.items()},
        "frames_per_cpu_s": {
            n: spread([per_second(f, "cpu_s") for f in each])
            for n, each in found.items()
            if "cpu_s" in each[0]
        },
    }


def item_cost(folder: Path) -> dict[str, Any]:
    """What one item of the map-style class takes, with its two frames and without."""
    deltas = deltas_of(folder)
    dataset = rc.datasets.LeRobotDataset(folder, delta_timestamps=deltas)
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, len(dataset), 100).tolist()
    begin = time.process_time()
    for number in numbers:
        dataset[number]
    whole = (time.process_time() - begin) / len(numbers)
    camera = next(iter(deltas))
    dataset._as_items.names.remove(camera)
    dataset._as_items.colours.remove(camera)
    begin = time.process_time()
    for number in numbers:
        dataset[number]
    return {
        "item_ms": 1e3 * whole,
        "without_pictures_ms": 1e3 * (time.process_time() - begin) / 100,
    }


def main() -> None:
    os.environ.setdefault("SVT_LOG", "1")  # of the encoder: errors alone
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", type=Path, help="a set of version 3.0 with one video")
    parser.add_argument("--lerobot", help="interpreter of an environment with LeRobot")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each contender")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result: dict[str, Any] = {"machine": machine(), "threads": THREADS, "groups": []}
    peer = Peer(arguments.lerobot) if arguments.lerobot else None
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for group in GROUPS:
            source = copied(arguments.path, root / f"{group}")
            if group != 2:
                encode_again(source, group)
            large = lay_out(source, root / f"{group} large", COPIES)
            result["groups"].append(measure_group(group, source, large, peer, arguments))
            print(json.dumps(result["groups"][-1]["ratios"], indent=1), flush=True)
        result["items"] = item_cost(root / "2 large")
    if peer:
        peer.close()
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
