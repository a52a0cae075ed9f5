"""What is made of images: turned, cropped, resized, mirrored, coloured, normalised, in one step."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from . import _arguments, _frameworks
from .errors import ArgumentTypeError, InvalidArgumentError, UnsupportedError

__all__ = ["Image", "image_key"]

_ORIENTS = (
    "as_stored",
    "rotate_90",
    "rotate_180",
    "rotate_270",
    "flip_horizontal",
    "flip_vertical",
    "transpose",
    "transverse",
)
_CROPS = ("none", "center", "random", "box")
_FILTERS = ("default", "nearest", "bilinear", "bicubic")
_SHARES = ("window", "sample", "frame")
_DTYPES = ("uint8", "uint16", "float32", "float16", "bfloat16")
_LAYOUTS = ("last", "first")
_MAX_SIDE = 65535
_MAX_FACTOR = 4.0
_KEYS = 2**64


@dataclass(frozen=True, init=False)
class Image:
    """What is made of each image: by a window of a loader (``Window(image=...)``), or of arrays.

    The steps come in the order of the attributes, whatever order they are given in. uint8 images of
    1 to 4 channels go through all of them; uint16 and float32 images of one channel, such as depth,
    through those that move pixels. docs/images.md shows each step.

    Attributes:
        orient: turns the image as it is stored: "rotate_90" (counter-clockwise, as
            ``numpy.rot90``), "rotate_180", "rotate_270", "flip_horizontal" (left becomes right),
            "flip_vertical", "transpose", "transverse"; None: not at all.
        crop: ("center", amount) or ("random", amount): `amount` is a share of the area, 0.9, or a
            range (0.8, 1.0) to draw it from, or (height, width) in whole pixels. Four whole numbers
            are a box in pixels: (left, top, right, bottom). None: the whole image.
        aspect: width over height of a crop by area, or a range to draw it from, evenly in
            logarithms; None: that of the image. A crop that would not fit is made smaller.
        size: (height, width) of the result; None: that of the crop, which then must be fixed.
        filter: "bilinear" (the default of uint8) and "bicubic", both antialiased, or "nearest" (the
            default of depth): Pillow's, bit for bit.
        flip: how likely the image is mirrored, left to right.
        brightness, contrast, saturation: x: a factor drawn from [max(0, 1 - x), 1 + x]; or a range.
            They are applied in this order.
        hue: x: turns of the colour circle drawn from [-x, x], at most half of one; or a range.
        mean, std: of values in [0, 1], a number or one for each channel: (value / 255 - mean) /
            std.
        dtype: of the result: "uint8", "float32", "float16" or "bfloat16"; None: as the image,
            float32 where there is a mean or std. Floats without these are value / 255.
        channels: "last", [H, W, C], or "first", [C, H, W].
        share: what is drawn is the same for: the frames of a "window"; all windows of a "sample"
            that say so; or for each "frame" its own.
    """

    orient: str | None
    crop: Any
    aspect: tuple[float, float] | None
    size: tuple[int, int] | None
    filter: str | None
    flip: float
    brightness: tuple[float, float]
    contrast: tuple[float, float]
    saturation: tuple[float, float]
    hue: tuple[float, float]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    dtype: str | None
    channels: str
    share: str

    def __init__(
        self,
        size: Sequence[int] | None = None,
        *,
        crop: Any = None,
        aspect: float | Sequence[float] | None = None,
        filter: str | None = None,  # noqa: A002
        flip: float = 0.0,
        brightness: float | Sequence[float] = 0.0,
        contrast: float | Sequence[float] = 0.0,
        saturation: float | Sequence[float] = 0.0,
        hue: float | Sequence[float] = 0.0,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        dtype: Any = None,
        channels: str = "last",
        orient: str | None = None,
        share: str = "window",
    ) -> None:
        values: dict[str, Any] = {
            "orient": _choice("orient", orient, _ORIENTS[1:]),
            "crop": None if crop is None else _crop(crop),
            "aspect": None if aspect is None else _range("aspect", aspect, 1e-3, 1e3),
            "size": None if size is None else _pixels("size", size, 2),
            "filter": _choice("filter", filter, _FILTERS[1:]),
            "flip": _within("flip", flip, 0.0, 1.0),
            "brightness": _around("brightness", brightness, 1.0, 0.0, _MAX_FACTOR),
            "contrast": _around("contrast", contrast, 1.0, 0.0, _MAX_FACTOR),
            "saturation": _around("saturation", saturation, 1.0, 0.0, _MAX_FACTOR),
            "hue": _around("hue", hue, 0.0, -0.5, 0.5),
            "mean": None if mean is None else _numbers("mean", mean),
            "std": None if std is None else _numbers("std", std),
            "dtype": None if dtype is None else _dtype(dtype),
            "channels": _arguments.choice("Image: channels", channels, _LAYOUTS),
            "share": _arguments.choice("Image: share", share, _SHARES),
        }
        lengths = {len(values[name]) for name in ("mean", "std") if values[name] is not None}
        if len(lengths - {1}) > 1:
            raise InvalidArgumentError(
                f"Image: mean of {len(values['mean'])} values and std of {len(values['std'])} "
                "found, wanted as many"
            )
        for key, value in values.items():
            object.__setattr__(self, key, value)
        if self.aspect is not None and self._area() is None:
            raise InvalidArgumentError("Image: aspect found without a crop by area")

    def __call__(self, images: Any, key: int | Sequence[int] | None = None) -> Any:
        """Returns what is made of images: [..., H, W, C], or [H, W] of one channel.

        Args:
            images: uint8, or uint16 or float32 of one channel; of NumPy, torch or another
                framework, on the host.
            key: decides what is drawn: one for all images, or one for each. `image_key()` gives
                those of a loader. Needed where something is drawn.

        Raises:
            InvalidArgumentError: something does not go with such images; the message says what.
            UnsupportedError: no step is there for images of this dtype or on this device.

        """
        native = _core()
        shape = tuple(getattr(images, "shape", ()))
        if len(shape) < 2:
            raise ArgumentTypeError(
                f"images: found {_arguments.found(images)}, wanted an array [..., H, W, C] or "
                "[H, W]"
            )
        is_flat = len(shape) == 2
        pixels = (*shape, 1) if is_flat else shape
        count = math.prod(pixels[:-3])
        batch = _packed(images).reshape((count, *pixels[-3:]))
        keys = self._keys(key, count)
        params = self._native()
        made, dtype = native.image_output(params, batch)
        out = _empty(images, (count, *made), dtype)
        native.image_apply(params, batch, keys, out)
        result = _frameworks.finish(type(images), out)
        return result.reshape(self._shape(is_flat, pixels[:-3], made))

    def for_inference(self) -> Image:
        """Returns the same without chance: the crop in the centre, nothing that is drawn.

        Ranges of area and aspect become their middle; mirroring and colours that are drawn are left
        out, those that are fixed stay.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        area = self._area()
        if area is not None:
            values["crop"] = ("center", sum(area) / 2)
        elif self.crop is not None and self.crop[0] == "random":
            values["crop"] = ("center", self.crop[1])
        if self.aspect is not None:
            values["aspect"] = math.sqrt(self.aspect[0] * self.aspect[1])
        values["flip"] = float(self.flip == 1.0)
        for name, neutral in (("brightness", 1.0), ("contrast", 1.0), ("saturation", 1.0)):
            low, high = values[name]
            values[name] = (low, high) if low == high else (neutral, neutral)
        low, high = values["hue"]
        values["hue"] = (low, high) if low == high else (0.0, 0.0)
        return Image(**values)

    @property
    def is_random(self) -> bool:
        """Whether what is made of an image depends on a key."""
        ranges = [self.brightness, self.contrast, self.saturation, self.hue, self.aspect]
        drawn = any(ends[0] != ends[1] for ends in [*ranges, self._area()] if ends is not None)
        is_placed = self.crop is not None and self.crop[0] == "random"
        return is_placed or 0.0 < self.flip < 1.0 or drawn

    def _area(self) -> tuple[float, float] | None:
        """Returns the shares of a crop by area."""
        if self.crop is None or self.crop[0] not in _CROPS or isinstance(self.crop[1][0], int):
            return None
        return self.crop[1]  # type: ignore[no-any-return]

    def _keys(self, key: Any, count: int) -> list[int]:
        if key is None:
            if self.is_random:
                raise InvalidArgumentError(
                    "key: found None where something is drawn, wanted a whole number; "
                    "for_inference() draws nothing"
                )
            return [0] * count
        if hasattr(key, "__len__"):
            keys = [_arguments.integer("key", one, 0, _KEYS - 1) for one in key]
            if len(keys) != count:
                raise InvalidArgumentError(
                    f"key: {len(keys)} found for {count} images, wanted one, or one for each"
                )
            return keys
        return [_arguments.integer("key", key, 0, _KEYS - 1)] * count

    def _shape(self, is_flat: bool, leading: Sequence[int], made: Sequence[int]) -> tuple[int, ...]:
        """Returns the shape of results: an image without an axis of channels gets none."""
        if not is_flat:
            return (*leading, *made)
        return tuple(made[1:]) if self.channels == "first" else tuple(made[:2])

    def _native(self) -> tuple[Any, ...]:
        """Returns what _core takes for rbc_image_params."""
        crop = self.crop or ("none", (0, 0))
        is_box = crop[0] not in _CROPS
        area = self._area()
        mean, std = self.mean or (), self.std or ()
        count = max(len(mean), len(std))
        return (
            0 if self.orient is None else _ORIENTS.index(self.orient),
            _CROPS.index("box" if is_box else crop[0]),
            area or (1.0, 1.0),
            self.aspect or (0.0, 0.0),
            (0, 0) if is_box or area is not None else crop[1],
            crop if is_box else (0, 0, 0, 0),
            self.size or (0, 0),
            0 if self.filter is None else _FILTERS.index(self.filter),
            self.flip,
            self.brightness,
            self.contrast,
            self.saturation,
            self.hue,
            list(mean) * (count if len(mean) == 1 else 1) or [0.0] * count,
            list(std) * (count if len(std) == 1 else 1) or [1.0] * count,
            self.dtype,
            self.channels == "first",
            _SHARES.index(self.share),
        )


