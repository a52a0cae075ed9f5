"""What a loader delivers: a dict that goes to a device as a whole."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from .errors import NotFoundError, UnsupportedError

__all__ = ["Batch", "Text"]


class Text(list[Any]):
    """The strings of a batch, a list of B str, or of B lists of W.

    It is asked to go to a device like the tensors beside it, and stays where it is.
    """

    __slots__ = ()

    def to(self, *args: Any, **kwargs: Any) -> Text:
        """Returns itself."""
        return self

    def pin_memory(self, *args: Any) -> Text:
        """Returns itself."""
        return self


class Batch(dict[str, Any]):
    """Tensors and :class:`Text` by the names of fields; its repr is a line for each."""

    __slots__ = ("_native",)  # of a batch on a device: its memory

    def __missing__(self, name: object) -> Any:
        raise NotFoundError(f"batch: no field {name!r}, it has {', '.join(map(str, self))}")

    def __repr__(self) -> str:
        width = max(map(len, self), default=0)
        lines = [f"  {name:<{width}}  {_describe(value)}" for name, value in self.items()]
        return "\n".join(["<Batch", *lines]) + ">"

    def __reduce__(self) -> tuple[type[Batch], tuple[dict[str, Any]]]:
        return (Batch, (dict(self),))

    @property
    def tensors(self) -> dict[str, Any]:
        """The fields that are no text."""
        return {name: value for name, value in self.items() if not isinstance(value, Text)}

    @property
    def text(self) -> dict[str, Text]:
        """The fields that are text."""
        return {name: value for name, value in self.items() if isinstance(value, Text)}

    def record_stream(self, stream: Any) -> None:
        """Lets work on another stream use a batch that a loader delivered on a CUDA device.

        To be called before that work is queued, once for each stream but the one that was current
        when the batch was delivered: the work comes after the batch is there, and the batch's
        memory is used again only after it. Tensor.record_stream() of its tensors does nothing,
        since their memory is the loader's. On the CPU there is nothing to do.

        Args:
            stream: a torch.cuda.Stream, or its address.
        """
        native = getattr(self, "_native", None)
        if native is not None:
            core = importlib.import_module("robocache._core")
            core.batch_order(native, int(getattr(stream, "cuda_stream", stream)))

    def to(self, *args: Any, **kwargs: Any) -> Batch:
        """Returns a batch of what Tensor.to() makes of each tensor, such as ``to("cuda")``.

        Raises:
            UnsupportedError: the tensors are NumPy's, which lie on the CPU for good.
        """
        return self._each("to", lambda value: value.to(*args, **kwargs))

    def pin_memory(self, *args: Any) -> Batch:
        """Returns a batch of copies of the tensors in memory that devices read directly.

        Tensors that are there already are returned themselves. Copies are made by the thread that
        asks, so that the loader keeps its cores.

        Args:
            args: the device that Tensor.pin_memory() takes, which makes no difference.

        Raises:
            UnsupportedError: the tensors are NumPy's.
            RuntimeError: torch finds no device, or they lie on one.
        """
        return self._each("pin_memory", _pin)

    def _each(self, what: str, function: Callable[[Any], Any]) -> Batch:
        for name, value in self.items():
            if not hasattr(value, what):
                raise UnsupportedError(
                    f"batch[{name!r}]: {type(value).__name__} has no {what}(); "
                    "DataLoader(array='torch') delivers tensors that have"
                )
        return Batch({name: function(value) for name, value in self.items()})


def _pin(value: Any) -> Any:
    """Returns Tensor.pin_memory()'s result, made on one thread.

    PyTorch spreads copies over all cores, by OpenMP, whose threads keep them for a while behind
    each: a loop that copied batches so got half of what the loader can deliver.
    """
    if isinstance(value, Text) or value.device.type != "cpu":
        return value.pin_memory()  # which refuses memory of a device
    if value.is_pinned():
        return value
    torch = importlib.import_module("torch")
    pinned = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
    _bytes(pinned, torch)[:] = _bytes(value.contiguous(), torch)
    return pinned


def _bytes(tensor: Any, torch: Any) -> Any:
    """Returns the bytes of a contiguous tensor, as an array of NumPy."""
    return tensor.reshape(-1).view(torch.uint8).numpy()


def _describe(value: Any) -> str:
    """Returns dtype, shape and, of a device's, where a tensor is; of text how much there is."""
    if not hasattr(value, "shape"):
        return f"{len(value)} texts" if isinstance(value, Text) else repr(value)
    dtype = str(value.dtype).removeprefix("torch.")
    device = str(getattr(value, "device", "cpu"))
    where = "" if device == "cpu" else f" on {device}"
    return f"{dtype} {list(value.shape)}{where}"
