"""Adds what a fuzz target ran to a JSON file.

Usage: fuzz_row.py FILE TARGET RUNS SECONDS FINDINGS COMMIT

A run is a row of its own, so that the counts of a target are the sums over its rows.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    file, target, runs, seconds, findings, commit = sys.argv[1:]
    path = Path(file)
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    rows.append(
        {
            "target": target,
            "runs": int(runs),
            "seconds": int(seconds),
            "findings": int(findings),
            "commit": commit,
            "commit_date": output("git", "show", "-s", "--format=%cs", commit),
            "compiler": output("clang-19", "--version").splitlines()[0],
            "sanitizers": "address,undefined",
        }
    )
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    path.write_text('{\n "rows": [\n' + lines + "\n ]\n}\n")


if __name__ == "__main__":
    main()
