"""Hardware counters of the CUDA kernels for each case of bench/gpu.py, through Nsight Compute.

``--csv FILE`` gets the counters, one row a launch; ``--picture FILE`` a roofline drawn from them:
instructions a second against instructions a byte of device memory. ``--from FILE`` draws a CSV made
before. The clocks are left as they are.
"""

from __future__ import annotations

import argparse
import csv
import re
import subprocess
import sys
from pathlib import Path

COUNTERS = {
    "us": "gpu__time_duration.sum",
    "dram_read_bytes": "dram__bytes_read.sum",
    "dram_write_bytes": "dram__bytes_write.sum",
    "dram_percent": "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "l2_percent": "lts__throughput.avg.pct_of_peak_sustained_elapsed",
    # Between the halves of the L2 cache, on devices where it has two.
    "l2_halves_percent": "lts__ltcfabric2ltc_cycles_active.avg.pct_of_peak_sustained_elapsed",
    "sm_percent": "sm__throughput.avg.pct_of_peak_sustained_elapsed",
    "occupancy_percent": "sm__warps_active.avg.pct_of_peak_sustained_active",
    "load_sectors": "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum",
    "load_requests": "l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum",
    "store_sectors": "l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum",
    "store_requests": "l1tex__t_requests_pipe_lsu_mem_global_op_st.sum",
    "local_load_sectors": "l1tex__t_sectors_pipe_lsu_mem_local_op_ld.sum",
    "local_store_sectors": "l1tex__t_sectors_pipe_lsu_mem_local_op_st.sum",
    "instructions": "smsp__inst_executed.sum",
    "registers": "launch__registers_per_thread",
    "multiprocessors": "device__attribute_multiprocessor_count",
    "clock_hz": "sm__cycles_elapsed.avg.per_second",
}
WORK = Path(__file__).parent / "device" / "workload.py"
COPY_TBPS = 4.28  # what a copy within an H200 moves; bench/gpu.py measures it
LANES = 128  # of a multiprocessor: four schedulers of one warp instruction a cycle


def label_of(line: dict[str, str]) -> str:
    """The NVTX range around a launch, from the column that holds it."""
    for column, value in line.items():
        if "Push/Pop_Range" in column and value:
            found = re.search(r"(?:resample|fuse|voxelize|sparse|depth|adjoint)[^:]*", value)
            return found[0].strip(' "') if found else value
    return ""


def counters(only: str) -> list[dict[str, str]]:
    command = [
        "ncu", "--clock-control", "none", "--nvtx", "-k", "regex:rbc__", "--csv", "--page", "raw",
        "--print-units", "base", "--metrics", ",".join(COUNTERS.values()), sys.executable,
        str(WORK), only,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith('"')]
    if done.returncode != 0 or not lines:
        sys.exit(f"profile: ncu failed\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    table = list(csv.DictReader(lines))[1:]  # the first row holds the units
    rows = []
    for line in table:
        kernel = line["Kernel Name"].removeprefix("rbc__").removesuffix("_cuda")
        row = {
            "case": label_of(line),
            "kernel": kernel,
            "blocks": line["launch__grid_size"].replace(",", ""),
        }
        row |= {
            name: (line.get(metric) or "").replace(",", "") for name, metric in COUNTERS.items()
        }
        row["us"] = f"{float(row['us']) / 1e3:.2f}"
        for kind in ("load", "store"):
            requests = float(row.pop(f"{kind}_requests"))
            sectors = float(row.pop(f"{kind}_sectors"))
            row[f"{kind}_sectors_per_request"] = f"{sectors / requests if requests else 0:.2f}"
        rows.append(row)
    return rows


def draw(rows: list[dict[str, str]], file: Path) -> None:
    """Kernels that move less than a megabyte are bound by latency, and left out."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 6))
    peak = max(float(r["multiprocessors"]) * LANES * float(r["clock_hz"]) for r in rows) / 1e12
    ridge = peak / COPY_TBPS
    axes.plot([1, ridge, 100], [COPY_TBPS, peak, peak], color="black", linewidth=1)
    axes.annotate(f"copy: {COPY_TBPS} TB/s", (1.1, COPY_TBPS * 1.6), rotation=56, fontsize=8)
    axes.annotate(f"{peak:.1f} T thread instructions/s", (ridge * 1.3, peak * 1.03), fontsize=8)
    seen: set[str] = set()
    for row in rows:
        moved = float(row["dram_read_bytes"]) + float(row["dram_write_bytes"])
        done = 32 * float(row["instructions"])
        key = f"{row['kernel']} {float(row['us']):.0f} us"
        if moved < 1e6 or key in seen:
            continue
        seen.add(key)
        point = (done / moved, done / float(row["us"]) / 1e6)
        axes.plot(*point, "o", markersize=4)
        axes.annotate(key, point, fontsize=6, xytext=(4, -2), textcoords="offset points")
    axes.set(
        xscale="log", yscale="log", xlabel="thread instructions a byte of device memory",
        ylabel="T thread instructions a second",
    )  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, help="write the counters to this file")
    parser.add_argument("--from", type=Path, dest="made", help="read the counters from this file")
    parser.add_argument("--picture", type=Path, help="draw to this file")
    parser.add_argument("--only", default="", help="a regular expression that labels match")
    arguments = parser.parse_args()
    if arguments.made:
        with arguments.made.open(newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = counters(arguments.only)
    if arguments.csv:
        arguments.csv.parent.mkdir(parents=True, exist_ok=True)
        with arguments.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    for row in rows:
        shares = "  ".join(
            f"{name} {float(row[f'{name}_percent']):5.1f} %" for name in ("dram", "l2", "sm")
        )
        print(f"{row['case'][:44]:44s} {row['kernel']:26s} {float(row['us']):9.2f} us  {shares}")
    if arguments.picture:
        draw(rows, arguments.picture)


if __name__ == "__main__":
    main()
