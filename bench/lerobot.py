"""LeRobot datasets, loaded by RoboCache and by LeRobot's own class: rates in pairs, scale, memory.

    python bench/lerobot.py SET --lerobot PYTHON --json bench/results/lerobot.json

SET is a dataset of version 3.0 with one video, as LeRobot writes it; PYTHON the interpreter of an
environment with LeRobot. The set is laid out many times over by hard links, so that a decoded frame
is not met again before its memory has been used for others. Contenders take turns; rates are
frames a second by the clock and by processor time, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from operations.measure import machine, spread

import robocache as rc

PEER = Path(__file__).parent / "loader/lerobot_peer.py"
COPIES = 20
BATCH = 32
MEMORY = 512 << 20


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


# ---- rates --------------------------------------------------------------------------------------


def deltas_of(folder: Path) -> dict[str, list[float]]:
    """Windows of two frames and states, and of sixteen actions."""
    info = json.loads((folder / "meta/info.json").read_text())
    camera = next(name for name, f in info["features"].items() if f["dtype"] == "video")
    past, chunk = [-1 / info["fps"], 0.0], [k / info["fps"] for k in range(16)]
    return {camera: past, "observation.state": past, "action": chunk}


def rate_of(loader: Any, camera: str, seconds: float) -> dict[str, float]:
    """Returns frames, and the seconds and processor time that they took after the first batch."""
    frames, begin, spent = 0, 0.0, 0.0
    while True:
        for batch in loader:
            now = time.monotonic()
            if begin == 0:
                begin, spent = now, time.process_time()
                continue
            frames += len(batch[camera]) * 2
            if now - begin > seconds:
                wall = now - begin
                return {"frames": frames, "wall_s": wall, "cpu_s": time.process_time() - spent}


def ours(folder: Path, name: str, seconds: float) -> dict[str, float]:
    deltas = deltas_of(folder)
    camera = next(iter(deltas))
    options = {"shuffle": True, "num_threads": 2, "memory_bytes": MEMORY}
    if name == "DataLoader, uint8":
        dataset = rc.open(folder, progress=False)
        loader: Any = rc.DataLoader(dataset, BATCH, delta_timestamps=deltas, **options)
    else:
        loader = rc.datasets.LeRobotDataLoader(
            folder,
            BATCH,
            delta_timestamps=deltas,
            return_uint8=name.endswith("uint8"),
            **options,
        )
    return rate_of(loader, camera, seconds)


def theirs(
    python: str, folder: Path, backend: str, workers: int, dtype: str, seconds: float
) -> Any:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    arguments = [json.dumps(deltas_of(folder)), str(seconds), str(workers), backend, dtype]
    done = subprocess.run(
        [python, str(PEER), "rate", str(folder), *arguments],
        env={**environment, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def rates(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    contenders: dict[str, Any] = {
        name: lambda name=name: ours(folder, name, arguments.seconds)
        for name in ("DataLoader, uint8", "LeRobotDataLoader, float32", "LeRobotDataLoader, uint8")
    }
    for peer in (
        ("torchcodec", 2, "float32"),
        ("torchcodec", 2, "uint8"),
        ("torchcodec", 0, "float32"),
        ("pyav", 2, "float32"),
    ):
        backend, workers, dtype = peer
        contenders[f"LeRobotDataset, {backend}, {workers} workers, {dtype}"] = lambda peer=peer: (
            theirs(arguments.lerobot, folder, *peer, arguments.seconds)
        )
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(arguments.rounds):
        for name, measure in contenders.items():
            found.setdefault(name, []).append(measure())
            last = found[name][-1]
            print(f"{name:40} {last['frames'] / last['wall_s']:8.0f} frames/s", flush=True)
    by = {
        unit: {
            name: [each["frames"] / each[unit] for each in rounds] for name, rounds in found.items()
        }
        for unit in ("wall_s", "cpu_s")
    }
    peers = [name for name in contenders if name.startswith("LeRobotDataset")]
    ratio = {}
    for mine in contenders:
        for peer in peers:
            if mine not in peers and mine.rpartition(" ")[2] == peer.rpartition(" ")[2]:
                ratio[f"{mine} over {peer}"] = {
                    unit: spread(
                        [a / b for a, b in zip(by[unit][mine], by[unit][peer], strict=True)]
                    )
                    for unit in by
                }
    return {
        "frames_per_s": {name: spread(values) for name, values in by["wall_s"].items()},
        "frames_per_cpu_s": {name: spread(values) for name, values in by["cpu_s"].items()},
        "ratio": ratio,
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


# ---- JPEG beside --------------------------------------------------------------------------------


def jpeg_rate(source: Path, folder: Path, seconds: float) -> dict[str, Any]:
    """The same frames as JPEG in RLDS, and the same windows of them."""
    dataset = rc.open(source, catalog=folder / "c", progress=False)
    camera = next(name for name, info in dataset.streams.items() if info.kind == "image")
    shape = dataset.streams[camera].shape
    features = {
        "image": rc.Feature("uint8", shape, encoding="jpeg"),
        "observation.state": rc.Feature("float32", dataset.streams["observation.state"].shape),
        "action": rc.Feature("float32", dataset.streams["action"].shape),
    }
    with rc.RldsWriter(folder, "jpeg", features, control_rate_hz=30) as writer:
        for episode in dataset:
            steps = {name: episode[name].values for name in ("observation.state", "action")}
            writer.add_episode({"image": list(episode[camera].values), **steps})
    jpeg = rc.open(folder / "jpeg", progress=False)
    windows = {
        "image": rc.Window(range(-1, 1)),
        "observation.state": rc.Window(range(-1, 1)),
        "action": rc.Window(range(16)),
    }
    loader = rc.DataLoader(jpeg, BATCH, streams=windows, shuffle=True, num_threads=2)
    found = rate_of(loader, "image", seconds)
    return {
        "frames_per_s": found["frames"] / found["wall_s"],
        "frames_per_cpu_s": found["frames"] / found["cpu_s"],
        "bytes_a_frame": jpeg.num_bytes / sum(e.num_steps for e in jpeg),
        "video_bytes_a_frame": sum(p.stat().st_size for p in source.glob("videos/*/*/*.mp4"))
        / sum(e.num_steps for e in dataset),
    }


# ---- scale --------------------------------------------------------------------------------------


def many_episodes(folder: Path, count: int, version: str) -> dict[str, Any]:
    """Indexes a set of many short episodes of numbers, and opens it again."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.python import lerobot_sets as sets

    made = sets.make(folder, version, [10] * count, files=[i // 1000 for i in range(count)])
    files = len(list(folder.glob("data/*/*.parquet")))
    begin = time.monotonic()
    dataset = rc.open(folder, progress=False)
    indexed = time.monotonic() - begin
    opened, spent = [], []
    for _ in range(5):
        begin, before = time.monotonic(), time.process_time()
        assert len(rc.open(folder, progress=False)) == count
        opened.append(time.monotonic() - begin)
        spent.append(time.process_time() - before)
    columns = sum(p.stat().st_size for p in folder.glob(".robocache*") if p.is_file())
    beside = [p for p in folder.glob(".robocache*/**/*") if p.is_file()]
    columns += sum(p.stat().st_size for p in beside)
    stored = sum(c.nbytes for c in made.episodes[0].values()) * count
    assert len(dataset) == count
    return {
        "version": version,
        "episodes": count,
        "parquet_files": files,
        "index_s": indexed,
        "files_per_s": files / indexed,
        "episodes_per_s": count / indexed,
        "open_s": spread(opened),
        "open_cpu_s": spread(spent),
        "catalog_and_columns_bytes": columns,
        "numbers_bytes_in_memory": stored,
    }


def columns_cost(source: Path, folder: Path) -> dict[str, Any]:
    """What columns take beside the data of a set with video."""
    dataset = rc.open(source, catalog=folder / "set.sqlite", progress=False)
    kept = sum(p.stat().st_size for p in folder.rglob("set*") if p.is_file())
    steps = sum(e.num_steps for e in dataset)
    data = sum(
        p.stat().st_size for p in source.rglob("*") if p.is_file() and "robocache" not in p.name
    )
    return {"bytes_a_step": kept / steps, "share_of_the_data": kept / data}


# ---- memory -------------------------------------------------------------------------------------


def memory(folder: Path, files: int, batches: int) -> dict[str, Any]:
    """Resident memory while small batches are drawn from many tiny clips."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.python import lerobot_sets as sets
    from tests.python import numbered_video as video

    camera = "observation.images.top"
    shape = [video.HEIGHT, video.WIDTH, 3]
    feature = {"dtype": "video", "shape": shape, "names": ["height", "width", "channels"]}
    first = folder / f"videos/chunk-000/{camera}/episode_000000.mp4"
    video.write(first, range(8), "h264", group=2)
    for number in range(1, files):
        path = folder / f"videos/chunk-{number // 1000:03}/{camera}/episode_{number:06}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(first, path)
    sets.make(folder, "v2.1", [8] * files, features={camera: feature})
    dataset = rc.open(folder, progress=False)
    loader = rc.DataLoader(
        dataset,
        4,
        shuffle=True,
        num_threads=2,
        memory_bytes=64 << 20,
        streams={camera: rc.Window(range(-1, 1))},
        array="numpy",
    )
    drawn, resident, most, descriptors = 0, [], 0, 0
    while drawn < batches:
        for batch in loader:
            drawn += 1
            if drawn % 100 == 0:
                found = video.numbers_of(batch[camera])[:, 1]
                assert found.tolist() == batch["step_index"].tolist()
                stats = loader.stats()
                used = ("slots_bytes", "episode_bytes", "block_bytes", "fetched_bytes")
                most = max(most, sum(stats[key] for key in used))
                descriptors = max(descriptors, len(os.listdir("/proc/self/fd")))
            if drawn % (batches // 20) == 0:
                resident.append(resident_bytes())
            if drawn == batches:
                break
    return {
        "files": files,
        "batches": batches,
        "bound_bytes": loader.stats()["memory_bytes"],
        "most_used_bytes": most,
        "most_descriptors": descriptors,
        "resident_bytes": resident,
        "growth_after_half": resident[-1] / resident[len(resident) // 2],
    }


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", type=Path, help="a set of version 3.0 with one video")
    parser.add_argument("--lerobot", help="interpreter of an environment with LeRobot")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--only", nargs="+", default=["rates", "items", "jpeg", "scale", "memory"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result: dict[str, Any] = {}
    if arguments.json and arguments.json.exists():
        result = json.loads(arguments.json.read_text())
    result["machine"] = machine()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        source = copied(arguments.path, root / "set")
        large = lay_out(source, root / "large", COPIES)
        for name, measure in {
            "rates": lambda: rates(large, arguments),
            "items": lambda: item_cost(large),
            "jpeg": lambda: jpeg_rate(source, root, arguments.seconds),
            "scale": lambda: [
                many_episodes(root / version, 50_000, version) for version in ("v3.0", "v2.1")
            ],
            "columns": lambda: columns_cost(source, root),
            "memory": lambda: memory(root / "tiny", 20_000, 100_000),
        }.items():
            if name in arguments.only:
                result[name] = measure()
                print(name, json.dumps(result[name]), flush=True)
                if arguments.json:
                    arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
