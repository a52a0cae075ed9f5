"""The whole way from recorded episodes to aligned batches, with pictures of it.

    python examples/demo.py              # a simulated arm, recorded here
    python examples/demo.py DATA         # a dataset of your own

Without DATA a simulated arm records a few episodes, every sensor on its own clock, and the
project's writer puts them into RLDS TFRecords, or, with --format lerobot, into a LeRobot dataset
with video. Then, either way: index, info, two epochs of
batches with fusion and voxelization, a contact sheet and a picture of the voxels. Everything is
written to one folder, also the catalog of DATA, which is only read. Needs no PyTorch.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import robocache as rc
import robocache.cli
from robocache.suggest import is_action, is_point_cloud, suggest_windows
from robocache.view import save_contact_sheet

EPOCHS = 2
CHUNK = 16
FINER = 4  # fused streams lie on a clock this much finer than the loader's
GRID, VOXEL_M = 32, 0.03


@dataclass
class Plan:
    """What is taken from a dataset.

    fused: name in the batch to its offsets in ns: windows of numbers that go onto one clock.
    voxels: origin of the grid, for the point cloud streams; None where there are none.
    """

    rate_hz: float | None
    streams: dict[str, rc.Window]
    fused: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    clouds: list[str] = field(default_factory=list)
    origin: tuple[float, float, float] | None = None


def say(text: str) -> None:
    print(f"\n==> {text}", flush=True)


def offsets_ns(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(seconds * 1e9).astype(np.int64)


# ---- the data ----


def record(folder: Path, count: int, seed: int, kind: str) -> Path:
    """Record episodes of the simulated arm; return the dataset's folder."""
    try:
        import arm

        recorder = importlib.import_module(f"arm.{kind}")
    except ImportError as error:
        raise SystemExit(
            f"demo: the simulated arm needs {error.name}: pip install 'robocache[demo]'"
        ) from error

    def announced() -> Iterator[arm.Episode]:
        start = time.monotonic()
        for index, episode in enumerate(arm.record_episodes(count, seed)):
            samples = sum(len(stream.times_ns) for stream in episode.streams.values())
            print(
                f"    {index + 1}/{count}  {episode.instruction}: {samples} samples of "
                f"{len(episode.streams)} streams, {time.monotonic() - start:.1f} s",
                flush=True,
            )
            yield episode

    shutil.rmtree(folder / recorder.NAME, ignore_errors=True)
    path: Path = recorder.write_episodes(announced(), folder)
    return path


def find_dataset(path: Path) -> Path:
    """Return the folder at or below path that holds a dataset's files, the newest version of it."""
    if not path.exists():
        raise SystemExit(f"demo: {path}: not found")
    below = ("", "*/", "*/*/", "*/*/*/")
    marks = ("features.json", "dataset_info.json", "*.tfrecord*")
    for depth in below:
        found = {file.parent for mark in marks for file in path.glob(depth + mark)}
        if found and len({folder.parent for folder in found}) == 1:
            return max(found, key=version)
        if found:
            names = ", ".join(sorted(map(str, found)))
            raise SystemExit(f"demo: {path}: several datasets found, choose one: {names}")
    return path


def version(folder: Path) -> tuple[int, ...]:
    parts = folder.name.split(".")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else ()


# ---- what to load ----


def plan_arm() -> Plan:
    """Windows for the simulated arm: each stream in the way that suits its sensor."""
    recent = np.arange(-10, 1) * 0.01
    return Plan(
        rate_hz=10.0,
        streams={
            "observation/image": rc.Window(range(-1, 1), mode="hold"),
            "observation/joint_position": rc.Window(seconds=recent, mode="linear"),
            "observation/wrench": rc.Window(range(-4, 1), mode="mean"),
            "observation/gripper_position": rc.Window(range(-1, 1), mode="hold"),
            "observation/point_cloud": rc.Window(0, mode="hold", max_points=4096),
            "action": rc.Window(range(CHUNK), mode="hold"),
        },
        fused={
            "observation/joint_position": offsets_ns(recent),
            "observation/wrench": offsets_ns(np.arange(-4, 1) * 0.1),
            "observation/gripper_position": offsets_ns(np.arange(-1, 1) * 0.1),
        },
        clouds=["observation/point_cloud"],
        origin=(-0.10, -0.48, -0.03),
    )


def plan_any(dataset: rc.Dataset, rate_hz: float | None) -> Plan:
    """Windows for any dataset, by what its streams are."""
    streams = dataset.streams
    clouds = [name for name, info in streams.items() if is_point_cloud(info)]
    most = max(
        (
            int(episode[name].row_lengths.max(initial=1))
            for episode in (dataset.episodes if clouds else ())
            for name in clouds
        ),
        default=None,
    )
    plan = Plan(rate_hz, suggest_windows(dataset, chunk=CHUNK, max_points=most), clouds=clouds)
    period_s = 1.0 / (rate_hz or dataset.control_rate_hz or 1.0)
    for name, window in plan.streams.items():
        info = streams[name]
        is_vector = len(info.shape) == 1 and info.shape[0] <= 64 and name not in clouds
        if info.dtype == "float32" and is_vector and window.mode == "linear":
            plan.streams[name] = rc.Window(range(-1, 1), mode="linear")
            plan.fused[name] = offsets_ns(np.arange(-1, 1) * period_s)
        elif is_action(info) and info.dtype == "float32":
            plan.fused[name] = offsets_ns(np.arange(CHUNK) * period_s)
    return plan


# ---- loading ----


