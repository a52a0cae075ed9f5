"""Where a target has a value: every mode, limit and place, as docs/alignment.md says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import robocache as rc
from tests.conformance.backends import Backend

# Samples at 10, 20, 60 and 70 of some unit: a gap of 10, a wide one of 40, and one of 10.
STAMPS = [10, 20, 60, 70]
PLACES = {
    "long before": 2,
    "just before": 8,
    "at the first": 10,
    "between": 13,
    "in the wide gap": 27,
    "in the middle of it": 40,
    "at its end": 60,
    "at the last": 70,
    "just behind": 73,
    "behind": 85,
    "long behind": 10_000,
}
# (tolerance, max_gap) to the places that are not valid.
HOLD: dict[tuple[int | None, int | None], set[str]] = {
    (None, None): {"long before", "just before"},
    (5, None): {
        "long before",
        "just before",
        "in the wide gap",
        "in the middle of it",
        "behind",
        "long behind",
    },
    (None, 15): {
        "long before",
        "just before",
        "in the wide gap",
        "in the middle of it",
        "long behind",
    },
    (20, 15): {
        "long before",
        "just before",
        "in the wide gap",
        "in the middle of it",
        "long behind",
    },
    (8, 40): {"long before", "just before", "in the middle of it", "behind", "long behind"},
}
OTHERS: dict[tuple[int | None, int | None], set[str]] = {
    (None, None): {"long before", "just before", "just behind", "behind", "long behind"},
    (5, None): {
        "long before",
        "in the wide gap",
        "in the middle of it",
        "behind",
        "long behind",
    },
    (None, 15): {
        "long before",
        "just before",
        "in the wide gap",
        "in the middle of it",
        "just behind",
        "behind",
        "long behind",
    },
    (20, 15): {"in the wide gap", "in the middle of it", "long behind"},
    (8, 40): {"in the middle of it", "behind", "long behind"},
}
MODES = ["hold", "nearest", "linear", "cubic", "angle", "slerp"]
UNITS = {
    "int64": (np.int64, 1_000_000),
    "float64": (np.float64, 1e-3),
    "float32": (np.float32, 0.25),
}


def ask(
    backend: Backend, mode: str, unit: str, tolerance: float | None, max_gap: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Values, where NaN stands for none, and valid, at each place."""
    kind, scale = UNITS[unit]
    values = np.zeros((1, len(STAMPS), 4), np.float32)
    values[..., 3] = 1.0
    out, valid = rc.resample_trajectories(
        backend.tensor(values),
        backend.tensor(np.array(STAMPS, kind) * kind(scale)),
        backend.tensor(np.array(list(PLACES.values()), kind) * kind(scale)),
        mode=mode,
        outside="nan",
        tolerance=None if tolerance is None else tolerance * scale,
        max_gap=None if max_gap is None else max_gap * scale,
        return_valid=True,
        backend=backend.argument,
    )
    return out[0, :, 3].cpu(), valid[0].cpu()


@pytest.mark.parametrize("unit", list(UNITS))
@pytest.mark.parametrize("mode", MODES)
def test_table(backend: Backend, mode: str, unit: str) -> None:
    for (tolerance, max_gap), wrong in (HOLD if mode == "hold" else OTHERS).items():
        values, valid = ask(backend, mode, unit, tolerance, max_gap)
        found = {place for place, ok in zip(PLACES, valid.tolist(), strict=True) if not ok}
        assert found == wrong, (tolerance, max_gap)
        assert values.isnan().tolist() == (~valid.bool()).tolist()


@pytest.mark.parametrize("mode", ["mean", "max", "min"])
def test_reductions_ask_their_interval_alone(backend: Backend, mode: str) -> None:
    """Intervals end at each place and begin at the one before, the first 6 before its own."""
    for tolerance, max_gap in HOLD:
        _, valid = ask(backend, mode, "int64", tolerance, max_gap)
        holding = {"at the first", "in the wide gap", "at its end", "at the last"}
        assert {p for p, ok in zip(PLACES, valid.tolist(), strict=True) if ok} == holding


def test_hold_goes_on_behind_its_last_sample(backend: Backend) -> None:
    """What a limit cuts off is filled, what is still held is not."""
    for outside, blank in (("zero", 0.0), ("nan", np.nan)):
        out = rc.resample_trajectories(
            backend.tensor(np.array([[[1.0], [2.0]]])),
            backend.tensor(np.array([10, 20])),
            backend.tensor(np.array([5, 15, 25, 35])),
            mode="hold",
            outside=outside,
            tolerance=10,
            backend=backend.argument,
        )
        np.testing.assert_array_equal(out.cpu().numpy()[0, :, 0], [blank, 1.0, 2.0, blank])
