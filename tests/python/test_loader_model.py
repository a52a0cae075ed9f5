"""A loader against the model of loader_model.py, which also runs by itself for longer."""

from __future__ import annotations

import pytest

from tests.python import loader_model


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    return loader_model.write_datasets(tmp_path_factory.mktemp("numbered"))


@pytest.mark.parametrize("seed", range(0, 40, 10))
def test_a_loader_does_what_its_model_does(datasets, seed):
    counts = loader_model.check(datasets, seed, 1000)
    mixed = counts.pop("mixed")
    assert sum(counts.values()) == 1000
    assert 0 < mixed < 10  # of the runs of 100 steps
