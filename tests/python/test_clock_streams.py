"""Which streams an episode's clock is taken from, and what lies outside of it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import robocache as rc
from robocache._sheet import gather

START_NS = 1_760_000_000_000_000_000
HOUR_NS = 3_600 * 10**9
STEPS = 60
TICKS = np.arange(STEPS, dtype=np.int64) * 100_000_000


def write(folder: Path, **stamps: np.ndarray) -> Path:
    """An episode of 60 steps at 10 Hz. `stamps` [60] make a stream with one sample a step, [60, n]
    one with n; all begin with START_NS unless they say otherwise."""
    features: dict[str, rc.Feature] = {"state": rc.Feature("float32", (1,))}
    streams: dict[str, object] = {"state": np.arange(STEPS)[:, None].astype(np.float32)}
    for name, times in stamps.items():
        ragged = times.ndim == 2
        count = np.arange(times.size, dtype=np.float32).reshape(*times.shape, 1)
        features[name] = rc.Feature("float32", (1,), ragged=ragged)
        features[f"{name}_time_ns"] = rc.Feature("int64", ragged=ragged)
        streams[name] = list(count) if ragged else count
        streams[f"{name}_time_ns"] = list(times) if ragged else times
    with rc.RldsWriter(folder, "clocks", features) as writer:
        writer.add_episode(streams, split="train")
    return folder / "clocks"


def ragged(offset_ns: int = 0, per_step: int = 10) -> np.ndarray:
    step = 100_000_000 // per_step
    times = np.arange(STEPS * per_step, dtype=np.int64) * step
    return (START_NS + offset_ns + times).reshape(STEPS, per_step)


def load(path: Path, rate_hz: float = 10, control_rate_hz: float | None = 10, **options):
    dataset = rc.open(path, control_rate_hz=control_rate_hz, progress=False)
    options = {"batch_size": 1000, "array": "numpy", "num_threads": 1, **options}
    return rc.DataLoader(dataset, rate_hz=rate_hz, **options)


def one_batch(loader):
    with loader:
        (batch,) = loader
    return batch


@pytest.mark.parametrize("offset_ns", [HOUR_NS, -HOUR_NS, -START_NS])
def test_a_stream_with_a_foreign_clock_does_not_stretch_the_epoch(tmp_path, offset_ns):
    path = write(tmp_path, action=START_NS + TICKS, force=ragged(offset_ns))
    with pytest.warns(UserWarning, match="stream 'force' lies outside of the clock") as caught:
        loader = load(path)
    (warning,) = caught
    text = str(warning.message)
    assert "which is that of 'action', in 1 of 1 episodes" in text
    assert f"{abs(offset_ns) / 1e9:.9g} s {'after' if offset_ns > 0 else 'before'}" in text
    assert warning.filename == __file__
    assert loader.num_samples == STEPS
    batch = one_batch(loader)
    np.testing.assert_array_equal(batch["action"][:, 0, 0], np.arange(STEPS))
    np.testing.assert_array_equal(batch["time_ns"], START_NS + TICKS)
    assert not batch["action_is_pad"].any()


def test_streams_not_in_use_are_not_spoken_of(tmp_path):
    path = write(tmp_path, action=START_NS + TICKS, force=ragged(HOUR_NS))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(path, streams=["action", "state"]).num_samples == STEPS


def test_a_stream_that_overlaps_the_clock_is_no_warning(tmp_path):
    path = write(tmp_path, action=START_NS + TICKS, force=ragged(5_000_000_000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batch = one_batch(load(path, streams={"force": rc.Window(0)}))
    np.testing.assert_array_equal(batch["force_valid"][:, 0], batch["step_index"] >= 50)


def test_the_clock_is_by_default_the_actions(tmp_path):
    """Not that of a camera that began earlier: tick k has action k, and the image before it."""
    late = START_NS + TICKS + 30_000_000
    path = write(tmp_path, action=late, camera=START_NS + TICKS, force=ragged())
    batch = one_batch(load(path))
    np.testing.assert_array_equal(batch["time_ns"], late)
    np.testing.assert_array_equal(batch["action"][:, 0, 0], np.arange(STEPS))
    np.testing.assert_array_equal(batch["camera"][:, 0, 0], np.arange(STEPS))
    np.testing.assert_array_equal(batch["state"][:, 0, 0], np.arange(STEPS))


def test_without_an_action_it_is_that_of_streams_with_a_sample_a_step(tmp_path):
    path = write(tmp_path, camera=START_NS + TICKS + 5, lidar=START_NS + TICKS + 9, force=ragged())
    batch = one_batch(load(path, streams=["camera", "state"]))
    np.testing.assert_array_equal(batch["time_ns"], START_NS + 5 + TICKS)


def test_without_either_it_is_that_of_the_steps(tmp_path):
    path = write(tmp_path, force=ragged(), imu=ragged(HOUR_NS))
    with pytest.warns(
        UserWarning, match="'imu' lies outside of the clock, which is that of the steps"
    ):
        loader = load(path)
    batch = one_batch(loader)
    np.testing.assert_array_equal(batch["time_ns"], START_NS + TICKS)
    np.testing.assert_array_equal(batch["state"][:, 0, 0], np.arange(STEPS))


def test_clock_names_other_streams(tmp_path):
    path = write(tmp_path, action=START_NS + TICKS, force=ragged(30_000_000))
    batch = one_batch(load(path, clock="force", rate_hz=100, streams=["action", "force", "state"]))
    assert len(batch["step_index"]) == STEPS * 10
    np.testing.assert_array_equal(batch["force"][:, 0, 0], np.arange(STEPS * 10))
    np.testing.assert_array_equal(batch["time_ns"], ragged(30_000_000).ravel())
    # The steps stay where they are: with the action.
    np.testing.assert_array_equal(batch["state"], batch["action"])
    held = np.minimum((batch["step_index"] + 3) // 10, STEPS - 1)
    np.testing.assert_array_equal(batch["action"][:, 0, 0], held)
    joined = load(path, clock=["action", "force"], streams=["action"])
    assert joined.num_samples == STEPS + 1  # from the first action to the last force, 6.02 s
    on_steps = one_batch(load(path, clock=["state"], streams=["action", "state"]))
    np.testing.assert_array_equal(on_steps["state"][:, 0, 0], np.arange(STEPS))


def test_the_steps_may_lie_outside_of_a_named_clock(tmp_path):
    path = write(tmp_path, action=START_NS + TICKS, force=ragged(-HOUR_NS))
    with pytest.warns(UserWarning, match="lies outside of the clock") as caught:
        load(path, clock="force", streams=["state", "action", "force"])
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == 2
    for name, text in zip(("state", "action"), texts, strict=True):
        assert f"stream '{name}' lies outside of the clock, which is that of 'force'" in text
        assert "it begins 3600 s after the clock does" in text


def test_an_epoch_of_nothing_is_an_error_that_names_the_streams(tmp_path):
    path = write(tmp_path, action=START_NS + TICKS, force=ragged(HOUR_NS))
    with pytest.raises(rc.errors.InvalidArgumentError) as caught:
        load(path, clock=["action", "force"])
    text = str(caught.value)
    assert "the epoch has 36060 samples, more than ten times the 60 that its steps say" in text
    assert f"the stamps of 'action' begin at {START_NS} ns and those of 'force' end at" in text
    # Also where the steps' rate is unknown: one stream says how long an episode is.
    with pytest.raises(rc.errors.InvalidArgumentError, match="more than ten times"):
        load(path, clock=["action", "force"], control_rate_hz=None, streams=["action"])


def test_stamps_from_zero_beside_unix_time(tmp_path):
    """Two streams with one sample a step that speak of other times: 17.6 billion samples before."""
    path = write(tmp_path, camera=TICKS, lidar=START_NS + TICKS)
    with pytest.raises(rc.errors.InvalidArgumentError) as caught:
        load(path)
    assert "'camera' begin at 0 ns and those of 'lidar' end at" in str(caught.value)
    with pytest.warns(UserWarning, match="'camera' lies outside"):
        assert load(path, clock="lidar", streams=["camera", "lidar"]).num_samples == STEPS


def test_one_wild_stamp_of_the_action(tmp_path):
    ticks = START_NS + TICKS
    ticks[0] = 0
    path = write(tmp_path, action=ticks)
    with pytest.raises(rc.errors.InvalidArgumentError, match="'action' begin at 0 ns"):
        load(path)


def test_a_single_stretched_episode_is_a_warning(tmp_path):
    features = {"action": rc.Feature("float32", (1,)), "action_time_ns": rc.Feature("int64")}
    with rc.RldsWriter(tmp_path, "clocks", features) as writer:
        for index in range(20):
            ticks = START_NS + TICKS
            ticks[-1] += 100 * 10**9 if index == 7 else 0
            writer.add_episode(
                {"action": np.zeros((STEPS, 1)), "action_time_ns": ticks}, split="train"
            )
    with pytest.warns(UserWarning, match="1 of 20 episodes are more than ten times") as caught:
        load(tmp_path / "clocks")
    assert "in episode 7" in str(caught.pop().message)


@pytest.mark.parametrize("mode", ["hold", "linear", "nearest", "mean"])
def test_require_leaves_the_ticks_at_which_streams_are_valid(tmp_path, mode):
    """Whatever the window's own ticks are, and by its limits."""
    force = ragged()
    lost = [slice(0, 10), slice(25, 35), slice(50, 60)]
    gone = np.zeros(STEPS, bool)
    for part in lost:
        gone[part] = True
    features = {
        "action": rc.Feature("float32", (1,)),
        "action_time_ns": rc.Feature("int64"),
        "force": rc.Feature("float32", (1,), ragged=True),
        "force_time_ns": rc.Feature("int64", ragged=True),
    }
    with rc.RldsWriter(tmp_path, "clocks", features) as writer:
        for _ in range(3):
            streams = {
                "action": np.arange(STEPS)[:, None].astype(np.float32),
                "action_time_ns": START_NS + TICKS,
                "force": [np.ones((0 if lost else 10, 1)) for lost in gone],
                "force_time_ns": [
                    row[: 0 if lost else 10] for row, lost in zip(force, gone, strict=True)
                ],
            }
            writer.add_episode(streams, split="train")
    window = rc.Window(range(-3, 2), mode=mode, tolerance=0.06, max_gap=0.2)
    streams = {"force": window, "action": rc.Window(0)}
    every = one_batch(load(tmp_path / "clocks", streams=streams))
    some = one_batch(load(tmp_path / "clocks", streams=streams, require=["force"]))
    kept = every["force_valid"][:, 3]
    assert 0 < kept.sum() < len(kept) - 30
    for name in ("step_index", "episode_index", "force", "force_valid", "action"):
        np.testing.assert_array_equal(some[name], every[name][kept], err_msg=name)
    shuffled = one_batch(
        load(tmp_path / "clocks", streams=streams, require="force", shuffle=True, seed=3)
    )
    order = np.lexsort((shuffled["step_index"], shuffled["episode_index"]))
    np.testing.assert_array_equal(shuffled["step_index"][order], some["step_index"])


