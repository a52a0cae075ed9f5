"""Draws a depth image of a dataset and the grid of voxels that a loader makes of it.

Usage: python examples/voxels.py DATASET STREAM OUT.png --intrinsics FX FY CX CY --height METRES

The camera looks down from that height; the grid stands on the ground below it.
"""

from __future__ import annotations

import argparse

import numpy as np
from matplotlib.figure import Figure
from pictures import draw_cells

import robocache as rc


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("stream")
    parser.add_argument("out")
    parser.add_argument("--intrinsics", type=float, nargs=4, required=True)
    parser.add_argument("--height", type=float, required=True)
    parser.add_argument("--voxel-size", type=float, default=0.01, help="in metres")
    parser.add_argument("--grid-size", type=int, nargs=3, default=(64, 48, 24))
    arguments = parser.parse_args()
    fx, fy, cx, cy = arguments.intrinsics
    wide, deep, _ = (cells * arguments.voxel_size for cells in arguments.grid_size)
    voxels = rc.Voxels(
        arguments.grid_size,
        arguments.voxel_size,
        (-wide / 2, -deep / 2, 0),
        mode="count",
        intrinsics=[[fx, 0, cx], [0, fy, cy], [0, 0, 1]],
        pose=[[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, arguments.height]],
    )
    loader = rc.DataLoader(
        rc.open(arguments.dataset),
        rate_hz=1,
        array="numpy",
        streams={
            "grid": rc.Window(0, source=arguments.stream, voxelize=voxels, squeeze=True),
            "depth": rc.Window(0, source=arguments.stream, squeeze=True),
        },
    )
    batch = next(iter(loader))
    counts, depth = batch["grid"][0], np.squeeze(batch["depth"][0])

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    columns = figure.add_gridspec(1, 2, width_ratios=[1.0, 1.1])
    axis = figure.add_subplot(columns[0, 0])
    low, high = np.nanpercentile(depth, (2, 98))
    axis.imshow(depth, cmap="viridis_r", vmin=low, vmax=high)
    axis.set_title(f"{arguments.stream}, {depth.shape[0]} x {depth.shape[1]}", fontsize=9)
    axis.set_axis_off()
    cells = figure.add_subplot(columns[0, 1], projection="3d")
    draw_cells(cells, counts, np.array(voxels.origin), arguments.voxel_size)
    cells.view_init(elev=55, azim=-75)
    cells.set_title(
        f"{int(counts.sum())} points in {int((counts > 0).sum())} of {counts.size} cells of "
        f"{arguments.voxel_size * 100:g} cm; {int(batch['grid_dropped'][0])} pixels without one",
        fontsize=9,
    )
    figure.savefig(arguments.out, dpi=100)


if __name__ == "__main__":
    main()
