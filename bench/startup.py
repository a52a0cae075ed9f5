"""What a program waits for before its first batch: the import, opening an indexed dataset, a batch.

Each is measured in processes of its own; the least disturbed one is what the code costs.
``--json FILE`` keeps the result.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from host import machine, spread, write_json

import robocache as rc

CODE = """
import sys, time
start = time.perf_counter()
import robocache as rc
imported = time.perf_counter()
dataset = rc.open(sys.argv[1], catalog=sys.argv[2], progress=False)
opened = time.perf_counter()
next(iter(rc.DataLoader(dataset, 64, shuffle=True, array="numpy", num_threads=2)))
print(imported - start, opened - imported, time.perf_counter() - opened)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="version folder of a dataset")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    seconds: dict[str, list[float]] = {"import": [], "open again": [], "first batch": []}
    with tempfile.TemporaryDirectory() as name:
        catalog = Path(name) / "catalog.sqlite"
        rc.open(arguments.path, catalog=catalog, progress=False)
        for _ in range(arguments.rounds):
            command = [sys.executable, "-c", CODE, str(arguments.path), str(catalog)]
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            for values, value in zip(seconds.values(), printed.split(), strict=True):
                values.append(float(value))
    rows: dict[str, Any] = {what: spread(values) for what, values in seconds.items()}
    for what, row in rows.items():
        print(f"{what}: {1e3 * row['min']:.1f} ms at best, median {1e3 * row['median']:.1f} ms")
    if arguments.json:
        result = {"machine": machine(), "robocache": rc.__version__, "seconds": rows}
        write_json(arguments.json, result)


if __name__ == "__main__":
    main()
