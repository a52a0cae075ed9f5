"""Arrays and tables that a mapping declares: values and stamps are NumPy's."""

from __future__ import annotations

import csv
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python.test_docs import DOCS, run_page

RNG = np.random.default_rng(9)
CAN = "processed_log/CAN"
IMU = "processed_log/IMU"


def opened(path: Path, mapping: Any = None, **options: Any) -> rc.Dataset:
    return rc.open(path, mapping=mapping, progress=False, **options)


def clock(path: str, unit: str = "s", **more: Any) -> dict[str, Any]:
    return {"path": path, "unit": unit, **more}


def nanoseconds(seconds: Any) -> Any:
    whole = np.floor(seconds)
    return whole.astype(np.int64) * 10**9 + np.rint((seconds - whole) * 1e9).astype(np.int64)


# ---- genuine data -------------------------------------------------------------------------------


def test_comma2k19(
    test_data: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NumPy arrays without an extension, each on its own clock; the camera's poses are steps."""
    monkeypatch.setenv("ROBOCACHE_CACHE", str(tmp_path))
    path = test_data("multirate_comma2k19")
    sensors = {
        "can/speed": f"{CAN}/speed",
        "can/wheel_speed": f"{CAN}/wheel_speed",
        "can/steering_angle": f"{CAN}/steering_angle",
        "can/radar": f"{CAN}/radar",
        "imu/accelerometer": f"{IMU}/accelerometer",
        "imu/gyro": f"{IMU}/gyro",
        "imu/magnetometer": f"{IMU}/magnetometer",
    }
    streams: dict[str, Any] = {
        name: {"path": f"{folder}/value", "times": clock(f"{folder}/t")}
        for name, folder in sensors.items()
    }
    poses = ("positions", "velocities", "orientations")
    for name in poses:
        streams[name] = {
            "path": f"global_pose/frame_{name}",
            "times": clock("global_pose/frame_times"),
        }
    mapping = {"format": "tables", "rate_hz": 20, "steps": "positions", "streams": streams}
    dataset = opened(path, mapping)
    assert len(dataset) == 1
    assert dataset.num_steps == 1200
    episode = dataset[0]
    for name, table in streams.items():
        wanted = np.load(path / table["path"])
        np.testing.assert_array_equal(episode[name].values, wanted, strict=True)
        times = np.load(path / table["times"]["path"])
        np.testing.assert_array_equal(episode[name].times_ns, nanoseconds(times))
    assert dataset.streams["imu/gyro"].rate_hz == pytest.approx(104, rel=0.01)
    assert dataset.streams["positions"].rate_hz == pytest.approx(20, rel=0.01)
    windows = {
        "imu/gyro": rc.Window(range(-4, 1), mode="mean"),
        "can/speed": rc.Window(0, mode="linear"),
        "positions": rc.Window(0),
    }
    loader = rc.DataLoader(dataset, 64, rate_hz=20, streams=windows, array="numpy")
    batch = next(iter(loader))
    speed, times = np.load(path / CAN / "speed/value"), np.load(path / CAN / "speed/t")
    wanted = np.interp(batch["time_ns"] / 1e9, times, speed[:, 0])
    kept = batch["can/speed_valid"][:, 0]
    np.testing.assert_allclose(batch["can/speed"][kept, 0, 0], wanted[kept], rtol=1e-6)


def test_screw_ft(
    test_data: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CSV with epoch milliseconds; two clocks that begin 659 ms apart."""
    monkeypatch.setenv("ROBOCACHE_CACHE", str(tmp_path))
    path = test_data("multirate_screw_ft")
    sensor = {"path": "sensor_data.csv", "times": "robot"}
    mapping = {
        "format": "tables",
        "rate_hz": 30,
        "episodes": "data/data_*",
        "steps": "force",
        "times": {
            "robot": clock("sensor_data.csv", "ms", column="timestamp"),
            "vision": clock("observation_data.csv", "ms", column="timestamp"),
        },
        "streams": {
            "force": {**sensor, "columns": ["Fx", "Fy", "Fz", "Tx", "Ty", "Tz"], "unit": "N"},
            "pose": {**sensor, "columns": ["X", "Y", "Z", "A", "B", "C"]},
            "vision": {
                "path": "observation_data.csv",
                "columns": ["X", "Y", "Z"],
                "times": "vision",
            },
            "v": {
                "path": "observation_data.csv",
                "column": "v",
                "dtype": "int32",
                "times": "vision",
            },
        },
    }
    dataset = opened(path, mapping)
    episode = dataset[0]
    folder = path / "data/data_1"
    for name, table in mapping["streams"].items():  # type: ignore[attr-defined]
        with (folder / table["path"]).open() as file:
            rows = list(csv.DictReader(file))
        columns = table.get("columns", [table.get("column")])
        wanted = np.array([[float(row[column]) for column in columns] for row in rows])
        wanted = wanted[:, 0].astype(np.int32) if name == "v" else wanted
        np.testing.assert_array_equal(episode[name].values, wanted, strict=True)
        stamps = np.array([int(float(row["timestamp"])) for row in rows]) * 10**6
        np.testing.assert_array_equal(episode[name].times_ns, stamps)
    assert dataset.num_steps == len(episode["force"].values)
    apart = int(episode["force"].times_ns[0] - episode["vision"].times_ns[0])
    assert apart == 659 * 10**6
    loader = rc.DataLoader(
        dataset,
        32,
        rate_hz=30,
        array="numpy",
        streams={"force": rc.Window(0, mode="linear"), "vision": rc.Window(0)},
    )
    assert sum(len(batch["force"]) for batch in loader) > 100


def test_rgbd(
    test_data: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One frame in a deflated .npz, and what the camera is in JSON."""
    monkeypatch.setenv("ROBOCACHE_CACHE", str(tmp_path))
    path = test_data("rgbd_arc2017")
    names = ("rgb", "depth", "masks", "labels", "bboxes")
    mapping = {
        "format": "tables",
        "rate_hz": 1,
        "metadata": "camera_info.json",
        "streams": {name: {"path": "data.npz", "member": name, "single": True} for name in names},
    }
    dataset = opened(path, mapping)
    assert (dataset.streams["rgb"].kind, dataset.streams["depth"].kind) == ("image", "numeric")
    with np.load(path / "data.npz") as found:
        for name in names:
            wanted = found[name][None]
            np.testing.assert_array_equal(dataset[0][name].values, wanted, strict=True)
    camera = json.loads((path / "camera_info.json").read_text())
    assert dataset[0].metadata["K"] == camera["K"]
    pytest.importorskip("matplotlib")
    from robocache.view import save_contact_sheet

    drawn = save_contact_sheet(dataset, 0, tmp_path / "sheet.png")
    assert {"rgb", "depth"} <= set(drawn["images"])


# ---- every kind of file -------------------------------------------------------------------------


def write_episode(folder: Path, steps: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    arrays = {
        "plain": rng.random((steps, 3)),
        "swapped": rng.random((steps, 2)).astype(">f4"),
        "fortran": np.asfortranarray(rng.integers(0, 99, (steps, 4))),
        "scalars": rng.integers(0, 99, steps).astype("u2"),
        "pixels": rng.integers(0, 255, (steps, 6, 8, 3), dtype=np.uint8),
        "grey": rng.integers(0, 255, (steps, 6, 8), dtype=np.uint8),
        "raw": rng.random((steps, 5)).astype(">f8"),
        "flags": rng.random(steps) < 0.5,
    }
    for name in ("plain", "swapped", "fortran", "pixels", "grey"):
        np.save(folder / f"{name}.npy", arrays[name])
    np.savez(folder / "stored.npz", scalars=arrays["scalars"], plain=arrays["plain"])
    np.savez_compressed(folder / "deflated.npz", pixels=arrays["pixels"], flags=arrays["flags"])
    (folder / "raw.bin").write_bytes(b"head" + arrays["raw"].tobytes())
    with (folder / "table.csv").open("w", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(["t", " a ", "b,c", "ok"])
        for step in range(steps):
            cell = "" if step == 1 else repr(float(arrays["plain"][step, 0]))
            writer.writerow([step * 33, cell, step, "True" if arrays["flags"][step] else "0"])
    (folder / "frames").mkdir()
    for step in range(steps):
        pictures = pytest.importorskip("PIL.Image").fromarray(arrays["pixels"][step])
        pictures.save(folder / f"frames/frame_{step + 95}.png")
        pictures.save(folder / f"frames/{'abcdefghijklmnop'[step]}.jpg.png")
    (folder / "about.json").write_text(json.dumps({"operator": seed, "nothing": float("nan")}))
    return arrays


MAPPING: dict[str, Any] = {
    "format": "tables",
    "rate_hz": 30,
    "episodes": "episode_*",
    "task": "tidy up",
    "metadata": "about.json",
    "split": "all",
    "streams": {
        "plain": "plain.npy",
        "two of plain": {"path": "plain.npy", "columns": [2, 0]},
        "one of plain": {"path": "plain.npy", "column": 1},
        "swapped": "swapped.npy",
        "fortran": "fortran.npy",
        "pixels": "pixels.npy",
        "grey": {"path": "grey.npy", "kind": "image"},
        "stored": {"path": "stored.npz", "member": "scalars"},
        "scaled": {
            "path": "stored.npz",
            "member": "scalars",
            "scale": 0.5,
            "value_offset": 1,
            "unit": "m",
        },
        "deflated": {"path": "deflated.npz", "member": "pixels"},
        "flags": {"path": "deflated.npz", "member": "flags"},
        "raw": {"path": "raw.bin", "dtype": ">f8", "shape": [5], "offset": 4},
        "a": {"path": "table.csv", "column": "a"},
        "b": {"path": "table.csv", "columns": ["b,c", 0], "dtype": "int64"},
        "ok": {"path": "table.csv", "column": "ok", "dtype": "bool"},
        "numbered": "frames/frame_*.png",
        "named": "frames/*.jpg.png",
    },
}


def test_every_kind_of_file(tmp_path: Path) -> None:
    lengths = {2: 7, 10: 9, 1: 8}
    written = {n: write_episode(tmp_path / f"episode_{n}", t, n) for n, t in lengths.items()}
    dataset = opened(tmp_path, MAPPING)
    assert (dataset.format, dataset.control_rate_hz, list(dataset.splits)) == (
        "tables",
        30,
        ["all"],
    )
    assert [episode.num_steps for episode in dataset] == [8, 7, 9]  # 1, 2, 10
    for episode, number in zip(dataset, (1, 2, 10), strict=True):
        arrays, steps = written[number], np.arange(lengths[number])
        a = arrays["plain"][:, 0].copy()
        a[1] = np.nan
        wanted = {
            "plain": arrays["plain"],
            "two of plain": arrays["plain"][:, [2, 0]],
            "one of plain": arrays["plain"][:, 1],
            "swapped": arrays["swapped"].astype("f4"),
            "fortran": arrays["fortran"],
            "pixels": arrays["pixels"],
            "grey": arrays["grey"][..., None],
            "stored": arrays["scalars"],
            "scaled": (arrays["scalars"] * 0.5 + 1).astype("f4"),
            "deflated": arrays["pixels"],
            "flags": arrays["flags"],
            "raw": arrays["raw"].astype("f8"),
            "a": a,
            "b": np.stack([steps, steps * 33], 1),
            "ok": arrays["flags"],
            "numbered": arrays["pixels"],
            "named": arrays["pixels"],
        }
        assert set(wanted) == set(dataset.streams)
        for name, values in wanted.items():
            np.testing.assert_array_equal(episode[name].values, values, strict=True)
        assert episode.task == "tidy up"
        assert episode.metadata == {
            "operator": number,
            "nothing": None,
            "folder": f"episode_{number}",
        }
    seen = 0
    for batch in rc.DataLoader(
        dataset, 5, streams=["plain", "deflated", "numbered", "b"], shuffle=True, array="numpy"
    ):
        for row, (e, step) in enumerate(
            zip(batch["episode_index"], batch["step_index"], strict=True)
        ):
            arrays = written[(1, 2, 10)[e]]
            np.testing.assert_array_equal(batch["plain"][row, 0], arrays["plain"][step])
            np.testing.assert_array_equal(batch["deflated"][row, 0], arrays["pixels"][step])
            np.testing.assert_array_equal(batch["numbered"][row, 0], arrays["pixels"][step])
            seen += 1
    assert seen == 24
    assert dataset.verify().problems == []
    write_episode(tmp_path / "episode_3", 5, 3)
    assert [episode.num_steps for episode in opened(tmp_path, MAPPING)] == [8, 7, 5, 9]


@pytest.mark.parametrize(
    ("values", "unit", "wanted"),
    [
        (np.array([1, 2, 2**62]), "ns", [1, 2, 2**62]),
        (np.array([1_677_963_752_004, 1_677_963_752_038]), "ms", None),
        (np.array([1e9 + 0.25, 1e9 + 0.5]), "s", [10**18 + 250_000_000, 10**18 + 500_000_000]),
        (np.array([-0.5, -0.25, 0.25]), "s", [-500_000_000, -250_000_000, 250_000_000]),
        (np.array([1.5, 2.5], "f4"), "us", [1500, 2500]),
        (np.array([3, 3, 4], "u1"), "us", [3000, 3000, 4000]),
    ],
)
def test_units_of_time(tmp_path: Path, values: Any, unit: str, wanted: Any) -> None:
    np.save(tmp_path / "t.npy", values)
    np.save(tmp_path / "x.npy", np.arange(len(values)))
    mapping = {
        "format": "tables",
        "steps": "x",
        "streams": {"x": {"path": "x.npy", "times": clock("t.npy", unit)}},
    }
    found = opened(tmp_path, mapping)[0]["x"].times_ns
    assert found.tolist() == ([int(v) * 10**6 for v in values] if wanted is None else wanted)
    mapping["streams"]["x"]["times"]["offset_s"] = -0.001  # type: ignore[index]
    if wanted is not None and wanted[-1] < 2**62:
        assert opened(tmp_path, mapping)[0]["x"].times_ns.tolist() == [t - 10**6 for t in wanted]


def test_t1_float32_epochs_are_warned_of(tmp_path: Path) -> None:
    """mmdetection3d 296, genpy 146: steps of 134 s."""
    np.save(tmp_path / "t.npy", np.array([1.6e9, 1.6e9 + 300], "f4"))
    np.save(tmp_path / "x.npy", np.arange(2))
    mapping = {
        "format": "tables",
        "steps": "x",
        "streams": {"x": {"path": "x.npy", "times": clock("t.npy")}},
    }
    with pytest.warns(RuntimeWarning, match="float32 holds .* in steps of 128"):
        opened(tmp_path, mapping)


def test_clocks_without_steps_and_rates(tmp_path: Path) -> None:
    """Where no stream is the steps, they are what the rate makes of all stamps."""
    np.save(tmp_path / "fast.npy", np.arange(101.0))
    np.save(tmp_path / "t.npy", np.arange(101) / 100 + 5)
    np.save(tmp_path / "slow.npy", np.arange(11.0))
    streams = {
        "fast": {"path": "fast.npy", "times": clock("t.npy")},
        "slow": {"path": "slow.npy", "rate_hz": 2.5},
    }
    with pytest.raises(rc.errors.InvalidArgumentError, match="wanted steps, the stream whose"):
        opened(tmp_path, {"format": "tables", "streams": streams})
    dataset = opened(tmp_path, {"format": "tables", "rate_hz": 10, "streams": streams})
    assert dataset.num_steps == 61  # from 0 to 6 s
    np.testing.assert_array_equal(dataset[0]["slow"].times_ns, np.arange(11) * 400_000_000)
    dataset = opened(
        tmp_path, {"format": "tables", "steps": "slow", "rate_hz": 2.5, "streams": streams}
    )
    assert dataset.num_steps == 11


def test_the_mapping_beside_the_data(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(6.0))
    (tmp_path / "robocache.toml").write_text(
        'format = "tables"\nrate_hz = 10\n[streams]\nx = "x.npy"\n'
    )
    dataset = opened(tmp_path)
    assert (dataset.num_steps, dataset.control_rate_hz) == (6, 10)


# ---- what is wrong ------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no streams": ({"streams": {}}, "streams: found none"),
    "another key": ({"streams": {"x": {"path": "x.npy", "typ": 1}}}, "found 'typ', wanted one of"),
    "no path": ({"streams": {"x": {"kind": "image"}}}, "path: found None"),
    "outside": ({"streams": {"x": "../x.npy"}}, r"path: found '../x.npy', wanted a path below"),
    "absolute": ({"streams": {"x": "/etc/passwd"}}, "wanted a path below the episode's folder"),
    "not there": ({"streams": {"x": "y.npy"}}, r"y\.npy: is not there"),
    "a folder": ({"streams": {"x": "folder"}}, "folder: is not there, or no file"),
    "a pipe": ({"streams": {"x": "pipe"}}, "pipe: is not there, or no file"),
    "no member": (
        {"streams": {"x": {"path": "x.npz", "member": "b"}}},
        r"found no member 'b\.npy'",
    ),
    "no zip": ({"streams": {"x": {"path": "x.npy", "member": "b"}}}, r"x\.npy: no zip archive"),
    "strings": ({"streams": {"x": "text.npy"}}, "found the dtype <U3; plain numbers are read"),
    "objects": ({"streams": {"x": "objects.npy"}}, "found the dtype object"),
    "cut off": ({"streams": {"x": "cut.npy"}}, r"cut\.npy: found 175 bytes, wanted 176"),
    "2^62": ({"streams": {"x": "huge.npy"}}, r"huge\.npy: found"),
    "a number": ({"streams": {"x": "one.npy"}}, "found a single number"),
    "no column": (
        {"streams": {"x": {"path": "x.csv", "column": "c"}}},
        "found 'c', wanted one of a",
    ),
    "a bad cell": (
        {"streams": {"x": "x.csv"}},
        r"x\.csv: line 3, column 1: found 'oops', wanted fl",
    ),
    "cells": ({"streams": {"x": "ragged.csv"}}, r"ragged\.csv: line 3: found 3 cells, wanted 2"),
    "no table": ({"streams": {"x": "empty.csv"}}, r"empty\.csv: .* the file is empty"),
    "no text": ({"streams": {"x": "binary.csv"}}, r"binary\.csv: "),
    "a column of none": (
        {"streams": {"x": {"path": "x.npy", "column": 7}}},
        "columns: found an ar",
    ),
    "raw of 5": ({"streams": {"x": {"path": "x.npy", "dtype": "<f4", "shape": [5]}}}, "a multiple"),
    "no dtype": (
        {"streams": {"x": {"path": "x.npy", "dtype": "float99"}}},
        "dtype: found 'float99'",
    ),
    "no unit": (
        {"streams": {"x": {"path": "x.npy", "times": {"path": "x.npy"}}}},
        "unit: is missing",
    ),
    "another unit": (
        {"streams": {"x": {"path": "x.npy", "times": clock("x.npy", "h")}}},
        "unit: found 'h'",
    ),
    "no such times": (
        {"streams": {"x": {"path": "x.npy", "times": "y"}}},
        "times: found 'y', wanted",
    ),
    "going back": (
        {"streams": {"x": {"path": "x.npy", "times": clock("back.npy")}}},
        r"back\.npy: times: found 1\.0 at sample 2 behind 2\.0",
    ),
    "NaN": (
        {"streams": {"x": {"path": "x.npy", "times": clock("nan.npy")}}},
        r"nan\.npy: times: found nan at sample 1",
    ),
    "beyond int64": (
        {"streams": {"x": {"path": "x.npy", "times": clock("far.npy")}}},
        "found more than",
    ),
    "too few stamps": (
        {"streams": {"x": {"path": "x.npy", "times": clock("one_t.npy")}}},
        "found 6 samples, wanted 1, as it has stamps",
    ),
    "unequal": (
        {"streams": {"x": "x.npy", "y": "back.npy"}},
        "found x 6, y 3 samples, wanted as many",
    ),
    "no steps": ({"streams": {"x": "none.npy"}}, "found no step"),
    "another step": (
        {"streams": {"x": "x.npy"}, "steps": "y"},
        "steps: found 'y', wanted one of x",
    ),
    "no folder": ({"streams": {"x": "x.npy"}, "episodes": "e*"}, "found no folder"),
    "no pictures": ({"streams": {"x": "*.png"}}, r"\*\.png: found no file"),
    "no metadata": ({"streams": {"x": "x.npy"}, "metadata": "x.npy"}, r"x\.npy: "),
}


def write_wrong(folder: Path) -> None:
    np.save(folder / "x.npy", np.arange(6.0))
    np.savez(folder / "x.npz", a=np.arange(6.0))
    np.save(folder / "text.npy", np.array(["abc"]))
    np.save(folder / "objects.npy", np.array([{}], object))
    (folder / "cut.npy").write_bytes((folder / "x.npy").read_bytes()[:-1])
    (folder / "huge.npy").write_bytes(
        (folder / "x.npy")
        .read_bytes()
        .replace(b"(6,), }" + b" " * 18, b"(4611686018427387904,), }")
    )
    np.save(folder / "one.npy", np.array(3.0))
    (folder / "x.csv").write_text("a,b\n1,2\n3,oops\n")
    (folder / "ragged.csv").write_text("a,b\n1,2\n3,4,5\n")
    (folder / "empty.csv").write_text("")
    (folder / "binary.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    np.save(folder / "back.npy", np.array([0.0, 2.0, 1.0]))
    np.save(folder / "nan.npy", np.array([0.0, np.nan]))
    np.save(folder / "far.npy", np.array([0.0, 1e12]))
    np.save(folder / "one_t.npy", np.array([0.0]))
    np.save(folder / "none.npy", np.zeros((0, 3)))
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, name: str) -> None:
    write_wrong(tmp_path)
    change, message = WRONG[name]
    with pytest.raises(rc.Error, match=message):
        opened(tmp_path, {"format": "tables", "rate_hz": 10, **change})


def test_a_damaged_episode_is_left_out(tmp_path: Path) -> None:
    for number in range(3):
        write_episode(tmp_path / f"episode_{number}", 6 + number, number)
    os.truncate(tmp_path / "episode_1/raw.bin", 50)
    with pytest.raises(rc.errors.FormatError, match=r"episode_1/raw\.bin: found 50 bytes"):
        opened(tmp_path, MAPPING)
    dataset = opened(tmp_path, MAPPING, on_error="skip")
    assert [episode.num_steps for episode in dataset] == [6, 8]
    assert len(dataset.skipped) == 1


def test_arrays_with_any_bytes_are_read_or_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(6.0))
    np.savez_compressed(tmp_path / "x.npz", a=np.arange(6.0))
    mapping = {
        "format": "tables",
        "rate_hz": 10,
        "streams": {"x": "x.npy", "y": {"path": "x.npz", "member": "a"}},
    }
    for name in ("x.npy", "x.npz"):
        file = tmp_path / name
        data = file.read_bytes()
        for _ in range(60):
            changed = bytearray(data)
            changed[RNG.integers(len(data))] = RNG.integers(256)
            file.write_bytes(
                changed[: RNG.integers(1, len(data) + 1)] if RNG.random() < 0.3 else changed
            )
            found = None
            try:
                for stream in opened(tmp_path, mapping, rebuild=True)[0].values():
                    stream.read()
            except rc.Error as error:
                found = str(error)
            assert found is None or name in found or "samples, wanted as many" in found
        file.write_bytes(data)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_changed_bit_of_an_archive_is_never_another_value(tmp_path: Path, save: Any) -> None:
    """The CRC of a deflated member is held, and that of a stored one where it is copied."""
    save(tmp_path / "x.npz", a=RNG.integers(0, 9, (400, 3)))
    whole, copied = {"path": "x.npz", "member": "a"}, {"path": "x.npz", "member": "a", "column": 1}
    data = (tmp_path / "x.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        member = archive.getinfo("a.npy")
    begin = (
        member.header_offset + 30 + sum(struct.unpack_from("<HH", data, member.header_offset + 26))
    )
    end = begin + member.compress_size - 1  # the last byte may have bits that nothing reads
    for source in (copied, whole)[: 1 + (save is np.savez_compressed)]:
        mapping = {"format": "tables", "rate_hz": 10, "streams": {"x": source}}
        for at in RNG.integers(begin + 200, end, 30).tolist():
            changed = bytearray(data)
            changed[at] ^= 1 << RNG.integers(8)
            (tmp_path / "x.npz").write_bytes(changed)
            with pytest.raises(rc.errors.FormatError, match=r"x\.npz"):
                opened(tmp_path, mapping, rebuild=True)[0]["x"].read()


def test_the_page_on_tables_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        folder = tmp_path / f"logs/run_{number}"
        folder.mkdir(parents=True)
        times = np.arange(200) * 5 + 1_700_000_000_000
        with (folder / "force.csv").open("w") as file:
            file.write("timestamp,Fx,Fy,Fz\n")
            file.writelines(f"{t},1,2,{i}\n" for i, t in enumerate(times))
        np.save(folder / "joints", np.zeros((30, 7), "f4"))
        (folder / "joints.npy").rename(folder / "joints")
        np.save(folder / "joints_t.npy", times[:30] / 1000)
        (folder / "camera").mkdir()
        for step in range(30):
            picture = pytest.importorskip("PIL.Image").new("RGB", (8, 6))
            picture.save(folder / f"camera/{step:04}.png")
    text = (DOCS / "tables.md").read_text()
    (tmp_path / "logs/robocache.toml").write_text(text.split("```toml\n")[1].split("```")[0])
    monkeypatch.chdir(tmp_path)
    names = run_page(DOCS / "tables.md")
    assert [episode.num_steps for episode in names["ds"]] == [30, 30]
