"""Batches as JAX arrays. Runs where JAX is installed; that it is not is an error that says so."""

from __future__ import annotations

import gc
import importlib.util
from typing import Any

import numpy as np
import pytest

import robocache as rc

from . import small_dataset

HAS_JAX = importlib.util.find_spec("jax") is not None
needs_jax = pytest.mark.skipif(not HAS_JAX, reason="JAX is not installed")
STREAMS = {
    "action": rc.Window(range(4), normalize="mean_std"),
    "observation/image": rc.Window(range(-1, 1)),
    "observation/cloud": rc.Window(0, max_points=64),
    "small": rc.Window(
        0, source="observation/image", image=rc.Image((8, 8), mean=0.5, std=0.5, dtype="float16")
    ),
}


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> rc.Dataset:
    path = small_dataset.write(tmp_path_factory.mktemp("jax"))
    return rc.open(path, control_rate_hz=small_dataset.RATE_HZ, progress=False)


def load(ds: rc.Dataset, array: str, streams: Any = STREAMS) -> list[Any]:
    with rc.DataLoader(ds, 5, array=array, shuffle=True, streams=streams) as loader:
        return list(loader)


@pytest.mark.skipif(HAS_JAX, reason="JAX is installed")
def test_without_jax_the_error_says_what_to_install(ds: rc.Dataset) -> None:
    with pytest.raises(rc.errors.UnsupportedError, match=r"array: jax .*pip install jax"):
        load(ds, "jax")


@needs_jax
def test_values_are_those_of_numpy(ds: rc.Dataset) -> None:
    import jax

    for batch, wanted in zip(load(ds, "jax"), load(ds, "numpy"), strict=True):
        assert list(batch) == list(wanted)
        for name, values in wanted.items():
            if name == "task":
                assert batch[name] == values
                continue
            np.testing.assert_array_equal(np.asarray(batch[name]), values)
            assert batch[name].dtype == values.dtype
            is_wide = values.dtype.itemsize == 8
            assert isinstance(batch[name], np.ndarray if is_wide else jax.Array)


@needs_jax
def test_wide_numbers_are_narrowed_by_nobody(ds: rc.Dataset) -> None:
    import jax

    times = load(ds, "numpy")[0]["time_ns"]
    assert (times > 2**60).all()
    np.testing.assert_array_equal(load(ds, "jax")[0]["time_ns"], times)
    with jax.enable_x64(True):
        batch = load(ds, "jax")[0]
        assert isinstance(batch["time_ns"], jax.Array)
        np.testing.assert_array_equal(np.asarray(batch["time_ns"]), times)


@needs_jax
def test_nothing_is_copied_and_batches_outlive_their_loader(ds: rc.Dataset) -> None:
    loader = rc.DataLoader(ds, 5, array="jax", num_slots=2, num_threads=1, streams=STREAMS)
    held = [batch["observation/image"] for batch in loader]
    pointers = {each.unsafe_buffer_pointer() for each in held}
    assert len(pointers) == len(held)  # each in its slot, none of which was filled again
    assert loader.stats()["slots_peak"] >= len(held)
    wanted = [np.asarray(each).copy() for each in held]
    loader.close()
    del loader
    gc.collect()
    for each, values in zip(held, wanted, strict=True):
        np.testing.assert_array_equal(np.asarray(each), values)


@needs_jax
def test_the_way_back_is_traced(ds: rc.Dataset) -> None:
    import jax

    windows = {
        "action": rc.Window(range(4), normalize="mean_std"),
        "plain": rc.Window(range(4), source="action"),
    }
    with rc.DataLoader(ds, 5, array="jax", streams=windows) as loader:
        batch = next(iter(loader))
        for function in (loader.denormalize, jax.jit(loader.denormalize, static_argnums=0)):
            back = function("action", batch["action"])
            assert isinstance(back, jax.Array)
            np.testing.assert_allclose(back, batch["plain"], rtol=1e-6, atol=1e-6)


@needs_jax
def test_bfloat16(ds: rc.Dataset) -> None:
    image = rc.Image((8, 8), mean=0.5, std=0.5, dtype="bfloat16")
    streams = {"observation/image": rc.Window(0, image=image)}
    (batch, *_), (wanted, *_) = load(ds, "jax", streams), load(ds, "numpy", streams)
    found = batch["observation/image"]
    assert found.dtype == "bfloat16"
    np.testing.assert_array_equal(np.asarray(found), wanted["observation/image"])
