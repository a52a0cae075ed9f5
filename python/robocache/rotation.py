"""Rotations in the forms that robot data has them in, and differences between poses.

Functions take NumPy arrays or torch tensors [..., n] and return the same kind, in the dtype of
floats (float64 for integers). They calculate in float64, and with tensors gradients go through.

- "euler" [..., 3]: roll, pitch, yaw: turns about the fixed axes x, then y, then z; SciPy's "xyz"
- "quat_xyzw" [..., 4]: unit quaternion, scalar last; one whose scalar is not negative is returned
- "quat_wxyz" [..., 4]: the same, scalar first
- "axis_angle" [..., 3]: the axis, as long as the angle in radians
- "rot6d" [..., 6]: the first two columns of the matrix, one behind the other
- "rot6d_rows" [..., 6]: its first two rows: PyTorch3D's, and those of code built on it
- "matrix" [..., 3, 3]: its columns are the turned axes

Quaternions and six numbers need not be normalised. Where pitch is a quarter turn, roll and yaw are
not determined: roll is then 0.
"""

from __future__ import annotations

from typing import Any

from . import _arguments
from .errors import InvalidArgumentError

__all__ = [
    "FORMS",
    "absolute",
    "absolute_pose",
    "compose",
    "convert",
    "inverse",
    "relative",
    "relative_pose",
]

FORMS = {
    "euler": 3,
    "quat_xyzw": 4,
    "quat_wxyz": 4,
    "axis_angle": 3,
    "rot6d": 6,
    "rot6d_rows": 6,
    "matrix": 9,
}
"""Numbers of each form."""

_FRAMES = ("world", "body")


def convert(rotation: Any, source: str, target: str) -> Any:
    """Returns rotations of one form in another.

    Raises:
        InvalidArgumentError: there is no such form, or the last extents are not its.
    """
    source, target = _form("source", source), _form("target", target)
    xp, values, dtype = _read(rotation, source)
    return _cast(xp, _from_matrix(xp, _to_matrix(xp, values, source), target), dtype)


def inverse(rotation: Any, form: str) -> Any:
    """Returns the rotations that undo these."""
    xp, values, dtype = _read(rotation, _form("form", form))
    turned = _transposed(_to_matrix(xp, values, form))
    return _cast(xp, _from_matrix(xp, turned, form), dtype)


def compose(second: Any, first: Any, form: str) -> Any:
    """Returns what turning by `first`, then by `second`, about fixed axes does: their product."""
    xp, a, b, dtype = _read_both(second, first, _form("form", form))
    product = xp.matmul(_to_matrix(xp, a, form), _to_matrix(xp, b, form))
    return _cast(xp, _from_matrix(xp, product, form), dtype)


def relative(base: Any, target: Any, form: str, frame: str = "world") -> Any:
    """Returns the rotations that lead from `base` to `target`.

    Args:
        base: from where.
        target: to where.
        form: of all three.
        frame: "world": about fixed axes, so that ``compose(relative, base)`` is the target;
            "body": about the axes of `base`, so that ``compose(base, relative)`` is.
    """
    xp, a, b, dtype = _read_both(base, target, _form("form", form))
    from_, to = _to_matrix(xp, a, form), _to_matrix(xp, b, form)
    if _arguments.choice("frame", frame, _FRAMES) == "world":
        found = xp.matmul(to, _transposed(from_))
    else:
        found = xp.matmul(_transposed(from_), to)
    return _cast(xp, _from_matrix(xp, found, form), dtype)


def absolute(base: Any, difference: Any, form: str, frame: str = "world") -> Any:
    """Returns where `difference`, as :func:`relative` has it, leads from `base`."""
    if _arguments.choice("frame", frame, _FRAMES) == "world":
        return compose(difference, base, form)
    return compose(base, difference, form)


def relative_pose(base: Any, target: Any, form: str, frame: str = "world") -> Any:
    """Returns the differences of poses [..., 3 + n]: a position, then a rotation of `form`.

    In frame "body" the position is that of `target` as `base` sees it, and the rotation about its
    axes: the pose inv(base) * target. In "world" both are differences along and about fixed axes.
    """
    xp, a, b, dtype = _read_both(base, target, _vector_form(form), 3)
    moved = b[..., :3] - a[..., :3]
    if _arguments.choice("frame", frame, _FRAMES) == "body":
        moved = _turned(xp, _transposed(_to_matrix(xp, a[..., 3:], form)), moved)
    turned = relative(a[..., 3:], b[..., 3:], form, frame)
    return _cast(xp, xp.concatenate((moved, turned), -1), dtype)


