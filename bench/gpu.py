"""The operations on a CUDA device against PyTorch eager and compiled, Triton, and a copy.

Every contender's result is checked before it is timed. `gpu` is device time from replays of a
graph of ten calls, `host` what a call costs the calling thread, `loop` one of two hundred in a
row, `sync` a call with a synchronise after it, all in microseconds; bytes are the fewest that must
move, and `copy` is what a copy of as many takes, by the driver or by a kernel that streams,
whichever is quicker. ``--json FILE`` keeps the result, ``--only REGEX`` measures the cases whose
label has it, ``--check`` fails where torch.compile is faster.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from device import measure, operations
from device.case import Case
from device.cases import cases
from host import write_json
from operations import smallest

import robocache as rc


def timed(label: str, case: Case) -> dict[str, Any]:
    case.check(case.contenders)
    copies = measure.copies(case.num_bytes)
    rounds = 15 if case.num_bytes < 5e8 else 9
    gpu = measure.gpu_us({**case.contenders, **copies}, case.uncaptured, rounds)
    quicker = min(copies, key=lambda name: gpu[name]["median"])
    gpu = {**{name: gpu[name] for name in case.contenders}, "copy": gpu[quicker]}
    times: dict[str, Any] = {name: {"gpu": us} for name, us in gpu.items()}
    if case.host:
        for name, call in case.contenders.items():
            times[name]["host"] = measure.host_us(call)
            times[name]["sync"] = measure.sync_us(call)
            times[name]["loop"] = measure.loop_us(call)
    ours = gpu["robocache"]["median"]
    row = {
        "case": label,
        "bytes": case.num_bytes,
        "goal_us": case.goal_us,
        "terabytes_per_second": case.num_bytes / ours / 1e6,
        "times_slower": {n: us["median"] / ours for n, us in gpu.items() if n != "robocache"},
        "microseconds": times,
        "copied_by": quicker.removeprefix("copy by "),
    }
    if case.uncaptured:
        row["uncaptured"] = sorted(case.uncaptured)
    text = "  ".join(f"{name} {us['median']:.2f}" for name, us in gpu.items())
    goal = "" if case.goal_us is None else f"  goal {case.goal_us}"
    print(f"{label:58s} {row['terabytes_per_second']:5.2f} TB/s  {text}{goal}", flush=True)
    return row


def overhead() -> dict[str, Any]:
    """What the smallest call costs the host."""
    calls = smallest.calls("cuda", operations.distinct_stamps(4, 16), operations.stamps(4, 8))
    out, small = torch.empty(4, 8, 8, device="cuda"), torch.zeros(1024, device="cuda")
    calls |= {
        "torch.empty_like": lambda: torch.empty_like(out),
        "torch zero_": small.zero_,
        "torch add_": lambda: small.add_(1),
    }
    result = {name: measure.host_us(call) for name, call in calls.items()}
    print("host us:", "  ".join(f"{name} {us['median']:.2f}" for name, us in result.items()))
    return result


def first_use() -> dict[str, Any]:
    """Fresh processes, twice with what they load in the page cache and once without."""
    script = Path(__file__).parent / "device" / "first_use.py"
    found = {}
    for name, arguments in {"first": [], "warm": [], "cold": ["cold"]}.items():
        command = [sys.executable, str(script), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[name] = json.loads(done.stdout.splitlines()[-1])
    del found["first"]
    print("first use:", json.dumps(found))
    return found


def slower(rows: list[dict[str, Any]]) -> list[str]:
    return [
        f"{row['case']}: torch.compile takes {row['times_slower']['compile']:.3f} of the time"
        for row in rows
        if row["times_slower"].get("compile", 1) < 1
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the result to this file")
    parser.add_argument("--only", default="", help="a regular expression that labels match")
    parser.add_argument("--check", action="store_true", help="fail where torch.compile is faster")
    arguments = parser.parse_args()
    installed = rc.check_installation()["cuda"]
    if not installed["available"]:
        sys.exit(f"bench: {installed['reason']}")
    torch.manual_seed(0)
    result: dict[str, Any] = {"machine": measure.machine()}
    if not arguments.only:
        result["ceilings"] = measure.ceilings()
        print(json.dumps(result))
        result["first_use"] = first_use()
    result["call_overhead_us"] = overhead()
    result["rows"] = rows = []
    wrong: list[str] = []
    for label, make in cases().items():
        if not re.search(arguments.only, label):
            continue
        try:
            rows.append(timed(label, make()))
        except (SystemExit, RuntimeError) as stop:  # the others are measured all the same
            wrong.append(f"{label}: {stop}")
            print(wrong[-1], flush=True)
        torch.cuda.empty_cache()
        if arguments.json:  # after each row: what was measured survives what comes after it
            write_json(arguments.json, result)
    behind = slower(rows)
    if behind:
        print("behind torch.compile:", *behind, sep="\n  ")
    if wrong or (behind and arguments.check):
        sys.exit(1)


if __name__ == "__main__":
    main()
