"""Values that a loader normalises, against NumPy on the values that it does not."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc

from . import flat_dataset

STEPS = (30, 12, 1)
TOTAL = sum(STEPS)
KINDS = ["mean_std", "min_max", "q01_q99"]


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> rc.Dataset:
    random = np.random.default_rng(3)
    action = random.normal([0, 100, -3], [1, 0.1, 40], size=(TOTAL, 3)).astype("f4")
    odd = random.normal(size=(TOTAL, 2))
    odd[3, 0], odd[7, 1], odd[9, 0] = np.nan, np.inf, -np.inf
    flat = random.normal(size=(TOTAL, 2)).astype("f4")
    flat[:, 1] = 5
    lengths = np.full(TOTAL, 2)
    lengths[30:42] = 0  # the second episode has no sample
    streams = {
        "action": action,
        "matrix": random.normal(size=(TOTAL, 2, 3)),
        "count": random.integers(-5, 300, (TOTAL, 2)),
        "odd": odd,
        "flat": flat,
        "constant": np.full(TOTAL, 3.0),
        "many": random.normal(size=(TOTAL, 150)).astype("f4"),
        "map": random.normal(size=(TOTAL, 70, 70, 2)).astype("f4"),
        "imu": random.normal(2, 1, size=(lengths.sum(), 3)).astype("f4"),
        "imu_ns": np.concatenate([np.arange(2 * n) * 50_000_000 for n in (STEPS[0], STEPS[2])]),
    }
    return flat_dataset.make(
        tmp_path_factory.mktemp("normal") / "flat",
        STEPS,
        streams,
        row_lengths={"imu": lengths, "imu_ns": lengths},
        stamps={"imu": "imu_ns"},
    )


def load(ds: rc.Dataset, windows: Any, **options: Any) -> rc.DataLoader:
    options = {"batch_size": TOTAL, "array": "numpy", "num_threads": 1, **options}
    return rc.DataLoader(ds, clock="action", streams=windows, **options)


def batch_of(ds: rc.Dataset, windows: Any) -> Any:
    with load(ds, windows) as loader:
        (batch,) = loader
    return batch


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("outside", ["hold", "zero", "nan"])
@pytest.mark.parametrize(
    ("stream", "mode"),
    [
        ("action", "hold"),
        ("action", "linear"),
        ("matrix", "hold"),
        ("count", "hold"),
        ("imu", "mean"),
        ("imu", "linear"),
        ("odd", "hold"),
        ("map", "nearest"),
    ],
)
def test_against_numpy(ds: rc.Dataset, kind: str, outside: str, stream: str, mode: str) -> None:
    ticks = range(-1, 3)
    dtype = np.float64 if stream in ("matrix", "odd") else np.float32
    unfilled = "hold" if stream == "count" and outside == "nan" else outside
    windows = {
        "plain": rc.Window(ticks, source=stream, mode=mode, outside=unfilled),
        "normal": rc.Window(ticks, source=stream, mode=mode, outside=outside, normalize=kind),
    }
    batch = batch_of(ds, windows)
    scale, offset = ds.statistics([stream])[stream].scale_offset(kind)
    wanted = (batch["plain"].astype("f8") * scale + offset).astype(dtype)
    nothing = ~batch["normal_valid"] | batch["normal_is_pad"]
    if outside != "hold":
        wanted[nothing] = 0 if outside == "zero" else np.nan
    elif stream == "imu":
        wanted[batch["episode_index"] == 1] = 0
    assert nothing.any()
    assert batch["normal"].dtype == dtype
    np.testing.assert_array_equal(batch["normal"], wanted)


def test_it_is_normal(ds: rc.Dataset) -> None:
    windows = {kind: rc.Window(source="action", normalize=kind, squeeze=True) for kind in KINDS}
    batch = batch_of(ds, windows)
    np.testing.assert_allclose(batch["mean_std"].mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(batch["mean_std"].std(0), 1, rtol=1e-4)
    np.testing.assert_allclose(batch["min_max"].min(0), -1, rtol=1e-5)
    np.testing.assert_allclose(batch["min_max"].max(0), 1, rtol=1e-5)
    assert (abs(batch["q01_q99"]).max(0) > 1).all()  # what is beyond stays beyond


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("scale", "offset"), [(2.0, None), ([-1, 0.5, -3], [1, 2, 3]), (None, 7), ([0, 1, 1], 4)]
)
def test_after_scale_and_offset(ds: rc.Dataset, kind: str, scale: Any, offset: Any) -> None:
    changed = rc.Window(range(2), source="action", scale=scale, offset=offset)
    normal = rc.Window(range(2), source="action", scale=scale, offset=offset, normalize=kind)
    with load(ds, {"changed": changed, "normal": normal}) as loader:
        (batch,) = loader
        values = np.concatenate([e["action"].values for e in ds.episodes]).astype("f8")
        values = values * (1 if scale is None else scale) + (0 if offset is None else offset)
        low, high = {
            "mean_std": (values.mean(0) - values.std(0), values.mean(0) + values.std(0)),
            "min_max": (values.min(0), values.max(0)),
            "q01_q99": tuple(np.quantile(values, [0.01, 0.99], axis=0)),
        }[kind]
        half = np.where(high > low, (high - low) / 2, 1)
        wanted = (batch["changed"] - (high + low) / 2) / half
        np.testing.assert_allclose(batch["normal"], wanted, rtol=1e-3, atol=1e-4)
        back = loader.denormalize("normal", batch["normal"])
        np.testing.assert_allclose(back, batch["changed"], rtol=1e-6, atol=1e-5)


def test_a_vector_has_the_statistics_of_its_streams(ds: rc.Dataset) -> None:
    source = ["matrix", "action", "count"]
    windows = {
        "x": rc.Window(0, source=source, normalize="min_max", mode="hold"),
        **{name: rc.Window(0, normalize="min_max") for name in source},
    }
    with load(ds, windows) as loader:
        (batch,) = loader
        wanted = np.concatenate([batch[name].reshape(TOTAL, 1, -1) for name in source], axis=-1)
        np.testing.assert_allclose(batch["x"], wanted, rtol=1e-6)
        parts = np.split(loader.denormalize("x", batch["x"]), [6, 9], axis=-1)
        for name, part in zip(source, parts, strict=True):
            wanted = loader.denormalize(name, batch[name].astype("f8"))
            np.testing.assert_allclose(part, wanted.reshape(part.shape), rtol=1e-5)


@pytest.mark.parametrize("array", ["numpy", "torch"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", ["action", "matrix", "odd", "flat"])
def test_the_way_back(ds: rc.Dataset, array: str, kind: str, stream: str) -> None:
    if array == "torch":
        pytest.importorskip("torch")
    windows = {
        "plain": rc.Window(range(3), source=stream),
        "normal": rc.Window(range(3), source=stream, normalize=kind),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loader = load(ds, windows, array=array)
    with loader:
        (batch,) = loader
        back = loader.denormalize("normal", batch["normal"])
        assert back.dtype == batch["plain"].dtype
        assert type(back) is type(batch["plain"])
        np.testing.assert_allclose(back, batch["plain"], rtol=1e-6, atol=1e-6)
        whole = loader.denormalize("normal", batch["normal"][0, 0])
        np.testing.assert_array_equal(whole, back[0, 0])


def test_the_way_back_of_what_a_model_says(ds: rc.Dataset) -> None:
    torch = pytest.importorskip("torch")
    with load(ds, {"action": rc.Window(normalize="q01_q99")}) as loader:
        said = torch.zeros(5, 3, dtype=torch.bfloat16, requires_grad=True)
        found = loader.denormalize("action", said)
        assert found.dtype == torch.float32
        st = ds.statistics(["action"])["action"]
        np.testing.assert_allclose(found.detach()[0], (st.q01 + st.q99) / 2, rtol=1e-6)
        found.sum().backward()
        np.testing.assert_allclose(said.grad.float()[0], 5 * 0 + (st.q99 - st.q01) / 2, rtol=1e-2)
        np.testing.assert_allclose(loader.denormalize("action", [0, 0, 0]), found.detach()[0])
        with pytest.raises(rc.Error, match=r"'action': found shape \[5, 4\], wanted \[..., 3\]"):
            loader.denormalize("action", torch.zeros(5, 4))
        with pytest.raises(KeyError, match="'actions' is not normalised; 'action' is"):
            loader.denormalize("actions", said)


def test_statistics_that_are_given(ds: rc.Dataset) -> None:
    st = ds.take([1]).statistics(["action"])["action"]
    mean, std = st.mean, st.std
    cases = {
        "statistics": st,
        "kind": ("min_max", st),
        "arrays": {"mean": mean, "std": std},
        "bounds": {"min": st.min.tolist(), "max": st.max.tolist()},
        "all": {**st.as_dict()},
        "chosen": ("q01_q99", st.as_dict()),
        "masked": {"mean": mean, "std": std, "mask": [True, True, False]},
    }
    windows = {
        name: rc.Window(source="action", normalize=each, squeeze=True)
        for name, each in cases.items()
    }
    batch = batch_of(ds, {**windows, "plain": rc.Window(source="action", squeeze=True)})
    plain = batch["plain"].astype("f8")
    for name, kind in (
        ("statistics", "mean_std"),
        ("kind", "min_max"),
        ("arrays", "mean_std"),
        ("bounds", "min_max"),
        ("all", "mean_std"),
        ("chosen", "q01_q99"),
    ):
        np.testing.assert_allclose(batch[name], st.normalize(plain, kind), rtol=1e-6, err_msg=name)
    np.testing.assert_array_equal(batch["masked"][:, :2], batch["arrays"][:, :2])
    np.testing.assert_array_equal(batch["masked"][:, 2], batch["plain"][:, 2])


def test_a_view_has_statistics_of_its_own(ds: rc.Dataset) -> None:
    view = ds.take([0]).steps({0: [(0, 20)]})
    with load(view, {"action": rc.Window(0, normalize="mean_std", squeeze=True)}) as loader:
        (batch,) = loader
    np.testing.assert_allclose(batch["action"].mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(batch["action"].std(0), 1, rtol=1e-4)
    assert len(batch["action"]) == 20


def test_constant_channels_are_said_once(ds: rc.Dataset) -> None:
    windows = {
        "flat": rc.Window(normalize="mean_std"),
        "c": rc.Window(source="constant", normalize="min_max"),
    }
    with pytest.warns(UserWarning, match="normalize") as warned:
        loader = rc.DataLoader(ds, batch_size=TOTAL, clock="action", array="numpy", streams=windows)
    assert [warning.filename for warning in warned] == [__file__] * 2
    messages = [str(warning.message) for warning in warned]
    assert messages == [
        "streams['flat']: normalize: channels 1 have one value only, which becomes 0",
        "streams['c']: normalize: it has one value only, which becomes 0",
    ]
    (batch,) = loader
    assert not batch["flat"][..., 1].any()
    assert not batch["c"].any()
    np.testing.assert_array_equal(loader.denormalize("c", batch["c"]), np.full((TOTAL, 1), 3.0))


def test_masked_rows_are_zeros(ds: rc.Dataset, tmp_path: Path) -> None:
    flat_dataset.make(
        tmp_path / "flat",
        [20],
        {"action": np.ones((20, 2000), "f4") + np.arange(20)[:, None].astype("f4")},
    )
    with open(tmp_path / "flat" / "stream_000.bin", "r+b") as opened:
        opened.truncate(15 * 8000)
    damaged = rc.open(tmp_path / "flat", progress=False, control_rate_hz=10)
    window = rc.Window(0, normalize="mean_std", squeeze=True)
    with pytest.raises(rc.Error, match="it ends at 120000"):
        load(damaged, {"action": window})
    with load(damaged, {"action": window}, on_error="mask") as loader:
        (batch,) = loader
    assert not batch["action"][15:].any()
    assert not batch["action_valid"][15:].any()


def test_state_belongs_to_what_normalises(ds: rc.Dataset) -> None:
    def make(normalize: Any) -> rc.DataLoader:
        return load(ds, {"action": rc.Window(normalize=normalize)}, batch_size=4)

    loader = make("mean_std")
    state = loader.state_dict()
    make("mean_std").load_state_dict(state)
    moved = pickle.loads(pickle.dumps(loader))
    np.testing.assert_array_equal(next(iter(moved))["action"], next(iter(loader))["action"])
    for other in ("min_max", None):
        with pytest.raises(rc.Error, match="windows"):
            make(other).load_state_dict(state)


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ({"normalize": "mean"}, "normalize: found 'mean', wanted one of"),
        ({"normalize": 3}, "normalize: found 3, wanted 'mean_std'"),
        ({"normalize": {"mean": 0}}, "found a dict of 'mean', wanted one with 'mean' and 'std'"),
        ({"normalize": ("min_max", {"mean": 0, "std": 1})}, "wanted one with 'min' and 'max'"),
        ({"normalize": ("max", {"mean": 0, "std": 1})}, "found 'max', wanted one of"),
        ({"normalize": {"mean": [0, 1], "std": [1, 1]}}, r"shape \[2\], wanted \[3\]"),
        ({"normalize": {"mean": 0, "std": float("nan")}}, "std: found nan"),
        ({"normalize": {"mean": 0, "std": 1, "mask": [2]}}, "mask: found 2, wanted True or False"),
        ({"source": "many", "normalize": "q01_q99"}, "no quantiles"),
        ({"source": "map", "normalize": "min_max", "image": rc.Image((2, 2))}, "holds images"),
        ({"source": ["action", "nothing"], "normalize": "min_max"}, "nothing"),
    ],
)
def test_what_cannot_be(ds: rc.Dataset, window: dict[str, Any], message: str) -> None:
    with pytest.raises(rc.Error, match=message):
        load(ds, {"action": rc.Window(0, **window)})
