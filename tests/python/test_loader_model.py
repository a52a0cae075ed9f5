"""A loader against the model of loader_model.py, which also runs by itself for longer."""

from __future__ import annotations

import pytest

from tests.python import loader_model


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return loader_model.write_dataset(tmp_path_factory.mktemp("numbered"))


@pytest.mark.parametrize("seed", range(0, 40, 10))
def test_a_loader_does_what_its_model_does(dataset, seed):
    counts = loader_model.check(dataset, seed, 1000)
    assert sum(counts.values()) == 1000
