"""Statistics of action and state: RoboCache against LeRobot's and OpenVLA's ways, paired.

    python bench/stream_statistics.py --lerobot FOLDER --json bench/results/statistics.json
    python bench/stream_statistics.py --rows 100000000 --json bench/results/statistics.json

An RLDS dataset is written; then the contenders take turns. "openvla" reads it as OpenVLA does,
through tf.data, holds all of it, and calls NumPy: mean, std, max, min and two quantiles of action
and state. It is written here after what its get_dataset_statistics() does. "lerobot" is LeRobot's
own code, ``lerobot/datasets/compute_stats.py`` of the release unpacked in FOLDER (``pip download
--no-deps lerobot``), given episodes that are in memory already: its reading is not counted.
"robocache" reads and computes, and keeps nothing. Each result is checked against NumPy before
anything is timed.

``--rows`` instead counts that many rows of seven float32 in a file of that many, and reports
seconds, the greatest resident memory and the rank error found.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

import numpy as np

STREAMS = ("action", "observation/state")
OURS = "robocache"


def write(folder: Path, episodes: int, steps: int) -> Path:
    """Writes episodes of random walks, rounded as float32."""
    import robocache as rc

    rng = np.random.default_rng(0)
    features = {name: rc.Feature("float32", (7,)) for name in STREAMS}
    with rc.RldsWriter(folder, "walks", features, control_rate_hz=10) as writer:
        for _ in range(episodes):
            walks = {name: rng.normal(size=(steps, 7)).cumsum(0) for name in STREAMS}
            writer.add_episode(walks, split="train")
    return folder / "walks" / "1.0.0"


def openvla(path: Path) -> dict[str, dict[str, Any]]:
    import tensorflow as tf

    files = sorted(map(str, path.glob("*.tfrecord*")))
    described = {f"steps/{name}": tf.io.VarLenFeature(tf.float32) for name in STREAMS}

    def parse(record: Any) -> dict[str, Any]:
        found = tf.io.parse_single_example(record, described)
        return {
            name: tf.reshape(tf.sparse.to_dense(found[f"steps/{name}"]), (-1, 7))
            for name in STREAMS
        }

    dataset = tf.data.Dataset.from_tensor_slices(files).interleave(
        tf.data.TFRecordDataset, num_parallel_calls=tf.data.AUTOTUNE
    )
    held: dict[str, list[Any]] = {name: [] for name in STREAMS}
    for episode in dataset.map(parse, num_parallel_calls=tf.data.AUTOTUNE).as_numpy_iterator():
        for name in STREAMS:
            held[name].append(episode[name])
    return {name: plain(np.concatenate(each)) for name, each in held.items()}


def plain(values: Any) -> dict[str, Any]:
    return {
        "mean": values.mean(0),
        "std": values.std(0),
        "max": values.max(0),
        "min": values.min(0),
        "q01": np.quantile(values, 0.01, axis=0),
        "q99": np.quantile(values, 0.99, axis=0),
    }


def load_lerobot(folder: Path) -> Any:
    """Imports LeRobot's file alone: what it imports besides is for images and other actions."""
    stand_ins = {
        "lerobot.processor": {"RelativeActionsProcessorStep": object},
        "lerobot.utils.constants": {"ACTION": "action", "OBS_STATE": "observation.state"},
        "lerobot.datasets.io_utils": {"load_image_as_numpy": None},
    }
    for name in ("lerobot", "lerobot.utils", "lerobot.datasets"):
        sys.modules.setdefault(name, types.ModuleType(name))
    for name, contents in stand_ins.items():
        module = types.ModuleType(name)
        module.__dict__.update(contents)
        sys.modules[name] = module
    path = folder / "lerobot/datasets/compute_stats.py"
    spec = importlib.util.spec_from_file_location("lerobot.datasets.compute_stats", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lerobot(module: Any, episodes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    features = {name: {"dtype": "float32", "shape": (7,)} for name in STREAMS}
    found = [module.compute_episode_stats(each, features) for each in episodes]
    return module.aggregate_stats(found)


def ours(dataset: Any, threads: int) -> dict[str, dict[str, Any]]:
    table = dataset.statistics(list(STREAMS), keep=False, num_threads=threads)
    names = ("mean", "std", "max", "min", "q01", "q10", "q50", "q90", "q99")
    return {name: {each: getattr(found, each) for each in names} for name, found in table.items()}


def processor_seconds(calls: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    """What a call takes of all processors together, whatever else the machine does."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            call()
            found[name].append(time.process_time() - start)
    return found


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    from host import machine, spread
    from operations.measure import paired, ratios

    import robocache as rc

    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), arguments.episodes, arguments.steps)
        dataset = rc.open(path, progress=False)
        episodes = [{name: each[name].values for name in STREAMS} for each in dataset]
        calls = {
            OURS: lambda: ours(dataset, arguments.threads),
            "openvla": lambda: openvla(path),
        }
        if arguments.lerobot is not None:
            module = load_lerobot(arguments.lerobot)
            calls["lerobot"] = lambda: lerobot(module, episodes)
        for name in STREAMS:
            exact = plain(np.concatenate([each[name] for each in episodes]).astype("f8"))
            for who, call in calls.items():
                found = call()[name]
                tolerance = 1e-12 if who == OURS else 1e-3
                for key in ("mean", "std"):
                    np.testing.assert_allclose(
                        found[key], exact[key], rtol=tolerance, atol=tolerance
                    )
                np.testing.assert_allclose(found["min"], exact["min"], rtol=1e-6)
        times = paired(calls, arguments.rounds, seconds=0.0)
        processor = processor_seconds(calls, arguments.rounds)
    return {
        "machine": machine(),
        "episodes": arguments.episodes,
        "rows": arguments.episodes * arguments.steps,
        "threads": arguments.threads,
        "load_average": os.getloadavg()[0],
        "seconds": {name: spread(each) for name, each in times.items()},
        "times_ours": ratios(times, OURS),
        "processor_seconds": {name: spread(each) for name, each in processor.items()},
        "processor_times_ours": ratios(processor, OURS),
    }


def count_rows(rows: int, threads: int) -> dict[str, Any]:
    """Counts a file of as many rows."""
    from host import machine

    import robocache as rc

    block = 1_000_000
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        path = Path(folder) / "rows.bin"
        rng = np.random.default_rng(0)
        with path.open("wb") as file:
            for first in range(0, rows, block):
                values = rng.normal(size=(min(block, rows - first), 7))
                values.astype("f4").tofile(file)
        episodes = max(rows // 1000, 1)

        def read(part: rc.Part) -> None:
            steps = np.full(episodes, rows // episodes)
            offset = np.arange(episodes) * (rows // episodes) * 28
            part.episodes(num_steps=steps, streams={"x": rc.Rows(offset=offset)})

        def index(_: str, indexer: rc.Indexer) -> None:
            indexer.stream("x", dtype="float32", shape=(7,))
            indexer.part("rows.bin", read=read)

        rc.register_format("rows", probe=lambda _: False, index=index)
        dataset = rc.open(folder, format="rows", progress=False)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        found = dataset.statistics(["x"], keep=False, num_threads=threads)["x"]
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        column = np.sort(np.memmap(path, "<f4", "r").reshape(-1, 7)[:, 0])
        shares = np.linspace(0, 1, 1001)
        at = np.array([found.quantile(share)[0] for share in shares])
        low = np.searchsorted(column, at, "left") / len(column)
        high = np.searchsorted(column, at, "right") / len(column)
    return {
        "machine": machine(),
        "rows": int(found.count[0]),
        "channels": 7,
        "threads": threads,
        "seconds": seconds,
        "resident_before_bytes": before * 1024,
        "peak_resident_bytes": peak * 1024,
        "rank_error_bound": found.rank_error,
        "rank_error_found": float(max((low - shares).max(), (shares - high).max())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lerobot", type=Path, metavar="FOLDER")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.rows:
        result = {"rows": count_rows(arguments.rows, arguments.threads)}
    else:
        result = {"compared": compare(arguments)}
    print(json.dumps(result, indent=2))
    if arguments.json:
        old = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
        arguments.json.write_text(json.dumps({**old, **result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