def test_require_without_limits_or_of_nothing(tmp_path):
    path = write(tmp_path, action=START_NS + TICKS, force=ragged(2_000_000_000))
    loader = load(path, streams=["action", "force"], require=["force", "action"])
    batch = one_batch(loader)
    np.testing.assert_array_equal(batch["step_index"], np.arange(20, STEPS))
    windows = {"action": rc.Window(0), "force": rc.Window(0, mode="mean", name="f")}
    assert load(path, streams=windows, require=["force"]).num_samples == 40
    other = write(tmp_path / "other", action=START_NS + TICKS, force=ragged(HOUR_NS))
    with (
        pytest.warns(UserWarning, match="'force' lies outside"),
        pytest.warns(UserWarning, match="force is valid at no tick"),
    ):
        empty = load(other, streams=["action", "force"], require=["force"])
    assert len(empty) == 0
    assert list(empty) == []


def test_require_looks_for_images(tmp_path):
    """An empty image is not valid."""
    features = {"image": rc.Feature("uint8", (8, 8, 3), encoding="png")}
    images = [np.zeros((8, 8, 3), np.uint8)] * STEPS
    images[5] = images[STEPS - 1] = b""
    with rc.RldsWriter(tmp_path, "clocks", features) as writer:
        writer.add_episode({"image": images}, split="train")
    batch = one_batch(load(tmp_path / "clocks", streams={"image": rc.Window(0)}, require="image"))
    assert batch["step_index"].tolist() == [i for i in range(STEPS - 1) if i != 5]
    assert batch["image_valid"].all()


