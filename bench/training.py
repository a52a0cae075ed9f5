"""What feeding a training loop costs: each feed beside one batch that stays on the device.

    python bench/training.py [DATASET] [--seconds S] [--steps N] [--feeds A,B] [--json FILE]
    python bench/training.py --tiny                        # small and on the CPU: does it all run?

Policies of three sizes (examples/policy) take about 5,000, 20,000 and 60,000 frames a second: of a
given width, each gets as many layers as the device takes just so long for. Feeds take turns, round
by round, each opened for its turn alone, and the batch that stays before and after each. Before
anything is timed, what they deliver is compared, and a run that was resumed with one that was not.
Without a dataset pictures are distinct JPEGs of 256x256, about 20 kB. LeRobot's own feed is of
LeRobot data, and what it delivers is compared by bench/lerobot_loading.py, not here.

    ratio     frames a second over those of the batch that stays, of the turns before and after
    wait      part of the time that the device waited for a batch: between the end of a step and
              the begin of the next, by events. What the loop spends in next() is more where it is
              ahead of the device, held back by batches that queued steps still use
    step      from the end of one step on the device to the end of the next, p50 and p99
    busy      part of the time in which a step was under way on the device, by events
    NVML      part of the time in which any kernel ran, decoders' too
    host      memory of the process and its children beside what they had before the feed was opened
    device    memory likewise
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import robocache as rc
import train_policy
from policy import data
from policy.feeds import PICTURE, Feed, Wanted, open_feed
from policy.model import Shape, Trainer
from robocache import observability

CHUNK = 8
CEILING_STEPS = 200  # of each turn of the batch that stays
SETTLE_S = 3.0  # of training before anything is timed: clocks settle under load


@dataclass(frozen=True)
class Appetite:
    frames_per_second: float
    batch_size: int
    width: int
    depth: int = 0  # 0: found by calibrating


@dataclass(frozen=True)
class Setting:
    """Sizes of everything: the real ones, or those of --tiny."""

    device: str
    frames: int
    side: int
    size: int
    patch: int
    warm: int  # steps before the clock starts, more than any feed holds ready
    workers: int
    is_compiled: bool
    is_captured: bool
    appetites: tuple[Appetite, ...]


APPETITES = (Appetite(5e3, 64, 512), Appetite(2e4, 256, 256), Appetite(6e4, 512, 192))
REAL = Setting("cuda", 20_000, 256, 224, 16, 40, 16, True, True, APPETITES)
TINY = Setting("cpu", 400, 48, 32, 8, 2, 1, False, False, (Appetite(5e2, 16, 64),))


# ---- what is measured ---------------------------------------------------------------------------


class Marks:
    """When steps begin and end on the device."""

    def __init__(self, device: str) -> None:
        self.on_gpu = device.startswith("cuda")
        self.marks: list[Any] = []

    def mark(self) -> None:
        if self.on_gpu:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.marks.append(event)
        else:
            self.marks.append(time.perf_counter())

    def times_ms(self) -> np.ndarray:
        """Returns [steps, 2], begin and end, from the first begin on; waits for the device."""
        first = self.marks[0]
        if self.on_gpu:
            torch.cuda.synchronize()
            times = [first.elapsed_time(mark) for mark in self.marks]
        else:
            times = [(mark - first) * 1e3 for mark in self.marks]
        return np.array(times).reshape(-1, 2)


# Of a loader's statistics, those that are kept over time.
FOLLOWED = ("batches_delivered", "batches_ready", "slots", "images_decoded", "images_on_device",
            "core_image_ns", "loop_batch_ns")  # fmt: skip


class Watch(threading.Thread):
    """Asks NVML now and then how busy the first GPU is, and the loader how it does."""

    def __init__(self, loader: rc.DataLoader | None) -> None:
        super().__init__(daemon=True)
        self.loader = loader
        self.busy: list[float] = []
        self.followed: list[list[float]] = []
        self.is_over = threading.Event()

    def run(self) -> None:
        while not self.is_over.wait(0.2):
            figures = observability.gpu_figures()
            if figures:
                self.busy.append(figures[0]["busy"])
            if self.loader is not None:
                stats = self.loader.stats()
                self.followed.append([stats[name] for name in FOLLOWED])

    def end(self) -> float | None:
        self.is_over.set()
        self.join()
        return statistics.mean(self.busy) if self.busy else None


def processes() -> list[int]:
    """Returns this process and all that descend from it."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
        except OSError:
            continue
        parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    found = [os.getpid()]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def host_bytes() -> int:
    """Returns the memory of all processes, shared pages once, without pages of files."""
    total = 0
    for process in processes():
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        wanted = ("Pss_Anon:", "Pss_Shmem:")
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(wanted))
    return total