def image_key(
    seed: int,
    epoch: int,
    episode_id: int,
    step_index: int,
    *,
    name: str | None = None,
    frame: int = 0,
    share: str = "window",
) -> int:
    """Returns the key that a loader gives to an image, for `Image.__call__`.

    Args:
        seed: of the loader.
        epoch: counted from 0.
        episode_id: of the sample, as the batch has it.
        step_index: of the sample, as the batch has it.
        name: of the window's field.
        frame: number of the image in its window.
        share: as in Image: "window" leaves `frame` out, "sample" `name` too.

    """
    return int(
        _core().image_key(
            _arguments.integer("seed", seed, 0, _KEYS - 1),
            _arguments.integer("epoch", epoch, 0),
            _arguments.integer("episode_id", episode_id, 0),
            _arguments.integer("step_index", step_index, 0),
            _SHARES.index(_arguments.choice("share", share, _SHARES)),
            None if name is None else _arguments.string("name", name),
            _arguments.integer("frame", frame, 0),
        )
    )


def _core() -> Any:
    try:
        return importlib.import_module("robocache._core")
    except ImportError as error:
        raise UnsupportedError(f"Image needs the native module: {error}") from error


def _choice(name: str, value: Any, choices: tuple[str, ...]) -> str | None:
    return None if value is None else _arguments.choice(f"Image: {name}", value, choices)


