"""Hardware counters of the CUDA kernels, one row a launch, through Nsight Compute (ncu).

``--csv FILE`` gets the counters, ``--picture FILE`` a roofline: bytes moved through device memory a
second against instructions a byte. The clocks are left as they are.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from pathlib import Path

COUNTERS = {
    "us": "gpu__time_duration.sum",
    "dram_read_bytes": "dram__bytes_read.sum",
    "dram_write_bytes": "dram__bytes_write.sum",
    "dram_percent": "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "l2_percent": "lts__throughput.avg.pct_of_peak_sustained_elapsed",
    "sm_percent": "sm__throughput.avg.pct_of_peak_sustained_elapsed",
    "occupancy_percent": "sm__warps_active.avg.pct_of_peak_sustained_active",
    "load_sectors": "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum",
    "load_requests": "l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum",
    "store_sectors": "l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum",
    "store_requests": "l1tex__t_requests_pipe_lsu_mem_global_op_st.sum",
    "instructions": "smsp__inst_executed.sum",
    "registers": "launch__registers_per_thread",
}
WORK = Path(__file__).parent / "device" / "workload.py"


def counters() -> list[dict[str, str]]:
    command = [
        "ncu", "--clock-control", "none", "-k", "regex:rbc__", "--csv", "--page", "raw",
        "--metrics", ",".join(COUNTERS.values()), sys.executable, str(WORK),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith('"')]
    if done.returncode != 0 or not lines:
        sys.exit(f"profile: ncu failed\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    table = list(csv.DictReader(lines))[1:]  # the first row holds the units
    rows = []
    for line in table:
        row = {"kernel": line["Kernel Name"], "blocks": line["launch__grid_size"]}
        row |= {name: line[metric].replace(",", "") for name, metric in COUNTERS.items()}
        row["us"] = f"{float(row['us']) / 1e3:.2f}"
        for kind in ("load", "store"):
            requests = float(row.pop(f"{kind}_requests"))
            sectors = float(row.pop(f"{kind}_sectors"))
            row[f"{kind}_sectors_per_request"] = f"{sectors / requests if requests else 0:.2f}"
        rows.append(row)
    return rows


def draw(rows: list[dict[str, str]], file: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5))
    for row in rows:
        moved = float(row["dram_read_bytes"]) + float(row["dram_write_bytes"])
        if moved < 1e6:
            continue
        x = 32 * float(row["instructions"]) / moved
        y = moved / float(row["us"]) / 1e6
        axes.plot(x, y, "o")
        axes.annotate(row["kernel"].removeprefix("rbc__").removesuffix("_cuda"), (x, y), fontsize=7)
    axes.axhline(4.2, linewidth=1, linestyle="--", color="gray")
    axes.set(xscale="log", xlabel="thread instructions a byte", ylabel="device memory, TB/s")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    rows = counters()
    arguments.csv.parent.mkdir(parents=True, exist_ok=True)
    with arguments.csv.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        shares = "  ".join(
            f"{name} {float(row[f'{name}_percent']):5.1f} %" for name in ("dram", "l2", "sm")
        )
        print(f"{row['kernel']:36s} {float(row['us']):9.2f} us  {shares}")
    if arguments.picture:
        draw(rows, arguments.picture)


if __name__ == "__main__":
    main()
