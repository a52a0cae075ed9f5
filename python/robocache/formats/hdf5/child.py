"""The process that looks into HDF5 files: a file that crashes libhdf5 ends no other.

Started by :mod:`.process`. Requests come as lines of JSON; each is answered by messages (see
:func:`send`), the last of which has "end". Where samples lie is sent, not samples; what is read are
attributes, text, and numbers that are small and hard to read in place, which become columns.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import struct
import sys
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from .file import UNREADABLE, DamageError, File, why
from .scan import Scan
from .survey import survey

MEMORY_BYTES = 6 << 30  # of this process: what asks for more is damaged or hostile


def allow(seconds: float) -> None:
    """Lets the kernel end this process where it works for so long from now on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = math.ceil(used.ru_utime + used.ru_stime + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def send(out: BinaryIO, message: Mapping[str, Any], arrays: Sequence[Any] = ()) -> None:
    """Writes the size of a JSON object, the object, and the arrays that it lists.

    They are on their way once the buffer is full or the request is answered: a file of one episode
    wakes who asked once.
    """
    arrays = [np.ascontiguousarray(array) for array in arrays]
    listed = [[array.dtype.str, list(array.shape)] for array in arrays]
    head = json.dumps({**message, "arrays": listed}, allow_nan=False).encode()
    out.write(struct.pack("<Q", len(head)) + head)
    for array in arrays:
        out.write(memoryview(array.reshape(-1).view(np.uint8)))


def answer(out: BinaryIO, request: Mapping[str, Any]) -> None:
    """Sends what a request asks for."""
    allow(request["cpu_s"])
    try:
        file = File(request["file"], request["root"])
    except DamageError as error:
        send(out, {"end": True, "why": str(error)})
        return
    except OSError as error:
        send(out, {"end": True, "why": why(error), "errno": error.errno})
        return
    with contextlib.closing(file):
        try:
            if request["do"] == "survey":
                send(out, survey(file))
            else:
                for message, arrays in Scan(file, request).messages():
                    send(out, message, arrays)
                    allow(request["cpu_s"])
            send(out, {"end": True})
        except UNREADABLE as error:
            send(out, {"end": True, "why": why(error)})


def mapped_bytes() -> int:
    """Returns the address space of this process, of which a sanitizer takes terabytes."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def main() -> None:
    """Answers requests until there are no more."""
    limit = mapped_bytes() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        try:
            answer(out, json.loads(line))
        except MemoryError:
            send(out, {"end": True, "why": f"asks for more than {MEMORY_BYTES} bytes of memory"})
        except Exception as error:  # of h5py, over what no file should hold
            send(out, {"end": True, "why": f"cannot be read: {type(error).__name__}: {error}"})
        out.flush()


if __name__ == "__main__":
    main()
