"""RoboCache against tf.data, in pairs, in one run.

Checks first that both deliver the same windows and pixels, then runs the programs in turn and
reports the ratio pair by pair. ``--json FILE`` keeps the result with the machine and versions.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import host
import numpy as np
from host import spread, write_json

import robocache as rc

HERE = Path(__file__).parent / "loader"


def run(*command: str) -> dict[str, Any]:
    """The last line of the command's output, as JSON."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def check(path: str, images: bool, scratch: Path) -> int:
    """Both programs' windows over one ordered pass must be equal; returns how many samples."""
    flags = ["--images"] if images else []
    ours, theirs = scratch / "ours.npz", scratch / "theirs.npz"
    for program, file in (("robocache_loader.py", ours), ("tfdata.py", theirs)):
        command = [sys.executable, str(HERE / program), path, *flags, "--check", str(file)]
        subprocess.run(command, check=True, capture_output=True)
    a, b = np.load(ours), np.load(theirs)
    for name in b.files:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    return len(b["state"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", help="version folder of an RLDS dataset with BridgeData's streams")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    common = ["--seconds", str(arguments.seconds), "--threads", str(arguments.threads)]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for images in (False, True):
            samples = check(arguments.path, images, scratch)
            print(f"checked: {samples} samples equal, images={images}", file=sys.stderr)
            kind = ["--images"] if images else []
            for flags in ([], ["--needed-only"]):
                ours, theirs, ratios = [], [], []
                for _ in range(arguments.pairs):
                    tool = [sys.executable, str(HERE / "robocache_loader.py"), arguments.path]
                    a = run(*tool, *kind, *common)["samples_per_s"]
                    tool = [sys.executable, str(HERE / "tfdata.py"), arguments.path]
                    b = run(*tool, *kind, *flags, *common)["samples_per_s"]
                    ours.append(a)
                    theirs.append(b)
                    ratios.append(a / b)
                rows.append(
                    {
                        "row": "windows with images" if images else "windows without images",
                        "peer": "tf.data, " + ("needed features" if flags else "all features"),
                        "robocache_samples_per_s": spread(ours),
                        "peer_samples_per_s": spread(theirs),
                        "ratio": spread(ratios),
                    }
                )
    result = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(arguments.threads),
        "versions": {
            "python": platform.python_version(),
            "robocache": rc.__version__,
            "tensorflow": next(
                importlib.metadata.version(name)
                for name in ("tensorflow-cpu", "tensorflow")
                if importlib.util.find_spec("tensorflow")
            ),
            "numpy": np.__version__,
        },
        "pairs": arguments.pairs,
        "rows": rows,
    }
    if arguments.json:
        write_json(arguments.json, result)
    print(f"{'row':26} {'peer':36} {'min':>7} {'median':>7} {'max':>7}")
    for row in rows:
        ratio = row["ratio"]
        print(
            f"{row['row']:26} {row['peer']:36} "
            f"{ratio['min']:7.2f} {ratio['median']:7.2f} {ratio['max']:7.2f}"
        )


def machine(threads: int) -> dict[str, Any]:
    """What was measured on; the load is what else ran there in the last minutes."""
    return {
        "processor": host.machine()["processor"],
        "cores": os.cpu_count(),
        "threads": threads,
        "load_average": os.getloadavg()[1],
    }


if __name__ == "__main__":
    main()
