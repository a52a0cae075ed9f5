"""Pictures for the demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray


def draw_voxels(
    batch: dict[str, Any],
    voxels: NDArray[np.int32],
    cloud: str,
    voxel_m: float,
    origin: tuple[float, float, float] | None,
    file: Path,
) -> None:
    """Draw the sample with the most occupied cells: what the camera sees, the voxels, their plan.

    batch: the loader's. voxels: int32[B,X,Y,Z], points in each cell. cloud: the stream they are of.
    voxel_m: edge of a cell. origin: lower corner of the grid; None: the grid is centred on zero.
    """
    sample = int(np.argmax((voxels > 0).reshape(len(voxels), -1).sum(axis=1)))
    counts = voxels[sample]
    low = np.array(origin) if origin else -0.5 * voxel_m * np.array(counts.shape)
    image = next((v[sample, -1] for v in batch.values() if is_image_field(v)), None)

    figure = Figure(figsize=(12, 4.3), layout="constrained")
    widths = [1.0, 1.35, 1.0] if image is not None else [1.35, 1.0]
    columns = figure.add_gridspec(1, len(widths), width_ratios=widths)
    if image is not None:
        axis = figure.add_subplot(columns[0, 0])
        axis.imshow(image)
        axis.set_axis_off()
        axis.set_title(batch["task"][sample], fontsize=9)
    draw_cells(figure.add_subplot(columns[0, -2], projection="3d"), counts, low, voxel_m)
    draw_plan(figure, figure.add_subplot(columns[0, -1]), counts, low, voxel_m)
    points = int(batch[f"{cloud}_lengths"][sample, -1])
    shape = " x ".join(map(str, counts.shape))
    figure.suptitle(
        f"{cloud}: {points} points in {int((counts > 0).sum())} of {shape} cells "
        f"of {voxel_m * 100:g} cm",
        fontsize=10,
        weight="bold",
    )
    figure.savefig(file, dpi=100)


def is_image_field(value: Any) -> bool:
    """Say whether a field of a batch holds colour images uint8[B,W,H,W,3]."""
    return getattr(value, "ndim", 0) == 5 and value.dtype == np.uint8 and value.shape[-1] == 3


def draw_cells(axis: Any, counts: NDArray[np.int32], low: NDArray[Any], voxel_m: float) -> None:
    """Draw the occupied cells as cubes, coloured by height."""
    used = np.argwhere(counts > 0)
    first, last = used.min(axis=0), used.max(axis=0) + 1
    part = counts[first[0] : last[0], first[1] : last[1], first[2] : last[2]] > 0
    heights = np.broadcast_to(np.arange(part.shape[2]), part.shape)
    colors = colormaps["viridis"](Normalize(0, max(part.shape[2] - 1, 1))(heights))
    edges = [
        np.linspace(low[i] + first[i] * voxel_m, low[i] + last[i] * voxel_m, part.shape[i] + 1)
        for i in range(3)
    ]
    axis.voxels(
        *np.meshgrid(*edges, indexing="ij"),
        part,
        facecolors=colors,
        edgecolors=(0, 0, 0, 0.15),
        linewidth=0.2,
    )
    axis.set_box_aspect([extent.max() - extent.min() for extent in edges], zoom=1.15)
    axis.view_init(elev=28, azim=35)
    axis.set_xlabel("x (m)", fontsize=7)
    axis.set_ylabel("y (m)", fontsize=7)
    axis.tick_params(labelsize=6)


def draw_plan(
    figure: Figure, axis: Any, counts: NDArray[np.int32], low: NDArray[Any], voxel_m: float
) -> None:
    """Draw the height of the highest occupied cell of each column, seen from above."""
    occupied = counts > 0
    top = counts.shape[2] - np.argmax(occupied[:, :, ::-1], axis=2)
    height = np.where(occupied.any(axis=2), low[2] + top * voxel_m, np.nan)
    high = low + voxel_m * np.array(counts.shape)
    shown = axis.imshow(
        height, origin="lower", extent=(low[1], high[1], low[0], high[0]), cmap="viridis"
    )
    axis.invert_xaxis()
    axis.set_xlabel("y (m)", fontsize=7)
    axis.set_ylabel("x (m)", fontsize=7)
    axis.tick_params(labelsize=6)
    axis.set_title("highest cell, from above", fontsize=9)
    bar = figure.colorbar(shown, ax=axis, shrink=0.8)
    bar.ax.tick_params(labelsize=6)
    bar.set_label("z (m)", fontsize=7)
