"""Settings: what an argument says, else the environment, else a default. All of them are here."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from typing import Any

from .errors import InvalidArgumentError

__all__ = ["SETTINGS", "Setting", "describe_settings", "find_unknown_variables", "value"]


@dataclass(frozen=True)
class Setting:
    """A setting: its name, its variable, what outranks it and what holds without either."""

    name: str
    variable: str
    kind: str  # "folder", "integer", "seconds" or "choice"
    argument: str  # that outranks the variable
    default: str  # in words
    meaning: str
    low: int = 1
    high: int = 2**62
    choices: tuple[str, ...] = ()

    def read(self, text: str) -> str | int | float:
        """Returns what the text of a variable means.

        Raises:
            InvalidArgumentError: nothing; the message says what was wanted.
        """
        if self.kind == "folder":
            return text
        if self.kind == "choice":
            if text not in self.choices:
                wanted = " or ".join(map(repr, self.choices))
                raise InvalidArgumentError(f"${self.variable}: found {text!r}, wanted {wanted}")
            return text
        number = int if self.kind == "integer" else float
        try:
            found = number(text)
            if not self.low <= found <= self.high:
                raise ValueError
        except ValueError:
            kind = "a whole number" if self.kind == "integer" else "seconds,"
            raise InvalidArgumentError(
                f"${self.variable}: found {text!r}, wanted {kind} {self._range()}"
            ) from None
        return found

    def _range(self) -> str:
        return f"from {self.low}" + (f" to {self.high}" if self.high < 2**62 else "")


SETTINGS = (
    Setting(
        "cache_folder",
        "ROBOCACHE_CACHE",
        "folder",
        "`open(catalog=)`",
        "`$XDG_CACHE_HOME/robocache`, else `~/.cache/robocache`",
        "catalogs of datasets whose own folder cannot be written",
    ),
    Setting(
        "ffmpeg_folder",
        "ROBOCACHE_FFMPEG",
        "folder",
        "",
        "the wheel's own, else the system's",
        "FFmpeg's libraries, which decode video",
    ),
    Setting(
        "num_threads",
        "ROBOCACHE_NUM_THREADS",
        "integer",
        "`set_num_threads()`",
        "all cores",
        "threads of operations on tensors",
        high=1024,
    ),
    Setting(
        "loader_threads",
        "ROBOCACHE_LOADER_THREADS",
        "integer",
        "`DataLoader(num_threads=)`",
        "the host's cores over its ranks",
        "worker threads of a loader",
        high=1024,
    ),
    Setting(
        "loader_memory_bytes",
        "ROBOCACHE_LOADER_MEMORY_BYTES",
        "integer",
        "`DataLoader(memory_bytes=)`",
        "batches prepared ahead, and 512 MiB",
        "bytes that a loader may hold",
    ),
    Setting(
        "device_memory",
        "ROBOCACHE_DEVICE_MEMORY",
        "choice",
        "",
        "`torch` where PyTorch's allocator can be asked, else `driver`",
        "where a loader's memory on a GPU is from",
        choices=("torch", "driver"),
    ),
    Setting(
        "watch_seconds",
        "ROBOCACHE_WATCH_SECONDS",
        "seconds",
        "`observability.watch()`",
        "0: none",
        "the live line of each loader of rank 0, drawn so often",
        low=0,
        high=86400,
    ),
)

# Of RoboCache's own tests.
_OTHERS = {"ROBOCACHE_TEST_DATA", "ROBOCACHE_KEEP", "ROBOCACHE_LEROBOT_PYTHON"}

_BY_NAME = {setting.name: setting for setting in SETTINGS}


def value(name: str) -> Any:
    """Returns what the environment says of a setting, or None: the default holds.

    A variable that is empty says nothing.

    Raises:
        InvalidArgumentError: it says nothing that the setting may be.
    """
    setting = _BY_NAME[name]
    text = os.environ.get(setting.variable, "")
    return setting.read(text) if text else None


def cache_folder() -> str:
    """Returns where files go that find no place beside the data."""
    base = os.environ.get("XDG_CACHE_HOME", "")  # whose specification ignores relative ones
    base = base if base.startswith("/") else os.path.expanduser("~/.cache")
    return value("cache_folder") or os.path.join(base, "robocache")


def describe_settings() -> list[dict[str, Any]]:
    """Returns for each setting what holds in this process where no argument is given, and why.

    Returns:
        Of each: "name", "value" (None: the default, which "default" says in words), "source"
        ("environment" or "default"), "variable", "argument" that outranks it, "default",
        "meaning", and "problem", the message where the variable cannot be read, else None.
    """
    described = []
    for setting in SETTINGS:
        problem = None
        found: Any = None
        try:
            found = value(setting.name)
        except InvalidArgumentError as error:
            problem = str(error)
        described.append(
            {
                "name": setting.name,
                "value": found,
                "source": "default" if found is None and problem is None else "environment",
                "variable": setting.variable,
                "argument": setting.argument.strip("`"),
                "default": setting.default.replace("`", ""),
                "meaning": setting.meaning,
                "problem": problem,
            }
        )
    return described


def find_unknown_variables() -> list[str]:
    """Returns a message for each variable ROBOCACHE_* of the environment that nothing reads."""
    known = sorted(_OTHERS | {setting.variable for setting in SETTINGS})
    messages = []
    for variable in sorted(os.environ):
        if variable.startswith("ROBOCACHE_") and variable not in known:
            close = difflib.get_close_matches(variable, known, 1)
            hint = f": did you mean ${close[0]}?" if close else ""
            messages.append(f"${variable} is set, and nothing reads it{hint}")
    return messages
