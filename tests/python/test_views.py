"""Views: episodes drawn and divided at random, and without some of their steps."""

from __future__ import annotations

import itertools
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python import flat_dataset

RNG = np.random.default_rng(5)
STEPS = [10, 1, 7, 0, 23, 4]
TOTAL = sum(STEPS)
VALUES = np.arange(TOTAL, dtype="f4")[:, None]
METADATA = [{"scene": scene, "file_path": f"f{e}"} for e, scene in enumerate("aababc")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> rc.Dataset:
    return flat_dataset.make(
        tmp_path_factory.mktemp("views") / "data",
        STEPS,
        {"x": VALUES},
        metadata=[{**each, "recording_folderpath": "gs://r"} for each in METADATA],
        tasks=["open", "close", "open", "", "wipe", "close"],
    )


def ids(dataset: rc.Dataset) -> list[int]:
    return [episode.id for episode in dataset]


def delivered(dataset: rc.Dataset, **options: Any) -> list[tuple[int, int]]:
    """Returns episode ids and ticks of all that a loader delivers."""
    loader = rc.DataLoader(dataset, 5, array="numpy", **{"streams": ["x"], **options})
    return [
        (int(episode), int(step))
        for batch in loader
        for episode, step in zip(batch["episode_id"], batch["step_index"], strict=True)
    ]


# ---- by an expression over metadata ----

KINDS = [
    {"ok": True, "score": 0.5, "n": 3, "scene": "a'b", "at": {"x": 1, "y z": [1, 2]}},
    {"ok": False, "score": None, "n": -4, "scene": "", "at": {"x": 2}, "Ok": 7},
    {"n": 2**40, "scene": "tür", "at": {}, "a/b": 1},
    {},
]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("metadata.ok", [0]),
        ("NOT metadata.ok", [1]),
        ("metadata.ok IS NULL", [2, 3]),
        ("metadata.Ok = 7", [1]),
        ("metadata.score > 0.25", [0]),
        ("metadata.score IS NULL", [1, 2, 3]),
        ("metadata.n < 0 OR metadata.n = 1099511627776", [1, 2]),
        ("metadata.scene = 'a''b'", [0]),
        ("metadata.scene LIKE 't_r'", [2]),
        ("length(metadata.scene) = 0", [1]),
        ("metadata.at.x BETWEEN 1 AND 2 AND id > 0", [1]),
        ("metadata.at.\"y z\" = '[1,2]'", [0]),
        ('metadata."a/b" = 1', [2]),
        ("metadata.at = '{}'", [2]),
        ("METADATA.[n] % 2 = 1 AND num_steps = 1", [0]),
        ("id = 0 OR metadata.ok", [0]),
    ],
)
def test_where_over_metadata(tmp_path: Path, expression: str, expected: list[int]) -> None:
    data = flat_dataset.make(
        tmp_path / "data", [1] * 4, {"x": np.zeros((4, 1), "f4")}, metadata=KINDS
    )
    assert ids(data.where(expression)) == expected
    assert ids(data.take([3, 2, 1, 0]).where(expression)) == expected[::-1]


def test_a_key_that_no_episode_has(data: rc.Dataset) -> None:
    message = "no episode has 'scenes' in its metadata; there are .*scene"
    with pytest.raises(rc.errors.InvalidArgumentError, match=message):
        data.where("metadata.scenes = 'a'")
    with pytest.raises(rc.errors.InvalidArgumentError, match=r"'scene\.part' in its metadata"):
        data.where("metadata.scene.part = 1")


def test_as_many_keys_as_one_likes(tmp_path: Path) -> None:
    metadata = [{f"k{k}": k for k in range(70)}]
    data = flat_dataset.make(
        tmp_path / "data", [1], {"x": np.zeros((1, 1), "f4")}, metadata=metadata
    )
    terms = [f"metadata.k{k} = {k}" for k in range(70)]
    assert ids(data.where(" AND ".join(terms))) == [0]
    with pytest.raises(rc.errors.InvalidArgumentError, match="'k70' in its metadata"):
        data.where(" AND ".join([*terms, "metadata.k70 IS NULL"]))


def test_where_over_the_metadata_of_many_episodes(tmp_path: Path) -> None:
    count = 1000
    data = flat_dataset.make(
        tmp_path / "data",
        [1] * count,
        {"x": np.zeros((count, 1), "f4")},
        metadata=[{"n": n, "text": "x" * (n % 7 * 100)} for n in range(count)],
    )
    assert ids(data.where("metadata.n % 10 = 3")) == list(range(3, count, 10))
    assert ids(data.where("id = 999 OR (id < 4 AND metadata.n > 1)")) == [2, 3, 999]
    assert len(data.where("length(metadata.text) > 500")) == sum(n % 7 > 5 for n in range(count))


