"""Windows for a dataset that one does not know yet."""

from __future__ import annotations

import numpy as np
import pytest

import robocache as rc
from robocache._sheet import gather
from robocache.suggest import suggest_windows
from robocache.view import save_contact_sheet


@pytest.fixture
def turning(tmp_path):
    """A yaw that turns through pi, a counter, a still angle, and the same in degrees."""
    turn = np.linspace(2, 2 + 4 * np.pi, 60)
    yaw = (turn + np.pi) % (2 * np.pi) - np.pi
    state = np.stack([np.sin(turn), yaw, turn, np.full(60, 3.0)], 1)
    features = {
        "action": rc.Feature("float32", (4,)),
        "observation/state": rc.Feature("float32", (4,)),
        "observation/degrees": rc.Feature("float32", (4,)),
        "observation/reward": rc.Feature("float32"),
    }
    with rc.RldsWriter(tmp_path, "turning", features, control_rate_hz=10) as writer:
        for begin in (0, 30):
            part = state[begin : begin + 30]
            writer.add_episode(
                {
                    "action": part,
                    "observation/state": part,
                    "observation/degrees": np.degrees(part),
                    "observation/reward": part[:, 0],
                }
            )
    return rc.open(tmp_path / "turning", progress=False)


def test_channels_that_jump_by_more_than_pi_are_angles_t4(turning):
    windows = suggest_windows(turning)
    assert windows["observation/state"].channels == ((1, "angle"),)
    assert windows["observation/degrees"].channels is None
    assert windows["action"].mode == "hold"
    assert windows["action"].channels is None
    loader = rc.DataLoader(turning, 118, rate_hz=20, streams=windows, array="numpy")
    batch = next(iter(loader))
    yaw = batch["observation/state"][:, 0, 1]
    stored = np.concatenate([each["observation/state"].values[:, 1] for each in turning])
    between = np.abs(np.angle(np.exp(1j * (yaw[1::2] - yaw[:-1:2]))))
    assert len(stored) == 60
    assert between.max() < 0.22  # a step of the turn at most: halfway is on the shorter way


def test_windows_of_angles_are_drawn(turning, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "sheet.png"
    save_contact_sheet(turning, 0, path)
    assert path.stat().st_size > 1000


def test_nothing_jumps_in_no_episode(turning):
    assert suggest_windows(turning[0:0])["observation/state"].channels is None


def test_a_limit_leaves_angles(turning):
    sheets = [gather(turning, 0, None, 8, 16, limit) for limit in (None, 1.0)]
    for sheet in sheets:
        (state,) = (each for each in sheet.signals if each.name == "observation/state")
        assert state.mode == "linear, angle"
