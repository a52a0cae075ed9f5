"""Prints the tables of docs/benchmarks.md that bench/ops.py measured, as Markdown."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SETS = {"avx2": "AVX2", "avx512": "AVX-512"}


def ratio(row: dict[str, Any], name: str) -> str:
    return f"{row['ratio'][name]['median']:.2f}" if name in row["ratio"] else ""


def with_spread(row: dict[str, Any], name: str) -> str:
    r = row["ratio"][name]
    return f"{r['median']:.2f} ({r['min']:.2f} to {r['max']:.2f})"


def microseconds(row: dict[str, Any], name: str) -> str:
    us = row["seconds"][name]["median"] * 1e6
    return f"{us:.1f}" if us < 100 else f"{us:.0f}"


def operations(rows: list[dict[str, Any]]) -> None:
    print("| work | us | copy | torch.compile | torch eager | others |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        eager = ratio(row, "torch eager") or ratio(row, "torch index_add_")
        known = (
            "copy",
            "torch.compile",
            "torch eager",
            "torch index_add_",
            "robocache, allocating",
        )
        others = ", ".join(
            f"{name} {r['median']:.1f}" for name, r in row["ratio"].items() if name not in known
        )
        print(
            f"| {row['row']} | {microseconds(row, 'robocache')} | {ratio(row, 'copy')} | "
            f"{ratio(row, 'torch.compile')} | {eager} | {others} |"
        )


def limits(rows: list[dict[str, Any]]) -> None:
    names = ["copy", "rows once, in order", "blend, brackets given"]
    print("| work | " + " | ".join(names) + " |")
    print("| --- |" + " --- |" * len(names))
    for row in rows:
        print(
            f"| {row['row'].removeprefix('limit ')} | "
            + " | ".join(with_spread(row, name) for name in names)
            + " |"
        )


def smallest(rows: list[dict[str, Any]]) -> None:
    print("| call | us | RoboCache / torch.add |")
    print("| --- | --- | --- |")
    for row in rows:
        name = row["row"].removeprefix("smallest call, ")
        over = 1 / row["ratio"]["torch.add"]["median"]
        print(f"| {name} | {microseconds(row, 'robocache')} | {over:.2f} |")


def kernels(rows: list[dict[str, Any]]) -> None:
    print("| kernel | baseline us | " + " | ".join(SETS.values()) + " |")
    print("| --- | --- |" + " --- |" * len(SETS))
    for row in rows:
        print(
            f"| {row['row'].removeprefix('isa ')} | {microseconds(row, 'baseline')} | "
            + " | ".join(ratio(row, name) for name in SETS)
            + " |"
        )


def main() -> None:
    result = json.loads(Path(sys.argv[1]).read_text())
    kinds = {"limit ": limits, "smallest call, ": smallest, "isa ": kernels}
    rest = [row for row in result["rows"] if not row["row"].startswith(tuple(kinds))]
    operations(rest)
    for prefix, show in kinds.items():
        print()
        show([row for row in result["rows"] if row["row"].startswith(prefix)])


if __name__ == "__main__":
    main()
