"""Runs each test of this folder once for every backend."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch", reason="the conformance suite runs on torch tensors")

from tests.conformance.backends import BACKENDS, Backend


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    chosen: Backend = request.param
    reason = chosen.missing()
    if reason is not None:
        pytest.skip(reason)
    chosen.activate()
    yield chosen
    BACKENDS[0].__class__("default", "cpu").activate()
