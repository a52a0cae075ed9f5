"""What the operators share: how vmap's axis becomes rows of a batch, and what tracing refuses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..errors import UnsupportedError


def native_backend(tensor: Tensor) -> str:
    """Returns the backend of a tensor by name: a call that names it is never traced again."""
    return "cuda" if tensor.is_cuda else "cpu"


def refuse_out(out: object) -> None:
    """Refuses `out`."""
    if out is not None:
        raise UnsupportedError("out: cannot be given where values require a gradient or are traced")


def check_adjoint(what: str, is_adjoint: bool) -> None:
    """Refuses to trace a gradient that only the reference has, whose operations look at values."""
    if not is_adjoint and torch.compiler.is_compiling():
        raise UnsupportedError(
            f"{what}: the gradient comes from the PyTorch reference, which cannot be compiled or "
            "exported: call it outside, or detach"
        )


def wants_reference(*tensors: Tensor) -> bool:
    """Whether torch.func or forward mode differentiates one, for which operators have no rule."""
    if torch.compiler.is_compiling():
        return False
    if any(torch._C._functorch.is_gradtrackingtensor(tensor) for tensor in tensors):
        return True
    return forward_ad._current_level >= 0 and any(
        forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors
    )


class _Merge:
    """Puts an axis of vmap before the rows of a tensor, [X, B, ..] as [X * B, ..]."""

    @staticmethod
    def batch_of(tensor: Tensor, dim: int | None, inner: int) -> int | None:
        """Returns B of a tensor whose rows have `inner` axes under vmap; None without that axis."""
        axes = tensor.ndim - (dim is not None)
        if axes == inner:
            return None
        moved = tensor if dim is None else tensor.movedim(dim, 0)
        return int(moved.shape[1]) if dim is not None else int(moved.shape[0])

    def __call__(
        self, info: Any, batch: int | None, tensor: Tensor | None, dim: int | None, inner: int
    ) -> Any:
        """Returns a tensor for all rows; None stays None, and a row shared by all stays one."""
        if tensor is None:
            return None
        if dim is None and tensor.ndim == inner and inner == 1:
            return tensor
        size = info.batch_size
        moved = tensor.movedim(dim, 0) if dim is not None else tensor.expand(size, *tensor.shape)
        if batch is None:
            return moved.reshape(size, *moved.shape[moved.ndim - inner :])
        if moved.ndim == inner + 1:
            moved = moved.unsqueeze(1)
        rows = moved.expand(size, batch, *moved.shape[2:])
        return rows.reshape(size * batch, *moved.shape[2:])


merge = _Merge()


def split(info: Any, batch: int | None, result: Tensor) -> Tensor:
    """Returns rows [X * B, ..] as [X, B, ..] again."""
    return result if batch is None else result.reshape(info.batch_size, batch, *result.shape[1:])
