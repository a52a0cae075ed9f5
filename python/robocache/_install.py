"""What is installed and what is missing, found out without importing any of it."""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import sys
from importlib import metadata
from typing import Any

from .config import describe_settings, find_unknown_variables

_PACKAGES = (
    *("numpy", "torch", "ml_dtypes", "jax", "cupy"),
    *("h5py", "pyarrow", "av", "matplotlib", "pillow"),
)
_BUILDS = {"cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy-cuda11x")}


def package_version(package: str = "robocache") -> str:
    """Returns the installed version of a package, or "" where it is not installed."""
    for name in (package, *_BUILDS.get(package, ())):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return ""


def _cuda_driver() -> dict[str, Any]:
    """Returns the version of the CUDA driver and its devices, or the reason why there is none."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return {"available": False, "reason": f"no CUDA driver: {error}"}
    code = driver.cuInit(0)
    if code != 0:
        return {"available": False, "reason": f"cuInit failed with CUresult {code}"}
    version, count = ctypes.c_int(), ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    driver.cuDeviceGetCount(ctypes.byref(count))
    devices = []
    for index in range(count.value):
        handle, name = ctypes.c_int(), ctypes.create_string_buffer(256)
        driver.cuDeviceGet(ctypes.byref(handle), index)
        driver.cuDeviceGetName(name, len(name), handle)
        devices.append(name.value.decode("utf-8", "replace"))
    result: dict[str, Any] = {
        "available": bool(devices),
        "driver_version": f"{version.value // 1000}.{version.value % 1000 // 10}",
        "devices": devices,
    }
    if not devices:
        result["reason"] = "the CUDA driver lists no device"
    return result


def _video() -> dict[str, Any]:
    """Returns which codecs of video can be decoded and by what, or the reason why none can."""
    try:
        from . import _core

        path, licence, version, codecs = _core.video_decoders()
    except Exception as error:
        return {"available": False, "reason": str(error)}
    return {
        "available": True,
        "decoders": [name for name, is_there in codecs if is_there],
        "missing": [name for name, is_there in codecs if not is_there],
        "libavcodec": version,
        "licence": licence,
        "path": path,
    }


def check_installation() -> dict[str, Any]:
    """Returns what is there, and what is missing and why.

    Returns:
        A dict that JSON can hold: "robocache" (version), "python", "platform", "native" (whether
        the native module loads, else the reason; the libjpeg-turbo it was built against, CPU
        features in use, threads), "cuda" (whether it can be used, else the reason; driver,
        devices), "video" (whether it can be decoded, else the reason; the codecs, FFmpeg's library
        and its licence), "packages" (version of each, None where it is not installed), "codecs"
        (encodings of images that can be decoded), "formats" (of datasets that can be opened once
        they are indexed), "not_indexed" (those that cannot be indexed here, and why),
        "settings", see :func:`robocache.config.describe_settings`, and "unknown_variables",
        messages of variables ROBOCACHE_* that nothing reads. Nothing but the native module is
        imported.
    """
    from .formats.builtin import BUILTIN

    native: dict[str, Any]
    try:
        from . import _core
    except ImportError as error:
        native = {"available": False, "reason": str(error)}
        version = package_version()
    else:
        native = {"available": True, **_core.native_info()}
        version = _core.__version__
    packages = {
        name: package_version(name) if importlib.util.find_spec(_module(name)) else None
        for name in _PACKAGES
    }
    cuda = _cuda_driver()
    if native["available"] and not native.pop("cuda_backend", False):
        cuda = {**cuda, "available": False, "reason": _without_backend(cuda)}
    available = bool(native["available"])
    return {
        "robocache": version,
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()}",
        "native": native,
        "cuda": cuda,
        "video": _video(),
        "packages": packages,
        "codecs": ["jpeg", "png", "jxl"] if available else [],
        "formats": ["rlds", *(each.name for each in BUILTIN)] if available else [],
        "not_indexed": {
            each.name: f"needs {each.needs}: pip install 'robocache[{each.name}]'"
            for each in BUILTIN
            if each.needs is not None and packages[each.needs] is None
        },
        "settings": describe_settings(),
        "unknown_variables": find_unknown_variables(),
    }


def _module(package: str) -> str:
    return {"pillow": "PIL"}.get(package, package)


def _without_backend(cuda: dict[str, Any]) -> str:
    reason = "this build of robocache has no CUDA backend"
    return f"{reason}; {cuda['reason']}" if "reason" in cuda else reason