def _within(name: str, value: Any, low: float, high: float) -> float:
    number = _arguments.number(f"Image: {name}", value)
    if not low <= number <= high:
        raise InvalidArgumentError(f"Image: {name}: found {number:g}, wanted {low:g} to {high:g}")
    return number


def _pair(name: str, value: Any, wanted: str) -> list[Any]:
    pair = list(_arguments.items(f"Image: {name}", value, wanted))
    if len(pair) != 2:
        raise ArgumentTypeError(f"Image: {name}: found {_arguments.found(value)}, wanted {wanted}")
    return pair


def _range(name: str, value: Any, low: float, high: float) -> tuple[float, float]:
    """Returns a range, or one number as both ends of it."""
    if not hasattr(value, "__len__"):
        number = _within(name, value, low, high)
        return (number, number)
    ends = _pair(name, value, "a number or (low, high)")
    first, last = (_within(name, end, low, high) for end in ends)
    if first > last:
        raise InvalidArgumentError(
            f"Image: {name}: found {first:g} to {last:g}, wanted the lower one first"
        )
    return (first, last)


def _around(name: str, value: Any, centre: float, low: float, high: float) -> tuple[float, float]:
    """Returns a range, of one number as far around the centre as that, from `low` on."""
    if hasattr(value, "__len__"):
        return _range(name, value, low, high)
    reach = _within(name, value, 0.0, high - centre)
    return (max(low, centre - reach), centre + reach)


