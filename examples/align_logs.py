"""Put every sensor of a real multi-rate log on the camera's clock, and draw the result.

    python examples/align_logs.py comma2k19 LOG_FOLDER -o car.png
    python examples/align_logs.py screw CSV_FOLDER -o screw.png

``comma2k19`` reads one minute of a car in the layout of the comma2k19 dataset (CAN, IMU, GNSS and
camera, each on its own jittered clock); ``screw`` reads a screw-driving arm's two CSV files (vision
features, and pose with force/torque), which begin 659 ms apart. Both keep int64 nanoseconds.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import robocache as rc


@dataclass(frozen=True)
class Stream:
    """One sensor: int64 stamps [S], values [S, D], and how it goes onto another clock."""

    times_ns: NDArray[np.int64]
    values: NDArray[Any]
    mode: str
    max_gap_ns: int | None = None


@dataclass(frozen=True)
class Aligned:
    """A sensor on the clock: values [T, D], valid [T], dt [T] in ns to the sample used."""

    values: NDArray[Any]
    valid: NDArray[np.bool_]
    dt_ns: NDArray[np.int64]


def nanoseconds(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(seconds * 1e9).astype(np.int64)


def load_comma2k19(folder: Path) -> tuple[NDArray[np.int64], dict[str, Stream]]:
    """The camera's stamps, and every stream of processed_log and global_pose."""
    clock = nanoseconds(np.load(folder / "global_pose/frame_times"))
    streams = {
        "camera/position": Stream(clock, np.load(folder / "global_pose/frame_positions"), "cubic"),
        "camera/velocity": Stream(
            clock, np.load(folder / "global_pose/frame_velocities"), "linear"
        ),
        "camera/orientation": Stream(
            clock, np.load(folder / "global_pose/frame_orientations"), "slerp"
        ),
    }
    discrete = ("CAN/radar", "GNSS/raw_gnss_qcom", "GNSS/raw_gnss_ublox", "CAN/raw_can")
    for times_file in sorted((folder / "processed_log").glob("*/*/t")):
        name = "/".join(times_file.parts[-3:-1])
        times = nanoseconds(np.load(times_file))
        if name == "CAN/raw_can":
            frames = np.load(times_file.parent / "data")
            values = np.frombuffer(frames.tobytes(), np.uint8).reshape(len(frames), 8)
        else:
            values = np.load(times_file.parent / "value")
        values = values.reshape(len(times), -1)
        order = np.argsort(times, kind="stable")
        mode = "hold" if name in discrete else "linear"
        gap = None if mode == "hold" else 5 * int(np.median(np.diff(times[order])))
        streams[name] = Stream(times[order], values[order], mode, gap)
    return clock, streams


def load_screw(folder: Path) -> tuple[NDArray[np.int64], dict[str, Stream]]:
    """The camera's stamps, its features, and the arm's pose and wrench."""

    def table(name: str) -> tuple[list[str], NDArray[np.float64]]:
        with (folder / name).open(newline="") as file:
            rows = list(csv.reader(file))
        return rows[0], np.array(rows[1:], dtype=np.float64)

    def column(data: NDArray[np.float64], header: list[str], names: str) -> NDArray[np.float64]:
        return data[:, [header.index(name) for name in names.split()]]

    seen_header, seen = table("observation_data.csv")
    arm_header, arm = table("sensor_data.csv")
    clock = seen[:, 0].astype(np.int64) * 1_000_000
    stamps = arm[:, 0].astype(np.int64) * 1_000_000
    gap = 60_000_000
    return clock, {
        "vision/features": Stream(clock, column(seen, seen_header, "X Y Z v"), "hold"),
        "arm/position": Stream(stamps, column(arm, arm_header, "X Y Z"), "linear", gap),
        "arm/euler": Stream(stamps, column(arm, arm_header, "A B C"), "angle", gap),
        "arm/force": Stream(stamps, column(arm, arm_header, "Fx Fy Fz"), "linear", gap),
        "arm/torque": Stream(stamps, column(arm, arm_header, "Tx Ty Tz"), "linear", gap),
    }