def device_bytes(device: str) -> int:
    if not device.startswith("cuda"):
        return 0
    torch.cuda.empty_cache()  # what torch keeps of feeds before is no feed's
    free, total = torch.cuda.mem_get_info()
    return total - free


def synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


@dataclass
class Row:
    appetite: float
    feed: str
    round: int
    steps: int
    frames_per_second: float
    wait: float
    in_next: float
    wait_of_loader: float | None
    step_ms: tuple[float, float]
    busy: float
    nvml: float | None
    host_bytes: int
    device_bytes: int
    loss: tuple[float, float]
    stats: dict[str, Any]
    followed: list[list[float]]  # FOLLOWED, five times a second
    ratio: float = 0.0


def measure(
    trainer: Trainer, feed: Feed, setting: Setting, steps: int, limit_s: float, number: int
) -> dict[str, Any]:
    """Returns figures of so many steps, fewer where they would take longer than the limit."""
    for _ in range(setting.warm):
        trainer.step(next(feed), number)
        number += 1
    synchronize(setting.device)
    loader = getattr(feed, "loader", None)
    loader = loader if isinstance(loader, rc.DataLoader) else None
    stats = loader.stats() if loader is not None else {}
    watch, marks, losses, frames = Watch(loader), Marks(setting.device), [], 0
    watch.start()
    feed.waited_s = 0.0
    begin = time.perf_counter()
    while len(losses) < steps and time.perf_counter() - begin < limit_s:
        batch = next(feed)
        marks.mark()
        losses.append(trainer.step(batch, number + len(losses)))
        marks.mark()
        frames += len(batch["state"])
    waited = feed.waited_s
    synchronize(setting.device)
    took = time.perf_counter() - begin
    times = marks.times_ms()
    between = np.diff(times[:, 1])
    after = loader.stats() if loader is not None else {}
    numbers = {k: v for k, v in after.items() if isinstance(v, (int, float, str))}
    values = torch.stack(losses).tolist()
    ends = max(1, len(values) // 10)
    return {
        "steps": len(losses),
        "frames_per_second": frames / took,
        "wait": max(0.0, float((times[1:, 0] - times[:-1, 1]).sum())) / 1e3 / took,
        "in_next": waited / took,
        "wait_of_loader": (after["wait_ns"] - stats["wait_ns"]) / 1e9 / took if stats else None,
        "step_ms": tuple(np.percentile(between, [50, 99]).tolist()),
        "busy": float((times[:, 1] - times[:, 0]).sum() / 1e3 / took),
        "nvml": watch.end(),
        "followed": watch.followed,
        "host_bytes": host_bytes(),
        "device_bytes": device_bytes(setting.device),
        "loss": (statistics.mean(values[:ends]), statistics.mean(values[-ends:])),
        "stats": numbers,
    }


# ---- policies -----------------------------------------------------------------------------------


def make_trainer(setting: Setting, appetite: Appetite, depth: int, wanted: Wanted) -> Trainer:
    streams = wanted.streams
    shape = Shape(streams.num_states, streams.num_actions, CHUNK, setting.size, setting.patch,
                  appetite.width, depth)  # fmt: skip
    return Trainer(
        shape, setting.device, is_compiled=setting.is_compiled, is_captured=setting.is_captured
    )


def seconds_a_step(trainer: Trainer, feed: Feed, setting: Setting, seconds: float) -> float:
    """Returns how long a step takes, by steps of about so long, behind as many to settle."""
    number = 0
    begin = time.perf_counter()
    while number < 5 or time.perf_counter() - begin < seconds:
        trainer.step(next(feed), number)
        number += 1
        synchronize(setting.device)
        if number == 4:  # compiled and captured
            begin = time.perf_counter()
    steps = max(number - 4, 2)
    begin = time.perf_counter()
    for each in range(number, number + steps):
        trainer.step(next(feed), each)
    synchronize(setting.device)
    return (time.perf_counter() - begin) / steps


def calibrate(setting: Setting, appetite: Appetite, dataset: rc.Dataset, wanted: Wanted) -> Trainer:
    """Returns a policy with as many layers as make the appetite, from how long two depths take."""
    feed = open_feed("resident", dataset, wanted)
    settle_s = SETTLE_S if setting.device == "cuda" else 0.2
    depth = appetite.depth
    if depth == 0:
        times = {}
        for each in (2, 6):
            trainer = make_trainer(setting, appetite, each, wanted)
            times[each] = seconds_a_step(trainer, feed, setting, settle_s / 2)
            del trainer
        layer = (times[6] - times[2]) / 4
        asked = appetite.batch_size / appetite.frames_per_second
        depth = min(max(1, round((asked - times[2]) / layer + 2)), 48) if layer > 0 else 2
    trainer = make_trainer(setting, appetite, depth, wanted)
    found = wanted.batch_size / seconds_a_step(trainer, feed, setting, settle_s)
    print(
        f"policy of width {appetite.width}, {trainer.policy.shape.depth} layers: {found:.0f} "
        f"frames/s, {trainer.policy.shape.flops() * found / 1e12:.1f} TFLOP/s",
        flush=True,
    )
    return trainer


# ---- checks -------------------------------------------------------------------------------------


def check_feeds(dataset: rc.Dataset, wanted: Wanted, feeds: list[str]) -> None:
    """Compares what feeds deliver: RoboCache's by batches, PyTorch's by samples."""
    host = open_feed("robocache-host", dataset, replace(wanted, device="cpu"))
    batches = [next(host) for _ in range(3)]
    host.close()
    for name in feeds:
        if name.startswith("robocache"):
            feed = open_named(name, dataset, wanted)
            for batch in batches:
                other = next(feed)
                for field, value in batch.tensors.items():
                    assert torch.equal(other[field].cpu(), value), f"{name}: {field}"
            feed.close()
    if "torch" in feeds:
        feed = open_feed("torch", dataset, replace(wanted, workers=0))
        frames: Any = feed.loader.dataset  # type: ignore[attr-defined]
        firsts = np.cumsum([0, *(each.num_steps for each in dataset)])
        batch = batches[0]
        rows = firsts[batch["episode_index"]] + batch["step_index"].numpy()
        for number, row in enumerate(rows[:32]):
            for field, value in frames[0, row].items():
                assert np.array_equal(batch[field][number].numpy(), value), f"torch: {field}"
        feed.close()
    print(f"what {', '.join(feeds)} deliver is equal; pictures {tuple(batch[PICTURE].shape)}")


def check_resume(path: Path, device: str, *, is_compiled: bool) -> None:
    """Compares losses and batches of a run with those of one that goes on from its middle."""
    torch.use_deterministic_algorithms(True)
    dataset = rc.open(path, progress=False)
    given = ["--tiny"] if device == "cpu" else ["--batch-size", "64", "--depth", "4"]
    given += ["--device", device] + ([] if is_compiled else ["--eager"])
    arguments = train_policy.parse([str(path), *given])

    def go(run: train_policy.Run, steps: int) -> tuple[list[float], list[Any]]:
        seen: list[Any] = []
        losses = run.go(steps, lambda step, batch, loss: seen.append(dict(batch)))
        return losses, seen

    with tempfile.TemporaryDirectory() as aside:
        first = train_policy.make(dataset, arguments)
        first.go(20)
        first.save(Path(aside) / "run.pt")
        wanted, wanted_batches = go(first, 40)
        second = train_policy.make(dataset, arguments)
        second.load(Path(aside) / "run.pt")
        found, batches = go(second, 40)
    for batch, other in zip(wanted_batches, batches, strict=True):
        for name, value in batch.items():
            same = torch.equal(value, other[name]) if torch.is_tensor(value) else True
            assert same, f"resumed: {name} of a batch differs"
    assert wanted == found, f"resumed: losses {found}, wanted {wanted}"
    print(f"a resumed run: 20 batches and losses the same, {found[0]:.6f} to {found[-1]:.6f}")


def resume_apart(path: Path, setting: Setting) -> str:
    """Runs check_resume() in a process of its own, which is deterministic."""
    command = [sys.executable, __file__, "--resume-of", path, "--device", setting.device]
    command += [] if setting.is_compiled else ["--eager"]
    environment = {**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return done.stdout.strip() if done.returncode == 0 else f"resume FAILED: {done.stderr[-2000:]}"


# ---- all of it ----------------------------------------------------------------------------------


def open_named(name: str, dataset: rc.Dataset, wanted: Wanted) -> Feed:
    """Opens "robocache-gpu:auto", a feed and where it decodes, or just a feed."""
    kind, _, jpeg = name.partition(":")
    return open_feed(kind, dataset, replace(wanted, jpeg=jpeg or None))


def names_of(given: str | None, setting: Setting) -> list[str]:
    if given is not None:
        return given.split(",")
    ways = ("auto", "cuda", "cpu") if setting.device == "cuda" else ()
    ours = [f"robocache-gpu:{way}" for way in ways] or ["robocache-gpu"]
    return ["resident", *ours, "robocache-host", "torch"]


def compared(feeds: list[str]) -> list[str]:
    return [name for name in feeds if name not in ("resident", "lerobot")]


def turns(
    setting: Setting,
    dataset: rc.Dataset,
    arguments: argparse.Namespace,
    until: float,
    feeds: list[str],
) -> Iterator[Row]:
    """Yields a row for each appetite, round and feed."""
    streams = data.find_streams(dataset)
    per_round = -(-arguments.steps // arguments.rounds)
    others = [name for name in feeds if name != "resident"]
    order = [name for other in others for name in ("resident", other)] + ["resident"]
    for number, appetite in enumerate(setting.appetites):
        now = time.perf_counter()
        own_until = now + (until - now) / (len(setting.appetites) - number)
        wanted = Wanted(streams, appetite.batch_size, CHUNK, setting.size, setting.device,
                        threads=arguments.threads, workers=setting.workers)  # fmt: skip
        if number == 0:
            check_feeds(dataset, wanted, compared(feeds))
        trainer = calibrate(setting, appetite, dataset, wanted)
        done = 0
        for turn in range(arguments.rounds):
            rows: list[Row] = []
            for position, name in enumerate(order):
                left = (arguments.rounds - turn) * len(order) - position
                limit = max((own_until - time.perf_counter()) / left * 2, 2.0)
                steps = min(CEILING_STEPS, per_round) if name == "resident" else per_round
                before = host_bytes(), device_bytes(setting.device)
                feed = open_named(name, dataset, wanted)
                found = measure(trainer, feed, setting, steps, limit, done)
                feed.close()
                done += setting.warm + found["steps"]
                for key, bytes_before in zip(("host_bytes", "device_bytes"), before, strict=True):
                    found[key] -= bytes_before
                rows.append(Row(appetite.frames_per_second, name, turn, **found))
                if name == "resident":
                    rows[-1].ratio = 1.0
                    yield from with_ratios(rows[-3:])
        del trainer


def with_ratios(rows: list[Row]) -> list[Row]:
    """Returns a turn of the batch that stays, with the turn before it, now that there are both."""
    if len(rows) == 1:
        return rows
    first, own, last = rows
    own.ratio = 2 * own.frames_per_second / (first.frames_per_second + last.frames_per_second)
    return [own, last]


def line(row: Row) -> str:
    def percent(value: float | None) -> str:
        return "     -" if value is None else f"{value:6.1%}"

    return (
        f"{row.appetite:7.0f} {row.feed:18s} {row.round} {row.steps:5d} "
        f"{row.frames_per_second:8.0f} {row.ratio:6.3f} {percent(row.wait)} "
        f"{row.step_ms[0]:7.2f} {row.step_ms[1]:7.2f} {percent(row.busy)} {percent(row.nvml)} "
        f"{row.host_bytes / 1e6:7.0f} {row.device_bytes / 1e6:7.0f}  "
        f"{row.loss[0]:.3f} {row.loss[1]:.3f}"
    )


HEAD = (
    "appetite feed           round steps frames/s  ratio   wait  p50 ms  p99 ms   busy   NVML "
    "host MB  dev MB  loss from, to"
)


def table(rows: list[Row]) -> str:
    """Returns rows, the rounds of a feed joined: medians, of memory the most."""
    lines = [HEAD]
    for key in dict.fromkeys((row.appetite, row.feed) for row in rows):
        own = [row for row in rows if (row.appetite, row.feed) == key]
        joined = replace(own[0], round=len(own), steps=sum(row.steps for row in own))
        for name in ("frames_per_second", "ratio", "wait", "busy"):
            setattr(joined, name, statistics.median(getattr(row, name) for row in own))
        told = [row.nvml for row in own if row.nvml is not None]
        joined.nvml = statistics.median(told) if told else None
        steps = [statistics.median(row.step_ms[i] for row in own) for i in (0, 1)]
        joined.step_ms = (steps[0], steps[1])
        joined.host_bytes = max(row.host_bytes for row in own)
        joined.device_bytes = max(row.device_bytes for row in own)
        joined.loss = (own[0].loss[0], own[-1].loss[1])
        lines.append(line(joined))
    return "\n".join(lines)


def machine(setting: Setting) -> dict[str, Any]:
    gpu = torch.cuda.get_device_name() if setting.device == "cuda" else None
    return {
        "date": datetime.date.today().isoformat(),
        "gpu": gpu,
        "cores": len(os.sched_getaffinity(0)),
        "torch": torch.__version__,
        "robocache": rc.__version__,
        "setting": asdict(setting),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", type=Path, nargs="?", help="a dataset; without, JPEGs are made up")
    parser.add_argument("--seconds", type=float, default=480.0, help="for all of it")
    parser.add_argument("--steps", type=int, default=1000, help="of each feed, over all rounds")
    parser.add_argument("--frames", type=int, help="of those made up")
    parser.add_argument("--appetites", help="those to measure, with commas; else all")
    parser.add_argument("--depths", help="layers of each policy, with commas; else calibrated")
    parser.add_argument("--no-resume", action="store_true", help="do not compare a resumed run")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--feeds", help="names with commas; robocache-gpu:cuda decodes there")
    parser.add_argument("--threads", type=int, default=0, help="of RoboCache; 0: all cores")
    parser.add_argument("--eager", action="store_true", help="compile and capture nothing")
    parser.add_argument("--no-graph", action="store_true", help="do not capture a step")
    parser.add_argument("--tiny", action="store_true", help="small, on the CPU")
    parser.add_argument("--json", type=Path, help="write the result to this file, row by row")
    parser.add_argument("--resume-of", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--device", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.resume_of is not None:
        check_resume(arguments.resume_of, arguments.device, is_compiled=not arguments.eager)
        return
    until = time.perf_counter() + arguments.seconds
    setting = TINY if arguments.tiny else REAL
    setting = replace(setting, frames=arguments.frames or setting.frames)
    if arguments.depths is not None:
        depths = map(int, arguments.depths.split(","))
        deep = [replace(a, depth=d) for a, d in zip(setting.appetites, depths, strict=True)]
        setting = replace(setting, appetites=tuple(deep))
    if arguments.appetites is not None:
        wanted = [float(each) for each in arguments.appetites.split(",")]
        some = [each for each in setting.appetites if each.frames_per_second in wanted]
        setting = replace(setting, appetites=tuple(some))
    setting = replace(
        setting,
        is_compiled=setting.is_compiled and not arguments.eager,
        is_captured=setting.is_captured and not (arguments.eager or arguments.no_graph),
    )
    if arguments.tiny:
        torch.set_num_threads(1)
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        path = arguments.data or data.write(Path(folder), setting.frames, setting.side)
        if arguments.data is None:
            took = time.perf_counter() - begin
            print(f"{setting.frames} frames written in {took:.0f} s", flush=True)
        dataset = rc.open(path, progress=False)
        feeds = names_of(arguments.feeds, setting)
        result: dict[str, Any] = {
            **machine(setting),
            "data": f"{path.name}, {dataset.format}, {dataset.num_steps} steps",
            "equal": compared(feeds),
            "rows": [],
        }
        if not arguments.no_resume:
            result["resume"] = resume_apart(path, setting)
        print(result.get("resume", "no run was resumed"), HEAD, sep="\n", flush=True)
        try:
            for row in turns(setting, dataset, arguments, until, feeds):
                rows.append(row)
                print(line(row), flush=True)
                result["rows"].append(asdict(row))
                if arguments.json is not None:
                    arguments.json.write_text(json.dumps(result, indent=1) + "\n")
        except Exception:  # what was measured is told all the same
            traceback.print_exc()
            raise SystemExit(1) from None
        finally:
            print(table(rows), flush=True)
    for appetite in setting.appetites:
        own = [
            row
            for row in rows
            if row.appetite == appetite.frames_per_second and row.feed != "resident"
        ]
        if own and not own[-1].loss[1] < own[0].loss[0]:
            raise SystemExit(f"the loss did not fall: {own[0].loss[0]} to {own[-1].loss[1]}")


if __name__ == "__main__":
    main()
