"""The operations as people write them in plain PyTorch: the peers, eager and compiled."""

from __future__ import annotations

import torch
from torch import Tensor


def resample(values: Tensor, times: Tensor, targets: Tensor) -> Tensor:
    """Linear, ends held. values [B, S, D], times [B, S], targets [B, T] -> [B, T, D]."""
    right = torch.searchsorted(times, targets, right=True).clamp(1, times.shape[1] - 1)
    left = right - 1
    t0, t1 = times.gather(1, left), times.gather(1, right)
    weight = ((targets - t0) / (t1 - t0)).clamp(0, 1).to(values.dtype).unsqueeze(2)
    width = values.shape[2]
    a = values.gather(1, left.unsqueeze(2).expand(-1, -1, width))
    b = values.gather(1, right.unsqueeze(2).expand(-1, -1, width))
    return torch.lerp(a, b, weight)


def fuse(streams: list[tuple[Tensor, Tensor]], targets: Tensor) -> Tensor:
    return torch.cat([resample(v, t, targets) for v, t in streams], dim=2)


def cell_index(points: Tensor, grid: tuple[int, int, int], size: float) -> tuple[Tensor, Tensor]:
    """Flat cell of each point and whether it is inside; the grid is centred on zero."""
    extent = torch.tensor(grid, device=points.device)
    cell = torch.floor((points + extent * size / 2) / size).to(torch.int64)
    inside = ((cell >= 0) & (cell < extent)).all(dim=1)
    return (cell[:, 0] * grid[1] + cell[:, 1]) * grid[2] + cell[:, 2], inside


def voxel_count(points: Tensor, grid: tuple[int, int, int], size: float) -> Tensor:
    flat, inside = cell_index(points, grid, size)
    cells = grid[0] * grid[1] * grid[2]
    out = torch.zeros(cells + 1, dtype=torch.int32, device=points.device)
    out.index_add_(
        0,
        torch.where(inside, flat, cells),
        torch.ones(1, dtype=torch.int32, device=points.device).expand(len(flat)),
    )
    return out[:cells].view(grid)


def voxel_mean(points: Tensor, features: Tensor, grid: tuple[int, int, int], size: float) -> Tensor:
    flat, inside = cell_index(points, grid, size)
    cells = grid[0] * grid[1] * grid[2]
    where = torch.where(inside, flat, cells)
    total = torch.zeros(cells + 1, features.shape[1], device=points.device)
    total.index_add_(0, where, features)
    count = torch.zeros(cells + 1, device=points.device)
    count.index_add_(0, where, torch.ones(1, device=points.device).expand(len(flat)))
    return (total / count.clamp(min=1).unsqueeze(1))[:cells].view(*grid, -1)
