"""The parsers that are Python take any input: some of what fuzz/parsers.py runs by the million."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import pytest


def load_fuzzer() -> Any:
    file = Path(__file__).parents[2] / "fuzz/parsers.py"
    spec = importlib.util.spec_from_file_location("parsers", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("target", ["zarr", "calvin_ids", "calvin_pickle", "told"])
def test_mutated_inputs_are_read_or_refused(target: str) -> None:
    fuzzer = load_fuzzer()
    with warnings.catch_warnings():
        counts = fuzzer.run(target, 2000, seed=1)
    assert sum(counts.values()) == 2000
    assert min(counts.values()) > 20  # of both kinds
