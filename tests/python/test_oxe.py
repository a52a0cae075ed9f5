"""Conventions of the Open X-Embodiment datasets, on Bridge and against values by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from robocache import oxe

RNG = np.random.default_rng(2)
RATES = Path(__file__).resolve().parents[2] / "src/formats/rlds/control_rates.c"


def test_bridge_is_as_octo_has_it(bridge: rc.Dataset) -> None:
    """Follows Octo's words: binarised from the end, relabelled with the state that was reached."""
    transform = oxe.transform("bridge_dataset")
    for episode in bridge.episodes[:20]:
        action, state = episode["action"].values, episode["observation/state"].values
        gripper = np.empty(len(action), np.float32)
        carry = action[-1, -1]
        for i in reversed(range(len(action))):
            if action[i, -1] > 0.95 or action[i, -1] < 0.05:
                carry = np.float32(action[i, -1] > 0.95)
            gripper[i] = carry
        expected = np.concatenate((state[1:, :6] - state[:-1, :6], gripper[:-1, None]), 1)
        padded = np.concatenate((state[:, :6], np.zeros((len(state), 1)), state[:, -1:]), 1)
        found = transform(episode)
        np.testing.assert_array_equal(found["action"], expected)
        np.testing.assert_array_equal(found["state"], padded[:-1].astype("f4"))
        assert found["steps"].tolist() == list(range(len(action) - 1))
        assert found["action"].dtype == np.float32
    assert transform.images["primary"] in bridge.streams
    assert transform.language in bridge.streams
    assert (transform.action_form, transform.state_form) == ("euler", "euler")
    view = bridge.steps(transform.keep)
    assert view.num_steps == bridge.num_steps - len(bridge)


def test_bridge_as_openvla_has_it(bridge: rc.Dataset) -> None:
    episode = bridge[0]
    found = oxe.transform("bridge_orig")(episode)
    assert found["steps"].tolist() == list(range(1, episode.num_steps - 1))
    np.testing.assert_array_equal(
        found["action"], oxe.transform("bridge_dataset")(episode)["action"][1:]
    )


def test_rotations_are_turned_into_the_form_asked_for(bridge: rc.Dataset) -> None:
    plain = oxe.transform("bridge_dataset")(bridge[3])
    for form, width in (("rot6d", 6), ("quat_xyzw", 4), ("axis_angle", 3)):
        transform = oxe.transform("bridge_dataset", rotation=form)
        found = transform(bridge[3])
        assert found["action"].shape[1] == 4 + width
        assert found["state"].shape[1] == 4 + width + (width == 3)
        turned = found["action"][:, 3 : 3 + width]
        back = rc.rotation.convert(turned, form, "euler")
        np.testing.assert_allclose(back, plain["action"][:, 3:6], atol=1e-6)
        np.testing.assert_array_equal(found["action"][:, -1], plain["action"][:, -1])
        np.testing.assert_array_equal(found["state"][:, -1], plain["state"][:, -1])


def test_rt1_by_hand() -> None:
    closing = np.array([[0], [0], [1], [0], [-1], [0]], np.float32)
    found = oxe.transform("fractal20220817_data")(
        {
            "action/world_vector": np.full((6, 3), 0.25, np.float32),
            "action/rotation_delta": np.full((6, 3), 0.5, np.float32),
            "action/gripper_closedness_action": closing,
            "observation/base_pose_tool_reached": np.arange(42.0).reshape(6, 7),
            "observation/gripper_closed": np.arange(6.0),
        }
    )
    # it closes at step 2, so it was open before, and opens at step 4
    assert found["action"][:, 6].tolist() == [1, 1, 0, 0, 1, 1]
    assert found["action"][0].tolist() == [0.25] * 3 + [0.5] * 3 + [1]
    assert found["state"][1].tolist() == [7, 8, 9, 10, 11, 12, 13, 1]


