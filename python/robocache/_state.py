"""Where a loader stands, as a dict that JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from . import _arguments
from ._parameters import INT32_MAX
from ._share import Share
from .errors import ArgumentTypeError, InvalidArgumentError

MAX_EPOCH = 2**62

_VERSION = 2
_TYPES = (str, int, float, type(None))


class State(NamedTuple):
    """Samples that all ranks together have been given of an epoch, and how these were dealt out."""

    epoch: int
    position: int
    share: Share
    batch_size: int

    def write(self, identity: Mapping[str, Any]) -> dict[str, Any]:
        """Returns it with what has to be the same for a position to mean the same samples."""
        return {
            "version": _VERSION,
            "epoch": self.epoch,
            "position": self.position,
            "world_size": self.share.world_size,
            "num_workers": self.share.num_workers,
            "batch_size": self.batch_size,
            **identity,
        }


def read_state(state: Mapping[str, Any], identity: Mapping[str, Any], num_samples: int) -> State:
    """Returns what State.write() gave; at the end of an epoch, the beginning of the next.

    Args:
        state: of this version or an earlier one.
        identity: of the loader that is to go on from there.
        num_samples: in its epoch.

    Raises:
        InvalidArgumentError: the state is of other samples or of another order.
        ArgumentTypeError: it is no state.
    """
    if not isinstance(state, Mapping):
        raise ArgumentTypeError(
            f"state: found {_arguments.found(state)}, wanted what state_dict() gives"
        )
    version = _integer(state, "version", 0)
    if not 1 <= version <= _VERSION:
        raise InvalidArgumentError(f"state: version {version} found, 1 to {_VERSION} wanted")
    for key, value in identity.items():
        found = state.get(key)
        if key not in state or not isinstance(found, _TYPES) or found != value:
            raise InvalidArgumentError(
                f"state: {key} {_arguments.found(found)} found, this loader has {value!r}"
            )
    epoch = _integer(state, "epoch", 0, MAX_EPOCH)
    world_size = _integer(state, "world_size", 1, INT32_MAX)
    num_workers = _integer(state, "num_workers", 1, INT32_MAX)
    batch_size = _integer(state, "batch_size", 1, INT32_MAX)
    share = Share(world_size=world_size, num_workers=num_workers)
    position = _position(state, version, num_samples, share.num_lanes * batch_size)
    if position >= num_samples:
        epoch, position = epoch + 1, 0
    return State(epoch, position, share, batch_size)


def _position(state: Mapping[str, Any], version: int, num_samples: int, round_samples: int) -> int:
    """Returns how many samples of its epoch a state is behind.

    States of version 1 count rounds of so many samples.
    """
    if version > 1:
        return _integer(state, "position", 0, num_samples)
    num_rounds = _integer(state, "num_batches", 0)
    rounds = _integer(state, "position", 0, num_rounds)
    return num_samples if rounds >= num_rounds else min(rounds * round_samples, num_samples)


def _integer(state: Mapping[str, Any], key: str, low: int, high: int = 2**62) -> int:
    value = state.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ArgumentTypeError(f"state: {key} {_arguments.found(value)} found, wanted an integer")
    if not low <= value <= high:
        raise InvalidArgumentError(f"state: {key} {value} found, wanted {low} to {high}")
    return value
