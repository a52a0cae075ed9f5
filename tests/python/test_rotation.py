"""Rotations: forms and back, against matrices written out, with NumPy and torch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import robocache as rc
from robocache import rotation

RNG = np.random.default_rng(11)
QUARTER = np.pi / 2


def quats(count: int) -> Any:
    """Returns random unit quaternions, scalar first, many of them close to special ones."""
    random = RNG.normal(size=(count, 4))
    random[::5] *= [1, 1e-9, 1e-9, 1e-9]
    random[1::5] *= [1e-9, 1, 1, 1]
    random[2::5] *= [1, 1e-4, 0, 0]
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    return np.where(random[:, :1] < 0, -random, random)


def angle_between(a: Any, b: Any) -> float:
    """Returns the greatest entry by which matrices differ."""
    return float(np.abs(a - b).max())


@pytest.mark.parametrize(("via", "form"), list(itertools.permutations(rotation.FORMS, 2)))
def test_forms_lead_back(via: str, form: str) -> None:
    start = rotation.convert(quats(5000), "quat_wxyz", form)
    back = rotation.convert(rotation.convert(start, form, via), via, form)
    matrix = rotation.convert(start, form, "matrix")
    assert angle_between(rotation.convert(back, form, "matrix"), matrix) < 1e-7
    if form not in ("euler", "axis_angle"):  # which are not unique at a quarter and a half turn
        np.testing.assert_allclose(np.abs(back), np.abs(start), atol=1e-6)


@pytest.mark.parametrize(
    ("euler", "matrix"),
    [
        ([0, 0, 0], np.eye(3)),
        ([QUARTER, 0, 0], [[1, 0, 0], [0, 0, -1], [0, 1, 0]]),
        ([0, QUARTER, 0], [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]),
        ([0, 0, QUARTER], [[0, -1, 0], [1, 0, 0], [0, 0, 1]]),
        ([QUARTER, 0, QUARTER], [[0, 0, 1], [1, 0, 0], [0, 1, 0]]),  # first x, then z
    ],
)
def test_what_the_forms_mean(euler: Any, matrix: Any) -> None:
    found = rotation.convert(np.array(euler, float), "euler", "matrix")
    matrix = np.array(matrix, float)
    np.testing.assert_allclose(found, matrix, atol=1e-15)
    six = rotation.convert(matrix, "matrix", "rot6d")
    np.testing.assert_allclose(six, [*matrix[:, 0], *matrix[:, 1]])
    rows = rotation.convert(matrix, "matrix", "rot6d_rows")
    np.testing.assert_allclose(rows, [*matrix[0], *matrix[1]])


@pytest.mark.parametrize(
    ("form", "value", "quat_wxyz"),
    [
        ("quat_xyzw", [0, 0, 1, 0], [0, 0, 0, 1]),
        ("quat_xyzw", [0, 0, -2, -2], [0.5**0.5, 0, 0, 0.5**0.5]),
        ("axis_angle", [0, 0, 0], [1, 0, 0, 0]),
        ("axis_angle", [QUARTER, 0, 0], [0.5**0.5, 0.5**0.5, 0, 0]),
        ("axis_angle", [0, 1.5 * np.pi, 0], [0.5**0.5, 0, -(0.5**0.5), 0]),
        ("rot6d", [2, 0, 0, 5, 3, 0], [1, 0, 0, 0]),
    ],
)
def test_values_by_hand(form: str, value: Any, quat_wxyz: Any) -> None:
    found = rotation.convert(np.array(value, float), form, "quat_wxyz")
    np.testing.assert_allclose(found, quat_wxyz, atol=1e-15)


@pytest.mark.parametrize("pitch", [QUARTER, -QUARTER])
def test_a_quarter_turn_of_pitch_has_no_roll(pitch: float) -> None:
    euler = np.array([[0.3, pitch, 0.5]])
    found = rotation.convert(rotation.convert(euler, "euler", "matrix"), "matrix", "euler")
    assert found[0, 0] == 0
    again = rotation.convert(found, "euler", "matrix")
    assert angle_between(again, rotation.convert(euler, "euler", "matrix")) < 1e-8


@pytest.mark.parametrize("frame", ["world", "body"])
@pytest.mark.parametrize("form", rotation.FORMS)
def test_differences_lead_back(form: str, frame: str) -> None:
    base, target = (rotation.convert(quats(500), "quat_wxyz", form) for _ in range(2))
    difference = rotation.relative(base, target, form, frame)
    found = rotation.absolute(base, difference, form, frame)
    matrices = [rotation.convert(each, form, "matrix") for each in (found, target)]
    assert angle_between(*matrices) < 1e-6
    undone = rotation.compose(rotation.inverse(base, form), base, form)
    assert angle_between(rotation.convert(undone, form, "matrix"), np.eye(3)) < 1e-6
    if form == "matrix":
        return
    positions = RNG.normal(size=(2, 500, 3))
    poses = [np.concatenate(pair, 1) for pair in zip(positions, (base, target), strict=True)]
    moved = rotation.relative_pose(poses[0], poses[1], form, frame)
    again = rotation.absolute_pose(poses[0], moved, form, frame)
    np.testing.assert_allclose(again[:, :3], positions[1], atol=1e-6)
    assert angle_between(rotation.convert(again[:, 3:], form, "matrix"), matrices[1]) < 1e-6


def test_what_a_frame_means() -> None:
    base = np.array([1.0, 2, 3, 0, 0, QUARTER])  # looks along y
    target = np.array([1.0, 4, 3, 0, 0, np.pi])
    world = rotation.relative_pose(base, target, "euler", "world")
    body = rotation.relative_pose(base, target, "euler", "body")
    np.testing.assert_allclose(world, [0, 2, 0, 0, 0, QUARTER], atol=1e-12)
    np.testing.assert_allclose(body, [2, 0, 0, 0, 0, QUARTER], atol=1e-12)


@pytest.mark.parametrize("form", rotation.FORMS)
@pytest.mark.parametrize("other", rotation.FORMS)
def test_tensors_are_as_arrays(form: str, other: str) -> None:
    torch = pytest.importorskip("torch")
    for dtype, tolerance in (("f8", 1e-9), ("f4", 1e-6)):
        values = rotation.convert(quats(300), "quat_wxyz", form).astype(dtype)
        tensor = torch.from_numpy(values).requires_grad_()
        found = rotation.convert(tensor, form, other)
        assert str(found.dtype) == f"torch.{np.dtype(dtype).name}"
        expected = rotation.convert(values, form, other)
        assert expected.dtype == np.dtype(dtype)
        np.testing.assert_allclose(found.detach().numpy(), expected, atol=tolerance)
        found.sum().backward()
        assert tensor.grad.shape == tensor.shape
    mixed = rotation.compose(tensor.detach(), tensor.detach()[:1].double(), form)
    assert mixed.dtype == torch.float64


def test_extents_broadcast_and_integers_become_float64() -> None:
    one = np.array([0, 0, 1])
    many = np.zeros((4, 5, 3), np.float32)
    assert rotation.compose(one, many, "euler").shape == (4, 5, 3)
    assert rotation.compose(one, many, "euler").dtype == np.float64
    assert rotation.convert(np.zeros((0, 3)), "euler", "matrix").shape == (0, 3, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rotation.convert(np.zeros(3), "euler", "rpy"), "target: found 'rpy', wanted one"),
        (lambda: rotation.convert(np.zeros(4), "euler", "matrix"), r"euler: found shape \[4\]"),
        (lambda: rotation.convert(np.zeros((3, 4)), "matrix", "euler"), r"wanted \[..., 3, 3\]"),
        (lambda: rotation.compose(np.zeros((2, 3)), np.zeros((3, 3)), "euler"), r"shapes \[2\]"),
        (lambda: rotation.relative(np.zeros(3), np.zeros(3), "euler", "hand"), "frame: found"),
        (lambda: rotation.relative_pose(np.eye(3), np.eye(3), "matrix"), "form: found 'matrix'"),
    ],
)
def test_bad_arguments_are_named(call: Any, message: str) -> None:
    with pytest.raises(rc.Error, match=message):
        call()
