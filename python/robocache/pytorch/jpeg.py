"""Decoding JPEGs with Pillow."""

from __future__ import annotations

import importlib
import io
import itertools
from typing import Any

import torch

from ..errors import FormatError, InvalidArgumentError, UnsupportedError
from ._public import public
from ._tensors import to_torch

_MODES = {1: "L", 3: "RGB"}


@public
def decode_jpeg(
    images: Any,
    *,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    out: Any = None,
    on_error: str = "raise",
    jpeg_dct: str = "accurate",
) -> Any:
    """As robocache.decode_jpeg(), by Pillow's libjpeg-turbo, one image after the other.

    Colour asked for as grey is not bit for bit what the library itself makes of it: Pillow
    converts the RGB pixels.
    """
    if jpeg_dct != "accurate":
        raise UnsupportedError(f"jpeg_dct: {jpeg_dct!r} found, Pillow has 'accurate' alone")
    try:
        pillow = importlib.import_module("PIL.Image")
    except ImportError as error:
        raise UnsupportedError(f"backend: 'pytorch' decodes JPEGs with Pillow: {error}") from error
    streams = _streams(images)
    pixels: list[torch.Tensor | None] = []
    for index, data in enumerate(streams):
        try:
            pixels.append(_decode(pillow, data, size, channels))
        except (OSError, SyntaxError, ValueError) as error:
            if on_error == "raise":
                raise FormatError(f"image {index}: {error}") from error
            pixels.append(None)
    result = _gather(pixels, size, channels, out)
    if on_error == "raise":
        return result
    return result, torch.tensor([p is not None for p in pixels], dtype=torch.bool)


def _streams(images: Any) -> list[bytes]:
    if isinstance(images, tuple) and len(images) == 2 and not isinstance(images[0], bytes):
        data = to_torch(images[0], "images").cpu().numpy().tobytes()
        bounds = [int(offset) for offset in images[1]]
        return [data[begin:end] for begin, end in itertools.pairwise(bounds)]
    return [bytes(image) for image in images]


def _decode(
    pillow: Any, data: bytes, size: tuple[int, int] | None, channels: int | None
) -> torch.Tensor:
    with pillow.open(io.BytesIO(data), formats=["JPEG"]) as image:
        if size is not None and (image.height, image.width) != tuple(size):
            raise FormatError(
                f"JPEG of {image.height}x{image.width} pixels; wanted {size[0]}x{size[1]}"
            )
        if image.mode not in ("L", "RGB"):
            raise UnsupportedError(f"JPEG of mode {image.mode}; grey and colour are supported")
        wanted = image.mode if channels is None else _MODES[channels]
        converted = image if image.mode == wanted else image.convert(wanted)
        raw = torch.frombuffer(bytearray(converted.tobytes()), dtype=torch.uint8)
        return raw.reshape(image.height, image.width, -1)


def _gather(
    pixels: list[torch.Tensor | None],
    size: tuple[int, int] | None,
    channels: int | None,
    out: Any,
) -> Any:
    shapes = {tuple(p.shape) for p in pixels if p is not None}
    shape = next(iter(shapes)) if len(shapes) == 1 else (*(size or (0, 0)), channels or 3)
    whole = [p if p is not None else torch.zeros(shape, dtype=torch.uint8) for p in pixels]
    if out is None:
        if len(shapes) <= 1:
            return torch.stack(whole) if whole else torch.zeros((0, *shape), dtype=torch.uint8)
        return whole
    if len(out) != len(whole):
        raise InvalidArgumentError(f"out: {len(out)} found, {len(whole)} images wanted")
    for target, found in zip(out, whole, strict=True):
        to_torch(target, "out").copy_(found)
    return out
