"""All cases of bench/gpu.py, by label."""

from __future__ import annotations

from device import operations
from device.case import Cases, optional

OTHERS = ("device.backward", "device.sparse")


def cases() -> Cases:
    found = dict(operations.CASES)
    for name in OTHERS:
        module = optional(name)
        if module is not None:
            found |= module.CASES
    return found
