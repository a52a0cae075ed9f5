"""Clouds and depth images that a device voxelizes, against those of the host: for loader.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from tests.cuda.decoding import compare, deliver

STEPS = (17, 1, 12)
CAMERA: dict[str, Any] = {
    "intrinsics": [[14, 0, 8], [0, 15, 6], [0, 0, 1]],
    "origin": (-1, -1, 0),
}
FEATURED = ("cloud", "half")
EXACT = ("occupancy", "count")  # modes whose kernels the stand-in has
POSE = [[0, 0, 1, -0.5], [-1, 0, 0, 0.25], [0, -1, 0, 1]]


def open_clouds(folder: Path) -> Any:
    """Return a dataset of clouds and depth images of all kinds, some empty, some not finite."""
    import robocache as rc

    features = {
        "cloud": rc.Feature("float32", (6,), ragged=True),
        "half": rc.Feature("float16", (25, 4)),
        "double": rc.Feature("float64", (31, 3)),
        "depth": rc.Feature("uint16", (12, 16, 1), encoding="png"),
        "sized": rc.Feature("uint16", (-1, -1, 1), encoding="png"),
        "range": rc.Feature("float32", (9, 14)),
        "image": rc.Feature("uint8", (16, 16, 3), encoding="jpeg"),
        "action": rc.Feature("float32", (3,)),
    }
    rng = np.random.default_rng(9)
    with rc.RldsWriter(folder, "clouds", features, control_rate_hz=10) as writer:
        for episode, steps in enumerate(STEPS):
            height = 10 if episode < 2 else 11
            made: dict[str, list[Any]] = {name: [] for name in features}
            for step in range(steps):
                cloud = rng.normal(scale=0.7, size=(int(rng.integers(0, 90)) * (step % 5 > 0), 6))
                cloud[rng.random(len(cloud)) < 0.1, rng.integers(0, 6)] = np.nan
                made["cloud"].append(cloud.astype(np.float32))
                made["half"].append(rng.normal(size=(25, 4)).astype(np.float16))
                made["double"].append(rng.normal(size=(31, 3)))
                made["depth"].append(rng.integers(0, 3000, (12, 16, 1), dtype=np.uint16))
                made["sized"].append(rng.integers(0, 3000, (height, 14, 1), dtype=np.uint16))
                made["range"].append(rng.uniform(0, 3, (9, 14)).astype(np.float32))
                made["image"].append(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
                made["action"].append(np.zeros(3, np.float32))
            made["depth"][0] = b""
            writer.add_episode(made)
    return rc.open(folder / "clouds", progress=False)


def windows() -> dict[str, Any]:
    """Return windows of all kinds of samples, of modes that count."""
    import robocache as rc

    count = rc.Voxels((4, 5, 6), (0.5, 0.4, 0.3), mode="count")
    lens = rc.Voxels((9, 8, 7), 0.3, **CAMERA)
    return {
        "cloud": [
            rc.Window(range(-1, 2), voxelize=count),
            rc.Window(0, name="occupied", voxelize=rc.Voxels(7, 0.3, (-1, -1, -1)), squeeze=True),
            rc.Window([-4, 4], name="inside", voxelize=count, outside="zero"),
        ],
        "half": rc.Window(0, voxelize=count),
        "double": rc.Window([0, 1], voxelize=count, mode="nearest"),
        "depth": [rc.Window([0, 2], voxelize=lens), rc.Window(0, name="pixels")],
        "range": rc.Window(
            rc.Future(1, 3), voxelize=rc.Voxels(8, 0.3, mode="count", pose=POSE, **CAMERA)
        ),
        "image": rc.Window(0),
        "action": rc.Window(range(3)),
    }


def check_grids(folder: Path, stream: Any) -> None:
    """All kinds of samples and windows, whoever decodes the images beside them."""
    dataset = open_clouds(folder / "grids")
    for threads, options in ((1, {}), (3, {"shuffle": True, "num_slots": 1})):
        wanted, _ = deliver(dataset, stream, windows(), num_threads=threads, **options)
        assert any(bool(batch["cloud"].any()) for batch in wanted)
        assert any(bool(batch["range"].any()) for batch in wanted)
        for jpeg in ("cpu", "cuda", None):
            found, loader = deliver(
                dataset, stream, windows(), device="cuda", jpeg=jpeg, num_threads=threads, **options
            )
            compare(wanted, found)
            stats = loader.stats()
            assert (stats["images_on_device"] > 0) == (jpeg != "cpu")
            assert (stats["gpu_decode_ns"] > 0) == (jpeg != "cpu")
            assert min(stats["gpu_grid_ns"], stats["gpu_copy_ns"]) > 0 == stats["gpu_align_ns"]


def check_grids_that_fail(folder: Path, stream: Any) -> None:
    """Images of another size are told, left out or masked as on the host."""
    import robocache as rc

    dataset = open_clouds(folder / "failing")
    streams = {
        "sized": rc.Window([0, 1], voxelize=rc.Voxels(6, 0.4, mode="count", **CAMERA)),
        "cloud": rc.Window(0, voxelize=rc.Voxels(6, 0.4)),
    }
    for on_error in ("raise", "skip", "mask"):
        options = {"on_error": on_error, "num_threads": 2, "shuffle": True}
        wanted, on_host = deliver(dataset, stream, streams, **options)
        found, on_device = deliver(dataset, stream, streams, device="cuda", **options)
        compare(wanted, found)
        assert sorted(on_host.skipped) == sorted(on_device.skipped)
        assert (len(on_host.skipped) == STEPS[2]) == (on_error != "raise")


def check_grids_of_mixtures(folder: Path, stream: Any) -> None:
    """Two cameras, and a dataset without one."""
    import robocache as rc

    dataset = open_clouds(folder / "mixed")
    mix = rc.mix({"depth": (dataset, 2), "range": (dataset.take([0, 2]), 1), "none": dataset})
    cameras = {
        "depth": rc.Voxels(6, 0.4, mode="count", **CAMERA),
        "range": rc.Voxels(6, 0.5, mode="count", pose=POSE, **CAMERA),
    }
    window = rc.Window(
        [0, 1], source={"depth": "depth", "range": "range", "none": None}, voxelize=cameras
    )
    for shuffle in (False, True):
        wanted, _ = deliver(mix, stream, {"grid": window}, shuffle=shuffle)
        found, _ = deliver(mix, stream, {"grid": window}, shuffle=shuffle, device="cuda")
        compare(wanted, found)


def random_windows(rng: Any, modes: tuple[str, ...]) -> dict[str, Any]:
    """Return some windows of some streams, grids of these modes among them."""
    import robocache as rc

    def voxels(stream: str) -> Any:
        size = rng.uniform(0.05, 1.0, 3)
        origin = None if rng.random() < 0.4 else rng.uniform(-2, 1, 3)
        options: dict[str, Any] = {"mode": str(rng.choice(modes if stream in FEATURED else EXACT))}
        if stream in ("depth", "sized", "range"):
            options["intrinsics"] = CAMERA["intrinsics"]
            options["pose"] = None if rng.random() < 0.5 else POSE
            options["min_depth"] = float(rng.choice([0.0, 0.7]))
            options["max_depth"] = float(rng.choice([1e30, 2.0]))
            options["pixel_offset"] = float(rng.choice([0.0, 0.5]))
        return rc.Voxels(rng.integers(1, 9, 3), size, origin, **options)

    def window(stream: str, name: str) -> Any:
        first = int(rng.integers(-4, 3))
        ticks: Any = range(first, first + int(rng.integers(1, 5)))
        return rc.Window(
            rc.Future(1, 5) if rng.random() < 0.2 else ticks,
            name=name,
            voxelize=voxels(stream),
            mode=str(rng.choice(["hold", "nearest"])),
            outside=str(rng.choice(["hold", "zero"])),
        )

    streams = {}
    for stream in rng.permutation([*FEATURED, "double", "depth", "sized", "range"])[:3]:
        several = range(int(rng.integers(1, 3)))
        streams[str(stream)] = [window(str(stream), f"{stream} {i}") for i in several]
    if rng.random() < 0.4:
        streams["image"] = [rc.Window(0)]
    return streams


def check_random_grids(folder: Path, stream: Any) -> None:
    """Configurations that nobody has thought of: ROBOCACHE_CONFIGURATIONS of them."""
    dataset = open_clouds(folder / "random grids")
    seed = int(os.environ.get("ROBOCACHE_SEED", "1"))
    for number in range(int(os.environ.get("ROBOCACHE_CONFIGURATIONS", "6"))):
        rng = np.random.default_rng((seed, number))
        streams = random_windows(rng, getattr(stream, "modes", EXACT))
        options = {
            "batch_size": int(rng.integers(1, 40)),
            "shuffle": bool(rng.integers(2)),
            "seed": int(rng.integers(100)),
            "on_error": str(rng.choice(["raise", "skip", "mask"])),
        }
        placed = {
            "num_threads": int(rng.integers(1, 9)),
            "num_slots": int(rng.integers(0, 5)),
            "jpeg": str(rng.choice(["cpu", "cuda", "auto"])),
        }
        wanted, _ = deliver(dataset, stream, streams, num_threads=1, **options)
        try:
            found, _ = deliver(dataset, stream, streams, device="cuda", **placed, **options)
            compare(wanted, found)
        except BaseException:
            print(f"configuration {number} of seed {seed}: {options} {placed} {streams}")
            raise


CHECKS = (check_grids, check_grids_that_fail, check_grids_of_mixtures, check_random_grids)
