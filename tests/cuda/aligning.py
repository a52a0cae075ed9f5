"""Numbers that a device aligns, against those of the host: for loader.py."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import numpy as np

from tests.cuda.decoding import DAMAGED, GOOD, compare, counters, deliver, open_frames

STEPS = (31, 1, 23)
STEP_NS = 100_000_000
START_NS = 1_760_000_000_000_000_000
INTEGERS = (*("uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool"),)
FLOATS = ("float32", "float64", "float16")
ORDERED = ("uint8", "int8", "int16", "int32", "int64")  # integers that have a greatest
BETWEEN = ("linear", "cubic", "angle")
PICKS = ("hold", "nearest")
REDUCTIONS = ("mean", "max", "min")


def stamps(rng: Any, steps: int, count: int) -> np.ndarray:
    """Return times of samples over some steps: uneven, some of them equal, with a gap."""
    times = np.sort(rng.integers(0, steps * STEP_NS, count))
    times[:1] = 0
    times[2::7] = times[1:-1:7]
    middle = steps * STEP_NS // 2
    times = times[abs(times - middle) > 2 * STEP_NS] if steps > 9 else times
    return START_NS + times


def split(rng: Any, samples: np.ndarray, steps: int) -> list[np.ndarray]:
    """Return the samples that each step holds, some of them none."""
    cuts = np.sort(rng.integers(0, len(samples) + 1, steps - 1))
    return np.split(samples, cuts)


def numbers(rng: Any, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype in INTEGERS:
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    values = rng.normal(scale=2, size=shape)
    values[rng.random(shape) < 0.02] = np.nan
    return values.astype(dtype)


def open_numbers(folder: Path) -> Any:
    """Return a dataset of numbers of all kinds, on the steps and on clocks of their own."""
    import robocache as rc

    clocks = {f"{dtype}s": rc.Feature(dtype, (3,), ragged=True) for dtype in (*FLOATS, *INTEGERS)}
    clocks["pose"] = rc.Feature("float32", (8,), ragged=True)
    clocks["tactile"] = rc.Feature("float32", (9, 5), ragged=True)
    clocks["empty"] = rc.Feature("float32", (0,), ragged=True)
    clocks["never"] = rc.Feature("float32", (2,), ragged=True)
    steps = {f"step {dtype}": rc.Feature(dtype, (2,)) for dtype in ("float32", "float16", "int32")}
    steps["step floats"] = rc.Feature("float32", (3,))
    steps["action"] = rc.Feature("float32", (7,))
    steps["flag"] = rc.Feature("bool", ())
    features = {**clocks, **steps, "action_time_ns": rc.Feature("int64")}
    features |= {f"{name}_time_ns": rc.Feature("int64", ragged=True) for name in clocks}
    rng = np.random.default_rng(11)
    with rc.RldsWriter(folder, "numbers", features, control_rate_hz=10) as writer:
        for episode, length in enumerate(STEPS):
            made: dict[str, Any] = {}
            for name, feature in clocks.items():
                count = 0 if name == "never" or (episode, name) == (2, "int16s") else 6 * length
                times = stamps(rng, length, count)
                samples = numbers(rng, (len(times), *feature.shape), feature.dtype)
                made[f"{name}_time_ns"] = split(rng, times, length)
                ends = np.cumsum([len(each) for each in made[f"{name}_time_ns"]])[:-1]
                made[name] = np.split(samples, ends)
            for name, feature in steps.items():
                made[name] = numbers(rng, (length, *feature.shape), feature.dtype)
            made["action_time_ns"] = START_NS + np.arange(length) * STEP_NS
            writer.add_episode(made)
    return rc.open(folder / "numbers", progress=False)


def same_numbers(a: Any, b: Any) -> Any:
    """Return where tensors have the same numbers; NaN is NaN whatever its bits."""
    same = a == b
    return same | (a.isnan() & b.isnan()) if a.is_floating_point() else same


def both(
    dataset: Any, stream: Any, streams: Any, jpeg: str | None = None, **options: Any
) -> list[Any]:
    """Return what the host delivers, having compared what the device does."""
    there = {"device": "cuda", "align": "cuda", "jpeg": jpeg}
    wanted, on_host = deliver(dataset, stream, streams, **options)
    found, on_device = deliver(dataset, stream, streams, **there, **options)
    compare(wanted, found, same_numbers)
    assert sorted(on_host.skipped) == sorted(on_device.skipped)
    assert on_host.stats()["gpu_align_ns"] == 0
    return wanted


def windows() -> dict[str, Any]:
    """Return windows of all ways to have numbers."""
    import robocache as rc

    near = range(-2, 4)
    poses = [(slice(0, 3), "linear"), (slice(3, 7), "slerp"), (7, "hold")]
    streams: dict[str, Any] = {
        "pose": [
            rc.Window(near, name="pose", channels=poses),
            rc.Window(range(-40, 40), name="long", mode="linear", outside="zero"),
            rc.Window(near, name="channels", channels=poses, outside="nan", tolerance=0.02),
            rc.Window(rc.Future(1, 9), name="goal", mode="cubic", outside="nan"),
            rc.Window(near, name="normal", channels=poses, normalize="mean_std"),
        ],
        "tactile": rc.Window([-1, 0], normalize="min_max", mode="linear", tolerance=0.03),
        "never": [
            rc.Window(near, name="never"),
            rc.Window(near, name="never nan", outside="nan", mode="linear"),
            rc.Window(near, name="never scaled", scale=2, offset=3),
        ],
        "empty": rc.Window(near, mode="linear", scale=2.0),
        "action": [
            rc.Window(range(8), name="actions", mode="linear", scale=0.5, outside="zero"),
            rc.Window([-30, 0, 25], name="apart", offset=1.0),
            rc.Window(range(3), name="plain"),
            rc.Window(0, name="single", normalize="mean_std", squeeze=True),
        ],
        "flag": rc.Window(range(3), scale=2.0),
        "vector": rc.Window(
            range(-1, 5),
            source=["action", "pose", "int16s", "step float16"],
            pad_to=24,
            outside="nan",
            tolerance=0.2,
        ),
        "whole": rc.Window(
            [0, 3], source=["uint16s", "int8s", "flag"], mode="nearest", outside="zero", pad_to=9
        ),
    }
    for dtype in FLOATS:
        for mode in (*BETWEEN, *PICKS, *REDUCTIONS):
            streams.setdefault(f"{dtype}s", []).append(
                rc.Window(near, name=f"{dtype} {mode}", mode=mode)
            )
        streams[f"{dtype}s"] += [
            rc.Window(near, name=f"{dtype} line", mode="linear", outside="extrapolate"),
            rc.Window([-3, 0, 2], name=f"{dtype} apart", mode="mean", outside="nan", offset=0.25),
            rc.Window(seconds=[0.013, 0.2], name=f"{dtype} off", mode="linear", clock_offset=0.07),
        ]
    for dtype in INTEGERS:
        modes = (*PICKS, *(REDUCTIONS[1:] if dtype in ORDERED else ()))
        streams[f"{dtype}s"] = [
            rc.Window(near, name=f"{dtype} {mode}", mode=mode) for mode in modes
        ]
        streams[f"{dtype}s"].append(rc.Window(near, name=f"{dtype} scaled", scale=[1, 2, 3]))
    return streams


def check_numbers(folder: Path, stream: Any) -> None:
    """All kinds of streams and windows, in small ranges and in large ones."""
    dataset = open_numbers(folder / "numbers")
    for options in (
        {"num_threads": 1, "batch_size": 64},
        {"num_threads": 3, "shuffle": True, "num_slots": 1, "batch_size": 5},
        {"num_threads": 2, "shuffle": True, "rate_hz": 37.0, "batch_size": 150},
    ):
        wanted = both(dataset, stream, windows(), **options)
        assert any(bool(batch["pose_valid"].any()) for batch in wanted)
        assert any(not bool(batch["pose_valid"].all()) for batch in wanted)


def check_numbers_that_fail(folder: Path, stream: Any) -> None:
    """Rows whose images are damaged are told, left out or masked as on the host."""
    import robocache as rc

    dataset = open_frames(folder / "failing numbers", (*GOOD, *DAMAGED))
    streams = {
        "action": [
            rc.Window(range(3), name="scaled", scale=2.0),
            rc.Window(seconds=[0.0, 0.03], name="between", mode="linear", outside="nan"),
        ],
        "wide": rc.Window(0, mode="linear", clock_offset=0.03, outside="nan"),
        "image": rc.Window(0),
        "vector": rc.Window([-9, 0], source=["action", "action"], outside="nan", pad_to=8),
    }
    for on_error in ("raise", "skip", "mask"):
        for jpeg in ("cpu", "auto", "cuda"):
            wanted = both(
                dataset, stream, streams, jpeg, on_error=on_error, num_threads=2, shuffle=True
            )
            assert any(isinstance(each, str) for each in wanted) == (on_error == "raise")


def check_numbers_of_mixtures(folder: Path, stream: Any) -> None:
    """Streams that one dataset resamples, another one takes as they are, and one lacks."""
    import robocache as rc

    dataset = open_numbers(folder / "mixed numbers")
    mix = rc.mix({"own": (dataset, 2), "steps": (dataset.take([0, 2]), 1), "none": dataset})
    streams = {
        "state": rc.Window(
            range(-1, 3),
            source={"own": "pose", "steps": ["action", "flag"], "none": None},
            normalize="mean_std",
            outside="nan",
        ),
        "copied": rc.Window(
            [0, 9],
            source={"own": "float16s", "steps": "step float16", "none": None},
            pad_to=3,
            outside="zero",
        ),
        "stored": rc.Window(
            [-3, 0],
            source={"own": "float32s", "steps": "step floats", "none": None},
            outside="nan",
        ),
        "all": rc.Window(range(2), source="float32s", mode="linear"),
    }
    for shuffle in (False, True):
        both(mix, stream, streams, shuffle=shuffle, num_threads=2)


def check_numbers_from_where_another_stopped(folder: Path, stream: Any) -> None:
    """An epoch goes on with align="cuda" where align="cpu" stopped."""
    import robocache as rc

    dataset = open_numbers(folder / "resumed numbers")
    streams = {"pose": rc.Window(range(3), mode="linear"), "action": rc.Window(0, scale=2.0)}
    options: dict[str, Any] = {"batch_size": 8, "seed": 3, "shuffle": True, "streams": streams}
    wanted, _ = deliver(dataset, stream, streams, shuffle=True)
    first = rc.DataLoader(dataset, device="cuda", align="cpu", **options)
    batches = iter(first)
    for _ in range(3):
        next(batches)
    second = rc.DataLoader(dataset, device="cuda", align="cuda", **options)
    second.load_state_dict(first.state_dict())
    found = [{**{k: stream.copy(v) for k, v in b.tensors.items()}, **b.text} for b in second]
    stream.synchronize()
    compare(wanted[3:], found, same_numbers)


def check_large_numbers(folder: Path, stream: Any) -> None:
    """What goes to the device at once is bounded, and one window may be larger than that."""
    import robocache as rc

    values = np.random.default_rng(2).normal(size=(3, 300, 2000)).astype(np.float32)
    with rc.RldsWriter(folder, "fields", {"field": rc.Feature("float32", (300, 2000))}) as writer:
        writer.add_episode({"field": values})
    dataset = rc.open(folder / "fields", progress=False, control_rate_hz=10)
    streams = {
        "field": [
            rc.Window([0, 1, 5, 2], name="all", scale=2.0, outside="zero"),
            rc.Window(0, name="one", mode="linear", tolerance=0.1, squeeze=True),
        ]
    }
    options: dict[str, Any] = {"num_threads": 1, "batch_size": 3}
    wanted, _ = deliver(dataset, stream, streams, **options)
    found, loader = deliver(dataset, stream, streams, device="cuda", align="cuda", **options)
    compare(wanted, found, same_numbers)
    stats = loader.stats()
    assert stats["pinned_bytes"] < 20 << 20
    assert stats["gpu_align_ns"] > 0


def check_places_of_numbers(folder: Path, stream: Any) -> None:
    """Where numbers cannot be aligned is said."""
    import pytest

    import robocache as rc

    del stream
    dataset = open_numbers(folder / "placed numbers")
    with pytest.raises(
        rc.errors.InvalidArgumentError, match="align: 'cuda' found with device 'cpu'"
    ):
        rc.DataLoader(dataset, streams=["action"], align="cuda")
    with pytest.raises(rc.Error, match="align: found 'gpu', wanted one of 'cpu', 'cuda'"):
        rc.DataLoader(dataset, streams=["action"], align="gpu")


def random_window(rng: Any, stream: str, dtype: str, shape: tuple[int, ...], name: str) -> Any:
    """Return a window of a stream, drawn."""
    import robocache as rc

    if dtype in FLOATS:
        modes: tuple[str, ...] = (*BETWEEN, *PICKS, *REDUCTIONS)
    else:
        modes = (*PICKS, *(REDUCTIONS[1:] if dtype in ORDERED else ()))
    options: dict[str, Any] = {"mode": str(rng.choice(modes)), "outside": "hold"}
    first = int(rng.integers(-6, 5))
    apart = sorted({int(tick) for tick in rng.integers(-40, 40, 4)})
    options["ticks"] = [range(first, first + int(rng.integers(1, 50))), apart, rc.Future(1, 5)][
        rng.choice(3, p=[0.7, 0.2, 0.1])
    ]
    if rng.random() < 0.4:
        options["scale"] = np.asarray(rng.normal(size=shape if len(shape) == 1 else ())).tolist()
    if rng.random() < 0.4:
        options["offset"] = float(rng.normal())
    is_float = dtype in FLOATS or "scale" in options or "offset" in options
    outsides = ["hold", "zero", *(["nan"] if is_float else [])]
    outsides += ["extrapolate"] if options["mode"] == "linear" else []
    options["outside"] = str(rng.choice(outsides))
    if rng.random() < 0.3:
        options["tolerance"] = float(rng.choice([0.0, 0.01, 0.1, 1]))
    if rng.random() < 0.3:
        options["max_gap"] = float(rng.choice([0.0, 0.02, 0.2]))
    if rng.random() < 0.3:
        options["clock_offset"] = float(rng.normal(scale=0.1))
    if rng.random() < 0.3:
        options["pad_to"] = int(np.prod(shape)) + int(rng.integers(0, 4))
    return rc.Window(options.pop("ticks"), name=name, source=stream, **options)


def check_random_numbers(folder: Path, stream: Any) -> None:
    """Configurations that nobody has thought of: ROBOCACHE_CONFIGURATIONS of them."""
    dataset = open_numbers(folder / "random numbers")
    kinds: dict[str, tuple[str, tuple[int, ...]]]
    kinds = {f"{dtype}s": (dtype, (3,)) for dtype in (*FLOATS, *INTEGERS)}
    kinds |= {"pose": ("float32", (8,)), "tactile": ("float32", (9, 5))}
    kinds |= {"never": ("float32", (2,)), "action": ("float32", (7,))}
    kinds |= {"step int32": ("int32", (2,)), "flag": ("bool", ())}
    seed = int(os.environ.get("ROBOCACHE_SEED", "1"))
    for number in range(int(os.environ.get("ROBOCACHE_CONFIGURATIONS", "6"))):
        rng = np.random.default_rng((seed, number))
        names = rng.choice(list(kinds), int(rng.integers(1, 6)), replace=False)
        streams = {
            f"{name} {i}": random_window(rng, str(name), *kinds[str(name)], f"{name} {i}")
            for name in names
            for i in range(int(rng.integers(1, 3)))
        }
        options = {
            "batch_size": int(rng.integers(1, 90)),
            "shuffle": bool(rng.integers(2)),
            "seed": int(rng.integers(100)),
            "on_error": str(rng.choice(["raise", "skip", "mask"])),
            "rate_hz": float(rng.choice([10, 5, 33.3])),
            "num_threads": int(rng.integers(1, 5)),
        }
        try:
            both(dataset, stream, streams, **options)
        except BaseException:
            print(f"configuration {number} of seed {seed}: {options} {streams}")
            raise


def check_launches(folder: Path, stream: Any) -> None:
    """All windows of all rows of a range are one launch, and copies are none."""
    import robocache as rc

    dataset = open_numbers(folder / "launched numbers")
    launches = (ctypes.c_longlong * 4).in_dll(stream._driver, "rbc_host_device")
    before = launches[3]  # see host_device.h
    options: dict[str, Any] = {"device": "cuda", "align": "cuda", "batch_size": 20}
    found, _ = deliver(dataset, stream, windows(), num_threads=1, **options)
    assert launches[3] - before == len(found) > 2
    before = launches[3]
    deliver(dataset, stream, {"flag": rc.Window(range(3))}, **options)
    assert launches[3] == before


def check_numbers_of_failing_devices(folder: Path, stream: Any) -> None:
    """Whatever the device fails at is raised, and no batch is lost for it."""
    import robocache as rc

    dataset = open_numbers(folder / "failures")
    streams = {"pose": rc.Window(range(3), mode="linear"), "action": rc.Window(0, scale=2.0)}
    stats = counters(stream)
    raised = []
    for calls in range(60):
        stats[1] = calls  # the one after so many fails
        try:
            loader = rc.DataLoader(
                dataset, 20, streams=streams, num_threads=1, device="cuda", align="cuda"
            )
            batches = iter(loader)
            left = len(loader)
            while left > 0:
                try:
                    next(batches)
                    left -= 1
                except rc.Error as error:
                    raised.append(str(error))
        except rc.Error as error:  # making the loader
            raised.append(str(error))
        finally:
            stats[1] = -1
    assert len(raised) > 9
    assert all("CUDA_ERROR_OUT_OF_MEMORY" in each for each in raised)


CHECKS = (
    check_numbers,
    check_numbers_that_fail,
    check_numbers_of_mixtures,
    check_numbers_from_where_another_stopped,
    check_large_numbers,
    check_places_of_numbers,
    check_random_numbers,
)
STAND_IN_CHECKS = (check_launches, check_numbers_of_failing_devices)
