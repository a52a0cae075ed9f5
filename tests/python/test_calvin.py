"""CALVIN: every value is NumPy's, whatever the archives are like, and damage is told by name."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from robocache.formats.calvin.language import read_annotations
from tests.python.test_docs import DOCS, run_page

RNG = np.random.default_rng(5)
SMALL = {"actions": (7,), "rel_actions": (7,), "robot_obs": (15,), "scene_obs": (24,)}
TEXTS = ["push the red block", "open the drawer", "turn on the light"]

Write = Callable[[Path, dict[str, Any]], None]


def step_arrays() -> dict[str, Any]:
    """The keys of a genuine step, with smaller pictures."""
    pixels = {"rgb_static": (20, 24, 3), "rgb_gripper": (8, 8, 3), "rgb_tactile": (16, 12, 6)}
    arrays: dict[str, Any] = {name: RNG.random(shape) for name, shape in SMALL.items()}
    arrays |= {n: RNG.integers(0, 255, shape, dtype=np.uint8) for n, shape in pixels.items()}
    arrays["depth_static"] = RNG.random((60, 40)).astype(np.float32)  # 9,600 bytes: no column
    return arrays


def deflated(path: Path, arrays: dict[str, Any]) -> None:
    np.savez_compressed(path, **arrays)


def stored(path: Path, arrays: dict[str, Any]) -> None:
    np.savez(path, **arrays)


def write_split(
    folder: Path,
    spans: Iterable[tuple[int, int]],
    name: str = "episode_{:07}.npz",
    write: Write = deflated,
) -> dict[int, dict[str, Any]]:
    """Writes the steps of a split and returns their arrays by their numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    spans = list(spans)
    steps = {step: step_arrays() for first, last in spans for step in range(first, last + 1)}
    for step, arrays in steps.items():
        write(folder / name.format(step), arrays)
    np.save(folder / "ep_start_end_ids.npy", np.array(spans))
    return steps


def annotate(folder: Path, spans: list[Any], texts: list[str] | None = None) -> Path:
    """Writes annotations as CALVIN's scripts do."""
    texts = [TEXTS[i % len(TEXTS)] for i in range(len(spans))] if texts is None else texts
    file = folder / "lang_annotations" / "auto_lang_ann.npy"
    file.parent.mkdir(exist_ok=True)
    emb = RNG.random((len(spans), 1, 384)).astype(np.float32)
    said = {"ann": texts, "task": [text.replace(" ", "_") for text in texts], "emb": emb}
    np.save(file, {"language": said, "info": {"episodes": [], "indx": spans}})  # type: ignore[arg-type]
    return file


def opened(path: Path, **options: Any) -> rc.Dataset:
    return rc.open(path, progress=False, **options)


def check(dataset: rc.Dataset, steps: dict[int, dict[str, Any]]) -> None:
    """Every value of every episode is the one that NumPy wrote, in episodes and in epochs."""
    for episode in dataset:
        first = episode.metadata["first_step"]
        assert episode.num_steps == episode.metadata["last_step"] + 1 - first
        for name in steps[first]:
            wanted = np.stack([steps[first + i][name] for i in range(episode.num_steps)])
            found = episode[name].values
            assert found.dtype == wanted.dtype.newbyteorder("=")
            np.testing.assert_array_equal(found, wanted)
    names = list(next(iter(steps.values())))
    loader = rc.DataLoader(dataset, 5, streams=names, shuffle=True, array="numpy", num_threads=2)
    seen = 0
    for batch in loader:
        for row, (e, step) in enumerate(
            zip(batch["episode_index"], batch["step_index"], strict=True)
        ):
            number = dataset[int(e)].metadata["first_step"] + step
            for name in names:
                np.testing.assert_array_equal(batch[name][row, 0], steps[number][name])
            seen += 1
    assert seen == dataset.num_steps


def read_or_refuse(read: Callable[[], Any], name: str) -> None:
    """Whatever is read, or the error names the file."""
    found = None
    try:
        read()
    except rc.Error as error:
        found = str(error)
    assert found is None or name in found


