"""What tools around torch's DataLoader look for in a loader."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .loader import DataLoader


def find_imported(name: str) -> ModuleType | None:
    """Returns a module if it is imported; one that another thread is importing is waited for."""
    return importlib.import_module(name) if name in sys.modules else None


def register(kind: type) -> None:
    """Lets torch's DataLoader take loaders as iterable datasets, which are read in workers too."""
    torch_data = find_imported("torch.utils.data")
    if torch_data is not None:
        torch_data.IterableDataset.register(kind)


class BatchSampler:
    """Stands for a loader's batches before they are read.

    Tools skip batches by skipping items of a batch sampler, and have the others read by
    the loader's `collate_fn`, which is given the item. These items are empty: an item moves the
    loader to its batch. `sampler` is what tools call set_epoch() of.
    """

    def __init__(self, loader: DataLoader) -> None:
        self.sampler = loader
        self.batch_size = loader.batch_size
        self.drop_last = loader._parameters.drop_last

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[list[int]]:
        loader = self.sampler
        batches = iter(loader)
        epoch, first, _ = loader._native.tell()
        round_samples = loader._share.num_lanes * loader.batch_size
        for index in range(loader._native.batches_left()):
            loader._sampled = batches, epoch, first + index * round_samples
            yield []
