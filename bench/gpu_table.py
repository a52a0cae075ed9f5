"""Prints the table of docs/gpu.md from what bench/gpu.py measured, as Markdown."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PEERS = ("robocache", "eager", "compile", "triton")


def cell(row: dict[str, Any], name: str) -> str:
    times = row["microseconds"].get(name)
    return f"{times['gpu']['median']:.1f}" if times else ""


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python bench/gpu_table.py RESULT.json")
    result = json.loads(Path(sys.argv[1]).read_text())
    machine = result["machine"]
    print(
        f"{machine['gpu']}, PyTorch {machine['torch']}, CUDA {machine['cuda']}, {machine['date']}. "
        "Microseconds of device time a call, medians.\n"
    )
    print("| case | MB moved | robocache | torch eager | torch.compile | Triton |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for row in result["rows"]:
        times = " | ".join(cell(row, name) for name in PEERS)
        print(f"| {row['case']} | {row['bytes'] / 1e6:.1f} | {times} |")
    print("\n| what a call costs the host | µs |")
    print("| --- | ---: |")
    for name, times in result["call_overhead_us"].items():
        print(f"| {name} | {times['median']:.1f} |")


if __name__ == "__main__":
    main()