def test_a_state_of_another_clock_is_refused(tmp_path):
    path = write(tmp_path, action=START_NS + TICKS, force=ragged())
    streams = ["action", "force"]
    state = load(path, streams=streams).state_dict()
    for options in ({"clock": "force"}, {"require": ["force"]}, {"snap_ns": 0}):
        with pytest.raises(rc.Error, match="state: "):
            load(path, streams=streams, **options).load_state_dict(state)


def test_wrong_names(tmp_path):
    path = write(tmp_path, action=START_NS + TICKS, force=ragged())
    for options in ({"clock": ["forze"]}, {"require": ["forze"]}):
        with pytest.raises(rc.errors.NotFoundError, match="forze"):
            load(path, streams=["action"], **options)
    with pytest.raises(rc.errors.InvalidArgumentError, match="no window takes stream 'force'"):
        load(path, streams=["action"], require=["force"])
    with pytest.raises(rc.errors.InvalidArgumentError, match=r"'action' has stamps and .*'state'"):
        load(path, streams=["action"], clock=["action", "state"])
    with pytest.raises(rc.errors.InvalidArgumentError, match="clock: no stream"):
        load(path, clock=[])
    with pytest.raises(rc.errors.ArgumentTypeError, match="clock"):
        load(path, clock=3)
    with pytest.raises(rc.errors.ArgumentTypeError, match="require"):
        load(path, require=[3])


