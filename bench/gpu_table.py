"""Prints the tables of docs/gpu_measurements.md from what bench/gpu.py measured, as Markdown."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PEERS = ("copy", "eager", "compile", "triton")
HOST = ("robocache", "eager", "compile", "triton")


def number(us: float) -> str:
    return f"{us:.2f}" if us < 10 else f"{us:.1f}" if us < 100 else f"{us:.0f}"


def gpu(row: dict[str, Any], name: str) -> str:
    times = row["microseconds"].get(name)
    mark = "*" if name in row.get("uncaptured", []) else ""
    return number(times["gpu"]["median"]) + mark if times else ""


def device_table(rows: list[dict[str, Any]]) -> None:
    print("| case | MB | goal | robocache | 10 to 90 % | copy | eager | compile | Triton | TB/s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        ours = row["microseconds"]["robocache"]["gpu"]
        goal = "" if row["goal_us"] is None else f"{row['goal_us']:g}"
        between = f"{number(ours['low'])} to {number(ours['high'])}"
        peers = " | ".join(gpu(row, name) for name in PEERS)
        print(
            f"| {row['case']} | {row['bytes'] / 1e6:.1f} | {goal} | **{number(ours['median'])}** | "
            f"{between} | {peers} | {row['terabytes_per_second']:.2f} |"
        )


def host_table(rows: list[dict[str, Any]]) -> None:
    print(
        "Microseconds: the host's part of a call / a call of many in a row / with a synchronise.\n"
    )
    print("| case | robocache | eager | compile | Triton |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        times = row["microseconds"]
        if "host" not in times["robocache"]:
            continue
        cells = [
            " / ".join(f"{times[n][kind]['median']:.1f}" for kind in ("host", "loop", "sync"))
            if n in times
            else ""
            for n in HOST
        ]
        print(f"| {row['case']} | {' | '.join(cells)} |")


def overhead_table(overhead: dict[str, Any]) -> None:
    print("| the smallest call, host µs | median | 10 to 90 % |")
    print("| --- | ---: | ---: |")
    for name, us in overhead.items():
        print(f"| {name} | {us['median']:.2f} | {us['low']:.2f} to {us['high']:.2f} |")


def first_use_table(first: dict[str, Any]) -> None:
    operations = first["warm"]["first_call_ms"]
    print("| first call in a process, ms | file cached | file not cached | second call |")
    print("| --- | ---: | ---: | ---: |")
    print(f"| import | {first['warm']['import_ms']:.1f} | {first['cold']['import_ms']:.1f} | |")
    for name, ms in operations.items():
        cold = first["cold"]["first_call_ms"][name]
        again = first["warm"]["second_call_ms"][name]
        print(f"| {name} | {ms:.2f} | {cold:.2f} | {again:.2f} |")
    print(f"\nThe extension module has {first['warm']['extension_bytes'] / 1e6:.1f} MB.")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python bench/gpu_table.py RESULT.json")
    result = json.loads(Path(sys.argv[1]).read_text())
    machine = result["machine"]
    print(
        f"{machine['gpu']}, driver {machine['driver']}, PyTorch {machine['torch']}, CUDA "
        f"{machine['cuda']}, {machine['date']}. Microseconds of device time a call, medians.\n"
    )
    device_table(result["rows"])
    print()
    host_table(result["rows"])
    print()
    overhead_table(result["call_overhead_us"])
    if "first_use" in result:
        print()
        first_use_table(result["first_use"])
    for name, value in result.get("ceilings", {}).items():
        print(f"\n{name}: {value:.2f}", end="")
    print()


if __name__ == "__main__":
    main()