def test_furniture_bench_by_hand() -> None:
    half = np.sqrt(0.5)
    action = np.array([[1, 2, 3, 0, 0, half, half, -1], [0, 0, 0, half, 0, 0, half, 1]])
    state = np.arange(70.0).reshape(2, 35)
    name = "furniture_bench_dataset_converted_externally_to_rlds"
    found = oxe.transform(name)({"action": action, "observation/state": state})
    np.testing.assert_allclose(found["action"][0], [1, 2, 3, 0, 0, np.pi / 2, 1], atol=1e-6)
    np.testing.assert_allclose(found["action"][1], [0, 0, 0, np.pi / 2, 0, 0, 0], atol=1e-6)
    assert found["state"][0].tolist() == [0, 1, 2, 3, 4, 5, 6, 34]


def test_taco_play_by_hand() -> None:
    found = oxe.transform("taco_play")(
        {
            "action/rel_actions_world": np.array([[1, 2, 3, 4, 5, 6, -1], [1, 2, 3, 4, 5, 6, 1]]),
            "observation/robot_obs": np.arange(30.0).reshape(2, 15),
        }
    )
    assert found["action"].tolist() == [[1, 2, 3, 4, 5, 6, 0], [1, 2, 3, 4, 5, 6, 1]]
    assert found["state"][1].tolist() == [15, 16, 17, 18, 19, 20, 0, 22]


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ([], []),
        ([1, 1, 0, 0], [1, 1, 0, 0]),
        ([1, 0.6, 0.3, 0, 0.5, 1], [1, 0, 0, 0, 1, 1]),
        ([0, 0.5, 0.7], [0, 0.7, 0.7]),
    ],
)
def test_grippers_are_binarised(actions: Any, expected: Any) -> None:
    np.testing.assert_array_equal(oxe.binarize_gripper(actions), np.array(expected, "f4"))


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ([], []),
        ([0, 0], [1, 1]),
        ([1, 0, 0], [0, 0, 0]),
        ([0, 0, 1, 0, -1], [1, 1, 0, 0, 1]),
        ([0.05, -0.5, 0], [0, 1, 1]),
    ],
)
def test_grippers_become_absolute(actions: Any, expected: Any) -> None:
    np.testing.assert_array_equal(oxe.absolute_gripper(actions), np.array(expected, "f4"))


def test_every_dataset_with_a_known_rate_has_conventions() -> None:
    suffix = "_converted_externally_to_rlds"
    text = RATES.read_text()
    rates = re.findall(r'^    \{"(\w+)"( CONVERTED)?, [\d.]+\},$', text, re.MULTILINE)
    assert len(rates) > 50
    assert {name + (suffix if more else "") for name, more in rates} <= set(oxe.names())


@pytest.mark.parametrize("name", oxe.names())
def test_every_convention_can_be_followed(name: str) -> None:
    """On streams of seven channels or as many as the terms take."""
    transform = oxe.transform(name)
    samples = {stream: RNG.random((5, 40)) for stream in transform.streams}
    found = transform(samples)
    assert len(found["action"]) == len(found["steps"]) == len(transform.steps(5))
    assert np.isfinite(found["action"]).all()
    assert ("state" in found) == bool(transform.state)
    assert transform.convention.source in ("octo", "openvla")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: oxe.transform("mine"), "oxe: found 'mine', wanted one of asu_table_top"),
        (lambda: oxe.transform("droid", "rpy"), "rotation: found 'rpy'"),
        (
            lambda: oxe.transform("berkeley_rpt_converted_externally_to_rlds", "rot6d"),
            "rotation 'rot6d' found, but the action of .* is of joints",
        ),
        (lambda: oxe.transform("toto")({}), "toto: found no stream 'action/world_vector', wanted"),
        (
            lambda: oxe.transform("dlr_sara_pour_converted_externally_to_rlds")(
                {"action": np.zeros((3, 7)), "observation/state": np.zeros((4, 6))}
            ),
            "found streams of lengths",
        ),
    ],
)
def test_bad_arguments_are_named(call: Any, message: str) -> None:
    with pytest.raises(rc.Error, match=message):
        call()
