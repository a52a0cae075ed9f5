"""A million episodes, and fifty gigabytes: how long until the first batch, and how much memory.

Makes both datasets with synthetic.py (their shards are links to one file, so they take little
room), indexes each, and then, in a process of its own, opens it, loads batches in shuffled order
and reports seconds and the greatest resident memory. ``--json FILE`` keeps the result.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from host import machine, write_json

HERE = Path(__file__).parent
DATASETS = {
    "million episodes": ["--episodes", "1000000", "--shards", "1000", "--steps", "40"],
    "fifty gigabytes": [
        "--episodes", "60000", "--shards", "300", "--steps", "40", "--image-side", "256",
    ],
}  # fmt: skip


def load(folder: Path, catalog: Path, batches: int) -> dict[str, Any]:
    """Opens, loads and measures; meant to be all that its process does."""
    import resource

    import robocache as rc
    from robocache.suggest import suggest_windows

    start = time.perf_counter()
    dataset = rc.open(folder, catalog=catalog, progress=False, control_rate_hz=10)
    opened = time.perf_counter() - start
    start = time.perf_counter()
    loader = rc.DataLoader(
        dataset,
        batch_size=64,
        streams=suggest_windows(dataset),
        shuffle=True,
        seed=0,
        num_threads=2,
        array="numpy",
    )
    iterator = iter(loader)
    next(iterator)
    first = time.perf_counter() - start
    for _, _batch in zip(range(batches), iterator, strict=False):
        pass
    usage = resource.getrusage(resource.RUSAGE_SELF)
    size = sum(file.stat().st_size for file in folder.rglob("*.tfrecord*"))
    return {
        "episodes": len(dataset.episodes),
        "bytes": size,
        "catalog_bytes": catalog.stat().st_size,
        "open_s": opened,
        "first_batch_s": first,
        "batches": batches,
        "slot_bytes": loader.stats()["slot_bytes"],
        "peak_resident_bytes": usage.ru_maxrss * 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=list(DATASETS))
    parser.add_argument("--batches", type=int, default=300)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--load", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        print(json.dumps(load(*arguments.load, arguments.batches)))
        return
    rows = []
    for name, options in DATASETS.items():
        if arguments.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            folder, catalog = Path(scratch) / "data", Path(scratch) / "catalog.sqlite"
            make = [sys.executable, str(HERE / "synthetic.py"), str(folder), *options]
            subprocess.run(make, check=True)
            start = time.perf_counter()
            index = ["index", str(folder), "--catalog", str(catalog), "--control-rate-hz", "10"]
            subprocess.run([sys.executable, "-m", "robocache", *index], check=True)
            indexed = time.perf_counter() - start
            command = [sys.executable, __file__, "--load", str(folder), str(catalog)]
            command += ["--batches", str(arguments.batches)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            row = {"dataset": name, "index_s": indexed, **json.loads(done.stdout)}
        rows.append(row)
        print(
            f"{name}: {row['episodes']} episodes, {row['bytes'] / 1e9:.1f} GB; open "
            f"{row['open_s']:.3f} s, first batch {row['first_batch_s']:.3f} s, peak resident "
            f"{row['peak_resident_bytes'] / 1e6:.0f} MB"
        )
    if arguments.json:
        write_json(arguments.json, {"machine": machine(), "rows": rows})


if __name__ == "__main__":
    main()
