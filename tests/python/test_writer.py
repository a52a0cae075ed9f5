"""The writer stores what the reader reads, and refuses the rest by name."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest

import robocache as rc

START_NS = 1_760_000_000_000_000_000
FEATURES = {
    "value": rc.Feature("float32", (2,)),
    "value_time_ns": rc.Feature("int64"),
    "force": rc.Feature("float32", (3,), ragged=True),
    "force_time_ns": rc.Feature("int64", ragged=True),
    "level": rc.Feature("uint8"),
    "count": rc.Feature("int64"),
    "flag": rc.Feature("bool"),
    "picture": rc.Feature("uint8", (4, 5, 3), encoding="png"),
    "depth": rc.Feature("uint16", (4, 5, 1), encoding="png"),
    "instruction": rc.Feature("str"),
}
METADATA = {"success": rc.Feature("bool"), "mass": rc.Feature("float32", (2,))}


def png(shape, dtype=np.uint8):
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.zeros(shape, dtype)).save(buffer, "png")
    return buffer.getvalue()


def steps(**changes):
    """An episode of three steps, with some streams replaced."""
    pytest.importorskip("PIL")
    sound = {
        "value": np.arange(6.0).reshape(3, 2),
        "value_time_ns": START_NS + np.arange(3) * 100,
        "force": [np.ones((2, 3)), [], np.ones((1, 3))],
        "force_time_ns": [[START_NS, START_NS + 1], [], [START_NS + 9]],
        "level": [0, 255, 7],
        "count": [-(2**63), 2**63 - 1, 0],
        "flag": [True, 0, 1],
        "picture": [np.zeros((4, 5, 3), np.uint8), b"", png((4, 5, 3))],
        "depth": [np.zeros((4, 5), np.uint16), np.ones((4, 5, 1), np.uint16), b""],
        "instruction": ["push", "push", b"push"],
    }
    return {**sound, **changes}


SOUND_METADATA = {"success": True, "mass": [1.0, 2.0]}


@pytest.fixture
def writer(tmp_path):
    with rc.RldsWriter(tmp_path, "toy", FEATURES, metadata=METADATA) as writer:
        yield writer
        writer.add_episode(steps(), SOUND_METADATA)
    dataset = rc.open(tmp_path / "toy", progress=False)
    assert len(dataset) == 1  # and nothing of what was refused
    np.testing.assert_array_equal(dataset.episodes[0]["level"].values, [0, 255, 7])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value_time_ns": [START_NS, START_NS - 1, START_NS]}, "value_time_ns: sample 1: .*back"),
        ({"value_time_ns": [0.1, 0.2, 0.3]}, r"\['value_time_ns'\]: .*float64 found, int64 wanted"),
        ({"value_time_ns": np.array([1.0, 2.0, 3.0])}, r"\['value_time_ns'\].*whole nanoseconds"),
        ({"force_time_ns": [[1, 2], [], []]}, "force_time_ns: step 2 has 0 stamps, 'force' has 1"),
        ({"force_time_ns": [[1], [2], [9]]}, "force_time_ns: step 0 has 1 stamps, 'force' has 2"),
        ({"force_time_ns": [[5, 4], [], [9]]}, "force_time_ns: step 0, sample 1: .*4 after 5"),
        ({"force_time_ns": [[1, 2], [], [0.5]]}, r"\['force_time_ns'\]\[2\]: dtype float64 found"),
        ({"force": [np.ones((3, 2)), [], [[1, 1, 1]]]}, r"\['force'\]\[0\]: .*\[3, 2\] found"),
        ({"force": [1.0, 2.0, 3.0]}, r"\['force'\]\[0\]: found 1.0, wanted a sequence"),
        ({"value": np.zeros((3, 3))}, r"\['value'\]: shape \[3, 3\] found, \[T, 2\] wanted"),
        ({"value": [[1, 2], [3], [4, 5]]}, r"\['value'\]: found what makes no array"),
        ({"value": np.full((3, 2), 1e39)}, r"\['value'\]\[0, 0\]: 1e\+39 found, what float32"),
        ({"value": 1.0}, r"\['value'\]: found 1.0, wanted a sequence with one entry a step"),
        ({"value": np.float32(1)}, r"\['value'\]: found .*1.0.*, wanted a sequence"),
        ({"value": ["a", "b", "c"]}, r"\['value'\]: dtype <U1 found, float32 wanted"),
        ({"level": [0, 300, 1]}, r"\['level'\]\[1\]: 300 found, 0 to 255 wanted"),
        ({"level": [0, 1, -1]}, r"\['level'\]\[2\]: -1 found, 0 to 255 wanted"),
        ({"count": [0, np.nan, 1]}, r"\['count'\]: dtype float64 found, int64 wanted"),
        ({"count": np.array([0, 2**63, 1], np.uint64)}, r"\['count'\]\[1\]: 9223372036854775808 "),
        ({"flag": [0, 1, 2]}, r"\['flag'\]\[2\]: 2 found, 0 or 1 wanted"),
        ({"picture": [np.zeros((5, 5, 3), np.uint8)] * 3}, r"\['picture'\]\[0\]: .*\[5, 5, 3\]"),
        ({"picture": [np.zeros((4, 5, 3))] * 3}, r"\['picture'\]\[0\]: dtype float64 found, uint8"),
        ({"picture": [b"", b"", png((4, 6, 3))]}, r"picture: sample 2: .*\[4, 6, 3\]"),
        ({"picture": [b"", png((4, 5)), b""]}, r"picture: sample 1: .*\[4, 5, 1\] and uint8"),
        ({"picture": [b"no", b"", b""]}, "picture: sample 0: .*neither JPEG nor PNG"),
        ({"picture": [b"", b"", png((4, 5, 3))[:-20]]}, "picture: sample 2: "),
        ({"picture": ["x.png"] * 3}, r"\['picture'\]\[0\]: found 'x.png', wanted bytes or"),
        ({"depth": [np.zeros((4, 5), np.uint8)] * 3}, r"\['depth'\]\[0\]: dtype uint8 found"),
        ({"depth": [b"", b"", png((4, 5))]}, "depth: sample 2: .*uint8, .* and uint16"),
        ({"instruction": "abc"}, r"\['instruction'\]: found 'abc', wanted a sequence"),
        ({"instruction": ["a", 1, "b"]}, r"\['instruction'\]\[1\]: found int, wanted str"),
        (
            {"instruction": ["a", "\udcff", "b"]},
            r"\['instruction'\]\[1\]: found '.udcff', wanted text",
        ),
        ({"instruction": ["a", b"\xff", "b"]}, "instruction: sample 1: not UTF-8 at its byte 0"),
        ({"instruction": ["a", "b"]}, r"\['instruction'\]: 2 steps found, others have 3"),
        ({"value_time_ns": [1, 2]}, r"\['value_time_ns'\]: 2 steps found, others have 3"),
        ({"more": [1, 2, 3]}, "'more' was not declared"),
    ],
)
def test_what_the_reader_would_refuse_or_misread(writer, changes, message):
    with pytest.raises(rc.Error, match=message):
        writer.add_episode(steps(**changes), SOUND_METADATA)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({**SOUND_METADATA, "success": 2}, r"metadata\['success'\]: 2 found, 0 or 1 wanted"),
        ({**SOUND_METADATA, "mass": [1.0]}, r"metadata\['mass'\]: shape \[1\] found, \[2\] wanted"),
        ({"success": True}, "metadata: 'mass' is missing"),
        (None, "metadata: 'success' is missing"),
        ([1], "metadata: found list, wanted a mapping"),
    ],
)
def test_metadata_that_does_not_fit(writer, metadata, message):
    with pytest.raises(rc.Error, match=message):
        writer.add_episode(steps(), metadata)


def test_an_episode_without_steps(tmp_path):
    with rc.RldsWriter(tmp_path, "toy", {"x": rc.Feature()}) as writer:
        with pytest.raises(rc.Error, match="0 steps found, wanted at least 1"):
            writer.add_episode({"x": []})
        with pytest.raises(rc.Error, match="steps: found list"):
            writer.add_episode([1.0])
        writer.add_episode({"x": [1, 2]})  # whole numbers in a float stream are floats


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"x": rc.Feature(), "x_time_ns": rc.Feature("float64")}, "'x' are int64.*float64"),
        ({"x": rc.Feature(), "x_time_ns": rc.Feature("int64", (2,))}, r"int64 of shape \[2\]"),
        ({"x": rc.Feature(ragged=True), "x_time_ns": rc.Feature("int64")}, "x_time_ns.*not ragged"),
        ({"x": 1}, r"features\['x'\]: found 1, wanted a Feature"),
    ],
)
def test_features_that_cannot_be(tmp_path, features, message):
    with pytest.raises(rc.Error, match=message):
        rc.RldsWriter(tmp_path, "toy", features)
    assert not any(tmp_path.iterdir())


def test_no_more_features_than_are_read(tmp_path):
    features = {f"x{i}": rc.Feature("float32") for i in range(4097)}
    with pytest.raises(rc.Error, match="4096 streams and 1 of metadata; wanted at most 4096"):
        rc.RldsWriter(
            tmp_path, "many", dict(list(features.items())[1:]), metadata={"m": rc.Feature("bool")}
        )
    del features["x0"]
    with rc.RldsWriter(tmp_path, "many", features, control_rate_hz=10) as writer:
        writer.add_episode({name: [1] for name in features})
    dataset = rc.open(tmp_path / "many", catalog=tmp_path / "c.sqlite", progress=False)
    assert len(dataset.streams) == 4096


def test_wrong_arguments(tmp_path):
    with pytest.raises(rc.Error, match=r"Feature: shape 7 found, wanted a tuple"):
        rc.Feature("float32", 7)
    with pytest.raises(rc.Error, match=r"Feature: dtype: found .*, wanted a string"):
        rc.Feature(np.float32)
    with pytest.raises(rc.Error, match="on_error: found 'skip'"):
        rc.RldsWriter(tmp_path, "toy", {"x": rc.Feature()}, on_error="skip")
    with pytest.raises(rc.Error, match="control_rate_hz: 0 found"):
        rc.RldsWriter(tmp_path, "toy", {"x": rc.Feature()}, control_rate_hz=0)


def test_the_control_rate_is_stored(tmp_path):
    with rc.RldsWriter(tmp_path, "toy", {"x": rc.Feature()}, control_rate_hz=12.5) as writer:
        writer.add_episode({"x": np.arange(4)})
    dataset = rc.open(tmp_path / "toy", progress=False)
    assert dataset.control_rate_hz == 12.5
    np.testing.assert_array_equal(dataset.episodes[0]["x"].times_ns, np.arange(4) * 80_000_000)
    assert rc.open(tmp_path / "toy", progress=False, control_rate_hz=5).control_rate_hz == 5


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("on_error", ["discard", "keep"])
def test_what_was_added_before_an_exception(tmp_path, error, on_error):
    def record():
        with rc.RldsWriter(tmp_path, "toy", {"x": rc.Feature()}, on_error=on_error) as writer:
            writer.add_episode({"x": [1.0]})
            writer.add_episode({"x": [2.0]})
            raise error

    with pytest.raises(error):
        record()
    if on_error == "discard":
        assert not any((tmp_path / "toy").iterdir())
    else:
        dataset = rc.open(tmp_path / "toy", progress=False, control_rate_hz=1)
        assert [episode["x"].values.tolist() for episode in dataset.episodes] == [[1.0], [2.0]]


def test_nothing_to_keep_leaves_nothing(tmp_path):
    with (
        pytest.raises(ZeroDivisionError),
        rc.RldsWriter(tmp_path, "toy", {"x": rc.Feature()}, on_error="keep"),
    ):
        raise ZeroDivisionError
    assert not any((tmp_path / "toy").iterdir())


def test_episodes_are_added_to_a_dataset(tmp_path):
    def add(values, split, **options):
        with rc.RldsWriter(tmp_path, "toy", {"x": rc.Feature()}, append=True, **options) as writer:
            for value in values:
                writer.add_episode({"x": [value]}, split=split)
            if (tmp_path / "toy" / "1.0.0").exists():  # as it was, until the block ends
                assert len(rc.open(tmp_path / "toy", progress=False)) < 2
                (tmp_path / "toy" / "1.0.0" / "notes.txt").write_text("written in the meantime")
        return rc.open(tmp_path / "toy", progress=False)

    assert len(add([0.0], "train", control_rate_hz=10, description="mine")) == 1
    dataset = add([1.0, 2.0], "val")
    assert dataset.control_rate_hz == 10
    assert {name: split.num_episodes for name, split in dataset.splits.items()} == {
        "train": 1,
        "val": 2,
    }
    assert [episode["x"].values[0] for episode in dataset.episodes] == [0.0, 1.0, 2.0]
    assert (tmp_path / "toy" / "1.0.0" / "notes.txt").exists()
    info = (tmp_path / "toy" / "1.0.0" / "dataset_info.json").read_text()
    assert re.search(r'"description": "mine"', info)
    with pytest.raises(rc.Error, match=r"its feature 'x' is float32 .*, int64 .* was declared"):
        rc.RldsWriter(tmp_path, "toy", {"x": rc.Feature("int64")}, append=True)
    with pytest.raises(rc.Error, match="is there already"):
        rc.RldsWriter(tmp_path, "toy", {"x": rc.Feature()})
    assert [path.name for path in (tmp_path / "toy").iterdir()] == ["1.0.0"]
