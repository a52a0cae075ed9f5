"""What NVIDIA's GPUs do, as NVML tells it, where pynvml is installed."""

from __future__ import annotations

import functools
import importlib
import os
import warnings
from typing import Any

_DRIVER = "/proc/driver/nvidia/version"


def gpu_figures() -> list[dict[str, Any]]:
    """Returns a dict for each GPU that this process may use.

    Returns:
        Of each: "gpu" (NVML's number), "name", "busy" (the part of the last moments, 0 to 1, in
        which a kernel ran), "memory_bytes" in use and "memory_total_bytes". [] without a GPU. Where
        there is one and no pynvml (``pip install nvidia-ml-py``), or NVML fails, the first call
        says so in a warning, and all return [].
    """
    nvml = _nvml()
    if nvml is None:
        return []
    figures = []
    for number, handle in _handles(nvml):
        try:
            use = nvml.nvmlDeviceGetUtilizationRates(handle)
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            name = nvml.nvmlDeviceGetName(handle)
        except nvml.NVMLError:  # not told of parts of a GPU (MIG), or the GPU was lost
            continue
        figures.append(
            {
                "gpu": number,
                "name": name.decode() if isinstance(name, bytes) else name,
                "busy": use.gpu / 100,
                "memory_bytes": int(memory.used),
                "memory_total_bytes": int(memory.total),
            }
        )
    return figures


@functools.cache
def _nvml() -> Any:
    """Returns pynvml, initialised, or None."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        _tell("pynvml is not installed: pip install nvidia-ml-py")
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        _tell(f"NVML: {error}")
        return None
    return nvml


def _tell(why: str) -> None:
    if os.path.exists(_DRIVER):
        warnings.warn(f"there are no figures of GPUs: {why}", stacklevel=4)


def _handles(nvml: Any) -> list[tuple[int, Any]]:
    """Returns number and handle of those that $CUDA_VISIBLE_DEVICES names; without it, of all."""
    found = []
    for number in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(number)
            uuid = nvml.nvmlDeviceGetUUID(handle)
        except nvml.NVMLError:  # it was lost, or is not this process' to ask about
            continue
        found.append((number, handle, uuid.decode() if isinstance(uuid, bytes) else uuid))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [(number, handle) for number, handle, _ in found]
    return [
        (number, handle)
        for name in (part.strip() for part in visible.split(","))
        for number, handle, uuid in found
        if name == str(number) or (name.startswith("GPU-") and uuid.startswith(name))
    ]
