"""What needs a GPU; skipped, with the reason, where there is none."""

from __future__ import annotations

import os

import pytest

torch = pytest.importorskip("torch", reason="the GPU tests run on torch tensors")

# JAX would take most of the device's memory for itself.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

from tests.conformance.backends import without_cuda


@pytest.fixture(autouse=True)
def _cuda() -> None:
    reason = without_cuda()
    if reason is not None:
        pytest.skip(reason)
