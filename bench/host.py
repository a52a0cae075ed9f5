"""The host that something was measured on, and how results are told."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
from pathlib import Path
from typing import Any


def spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def machine() -> dict[str, Any]:
    """Processor and cores, as Linux tells them, and the date."""
    about = {"model name": platform.processor(), "cpu family": "", "model": ""}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() in about:
            about[key.strip()] = value.strip()
    caches = Path("/sys/devices/system/cpu/cpu0/cache")
    return {
        "processor": about["model name"],
        "family": about["cpu family"],
        "model": about["model"],
        "caches": [f.read_text().strip() for f in sorted(caches.glob("index*/size"))],
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
    }


def resident_bytes() -> int:
    """What is in memory of this process, without pages of files."""
    text = Path("/proc/self/status").read_text()
    return sum(
        int(line.split()[1]) * 1024
        for line in text.splitlines()
        if line.startswith(("RssAnon", "RssShmem"))
    )


def write_json(path: Path, result: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
