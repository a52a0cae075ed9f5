"""Goals: ticks that are drawn from what is to come."""

from __future__ import annotations

import collections
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc

from . import flat_dataset

STEPS = (60, 1, 7)
TOTAL = sum(STEPS)
SALT = 0x667574757265
MASK = 2**64 - 1


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> rc.Dataset:
    step = np.concatenate([np.arange(count) for count in STEPS])
    episode = np.repeat(np.arange(len(STEPS)), STEPS)
    pixels = np.zeros((TOTAL, 8, 8, 3), np.uint8)
    pixels[:] = step[:, None, None, None]
    return flat_dataset.make(
        tmp_path_factory.mktemp("future") / "flat",
        STEPS,
        {
            "number": np.stack([episode, step], 1),
            "camera": pixels,
            "signal": step.astype("f4") * 2,
            "imu": np.repeat(step.astype("f4"), 4),
            "imu_ns": (
                np.repeat(step, 4) * 100_000_000 + np.tile(np.arange(4), TOTAL) * 10_000_000
            ),
        },
        row_lengths=dict.fromkeys(("imu", "imu_ns"), np.full(TOTAL, 4)),
        stamps={"imu": "imu_ns"},
    )


def epochs(ds: rc.Dataset, windows: Any, count: int = 1, **options: Any) -> list[Any]:
    options = {"batch_size": TOTAL, "array": "numpy", "shuffle": True, "seed": 5, **options}
    with rc.DataLoader(ds, clock="number", streams=windows, **options) as loader:
        return [next(iter(loader)) for _ in range(count)]


def mix(x: int) -> int:
    x ^= x >> 30
    x = x * 0xBF58476D1CE4E5B9 & MASK
    x ^= x >> 27
    x = x * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def wanted(batch: Any, epoch: int, first: int, last: int, share: str, name: str) -> Any:
    """The generator as the documentation has it."""
    ticks, are_there = [], []
    for episode, tick, index in zip(
        batch["episode_id"], batch["step_index"], batch["episode_index"], strict=True
    ):
        low, high = max(first, -tick), min(last, STEPS[index] - 1 - tick)
        are_there.append(low <= high)
        if low > high:
            ticks.append(STEPS[index] - 1 if first > high else 0)
            continue
        key = rc.image_key(5, epoch, int(episode), int(tick), share=share, name=name)
        drawn = 0
        for part in (key, first & MASK, last & MASK, SALT, 0, 0):
            drawn = mix((drawn ^ part) + 0x9E3779B97F4A7C15 & MASK)
        ticks.append(tick + low + (drawn * (int(high) - int(low) + 1) >> 64))
    return np.array(ticks), np.array(are_there)


@pytest.mark.parametrize(
    ("first", "last"),
    [(1, 50), (0, 0), (3, 4), (-4, 4), (-9, -2), (500, 600), (-(2**31), 2**31 - 1)],
)
@pytest.mark.parametrize("share", ["sample", "window"])
def test_it_is_what_the_generator_says(ds: rc.Dataset, first: int, last: int, share: str) -> None:
    window = rc.Window(rc.Future(first, last, share=share), source="number", squeeze=True)
    for epoch, batch in enumerate(epochs(ds, {"goal": window}, 3)):
        ticks, are_there = wanted(batch, epoch, first, last, share, "goal")
        np.testing.assert_array_equal(batch["goal_step_index"], ticks)
        np.testing.assert_array_equal(batch["goal"][:, 1], ticks)
        np.testing.assert_array_equal(batch["goal"][:, 0], batch["episode_index"])
        np.testing.assert_array_equal(batch["goal_is_pad"], ~are_there)
        assert batch["goal_valid"].all()
        assert batch["goal_step_index"].dtype == np.int64


