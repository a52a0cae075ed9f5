"""Statistics of streams against NumPy, in float64."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from robocache import statistics
from robocache.cli import main
from tests.python import flat_dataset
from tests.python.children import in_child

RNG = np.random.default_rng(17)
STEPS = [40, 1, 0, 97, 12]
TOTAL = sum(STEPS)
SHARES = [0.0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.777, 0.9, 0.99, 1.0]


def random_ints(dtype: str, shape: tuple[int, ...]) -> Any:
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max, shape, dtype, endpoint=True)


STREAMS = {
    "f32": RNG.normal(3, 2, (TOTAL, 7)).astype("f4"),
    "f64": RNG.normal(-1e6, 1e-3, (TOTAL, 3)),
    "f16": RNG.normal(0, 1, (TOTAL, 2)).astype("f2"),
    "scalar": RNG.normal(0, 1, TOTAL).astype("f4"),
    "one": RNG.normal(0, 1, (TOTAL, 1)),
    "bool": RNG.random((TOTAL, 3)) < [0.0, 0.3, 1.0],
    **{
        dtype: random_ints(dtype, (TOTAL, 2))
        for dtype in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
    },
    "matrix": RNG.normal(0, 1, (TOTAL, 4, 5)).astype("f4"),
    "wide": RNG.normal(0, 1, (TOTAL, 200)).astype("f4"),
    "volume": RNG.integers(0, 50, (TOTAL, 40, 50, 3)).astype("f4"),
}


def check(found: statistics.Statistics, values: Any, axes: tuple[int, ...] = (0,)) -> None:
    """Compares with NumPy over `axes`, to 1e-12 of what the values are like."""
    exact = values.astype("f8")
    spread = exact.std(axes)
    size = np.abs(exact).max(axes)
    np.testing.assert_array_equal(found.count, np.full(spread.shape, exact.size // spread.size))
    assert (np.abs(found.mean - exact.mean(axes)) <= 1e-12 * size).all()
    assert (np.abs(found.std - spread) <= 1e-12 * np.maximum(size, spread)).all()
    np.testing.assert_array_equal(found.min, exact.min(axes))
    np.testing.assert_array_equal(found.max, exact.max(axes))
    for share in SHARES if found.has_quantiles else []:
        np.testing.assert_array_equal(found.quantile(share), np.quantile(exact, share, axes))


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> rc.Dataset:
    return flat_dataset.make(tmp_path_factory.mktemp("flat") / "data", STEPS, STREAMS)


@pytest.mark.parametrize("name", STREAMS)
def test_statistics_equal_those_of_numpy(flat: rc.Dataset, name: str) -> None:
    found = flat.statistics([name], keep=False)[name]
    values = STREAMS[name]
    assert (found.num_samples, found.num_episodes) == (TOTAL, len(STEPS))
    if name == "volume":  # more than 4,096 elements: a channel a place of the last axis
        assert found.shape == (3,)
        check(found, values, (0, 1, 2))
    else:
        assert found.shape == values.shape[1:]
        check(found, values)
    assert found.has_quantiles == (name != "wide")
    if name != "volume":
        assert found.rank_error == 0


def test_all_streams_of_numbers_are_the_default(flat: rc.Dataset) -> None:
    table = flat.statistics(keep=False)
    assert list(table) == list(STREAMS)
    check(table["f32"], STREAMS["f32"])
    with pytest.raises(rc.Error, match="statistics of 'missing': not asked for; there are f32,"):
        table["missing"]


def test_what_is_not_finite_is_counted_apart(tmp_path: Path) -> None:
    values = RNG.normal(size=(50, 4))
    values[:, 3] = np.nan
    values[3:6, 0] = np.nan
    values[7, 1] = np.inf
    values[8:10, 1] = -np.inf
    values[:, 2] = 0.1
    for dtype in ("f8", "f4", "f2"):
        typed = values.astype(dtype)
        data = flat_dataset.make(tmp_path / dtype, [20, 30], {"x": typed})
        found = data.statistics(["x"])["x"]
        assert found.count.tolist() == [47, 47, 50, 0]
        assert found.num_nan.tolist() == [3, 0, 0, 50]
        assert found.num_positive_infinite.tolist() == [0, 1, 0, 0]
        assert found.num_negative_infinite.tolist() == [0, 2, 0, 0]
        for channel in range(3):
            kept = typed[np.isfinite(typed[:, channel]), channel].astype("f8")
            assert found.mean[channel] == pytest.approx(kept.mean(), rel=1e-12)
            assert found.q10[channel] == np.quantile(kept, 0.1)
        assert found.std[2] == 0
        assert found.mean[2] == typed[0, 2]
        assert found.constant_channels == [(2,)]
        assert np.isnan([found.mean[3], found.std[3], found.min[3], found.q50[3]]).all()
        assert found.as_dict()["mean"][3] is None
        json.dumps(found.as_dict(), allow_nan=False)


def many(count: int) -> Any:
    """Returns values of several kinds of distribution, in several orders."""
    ramp = np.arange(count, dtype="f4")
    return np.stack(
        [
            RNG.normal(size=count).astype("f4"),
            ramp,
            ramp[::-1],
            np.exp(RNG.normal(0, 5, count)).astype("f4"),
            (ramp % 977),
            np.where(RNG.random(count) < 0.999, 0, RNG.random(count)).astype("f4"),
        ],
        1,
    )


def rank_errors(found: statistics.Statistics, values: Any) -> float:
    """Returns by what share of all values the rank of a quantile is off, at most."""
    shares = np.linspace(0, 1, 1001)
    quantiles = np.stack([found.quantile(share) for share in shares])
    worst = 0.0
    for channel in range(values.shape[1]):
        column = np.sort(values[:, channel])
        low = np.searchsorted(column, quantiles[:, channel], "left") / len(column)
        high = np.searchsorted(column, quantiles[:, channel], "right") / len(column)
        worst = max(worst, (low - shares).max(), (shares - high).max())
    return worst


def test_quantiles_of_many_values_are_within_the_rank_error(tmp_path: Path) -> None:
    count = 900_000
    values = many(count)
    data = flat_dataset.make(tmp_path / "many", [count // 9] * 9, {"x": values})
    found = data.statistics(["x"], keep=False)["x"]
    assert 0 < found.rank_error <= 1e-4
    columns = np.ascontiguousarray(values.T, "f8")  # which NumPy sums pairwise
    assert rank_errors(found, columns.T) <= found.rank_error + 2 / count
    np.testing.assert_allclose(found.mean, columns.mean(1), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(found.std, columns.std(1), rtol=1e-12)
    assert found.q50[4] == 488  # few values are exact


def test_what_is_found_does_not_depend_on_threads(tmp_path: Path) -> None:
    count = 400_000
    data = flat_dataset.make(tmp_path / "many", [1000] * 400, {"x": many(count), "y": many(count)})
    one, two, five = (
        data.statistics(["x", "y"], keep=False, num_threads=threads) for threads in (1, 2, 5)
    )
    for name in ("x", "y"):
        assert pickle.dumps(one[name]) == pickle.dumps(two[name]) == pickle.dumps(five[name])


def test_parts_merge(tmp_path: Path) -> None:
    count = 300_000
    values = many(count)
    data = flat_dataset.make(tmp_path / "many", [3000] * 100, {"x": values})
    parts = [data[first::3].statistics(["x"], keep=False)["x"] for first in range(3)]
    parts.append(data[:0].statistics(["x"], keep=False)["x"])
    merged = statistics.merge(parts)
    whole = data.statistics(["x"], keep=False)["x"]
    assert merged.num_samples == count
    assert merged.num_episodes == 100
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(merged.std, whole.std, rtol=1e-12)
    np.testing.assert_array_equal(merged.min, whole.min)
    np.testing.assert_array_equal(merged.count, whole.count)
    assert rank_errors(merged, values.astype("f8")) <= merged.rank_error + 2 / count
    assert merged.rank_error <= 2e-4
    copied = pickle.loads(pickle.dumps(merged))
    np.testing.assert_array_equal(copied.q10, merged.q10)


def test_merging_few_values_is_exact(flat: rc.Dataset) -> None:
    parts = [flat[at : at + 1].statistics(["f32"], keep=False)["f32"] for at in range(len(STEPS))]
    check(statistics.merge(parts), STREAMS["f32"])


def test_what_does_not_go_together_does_not_merge(flat: rc.Dataset) -> None:
    table = flat.statistics(["f32", "f64", "int8"], keep=False)
    with pytest.raises(rc.Error, match=r"part 1 is of stream 'f64', float64 \[3\], part 0 of"):
        statistics.merge([table["f32"], table["f64"]])
    with pytest.raises(rc.Error, match="merge: found no parts"):
        statistics.merge([])
    with pytest.raises(rc.errors.ArgumentTypeError, match="merge: found 3, wanted Statistics"):
        statistics.merge([table["f32"], 3])


def test_values_of_another_shape_are_not_normalised(flat: rc.Dataset) -> None:
    found = flat.statistics(["f32"], keep=False)["f32"]
    for way in (found.normalize, found.denormalize):
        with pytest.raises(rc.Error, match=r"values: found shape \[2, 4\], wanted \[\.\.\., 7\]"):
            way(np.zeros((2, 4)))


def test_ragged_streams_count_all_rows(tmp_path: Path) -> None:
    lengths = RNG.integers(0, 9, 30)
    cloud = RNG.normal(size=(lengths.sum(), 3)).astype("f4")
    data = flat_dataset.make(
        tmp_path / "ragged", [10, 20], {"cloud": cloud}, row_lengths={"cloud": lengths}
    )
    found = data.statistics(["cloud"])["cloud"]
    assert found.num_samples == lengths.sum()
    check(found, cloud)
    kept = data.steps({0: [(2, 5), (9, 10)], 1: [(0, 1)]})
    ends = np.concatenate(([0], np.cumsum(lengths)))
    rows = [cloud[ends[a] : ends[b]] for a, b in [(2, 5), (9, 10), (10, 11)]]
    check(kept.statistics(["cloud"])["cloud"], np.concatenate(rows))


def test_a_long_episode_is_read_in_pieces(tmp_path: Path) -> None:
    values = RNG.normal(size=(3_000_000, 2))
    data = flat_dataset.make(tmp_path / "long", [10, 2_999_980, 10], {"x": values})
    found = data.statistics(["x"], keep=False)["x"]
    assert found.count.tolist() == [3_000_000] * 2
    np.testing.assert_allclose(found.mean, values.mean(0), atol=1e-12)
    np.testing.assert_allclose(found.std, values.std(0), rtol=1e-12)


# ---- kept ----


def kept_files(dataset: rc.Dataset) -> list[Path]:
    return sorted(Path(f"{dataset.catalog_path}.statistics").glob("*"))


def test_they_are_kept_for_each_view(bridge_copy: Path, tmp_path: Path) -> None:
    path = shutil.copytree(bridge_copy, tmp_path / "bridge" / "1.0.0")
    dataset = rc.open(path, progress=False)
    whole = dataset.statistics(["action"])["action"]
    assert len(kept_files(dataset)) == 1
    train = dataset.split("train").statistics(["action", "observation/state"])
    assert len(kept_files(dataset)) == 3
    times = [each.stat().st_mtime_ns for each in kept_files(dataset)]
    again = rc.open(path, progress=False)
    assert pickle.dumps(again.statistics(["action"])["action"]) == pickle.dumps(whole)
    assert pickle.dumps(again.split("train").statistics(["action"])["action"]) == pickle.dumps(
        train["action"]
    )
    assert [each.stat().st_mtime_ns for each in kept_files(dataset)] == times
    kept = kept_files(dataset)[0]
    for damage in (b"", b"RBCSTAT1", kept.read_bytes()[:-1], b"x" * 200):
        kept.write_bytes(damage)  # of no use: computed anew, and kept again
        for name in ("action", "observation/state"):
            again.statistics([name])
            again.split("train").statistics([name])
        assert pickle.dumps(again.statistics(["action"])["action"]) == pickle.dumps(whole)
        assert len(kept.read_bytes()) > 300


def test_changed_data_has_other_statistics(tmp_path: Path) -> None:
    def write(value: float, append: bool) -> rc.Dataset:
        features = {"action": rc.Feature("float32", (2,))}
        with rc.RldsWriter(tmp_path, "changing", features, append=append) as writer:
            writer.add_episode({"action": np.full((5, 2), value)}, split="train")
        return rc.open(tmp_path / "changing", progress=False)

    assert write(1.0, False).statistics(["action"])["action"].max.tolist() == [1, 1]
    assert write(4.0, True).statistics(["action"])["action"].max.tolist() == [4, 4]


def test_where_the_folder_cannot_be_written_they_are_kept_in_the_cache(
    bridge_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBOCACHE_CACHE", str(tmp_path / "cache"))
    catalog = tmp_path / "fixed" / "catalog.sqlite"
    catalog.parent.mkdir()
    dataset = rc.open(bridge_path, catalog=catalog, progress=False)
    catalog.parent.chmod(0o555)
    try:
        found = dataset.statistics(["action"])["action"]
        assert not kept_files(dataset)
        assert len(list((tmp_path / "cache").glob("*.statistics/*"))) == 1
        assert pickle.dumps(dataset.statistics(["action"])["action"]) == pickle.dumps(found)
    finally:
        catalog.parent.chmod(0o755)


def test_threads_may_ask_for_the_same(tmp_path: Path) -> None:
    data = flat_dataset.make(tmp_path / "data", [50] * 100, {"x": many(5000)})
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: data.statistics(["x"], num_threads=2)["x"], range(8)))
    assert len({pickle.dumps(each) for each in found}) == 1
    assert len(kept_files(data)) == 1


@pytest.mark.forks
def test_a_forked_child_counts(tmp_path: Path) -> None:
    data = flat_dataset.make(tmp_path / "data", [50] * 100, {"x": many(5000)})
    expected = pickle.dumps(data.statistics(["x"], keep=False)["x"])

    def count() -> None:
        assert pickle.dumps(data.statistics(["x"], keep=False, num_threads=2)["x"]) == expected

    in_child(count)


# ---- images ----


def test_images_are_sampled_where_asked(bridge: rc.Dataset) -> None:
    name = "observation/image_0"
    with pytest.raises(rc.Error, match="found 0 images, wanted more"):
        bridge.statistics([name])
    every = bridge.statistics([name], images=10**6, keep=False)[name]
    pixels = np.concatenate([episode[name].values for episode in bridge])
    assert (every.num_samples, every.shape, every.dtype) == (len(pixels), (3,), "uint8")
    check(every, pixels, (0, 1, 2))
    some = bridge.statistics([name], images=25, keep=False)[name]
    at = [int(len(pixels) * (i + 0.5) / 25) for i in range(25)]
    check(some, pixels[at], (0, 1, 2))
    table = bridge.statistics(images=2, keep=False)
    assert {"action", name} <= set(table)
    assert "language_instruction" not in table


@pytest.mark.parametrize(
    ("streams", "options", "message"),
    [
        (["nothing"], {}, "stream 'nothing': not in the dataset"),
        (["language_instruction"], {}, "stream 'language_instruction' is text, not numbers"),
        ("action", {}, "streams: found 'action', wanted a list of names"),
        (["action"], {"images": -1}, "images: found -1, wanted 0 or more"),
        (["action"], {"num_threads": -1}, "num_threads: found -1, wanted 0 to 1024"),
        (["action"], {"on_error": "mask"}, "on_error: found 'mask'"),
    ],
)
def test_bad_arguments_are_named(
    bridge: rc.Dataset, streams: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(rc.Error, match=message):
        bridge.statistics(streams, **options)


def test_damage_is_raised_or_counted(tmp_path: Path) -> None:
    values = RNG.normal(size=(40, 2))
    data = flat_dataset.make(tmp_path / "data", [10, 10, 10, 10], {"x": values}, episodes_a_part=1)
    file = tmp_path / "data" / "stream_000.bin"
    file.write_bytes(values.tobytes()[: 25 * 16])
    with pytest.raises(rc.Error, match=r"episode 2: .*stream_000.bin"):
        data.statistics(["x"], num_threads=3)
    found = data.statistics(["x"], on_error="skip")["x"]
    assert (found.num_skipped, found.num_episodes) == (2, 2)
    assert found.problem is not None
    assert "stream_000.bin" in found.problem
    check(found, values[:20])
    assert not kept_files(data)


# ---- what they are for ----


@pytest.mark.parametrize("kind", statistics.KINDS)
def test_normalising_goes_both_ways(tmp_path: Path, kind: str) -> None:
    values = RNG.normal(5, 3, (400, 4)).astype("f4")
    values[:, 2] = 7
    values[:, 3] = np.nan
    found = flat_dataset.make(tmp_path / "data", [400], {"x": values}).statistics(["x"])["x"]
    scale, offset = found.scale_offset(kind)
    normal = found.normalize(values, kind)
    assert normal.dtype == np.float32
    np.testing.assert_allclose(normal[:, :3], values[:, :3] * scale[:3] + offset[:3], atol=1e-5)
    assert (normal[:, 2] == 0).all()
    assert (scale[2:] == 1).all()
    assert offset[3] == 0
    if kind == "mean_std":
        np.testing.assert_allclose(normal[:, :2].mean(0), 0, atol=1e-6)
        np.testing.assert_allclose(normal[:, :2].std(0), 1, atol=1e-6)
    else:
        low, high = found.bounds(kind)
        np.testing.assert_allclose(low[:2] * scale[:2] + offset[:2], -1, atol=1e-12)
        np.testing.assert_allclose(high[:2] * scale[:2] + offset[:2], 1, atol=1e-12)
    np.testing.assert_allclose(found.denormalize(normal, kind), values, atol=1e-5)
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(values)
    again = found.denormalize(found.normalize(tensor, kind), kind)
    assert again.dtype == torch.float32
    np.testing.assert_allclose(again.numpy(), values, atol=1e-5)


def test_export_to_lerobot(bridge: rc.Dataset, tmp_path: Path) -> None:
    table = bridge.statistics(["action", "observation/image_0", "is_last"], images=10, keep=False)
    table.to_lerobot(tmp_path / "stats.json")
    written = json.loads((tmp_path / "stats.json").read_text())
    keys = {"min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"}
    assert all(set(each) == keys for each in written.values())
    assert written["action"]["mean"] == table["action"].mean.tolist()
    assert written["action"]["count"] == [bridge.num_steps]
    assert np.shape(written["is_last"]["mean"]) == (1,)
    image = written["observation/image_0"]
    assert np.shape(image["mean"]) == (3, 1, 1)
    assert image["count"] == [10]
    found = table["observation/image_0"]
    np.testing.assert_allclose(np.ravel(image["q99"]), found.q99 / 255)


def test_export_to_openvla(bridge: rc.Dataset, tmp_path: Path) -> None:
    table = bridge.statistics(["action", "observation/state"], keep=False)
    table.to_openvla(tmp_path / "dataset_statistics.json", proprio="observation/state")
    written = json.loads((tmp_path / "dataset_statistics.json").read_text())
    assert list(written) == [bridge.name]
    found = written[bridge.name]
    assert found["num_transitions"] == bridge.num_steps
    assert found["num_trajectories"] == len(bridge)
    actions = np.concatenate([episode["action"].values for episode in bridge]).astype("f8")
    np.testing.assert_allclose(found["action"]["mean"], actions.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found["action"]["q99"], np.quantile(actions, 0.99, 0))
    assert found["action"]["mask"] == [True] * 6 + [False]
    assert len(found["proprio"]["q01"]) == 7
    none = table.to_openvla(name="mine", mask=[True] * 7)["mine"]
    assert none["proprio"]["std"] == [0.0] * 7
    assert none["action"]["mask"] == [True] * 7
    with pytest.raises(rc.Error, match="mask: 2 channels found, wanted 7, those of 'action'"):
        table.to_openvla(mask=[True, False])


def test_progress_is_told(bridge: rc.Dataset) -> None:
    told: list[tuple[int, ...]] = []
    names = ["action", "observation/image_0"]
    bridge.statistics(names, images=40, keep=False, progress=lambda *counts: told.append(counts))
    assert told[0] == (0, 50, 0, 40)
    assert told[-1] == (50, 50, 40, 40)
    assert (50, 50, 32, 40) in told  # images come in rounds of 32
    assert told == sorted(told)
    told.clear()
    for _ in range(2):
        bridge.statistics(["action"], progress=lambda *counts: told.append(counts))
    assert told.count((50, 50, 0, 0)) <= 1  # what was kept is not counted again
    calls = iter(range(10))
    with pytest.raises(rc.errors.CancelledError, match="statistics: cancelled"):
        bridge.statistics(names, images=40, keep=False, progress=lambda *_: next(calls) < 1)
    assert next(calls) == 2
    with pytest.raises(ZeroDivisionError):
        bridge.statistics(["action"], keep=False, progress=lambda *_: 1 / 0)
    with pytest.raises(rc.errors.ArgumentTypeError, match="progress"):
        bridge.statistics(["action"], progress="yes")  # type: ignore[arg-type]


def test_a_bar_is_drawn(bridge: rc.Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    bridge.statistics(["action", "observation/image_0"], images=40, keep=False, progress=True)
    drawn = capsys.readouterr().err
    assert drawn.count("\n") == 1
    lines = drawn.split("\r")
    assert re.search(r"statistics of bridge_dataset \[\.+\]   0%  0/50 episodes", lines[1])
    assert re.search(r"statistics of bridge_dataset \[#+\] 100%  40/40 images", lines[-1])
    bridge.statistics(["action"], keep=False)  # stderr is no terminal
    bridge.statistics(["action"], keep=False, progress=False)
    assert capsys.readouterr().err == ""


def test_the_command_prints_them(
    bridge_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shutil.copytree(bridge_copy, tmp_path / "bridge" / "1.0.0")
    assert main(["stats", str(path), "--no-progress"]) == 0
    shown = capsys.readouterr().out
    assert "action[6]" in shown
    assert "too many channels for quantiles" in shown.partition("language_embedding[0]")[2]
    assert main(["stats", str(path), "--json", "--stream", "action", "--split", "train"]) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = rc.open(path, progress=False).split("train").statistics(["action"])["action"]
    assert printed["streams"]["action"]["mean"] == expected.mean.tolist()
    out = tmp_path / "stats.json"
    assert main(["stats", str(path), "--images", "3", "--lerobot", str(out)]) == 0
    assert "observation/image_0" in json.loads(out.read_text())
    assert main(["stats", str(path), "--openvla", str(out), "--proprio", "observation/state"]) == 0
    assert "proprio" in json.loads(out.read_text())["bridge_dataset"]