def absolute_pose(base: Any, difference: Any, form: str, frame: str = "world") -> Any:
    """Returns where differences of poses, as :func:`relative_pose` has them, lead from `base`."""
    xp, a, b, dtype = _read_both(base, difference, _vector_form(form), 3)
    moved = b[..., :3]
    if _arguments.choice("frame", frame, _FRAMES) == "body":
        moved = _turned(xp, _to_matrix(xp, a[..., 3:], form), moved)
    turned = absolute(a[..., 3:], b[..., 3:], form, frame)
    return _cast(xp, xp.concatenate((a[..., :3] + moved, turned), -1), dtype)


# ---- arrays ----


def _form(name: str, form: str) -> str:
    return _arguments.choice(name, form, tuple(FORMS))


def _vector_form(form: str) -> str:
    if _form("form", form) == "matrix":
        raise InvalidArgumentError("form: found 'matrix', wanted one of a single axis for a pose")
    return form


def _namespace(values: Any) -> Any:
    if hasattr(values, "new_tensor"):
        import torch

        return torch
    import numpy

    return numpy


def _read(values: Any, form: str, before: int = 0) -> tuple[Any, Any, Any]:
    """Returns the module of an array, the array in float64, and the dtype to return it in."""
    xp = _namespace(values)
    array = values if xp.__name__ == "torch" else xp.asarray(values)
    is_float = array.dtype.is_floating_point if xp.__name__ == "torch" else array.dtype.kind == "f"
    wanted = (3, 3) if form == "matrix" else (before + FORMS[form],)
    if tuple(array.shape[-len(wanted) :]) != wanted:
        raise InvalidArgumentError(
            f"{form}: found shape {list(array.shape)}, wanted [..., {', '.join(map(str, wanted))}]"
        )
    dtype = array.dtype if is_float else xp.float64
    return xp, _cast(xp, array, xp.float64), dtype


def _read_both(a: Any, b: Any, form: str, before: int = 0) -> tuple[Any, Any, Any, Any]:
    xp, first, dtype = _read(a, form, before)
    other, second, second_dtype = _read(b, form, before)
    if xp is not other:
        raise InvalidArgumentError(f"{form}: found an array of {xp.__name__} beside one of another")
    promoted = xp.promote_types(dtype, second_dtype)
    axes = 2 if form == "matrix" else 1
    extents = _broadcast(xp, first.shape[:-axes], second.shape[:-axes])
    return (
        xp,
        xp.broadcast_to(first, (*extents, *first.shape[-axes:])),
        xp.broadcast_to(second, (*extents, *second.shape[-axes:])),
        promoted,
    )


def _broadcast(xp: Any, a: Any, b: Any) -> tuple[int, ...]:
    try:
        return tuple(xp.broadcast_shapes(tuple(a), tuple(b)))
    except (ValueError, RuntimeError) as error:
        raise InvalidArgumentError(f"shapes {list(a)} and {list(b)}: {error}") from None


def _cast(xp: Any, values: Any, dtype: Any) -> Any:
    return values.to(dtype) if xp.__name__ == "torch" else values.astype(dtype, copy=False)


def _transposed(matrix: Any) -> Any:
    return matrix.swapaxes(-1, -2)


def _turned(xp: Any, matrix: Any, vector: Any) -> Any:
    return xp.matmul(matrix, vector[..., None])[..., 0]


def _unit(xp: Any, vector: Any) -> Any:
    length = xp.sqrt((vector * vector).sum(-1))[..., None]
    return vector / xp.where(length > 0, length, xp.ones_like(length))


def _rows(xp: Any, rows: Any) -> Any:
    return xp.stack([xp.stack(list(row), -1) for row in rows], -2)


# ---- forms to matrices ----


def _to_matrix(xp: Any, values: Any, form: str) -> Any:
    if form == "matrix":
        return values
    if form == "euler":
        return _matrix_of_euler(xp, values)
    if form == "axis_angle":
        return _matrix_of_quat(xp, *_quat_of_axis_angle(xp, values))
    if form.startswith("quat"):
        unit = _unit(xp, values)
        order = (3, 0, 1, 2) if form == "quat_xyzw" else (0, 1, 2, 3)
        return _matrix_of_quat(xp, *(unit[..., i] for i in order))
    first = _unit(xp, values[..., :3])
    second = values[..., 3:]
    second = _unit(xp, second - (first * second).sum(-1)[..., None] * first)
    third = xp.stack(
        [
            first[..., (i + 1) % 3] * second[..., (i + 2) % 3]
            - first[..., (i + 2) % 3] * second[..., (i + 1) % 3]
            for i in range(3)
        ],
        -1,
    )
    return xp.stack((first, second, third), -1 if form == "rot6d" else -2)