# ---- what is there ------------------------------------------------------------------------------


def test_genuine_frames(tmp_path: Path, test_data: Callable[[str], Path]) -> None:
    for file in test_data("calvin_frames").glob("*.npz"):
        shutil.copyfile(file, tmp_path / file.name)
    np.save(tmp_path / "ep_start_end_ids.npy", np.array([[358482, 358482], [359423, 359423]]))
    dataset = opened(tmp_path)
    assert dataset.format == "calvin"
    assert dataset.control_rate_hz == 30
    assert len(dataset) == dataset.num_steps == 2
    for episode in dataset:
        with np.load(tmp_path / f"episode_{episode.metadata['first_step']:07}.npz") as step:
            assert set(step.files) == set(dataset.streams)
            for name in step.files:
                np.testing.assert_array_equal(episode[name].values[0], step[name], strict=True)
    assert dataset.streams["scene_obs"].dtype == "float64"
    assert dataset.streams["rgb_tactile"].shape == (160, 120, 6)
    assert dataset.streams["depth_static"].kind == "numeric"


def test_genuine_frames_are_drawn(tmp_path: Path, test_data: Callable[[str], Path]) -> None:
    """Depth in grey, and the two pictures of tactile sensors side by side."""
    pytest.importorskip("matplotlib")
    from robocache.view import save_contact_sheet

    for number, file in enumerate(sorted(test_data("calvin_frames").glob("*.npz"))):
        shutil.copyfile(file, tmp_path / f"episode_{number:07}.npz")
    np.save(tmp_path / "ep_start_end_ids.npy", np.array([[0, 1]]))
    drawn = save_contact_sheet(opened(tmp_path), 0, tmp_path / "sheet.png")
    names = ("static", "gripper", "tactile")
    assert set(drawn["images"]) == {f"{kind}_{name}" for kind in ("rgb", "depth") for name in names}
    assert set(drawn["signals"]) == {"actions", "rel_actions", "robot_obs", "scene_obs"}


def test_indexing_is_interrupted_and_goes_on(tmp_path: Path) -> None:
    write_split(tmp_path / "training", [(0, 3), (5, 9)])
    with pytest.raises(rc.errors.CancelledError):
        rc.open(tmp_path, progress=lambda *_: False)
    assert opened(tmp_path).num_steps == 9


def in_another_order(path: Path, arrays: dict[str, Any]) -> None:
    names = list(arrays)
    RNG.shuffle(names)
    np.savez_compressed(path, **{name: arrays[name] for name in names})


