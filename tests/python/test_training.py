"""The page on training: its scripts run as its readers run them, and its habits hold."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch

import robocache as rc

PAGE = Path(__file__).resolve().parents[2] / "docs/training.md"


def blocks():
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def here(bridge_path, tmp_path, monkeypatch):
    shutil.copytree(bridge_path, tmp_path / "bridge_dataset" / "1.0.0")
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def threads():
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]


def learn(weights, batch):
    gradients = torch.autograd.grad(loss_of(weights, batch), weights)
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.sub_(0.01 * gradient)


def loss_of(weights, batch):
    matrix, offset = weights
    error = (batch["state"][:, 0] @ matrix.T + offset).view(-1, 4, 7) - batch["actions"]
    is_real = ~batch["actions_is_pad"]
    return (error.square().mean(2) * is_real).sum() / is_real.sum()


def load():
    streams = {
        "observation/state": rc.Window(0, name="state"),
        "action": rc.Window(range(4), name="actions"),
    }
    options = {"rate_hz": 5, "shuffle": True, "seed": 1, "streams": streams}
    return rc.DataLoader(rc.open("bridge_dataset/1.0.0"), 32, **options)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_page_on_training_runs(here, monkeypatch):
    """Its script learns in two runs, the second within an epoch, what its steps come to by hand."""
    for module in ("lightning", "accelerate", "torchdata"):
        pytest.importorskip(module)
    environment = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    script, *others = (compile(block, str(PAGE), "exec") for block in blocks())
    monkeypatch.setenv("STEPS", "10")
    names = {}
    exec(script, names)
    assert "pt_gloo_runloop" not in threads(), "gloo may abort the process"
    state = torch.load("checkpoint.pt")["loader"]
    assert (state["epoch"], state["position"]) == (0, 320)
    names = {}
    monkeypatch.setenv("STEPS", "7")
    exec(script, names)
    found = torch.load("checkpoint.pt")
    assert (found["loader"]["epoch"], found["loader"]["position"]) == (1, 32)

    torch.manual_seed(0)
    layer = torch.nn.Linear(7, 4 * 7)
    loader = load()
    batches = [*loader, next(iter(loader))]
    assert len(batches) == 17
    for batch in batches:
        learn([layer.weight, layer.bias], batch)
    torch.testing.assert_close(found["policy"]["weight"], layer.weight.detach())
    torch.testing.assert_close(found["policy"]["bias"], layer.bias.detach())

    for block in others:
        exec(block, names)
    assert Path("policy.ckpt").exists()
    assert Path("accelerate").is_dir()
    assert names["state"]


@pytest.mark.parametrize(("num_data", "num_model"), [(2, 2), (1, 4), (4, 1)])
def test_processes_that_work_on_the_same_rows_get_the_same(bridge, num_data, num_model):
    """A mesh of data and model: ranks of loaders are those along "data"."""
    mesh = torch.arange(num_data * num_model).view(num_data, num_model)
    seen = {}
    for process in range(num_data * num_model):
        rank = int((mesh == process).nonzero()[0, 0])
        loader = rc.DataLoader(
            bridge, 32, streams=["action"], shuffle=True, rank=rank, world_size=num_data
        )
        rows = [
            row
            for batch in loader
            for row in zip(
                batch["episode_index"].tolist(), batch["step_index"].tolist(), strict=True
            )
        ]
        assert seen.setdefault(rank, rows) == rows
    every = [row for rows in seen.values() for row in rows]
    assert len(set(every)) == len(every) > 500 - num_data


def test_an_exception_in_the_step_loses_no_batch(bridge):
    loader = rc.DataLoader(bridge, 64, streams=["action"], shuffle=True, seed=2)
    wanted = [batch["step_index"].tolist() for batch in loader]
    loader.set_epoch(0)
    seen = []
    iterator = iter(loader)

    def train():
        for batch in iterator:
            seen.append(batch["step_index"].tolist())
            if len(seen) == 3:
                raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        train()
    state = loader.state_dict()
    assert seen + [batch["step_index"].tolist() for batch in iterator] == wanted
    loader.load_state_dict(state)
    assert seen + [batch["step_index"].tolist() for batch in loader] == wanted


def test_a_break_begins_the_next_epoch_and_a_state_goes_on(bridge):
    def steps(batches):
        return [batch["step_index"].tolist() for batch in batches]

    loader = rc.DataLoader(bridge, 64, streams=["action"], shuffle=True, seed=2)
    first, second = steps(loader), steps(loader)
    assert first != second
    loader.set_epoch(0)
    for _ in loader:
        break
    state = loader.state_dict()
    assert steps(loader) == second
    loader.load_state_dict(state)
    assert steps(loader) == first[1:]
    for _ in range(2):
        loader.set_epoch(0)
        assert steps(loader) == first


def test_an_older_iterator_says_that_it_is(bridge):
    loader = rc.DataLoader(bridge, 64, streams=["action"])
    older = iter(loader)
    next(older)
    next(iter(loader))
    with pytest.raises(rc.Error, match="another epoch"):
        next(older)
