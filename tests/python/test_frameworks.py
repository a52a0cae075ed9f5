"""Loaders in the tools that training code is written with: each is run as its users run it."""

from __future__ import annotations

import json

import pytest
import torch

import robocache as rc

EPOCHS = 4


def make(dataset, **options):
    defaults = {"streams": ["action"], "shuffle": True, "seed": 4, "num_threads": 1}
    return rc.DataLoader(dataset, 64, **{**defaults, **options})


def samples(batch):
    return list(zip(batch["episode_index"].tolist(), batch["step_index"].tolist(), strict=True))


def read(loader):
    return [samples(batch) for batch in loader]


@pytest.fixture(scope="module")
def epochs(bridge):
    """What the first epochs hold: 8 batches each."""
    loader = make(bridge)
    return [read(loader) for _ in range(EPOCHS)]


@pytest.fixture
def lightning():
    return pytest.importorskip("lightning.pytorch")


@pytest.fixture
def fit(lightning, tmp_path):
    """Trains on a loader; returns what the steps of training and of validation saw."""

    class Model(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(7, 1)
            self.trained, self.validated = [], []

        def training_step(self, batch, index):
            self.trained.append(samples(batch))
            return self.layer(batch["action"]).mean()

        def validation_step(self, batch, index):
            self.validated.append(samples(batch))

        def on_train_end(self):
            seen = {"ranks": self.trainer.world_size, "trained": self.trained}
            (tmp_path / f"rank{self.global_rank}.json").write_text(json.dumps(seen))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    def run(loader, validation=None, checkpoint=None, every=None, **options):
        save = lightning.callbacks.ModelCheckpoint(
            tmp_path, filename="{step}", save_top_k=-1, every_n_train_steps=every
        )
        defaults = {"accelerator": "cpu", "devices": 1, "logger": False, "callbacks": [save]}
        quiet = {"enable_progress_bar": False, "enable_model_summary": False}
        trainer = lightning.Trainer(default_root_dir=tmp_path, **{**defaults, **quiet, **options})
        model = Model()
        path = None if checkpoint is None else tmp_path / f"step={checkpoint}.ckpt"
        trainer.fit(model, loader, validation, ckpt_path=path)
        return model.trained, model.validated

    return run


@pytest.mark.filterwarnings("ignore")
def test_lightning_trains_an_epoch_a_time(bridge, epochs, fit):
    trained, validated = fit(make(bridge), make(bridge, shuffle=False), max_epochs=2)
    assert trained == epochs[0] + epochs[1]
    in_order = read(make(bridge, shuffle=False))
    assert validated == in_order[:2] + 2 * in_order  # two batches to see whether it works


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("step", [5, 8, 11])
def test_lightning_resumes_at_any_step(bridge, epochs, fit, step):
    fit(make(bridge), every=step, max_steps=step)
    trained, _ = fit(make(bridge), checkpoint=step, max_epochs=3)
    assert trained == [batch for epoch in epochs[:3] for batch in epoch][step:]


@pytest.mark.forks
@pytest.mark.filterwarnings("ignore")
def test_lightning_shares_an_epoch_among_ranks(bridge, fit, tmp_path):
    """The loader is made before there are ranks; Lightning starts them and their group."""
    view = bridge.take(range(29))  # 290 samples: 4 full batches and a part
    fit(make(view), max_epochs=2, devices=2, strategy="ddp_fork")
    trained = []
    for rank in range(2):
        seen = json.loads((tmp_path / f"rank{rank}.json").read_text())
        assert seen["ranks"] == 2
        reference = make(view, rank=rank, world_size=2)
        trained.append(
            [[list(pair) for pair in batch] for _ in range(2) for batch in read(reference)]
        )
        assert seen["trained"] == trained[-1]
    assert [len(batch) for batch in trained[0]] == [len(batch) for batch in trained[1]]


@pytest.fixture
def accelerate():
    return pytest.importorskip("accelerate")


def test_accelerate_prepares_a_loader(bridge, epochs, accelerate):
    accelerator = accelerate.Accelerator(cpu=True)
    model = torch.nn.Linear(7, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model, optimizer, loader = accelerator.prepare(model, optimizer, make(bridge))
    for wanted in epochs:
        seen = []
        for batch in loader:
            moved = batch.to(accelerator.device)
            accelerator.backward(model(moved["action"]).mean())
            optimizer.step()
            seen.append(samples(moved))
        assert seen == wanted


@pytest.mark.parametrize("skipped", [0, 3, 8])
def test_accelerate_skips_batches_without_reading_them(bridge, epochs, accelerate, skipped):
    loader = accelerate.Accelerator(cpu=True).prepare(make(bridge))
    rest = accelerate.skip_first_batches(loader, skipped)
    assert len(rest) == 8 - skipped
    assert read(rest) == epochs[0][skipped:]
    assert loader.stats()["batches_delivered"] == 8 - skipped
    if skipped < 8:
        assert read(loader) == epochs[1]


def test_accelerate_keeps_the_position_in_its_checkpoints(bridge, epochs, accelerate, tmp_path):
    for taken, wanted in ((3, epochs[0][3:]), (8, epochs[1])):
        accelerator = accelerate.Accelerator(cpu=True)
        loader = make(bridge)
        accelerator.register_for_checkpointing(loader)
        iterator = iter(loader)
        for _ in range(taken):
            next(iterator)
        accelerator.save_state(str(tmp_path / str(taken)))
        accelerator = accelerate.Accelerator(cpu=True)
        again = make(bridge)
        accelerator.register_for_checkpointing(again)
        accelerator.load_state(str(tmp_path / str(taken)))
        assert read(again) == wanted


@pytest.fixture
def stateful():
    return pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
@pytest.mark.parametrize("num_workers", [0, pytest.param(2, marks=pytest.mark.forks)])
@pytest.mark.parametrize("taken", [0, 1, 3])
def test_stateful_data_loader(bridge, epochs, stateful, num_workers, taken):
    def load():
        return stateful(make(bridge), batch_size=None, num_workers=num_workers)

    first = load()
    iterator = iter(first)
    seen = [samples(next(iterator)) for _ in range(taken)]
    state = first.state_dict()
    assert seen + read(iterator) == epochs[0]
    resumed = load()
    resumed.load_state_dict(state)
    assert read(resumed) == epochs[0][taken:]


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
def test_stateful_data_loader_at_the_end_of_an_epoch(bridge, epochs, stateful):
    first = stateful(make(bridge), batch_size=None)
    assert read(first) == epochs[0]
    resumed = stateful(make(bridge), batch_size=None)
    resumed.load_state_dict(first.state_dict())
    assert read(resumed) == epochs[1]
    assert read(resumed) == epochs[2]


def test_the_protocol_of_stateful_objects(bridge):
    torchdata = pytest.importorskip("torchdata.stateful_dataloader.stateful")
    assert isinstance(make(bridge), torchdata.Stateful)
