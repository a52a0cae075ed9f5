"""What src/image/image.h says of images, in NumPy: the steps behind resizing."""

from __future__ import annotations

import numpy as np

GOLDEN = 0x9E3779B97F4A7C15
MASK = 2**64 - 1
ONE = 1 << 13
FLIP, SCALE, ASPECT, LEFT, TOP, BRIGHTNESS, CONTRAST, SATURATION, HUE = range(9)


def mix(x):
    x ^= x >> 30
    x = x * 0xBF58476D1CE4E5B9 & MASK
    x ^= x >> 27
    x = x * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def key(seed, epoch, episode, tick, name=None, frame=0):
    """The key of an image; without a name that of a sample."""
    hashed = 0
    if name is not None:
        hashed = 0xCBF29CE484222325
        for byte in name.encode():
            hashed = (hashed ^ byte) * 0x100000001B3 & MASK
    value = 0
    for part in (seed, epoch, episode, tick, hashed, frame):
        value = mix(((value ^ part) + GOLDEN) & MASK)
    return value


def uniform(image_key, counter):
    return (mix((image_key + GOLDEN * (counter + 1)) & MASK) >> 11) * 2.0**-53


def drawn(ends, image_key, counter):
    return ends[0] + uniform(image_key, counter) * (ends[1] - ends[0])


def aspect_of(ends, image_key):
    bits = int(uniform(image_key, ASPECT) * 2**24)
    value, power = ends[0], ends[1] / ends[0]
    for bit in reversed(range(24)):
        power = np.sqrt(power)
        value *= power if bits >> bit & 1 else 1.0
    return float(value)


def box(image, image_key, height, width):
    """Left, top, right, bottom of an image as oriented."""
    if image.crop is None:
        return 0, 0, width, height
    if len(image.crop) == 4:
        return image.crop
    kind, amount = image.crop
    if isinstance(amount[0], int):
        h, w = amount
    else:
        scale = drawn(amount, image_key, SCALE)
        h, w = height * np.sqrt(scale), width * np.sqrt(scale)
        if image.aspect is not None:
            area, aspect = scale * height * width, aspect_of(image.aspect, image_key)
            w, h = np.sqrt(area * aspect), np.sqrt(area / aspect)
            if w > width:
                w, h = width, h * width / w
            if h > height:
                w, h = w * height / h, height
        h = min(max(int(np.floor(h + 0.5)), 1), height)
        w = min(max(int(np.floor(w + 0.5)), 1), width)
    left, top = (width - w) // 2, (height - h) // 2
    if kind == "random":
        left = int(uniform(image_key, LEFT) * (width - w + 1))
        top = int(uniform(image_key, TOP) * (height - h + 1))
    return left, top, left + w, top + h


def units(value, bits):
    return int(np.floor(value * 2**bits + 0.5))


def blend(values, centre, factor):
    total = factor * (256 * values - centre) + ONE * centre + 2**20
    return np.clip(total >> 21, 0, 255)


def grey(pixels):
    if pixels.shape[-1] < 3:
        return 65536 * pixels[..., 0]
    return pixels[..., :3] @ np.array([19595, 38470, 7471])


def turn_hue(pixels, turn):
    r, g, b = np.moveaxis(pixels, -1, 0)
    v, n = pixels.max(-1), pixels.min(-1)
    m = v - n
    sixths = np.where(v == r, g - b, np.where(v == g, 2 * m + b - r, 4 * m + r - g))
    h, full = sixths * 65536 + m * turn, m * 65536
    out = []
    for k in (5, 3, 1):
        t = np.where(full > 0, (h + k * full) % np.maximum(6 * full, 1), 0)
        lost = np.clip(np.minimum(t, 4 * full - t), 0, full)
        out.append(v - ((lost + 32768) >> 16))
    return np.stack(out, -1)


def colour(pixels, image, image_key):
    """uint8 [H, W, C] with other colours."""
    pixels = pixels.astype(np.int64)
    count = 3 if pixels.shape[-1] >= 3 else 1
    colours = pixels[..., :count]
    factor = units(drawn(image.brightness, image_key, BRIGHTNESS), 13)
    colours = blend(colours, 0, factor)
    factor = units(drawn(image.contrast, image_key, CONTRAST), 13)
    if factor != ONE:
        total = int(grey(colours).sum())
        colours = blend(colours, (total // grey(colours).size + 128) >> 8, factor)
    if count == 3:
        factor = units(drawn(image.saturation, image_key, SATURATION), 13)
        centre = (grey(colours) + 128) >> 8
        colours = blend(colours, centre[..., None], factor)
        turn = units(6 * drawn(image.hue, image_key, HUE), 16)
        colours = turn_hue(colours, turn % (6 * 65536))
    pixels[..., :count] = colours
    return pixels.astype(np.uint8)


def orient(pixels, how):
    return {
        None: lambda p: p,
        "rotate_90": lambda p: np.rot90(p, 1),
        "rotate_180": lambda p: np.rot90(p, 2),
        "rotate_270": lambda p: np.rot90(p, 3),
        "flip_horizontal": lambda p: p[:, ::-1],
        "flip_vertical": lambda p: p[::-1],
        "transpose": lambda p: p.swapaxes(0, 1),
        "transverse": lambda p: np.rot90(p, 2).swapaxes(0, 1),
    }[how](pixels)


def normalise(pixels, image):
    """float32, step by step."""
    mean = np.float32(0.0 if image.mean is None else image.mean)
    std = np.float32(1.0 if image.std is None else image.std)
    return (pixels.astype(np.float32) / np.float32(255) - mean) / std


def make(pixels, image, image_key, resize):
    """All steps on [H, W, C]; resize(pixels, size, box, filter) is another's."""
    pixels = orient(pixels, image.orient)
    left, top, right, bottom = box(image, image_key, *pixels.shape[:2])
    size = image.size or (bottom - top, right - left)
    if size == (bottom - top, right - left):
        pixels = pixels[top:bottom, left:right]
    else:
        pixels = resize(pixels, size, (left, top, right, bottom), image.filter)
    if uniform(image_key, FLIP) < image.flip:
        pixels = pixels[:, ::-1]
    if pixels.dtype == np.uint8:
        pixels = colour(pixels, image, image_key)
        if image.mean is not None or image.std is not None or image.dtype not in (None, "uint8"):
            pixels = normalise(pixels, image)
    return np.moveaxis(pixels, -1, 0) if image.channels == "first" else pixels
