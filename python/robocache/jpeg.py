"""Decoding JPEGs."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

from . import _arguments, _frameworks
from .errors import ArgumentTypeError, InvalidArgumentError, UnsupportedError

try:
    from . import _core
except ImportError:  # the package has said so
    _core = None  # type: ignore[assignment]

_CPU = 1
_CUDA = 2
_DCTS = ("accurate", "fast")
_ON_ERROR = ("raise", "mask")
_BACKENDS = (None, "cpu", "cuda", "pytorch")


def decode_jpeg(
    images: Any,
    *,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    backend: str | None = None,
    out: Any = None,
    on_error: str = "raise",
    jpeg_dct: str = "accurate",
) -> Any:
    """Decodes a batch of JPEGs to uint8 pixels, on the CPU or on an NVIDIA GPU, to the same bits.

    Args:
        images: a sequence of bytes-like objects; or a pair ``(data, offsets)`` of a uint8 tensor
            and B + 1 ascending integers, image ``i`` being ``data[offsets[i]:offsets[i + 1]]``.
            Those of torch on a GPU are decoded where they lie; their headers are waited for.
        size: ``(height, width)`` that every image must have; another is an error of that image.
        channels: 1 for grey, 3 for RGB, whatever the images are; None: as many as each has.
        backend: "cpu", "cuda", "pytorch" (Pillow), or None: where `out`, else
            `data`, lies; the CPU for bytes.
        out: where to put the pixels: ``[B, H, W, C]``, or a list of ``[H, W, C]``.
        on_error: "raise": the first image that cannot be decoded raises. On a GPU this waits for
            the work; "mask" does not: such images are zeros, and a mask says so.
        jpeg_dct: "accurate", as Pillow, OpenCV and torchvision do, or "fast", as TensorFlow does.

    Returns:
        ``[B, H, W, C]`` where images have one size, else a list of ``[H, W, C]``: `out`, or arrays
        of `data`'s framework; for bytes torch tensors where PyTorch is installed, else NumPy
        arrays. With ``on_error="mask"`` the pair of that and ``valid``, bool ``[B]``.

    Raises:
        FormatError: an image is damaged or of another size than `size`; the message says which.
        UnsupportedError: an image is of a kind that is not decoded (CMYK, 12 bits).
        InvalidArgumentError, ArgumentTypeError: an argument is wrong.

    """
    height, width = _check(size, channels, backend, on_error, jpeg_dct)
    if _core is None and backend in ("cpu", "cuda"):
        raise UnsupportedError(f"backend: {backend!r} needs the native module")
    if _core is None or backend == "pytorch":
        reference = importlib.import_module("robocache.pytorch")
        return reference.decode_jpeg(
            images, size=size, channels=channels, out=out, on_error=on_error, jpeg_dct=jpeg_dct
        )
    data, offsets = _streams(images)
    lead = _lead(out, data)
    make = _maker(lead, backend, is_output=out is not None)
    if not isinstance(data, list) and _is_on_cuda(data):
        data, offsets = _place(data, offsets, lead, backend)
    batch = _core.jpeg_create(data, offsets, height, width, channels or 0, jpeg_dct == "fast")
    outs = _outputs(_core.jpeg_infos(batch), make) if out is None else out
    outs = list(outs) if isinstance(outs, (list, tuple)) else outs
    valid = make((len(outs),), "bool") if on_error == "mask" else None
    _core.jpeg_decode(batch, outs, valid)
    result = outs if out is None else out
    return result if valid is None else (result, valid)


def _check(size: Any, channels: Any, backend: Any, on_error: Any, jpeg_dct: Any) -> tuple[int, int]:
    """Checks the arguments that choose; returns height and width, 0 where they are open."""
    for name, value, wanted in (
        ("backend", backend, _BACKENDS),
        ("on_error", on_error, _ON_ERROR),
        ("jpeg_dct", jpeg_dct, _DCTS),
        ("channels", channels, (None, 1, 3)),
    ):
        if not isinstance(value, (str, int, type(None))) or value not in wanted:
            choices = ", ".join(repr(choice) for choice in wanted)
            raise InvalidArgumentError(
                f"{name}: found {_arguments.found(value)}, wanted one of {choices}"
            )
    if size is None:
        return 0, 0
    extents = list(_arguments.items("size", size, "(height, width)"))
    if len(extents) != 2:
        raise ArgumentTypeError(f"size: found {_arguments.found(size)}, wanted (height, width)")
    height, width = (_arguments.integer("size", extent, 1) for extent in extents)
    return height, width


def _is_bytes(image: Any) -> bool:
    return isinstance(image, (bytes, bytearray, memoryview))


def _streams(images: Any) -> tuple[Any, Any]:
    """Returns a list of bytes and None, or a tensor and its offsets."""
    is_pair = isinstance(images, tuple) and len(images) == 2 and not _is_bytes(images[0])
    if is_pair:
        data, offsets = images
        return data, offsets
    if _is_bytes(images) or not isinstance(images, Sequence):
        raise ArgumentTypeError(
            f"images: found {type(images)!r}, wanted a sequence of bytes, or (data, offsets)"
        )
    return [
        image if type(image) is bytes else _to_bytes(image, i) for i, image in enumerate(images)
    ], None


def _to_bytes(image: Any, index: int) -> bytes:
    if not _is_bytes(image):
        raise ArgumentTypeError(f"images: found {type(image)!r} at [{index}], wanted bytes")
    return bytes(image)


def _device(array: Any) -> tuple[int, int]:
    """Returns the kind and the number of an array's device, as DLPack has them."""
    if _root(array) == "torch" and hasattr(array, "is_cuda"):  # which takes a tenth of the time
        return (_CUDA, array.device.index) if array.is_cuda else (_CPU, 0)
    try:
        if not hasattr(array, "__dlpack_device__"):
            return _CPU, 0
        kind, number = array.__dlpack_device__()
        return int(kind), int(number)
    except Exception as error:
        raise ArgumentTypeError(
            f"found {type(array)!r} that does not export its memory: {error}"
        ) from error