def run_epochs(
    dataset: rc.Dataset, plan: Plan, batch_size: int
) -> tuple[dict[str, Any], NDArray[np.int32] | None]:
    """Load two epochs, print how fast; return the last batch and its voxels int32[B,X,Y,Z]."""
    loader = rc.DataLoader(
        dataset,
        batch_size,
        rate_hz=plan.rate_hz,
        streams=plan.streams,
        shuffle=True,
        seed=0,
        array="numpy",
    )
    batch: dict[str, Any] = {}
    voxels = None
    cameras = [name for name in plan.streams if dataset.streams[name].kind == "image"]
    for epoch in range(EPOCHS):
        samples = images = 0
        fuse_s = voxel_s = 0.0
        start = time.perf_counter()
        for batch in loader:
            samples += len(batch["time_ns"])
            images += sum(batch[f"{name}_valid"].size for name in cameras)
            before = time.perf_counter()
            fused = fuse(batch, plan)
            between = time.perf_counter()
            voxels = voxelize(batch, plan)
            fuse_s += between - before
            voxel_s += time.perf_counter() - between
        seconds = time.perf_counter() - start
        line = f"    epoch {epoch}: {samples} samples in {len(loader)} batches, {seconds:.2f} s: "
        line += f"{samples / seconds:,.0f} samples/s, {images / seconds:,.0f} images/s"
        parts = [f"{fuse_s * 1e3:.1f} ms fusing"] if fused is not None else []
        parts += [f"{voxel_s * 1e3:.1f} ms voxelizing"] if voxels is not None else []
        print(f"{line} ({', '.join(parts)})" if parts else line)
    print("    the last batch holds")
    for name, value in batch.items():
        if not name.endswith(("_is_pad", "_valid", "_lengths")):
            print(f"      {name:32} {describe(value)}")
    if fused is not None:
        names = " + ".join(name.split("/")[-1] for name in plan.fused)
        print(f"      {'fused: ' + names:32} {describe(fused)}")
    if voxels is not None:
        print(f"      {'voxels, points in each':32} {describe(voxels)}")
    loader.close()
    return batch, voxels


def describe(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)} texts, such as {value[0]!r}"
    return f"{value.dtype} {list(value.shape)}"


def fuse(batch: dict[str, Any], plan: Plan) -> NDArray[np.float32] | None:
    """Put the batch's windows of numbers, each with its own rate, side by side on one clock."""
    if not plan.fused:
        return None
    now = batch["time_ns"][:, None]
    sources = [
        (batch[name].reshape(*batch[name].shape[:2], -1), now + offsets)
        for name, offsets in plan.fused.items()
    ]
    last = max(int(offsets[0]) for offsets in plan.fused.values())
    first = min(int(offsets[0]) for offsets in plan.fused.values())
    targets = now + np.linspace(first, max(last, 0), 4 * FINER + 1).astype(np.int64)
    return rc.fuse_streams(sources, targets)


def voxelize(batch: dict[str, Any], plan: Plan) -> NDArray[np.int32] | None:
    """Count the points of each sample's first cloud in a grid of cells."""
    if not plan.clouds:
        return None
    name = plan.clouds[0]
    points, lengths = batch[name][:, -1, :, :3], batch[f"{name}_lengths"][:, -1]
    return rc.voxelize_point_cloud(
        points, GRID, VOXEL_M, plan.origin, mode="count", lengths=lengths
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", nargs="?", type=Path, help="folder of a dataset")
    parser.add_argument("-o", "--output", type=Path, default=Path("out/demo"))
    parser.add_argument("--format", choices=("rlds", "lerobot"), default="rlds", help="to record")
    parser.add_argument("--episodes", type=int, default=3, help="to record (default: 3)")
    parser.add_argument("--seed", type=int, default=0, help="of the recording (default: 0)")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rate-hz", type=float, help="the clock, where DATA does not say its rate")
    arguments = parser.parse_args()
    output: Path = arguments.output
    output.mkdir(parents=True, exist_ok=True)

    rate_hz: float | None = arguments.rate_hz
    if arguments.data is None:
        kind = arguments.format
        what = {"rlds": "RLDS TFRecords", "lerobot": "a LeRobot dataset with video"}[kind]
        say(f"recording {arguments.episodes} episodes of a simulated arm to {what}")
        path = record(output, arguments.episodes, arguments.seed, kind)
        catalog = output / f"{path.relative_to(output).parts[0]}.sqlite"
    else:
        path = find_dataset(arguments.data)
        catalog = output / f"{path.parent.name}-{path.name}.sqlite"
    shared = [str(path), "--catalog", str(catalog)]
    shared += ["--control-rate-hz", f"{rate_hz:g}"] if rate_hz is not None else []
    for command in ("index", "info"):
        say(shlex.join(["robocache", command, *shared]))
        code = robocache.cli.main([command, *shared])
        if code != 0:
            return code

    dataset = rc.open(path, catalog=catalog, control_rate_hz=rate_hz)
    is_arm = arguments.data is None and arguments.format == "rlds"
    plan = plan_arm() if is_arm else plan_any(dataset, rate_hz)
    say(f"loading {EPOCHS} epochs, batches of {arguments.batch_size}")
    if not plan.clouds:
        print("    this dataset has no point clouds: nothing to voxelize")
    batch, voxels = run_epochs(dataset, plan, arguments.batch_size)

    say("drawing")
    pictures = [output / "contact_sheet.png"]
    save_contact_sheet(dataset, 0, pictures[0], rate_hz=plan.rate_hz)
    if voxels is not None:
        from pictures import draw_voxels

        pictures.append(output / "voxels.png")
        draw_voxels(batch, voxels, plan.clouds[0], VOXEL_M, plan.origin, pictures[1])
    for picture in pictures:
        print(f"    {picture}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except rc.Error as error:
        sys.exit(f"demo: {error}")
