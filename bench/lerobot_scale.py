"""LeRobot datasets of many episodes and files: indexing, opening, columns, memory.

    python bench/lerobot_scale.py SET --json bench/results/lerobot_scale.json

SET is a dataset of version 3.0 with video, of which it is told what columns take. Sets of 50,000
short episodes of numbers are made, indexed and opened again,
and small batches are drawn from 20,000 tiny clips.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from host import machine, spread

import robocache as rc

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.python import lerobot_sets as sets
from tests.python import numbered_video as video

# ---- scale --------------------------------------------------------------------------------------


def many_episodes(folder: Path, count: int, version: str) -> dict[str, Any]:
    """Indexes a set of many short episodes of numbers, and opens it again."""
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
    parser.add_argument("path", type=Path, help="a set of version 3.0 with video")
    parser.add_argument("--only", nargs="+", default=["v3.0", "v2.1", "columns", "memory"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result: dict[str, Any] = {}
    if arguments.json and arguments.json.exists():
        result = json.loads(arguments.json.read_text())
    result["machine"] = machine()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for name, measure in {
            "v3.0": lambda: many_episodes(root / "v3.0", 50_000, "v3.0"),
            "v2.1": lambda: many_episodes(root / "v2.1", 50_000, "v2.1"),
            "columns": lambda: columns_cost(arguments.path, root),
            "memory": lambda: memory(root / "tiny", 20_000, 100_000),
        }.items():
            if name in arguments.only:
                result[name] = measure()
                print(name, json.dumps(result[name]), flush=True)
                if arguments.json:
                    arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
