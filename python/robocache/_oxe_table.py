"""Conventions of the published Open X-Embodiment datasets, as data.

What each row says is read off the standardisation that Octo (octo/data/oxe) and OpenVLA
(prismatic/vla/datasets/rlds/oxe) publish, and holds facts alone: which streams make up the action
and the state, and what is done to them.

A term is ``[operation ...] stream[slice]``, or ``zeros N`` or ``ones N``; operations are applied
from the last to the first. ``@x`` is the stream ``observation/x``. Operations:

========= ==================================================================================
clip      to 0..1
invert    1 - x
absolute  opening and closing (below -0.1, above 0.1) become a state: 1 open, 0 closed
binarize  above 0.95 open, 1, below 0.05 closed, 0; in between, what is reached next
euler     of a quaternion, scalar last
========= ==================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ALIASES", "CONVENTIONS", "Convention"]


@dataclass(frozen=True)
class Convention:
    """How one dataset is laid out.

    Attributes:
        action: terms of the action; of a hand, position, rotation and gripper (1 open, 0 closed).
        state: terms of the state; none: it has none that is used.
        images: names of streams for "primary", "secondary" and "wrist".
        control: "hand" (differences of the hand's pose), "joints" or "hand_absolute".
        state_form: form of the rotation at state[3:], see :mod:`robocache.rotation`; "joints";
            "quat" where the order of its numbers is not documented; "" for none.
        language: stream of the instruction; "" where there is none that says anything.
        source: who published it.
        is_relabelled: the first six of the action are what the state then changes by, and the last
            step, after which there is no state, is left out.
        skips_first: the first step, whose action is empty, is left out.
        note: what else is to be known.
    """

    action: tuple[str, ...]
    state: tuple[str, ...] = ()
    images: tuple[tuple[str, str], ...] = ()
    control: str = "hand"
    state_form: str = ""
    language: str = "language_instruction"
    source: str = "octo"
    is_relabelled: bool = False
    skips_first: bool = False
    note: str = ""


def _images(primary: str = "", secondary: str = "", wrist: str = "") -> tuple[tuple[str, str], ...]:
    named = (("primary", primary), ("secondary", secondary), ("wrist", wrist))
    return tuple((role, f"observation/{name}") for role, name in named if name)


_OXE = "_converted_externally_to_rlds"
_NATURAL = "observation/natural_language_instruction"
_HAND = ("action/world_vector", "action/rotation_delta")
_RELATIVE = (*_HAND, "absolute action/gripper_closedness_action")
_SPLIT_STATE = ("@state[:6]", "zeros 1", "@state[-1:]")
_INVERTED = ("action[:6]", "invert clip action[-1:]")

CONVENTIONS: dict[str, Convention] = {
    "fractal20220817_data": Convention(
        _RELATIVE,
        ("@base_pose_tool_reached", "@gripper_closed"),
        _images("image"),
        state_form="quat_xyzw",
        language=_NATURAL,
    ),
    "kuka": Convention(
        _RELATIVE,
        images=_images("image"),
        language="",
        note="its state lies in strings that are packed with zlib",
    ),
    "bridge_dataset": Convention(
        ("action[:6]", "binarize action[-1:]"),
        _SPLIT_STATE,
        _images("image_0", "image_1"),
        state_form="euler",
        is_relabelled=True,
    ),
    "bridge_orig": Convention(
        ("action[:6]", "binarize action[-1:]"),
        _SPLIT_STATE,
        _images("image_0", "image_1"),
        state_form="euler",
        source="openvla",
        is_relabelled=True,
        skips_first=True,
    ),
    "bridge_oxe": Convention(
        (*_HAND, "action/open_gripper"),
        _SPLIT_STATE,
        _images("image", "image_1"),
        state_form="euler",
        language=_NATURAL,
        source="openvla",
        is_relabelled=True,
        skips_first=True,
    ),
    "taco_play": Convention(
        ("action/rel_actions_world[:6]", "clip action/rel_actions_world[-1:]"),
        ("@robot_obs[:6]", "zeros 1", "@robot_obs[7:8]"),
        _images("rgb_static", wrist="rgb_gripper"),
        state_form="euler",
        language=_NATURAL,
    ),
    "jaco_play": Convention(
        ("action/world_vector", "zeros 3", "absolute action/gripper_closedness_action"),
        ("@end_effector_cartesian_pos[:6]", "zeros 1", "@end_effector_cartesian_pos[-1:]"),
        _images("image", wrist="image_wrist"),
        state_form="euler",
        language=_NATURAL,
    ),
    "berkeley_cable_routing": Convention(
        (*_HAND, "zeros 1"),
        ("@robot_state", "zeros 1"),
        _images("image", "top_image", "wrist45_image"),
        state_form="joints",
        language="",
    ),
    "roboturk": Convention(
        (*_HAND, "invert clip action/gripper_closedness_action"),
        images=_images("front_rgb"),
        language="",
    ),
    "nyu_door_opening_surprising_effectiveness": Convention(
        _RELATIVE, images=_images(wrist="image"), language=""
    ),
    "viola": Convention(
        (*_HAND, "invert clip action/gripper_closedness_action"),
        ("@joint_states", "@gripper_states"),
        _images("agentview_rgb", wrist="eye_in_hand_rgb"),
        state_form="joints",
        language="",
    ),
    "berkeley_autolab_ur5": Convention(
        _RELATIVE,
        ("@robot_state[6:14]",),
        _images("image", wrist="hand_image"),
        state_form="quat_xyzw",
        language=_NATURAL,
    ),
    "toto": Convention(
        (*_HAND, "action/open_gripper"),
        ("@state", "zeros 1"),
        _images("image"),
        state_form="joints",
        language="",
    ),
    "language_table": Convention(
        ("action", "zeros 4", "ones 1"),
        ("@effector_translation", "zeros 6"),
        _images("rgb"),
        language="",
        note="its instruction is stored as code points, observation/instruction",
    ),
    "columbia_cairlab_pusht_real": Convention(
        (*_HAND, "action/gripper_closedness_action"),
        ("@robot_state", "zeros 6"),
        _images("image", wrist="wrist_image"),
        language=_NATURAL,
    ),
    "stanford_kuka_multimodal_dataset" + _OXE: Convention(
        ("action[:3]", "zeros 3", "action[-1:]"),
        ("@ee_position", "@ee_orientation", "zeros 1"),
        _images("image"),
        state_form="quat",
    ),
    "nyu_rot_dataset" + _OXE: Convention(
        ("action[:7]",), _SPLIT_STATE, _images("image"), state_form="euler"
    ),
    "stanford_hydra_dataset" + _OXE: Convention(
        ("action[:6]", "invert action[-1:]"),
        ("@state[:3]", "@state[7:10]", "zeros 1", "@state[-3:-2]"),
        _images("image", wrist="wrist_image"),
        state_form="euler",
        language="",
    ),
    "austin_buds_dataset" + _OXE: Convention(
        _INVERTED,
        ("@state[:8]",),
        _images("image", wrist="wrist_image"),
        state_form="joints",
        language="",
    ),
    "nyu_franka_play_dataset" + _OXE: Convention(
        ("action[-8:-2]", "clip action[-2:-1]"),
        ("@state[-6:]", "zeros 2"),
        _images("image", "image_additional_view"),
        state_form="euler",
        language="",
    ),
    "maniskill_dataset" + _OXE: Convention(
        ("action",),
        ("@tcp_pose", "@state[7:8]"),
        _images("image", wrist="wrist_image"),
        state_form="quat",
    ),
    "furniture_bench_dataset" + _OXE: Convention(
        ("action[:3]", "euler action[3:7]", "invert clip action[-1:]"),
        ("@state[:7]", "@state[-1:]"),
        _images("image", wrist="wrist_image"),
        state_form="quat_xyzw",
    ),
    "cmu_franka_exploration_dataset" + _OXE: Convention(
        ("action[:-1]",), images=_images("highres_image")
    ),
    "ucsd_kitchen_dataset" + _OXE: Convention(
        ("action[:-1]",), ("@state[:7]", "zeros 1"), _images("image"), state_form="joints"
    ),
    "ucsd_pick_and_place_dataset" + _OXE: Convention(
        ("action[:3]", "zeros 3", "action[-1:]"),
        _SPLIT_STATE,
        _images("image"),
        state_form="euler",
    ),
    "austin_sailor_dataset" + _OXE: Convention(
        _INVERTED,
        ("@state",),
        _images("image", wrist="wrist_image"),
        state_form="quat",
        language="",
    ),
    "austin_sirius_dataset" + _OXE: Convention(
        _INVERTED,
        ("@state",),
        _images("image", wrist="wrist_image"),
        state_form="quat",
        language="",
    ),
    "bc_z": Convention(
        (
            "action/future/xyz_residual[:3]",
            "action/future/axis_angle_residual[:3]",
            "invert action/future/target_close[:1]",
        ),
        ("@present/xyz", "@present/axis_angle", "zeros 1", "@present/sensed_close"),
        _images("image"),
        state_form="axis_angle",
        language=_NATURAL,
        note="the rotations of action and state are axis and angle; Octo takes them for euler",
    ),
    "utokyo_pr2_opening_fridge" + _OXE: Convention(
        ("action[:-1]",), _SPLIT_STATE, _images("image"), state_form="euler"
    ),
    "utokyo_pr2_tabletop_manipulation" + _OXE: Convention(
        ("action[:-1]",), _SPLIT_STATE, _images("image"), state_form="euler"
    ),
    "utokyo_xarm_pick_and_place" + _OXE: Convention(
        ("action",),
        ("@end_effector_pose", "zeros 2"),
        _images("image", "image2", "hand_image"),
        state_form="euler",
    ),
    "utokyo_xarm_bimanual" + _OXE: Convention(
        ("action[-7:]",),
        ("@pose_r", "zeros 2"),
        _images("image"),
        state_form="euler",
        note="of the two arms, the right",
    ),
    "robo_net": Convention(
        ("action[:4]", "zeros 2", "action[-1:]"),
        ("@state[:4]", "zeros 3", "@state[-1:]"),
        _images("image", "image1"),
        state_form="euler",
    ),
    "berkeley_mvp" + _OXE: Convention(
        ("action",),
        ("@pose", "@gripper"),
        _images(wrist="hand_image"),
        control="joints",
        state_form="quat",
    ),
    "berkeley_rpt" + _OXE: Convention(
        ("action",),
        ("@joint_pos", "@gripper"),
        _images(wrist="hand_image"),
        control="joints",
        state_form="joints",
    ),
    "kaist_nonprehensile" + _OXE: Convention(
        ("action[:6]", "zeros 1"),
        ("@state[-7:]", "zeros 1"),
        _images("image"),
        state_form="quat",
    ),
    "tokyo_u_lsmo" + _OXE: Convention(
        ("action",), _SPLIT_STATE, _images("image"), state_form="euler"
    ),
    "dlr_sara_pour" + _OXE: Convention(
        ("action",), ("@state", "zeros 2"), _images("image"), state_form="euler"
    ),
    "dlr_sara_grid_clamp" + _OXE: Convention(
        ("action",), ("@state[:6]", "zeros 2"), _images("image"), state_form="euler"
    ),
    "dlr_edan_shared_control" + _OXE: Convention(
        ("action[:6]", "invert action[-1:]"),
        ("@state", "zeros 1"),
        _images("image"),
        state_form="euler",
    ),
    "asu_table_top" + _OXE: Convention(
        ("action",),
        ("ground_truth_states/EE", "zeros 1", "@state[-1:]"),
        _images("image"),
        state_form="euler",
    ),
    "stanford_robocook" + _OXE: Convention(
        ("action",), _SPLIT_STATE, _images("image_1", "image_2"), state_form="euler"
    ),
    "imperialcollege_sawyer_wrist_cam": Convention(
        ("action[:-1]",), ("zeros 7", "@state"), _images("image", wrist="wrist_image")
    ),
    "iamlab_cmu_pickup_insert" + _OXE: Convention(
        ("action[:3]", "euler action[3:7]", "action[7:8]"),
        ("@state[:7]", "@state[7:8]"),
        _images("image", wrist="wrist_image"),
        state_form="joints",
    ),
    "uiuc_d3field": Convention(("action", "zeros 4"), images=_images("image_1", "image_2")),
    "utaustin_mutex": Convention(
        _INVERTED,
        ("@state[:8]",),
        _images("image", wrist="wrist_image"),
        state_form="joints",
        language="",
    ),
    "berkeley_fanuc_manipulation": Convention(
        ("action", "invert @state[6:7]"),
        ("@state[:6]", "zeros 1", "@state[6:7]"),
        _images("image", wrist="wrist_image"),
        state_form="joints",
        note="the action has no gripper: it is taken from the state",
    ),
    "cmu_play_fusion": Convention(
        ("action[:3]", "action[-4:]"), ("@state",), _images("image"), state_form="joints"
    ),
    "cmu_stretch": Convention(
        ("action[:-1]",),
        ("@state[:3]", "zeros 4", "@state[-1:]"),
        _images("image"),
        state_form="euler",
    ),
    **{
        name: Convention(
            ("action", "zeros 5"),
            ("@position", "zeros 3", "@yaw", "zeros 2"),
            _images(wrist="image"),
            state_form="euler",
        )
        for name in ("berkeley_gnm_recon", "berkeley_gnm_cory_hall", "berkeley_gnm_sac_son")
    },
    "droid": Convention(
        ("action_dict/cartesian_velocity[:6]", "invert action_dict/gripper_position"),
        ("@cartesian_position", "@gripper_position"),
        _images("exterior_image_1_left", "exterior_image_2_left", "wrist_image_left"),
        state_form="euler",
        source="openvla",
    ),
    "fmb": Convention(
        ("action",),
        ("@eef_pose", "@state_gripper_pose"),
        _images("image_side_1", "image_side_2", "image_wrist_1"),
        source="openvla",
        state_form="quat",
    ),
    "libero": Convention(
        _INVERTED,
        ("@state[:6]", "@state[-2:]"),
        _images("image", wrist="wrist_image"),
        state_form="axis_angle",
        source="openvla",
        note="the rotations of action and state are axis and angle; OpenVLA takes them for euler",
    ),
}

ALIASES = {
    "bridge": "bridge_oxe",
    "droid_100": "droid",
    "fmb_dataset": "fmb",
    **{
        f"libero_{suite}{kind}": "libero"
        for suite in ("10", "90", "goal", "object", "spatial")
        for kind in ("", "_no_noops")
    },
}
"""Names under which the same data is published."""