def test_all_streams_of_a_sample_agree(ds: rc.Dataset) -> None:
    goal = rc.Future(1, 50)
    batch = epochs(
        ds,
        {
            "number": rc.Window(goal),
            "picture": rc.Window(goal, source="camera"),
            "small": rc.Window(goal, source="camera", image=rc.Image((4, 4), crop=("random", 0.5))),
            "signal": rc.Window(goal, mode="linear", scale=0.5),
            "imu": rc.Window(goal, mode="nearest"),
            "vector": rc.Window(goal, source=["signal", "imu", "number"]),
            "own": rc.Window(rc.Future(1, 50, share="window"), source="number"),
            "near": rc.Window(rc.Future(1, 20), source="number"),
        },
    )[0]
    tick = batch["number_step_index"]
    assert tick.shape == (TOTAL, 1)
    for name in ("picture", "small", "signal", "imu", "vector"):
        np.testing.assert_array_equal(batch[f"{name}_step_index"], tick)
    assert (batch["picture"] == tick[:, :, None, None, None]).all()
    assert (batch["small"] == tick[:, :, None, None, None]).all()
    np.testing.assert_array_equal(batch["signal"], tick)
    np.testing.assert_array_equal(batch["imu"], tick)
    np.testing.assert_array_equal(batch["vector"][..., 0], tick * 2)
    np.testing.assert_array_equal(batch["vector"][..., 3], tick)
    for name in ("own", "near"):
        assert (batch[f"{name}_step_index"] != tick).mean() > 0.3
    np.testing.assert_array_equal(batch["own_is_pad"], batch["number_is_pad"])


def test_it_is_drawn_evenly(ds: rc.Dataset) -> None:
    counts: collections.Counter[int] = collections.Counter()
    for batch in epochs(ds, {"goal": rc.Window(rc.Future(1, 10), source="signal")}, 60):
        far = (batch["episode_index"] == 0) & (batch["step_index"] < 50)
        counts.update((batch["goal_step_index"][far, 0] - batch["step_index"][far]).tolist())
    assert set(counts) == set(range(1, 11))
    expected = sum(counts.values()) / 10
    assert sum((n - expected) ** 2 / expected for n in counts.values()) < 27.9  # 0.1 % of chances


def test_it_does_not_depend_on_threads_batches_and_ranks(ds: rc.Dataset) -> None:
    windows = {"goal": rc.Window(rc.Future(1, 30), source="number", squeeze=True)}
    whole = epochs(ds, windows)[0]
    ticks = {
        tuple(key): tick
        for key, tick in zip(
            zip(whole["episode_index"].tolist(), whole["step_index"].tolist(), strict=True),
            whole["goal_step_index"].tolist(),
            strict=True,
        )
    }
    loader = rc.DataLoader(
        ds,
        5,
        clock="number",
        streams=windows,
        array="numpy",
        shuffle=True,
        seed=5,
        rank=1,
        world_size=2,
        num_threads=2,
    )
    moved = pickle.loads(pickle.dumps(loader))
    for batch in moved:
        for episode, step, tick in zip(
            batch["episode_index"], batch["step_index"], batch["goal_step_index"], strict=True
        ):
            assert ticks[episode, step] == tick


@pytest.mark.parametrize("outside", ["zero", "nan"])
@pytest.mark.parametrize("source", ["signal", "imu"])
def test_without_a_future_there_is_nothing(ds: rc.Dataset, outside: str, source: str) -> None:
    window = rc.Window(rc.Future(1, 9), source=source, outside=outside, squeeze=True)
    batch = epochs(ds, {"goal": window, "step": rc.Window(source="number", squeeze=True)})[0]
    is_last = batch["step_index"] == np.array(STEPS)[batch["episode_index"]] - 1
    np.testing.assert_array_equal(batch["goal_is_pad"], is_last)
    np.testing.assert_array_equal(batch["goal_valid"], ~is_last)
    assert (np.isnan if outside == "nan" else np.logical_not)(batch["goal"][is_last]).all()
    factor = 2 if source == "signal" else 1
    there = batch["goal"][~is_last]
    np.testing.assert_array_equal(there, batch["goal_step_index"][~is_last] * factor)


def test_require_is_of_the_sample_itself(ds: rc.Dataset) -> None:
    windows = {"imu": rc.Window(rc.Future(1, 9), tolerance=0.015)}
    with rc.DataLoader(
        ds, TOTAL, rate_hz=20, clock="number", streams=windows, require="imu", array="numpy"
    ) as loader:
        (batch,) = loader
    assert len(batch["imu"]) == TOTAL  # the other half of the ticks is too far behind


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rc.Future(2, 1), "found 2 to 1"),
        (lambda: rc.Future(0.5, 1), "first: found 0.5, wanted an integer"),
        (lambda: rc.Future(0, 2**31), "last: found"),
        (lambda: rc.Future(0, 1, share="frame"), "share: found 'frame'"),
        (lambda: rc.Window([rc.Future(0, 1)]), "ticks: found"),
        (lambda: rc.Window(rc.Future(0, 1), seconds=[0]), "ticks and seconds found"),
    ],
)
def test_what_cannot_be(make: Any, message: str) -> None:
    with pytest.raises(rc.Error, match=message):
        make()


