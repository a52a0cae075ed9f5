"""Say what of RoboCache works on this machine, and why the rest does not."""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import robocache

from ._dataset import add_json_argument, print_json

HELP = "say what works on this machine, and why the rest does not"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the findings; 1 where the native module does not load."""
    found = robocache.check_installation()
    if arguments.json:
        print_json(found)
    else:
        for name, text in _rows(found):
            print(f"{name:<10} {text}".rstrip())
        print("settings")
        for setting in found["settings"]:
            print(f"  {setting['name']:<20} {_setting(setting)}")
        for message in found["unknown_variables"]:
            warnings.warn(message, stacklevel=1)
    return 0 if found["native"]["available"] else 1


def _rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    native, cuda = found["native"], found["cuda"]

    def format_of(name: str) -> str:
        missing = found["not_indexed"].get(name)
        return name if missing is None else f"{name} (indexing {missing})"

    rows = [
        ("robocache", found["robocache"]),
        ("python", f"{found['python']} on {found['platform']}"),
        ("native", _state(native, "available")),
        ("cuda", _state(cuda, "available")),
        ("video", _state(found["video"], "available")),
        ("formats", ", ".join(map(format_of, found["formats"])) or "none"),
        ("codecs", ", ".join(found["codecs"]) or "none"),
    ]
    rows += [(name, version or "not installed") for name, version in found["packages"].items()]
    return rows


def _setting(setting: dict[str, Any]) -> str:
    if setting["problem"] is not None:
        return f"wrong: {setting['problem']}"
    if setting["source"] == "default":
        return f"{setting['default']} (default; ${setting['variable']} is not set)"
    return f"{setting['value']} (${setting['variable']})"


def _state(found: dict[str, Any], key: str) -> str:
    if not found[key]:
        return f"no: {found['reason']}"
    details = (f"{name} {_text(value)}" for name, value in found.items() if name != key)
    return "yes: " + ", ".join(details)


def _text(value: Any) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, (list, tuple)) else str(value)
