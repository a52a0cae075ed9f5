"""Loaders of the real dataset, and what comes out of them."""

from __future__ import annotations

import numpy as np

import robocache as rc

WINDOWS = {
    "observation/state": rc.Window(range(-1, 1), mode="linear"),
    "action": rc.Window(range(16), mode="hold", name="actions"),
}


def make(dataset, **options):
    arguments = {"streams": WINDOWS, "batch_size": 64, "array": "numpy", "num_threads": 2}
    return rc.DataLoader(dataset, **{**arguments, **options})


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        if name == "task":
            assert a[name] == b[name]
        else:
            np.testing.assert_array_equal(np.asarray(a[name]), np.asarray(b[name]), err_msg=name)


def epoch(loader):
    """The batches of one epoch, copied."""
    return [
        {k: v if isinstance(v, list) else np.array(v) for k, v in batch.items()} for batch in loader
    ]


def samples(batches):
    return [
        pair
        for batch in batches
        for pair in zip(batch["episode_index"].tolist(), batch["step_index"].tolist(), strict=True)
    ]
