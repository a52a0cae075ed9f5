"""Loading and training on several GPUs, of one host or of several: frames a second and efficiency.

    python bench/scaling.py --ranks 1,2,4 --json FILE      # torchrun for each, on this host
    python bench/scaling.py --ranks 1,2 --tiny             # small, on the CPU
    torchrun --nnodes 2 ... bench/scaling.py DATASET --json FILE    # a rank: of several hosts, say

The first form writes a dataset of distinct JPEGs of 256x256, starts the ranks, and tells the
efficiency: frames a second over those of the fewest ranks, by rank. Each rank is bound to as many
cores whatever the number of ranks, so that one rank has no more of the host than one of many. What
each is measured at:

    host, device       loaders alone, batches delivered on the host and on the rank's GPU
    pictures, numbers  of the JPEGs and all else, or of state and actions alone
    training           the policy of examples/policy, its gradients shared (DistributedDataParallel)
    ceiling            the same with one batch that stays on the GPU

Before that, the ranks compare what they are given with what one rank would be: each sample once
("uneven"), all but fewer than there are ranks ("drop"), in the same order.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn.functional  # imported later it would hold the process group
from training import CHUNK, device_bytes, host_bytes, synchronize

import robocache as rc
from policy import data
from policy.feeds import PICTURE, Wanted, open_feed, windows
from policy.model import Shape, Trainer

WHATS = (
    "host, numbers",
    "device, numbers",
    "host, pictures",
    "device, pictures",
    "training",
    "ceiling",
)


@dataclass(frozen=True)
class Size:
    frames: int
    side: int
    size: int
    patch: int
    width: int
    depth: int
    batch_size: int


# Steps are to take the GPU longer than the host takes to queue them, some 24 ms of batches of 256.
REAL = Size(20_000, 256, 224, 16, 384, 6, 768)
TINY = Size(403, 48, 32, 8, 32, 1, 16)


@dataclass(frozen=True)
class Rank:
    """This process among the others."""

    rank: int
    world_size: int
    device: str
    cores: int

    def barrier(self) -> None:
        synchronize(self.device)
        dist.barrier()

    def gather(self, value: Any) -> list[Any]:
        """Returns the values of all ranks."""
        found: list[Any] = [None] * self.world_size
        dist.all_gather_object(found, value)
        return found


def join(arguments: argparse.Namespace) -> Rank:
    """Binds this process to its cores and its GPU, and joins the others."""
    local = int(os.environ["LOCAL_RANK"])
    every = sorted(os.sched_getaffinity(0))
    share = arguments.cores or max(len(every) // int(os.environ["LOCAL_WORLD_SIZE"]), 1)
    own = every[local * share : (local + 1) * share] or every
    os.sched_setaffinity(0, own)
    on_gpu = torch.cuda.is_available() and not arguments.tiny
    device = f"cuda:{local}" if on_gpu else "cpu"
    if on_gpu:
        torch.cuda.set_device(local)
    else:
        torch.set_num_threads(1)
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    return Rank(dist.get_rank(), dist.get_world_size(), device, len(own))


# ---- what ranks are given -----------------------------------------------------------------------


def samples(loader: rc.DataLoader) -> list[list[tuple[int, int]]]:
    """Returns (episode, step) of each row of each batch of an epoch."""
    return [
        list(zip(batch["episode_id"].tolist(), batch["step_index"].tolist(), strict=True))
        for batch in loader
    ]


def check_order(here: Rank, dataset: rc.Dataset, batch_size: int) -> str:
    """Compares an epoch of all ranks with that of one; every rank raises where they differ."""
    streams = [data.find_streams(dataset).state]
    common: dict[str, Any] = {"streams": streams, "shuffle": True, "seed": 5, "num_threads": 1}
    alone = rc.DataLoader(dataset, batch_size, rank=0, world_size=1, **common)
    whole = [row for batch in samples(alone) for row in batch]
    told = []
    for remainder in ("uneven", "drop"):
        loader = rc.DataLoader(
            dataset, batch_size, remainder=remainder, device=here.device, **common
        )
        every = here.gather(samples(loader))
        rounds = max(map(len, every))
        found = [
            row
            for number in range(rounds)
            for batches in every
            if number < len(batches)
            for row in batches[number]
        ]
        left = len(whole) - len(found)
        assert len(set(found)) == len(found), f"{remainder}: a sample came twice"
        if remainder == "uneven":
            assert found == whole, f"uneven: {len(found)} samples, wanted {len(whole)} in order"
        else:
            assert left < here.world_size, f"drop: {left} samples are missing"
            assert len({len(batches) for batches in every}) == 1, "drop: some have more batches"
            sizes = {tuple(map(len, batches)) for batches in every}
            assert len(sizes) == 1, f"drop: batches of {sizes}"
            check_dealt(every, whole, batch_size)
        told.append(f"{remainder}: {len(found)} of {len(whole)} samples, each once, in order")
    return "; ".join(told)


def check_dealt(every: list[Any], whole: list[Any], batch_size: int) -> None:
    """Compares batches of equally many rows: full rounds in order, the last one dealt evenly."""
    world_size = len(every)
    full = len(whole) // (batch_size * world_size)
    for number in range(full):
        for rank, batches in enumerate(every):
            at = (number * world_size + rank) * batch_size
            assert batches[number] == whole[at : at + batch_size], f"drop: round {number} differs"
    rest = [row for batches in every for batch in batches[full:] for row in batch]
    assert rest == whole[full * batch_size * world_size :][: len(rest)], "drop: the last round"


# ---- rates --------------------------------------------------------------------------------------


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def timed(here: Rank, loader: rc.DataLoader | None, go: Any) -> dict[str, Any]:
    """Returns what this rank did while `go` ran, which returns frames: begun together."""
    nothing = {"threads": 0, "wait_ns": 0, "idle_ns": 0, "images_on_device": 0}
    before = nothing if loader is None else loader.stats()
    here.barrier()
    used, begin = cpu_seconds(), time.perf_counter()
    frames = go()
    synchronize(here.device)
    took = time.perf_counter() - begin
    after = nothing if loader is None else loader.stats()
    return {
        "host": socket.gethostname(),
        "frames": frames,
        "seconds": took,
        "threads": after["threads"],
        "cores": here.cores,
        "cores_busy": (cpu_seconds() - used) / took,
        "images_on_device": after["images_on_device"] - before["images_on_device"],
        "wait": (after["wait_ns"] - before["wait_ns"]) / 1e9 / took,
        "idle": (after["idle_ns"] - before["idle_ns"]) / 1e9 / took / max(after["threads"], 1),
        "host_bytes": host_bytes(),
        "device_bytes": device_bytes(here.device),
    }


def measure_loading(
    here: Rank, dataset: rc.Dataset, wanted: Wanted, what: str, seconds: float
) -> dict[str, Any]:
    where, kind = what.split(", ")
    streams = windows(dataset, wanted)
    if kind == "numbers":
        del streams[PICTURE]
    device = here.device if where == "device" else "cpu"
    loader = rc.DataLoader(
        dataset, wanted.batch_size, streams=streams, shuffle=True, seed=1, drop_last=True,
        num_threads=wanted.threads, device=device,
    )  # fmt: skip

    def go(seconds: float) -> int:
        frames, begin = 0, time.perf_counter()
        while True:
            for batch in loader:
                frames += len(batch["state"])
                if time.perf_counter() - begin > seconds:
                    return frames

    go(min(seconds / 4, 2.0))
    found = timed(here, loader, lambda: go(seconds))
    loader.close()
    return found


def measure_training(
    here: Rank, dataset: rc.Dataset, wanted: Wanted, what: str, size: Size, seconds: float
) -> dict[str, Any]:
    """Trains for about so long: as many steps on each rank, by what rank 0 takes for a few."""
    streams = wanted.streams
    shape = Shape(streams.num_states, streams.num_actions, CHUNK, size.size, size.patch,
                  size.width, size.depth)  # fmt: skip
    rank = here.rank if here.world_size > 1 else None
    trainer = Trainer(shape, here.device, rank=rank, is_captured=False)
    wanted = replace(wanted, threads=max(here.cores - 1, 1))
    feed = open_feed("resident" if what == "ceiling" else "robocache-gpu", dataset, wanted)
    done, losses = 0, []

    def go(steps: int) -> int:
        nonlocal done
        for _ in range(steps):
            losses.append(trainer.step(next(feed), done))
            done += 1
        return steps * wanted.batch_size

    warm = 4 if here.device == "cpu" else 40
    go(warm)  # compiles
    here.barrier()
    begin = time.perf_counter()
    go(warm)
    synchronize(here.device)
    asked = int(seconds / ((time.perf_counter() - begin) / warm))
    steps = max(here.gather(asked)[0], warm)
    found = timed(here, getattr(feed, "loader", None), lambda: go(steps))
    feed.close()
    values = torch.stack(losses).tolist()
    found["loss"] = (sum(values[:warm]) / warm, sum(values[-warm:]) / warm)
    weights = sum(p.detach().double().sum() for p in trainer.policy.parameters())
    assert len(set(here.gather(float(weights)))) == 1, "ranks have other weights"
    return found


def as_rank(arguments: argparse.Namespace) -> None:
    """Does this process' part, and writes what all ranks found where it is the first."""
    here = join(arguments)
    size = TINY if arguments.tiny else REAL
    dataset = rc.open(arguments.data, progress=False)
    streams = data.find_streams(dataset)
    wanted = Wanted(streams, size.batch_size, CHUNK, size.size, here.device, threads=here.cores,
                    jpeg=arguments.jpeg)  # fmt: skip
    result: dict[str, Any] = {
        "world_size": here.world_size,
        "hosts": sorted(set(here.gather(socket.gethostname()))),
        "backend": dist.get_backend(),
        "order": check_order(here, dataset, size.batch_size),
        "rows": [],
    }
    for what in arguments.what.split(";"):
        if what in ("training", "ceiling"):
            found = measure_training(here, dataset, wanted, what, size, arguments.seconds)
        else:
            found = measure_loading(here, dataset, wanted, what, arguments.seconds)
        ranks = here.gather(found)
        rate = sum(each["frames"] for each in ranks) / max(each["seconds"] for each in ranks)
        result["rows"].append({"what": what, "frames_per_second": rate, "ranks": ranks})
        if here.rank == 0 and arguments.json is not None:
            arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    if here.rank == 0:
        print(result["order"], *map(line, result["rows"]), sep="\n", flush=True)
    dist.destroy_process_group()  # the last to hold it, so that no thread of it is left


