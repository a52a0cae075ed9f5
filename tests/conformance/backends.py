"""The backends that must pass the suite: one line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

import robocache as rc


@dataclass(frozen=True)
class Backend:
    """How tests reach one backend: the `backend` argument, the device, the CPU features allowed."""

    name: str
    argument: str
    device: str = "cpu"
    cpu_features: tuple[str, ...] | None = None
    missing: Callable[[], str | None] = lambda: None

    def activate(self) -> None:
        """Makes the library use this backend's instruction set; None: whatever is there."""
        rc.set_cpu_features(self.cpu_features)

    def tensor(self, array: Any, dtype: torch.dtype | None = None) -> torch.Tensor:
        return torch.as_tensor(array, dtype=dtype, device=self.device)


def without(feature: str) -> Callable[[], str | None]:
    """Why the backend cannot run here, for a CPU feature."""

    def missing() -> str | None:
        rc.set_cpu_features(None)
        found = rc.check_installation()["native"]["cpu_features"]
        return None if feature in found else f"this processor has no {feature}"

    return missing


def without_cuda() -> str | None:
    cuda = rc.check_installation()["cuda"]
    if not cuda["available"]:
        return f"no CUDA: {cuda['reason']}"
    return None if torch.cuda.is_available() else "torch sees no CUDA device"


BACKENDS = [
    Backend("cpu-baseline", "cpu", cpu_features=()),
    Backend("cpu-avx2", "cpu", cpu_features=("avx2",), missing=without("avx2")),
    Backend("cpu-avx512", "cpu", cpu_features=("avx2", "avx512"), missing=without("avx512")),
    Backend("pytorch", "pytorch"),
    Backend("cuda", "cuda", device="cuda", missing=without_cuda),
]