def packed_by_turns(path: Path, arrays: dict[str, Any]) -> None:
    """Each member deflated or stored, as it comes, with others that are none and a comment."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            method = zipfile.ZIP_DEFLATED if RNG.random() < 0.5 else zipfile.ZIP_STORED
            archive.writestr(f"{name}.npy", npy(array), method)
        archive.writestr("notes.txt", b"not an array")
        archive.comment = b"a comment" * int(RNG.integers(600))


def zip64(path: Path, arrays: dict[str, Any]) -> None:
    """All sizes and offsets in fields for archives beyond 4 GiB."""
    entries, headers = b"", b""
    for name, array in arrays.items():
        data, member = npy(array), f"{name}.npy".encode()
        sizes = struct.pack("<HHQQ", 1, 16, len(data), len(data))
        common = struct.pack("<HHHHHIII", 45, 0, 0, 0, 0, zlib.crc32(data), 2**32 - 1, 2**32 - 1)
        extra = struct.pack("<HHQQQ", 1, 24, len(data), len(data), len(headers))
        entries += struct.pack("<IH", 0x02014B50, 45) + common
        entries += struct.pack("<HHHHHII", len(member), len(extra), 0, 0, 0, 0, 2**32 - 1)
        entries += member + extra
        headers += struct.pack("<I", 0x04034B50) + common
        headers += struct.pack("<HH", len(member), len(sizes)) + member + sizes + data
    count, end = len(arrays), len(headers) + len(entries)
    end64 = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, 0, 0)
    end64 = end64[:40] + struct.pack("<QQ", len(entries), len(headers))
    locator = struct.pack("<IIQI", 0x07064B50, 0, end, 1)
    last = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, *[2**16 - 1] * 2, *[2**32 - 1] * 2, 0)
    path.write_bytes(headers + entries + end64 + locator + last)
    with np.load(path) as again:
        assert set(again.files) == set(arrays)


def big_endian(path: Path, arrays: dict[str, Any]) -> None:
    swapped = {name: a.astype(a.dtype.newbyteorder(">")) for name, a in arrays.items()}
    np.savez(path, **swapped)


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "write", [deflated, stored, in_another_order, packed_by_turns, zip64, big_endian]
)
def test_every_way_of_packing(tmp_path: Path, write: Write) -> None:
    steps = write_split(tmp_path / "training", [(0, 6), (10, 12), (20, 20)], write=write)
    dataset = opened(tmp_path)
    assert [episode.num_steps for episode in dataset] == [7, 3, 1]
    check(dataset, steps)
    assert dataset.verify().problems == []


def test_splits_prefix_and_digits(tmp_path: Path) -> None:
    """Each split's own, from its first file."""
    training = write_split(tmp_path / "training", [(98, 102), (5, 9)], "frame {{}}_{:02}.npz")
    validation = write_split(tmp_path / "validation", [(3, 4)], "{:04}.npz")
    dataset = opened(tmp_path)
    assert list(dataset.splits) == ["training", "validation"]
    check(dataset.split("training"), training)
    check(dataset.split("validation"), validation)
    alone = opened(tmp_path / "validation")
    assert list(alone.splits) == ["validation"]
    check(alone, validation)


def test_other_archives_beside_the_steps(tmp_path: Path) -> None:
    """Names are those that the first episode has, whichever the system lists first."""
    steps = write_split(tmp_path / "training", [(10, 12)])
    for name in ("statistics_1", "a_0000010x", *(f"other_{i}" for i in range(40))):
        np.savez(tmp_path / f"training/{name}.npz", x=np.zeros(3))
    check(opened(tmp_path), steps)


def test_many_steps_in_several_threads(tmp_path: Path) -> None:
    steps = write_split(tmp_path / "training", [(0, 9)], write=stored)
    for step in range(10, 5000):
        os.link(
            tmp_path / f"training/episode_{step % 10:07}.npz",
            tmp_path / f"training/episode_{step:07}.npz",
        )
        steps[step] = steps[step % 10]
    np.save(tmp_path / "training/ep_start_end_ids.npy", np.array([[0, 2999], [3000, 4999]]))
    dataset = opened(tmp_path)
    for episode in dataset:
        first = episode.metadata["first_step"]
        wanted = np.stack([steps[first + i]["scene_obs"] for i in range(episode.num_steps)])
        np.testing.assert_array_equal(episode["scene_obs"].values, wanted)
        np.testing.assert_array_equal(
            episode["rgb_static"].read(1500, 1)[0], steps[first + 1500]["rgb_static"]
        )


# ---- promises -----------------------------------------------------------------------------------


def test_c1_numbers_are_in_columns_and_no_archive_is_opened_for_them(tmp_path: Path) -> None:
    """mdt_policy 6, hulc 17: one file a step keeps a GPU waiting; a preload kills training."""
    steps = write_split(tmp_path / "training", [(0, 11)])
    opened(tmp_path)
    for step in range(1, 11):  # of the first and the last opening sees that they are the same
        (tmp_path / f"training/episode_{step:07}.npz").unlink()
    dataset = opened(tmp_path)
    for name in SMALL:
        wanted = np.stack([steps[step][name] for step in range(12)])
        np.testing.assert_array_equal(dataset[0][name].values, wanted)
    with pytest.raises(rc.errors.IoError, match=r"episode_0000001\.npz"):
        dataset[0]["rgb_static"].read(1, 1)


