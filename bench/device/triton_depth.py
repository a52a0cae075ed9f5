"""Depth pixels to points as a Triton kernel: the peer of depth_to_points()."""

from __future__ import annotations

import torch
import triton
import triton.language as tl


# ruff: noqa: ANN001, ANN202 - Triton reads annotations itself.
@triton.jit
def _points_kernel(depth, camera, out, pixels, width, block: tl.constexpr):
    index = tl.program_id(0) * block + tl.arange(0, block)
    exists = index < pixels
    z = tl.load(depth + index, mask=exists, other=0).to(tl.float32) * 0.001
    z = tl.where(z > 0, z, float("nan"))
    row = index // width
    u = ((index - row * width).to(tl.float32) - tl.load(camera + 2)) / tl.load(camera)
    v = (row.to(tl.float32) - tl.load(camera + 5)) / tl.load(camera + 4)
    tl.store(out + 3 * index, u * z, mask=exists)
    tl.store(out + 3 * index + 1, v * z, mask=exists)
    tl.store(out + 3 * index + 2, z, mask=exists)


def to_points(depth: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
    """Depths [H, W] u16 of millimetres and a camera f32 [3, 3] give points f32 [H, W, 3]."""
    out = torch.empty(*depth.shape, 3, device=depth.device)
    block = 512
    grid = (triton.cdiv(depth.numel(), block),)
    _points_kernel[grid](depth, camera, out, depth.numel(), depth.shape[1], block)
    return out
