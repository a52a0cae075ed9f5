"""Registers, stack and spills of every CUDA kernel for every architecture, as ptxas tells them.

usage: python bench/kernel_resources.py FILE.csv [ARCHITECTURE ...]

Compiles src/cuda/kernels/*.cu with the nvcc of the PATH, or $NVCC, as the build does. Stack holds
what registers are spilled to and arrays with computed indices.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ARCHITECTURES = ("80", "86", "89", "90", "100", "120")
FIELDS = ("architecture", "kernel", "registers", "stack", "spill_stores", "spill_loads")
ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(sm_\w+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")
FLAGS = ("-cubin", "-std=c++17", "-fmad=false", "-Xptxas", "-v")


def resources(source: Path, architecture: str) -> list[dict[str, str]]:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as out:
        command = [
            os.environ.get("NVCC", "nvcc"), *FLAGS, f"-arch=sm_{architecture}", "-o", out.name,
            str(source),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    rows: list[dict[str, str]] = []
    for line in done.stderr.splitlines():
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
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sources = sorted((Path(__file__).parents[1] / "src/cuda/kernels").glob("*.cu"))
    jobs = [(s, a) for s in sources for a in sys.argv[2:] or ARCHITECTURES]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        rows = [row for found in pool.map(lambda job: resources(*job), jobs) for row in found]
    rows.sort(key=lambda row: (int(row["architecture"].removeprefix("sm_")), row["kernel"]))
    file = Path(sys.argv[1])
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print_table(rows)


if __name__ == "__main__":
    main()
