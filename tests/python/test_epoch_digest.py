"""Epochs of a real dataset, to the bit: a digest that changes is a change of what users get."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

import robocache as rc

STATE = "observation/state"
EPOCHS = {
    "control rate": ({"rate_hz": 5}, "b02e7dbc1ca42351"),
    "twice the control rate": ({"rate_hz": 10}, "c049bc5e21f6d5e3"),
    "shuffled": ({"rate_hz": 5, "shuffle": True, "seed": 3}, "d248f3ecc2ebe117"),
    "second of two ranks": (
        {"shuffle": True, "seed": 7, "rank": 1, "world_size": 2},
        "e23aabd402cf9006",
    ),
}


def test_images_are_those_recorded(bridge) -> None:
    loader = rc.DataLoader(
        bridge,
        batch_size=50,
        rate_hz=5,
        streams={"observation/image_0": rc.Window(range(-1, 1))},
        jpeg_dct="fast",
        array="numpy",
        num_threads=2,
    )
    digest = hashlib.sha256()
    for batch in loader:
        digest.update(np.ascontiguousarray(batch["observation/image_0"]).tobytes())
    assert digest.hexdigest()[:16] == "f3fd3efae72285de"


@pytest.mark.parametrize("case", list(EPOCHS))
def test_epochs_are_those_recorded(bridge, case: str) -> None:
    options, recorded = EPOCHS[case]
    loader = rc.DataLoader(
        bridge,
        batch_size=64,
        streams={
            STATE: rc.Window(range(-1, 2), mode="linear"),
            "action": [
                rc.Window(range(16), mode="hold", name="held"),
                rc.Window(seconds=[-0.15, 0.0, 0.25], mode="nearest", name="nearest"),
            ],
        },
        array="numpy",
        num_threads=2,
        **options,
    )
    digest = hashlib.sha256()
    for _ in range(2):
        for batch in loader:
            for name in ("episode_index", "step_index", "time_ns", STATE, "held", "nearest"):
                for field in [name, f"{name}_is_pad"]:
                    if field in batch:
                        array = np.ascontiguousarray(batch[field])
                        digest.update(f"{field} {array.dtype} {array.shape}".encode())
                        digest.update(array.tobytes())
    assert digest.hexdigest()[:16] == recorded