# ---- all of it, on this host --------------------------------------------------------------------


def line(row: dict[str, Any], first: float | None = None) -> str:
    """Returns a row of the table; `first` is the rate of a rank of the fewest ranks."""
    ranks = row["ranks"]
    own = row["frames_per_second"] / len(ranks)

    def mean(name: str) -> float:
        return sum(float(each[name]) for each in ranks) / len(ranks)

    return (
        f"{row['what']:17s} {len(ranks):3d} {row['frames_per_second']:10.0f} "
        f"{'-' if first is None else format(own / first, '.3f'):>6s} {mean('wait'):6.1%} "
        f"{mean('threads'):7.0f} {mean('cores_busy'):5.1f} of {mean('cores'):3.0f} "
        f"{mean('host_bytes') / 1e6:8.0f} {mean('device_bytes') / 1e6:8.0f}"
    )


HEAD = "what            ranks   frames/s  effic.   wait threads  cores busy  host MB   dev MB"


def topology() -> dict[str, Any]:
    links = None
    if shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "topo", "-m"]
        links = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return {
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__,
        "robocache": rc.__version__,
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cores": len(os.sched_getaffinity(0)),
        "links": links,
    }


def run_ranks(count: int, path: Path, cores: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Starts so many ranks on this host and returns what they found."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={count}", __file__, str(path), "--json", str(out)]
        command += ["--cores", str(cores), "--seconds", str(arguments.seconds)]
        command += ["--what", arguments.what, *(["--tiny"] if arguments.tiny else [])]
        command += ["--jpeg", arguments.jpeg] if arguments.jpeg else []
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, check=False, env=environment, stdout=subprocess.DEVNULL)
        if done.returncode:
            raise SystemExit(f"scaling: {count} ranks ended with {done.returncode}")
        found: dict[str, Any] = json.loads(out.read_text())
    return found