def _is_on_cuda(array: Any) -> bool:
    return _device(array)[0] == _CUDA


def _root(array: Any) -> str:
    return type(array).__module__.partition(".")[0]


def _place(data: Any, offsets: Any, lead: Any, backend: Any) -> tuple[Any, Any]:
    """Returns streams on a device and their offsets, ready to be read.

    Those in torch's memory, which is kept until its stream is done with it, stay there where the
    pixels go to torch's memory of that device. Others are copied to the host.
    """
    if not hasattr(offsets, "__dlpack__"):
        offsets = importlib.import_module("numpy").asarray(offsets, "int64")
    is_torch = _root(data) == "torch" and _root(lead) == "torch"
    if is_torch and backend != "cpu" and _device(lead) == _device(data):
        return data.contiguous(), offsets
    return _to_host(data), offsets


def _to_host(data: Any) -> Any:
    if _root(data) == "torch":
        torch = importlib.import_module("torch")
        # Through pinned memory, which torch keeps: a copy to any other takes many times as long.
        return torch.empty(data.shape, dtype=data.dtype, pin_memory=True).copy_(data)
    return importlib.import_module("numpy").from_dlpack(data, device="cpu", copy=True)


def _lead(out: Any, data: Any) -> Any:
    """Returns the array whose framework and device decide, or None."""
    if isinstance(out, (list, tuple)):
        return out[0] if len(out) > 0 else None
    return out if out is not None else None if isinstance(data, list) else data


def _maker(
    like: Any, backend: str | None, *, is_output: bool
) -> Callable[[Sequence[int], str], Any]:
    """Returns what makes arrays: of the framework of `like` and where the backend works."""
    on_cuda = _is_on_cuda(like) if like is not None else False
    if is_output and backend is not None and on_cuda != (backend == "cuda"):
        where = "a CUDA device" if on_cuda else "the host"
        raise InvalidArgumentError(f"backend: {backend!r} found, but out is on {where}")
    wants_cuda = backend == "cuda" or (backend is None and on_cuda)
    has_torch = importlib.util.find_spec("torch") is not None
    if like is None or (wants_cuda != on_cuda):
        if has_torch:
            torch = importlib.import_module("torch")
            device = "cuda" if wants_cuda else "cpu"
            return lambda shape, dtype: torch.empty(
                tuple(shape), dtype=getattr(torch, dtype), device=device
            )
        if wants_cuda:
            raise UnsupportedError("backend: 'cuda' needs PyTorch, or out= on a CUDA device")
        numpy = importlib.import_module("numpy")
        return lambda shape, dtype: numpy.empty(tuple(shape), dtype=dtype)
    if _root(like) == "numpy":
        numpy = importlib.import_module("numpy")
        return lambda shape, dtype: numpy.empty(tuple(shape), dtype=dtype)
    return lambda shape, dtype: _frameworks.empty(like, shape, dtype)


def _outputs(infos: list[tuple[int, int, int, bool, bool]], make: Any) -> Any:
    """Returns one array where all images that can be decoded have one size, else a list."""
    shapes = {info[:3] for info in infos if info[3]}
    if len(shapes) <= 1:
        # Without any image there is no size to be had.
        shape = next(iter(shapes), infos[0][:3] if infos else (0, 0, 3))
        return make((len(infos), *shape), "uint8")
    return [make(info[:3], "uint8") for info in infos]
