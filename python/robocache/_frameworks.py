"""What the native module needs to know of array frameworks beyond DLPack.

Called by the native module for tensors that have ``__dlpack__`` only.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Sequence
from typing import Any

from .errors import ArgumentTypeError, DeviceError, Error, UnsupportedError

_CPU = 1
_CUDA = 2
_LEGACY_DEFAULT_STREAM = 1


def need_torch(what: str) -> None:
    """Raises UnsupportedError where PyTorch, which something needs, cannot be imported."""
    try:
        importlib.import_module("torch")
    except ImportError as error:
        raise UnsupportedError(
            f"{what} needs PyTorch, which cannot be imported ({error}): "
            "pip install 'robocache[torch]'"
        ) from error


def _root(kind: type) -> str:
    for base in kind.__mro__:
        root = base.__module__.partition(".")[0]
        if root in ("torch", "cupy", "jax", "jaxlib"):
            return "jax" if root == "jaxlib" else root
    return kind.__module__.partition(".")[0]


def stream_of(tensor: Any) -> int:
    """Returns the CUDA stream on which work for `tensor` is queued; 0: the legacy default one."""
    device_type, device_id = tensor.__dlpack_device__()
    if int(device_type) != _CUDA:
        return 0
    root = _root(type(tensor))
    if root == "cupy":
        return int(importlib.import_module("cupy").cuda.get_current_stream(device_id).ptr)
    if root == "torch":
        return int(importlib.import_module("torch").cuda.current_stream(device_id).cuda_stream)
    return 0


def export(tensor: Any, param: str) -> tuple[object, int, bool]:
    """Returns a DLPack capsule of `tensor`, its CUDA stream, and whether it must not be written.

    The stream, on which its data is safe, is 0 for the legacy default stream and on the host.
    A tensor that does not export itself is an error about `param`.
    """
    try:
        return _export(tensor)
    except (Error, MemoryError):
        raise
    except Exception as error:
        raise ArgumentTypeError(
            f"{param}: {type(tensor)!r} does not export its memory: {error!r}"
        ) from error


def _export(tensor: Any) -> tuple[object, int, bool]:
    device_type, _ = tensor.__dlpack_device__()
    pointer = stream_of(tensor)
    stream = (pointer or _LEGACY_DEFAULT_STREAM) if int(device_type) == _CUDA else None
    try:
        capsule = tensor.__dlpack__(stream=stream, max_version=(1, 3))
    except TypeError:  # a producer from before DLPack 1.0
        capsule = tensor.__dlpack__(stream=stream)
    return capsule, pointer, _root(type(tensor)) == "jax"


def convert(numbers: Any, like: Any, dtype: str, param: str) -> Any:
    """Returns numbers of any kind as an array of `like`'s framework, on its device.

    Raises:
        ArgumentTypeError: `numbers` are none, or are not whole where `dtype` is of integers.
    """
    root = _root(type(like))
    library = importlib.import_module("torch" if root == "torch" else "numpy")
    try:
        if root == "torch":
            found = library.as_tensor(numbers).detach().cpu()
            made = found.to(getattr(library, dtype))
        else:
            found = library.asarray(numbers)
            made = found.astype(dtype, casting="unsafe" if found.dtype.kind in "iufb" else "safe")
        is_same = "float" in dtype or bool((made == found).all())
    except Exception as error:
        raise ArgumentTypeError(f"{param}: found {numbers!r}, wanted numbers: {error}") from error
    if not is_same:
        raise ArgumentTypeError(f"{param}: found {numbers!r}, wanted integers")
    if root == "torch":
        return made.to(like.device)
    if root == "cupy":
        with like.device:
            return importlib.import_module("cupy").asarray(made)
    return importlib.import_module("jax.numpy").asarray(made) if root == "jax" else made


def empty(like: Any, shape: Sequence[int], dtype: str) -> Any:
    """Returns an uninitialised array that can be written, of `like`'s framework and device.

    For JAX on the host, whose arrays cannot be written, a NumPy array; see :func:`finish`.
    """
    root = _root(type(like))
    if root == "torch":
        torch = importlib.import_module("torch")
        return torch.empty(tuple(shape), dtype=getattr(torch, dtype), device=like.device)
    if root == "cupy":
        cupy = importlib.import_module("cupy")
        with like.device:
            return cupy.empty(tuple(shape), dtype=dtype)
    if root == "jax" and int(like.__dlpack_device__()[0]) == _CPU:
        numpy = importlib.import_module("numpy")
        if dtype == "bfloat16":
            return numpy.empty(tuple(shape), dtype=importlib.import_module("ml_dtypes").bfloat16)
        return numpy.empty(tuple(shape), dtype=dtype)
    if root == "jax" and int(like.__dlpack_device__()[0]) == _CUDA:
        jax = importlib.import_module("jax")
        (device,) = like.devices()
        return jax.numpy.empty(tuple(shape), dtype=dtype, device=device)
    raise UnsupportedError(
        f"output: cannot allocate a {type(like).__module__}.{type(like).__qualname__} on this "
        "device: pass out="
    )


def finish(kind: type, array: Any) -> Any:
    """Turns what :func:`empty` made for tensors of type `kind` into their framework's array.

    JAX cannot be told to wait for a stream, so for it the work is waited for here.
    """
    if _root(kind) != "jax":
        return array
    if type(array).__module__.partition(".")[0] == "numpy":
        return importlib.import_module("jax.numpy").asarray(array)
    device_type, device_id = array.__dlpack_device__()
    if int(device_type) == _CUDA:
        _synchronize(int(device_id))
    return array


def _synchronize(device_id: int) -> None:
    """Waits for the legacy default stream of a device, whose primary context is active."""
    driver = ctypes.CDLL("libcuda.so.1")
    device, context = ctypes.c_int(), ctypes.c_void_p()
    codes = [
        driver.cuDeviceGet(ctypes.byref(device), device_id),
        driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device),
        driver.cuCtxPushCurrent_v2(context),
        driver.cuStreamSynchronize(None),
        driver.cuCtxPopCurrent_v2(ctypes.byref(context)),
        driver.cuDevicePrimaryCtxRelease_v2(device),
    ]
    if any(codes):
        raise DeviceError(f"waiting for CUDA device {device_id}: CUresult {max(codes)}")
