"""What formats found out of datasets, kept in the user's cache so that the next open is instant.

A format in Python declares a dataset's streams at every open, and finding them may take a library
that is slow to start. What is kept is bound to a file's identity, and only ever a saving: where it
cannot be kept or read it is found out again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from typing import Any

from .. import _core

__all__ = ["get", "put"]

_MAX_BYTES = 16 << 20


def get(name: str, path: str) -> dict[str, Any] | None:
    """Returns what was kept under a name; None where there is none, or the file is another now."""
    try:
        with open(_location(name), "rb") as file:
            found = json.loads(file.read(_MAX_BYTES))
        if found["identity"] == _identity(path) and isinstance(found["value"], dict):
            value: dict[str, Any] = found["value"]
            return value
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return None


def put(name: str, path: str, value: dict[str, Any]) -> None:
    """Keeps something under a name, for as long as the file is what it is."""
    with contextlib.suppress(OSError):
        location = _location(name)
        os.makedirs(os.path.dirname(location), mode=0o700, exist_ok=True)
        content = json.dumps({"identity": _identity(path), "value": value}).encode()
        handle, made = tempfile.mkstemp(dir=os.path.dirname(location))
        try:
            with open(handle, "wb") as file:
                file.write(content)
            os.replace(made, location)
        except OSError:
            os.unlink(made)
            raise


def _identity(path: str) -> list[Any]:
    info = os.stat(path)
    return [_core.__version__, info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns]


def _location(name: str) -> str:
    cache = os.environ.get("ROBOCACHE_CACHE")
    if not cache:
        base = os.environ.get("XDG_CACHE_HOME", "")
        base = base if base.startswith("/") else os.path.expanduser("~/.cache")
        cache = os.path.join(base, "robocache")
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return os.path.join(cache, "streams", f"{digest}.json")
