"""Texts that steps point to by their number, kept once a part."""

from __future__ import annotations

import numpy as np
import pytest

import robocache as rc

TEXTS = ["öffne die Schublade", "", "close it", "z" * 300]


def make(numbers: list[np.ndarray], texts: list[str] | None):
    def index(path, dataset):
        dataset.control_rate_hz = 10.0
        dataset.stream("subtask", kind="text", encoding="string")
        dataset.part("steps", stamp=1, read=read)

    def read(part):
        if texts is not None:
            part.strings(texts)
        part.episodes(
            num_steps=[len(n) for n in numbers],
            streams={"subtask": rc.Column(np.concatenate(numbers).astype(np.int32))},
        )

    rc.register_format("strings", probe=lambda path: False, index=index, replace=True)


def test_texts_are_found_by_number(tmp_path) -> None:
    rng = np.random.default_rng(0)
    numbers = [rng.integers(-1, len(TEXTS), n) for n in (5, 1, 40)]
    make(numbers, TEXTS)
    dataset = rc.open(tmp_path, format="strings", progress=False)
    wanted = [["" if k < 0 else TEXTS[k] for k in n] for n in numbers]
    for episode, texts in zip(dataset.episodes, wanted, strict=True):
        assert list(episode["subtask"].values) == texts
    loader = rc.DataLoader(
        dataset, batch_size=6, shuffle=True, streams={"subtask": rc.Window(range(-1, 1))}
    )
    seen = 0
    for batch in loader:
        for i in range(len(batch["task"])):
            episode, step = int(batch["episode_id"][i]), int(batch["step_index"][i])
            assert batch["subtask"][i][1] == wanted[episode][step]
            seen += 1
    assert seen == 46


@pytest.mark.parametrize("texts", [None, [], TEXTS[:2]])
def test_a_number_without_a_text_is_refused(tmp_path, texts) -> None:
    make([np.array([0, 2])], texts)
    with pytest.raises(rc.Error, match=r"'subtask'.*text, wanted one of the part's"):
        rc.open(tmp_path, format="strings", progress=False)


def test_texts_are_set_once(tmp_path) -> None:
    def index(path, dataset):
        dataset.stream("subtask", kind="text", encoding="string")
        dataset.part("steps", stamp=1, read=read)

    def read(part):
        part.strings(["a"])
        part.strings(["b"])

    rc.register_format("strings", probe=lambda path: False, index=index, replace=True)
    with pytest.raises(rc.Error, match="set already"):
        rc.open(tmp_path, format="strings", progress=False)