def test_c2_the_ids_decide_what_an_episode_is(tmp_path: Path) -> None:
    """mees/calvin 40, 23: validation frames in training/, files named episodes that are steps."""
    steps = write_split(tmp_path / "training", [(0, 4), (8, 9)])
    for stranger in (5, 6, 7, 100):
        deflated(tmp_path / f"training/episode_{stranger:07}.npz", step_arrays())
    dataset = opened(tmp_path)
    assert [e.num_steps for e in dataset] == [5, 2]
    check(dataset, steps)


def test_c2_opens_without_annotations(tmp_path: Path) -> None:
    """mees/calvin 121."""
    steps = write_split(tmp_path / "training", [(0, 4)])
    dataset = opened(tmp_path)
    assert "language" not in dataset.streams
    check(dataset, steps)
    assert len(dataset.segments("language")) == 0


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


# ---- damage -------------------------------------------------------------------------------------


SPANS = {
    "overlap": ([(0, 4), (3, 6), (8, 9)], r"row 1: its steps 3 to 6 overlap with those of row 0"),
    "one within another": ([(0, 6), (2, 3), (8, 9)], r"row 1: its steps 2 to 3 overlap"),
    "the same twice": ([(0, 4), (0, 4), (8, 9)], "row 1: its steps 0 to 4 overlap"),
    "beyond the last": ([(0, 4), (8, 20)], r"row 1: .*episode_0000020\.npz"),
    "a gap": ([(0, 4), (5, 9)], r"row 1: .*episode_0000007\.npz"),
    "backwards": ([(0, 4), (6, 5), (8, 9)], "row 1: found steps 6 to 5"),
    "below 0": ([(0, 4), (-3, -1), (8, 9)], "row 1: found steps -3 to -1"),
    "2^63": ([(0, 4), (2**63 - 2, 2**63 - 1), (8, 9)], "row 1: .*is not there"),
    "all int64": ([(0, 4), (8, 2**63 - 1)], "row 1: .*is not there"),
}


@pytest.mark.parametrize("name", SPANS)
def test_spans_that_cannot_be(tmp_path: Path, name: str) -> None:
    spans, message = SPANS[name]
    steps = write_split(tmp_path / "training", [(0, 6), (8, 9)])
    np.save(tmp_path / "training/ep_start_end_ids.npy", np.array(spans))
    with pytest.raises(rc.Error, match=message):
        opened(tmp_path)
    dataset = opened(tmp_path, on_error="skip")
    check(dataset, steps)
    assert len(dataset) == len(spans) - 1
    assert len(dataset.skipped) == 1


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (b"", "ep_start_end_ids.npy"),
        (npy(np.array([[0, 4]]))[:-1], "ep_start_end_ids.npy"),
        (npy(np.array([[0.0, 4.0]])), r"found float64 \(1, 2\)"),
        (npy(np.array([0, 4])), r"found int64 \(2,\)"),
        (npy(np.array([[0, 4]])).replace(b"(1, 2)", b"(9**9,2)"), "ep_start_end_ids.npy"),
        (npy(np.array([[0, 4]])).replace(b"'<i8'", b"'|O' "), "ep_start_end_ids.npy"),
    ],
)
def test_ids_that_are_none(tmp_path: Path, ids: bytes, message: str) -> None:
    write_split(tmp_path / "training", [(0, 4)])
    (tmp_path / "training/ep_start_end_ids.npy").write_bytes(ids)
    with pytest.raises(rc.errors.FormatError, match=message):
        opened(tmp_path)


def test_no_ids(tmp_path: Path) -> None:
    write_split(tmp_path, [(0, 4)])
    (tmp_path / "ep_start_end_ids.npy").unlink()
    with pytest.raises(rc.errors.FormatError, match=r"no ep_start_end_ids\.npy, which says"):
        opened(tmp_path)


