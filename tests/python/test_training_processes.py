"""Training in several processes, and ended from outside: FSDP, spawned processes, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import robocache as rc

FSDP = """
import json, os, sys
import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import get_model_state_dict, StateDictOptions
from torch.distributed.fsdp import fully_shard
import robocache as rc

path, out = sys.argv[1:]
dist.init_process_group("gloo")
rank = dist.get_rank()
ds = rc.open(path, progress=False)
state = rc.Window(0, source="observation/state", squeeze=True)
streams = {"state": state, "action": rc.Window(0, squeeze=True)}
loader = rc.DataLoader(ds, 32, streams=streams, shuffle=True, seed=1, num_threads=1)
torch.manual_seed(0)
policy = torch.nn.Sequential(torch.nn.Linear(7, 16), torch.nn.Tanh(), torch.nn.Linear(16, 7))
for layer in (policy[0], policy[2]):
    fully_shard(layer)
fully_shard(policy)
optimizer = torch.optim.SGD(policy.parameters(), 0.1)
rows = []
for epoch in range(2):
    for batch in loader:
        loss = (policy(batch["state"]) - batch["action"]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pairs = zip(batch["episode_id"].tolist(), batch["step_index"].tolist())
        rows += [[epoch, *pair] for pair in pairs]
whole = get_model_state_dict(policy, options=StateDictOptions(full_state_dict=True))
if rank == 0:
    torch.save({"policy": whole, "loader": loader.state_dict()}, out + "/policy.pt")
with open(f"{out}/rows-{rank}.json", "w") as file:
    json.dump({"rows": rows, "world_size": loader.world_size, "rank": loader.rank}, file)
dist.destroy_process_group()
os._exit(0)  # meshes hold the group, whose threads may ask for Python while that shuts down
"""


def environment() -> dict[str, str]:
    return {
        **{k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")},
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "OMP_NUM_THREADS": "1",
    }


def torchrun(script: Path, *arguments: str | Path, processes: int = 2) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*launcher, f"--nproc-per-node={processes}", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_fsdp(bridge_copy: Path, tmp_path: Path) -> None:
    """Two processes share a model and learn what one does from both their batches."""
    script = tmp_path / "train.py"
    script.write_text(FSDP)
    torchrun(script, bridge_copy, tmp_path)
    told = [json.loads((tmp_path / f"rows-{rank}.json").read_text()) for rank in range(2)]
    assert [(each["rank"], each["world_size"]) for each in told] == [(0, 2), (1, 2)]
    every = [tuple(row) for each in told for row in each["rows"]]
    assert len(set(every)) == len(every) == 2 * 500
    saved = torch.load(tmp_path / "policy.pt")
    assert saved["loader"]["position"] == 500

    state = rc.Window(0, source="observation/state", squeeze=True)
    streams = {"state": state, "action": rc.Window(0, squeeze=True)}
    dataset = rc.open(bridge_copy, progress=False)
    loaders = [
        rc.DataLoader(dataset, 32, streams=streams, shuffle=True, seed=1, rank=rank, world_size=2)
        for rank in range(2)
    ]
    torch.manual_seed(0)
    policy = torch.nn.Sequential(torch.nn.Linear(7, 16), torch.nn.Tanh(), torch.nn.Linear(16, 7))
    optimizer = torch.optim.SGD(policy.parameters(), 0.1)
    for _ in range(2):
        for batches in zip(*loaders, strict=True):
            losses = [(policy(b["state"]) - b["action"]).square().mean() for b in batches]
            optimizer.zero_grad()
            (sum(losses) / 2).backward()
            optimizer.step()
    for name, value in policy.state_dict().items():
        torch.testing.assert_close(saved["policy"][name], value)


EXAMPLE = Path(__file__).resolve().parents[2] / "examples/train_policy.py"

# A thread of gloo that is left when Python shuts down may abort the process.
WATCHED = """
import pathlib, runpy, sys
sys.argv = sys.argv[1:]
sys.path.insert(0, str(pathlib.Path(sys.argv[0]).parent))
kept = runpy.run_path(sys.argv[0], run_name="__main__")
threads = [path.read_text().strip() for path in pathlib.Path("/proc/self/task").glob("*/comm")]
assert "pt_gloo_runloop" not in threads, threads
"""


@pytest.mark.slow
def test_the_example_goes_on_with_another_number_of_processes(
    bridge_copy: Path, tmp_path: Path
) -> None:
    """DistributedDataParallel in two processes, then one goes on where both stood."""
    common = ["--tiny", "--device", "cpu", "--checkpoint", tmp_path / "run.pt", bridge_copy]
    watched = tmp_path / "watched.py"
    watched.write_text(WATCHED)
    torchrun(watched, EXAMPLE, "--steps", "3", *common)
    first = torch.load(tmp_path / "run.pt")
    assert (first["steps"], first["feed"]["position"]) == (3, 3 * 2 * 16)
    command = [sys.executable, EXAMPLE, "--steps", "5", "--resume", *common]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    assert re.search(r"first step after [\d.]+ s: imports [\d.]+, the dataset ", done.stdout)
    told = r"robocache-gpu: 2 steps, \d+ frames/s, .* mean loss [\d.]+ of the first 1, [\d.]+"
    assert re.search(told, done.stdout), done.stdout
    second = torch.load(tmp_path / "run.pt")
    assert (second["steps"], second["feed"]["position"]) == (5, 5 * 16 + 3 * 16)


LOOP = """
import json, signal, sys, time
import robocache as rc

signal.signal(signal.SIGINT, signal.default_int_handler)  # which jobs in the background ignore
path, out = sys.argv[1:]
loader = rc.DataLoader(rc.open(path, progress=False), 16, streams=["action"], shuffle=True, seed=3)
seen = []
try:
    while True:
        for batch in loader:
            seen.append([loader.epoch, *batch["step_index"].tolist()])
            if len(seen) == 40:
                print("going", flush=True)
                time.sleep(600)
except KeyboardInterrupt:
    state = loader.state_dict()
    with open(out, "w") as file:
        json.dump({"state": state, "seen": seen}, file)
    print("saved", flush=True)
"""


def test_ctrl_c_saves_where_it_stands(bridge_copy: Path, tmp_path: Path) -> None:
    """A loop that is interrupted in a step saves a state, from which another goes on."""
    command = [sys.executable, "-c", LOOP, bridge_copy, tmp_path / "state.json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "going\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "saved\n"
        assert process.wait() == 0
    told = json.loads((tmp_path / "state.json").read_text())
    dataset = rc.open(bridge_copy, progress=False)
    whole = rc.DataLoader(dataset, 16, streams=["action"], shuffle=True, seed=3)
    wanted = [[whole.epoch, *batch["step_index"].tolist()] for _ in range(2) for batch in whole]
    assert told["seen"] == wanted[:40]
    resumed = rc.DataLoader(dataset, 16, streams=["action"], shuffle=True, seed=3)
    resumed.load_state_dict(told["state"])
    assert [[resumed.epoch, *b["step_index"].tolist()] for b in resumed] == wanted[40:]


def _learn(loader: rc.DataLoader, queue: object) -> None:
    queue.put([batch["step_index"].tolist() for batch in loader])


def test_a_loader_goes_to_a_spawned_process(bridge: rc.Dataset) -> None:
    """It goes on there after the last batch that was delivered here."""
    loader = rc.DataLoader(bridge, 64, streams=["action"], shuffle=True, seed=5, num_threads=1)
    wanted = [batch["step_index"].tolist() for batch in loader]
    loader.set_epoch(0)
    batches = iter(loader)
    for _ in range(3):
        next(batches)
    context = torch.multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=_learn, args=(loader, queue))
    process.start()
    found = queue.get()
    process.join()
    assert process.exitcode == 0
    assert found == wanted[3:]
    assert [batch["step_index"].tolist() for batch in batches] == wanted[3:]
