"""Several streams in one vector, and scale and offset, against NumPy on the streams alone."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc

from . import flat_dataset

STEPS = (40, 1, 150)
TOTAL = sum(STEPS)
PERIOD_NS = 100_000_000
DTYPES = {
    "half": "f2",
    "single": "f4",
    "double": "f8",
    "flag": "?",
    "byte": "u1",
    "tiny": "i1",
    "short": "i2",
    "word": "u2",
    "int": "i4",
    "uint": "u4",
    "long": "i8",
    "ulong": "u8",
}


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> rc.Dataset:
    random = np.random.default_rng(1)
    steps = np.concatenate([np.arange(count) for count in STEPS])
    streams: dict[str, Any] = {
        "position": random.normal(size=(TOTAL, 3)).astype("f4"),
        "matrix": random.normal(size=(TOTAL, 2, 2)),
        "wide": random.normal(size=(TOTAL, 100)).astype("f4"),  # more than is kept of an episode
        "gripper": steps % 2 == 0,
        "camera": np.zeros((TOTAL, 4, 4, 3), np.uint8),
    }
    for name, dtype in DTYPES.items():
        values = random.integers(0, 2, (TOTAL, 2)) if dtype == "?" else steps[:, None] + [0, 1]
        streams[name] = values.astype(dtype)
    streams["tiny"] = -streams["tiny"]
    streams["long"] = -(2**60) - streams["long"]
    # Two stamps a step, but for the second episode, which has none; the third begins late.
    lengths = np.full(TOTAL, 2)
    lengths[40] = 0
    lengths[41:50] = 0
    stamps = np.concatenate(
        [t * PERIOD_NS + np.arange(n) * 30_000_000 for t, n in zip(steps, lengths, strict=True)]
    )
    streams["imu"] = random.normal(size=(len(stamps), 3)).astype("f4")
    streams["imu_ns"] = stamps.astype("i8")
    return flat_dataset.make(
        tmp_path_factory.mktemp("vectors") / "flat",
        STEPS,
        streams,
        row_lengths={"imu": lengths, "imu_ns": lengths},
        stamps={"imu": "imu_ns"},
    )


def batch_of(ds: rc.Dataset, **windows: Any) -> Any:
    with rc.DataLoader(
        ds, batch_size=TOTAL, array="numpy", num_threads=1, clock="position", streams=windows
    ) as loader:
        (batch,) = loader
    return batch


def flat(values: Any) -> Any:
    """[B, W, ...] -> [B, W, C]"""
    return values.reshape(*values.shape[:2], -1)


@pytest.mark.parametrize(
    ("streams", "dtype"),
    [
        (["position"], "f4"),
        (["matrix"], "f8"),
        (["position", "position"], "f4"),
        (["position", "gripper"], "f4"),
        (["gripper", "matrix", "position"], "f8"),
        (["half", "half"], "f2"),
        (["half", "single"], "f4"),
        (["half", "flag", "byte"], "f2"),
        (["long", "single"], "f4"),
        (["flag", "flag"], "?"),
        (["flag", "tiny"], "i1"),
        (["flag", "byte"], "u1"),
        (["tiny", "byte"], "i2"),
        (["tiny", "short"], "i2"),
        (["byte", "word"], "u2"),
        (["word", "tiny"], "i4"),
        (["word", "short"], "i4"),
        (["uint", "tiny"], "i8"),
        (["int", "uint"], "i8"),
        (["int", "byte"], "i4"),
        (["long", "uint", "tiny"], "i8"),
        (["ulong", "uint"], "u8"),
        (["wide", "position"], "f4"),
        (["wide", "double"], "f8"),
    ],
)
@pytest.mark.parametrize("ticks", [[0], range(-2, 3), [5, -3, 90]])
def test_streams_side_by_side(ds: rc.Dataset, streams: list[str], dtype: str, ticks: Any) -> None:
    alone = {name: rc.Window(ticks) for name in streams}
    batch = batch_of(ds, **alone, vector=rc.Window(ticks, source=streams))
    wanted = np.concatenate([flat(batch[name]).astype(dtype) for name in streams], axis=-1)
    assert batch["vector"].dtype == np.dtype(dtype)
    np.testing.assert_array_equal(batch["vector"], wanted)
    for mask in ("is_pad", "valid"):
        np.testing.assert_array_equal(batch[f"vector_{mask}"], batch[f"{streams[0]}_{mask}"])


@pytest.mark.parametrize("mode", ["hold", "nearest", "linear", "cubic", "mean", "max"])
@pytest.mark.parametrize("outside", ["hold", "zero", "nan"])
@pytest.mark.parametrize("streams", [["imu", "position"], ["double", "imu"], ["imu"]])
def test_streams_with_stamps_of_their_own(
    ds: rc.Dataset, mode: str, outside: str, streams: list[str]
) -> None:
    options = {"mode": mode, "outside": outside, "max_gap": 0.15}
    ticks = range(-1, 3)
    alone = {name: rc.Window(ticks, **options) for name in streams}
    batch = batch_of(ds, **alone, vector=rc.Window(ticks, source=streams, **options))
    valid = np.logical_and.reduce([batch[f"{name}_valid"] for name in streams])
    dtype = np.result_type(*(batch[name] for name in streams))
    wanted = np.concatenate([flat(batch[name]).astype(dtype) for name in streams], axis=-1)
    if outside != "hold":
        wanted[~valid | batch["vector_is_pad"]] = np.nan if outside == "nan" else 0
    assert valid.any()
    assert not valid.all()
    np.testing.assert_array_equal(batch["vector_valid"], valid)
    np.testing.assert_array_equal(batch["vector"], wanted)


@pytest.mark.parametrize(
    ("source", "scale", "offset", "dtype"),
    [
        ("position", 2.5, None, "f4"),
        ("position", None, [1, 2, 3], "f4"),
        ("position", [0.1, -3, 1], 7, "f4"),
        ("matrix", [2, 3], 1, "f8"),
        ("matrix", [[2, 3], [4, 5]], None, "f8"),
        ("gripper", -1, 1, "f4"),
        ("half", 0.1, 0.3, "f2"),
        ("long", 1, 0, "f4"),
        ("imu", [0.1, 10, 1], [1, 2, 3], "f4"),
        ("wide", 0.3, 0.1, "f4"),
        (["position", "gripper"], [1, 1, 1, -1], [0, 0, 0, 1], "f4"),
        (["matrix", "imu"], 0.7, [0, 1, 2, 3, 4, 5, 6], "f8"),
        (["wide", "byte"], 0.5, None, "f4"),
        (["ulong", "long"], 1, None, "f4"),
    ],
)
@pytest.mark.parametrize("outside", ["hold", "zero"])
@pytest.mark.parametrize("ticks", [range(-1, 2), [5, -3, 90]])
def test_scale_and_offset(
    ds: rc.Dataset, source: Any, scale: Any, offset: Any, dtype: str, outside: str, ticks: Any
) -> None:
    streams = [source] if isinstance(source, str) else source
    options = {"outside": outside, "mode": "mean" if source == "imu" else "hold"}
    alone = {name: rc.Window(ticks, **options) for name in streams}
    changed = rc.Window(ticks, source=source, scale=scale, offset=offset, **options)
    batch = batch_of(ds, **alone, changed=changed)
    plain = (
        batch[source].astype("f8")
        if isinstance(source, str)
        else np.concatenate([flat(batch[name]).astype("f8") for name in streams], axis=-1)
    )
    wanted = plain if scale is None else plain * np.asarray(scale, "f8")
    wanted = wanted if offset is None else wanted + np.asarray(offset, "f8")
    nothing = ~batch["changed_valid"] | batch["changed_is_pad"]
    if outside == "zero":
        wanted[nothing] = 0
    elif "imu" in streams:
        empty = batch["episode_index"] == 1  # no sample: zeros
        if isinstance(source, str):
            wanted[empty] = 0
        else:
            wanted[empty, :, 4:] = 0
    wanted = wanted.astype("f4") if dtype == "f2" else wanted
    np.testing.assert_array_equal(batch["changed"], wanted.astype(dtype))
    assert batch["changed"].dtype == np.dtype(dtype)


def test_modes_of_channels_of_the_vector(ds: rc.Dataset) -> None:
    channels = [(slice(0, 2), "linear"), ((2, 5), "cubic"), (-1, "mean")]
    ticks = [0.03, 0.17]
    vector = rc.Window(seconds=ticks, source=["position", "imu"], mode="hold", channels=channels)
    batch = batch_of(
        ds,
        vector=vector,
        position=rc.Window(seconds=ticks, channels=[(slice(0, 2), "linear"), (2, "cubic")]),
        imu=rc.Window(seconds=ticks, channels=[(slice(0, 2), "cubic"), (2, "mean")]),
    )
    wanted = np.concatenate([batch["position"], batch["imu"]], axis=-1)
    np.testing.assert_array_equal(batch["vector"], wanted)


def test_one_stream_under_another_name(ds: rc.Dataset) -> None:
    windows = {
        "state": rc.Window(0, source="position", squeeze=True),
        "all": rc.Window(0, source=["position", "gripper"], squeeze=True),
        "other": rc.Window(range(2), source=["gripper"], name="mine"),
        "matrix": rc.Window(0),
    }
    batch = batch_of(ds, **windows)
    assert batch["state"].shape == (TOTAL, 3)
    assert batch["all"].shape == (TOTAL, 4)
    assert batch["mine"].shape == (TOTAL, 2, 1)
    assert batch["matrix"].shape == (TOTAL, 1, 2, 2)
    np.testing.assert_array_equal(batch["all"][:, :3], batch["state"])


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ({"source": []}, "source: no stream found"),
        ({"source": 3}, "source: found 3, wanted"),
        ({"source": ["position", 3]}, "source: found 3, wanted a string"),
        ({"source": "positoin"}, "positoin"),
        (
            {"source": ["camera"], "image": rc.Image((2, 2))},
            "'camera': is of a vector, but holds images",
        ),
        (
            {"source": "camera", "scale": 2.0, "image": rc.Image((2, 2))},
            "'camera': has a scale, but holds images",
        ),
        ({"source": ["position", "imu"], "outside": "zeros"}, "outside"),
        ({"source": ["int", "ulong"]}, "no integer dtype holds both int32 and uint64"),
        ({"source": ["int", "byte"], "outside": "nan"}, "int32: outside nan needs a float"),
        ({"source": ["position", "int"], "mode": "linear"}, "'int' is int32: mode linear"),
        ({"source": "position", "scale": [1, 2]}, r"scale: found \(1.0, 2.0\).*\[3\].*'position'"),
        ({"source": ["position", "gripper"], "offset": [1, 2, 3]}, r"offset: .*\[4\]"),
        ({"source": "position", "scale": float("nan")}, "scale: found nan"),
        ({"source": "position", "scale": [1, float("inf"), 2]}, "scale: found inf"),
        ({"source": "position", "offset": "one"}, "offset: found 'one', wanted a number"),
        ({"source": ["position", "gripper"], "channels": [(4, "hold")]}, "channels: found 4"),
        ({"source": ["position", "gripper"], "channels": [(slice(0, 4, 2), "hold")]}, "in a row"),
        ({"source": ["position", "single"], "channels": [(slice(0, 4), "slerp")]}, "of one stream"),
    ],
)
def test_what_cannot_be(ds: rc.Dataset, window: dict[str, Any], message: str) -> None:
    with pytest.raises(rc.Error, match=message):
        batch_of(ds, field=rc.Window(0, **window))


def test_names_must_differ(ds: rc.Dataset) -> None:
    windows = {"position": rc.Window(), "a": rc.Window(0, source=["imu"], name="position")}
    with pytest.raises(rc.Error, match="two fields of the batch are named 'position'"):
        batch_of(ds, **windows)


def test_a_loader_of_vectors_travels_and_goes_on(ds: rc.Dataset) -> None:
    def make(scale: float) -> rc.DataLoader:
        window = rc.Window(range(3), source=["position", "imu"], scale=scale, mode="linear")
        return rc.DataLoader(
            ds, batch_size=7, array="numpy", shuffle=True, clock="position", streams={"x": window}
        )

    loader = make(2.0)
    batches = list(loader)
    wanted = [batch["x"] for batch in batches]
    for position in (0, 5):
        with make(2.0) as other:
            iterator = iter(other)
            for _ in range(position):
                next(iterator)
            moved = pickle.loads(pickle.dumps(other))
        found = [batch["x"] for batch in moved]
        assert len(found) == len(wanted) - position
        for a, b in zip(found, wanted[position:], strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(rc.Error, match="windows"):
        make(3.0).load_state_dict(loader.state_dict())


@pytest.mark.parametrize("on_error", ["skip", "mask"])
def test_damage_of_one_part_is_that_of_the_row(tmp_path: Path, on_error: str) -> None:
    position = np.ones((20, 3), "f4")
    streams = {"position": position, "late": np.ones((20, 2000), "f4")}
    flat_dataset.make(tmp_path / "flat", [10, 10], streams)
    file = tmp_path / "flat" / "stream_001.bin"
    with open(file, "r+b") as opened:
        opened.truncate(15 * 8000)
    damaged = rc.open(tmp_path / "flat", progress=False, control_rate_hz=10)
    window = rc.Window(0, source=["position", "late"], scale=2.0, squeeze=True)
    with rc.DataLoader(
        damaged, batch_size=20, array="numpy", on_error=on_error, streams={"x": window}
    ) as loader:
        (batch,) = loader
        assert "stream_001.bin: byte 120000" in loader.skipped[0]
        assert len(loader.skipped) == 5
    if on_error == "skip":
        assert batch["x"].shape == (15, 2003)
    else:
        assert not batch["x"][15:].any()
        assert not batch["x_valid"][15:].any()
    assert (batch["x"][:15] == 2).all()
    assert batch["x_valid"][:15].all()
