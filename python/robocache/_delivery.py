"""What a loader's batches are delivered as, and where."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from typing import Any

from . import _arguments
from ._frameworks import need_torch
from .errors import InvalidArgumentError, UnsupportedError


def find_kind(array: str | None) -> Any:
    """Returns what _core.create_loader() makes tensors with."""
    if array is not None:
        _arguments.choice("array", array, ("numpy", "torch", "jax"))
    if array == "jax":
        return _jax_kind()
    if array == "torch" or (array is None and importlib.util.find_spec("torch") is not None):
        need_torch("array: 'torch'")
        return importlib.import_module("torch").Tensor
    import numpy

    return numpy.asarray


def _jax_kind() -> Callable[[Any], Any]:
    try:
        import jax
    except ImportError as error:
        raise UnsupportedError(
            f"array: jax cannot be imported: {error}; `pip install jax` installs it"
        ) from error
    import numpy

    def deliver(field: Any) -> Any:
        """Returns a JAX array over the memory of a field, or NumPy's of what JAX would narrow."""
        values = numpy.asarray(field)
        if values.dtype.itemsize == 8 and not jax.config.jax_enable_x64:
            return values
        if values.dtype.name == "bfloat16":  # NumPy exports none
            return jax.numpy.asarray(values)
        return jax.dlpack.from_dlpack(values)

    return deliver


def find_device(device: Any, kind: Any) -> int:
    """Returns the number of the CUDA device that batches go to, or -1: they stay on the CPU."""
    found = re.fullmatch(r"cpu|cuda(?::(\d+))?", str(device))
    if found is None:
        raise InvalidArgumentError(f"device: found {device!r}, wanted 'cpu', 'cuda' or 'cuda:N'")
    if found[0] == "cpu":
        return -1
    if not isinstance(kind, type):
        raise InvalidArgumentError(
            f"device: found {device!r} without torch's tensors, wanted array='torch'"
        )
    import torch

    if not torch.cuda.is_available():
        raise UnsupportedError(
            f"device: {device!r} found, and this PyTorch ({torch.__version__}) sees no CUDA device"
        )
    number = torch.cuda.current_device() if found[1] is None else int(found[1])
    if number >= torch.cuda.device_count():
        raise InvalidArgumentError(
            f"device: found {device!r}, wanted a number below {torch.cuda.device_count()}"
        )
    torch.empty(1, device=f"cuda:{number}")  # makes the device's context
    return number


def stream_of(device: int) -> Callable[[], int] | None:
    """Returns what gives the address of the stream that is current on a device."""
    if device < 0:
        return None
    import torch

    return lambda: int(torch.cuda.current_stream(device).cuda_stream)
