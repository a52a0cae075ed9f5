"""CALVIN: instructions of steps and segments, and pickles, which are never run."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from robocache.formats.calvin.language import read_annotations
from tests.python.calvin_sets import (
    RNG,
    TEXTS,
    annotate,
    check,
    opened,
    read_or_refuse,
    write_split,
)

# ---- instructions -------------------------------------------------------------------------------


def test_instructions_of_steps_and_segments(tmp_path: Path) -> None:
    steps = write_split(tmp_path / "training", [(0, 19), (30, 49)])
    annotate(tmp_path / "training", [(2, 6), (31, 40), (5, 9)])  # 5 and 6 have two
    dataset = opened(tmp_path)
    none = [""] * 20
    first, second = none.copy(), none.copy()
    first[2:5], first[5:10], second[1:11] = [TEXTS[0]] * 3, [TEXTS[2]] * 5, [TEXTS[1]] * 10
    assert [episode["language"].values for episode in dataset] == [first, second]
    loader = rc.DataLoader(dataset, 3, streams={"language": rc.Window(0)}, shuffle=True)
    for batch in loader:
        for row, text in enumerate(batch["language"]):
            told = (first, second)[int(batch["episode_index"][row])]
            assert text == [told[int(batch["step_index"][row])]]

    segments = dataset.segments("language")
    assert [(e.task, e.num_steps, e.metadata["task"]) for e in segments] == [
        (TEXTS[0], 5, "push_the_red_block"),
        (TEXTS[1], 10, "open_the_drawer"),
        (TEXTS[2], 5, "turn_on_the_light"),
    ]
    check(segments, steps)
    assert [e.task for e in segments.where("task MATCH 'drawer OR light'")] == TEXTS[1:]
    assert [e.task for e in dataset[1:].segments("language")] == [TEXTS[1]]
    again = pickle.loads(pickle.dumps(segments[1:]))
    assert [e.task for e in again] == TEXTS[1:]
    loader = rc.DataLoader(segments, 20, streams={"actions": rc.Window(range(8))}, array="numpy")
    batch = next(iter(loader))
    rows = zip(batch["episode_index"], batch["step_index"], strict=True)
    ends = [segments[int(e)].num_steps - s for e, s in rows]
    assert [(~pad).sum() for pad in batch["actions_is_pad"]] == [min(end, 8) for end in ends]


def test_other_segments_are_an_error(tmp_path: Path, bridge: rc.Dataset) -> None:
    write_split(tmp_path / "training", [(0, 1)])
    with pytest.raises(rc.errors.NotFoundError, match=r"segments 'tasks'.* named language"):
        opened(tmp_path).segments("tasks")
    with pytest.raises(rc.errors.NotFoundError, match="has none"):
        bridge.segments("language")


def test_a_read_only_dataset_keeps_its_segments_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBOCACHE_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "data"
    write_split(data / "training", [(0, 9)])
    annotate(data / "training", [(2, 6)])
    data.chmod(0o555)
    assert len(opened(data).segments("language")) == 1
    assert os.listdir(data) == ["training"]


def test_annotations_that_change_are_read_again(tmp_path: Path) -> None:
    write_split(tmp_path / "training", [(0, 9)])
    annotate(tmp_path / "training", [(2, 6)])
    assert opened(tmp_path)[0]["language"].values[2] == TEXTS[0]
    annotate(tmp_path / "training", [(2, 6)], ["wipe the table"])
    dataset = opened(tmp_path)
    assert dataset[0]["language"].values[2] == "wipe the table"
    assert [episode.task for episode in dataset.segments("language")] == ["wipe the table"]


def test_a_segment_of_steps_that_are_not_there(tmp_path: Path) -> None:
    write_split(tmp_path / "training", [(0, 9)])
    annotate(tmp_path / "training", [(2, 6), (8, 12)])
    dataset = opened(tmp_path)
    with pytest.raises(rc.Error, match=r"row 1: .*episode_0000012\.npz"):
        dataset.segments("language")
    kept = opened(tmp_path, on_error="skip").segments("language")
    assert len(kept) == 1
    assert len(kept.skipped) == 1


# ---- pickles ------------------------------------------------------------------------------------


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/robocache-was-here",)


def pickled(file: Path, value: Any, *, protocol: int = 4) -> Path:
    """Writes bytes of a pickle, or pickles a value, as NumPy would a dict."""
    data = value if isinstance(value, bytes) else pickle.dumps(value, protocol)
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    length = struct.pack("<H", len(header))
    file.write_bytes(b"\x93NUMPY\x01\x00" + length + header + data)
    return file


@pytest.mark.parametrize("protocol", range(2, 6))
def test_pickles_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    spans = [[(1, 2), (3, 4)], np.array([[1, 2], [3, 4]]), [np.array([1, 2]), (np.int64(3), 4)]]
    for indx in spans:
        for texts in (["a", "b"], np.array(["a", "b"], object), ("a", "b")):
            said = {"language": {"ann": texts, "emb": np.ones((2, 3))}, "info": {"indx": indx}}
            found = read_annotations(str(pickled(tmp_path / "a.npy", said, protocol=protocol)))
            assert [(a.first, a.last, a.text, a.task) for a in found] == [
                (1, 2, "a", ""),
                (3, 4, "b", ""),
            ]


LONG = pickle.dumps("x" * 1000)[:-1]
ONE_TEXT = b"S'language'\n}(S'ann'\n]S'a'\nauu."
HUGE_AND_EMPTY = b"(I0\nL4611686018427387904L\nL4611686018427387904L\nt"
DOUBLED = b"(]\x94" + b"".join(b"h%ch%c\x86\x94" % (i, i) for i in range(60)) + b"l"
# each a tuple of the one before, twice
PICKLES = {
    "what it calls": (pickle.dumps(Evil()), r"byte \d+: pickle: STACK_GLOBAL: .*posix"),
    "an old way to call": (b"cos\nsystem\n(S'true'\ntR.", r"pickle: GLOBAL: .*'os'.'system'"),
    "instances": (b"(ios\nsystem\n.", "pickle: INST: wanted dicts"),
    "builtins": (b"cbuiltins\neval\n(S'1'\ntR.", "would import 'builtins'"),
    "a class of ours": (b"\x80\x02crobocache\nopen\n.", "would import 'robocache'"),
    "persistent ids": (b"Pabc\n.", "pickle: PERSID"),
    "extensions": (b"\x82\x01.", "pickle: EXT1"),
    "a list of itself": (b"]\x94h\x00a.", "found no list info.indx"),
    "nothing": (b"", "pickle: nothing"),
    "two objects": (b"NN.", "found 2 objects"),
    "a memo that is not there": (b"h\x07.", "BINGET"),
    "an empty stack": (b"a.", "APPEND"),
    "2^64 bytes": (b"\x8e" + b"\xff" * 8 + b"x.", "byte 64"),
    "a dtype of objects": (
        b"cnumpy\ndtype\n(S'V8'\ntR.",
        "found the dtype 'V8'",
    ),
    "a dtype that is none": (b"cnumpy\ndtype\n(S'b8'\ntR.", "found the dtype 'b8'"),
    "more than the file has": (
        b"("
        + LONG[2:]
        + b"0".replace(b"0", b"")
        + b"".join(b"c_codecs\nencode\n(h\x00S'latin1'\ntR" for _ in range(60))
        + b"l.",
        "more of its texts than the file has bytes",
    ),
    "a number for a text": (
        pickle.dumps({"language": {"ann": [3]}, "info": {"indx": [(1, 2)]}}),
        r"language.ann\[0\]: found int",
    ),
    "a span that goes back": (
        pickle.dumps({"language": {"ann": ["a"]}, "info": {"indx": [(4, 2)]}}),
        r"info.indx\[0\]: found steps 4 to 2",
    ),
    "an array that is never filled": (
        b"}(S'info'\n}(S'indx'\n]cnumpy.core.multiarray\n_reconstruct\n(tRau" + ONE_TEXT,
        r"info.indx\[0\]: found an array without values",
    ),
    "an array of nothing, many times": (
        pickle.dumps({"language": {"ann": ["a"]}, "info": {"indx": np.empty((2**33, 0))}}),
        "found 0 of info.indx, 1 of language.ann",
    ),
    "an array of nothing, too many times": (
        b"}(S'info'\n}(S'indx'\ncnumpy.core.numeric\n_frombuffer\n(S''\ncnumpy\ndtype\n(S'i8'\ntR"
        + HUGE_AND_EMPTY
        + b"S'C'\ntRuS'language'\n}u.",
        "found no list language.ann",
    ),
    "lists in lists": (
        b"}(S'info'\n}(S'indx'\n]" + b"]" * 9999 + b"a" * 9998 + b"au" + ONE_TEXT,
        r"info.indx\[0\]: found a list, wanted two integers",
    ),
    "2^60 lists, by their memo": (
        b"}(S'x'\n" + DOUBLED + b"S'info'\n}(S'indx'\n]h<au" + ONE_TEXT,
        r"info.indx\[0\]: found \['a tuple', 'a tuple'\], wanted two integers",
    ),
    "a name of 2^60 tuples": (DOUBLED + b"h<\x8c\x01a\x93.", "would import a tuple.'a'"),
    "a number of 5,000 bytes": (
        b"}(S'info'\n}(S'indx'\n](" + b"\x8b\x88\x13\0\0" + b"\x7f" * 5000 + b"K\x01tau" + ONE_TEXT,
        r"info.indx\[0\]: found steps a int to 1",
    ),
    "a text that becomes many arrays": (
        LONG
        + b"".join(
            b"cnumpy.core.multiarray\n_reconstruct\n(tR(I1\n(I125\ntcnumpy\ndtype\n(S'i8'\ntRI00\nh\x00tb"
            for _ in range(20)
        )
        + b"N.",
        "more of its texts than the file has bytes",
    ),
    "a span of three": (
        pickle.dumps({"language": {"ann": ["a"]}, "info": {"indx": [(4, 2, 5)]}}),
        "wanted two integers",
    ),
    "too few texts": (
        pickle.dumps({"language": {"ann": []}, "info": {"indx": [(4, 5)]}}),
        "found 1 of info.indx, 0 of language.ann",
    ),
}


@pytest.mark.parametrize("name", PICKLES)
def test_a_pickle_is_never_executed(tmp_path: Path, name: str) -> None:
    data, message = PICKLES[name]
    file = pickled(tmp_path / "a.npy", data)
    with pytest.raises(rc.errors.FormatError, match=message) as caught:
        read_annotations(str(file))
    assert str(file) in str(caught.value)
    assert not os.path.exists("/tmp/robocache-was-here")


def test_pickles_cut_off_and_changed_are_read_or_refused(tmp_path: Path) -> None:
    file = annotate(tmp_path, [(1, 2), (3, 4)])
    data = bytearray(file.read_bytes())
    cut = tmp_path / "cut.npy"
    for length in range(0, len(data), 1 if len(data) < 2000 else 7):
        cut.write_bytes(data[:length])
        with pytest.raises(rc.errors.FormatError, match=r"cut\.npy"):
            read_annotations(str(cut))
    for _ in range(1000):
        changed = data.copy()
        for at in RNG.integers(0, 600, 3):
            changed[at] = RNG.integers(256)
        cut.write_bytes(changed)
        read_or_refuse(lambda: read_annotations(str(cut)), "cut.npy")


def test_damaged_annotations_do_not_cost_the_episodes(tmp_path: Path) -> None:
    steps = write_split(tmp_path / "training", [(0, 9)])
    file = annotate(tmp_path / "training", [(2, 6)])
    pickled(file, pickle.dumps(Evil()))
    with pytest.raises(rc.errors.FormatError, match=r"auto_lang_ann.npy: byte .*posix"):
        opened(tmp_path)
    dataset = opened(tmp_path, on_error="skip")
    check(dataset, steps)
    assert dataset[0]["language"].values == [""] * 10
    assert len(dataset.skipped) == 1
    assert "posix" in dataset.skipped[0]
