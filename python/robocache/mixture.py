"""Several datasets in one loader, in exact proportions."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import _arguments
from .dataset import Dataset
from .errors import ArgumentTypeError, Error, InvalidArgumentError

__all__ = ["Mix", "mix"]

MAX_CYCLE = 2**16  # samples of a cycle where weights are no whole numbers
_MAX_WEIGHT = 2**40
_EXACT = 1e-12  # of a share: what is rounded in floats that are meant to be a fraction


class Mix:
    """Datasets of a mixture, made by :func:`mix`, for a :class:`DataLoader`.

    Attributes:
        datasets: by name, in the order of `dataset_index`.
        weights: as they were given, by name.
        cycle: samples of each in every cycle, by name.
        proportions: samples of each over all, by name.
        error: largest difference between a proportion and its weight over all; 0 where weights are
            whole numbers.
        epoch: "first", "last", or a number of samples.
    """

    def __init__(
        self, datasets: dict[str, Dataset], weights: dict[str, float], epoch: str | int
    ) -> None:
        self.datasets = datasets
        self.weights = weights
        self.epoch = epoch
        self.cycle = dict(zip(weights, _cycle(weights), strict=True))
        total, sum_of_weights = sum(self.cycle.values()), math.fsum(weights.values())
        self.proportions = {name: count / total for name, count in self.cycle.items()}
        exact = all(isinstance(weight, int) for weight in weights.values())
        self.error = (
            0.0
            if exact
            else max(
                abs(self.proportions[name] - weights[name] / sum_of_weights) for name in weights
            )
        )

    @property
    def names(self) -> list[str]:
        """Of the datasets, in the order of `dataset_index`."""
        return list(self.datasets)

    def _reopen(self) -> Mix:
        datasets = {name: dataset._reopen() for name, dataset in self.datasets.items()}
        return Mix(datasets, self.weights, self.epoch)

    def _fingerprint(self) -> str:
        """Returns what differs where the samples would."""
        return " ".join(
            f"{name}:{count}:{self.datasets[name]._selection.fingerprint():016x}"
            for name, count in self.cycle.items()
        )

    def __repr__(self) -> str:
        parts = [
            f"{name!r} {count} ({self.proportions[name]:.4g})" for name, count in self.cycle.items()
        ]
        error = f"; off by {self.error:.2g} at most" if self.error > _EXACT else ""
        total = sum(self.cycle.values())
        epoch = f"{self.epoch} samples" if isinstance(self.epoch, int) else self.epoch
        return f"<Mix of {', '.join(parts)} in cycles of {total}{error}; epoch: {epoch}>"


def mix(
    datasets: Mapping[str, Dataset | tuple[Dataset, float]], *, epoch: str | int = "first"
) -> Mix:
    """Returns a mixture of datasets for a :class:`DataLoader`.

    Every cycle of a mixture has as many samples of each dataset as its weight says: of weights 4
    and 1, each 5 samples in a row from the beginning on have 4 and 1. Weights that are whole
    numbers are taken as they are. Others are shares: of the cycles of at most 65,536 samples the
    shortest that has them exactly, else one of 65,536 whose counts are nearest by largest
    remainders; ``Mix.error`` and the repr say by how much that is off.

    Cycles follow each other across epochs, and each dataset gives all of its samples before it
    gives any again, then in the order of its next epoch; in the cycle in which it wraps the two
    come among each other. Shuffled, the order within each cycle is random too; without, a cycle has
    the datasets one after the other.

    Args:
        datasets: by the name that batches and windows call them: a dataset and its weight, or a
            dataset alone, of weight 1.
        epoch: how long an epoch of the mixture is: "first", as many whole cycles, at least one, as
            the dataset that runs out first has samples for; "last", until each dataset has given as
            many samples as it has; or a number of samples.

    Raises:
        InvalidArgumentError: there is no dataset, or a weight is not positive, or so small that not
            one sample of 65,536 would be of its dataset.
    """
    if not isinstance(datasets, Mapping):
        raise ArgumentTypeError(
            f"datasets: found {_arguments.found(datasets)}, wanted a dict of names to datasets and "
            "their weights"
        )
    if not datasets:
        raise InvalidArgumentError("datasets: none found, wanted one or more")
    if isinstance(epoch, str):
        _arguments.choice("epoch", epoch, ("first", "last"))
    else:
        epoch = _arguments.integer("epoch", epoch, 1, 2**62)
    members: dict[str, Dataset] = {}
    weights: dict[str, float] = {}
    for name, given in datasets.items():
        _arguments.string("datasets", name)
        if not name:
            raise InvalidArgumentError("datasets: found '', wanted a name")
        members[name], weights[name] = _member(name, given)
    return Mix(members, weights, epoch)


def check_members(argument: str, given: Mapping[Any, Any], names: Sequence[Any]) -> None:
    """Checks that the keys of a dict are names of a mixture's datasets."""
    for name in given:
        if name not in names:
            raise InvalidArgumentError(
                f"{argument}: found {_arguments.found(name)}, wanted names of the mixture's "
                f"datasets: {', '.join(map(repr, names))}"
            )


@contextlib.contextmanager
def of_member(name: str | None) -> Iterator[None]:
    """Says in errors which dataset of a mixture they are of; None: there is but one."""
    try:
        yield
    except Error as error:
        if name is not None:
            error.args = (f"dataset {name!r}: {error}",)
        raise


def _member(name: str, given: Any) -> tuple[Dataset, float]:
    pair = tuple(given) if isinstance(given, (tuple, list)) else (given, 1)
    if len(pair) != 2 or not isinstance(pair[0], Dataset):
        raise ArgumentTypeError(
            f"datasets[{name!r}]: found {_arguments.found(given)}, wanted what robocache.open "
            "gives, or that and a weight"
        )
    weight = _arguments.number(f"datasets[{name!r}]: weight", pair[1])
    if not 0 < weight <= _MAX_WEIGHT:
        raise InvalidArgumentError(
            f"datasets[{name!r}]: weight: found {weight:g}, wanted more than 0 and at most 2**40"
        )
    return pair[0], int(weight) if weight == int(weight) else weight


def _cycle(weights: Mapping[str, float]) -> list[int]:
    """Returns how many samples of each a cycle has."""
    if all(isinstance(weight, int) for weight in weights.values()):
        return [int(weight) for weight in weights.values()]
    total = math.fsum(weights.values())
    shares = [weight / total for weight in weights.values()]
    for length in range(1, MAX_CYCLE + 1):
        counts = [round(share * length) for share in shares]
        if all(
            abs(count - share * length) <= _EXACT * length
            for count, share in zip(counts, shares, strict=True)
        ):
            break
    else:
        counts = _largest_remainder(shares, MAX_CYCLE)
    for name, count in zip(weights, counts, strict=True):
        if count == 0:
            raise InvalidArgumentError(
                f"datasets[{name!r}]: weight: found {weights[name]:g} of {total:g} together, which "
                f"is not one sample of {MAX_CYCLE:,}"
            )
    return counts


def _largest_remainder(shares: list[float], length: int) -> list[int]:
    counts = [math.floor(share * length) for share in shares]
    remainders = [share * length - count for share, count in zip(shares, counts, strict=True)]
    by_remainder = sorted(range(len(shares)), key=lambda i: (-remainders[i], i))
    for i in by_remainder[: length - sum(counts)]:
        counts[i] += 1
    return counts