# ---- at random ----


def test_episodes_are_drawn(bridge: rc.Dataset) -> None:
    drawn = ids(bridge.sample(10, seed=3))
    assert len(set(drawn)) == 10
    assert drawn == sorted(drawn)
    assert drawn == ids(bridge.sample(10, seed=3))
    assert drawn != ids(bridge.sample(10, seed=4))
    assert set(drawn) < set(ids(bridge.sample(11, seed=3)))
    assert ids(bridge.sample(len(bridge))) == ids(bridge)
    assert len(bridge.sample(0)) == 0
    with pytest.raises(rc.Error, match="n: found 51, wanted 0 to 50"):
        bridge.sample(51)
    within = bridge[10:30].sample(5, seed=3)
    assert set(ids(within)) < set(range(10, 30))


@pytest.mark.parametrize("fractions", [[0.8, 0.2], [0.5, 0.25, 0.25], [1 / 3] * 3, [0.1, 0.4]])
def test_episodes_are_divided(bridge: rc.Dataset, fractions: list[float]) -> None:
    parts = bridge.split_random(fractions, seed=1)
    found = [ids(part) for part in parts]
    joined = sorted(itertools.chain(*found))
    assert len(set(joined)) == len(joined)
    assert abs(len(joined) - len(bridge) * sum(fractions)) <= 1
    for part, fraction in zip(found, fractions, strict=True):
        assert part == sorted(part)
        assert abs(len(part) - len(bridge) * fraction) <= 1
    assert found == [ids(part) for part in bridge.split_random(fractions, seed=1)]
    assert found != [ids(part) for part in bridge.split_random(fractions, seed=2)]


def test_parts_may_have_names(bridge: rc.Dataset) -> None:
    parts = bridge.split_random({"train": 0.9, "val": 0.1})
    assert {name: len(part) for name, part in parts.items()} == {"train": 45, "val": 5}