PLACES = {"before": 2, "just before": 8, "at the first": 10, "between": 13, "in a gap": 27,
          "in its middle": 40, "at its end": 60, "at the last": 70, "just behind": 73,
          "behind": 85}  # fmt: skip
BEFORE, BEHIND, GAP = {"before", "just before"}, {"just behind", "behind"}, {"in a gap"}
MIDDLE = {"in its middle"}
# (tolerance, max_gap) to where a hold and where the other modes are not valid.
LIMITS: dict[tuple[float | None, float | None], tuple[set[str], set[str]]] = {
    (None, None): (BEFORE, BEFORE | BEHIND),
    (0.05, None): (BEFORE | GAP | MIDDLE | {"behind"}, {"before"} | GAP | MIDDLE | {"behind"}),
    (None, 0.15): (BEFORE | GAP | MIDDLE, BEFORE | GAP | MIDDLE | BEHIND),
    (0.08, 0.4): (BEFORE | MIDDLE | {"behind"}, MIDDLE | {"behind"}),
}


@pytest.mark.parametrize("mode", ["hold", "nearest", "linear", "cubic", "angle"])
def test_valid_is_that_of_the_operations(tmp_path, mode):
    """The table of docs/alignment.md; samples at 0.1, 0.2, 0.6 and 0.7 s of an episode of 1 s."""
    ticks = START_NS + np.arange(101, dtype=np.int64) * 10_000_000
    features = {
        "action": rc.Feature("float32", (1,)),
        "action_time_ns": rc.Feature("int64"),
        "seen": rc.Feature("float32", (1,), ragged=True),
        "seen_time_ns": rc.Feature("int64", ragged=True),
    }
    stamps = START_NS + np.array([10, 20, 60, 70]) * 10_000_000
    rows = [np.ones((4 if i == 0 else 0, 1)) for i in range(101)]
    streams = {
        "action": np.zeros((101, 1)),
        "action_time_ns": ticks,
        "seen": rows,
        "seen_time_ns": [stamps if i == 0 else stamps[:0] for i in range(101)],
    }
    with rc.RldsWriter(tmp_path, "clocks", features) as writer:
        writer.add_episode(streams, split="train")
    for (tolerance, max_gap), wrong in LIMITS.items():
        for outside in ("hold", "zero", "nan"):
            window = rc.Window(0, mode=mode, outside=outside, tolerance=tolerance, max_gap=max_gap)
            loader = load(tmp_path / "clocks", rate_hz=100, streams={"seen": window})
            batch = one_batch(loader)
            at = np.array(list(PLACES.values()))
            found = {
                place
                for place, ok in zip(PLACES, batch["seen_valid"][at, 0], strict=True)
                if not ok
            }
            assert found == wrong[mode != "hold"], (tolerance, max_gap)
            blank = {"hold": 1.0, "zero": 0.0, "nan": np.nan}[outside]
            expected = np.where(batch["seen_valid"], 1.0, blank)
            np.testing.assert_array_equal(batch["seen"][..., 0], expected)
            kept = load(tmp_path / "clocks", rate_hz=100, streams={"seen": window}, require="seen")
            np.testing.assert_array_equal(
                one_batch(kept)["step_index"], np.flatnonzero(batch["seen_valid"])
            )


def test_a_sheet_draws_the_mask_that_the_loader_delivers(tmp_path):
    """Stamps rounded up by some nanoseconds are at their tick."""
    features = {
        "action": rc.Feature("float32", (1,)),
        "action_time_ns": rc.Feature("int64"),
        "camera": rc.Feature("uint8", (8, 8, 3), encoding="png"),
        "camera_time_ns": rc.Feature("int64"),
    }
    streams = {
        "action": np.arange(STEPS)[:, None].astype(np.float32),
        "action_time_ns": START_NS + TICKS,
        "camera": [np.zeros((8, 8, 3), np.uint8)] * STEPS,
        "camera_time_ns": START_NS + TICKS + 7,
    }
    with rc.RldsWriter(tmp_path, "clocks", features) as writer:
        writer.add_episode(streams, split="train")
    dataset = rc.open(tmp_path / "clocks", control_rate_hz=10, progress=False)
    batch = one_batch(load(tmp_path / "clocks", streams={"camera": rc.Window(0, max_gap=0.1)}))
    sheet = gather(dataset, 0, 10, 4, 1, 0.1)
    assert batch["camera_valid"].all()
    np.testing.assert_array_equal(sheet.valid["camera"], batch["camera_valid"][:, 0])
