"""Declared mappings: how they are given, and what is wrong with them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc

FORMAT = "mapped arrays"


def index(path: str, dataset: rc.Indexer) -> None:
    mapping = dataset.mapping
    if mapping is None:
        raise rc.errors.UnsupportedError("wanted a mapping")
    mapping.allow(("format", "rate_hz", "streams"))
    dataset.control_rate_hz = mapping.positive("rate_hz")
    dataset.note("made for a test")
    files = {}
    for name, stream in mapping.tables("streams", short="file").items():
        stream.allow(("file",))
        files[name] = str(stream.text("file"))
        dataset.stream(name, dtype="float32", shape=(3,))

    def read(part: rc.Part) -> None:
        arrays = {name: np.load(Path(path, file)) for name, file in files.items()}
        part.episodes(
            num_steps=[len(next(iter(arrays.values())))],
            streams={name: rc.Column(array) for name, array in arrays.items()},
        )

    dataset.part("all", read=read, stamp=0)


@pytest.fixture(autouse=True, scope="module")
def _registered() -> None:
    rc.register_format(FORMAT, probe=lambda path: False, index=index, replace=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, first in (("a", 0), ("b", 100)):
        values = np.arange(first, first + 12, dtype=np.float32).reshape(4, 3)
        np.save(tmp_path / f"{name}.npy", values)
    return tmp_path


def table(**streams: Any) -> dict[str, Any]:
    return {"format": FORMAT, "rate_hz": 10, "streams": streams}


def first_of(dataset: rc.Dataset, stream: str = "action") -> float:
    return float(dataset[0][stream].values[0, 0])


def test_given_as_a_table_and_as_a_file(folder: Path, tmp_path: Path) -> None:
    assert first_of(rc.open(folder, mapping=table(action="a.npy"))) == 0
    beside = folder / "robocache.toml"
    beside.write_text(f'format = "{FORMAT}"\n[streams]\naction = {{ file = "b.npy" }}\n')
    dataset = rc.open(folder)
    assert first_of(dataset) == 100
    assert dataset.notes == dataset[:1].notes == ["made for a test"]
    assert "note: made for a test" in str(dataset)
    assert first_of(rc.open(folder, mapping=table(action="a.npy"))) == 0
    elsewhere = beside.rename(tmp_path / "other.toml")
    assert first_of(rc.open(folder, mapping=elsewhere)) == 100


def test_another_mapping_makes_the_catalog_anew(folder: Path) -> None:
    for name, first in (("a", 0), ("b", 100), ("a", 0)):
        assert first_of(rc.open(folder, mapping=table(action=f"{name}.npy"))) == first


def test_travels_with_a_pickled_dataset(folder: Path) -> None:
    dataset = pickle.loads(pickle.dumps(rc.open(folder, mapping=table(action="b.npy"))))
    assert first_of(dataset) == 100


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        (3, "mapping: found 3, wanted a path"),
        ({}, "format: is missing"),
        ({"format": 3}, "format: found 3, wanted a string"),
        ({"format": "nobody's"}, "nobody's"),
        ({"format": "rlds"}, "there is no features.json"),
        ({"format": FORMAT, "stream": {}}, "found 'stream', wanted one of 'format', 'rate_hz'"),
        ({"format": FORMAT, "rate_hz": -1}, "rate_hz: -1 found, wanted positive"),
        ({"format": FORMAT, "rate_hz": float("nan")}, "rate_hz"),
        ({"format": FORMAT, "streams": []}, "streams: found [], wanted a table"),
        ({"format": FORMAT, "streams": {"a": 1}}, "streams['a']: found 1, wanted a table"),
        ({"format": FORMAT, "streams": {"a": {"files": ""}}}, "streams['a']: found 'files'"),
        ({"format": FORMAT, "streams": {"a": {"file": object()}}}, "strings, numbers, lists"),
        ("absent.toml", "absent.toml: No such file"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, mapping: Any, says: str) -> None:
    with pytest.raises(rc.Error) as raised:
        rc.open(folder, mapping=mapping)
    assert says in str(raised.value)


@pytest.mark.parametrize("content", [b"format", b"\xff", b'format = "x"\n' + b"#" * (1 << 20)])
def test_a_file_that_is_no_toml(folder: Path, content: bytes) -> None:
    (folder / "robocache.toml").write_bytes(content)
    with pytest.raises(rc.errors.FormatError, match=r"robocache\.toml: "):
        rc.open(folder)


def test_a_format_that_takes_none(folder: Path) -> None:
    def index_fixed(path: str, dataset: rc.Indexer) -> None:
        dataset.stream("x", dtype="float32", shape=(3,))

    rc.register_format("fixed", probe=lambda path: False, index=index_fixed, replace=True)
    with pytest.raises(rc.errors.UnsupportedError, match="format 'fixed' takes no mapping"):
        rc.open(folder, mapping={"format": "fixed"})
    with pytest.raises(rc.errors.InvalidArgumentError, match="but mapping says 'fixed'"):
        rc.open(folder, mapping={"format": "fixed"}, format="rlds")