def on_this_host(arguments: argparse.Namespace) -> None:
    counts = [int(count) for count in arguments.ranks.split(",")]
    size = TINY if arguments.tiny else REAL
    cores = arguments.cores or max(len(os.sched_getaffinity(0)) // max(counts), 1)
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.data
        if path is None:
            path = data.write(Path(folder), arguments.frames or size.frames, size.side, steps=31)
            rc.open(path, progress=False)
        result: dict[str, Any] = {**topology(), "cores_a_rank": cores, "runs": []}
        first: dict[str, float] = {}
        print(HEAD, flush=True)
        for count in counts:
            found = run_ranks(count, path, cores, arguments)
            for row in found["rows"]:
                own = row["frames_per_second"] / count
                print(line(row, first.setdefault(row["what"], own)), flush=True)
                row["efficiency"] = own / first[row["what"]]
            print(f"    {found['backend']}; {found['order']}", flush=True)
            result["runs"].append(found)
            if arguments.json is not None:
                arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", type=Path, nargs="?", help="a dataset; without, one is written")
    parser.add_argument("--ranks", default="1,2,4", help="how many, in turn")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each figure")
    parser.add_argument("--what", default=";".join(WHATS), help=f"of {'; '.join(WHATS)}")
    parser.add_argument("--cores", type=int, default=0, help="of a rank; 0: an equal share")
    parser.add_argument("--frames", type=int, help="of the dataset that is written")
    parser.add_argument("--jpeg", help="where the GPU's loader decodes: cpu, cuda or auto")
    parser.add_argument("--tiny", action="store_true", help="small, on the CPU")
    parser.add_argument("--json", type=Path, help="write the result to this file")
    arguments = parser.parse_args()
    if "RANK" in os.environ:
        as_rank(arguments)
    else:
        on_this_host(arguments)


if __name__ == "__main__":
    main()
