"""Run the C tests and then the Python tests, and count both in one closing line.

usage: python tools/run_tests.py BUILD_FOLDER [pytest argument ...]

Each cmocka test function counts as one, each corpus file of a fuzz target too, and an executable
that dies counts as one failure more. The last line is ``N passed, N failed, N skipped``; the exit
status is 0 when nothing failed and something passed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

CMOCKA_LINE = re.compile(r"^\[\s+(OK|FAILED|SKIPPED)\s+\] (?!\d+ test)(\S.*)$", re.MULTILINE)
CMOCKA_KIND = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}


def count_c_case(case: ElementTree.Element) -> Counter[str]:
    """Count the test functions that one CTest entry of a JUnit report ran."""
    output = case.findtext("system-out") or ""
    # cmocka repeats the names of failed tests in its summary: a name is counted once.
    results = {name: CMOCKA_KIND[kind] for kind, name in CMOCKA_LINE.findall(output)}
    counts = Counter(results.values())
    failed = case.find("failure") is not None or case.get("status") not in ("run", "disabled")
    if failed and not counts["failed"]:
        counts["failed"] += 1
    elif not counts:
        counts["skipped" if case.find("skipped") is not None else "passed"] += 1
    return counts


def run_c_tests(build: Path, jobs: int) -> Counter[str]:
    report = build.resolve() / "ctest.xml"
    report.unlink(missing_ok=True)
    limit = str(1 << 24)
    command = ["ctest", "--test-dir", str(build), "--output-on-failure", "--parallel", str(jobs)]
    command += ["--output-junit", str(report)]
    command += ["--test-output-size-passed", limit, "--test-output-size-failed", limit]
    status = subprocess.run(command, check=False).returncode
    if not report.exists():
        print(f"ctest left no report (exit status {status})")
        return Counter(failed=1)
    counts: Counter[str] = Counter()
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        counts += count_c_case(case)
    if status and not counts["failed"]:
        counts["failed"] += 1
    return counts


def run_python_tests(build: Path, arguments: list[str]) -> Counter[str]:
    report = build.resolve() / "pytest.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", f"--junitxml={report}", *arguments]
    status = subprocess.run(command, check=False).returncode
    if not report.exists():
        print(f"pytest left no report (exit status {status})")
        return Counter(failed=1)
    counts: Counter[str] = Counter()
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped = int(suite.get("skipped", 0))
        counts["failed"] += failed
        counts["skipped"] += skipped
        counts["passed"] += int(suite.get("tests", 0)) - failed - skipped
    if status and not counts["failed"]:
        counts["failed"] += 1
    return counts


def main() -> int:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build = Path(sys.argv[1])
    jobs = len(os.sched_getaffinity(0))
    counts = run_c_tests(build, jobs)
    print(f"C tests: {counts['passed']} passed, {counts['failed']} failed", flush=True)
    counts += run_python_tests(build, sys.argv[2:])
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