@pytest.mark.parametrize(("by", "groups"), [("scene", "aababc"), ("task", "ocoxwc")])
def test_what_belongs_together_stays_together(data: rc.Dataset, by: str, groups: str) -> None:
    for seed in range(10):
        parts = data.split_random([0.5, 0.5], seed, by)
        assert sorted(itertools.chain(*map(ids, parts))) == list(range(len(STEPS)))
        assert not {groups[e] for e in ids(parts[0])} & {groups[e] for e in ids(parts[1])}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.9, 0.2],), r"fractions: found \[0.9, 0.2\], whose sum is 1.1"),
        (([],), "fractions: found"),
        (([-0.5, 0.5],), "fractions: found -0.5, wanted 0 or more"),
        (([0.5], -1), "seed: found -1"),
        (([0.5], 0, "person"), "by: found 'person', but the metadata of episode 0 has"),
        (("ab",), "fractions: found 'ab'|fractions: found 'a'"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_bad_fractions_are_named(data: rc.Dataset, arguments: Any, message: str) -> None:
    with pytest.raises(rc.Error, match=message):
        data.split_random(*arguments)


# ---- steps ----

KEEP = {0: [(2, 5), (9, 10)], 2: [(0, 7)], 4: [(20, 23), (3, 4), (4, 6)], 5: []}
KEPT = [(0, 2), (0, 3), (0, 4), (0, 9), *((2, i) for i in range(7))]
KEPT += [(4, 3), (4, 4), (4, 5), (4, 20), (4, 21), (4, 22)]


def masks(episode: rc.Episode) -> Any:
    mask = np.zeros(episode.num_steps, bool)
    for first, end in KEEP.get(episode.id, []):
        mask[first:end] = True
    return mask


def ways(folder: Path) -> list[Any]:
    ranges = folder / "ranges.json"
    ranges.write_text(json.dumps({str(key): found for key, found in KEEP.items()}))
    droid = folder / "droid.json"
    droid.write_text(
        json.dumps({f"gs://r--f{key}": found for key, found in KEEP.items()} | {"gs://x--y": []})
    )
    return [KEEP, masks, ranges, str(droid), lambda episode: masks(episode).tolist()]


@pytest.mark.parametrize("way", range(5))
def test_steps_are_kept(data: rc.Dataset, tmp_path: Path, way: int) -> None:
    view = data.steps(ways(tmp_path)[way])
    assert ids(view) == [0, 2, 4]
    assert view.num_steps == len(KEPT)
    assert delivered(view) == KEPT
    assert sorted(delivered(view, shuffle=True, seed=7)) == sorted(KEPT)
    found = view.statistics(["x"])["x"]
    begins = np.concatenate(([0], np.cumsum(STEPS)))
    values = VALUES[[begins[episode] + step for episode, step in KEPT]]
    assert found.num_samples == len(KEPT)
    assert found.mean[0] == pytest.approx(values.mean(dtype="f8"), rel=1e-12)
    assert found.q50[0] == np.median(values)


def test_what_a_view_amounts_to(data: rc.Dataset) -> None:
    view = data.steps(KEEP)
    split = view.contents().splits["train"]
    assert (split.num_episodes, split.num_steps) == (3, len(KEPT))
    assert f"steps     {len(KEPT)}" in str(view)
    assert "of 45 steps" in str(view)


def test_views_of_views_keep_what_both_do(data: rc.Dataset) -> None:
    view = data.steps(KEEP)
    assert delivered(view.where("id > 0")) == [each for each in KEPT if each[0] > 0]
    assert delivered(view[::-1]) == [each for e in (4, 2, 0) for each in KEPT if each[0] == e]
    late = view.steps(lambda episode: np.arange(episode.num_steps) >= 4)
    assert delivered(late) == [each for each in KEPT if each[1] >= 4]
    assert delivered(view.take([2, 0, 2])) == [
        each for e in (4, 0, 4) for each in KEPT if each[0] == e
    ]
    with pytest.warns(UserWarning, match="no episode"):
        none = view.steps({1: [(0, 1)]})
    assert (len(none), none.num_steps) == (0, 0)


def test_windows_reach_into_steps_that_are_not_kept(data: rc.Dataset) -> None:
    loader = rc.DataLoader(
        data.steps(KEEP), 1, array="numpy", streams={"x": rc.Window(range(-3, 2))}
    )
    batch = next(iter(loader))
    assert batch["x"][0, :, 0].tolist() == [0, 0, 1, 2, 3]
    assert batch["x_is_pad"][0].tolist() == [True, False, False, False, False]


def test_ticks_of_another_clock_are_of_the_step_before(data: rc.Dataset) -> None:
    view = data.steps({0: [(2, 4), (9, 10)]})
    assert delivered(view, rate_hz=20) == [(0, tick) for tick in (4, 5, 6, 7, 18)]
    assert delivered(view, rate_hz=5) == [(0, 1)]


@pytest.mark.parametrize("rate_hz", [100, 40, 11, 2.5])
def test_ticks_between_stamps_are_of_the_step_before(tmp_path: Path, rate_hz: float) -> None:
    gaps = RNG.integers(20, 200, TOTAL) * 1_000_000
    stamps = 10**18 + np.cumsum(gaps)
    data = flat_dataset.make(
        tmp_path / "stamped",
        [20, TOTAL - 20],
        {"x": VALUES, "x_time_ns": stamps},
        stamps={"x": "x_time_ns"},
    )
    kept = {0: [(3, 9), (15, 20)], 1: [(0, 2)]}
    expected = []
    for episode, own in ((0, stamps[:20]), (1, stamps[20:])):
        ticks = own[0] + np.round(np.arange(10_000) * 1e9 / rate_hz).astype(int)
        ticks = ticks[ticks <= own[-1]]
        steps = np.searchsorted(own, ticks, "right") - 1
        inside = [any(a <= step < b for a, b in kept[episode]) for step in steps]
        expected += [(episode, int(tick)) for tick in np.flatnonzero(inside)]
    assert delivered(data.steps(kept), rate_hz=rate_hz) == expected


def test_required_streams_leave_out_more(tmp_path: Path) -> None:
    stamps = 10**18 + np.arange(30) * 100_000_000
    late = stamps[:10] + 1_000_000_000
    data = flat_dataset.make(
        tmp_path / "required",
        [30],
        {"x": VALUES[:30], "x_time_ns": stamps, "y": VALUES[:10], "y_time_ns": late},
        stamps={"x": "x_time_ns", "y": "y_time_ns"},
        row_lengths={
            "y": [0] * 10 + [1] * 10 + [0] * 10,
            "y_time_ns": [0] * 10 + [1] * 10 + [0] * 10,
        },
    )
    options: dict[str, Any] = {
        "streams": {"x": rc.Window(0), "y": rc.Window(0, mode="hold", tolerance=0.01)},
        "clock": "x",
        "rate_hz": 10,
        "require": ["y"],
    }
    whole = delivered(data, **options)
    view = delivered(data.steps({0: [(5, 12), (15, 17), (25, 30)]}), **options)
    assert whole == [(0, tick) for tick in range(10, 20)]
    assert view == [(0, tick) for tick in (10, 11, 15, 16)]


def test_required_streams_are_looked_at_once_a_view(tmp_path: Path) -> None:
    steps = [15, 10, 12]
    total = sum(steps)
    stamps = 10**18 + np.arange(total) * 100_000_000
    late = stamps + np.where(RNG.random(total) < 0.3, 60_000_000, 0)
    data = flat_dataset.make(
        tmp_path / "once",
        steps,
        {"x": VALUES[:total], "x_time_ns": stamps, "y": VALUES[:total], "y_time_ns": late},
        stamps={"x": "x_time_ns", "y": "y_time_ns"},
    )
    streams = {"x": rc.Window(0), "y": rc.Window(0, mode="hold", tolerance=0.01)}
    options: dict[str, Any] = {"streams": streams, "clock": "x", "rate_hz": 10, "require": ["y"]}
    views = [lambda: data, lambda: data[1:], lambda: data.steps({1: [(1, 4), (6, 10)]})]
    found = [delivered(view(), **options) for view in views]
    assert len(found[0]) < total
    os.truncate(tmp_path / "once" / "stream_003.bin", 0)  # the stamps of y
    for view, wanted in zip(views, found, strict=True):
        loader = rc.DataLoader(view(), 1, array="numpy", **options)
        assert loader.num_samples == len(wanted)
        assert rc.DataLoader(view(), 5, shuffle=True, **options).num_samples == len(wanted)
    for other in (
        {"streams": {**streams, "y": rc.Window(0, mode="hold", tolerance=0.02)}},
        {"streams": {**streams, "y": rc.Window(0, mode="hold", max_gap=0.01)}},
        {"streams": {**streams, "y": rc.Window(0, mode="nearest", tolerance=0.01)}},
        {"streams": {**streams, "y": rc.Window(0, tolerance=0.01, outside="zero")}},
        {"streams": {**streams, "y": rc.Window(0, tolerance=0.01, clock_offset=0.1)}},
        {"streams": {**streams, "z": rc.Window(0, source="y")}},
        {"rate_hz": 20},
        {"clock": "y"},
        {"snap_ns": 0},
    ):
        with pytest.raises(rc.Error, match=r"stream_003\.bin"):
            rc.DataLoader(data, 1, **{**options, **other})
    with pytest.raises(rc.Error, match=r"stream_003\.bin"):
        rc.DataLoader(data[:2], 1, **options)


def test_a_view_is_pickled_with_its_steps(data: rc.Dataset) -> None:
    view = data.steps(KEEP)
    again = pickle.loads(pickle.dumps(view))
    assert delivered(again) == KEPT
    assert again._selection.fingerprint() == view._selection.fingerprint()
    assert view._selection.fingerprint() != data.take([0, 2, 4])._selection.fingerprint()


def test_a_state_of_other_steps_is_refused(data: rc.Dataset) -> None:
    state = rc.DataLoader(data.steps(KEEP), 2, streams=["x"]).state_dict()
    other = rc.DataLoader(data.steps({**KEEP, 0: [(2, 6)]}), 2, streams=["x"])
    with pytest.raises(rc.Error):
        other.load_state_dict(state)


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ({0: [(2, 11)]}, "episode 0: found the range 2 to 11, wanted one between 0 and 10"),
        ({0: [(3, 2)]}, "steps of episode 0: found .* which ends before it begins"),
        ({0: [(3,)]}, r"steps of episode 0: found \(3,\), wanted a pair"),
        ({0: "ab"}, "steps of episode 0: found 'ab', wanted"),
        ({99: [(0, 1)]}, "no episode 99, the dataset has 6"),
        (
            {"gs://x--y": [(0, 1)]},
            "no episode is of that name: wanted ids, or .* here 'gs://r--f0'",
        ),
        (lambda episode: [True], r"episode 0: found bool \[1\], wanted bool \[10\]"),
        (lambda episode: np.zeros(episode.num_steps), r"found float64 \[10\], wanted bool"),
        (7, "steps: found 7, wanted a function"),
        ("nowhere.json", "nowhere.json"),
    ],
)
def test_bad_steps_are_named(data: rc.Dataset, keep: Any, message: str) -> None:
    with pytest.raises((rc.Error, OSError), match=message):
        data.steps(keep)


def test_segments_are_of_whole_episodes(data: rc.Dataset) -> None:
    with pytest.raises(rc.Error, match="segments 'language': found a view with steps left out"):
        data.steps(KEEP).segments("language")


def test_an_error_of_the_function_is_the_users(data: rc.Dataset) -> None:
    def fail(episode: rc.Episode) -> Any:
        raise ZeroDivisionError(episode.id)

    with pytest.raises(ZeroDivisionError):
        data.steps(fail)
