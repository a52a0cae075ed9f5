"""The example's policy on a GPU: a captured step is a step, and a resumed run is the same run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import robocache as rc

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import train_policy
from policy import data


@pytest.fixture(scope="module")
def reaching(tmp_path_factory: pytest.TempPathFactory) -> rc.Dataset:
    return rc.open(data.write(tmp_path_factory.mktemp("reaching"), 400, 48, steps=20))


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def make(dataset: rc.Dataset, feed: str, *, captures: bool) -> train_policy.Run:
    arguments = train_policy.parse(["--tiny", "--device", "cuda", "--feed", feed])
    arguments.eager = not captures
    return train_policy.make(dataset, arguments)


def test_captured_steps_are_steps(reaching: rc.Dataset) -> None:
    wanted = make(reaching, "robocache-host", captures=False).go(30)
    found = make(reaching, "robocache-gpu", captures=True).go(30)
    torch.testing.assert_close(torch.tensor(found), torch.tensor(wanted), rtol=0.02, atol=0.0)
    assert sum(found[-5:]) < sum(found[:5])


@pytest.mark.parametrize("feed", ["robocache-gpu", "robocache-host"])
def test_a_resumed_run_is_the_same(reaching: rc.Dataset, tmp_path: Path, feed: str) -> None:
    first = make(reaching, feed, captures=True)
    first.go(31)  # within the second epoch of 25 batches
    first.save(tmp_path / "run.pt")
    wanted: list[dict[str, torch.Tensor]] = []
    losses = first.go(45, lambda step, batch, loss: wanted.append(copy(batch)))
    second = make(reaching, feed, captures=True)
    second.load(tmp_path / "run.pt")
    found: list[dict[str, torch.Tensor]] = []
    assert second.go(45, lambda step, batch, loss: found.append(copy(batch))) == losses
    for batch, other in zip(found, wanted, strict=True):
        for name, value in batch.items():
            assert torch.equal(value, other[name]), name


def copy(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in batch.items() if torch.is_tensor(value)}