def _matrix_of_euler(xp: Any, euler: Any) -> Any:
    (sx, sy, sz), (cx, cy, cz) = (
        [function(euler[..., i]) for i in range(3)] for function in (xp.sin, xp.cos)
    )
    return _rows(
        xp,
        (
            (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
            (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
            (-sy, cy * sx, cy * cx),
        ),
    )


def _matrix_of_quat(xp: Any, w: Any, x: Any, y: Any, z: Any) -> Any:
    return _rows(
        xp,
        (
            (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
            (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
            (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
        ),
    )


def _quat_of_axis_angle(xp: Any, turn: Any) -> tuple[Any, Any, Any, Any]:
    squared = (turn * turn).sum(-1)
    is_small = squared < 1e-8
    angle = xp.sqrt(xp.where(is_small, xp.ones_like(squared), squared))
    ratio = xp.where(is_small, 0.5 - squared / 48, xp.sin(angle / 2) / angle)
    w = xp.where(is_small, 1 - squared / 8, xp.cos(angle / 2))
    return w, turn[..., 0] * ratio, turn[..., 1] * ratio, turn[..., 2] * ratio


# ---- matrices to forms ----


def _from_matrix(xp: Any, matrix: Any, form: str) -> Any:
    if form == "matrix":
        return matrix
    if form == "euler":
        return _euler_of_matrix(xp, matrix)
    if form == "rot6d":
        return xp.concatenate((matrix[..., 0], matrix[..., 1]), -1)
    if form == "rot6d_rows":
        return xp.concatenate((matrix[..., 0, :], matrix[..., 1, :]), -1)
    quat = _quat_of_matrix(xp, matrix)
    if form == "quat_wxyz":
        return quat
    if form == "quat_xyzw":
        return xp.concatenate((quat[..., 1:], quat[..., :1]), -1)
    vector = quat[..., 1:]
    squared = (vector * vector).sum(-1)
    is_small = squared < 1e-12
    length = xp.sqrt(xp.where(is_small, xp.ones_like(squared), squared))
    ratio = xp.where(is_small, 2 + squared / 3, 2 * xp.arctan2(length, quat[..., 0]) / length)
    return vector * ratio[..., None]


def _euler_of_matrix(xp: Any, m: Any) -> Any:
    upright = xp.sqrt(m[..., 0, 0] ** 2 + m[..., 1, 0] ** 2)
    pitch = xp.arctan2(-m[..., 2, 0], upright)
    is_locked = upright < 1e-9
    zero = xp.zeros_like(pitch)
    roll = xp.where(is_locked, zero, xp.arctan2(m[..., 2, 1], m[..., 2, 2]))
    yaw = xp.where(
        is_locked,
        xp.arctan2(-m[..., 0, 1], m[..., 1, 1]),
        xp.arctan2(m[..., 1, 0], m[..., 0, 0]),
    )
    return xp.stack((roll, pitch, yaw), -1)


def _quat_of_matrix(xp: Any, m: Any) -> Any:
    """Takes the greatest of the four numbers from the diagonal, the others from it."""
    x, y, z = (m[..., i, i] for i in range(3))
    squares = xp.stack((1 + x + y + z, 1 + x - y - z, 1 - x + y - z, 1 - x - y + z), -1)
    skew = [m[..., (i + 2) % 3, (i + 1) % 3] - m[..., (i + 1) % 3, (i + 2) % 3] for i in range(3)]
    sums = [m[..., (i + 2) % 3, (i + 1) % 3] + m[..., (i + 1) % 3, (i + 2) % 3] for i in range(3)]
    candidates = xp.stack(
        (
            xp.stack((squares[..., 0], skew[0], skew[1], skew[2]), -1),
            xp.stack((skew[0], squares[..., 1], sums[2], sums[1]), -1),
            xp.stack((skew[1], sums[2], squares[..., 2], sums[0]), -1),
            xp.stack((skew[2], sums[1], sums[0], squares[..., 3]), -1),
        ),
        -2,
    )
    best = squares.argmax(-1)[..., None, None]
    index = xp.broadcast_to(best, (*best.shape[:-1], 4))
    pick = xp.take_along_dim if xp.__name__ == "torch" else xp.take_along_axis
    quat = _unit(xp, pick(candidates, index, -2)[..., 0, :])
    return xp.where(quat[..., :1] < 0, -quat, quat)
