"""Indexing, CRC included, against reading the same cached files with cat.

Makes a dataset of many shards by copying the shard of a real one, reads all of it once so that it
lies in the page cache, then runs ``cat FILES >/dev/null`` and an index from nothing in turn. The
ratio is of bytes a second, round by round; 1 means as fast as cat. ``--json FILE`` keeps it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from host import machine, spread, write_json

import robocache as rc


def multiply(source: Path, folder: Path, shards: int) -> list[Path]:
    """A dataset in `folder` whose every shard is the first shard of `source`."""
    info: dict[str, Any] = json.loads((source / "dataset_info.json").read_text())
    split = info["splits"][0]
    name = info["name"]
    original = sorted(source.glob(f"{name}-{split['name']}.tfrecord-*"))[0]
    split["shardLengths"] = split["shardLengths"][:1] * shards
    info["splits"] = [split]
    (folder / "dataset_info.json").write_text(json.dumps(info))
    shutil.copy(source / "features.json", folder)
    files = []
    for i in range(shards):
        file = folder / f"{name}-{split['name']}.tfrecord-{i:05d}-of-{shards:05d}"
        shutil.copy(original, file)
        files.append(file)
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="version folder of an RLDS dataset")
    parser.add_argument("--shards", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / arguments.path.name
        folder.mkdir()
        files = [str(file) for file in multiply(arguments.path, folder, arguments.shards)]
        total = sum(Path(file).stat().st_size for file in files)
        rows = []
        for threads in (1, 2):
            rates: dict[str, list[float]] = {"cat": [], "index": []}
            episodes = 0
            for turn in range(arguments.rounds + 1):
                start = time.perf_counter()
                subprocess.run(["cat", *files], stdout=subprocess.DEVNULL, check=True)
                read = time.perf_counter() - start
                catalog = Path(name) / f"catalog-{threads}-{turn}.sqlite"
                start = time.perf_counter()
                dataset = rc.open(folder, catalog=catalog, progress=False, num_threads=threads)
                indexed = time.perf_counter() - start
                episodes = len(dataset.episodes)
                if turn > 0:
                    rates["cat"].append(total / read)
                    rates["index"].append(total / indexed)
            ratio = [i / c for i, c in zip(rates["index"], rates["cat"], strict=True)]
            size = catalog.stat().st_size
            rows.append(
                {
                    "threads": threads,
                    "bytes": total,
                    "episodes": episodes,
                    "catalog_bytes": size,
                    "cat_bytes_per_s": spread(rates["cat"]),
                    "index_bytes_per_s": spread(rates["index"]),
                    "ratio": spread(ratio),
                }
            )
            print(
                f"{threads} threads: {episodes} episodes, {total / 1e6:.0f} MB, catalog "
                f"{size / episodes:.0f} bytes an episode; index/cat "
                f"{spread(ratio)['median']:.2f} ({min(ratio):.2f} to {max(ratio):.2f})"
            )
    if arguments.json:
        result = {"machine": machine(), "robocache": rc.__version__, "rows": rows}
        write_json(arguments.json, result)


if __name__ == "__main__":
    main()
