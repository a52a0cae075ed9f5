"""Stamps at both ends of int64, whose differences it cannot hold, and limits next to 2^24."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.conformance.backends import Backend
from tests.conformance.reference import Options
from tests.conformance.test_resample import compare

LOW, HIGH = -(2**63), 2**63 - 1
STAMPS = {
    "both ends": [LOW, HIGH],
    "spread": [LOW, LOW + 1, -5, 0, 7, HIGH - 1, HIGH],
    "late": [HIGH - 9, HIGH - 5, HIGH - 4],
    "early": [LOW, LOW + 4, LOW + 5],
}
TARGETS = np.array(
    [LOW, LOW + 1, LOW + 3, -(2**62), -3, 3, 2**62, HIGH - 7, HIGH - 2, HIGH - 1, HIGH]
)
LIMITS = [{}, {"max_gap": 10.0}, {"tolerance": 3.0}, {"max_gap": 2.0**62, "tolerance": 2.0**61}]


@pytest.mark.parametrize("mode", ["linear", "hold", "nearest", "cubic", "mean", "max", "min"])
@pytest.mark.parametrize("stamps", list(STAMPS))
def test_ends_of_int64(backend: Backend, stamps: str, mode: str) -> None:
    times = np.array([STAMPS[stamps]])
    values = np.linspace(-1, 1, times.size * 2).reshape(1, -1, 2)
    reduces = mode in ("mean", "max", "min")
    for targets in (TARGETS, TARGETS[::-1].copy(), TARGETS[5:6]):
        for limits in LIMITS[:1] if reduces else LIMITS:
            for outside in ("hold", "nan", "extrapolate") if mode == "linear" else ("hold", "nan"):
                options = Options(mode=mode, outside=outside, **limits)
                compare(backend, values, times, targets, options, torch.float64, near=1e-9)


@pytest.mark.parametrize("mode", ["linear", "hold", "nearest"])
def test_limits_are_compared_exactly(backend: Backend, mode: str) -> None:
    times = np.array([[0, 2**30 + 1]])
    targets = np.array([2**24, 2**24 + 1, 2**30 + 1 + 2**24, 2**30 + 2 + 2**24])
    values = np.array([[[1.0], [2.0]]])
    for limits in ({"tolerance": 2.0**24}, {"max_gap": 2.0**30}, {"max_gap": 2.0**30 + 1}):
        options = Options(mode=mode, outside="zero", **limits)
        compare(backend, values, times, targets, options, torch.float64, near=1e-9)
