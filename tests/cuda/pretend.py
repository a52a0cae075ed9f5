"""Tensors of the host that pass for tensors on a CUDA device, on a stand-in for the driver."""

from __future__ import annotations

import ctypes
from typing import Any

CAPSULE = b"dlpack_exchange_api"


def load_driver(path: str) -> Any:
    """Loads a stand-in for the driver, for the package to find, and makes its device current."""
    driver = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    assert driver.cuInit(0) == 0
    context = ctypes.c_void_p()
    driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
    driver.cuCtxPushCurrent_v2(context)
    return driver


def pass_off(path: str) -> None:
    """Hands torch's tensors of the host out for those of the device (pretend_cuda.c at `path`)."""
    import torch

    library = ctypes.CDLL(path)
    library.pretend_cuda.restype = ctypes.c_void_p
    library.pretend_cuda.argtypes = [ctypes.c_void_p]
    api = ctypes.pythonapi
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    api.PyCapsule_New.restype = ctypes.py_object
    api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    known = api.PyCapsule_GetPointer(torch.Tensor.__dlpack_c_exchange_api__, CAPSULE)
    made = api.PyCapsule_New(library.pretend_cuda(known), CAPSULE, None)
    torch.Tensor.__dlpack_c_exchange_api__ = made