def without(name: str) -> Write:
    def write(path: Path, arrays: dict[str, Any]) -> None:
        deflated(path, {key: array for key, array in arrays.items() if key != name})

    return write


def other(name: str, value: Any) -> Write:
    def write(path: Path, arrays: dict[str, Any]) -> None:
        deflated(path, {**arrays, name: value})

    return write


def twice(path: Path, arrays: dict[str, Any]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", npy(array))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("actions.npy", npy(arrays["actions"]))


def by_bzip2(path: Path, arrays: dict[str, Any]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", npy(array))


def bomb(path: Path, arrays: dict[str, Any]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            data = bytes(1 << 26) if name == "actions" else npy(array)
            archive.writestr(f"{name}.npy", data)


def encrypted(path: Path, arrays: dict[str, Any]) -> None:
    stored(path, arrays)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    path.write_bytes(data)


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"

STEPS: dict[str, tuple[Write, str]] = {
    "no such key": (without("scene_obs"), r"found no member 'scene_obs\.npy'"),
    "another shape": (other("actions", np.zeros(8)), r"member 'actions\.npy'"),
    "another dtype": (other("actions", np.zeros(7, "f4")), r"member 'actions\.npy'"),
    "another order": (other("actions", np.zeros((7, 1))), r"member 'actions\.npy'"),
    "twice": (twice, r"member 'actions\.npy': is there twice"),
    "bzip2": (by_bzip2, "packed by zip's method 12"),
    "a bomb": (bomb, r"member 'actions\.npy': found 67108864 bytes"),
    "encrypted": (encrypted, r"member '.*' is encrypted"),
    "empty": (lambda path, arrays: path.write_bytes(b"") and None, "no zip archive"),
    "no archive": (lambda path, arrays: path.write_bytes(bytes(500)) and None, "no zip archive"),
    "a pointer": (
        lambda path, arrays: path.write_bytes(LFS_POINTER) and None,
        "byte 0: no zip archive: it is a Git LFS pointer to 9 bytes",
    ),
    "gone": (lambda path, arrays: None, "cannot be opened"),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    write, message = STEPS[name]
    steps = write_split(tmp_path / "training", [(0, 3), (8, 12)])
    path = tmp_path / "training/episode_0000010.npz"
    path.unlink()
    write(path, steps[10])
    with pytest.raises(rc.Error, match=rf"row 1: .*episode_0000010\.npz.*{message}"):
        opened(tmp_path)
    dataset = opened(tmp_path, on_error="skip")
    check(dataset, steps)
    assert len(dataset) == 1
    assert len(dataset.skipped) == 1


def test_a_pipe_or_a_folder_in_place_of_a_step(tmp_path: Path) -> None:
    write_split(tmp_path / "training", [(0, 3), (8, 12)])
    for make in (os.mkfifo, os.mkdir):
        path = tmp_path / "training/episode_0000010.npz"
        path.unlink()
        make(path)
        with pytest.raises(rc.Error, match=r"episode_0000010\.npz: is not a regular file"):
            opened(tmp_path)
        os.rmdir(path) if path.is_dir() else None
        if not path.exists():
            path.write_bytes(b"")


def test_archives_cut_off_and_changed_are_read_or_refused(tmp_path: Path) -> None:
    """At every length, and with any bytes: values, an error that names the file, or a skip."""
    arrays = {"actions": np.arange(7.0), "rgb_static": np.zeros((2, 2, 3), np.uint8)}
    folder = tmp_path / "training"
    folder.mkdir()
    np.save(folder / "ep_start_end_ids.npy", np.array([[0, 0], [1, 1]]))
    deflated(folder / "episode_0000000.npz", arrays)
    path = folder / "episode_0000001.npz"
    deflated(path, arrays)
    data = path.read_bytes()
    catalog = tmp_path / "catalog.sqlite"
    for length in range(0, len(data), 5):
        path.write_bytes(data[:length])
        dataset = opened(tmp_path, catalog=catalog, on_error="skip")
        assert len(dataset) == 1
        assert "episode_0000001.npz" in dataset.skipped[0]
    for _ in range(150):
        changed = bytearray(data)
        for at in RNG.integers(0, len(data), 2):
            changed[at] = RNG.integers(256)
        path.write_bytes(changed)
        dataset = opened(tmp_path, catalog=catalog, on_error="skip")
        if len(dataset) == 1:
            assert "episode_0000001.npz" in dataset.skipped[0]
            continue
        np.testing.assert_array_equal(dataset[1]["actions"].values[0], arrays["actions"])
        read_or_refuse(dataset[1]["rgb_static"].read, "episode_0000001.npz")


def piped(path: Path, arrays: dict[str, Any]) -> None:
    """With each CRC behind its data, as an archive that is written to a pipe has it."""

    class Pipe(io.RawIOBase):
        content = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            Pipe.content += bytes(data)
            return len(data)

    with zipfile.ZipFile(Pipe(), "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", npy(array))
    path.write_bytes(Pipe.content)


@pytest.mark.parametrize("write", [deflated, stored])
def test_a_changed_bit_of_an_image_is_never_another_image(tmp_path: Path, write: Write) -> None:
    """What inflate alone would take for other pixels, the archive's CRC tells."""
    steps = write_split(tmp_path / "training", [(0, 2)], write=write)
    dataset = opened(tmp_path)  # which does not look at the step in the middle again
    path = tmp_path / "training/episode_0000001.npz"
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("rgb_static.npy")
    lengths = struct.unpack_from("<HH", data, member.header_offset + 26)
    begin = member.header_offset + 30 + sum(lengths)
    found = set()
    for at in RNG.integers(begin, begin + member.compress_size, 60).tolist():
        changed = bytearray(data)
        changed[at] ^= 1 << RNG.integers(8)
        path.write_bytes(changed)
        with pytest.raises(rc.errors.FormatError, match=r"episode_0000001\.npz") as caught:
            rc.open(tmp_path, progress=False)[0]["rgb_static"].read(1, 1)
        found.add("CRC" in str(caught.value))
    assert True in found
    path.write_bytes(data)
    check(dataset, steps)


def test_archives_written_to_a_pipe(tmp_path: Path) -> None:
    steps = write_split(tmp_path / "training", [(0, 3)], write=piped)
    with zipfile.ZipFile(tmp_path / "training/episode_0000000.npz") as archive:
        assert all(member.flag_bits & 8 for member in archive.infolist())
    check(opened(tmp_path), steps)


# ---- by name ------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", [False, True])
def test_the_loader_by_name_gives_what_plain_pytorch_does(tmp_path: Path, language: bool) -> None:
    pytest.importorskip("torch")
    write_split(tmp_path / "training", [(0, 19), (30, 36)])
    annotate(tmp_path / "training", [(2, 9), (30, 33)])
    options: dict[str, Any] = {"shuffle": False, "language": language, "action_horizon": 4}
    ours = rc.datasets.CalvinDataLoader(tmp_path, 5, **options)
    plain = rc.datasets.CalvinDataLoader(tmp_path, 5, use_robocache=False, **options)
    assert len(ours) == len(plain) > 1
    for a, b in zip(ours, plain, strict=True):
        assert set(a) == set(b) >= {"rgb_static", "rgb_gripper", "robot_obs", "actions"}
        assert list(a["task"]) == list(b["task"])
        assert all((a[name] == b[name]).all() for name in a if name != "task")
    without = rc.datasets.CalvinDataLoader(tmp_path, 5, images=False)
    assert "rgb_static" not in next(iter(without))


def test_the_page_on_calvin_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_split(tmp_path / "task_D_D/training", [(0, 19), (30, 36)])
    annotate(tmp_path / "task_D_D/training", [(2, 9), (30, 33)])
    monkeypatch.chdir(tmp_path)
    names = run_page(DOCS / "calvin.md")
    assert [episode.task for episode in names["drawer"]] == ["open the drawer"]
