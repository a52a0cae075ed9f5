"""Registers, stack and spills of every CUDA kernel for every architecture, as ptxas tells them.

usage: python bench/kernel_resources.py BUILD_FOLDER FILE.csv

Reads what a build with ROBOCACHE_CUDA=ON kept of ptxas. Stack holds what registers are spilled to
and arrays with computed indices.
"""

from __future__ import annotations

import csv
import re
import sys
from collections import defaultdict
from pathlib import Path

FIELDS = ("architecture", "kernel", "registers", "stack", "spill_stores", "spill_loads")
ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(sm_\w+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")


def resources(log: Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for line in log.read_text().splitlines():
        if found := ENTRY.search(line):
            name = found[1].removeprefix("rbc__").removesuffix("_cuda")
            rows.append({"architecture": found[2], "kernel": name})
        elif rows and (found := FRAME.search(line)):
            rows[-1] |= dict(zip(FIELDS[3:], found.groups(), strict=True))
        elif rows and (found := REGISTERS.search(line)):
            rows[-1]["registers"] = found[1]
    return rows


def print_table(rows: list[dict[str, str]]) -> None:
    kinds: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        kinds[row["architecture"]].append(row)
    print("| architecture | kernels | most registers | kernels that spill | most spilled, bytes |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for architecture, kernels in kinds.items():
        spilled = [int(row["spill_stores"]) for row in kernels]
        most = max(int(row["registers"]) for row in kernels)
        print(
            f"| {architecture} | {len(kernels)} | {most} | {sum(s > 0 for s in spilled)} | "
            f"{max(spilled)} |"
        )


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    logs = sorted(Path(sys.argv[1]).rglob("src/cuda/*.ptxas"))
    if not logs:
        sys.exit(f"no *.ptxas in {sys.argv[1]}: build with ROBOCACHE_CUDA=ON")
    rows = [row for log in logs for row in resources(log)]
    rows.sort(key=lambda row: (int(row["architecture"].removeprefix("sm_")), row["kernel"]))
    file = Path(sys.argv[2])
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print_table(rows)


if __name__ == "__main__":
    main()
