"""The grid is exact: ticks, offsets in seconds, steps and stamps that mean one moment are one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import robocache as rc

STEPS = 100_000
VIDEO_RATES = [23.976, 24000 / 1001, 29.97, 59.94, 119.88]
START_NS = 1_760_000_000_123_456_789


def write(folder: Path, streams: dict[str, tuple[rc.Feature, object]], steps: int) -> Path:
    features = {name: feature for name, (feature, _) in streams.items()}
    with rc.RldsWriter(folder, "grid", features) as writer:
        writer.add_episode({name: values for name, (_, values) in streams.items()}, split="train")
    return folder / "grid"


@pytest.fixture(scope="module")
def steps_path(tmp_path_factory) -> Path:
    """One long episode without stamps, whose values are the numbers of its steps."""
    count = np.arange(STEPS)
    return write(
        tmp_path_factory.mktemp("steps"),
        {
            "index": (rc.Feature("int64"), count),
            "value": (rc.Feature("float32", (1,)), count[:, None].astype(np.float32)),
        },
        STEPS,
    )


def stamped(folder: Path, stamps: np.ndarray, per_step: int, ticks: np.ndarray) -> rc.Dataset:
    """A stream with `per_step` samples a step at `stamps`, beside an action at `ticks`."""
    steps = len(ticks)
    rows = np.split(np.arange(len(stamps)), np.arange(1, steps) * per_step)
    path = write(
        folder,
        {
            "action": (rc.Feature("float32", (1,)), np.zeros((steps, 1))),
            "action_time_ns": (rc.Feature("int64"), ticks),
            "fast": (
                rc.Feature("float32", (1,), ragged=True),
                [row[:, None].astype(np.float32) for row in rows],
            ),
            "fast_time_ns": (rc.Feature("int64", ragged=True), [stamps[row] for row in rows]),
        },
        steps,
    )
    return rc.open(path, progress=False)


def batches(dataset: rc.Dataset, **options):
    options = {"batch_size": 4096, "array": "numpy", "num_threads": 2, **options}
    with rc.DataLoader(dataset, **options) as loader:
        yield from loader


def check_windows(batch, offsets: list[int], steps: int) -> None:
    """Fields of tick and second windows of both streams against the steps that are meant."""
    wanted = batch["step_index"][:, None] + np.array(offsets)
    inside = (wanted >= 0) & (wanted < steps)
    clipped = np.clip(wanted, 0, steps - 1)
    for how in ("ticks", "seconds"):
        for mode in ("hold", "nearest"):
            name = f"{mode} {how}"
            np.testing.assert_array_equal(batch[name], clipped, err_msg=name)
            np.testing.assert_array_equal(batch[f"{name}_is_pad"], ~inside, err_msg=name)
            valid = wanted >= 0 if mode == "hold" else inside
            np.testing.assert_array_equal(batch[f"{name}_valid"], valid, err_msg=name)
        for mode in ("linear", "cubic", "mean", "limited"):
            name = f"{mode} {how}"
            if name not in batch:
                continue
            np.testing.assert_array_equal(batch[name][..., 0], clipped, err_msg=name)
            np.testing.assert_array_equal(batch[f"{name}_is_pad"], ~inside, err_msg=name)
            valid = wanted == clipped if mode != "limited" else (wanted >= 0) & (wanted <= steps)
            np.testing.assert_array_equal(batch[f"{name}_valid"], valid, err_msg=name)


def both(rate_hz: float, offsets: list[int]) -> dict[str, list[rc.Window]]:
    """Windows in ticks and the same in seconds."""

    def windows(mode: str, name: str, **limits: float) -> list[rc.Window]:
        seconds = [k / rate_hz for k in offsets]
        return [
            rc.Window(offsets, mode=mode, name=f"{name} ticks", **limits),
            rc.Window(seconds=seconds, mode=mode, name=f"{name} seconds", **limits),
        ]

    period = 1 / rate_hz
    return {
        "index": windows("hold", "hold") + windows("nearest", "nearest"),
        "value": windows("linear", "linear")
        + windows("cubic", "cubic")
        + windows("mean", "mean")
        + windows("hold", "limited", tolerance=period, max_gap=period),
    }


@pytest.mark.parametrize("first", range(1, 1001, 100))
def test_ticks_and_seconds_at_every_rate(steps_path: Path, first: int) -> None:
    """Random places of the long episode, at each whole rate."""
    offsets = [-3, -1, 0, 1, 2, 7]
    rates = [*range(first, first + 100), *(VIDEO_RATES if first == 1 else [])]
    for rate_hz in rates:
        dataset = rc.open(steps_path, control_rate_hz=rate_hz, progress=False)
        one_epoch = batches(
            dataset,
            batch_size=100,
            streams=both(rate_hz, offsets),
            shuffle=True,
            seed=rate_hz.__hash__() & 0xFFFF,
            num_threads=1,
        )
        check_windows(next(one_epoch), offsets, STEPS)
        one_epoch.close()


@pytest.mark.parametrize("rate_hz", [1, 3, 10, 15, 24, 30, 60, 333, 1000, 23.976, 29.97])
def test_ticks_and_seconds_at_every_step(steps_path: Path, rate_hz: float) -> None:
    """A chunk of 24, as in the report of steps taken one too early."""
    offsets = [*range(-4, 20)]
    dataset = rc.open(steps_path, control_rate_hz=rate_hz, progress=False)
    windows = {"index": both(rate_hz, offsets)["index"]}
    seen = 0
    for batch in batches(dataset, streams=windows):
        check_windows(batch, offsets, STEPS)
        seen += len(batch["step_index"])
    assert seen == STEPS


@pytest.mark.parametrize(
    ("rate_hz", "times"), [(30, 5), (1, 1000), (29.97, 4), (23.976, 5), (60, 3), (7, 11), (50, 20)]
)
def test_steps_at_a_multiple_of_the_clock(steps_path: Path, rate_hz: float, times: int) -> None:
    dataset = rc.open(steps_path, control_rate_hz=rate_hz * times, progress=False)
    offsets = np.arange(1 - times, times + 1)
    seconds = (offsets / (rate_hz * times)).tolist()
    windows = {
        "index": [rc.Window(seconds=seconds, mode=mode, name=mode) for mode in ("hold", "nearest")],
        "value": rc.Window([0, 3], mode="mean", name="mean"),
    }
    ticks = 0
    for batch in batches(dataset, rate_hz=rate_hz, streams=windows):
        wanted = times * batch["step_index"][:, None] + offsets
        clipped = np.clip(wanted, 0, STEPS - 1)
        for mode in ("hold", "nearest"):
            np.testing.assert_array_equal(batch[mode], clipped)
            np.testing.assert_array_equal(batch[f"{mode}_is_pad"], wanted != clipped)
        # Each tick averages the samples of its own period, whatever the window's other ticks.
        last = times * (batch["step_index"][:, None] + np.array([0, 3]))
        first = np.maximum(last - times + 1, 0)
        whole = last < STEPS
        mean = ((first + last) / 2).astype(np.float32)
        np.testing.assert_array_equal(batch["mean"][..., 0][whole], mean[whole])
        np.testing.assert_array_equal(batch["mean_valid"][whole], True)
        ticks += len(wanted)
    assert ticks == (STEPS - 1) // times + 1


@pytest.mark.parametrize("rounding", ["nearest", "down", "up", "jitter"])
@pytest.mark.parametrize(("rate_hz", "times"), [(30, 5), (29.97, 4), (1, 1000), (24, 10)])
def test_stamps_at_a_multiple_of_the_clock(
    tmp_path: Path, rate_hz: float, times: int, rounding: str
) -> None:
    """150 Hz beside 30 Hz gives 5t-4 ... 5t, whatever was rounded."""
    steps = STEPS // times
    fraction = {29.97: (30000, 1001)}.get(rate_hz, (int(rate_hz), 1))
    ticks = np.arange(steps, dtype=object) * 10**9 * fraction[1]
    ticks = np.array([round(t / fraction[0]) for t in ticks], np.int64)
    exact = [i * 10**9 * fraction[1] for i in range(steps * times)]
    below = fraction[0] * times
    if rounding == "nearest":
        stamps = np.array([(2 * t + below) // (2 * below) for t in exact])
    elif rounding == "up":
        stamps = np.array([-(-t // below) for t in exact])
    else:
        stamps = np.array([t // below for t in exact])
    if rounding == "jitter":
        stamps = stamps + np.random.default_rng(3).integers(-400, 401, len(stamps))
    dataset = stamped(tmp_path, START_NS + stamps, times, START_NS + ticks)
    back = np.arange(1 - times, 1)
    windows = {
        "fast": [
            rc.Window(seconds=(back / (rate_hz * times)).tolist(), name="held"),
            rc.Window(0, mode="mean", name="mean"),
            rc.Window([0, -5], mode="max", name="max"),
        ],
    }
    count = 0
    for batch in batches(dataset, rate_hz=rate_hz, streams=windows):
        step = batch["step_index"][:, None]
        wanted = times * step + back
        np.testing.assert_array_equal(batch["held"][..., 0], np.maximum(wanted, 0))
        np.testing.assert_array_equal(batch["held_is_pad"], wanted < 0)
        np.testing.assert_array_equal(batch["held_valid"], wanted >= 0)
        mean = np.where(step == 0, 0, times * step - (times - 1) / 2).astype(np.float32)
        np.testing.assert_array_equal(batch["mean"][..., 0], mean)
        np.testing.assert_array_equal(batch["max"][..., 0], np.maximum(times * (step - [0, 5]), 0))
        np.testing.assert_array_equal(batch["max_valid"], step - [0, 5] >= 0)
        count += len(step)
    assert count == steps


def test_halfway_the_earlier_is_nearest(steps_path: Path) -> None:
    dataset = rc.open(steps_path, control_rate_hz=30, progress=False)
    windows = {"index": rc.Window(0, mode="nearest")}
    for batch in batches(dataset, rate_hz=60, streams=windows):
        np.testing.assert_array_equal(batch["index"][:, 0], batch["step_index"] // 2)


def test_without_snap_times_are_compared_exactly(tmp_path: Path) -> None:
    ticks = START_NS + np.arange(50) * 100_000_000
    dataset = stamped(tmp_path, ticks + 700, 1, ticks)
    for snap_ns, late in ((0, 1), (699, 1), (700, 0), (1000, 0)):
        for batch in batches(dataset, rate_hz=10, streams=["fast"], snap_ns=snap_ns):
            wanted = np.maximum(batch["step_index"] - late, 0)
            np.testing.assert_array_equal(batch["fast"][:, 0, 0], wanted)
            np.testing.assert_array_equal(batch["fast_valid"][:, 0], batch["step_index"] >= late)
    with pytest.raises(rc.Error, match="snap_ns"):
        rc.DataLoader(dataset, rate_hz=10, streams=["fast"], snap_ns=-1)


def test_of_several_stamps_within_the_snap_the_newest_counts(tmp_path: Path) -> None:
    ticks = START_NS + np.arange(20) * 100_000_000
    stamps = np.repeat(ticks, 4) + np.tile([-900, -300, 200, 1001], 20)
    dataset = stamped(tmp_path, stamps, 4, ticks)
    for batch in batches(dataset, rate_hz=10, streams=["fast"]):
        np.testing.assert_array_equal(batch["fast"][:, 0, 0], batch["step_index"] * 4 + 2)


def test_a_clock_of_short_periods_keeps_its_ticks_apart(tmp_path: Path) -> None:
    """The snap is less than half a period: at 1 MHz neighbours stay neighbours."""
    count = np.arange(1000)
    path = write(tmp_path, {"index": (rc.Feature("int64"), count)}, 1000)
    dataset = rc.open(path, control_rate_hz=1e6, progress=False)
    windows = {"index": rc.Window(seconds=[-1e-6, 0.0, 2e-6])}
    for batch in batches(dataset, streams=windows):
        wanted = batch["step_index"][:, None] + np.array([-1, 0, 2])
        np.testing.assert_array_equal(batch["index"], np.clip(wanted, 0, 999))


def test_a_video_rate_means_its_fraction(steps_path: Path) -> None:
    """29.97 is 30000/1001: after 1,001 s it has ticked 30,000 times."""
    for rate_hz in (29.97, 30000 / 1001, Fraction(30000, 1001)):
        dataset = rc.open(steps_path, control_rate_hz=rate_hz, progress=False)
        times = dataset.episodes[0]["index"].times_ns
        assert times[30_000] == 1_001_000_000_000
        (first, *_) = batches(dataset, rate_hz=29.97, streams=["index"])
        np.testing.assert_array_equal(first["time_ns"], times[first["step_index"]])


def test_a_tick_averages_its_own_period(tmp_path: Path) -> None:
    """Also in a window of one, and nothing in the middle of a dropout."""
    ticks = START_NS + np.arange(30) * 100_000_000
    stamps = (START_NS + np.arange(300) * 10_000_000).reshape(30, 10)
    fast = np.arange(300, dtype=np.float32).reshape(30, 10, 1)
    kept = [row if not 10 <= i < 20 else row[:0] for i, row in enumerate(fast)]
    times = [row if not 10 <= i < 20 else row[:0] for i, row in enumerate(stamps)]
    path = write(
        tmp_path,
        {
            "action": (rc.Feature("float32", (1,)), np.zeros((30, 1))),
            "action_time_ns": (rc.Feature("int64"), ticks),
            "force": (rc.Feature("float32", (1,), ragged=True), kept),
            "force_time_ns": (rc.Feature("int64", ragged=True), times),
        },
        30,
    )
    dataset = rc.open(path, progress=False)
    windows = {
        "force": [
            rc.Window(0, mode="mean", name="one"),
            rc.Window([0, 5], mode="mean", name="two"),
            rc.Window(range(-2, 1), mode="max", name="three"),
        ]
    }
    (batch,) = batches(dataset, rate_hz=10, streams=windows)
    step = batch["step_index"]
    valid = (step <= 10) | (step >= 20)
    mean = np.where(step == 0, 0.0, step * 10 - 4.5)
    mean[10] = 95.0  # samples 91 to 99: the dropout begins with 100
    mean[20] = 200.0  # where it ends
    np.testing.assert_array_equal(batch["one_valid"][:, 0], valid)
    np.testing.assert_array_equal(batch["one"][valid, 0, 0], mean[valid])
    np.testing.assert_array_equal(batch["two"][:, 0], batch["one"][:, 0])
    np.testing.assert_array_equal(batch["two"][:-5, 1], batch["one"][5:, 0])
    for back in range(3):
        column = batch["three_valid"][back:, 2 - back]
        np.testing.assert_array_equal(column, valid[: 30 - back])


def test_delta_timestamps_are_ticks(steps_path: Path) -> None:
    """LeRobot's windows, whose seconds are sums of floats."""
    for fps in (10, 15, 24, 30, 50, 60, 29.97):
        dataset = rc.open(steps_path, control_rate_hz=fps, progress=False)
        seconds = [float(t) for t in np.cumsum(np.full(16, 1 / fps)) - 1 / fps]
        (batch, *_) = batches(dataset, batch_size=STEPS, delta_timestamps={"index": seconds})
        wanted = batch["step_index"][:, None] + np.arange(16)
        np.testing.assert_array_equal(batch["index"], np.minimum(wanted, STEPS - 1))
        np.testing.assert_array_equal(batch["index_is_pad"], wanted >= STEPS)
        np.testing.assert_array_equal(batch["index_valid"], wanted < STEPS)


def test_wide_windows_in_any_order(steps_path: Path) -> None:
    """Each target is found, whichever way from the one before it lies."""
    dataset = rc.open(steps_path, control_rate_hz=30, progress=False)
    offsets = np.random.default_rng(5).integers(-900, 900, 200)
    windows = {
        "index": rc.Window(offsets, mode="hold", tolerance=0.01),
        "value": rc.Window(offsets, mode="max"),
    }
    (batch,) = batches(dataset.take([0]), batch_size=STEPS, streams=windows, rate_hz=0.5)
    wanted = 60 * (batch["step_index"][:, None] + offsets)
    inside = (wanted >= 0) & (wanted < STEPS)
    np.testing.assert_array_equal(batch["index"][inside], wanted[inside])
    np.testing.assert_array_equal(batch["value"][..., 0][inside], wanted[inside])
    np.testing.assert_array_equal(batch["index_valid"], inside)