# ---- clock_offset ----


@pytest.mark.parametrize("stream", ["signal", "imu", "number", "camera"])
@pytest.mark.parametrize("offset", [0.2, -0.1, 0.25, 3.0, -1e6])
@pytest.mark.parametrize("mode", ["hold", "nearest"])
def test_a_stream_that_is_late(ds: rc.Dataset, stream: str, offset: float, mode: str) -> None:
    """R8: stamps that are `offset` later say at t what they said at t - offset."""
    windows = {
        "moved": rc.Window(range(2), source=stream, clock_offset=offset, mode=mode),
        "asked": rc.Window(
            source=stream, seconds=[tick / 10 - offset for tick in range(2)], mode=mode
        ),
    }
    batch = epochs(ds, windows)[0]
    np.testing.assert_array_equal(batch["moved"], batch["asked"])
    np.testing.assert_array_equal(batch["moved_valid"], batch["asked_valid"])
    ends = np.array(STEPS)[batch["episode_index"]]
    is_pad = batch["step_index"][:, None] + [0, 1] >= ends[:, None]
    np.testing.assert_array_equal(batch["moved_is_pad"], is_pad)  # the clock stays
    if stream == "signal" and offset == 0.2 and mode == "hold":
        late = np.maximum(np.minimum(batch["step_index"] + 0 - 2, ends - 1), 0)
        np.testing.assert_array_equal(batch["moved"][:, 0], 2 * late)
        np.testing.assert_array_equal(batch["moved_valid"][:, 0], batch["step_index"] >= 2)


def test_each_stream_of_a_vector_has_its_own(ds: rc.Dataset) -> None:
    windows = {
        "both": rc.Window(0, source=["signal", "imu", "signal"], clock_offset=[0.3, -0.2, 0]),
        "one": rc.Window(0, source="signal", clock_offset=0.3),
        "two": rc.Window(0, source="imu", clock_offset=-0.2),
        "three": rc.Window(0, source="signal"),
    }
    batch = epochs(ds, windows)[0]
    wanted = np.stack([batch["one"], batch["two"], batch["three"]], -1)
    np.testing.assert_array_equal(batch["both"], wanted)


def test_a_clock_that_is_an_hour_off_is_put_right(tmp_path: Path) -> None:
    step = np.arange(20)
    hour = 3_600 * 10**9
    stamps = np.repeat(step, 2) * 100_000_000 + np.tile([0, 50_000_000], 20)
    dataset = flat_dataset.make(
        tmp_path / "flat",
        [20],
        {"number": step, "imu": np.repeat(step, 2), "imu_ns": stamps + hour},
        row_lengths=dict.fromkeys(("imu", "imu_ns"), np.full(20, 2)),
        stamps={"imu": "imu_ns"},
    )

    def make(offset: float, **options: Any) -> rc.DataLoader:
        window = rc.Window(0, tolerance=0.06, squeeze=True, clock_offset=offset)
        streams = {"imu": window, "number": rc.Window(0, squeeze=True)}
        return rc.DataLoader(dataset, 20, clock="number", array="numpy", streams=streams, **options)

    assert make(0).num_samples == 20  # steps begin where the streams with stamps do
    with pytest.warns(UserWarning, match="'imu' lies outside of the clock"):
        late = make(-3600.0)
    assert not next(iter(late))["imu_valid"].any()
    with pytest.warns(UserWarning, match="has no batch"):
        assert make(-3600.0, require="imu").num_samples == 0
    found = next(iter(make(0.1, require="imu")))
    np.testing.assert_array_equal(found["imu"], found["number"] - 1)


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        ("one", "clock_offset: found 'one', wanted a number"),
        (float("inf"), "clock_offset: found inf"),
        (1e12, "clock_offset: found 1e[+]12, wanted at most"),
        ([[1.0]], "clock_offset: found .*, wanted seconds"),
        ([1.0, 2.0], "clock_offset: found 2, wanted one for each of 1 streams"),
    ],
)
def test_offsets_that_cannot_be(ds: rc.Dataset, offset: Any, message: str) -> None:
    with pytest.raises(rc.Error, match=message):
        epochs(ds, {"signal": rc.Window(clock_offset=offset)})