def align(clock: NDArray[np.int64], streams: dict[str, Stream]) -> dict[str, Aligned]:
    """Every stream on the clock; what lies outside a stream or in a gap is not valid."""
    result = {}
    for name, stream in streams.items():
        values, valid, dt = rc.resample_trajectories(
            stream.values[None],
            stream.times_ns,
            clock,
            mode=stream.mode,
            max_gap=stream.max_gap_ns,
            return_valid=True,
            return_dt=True,
        )
        result[name] = Aligned(values[0], valid[0].astype(bool), dt[0])
    return result


def draw(
    clock: NDArray[np.int64],
    streams: dict[str, Stream],
    aligned: dict[str, Aligned],
    file: Path,
    span_s: tuple[float, float],
) -> None:
    """One row a stream: raw samples, values on the clock, and a strip where they are not valid."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    start = min(int(clock[0]), *(int(s.times_ns[0]) for s in streams.values()))
    figure, axes = plt.subplots(
        len(streams), 1, figsize=(11, 1.35 * len(streams)), sharex=True, layout="constrained"
    )
    for axis, (name, stream) in zip(axes, streams.items(), strict=True):
        seconds = (stream.times_ns - start) * 1e-9
        ticks = (clock - start) * 1e-9
        put = aligned[name]
        axis.plot(seconds, stream.values[:, 0], ".", ms=2.5, color="0.65", label="samples")
        shown = np.where(put.valid, put.values[:, 0].astype(np.float64), np.nan)
        axis.plot(ticks, shown, "o", ms=3, mfc="none", color="C0", label="on the camera's clock")
        axis.fill_between(
            ticks,
            0,
            1,
            where=~put.valid,
            step="mid",
            transform=axis.get_xaxis_transform(),
            color="C3",
            alpha=0.25,
            lw=0,
            label="not valid",
        )
        rate = (len(seconds) - 1) / max(seconds[-1] - seconds[0], 1e-9)
        seen = stream.values[(seconds >= span_s[0]) & (seconds <= span_s[1]), 0].astype(float)
        if len(seen):
            margin = 0.08 * max(float(np.ptp(seen)), 1e-6 * abs(float(seen[0])) + 1e-9)
            axis.set_ylim(seen.min() - margin, seen.max() + margin)
        axis.set_ylabel(f"{name}\n{rate:.3g} Hz, {stream.mode}", fontsize=7, rotation=0, ha="right")
        axis.tick_params(labelsize=7)
    axes[0].legend(fontsize=7, ncols=3, loc="upper right")
    axes[-1].set_xlim(*span_s)
    axes[-1].set_xlabel("seconds since the first stamp")
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("log", choices=["comma2k19", "screw"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--draw", nargs="+", help="streams to draw; default: all")
    arguments = parser.parse_args()
    load = load_comma2k19 if arguments.log == "comma2k19" else load_screw
    clock, streams = load(arguments.folder)
    aligned = align(clock, streams)
    print(f"{'stream':32} {'samples':>8} {'Hz':>8} {'valid':>7} {'max |dt| ms':>12}")
    for name, stream in streams.items():
        put = aligned[name]
        span = max(float(stream.times_ns[-1] - stream.times_ns[0]) * 1e-9, 1e-9)
        rate = (len(stream.times_ns) - 1) / span
        worst = np.abs(put.dt_ns[put.valid]).max(initial=0) * 1e-6
        print(
            f"{name:32} {len(stream.times_ns):8} {rate:8.1f} {put.valid.mean():7.1%} {worst:12.3f}"
        )
    streams = {name: streams[name] for name in arguments.draw or streams}
    draw(clock, streams, aligned, arguments.output, (0, 4) if arguments.log == "screw" else (0, 3))
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