def _pixels(name: str, value: Any, count: int) -> tuple[int, ...]:
    wanted = "(height, width)" if count == 2 else "(left, top, right, bottom)"
    pixels = list(_arguments.items(f"Image: {name}", value, wanted))
    if len(pixels) != count:
        raise ArgumentTypeError(f"Image: {name}: found {_arguments.found(value)}, wanted {wanted}")
    low = 1 if count == 2 else 0
    return tuple(_arguments.integer(f"Image: {name}", pixel, low, _MAX_SIDE) for pixel in pixels)


def _is_whole(value: Any) -> bool:
    return not isinstance(value, bool) and hasattr(value, "__index__")


def _crop(value: Any) -> tuple[Any, ...]:
    wanted = '("center", amount), ("random", amount) or (left, top, right, bottom)'
    given = list(_arguments.items("Image: crop", value, wanted))
    if len(given) == 4:
        left, top, right, bottom = _pixels("crop", given, 4)
        if left >= right or top >= bottom:
            raise InvalidArgumentError(
                f"Image: crop: found {(left, top, right, bottom)}, wanted left < right and top < "
                "bottom"
            )
        return (left, top, right, bottom)
    if len(given) != 2 or not isinstance(given[0], str):
        raise ArgumentTypeError(f"Image: crop: found {_arguments.found(value)}, wanted {wanted}")
    kind = _arguments.choice("Image: crop", given[0], _CROPS[1:3])
    amount = given[1]
    if hasattr(amount, "__len__") and all(map(_is_whole, amount)):
        return (kind, _pixels("crop", amount, 2))
    scale = _range("crop", amount, 0.0, 1.0)
    if scale[0] == 0.0:
        raise InvalidArgumentError("Image: crop: found a share of 0, wanted more")
    return (kind, scale)


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    wanted = "a number, or one for each of up to 4 channels"
    values = tuple(
        _arguments.number(f"Image: {name}", one)
        for one in _arguments.items(f"Image: {name}", value, wanted)
    )
    if not 1 <= len(values) <= 4:
        raise ArgumentTypeError(f"Image: {name}: found {_arguments.found(value)}, wanted {wanted}")
    if name == "std" and min(values) <= 0:
        raise InvalidArgumentError(f"Image: std: found {min(values):g}, wanted more than 0")
    return values


def _dtype(value: Any) -> str:
    """Returns the name of a dtype given as such, or as NumPy's or torch's."""
    name = getattr(value, "name", None) or getattr(value, "__name__", None) or str(value)
    return _arguments.choice("Image: dtype", str(name).rpartition(".")[2], _DTYPES)


def _packed(images: Any) -> Any:
    if hasattr(images, "contiguous"):
        return images.contiguous()
    if type(images).__module__.partition(".")[0] == "numpy":
        return importlib.import_module("numpy").ascontiguousarray(images)
    return images


def _empty(like: Any, shape: Sequence[int], dtype: str) -> Any:
    if type(like).__module__.partition(".")[0] != "numpy":
        return _frameworks.empty(like, shape, dtype)
    if dtype == "bfloat16":
        raise UnsupportedError("Image: dtype: NumPy has no bfloat16; pass a torch tensor")
    return importlib.import_module("numpy").empty(tuple(shape), dtype=dtype)
