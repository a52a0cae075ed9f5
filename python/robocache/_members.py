"""The datasets that a loader draws from: one, or those of a mixture, each with its own clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import _arguments, _normalize
from .dataset import Dataset
from .errors import ArgumentTypeError, InvalidArgumentError
from .mixture import Mix, check_members, of_member
from .window import Window, identity_of, native_windows, own_names


@dataclass
class Member:
    """One dataset of a loader.

    Attributes:
        name: in the mixture; None: it is the only dataset.
        dataset: the episodes.
        weight: samples in a cycle.
        windows: what _core.create_loader() wants of them.
        normal: what normalises which field.
        rate_hz: of the clock, where it is given.
        clock: streams that the clock is taken from, where they are given.
        require: streams that have to be valid.
    """

    name: str | None
    dataset: Dataset
    weight: int
    windows: list[tuple[Any, ...]]
    normal: dict[str, _normalize.Normal]
    rate_hz: float | None
    clock: list[str] | None
    require: list[str]

    @property
    def rate(self) -> float | None:
        """The rate of its clock, as far as it is known."""
        return self.rate_hz or self.dataset.control_rate_hz

    def native(self) -> tuple[Any, ...]:
        """Returns what _core.create_loader() wants."""
        return (
            self.name,
            self.dataset._selection,
            self.weight,
            self.windows,
            self.rate_hz or 0.0,
            self.clock or [],
            self.require,
        )

    def identity(self, snap_ns: int) -> tuple[Any, ...]:
        """Returns what of it decides which samples there are, and what they hold."""
        return (identity_of(self.windows), snap_ns, self.clock, self.require)


def find_members(
    source: Dataset | Mix,
    *,
    streams: Any,
    delta_timestamps: Any,
    rate_hz: Any,
    clock: Any,
    require: Any,
    on_error: str,
) -> list[Member]:
    """Returns the datasets of a loader, from its arguments of these names."""
    datasets: dict[str | None, Dataset] = {}
    weights: dict[str | None, int] = {}
    if isinstance(source, Dataset):
        datasets[None], weights[None] = source, 1
    elif isinstance(source, Mix):
        datasets.update(source.datasets)
        weights.update(source.cycle)
        if streams is None and delta_timestamps is None:
            raise InvalidArgumentError(
                "streams: None found with a mixture, wanted a dict of names to Window"
            )
    else:
        raise ArgumentTypeError(
            f"dataset: found {_arguments.found(source)}, wanted what robocache.open or "
            "robocache.mix gives"
        )
    names = [name for name in datasets if name is not None]
    rates = _shared_out("rate_hz", rate_hz, datasets)
    clocks = _shared_out("clock", clock, datasets)
    requires = _shared_out("require", require, datasets)
    members = []
    for name, dataset in datasets.items():
        windows, normal = native_windows(
            dataset, streams, delta_timestamps, on_error, member=name, names=names
        )
        rate = rates[name]
        with of_member(name):
            member = Member(
                name,
                dataset,
                weights[name],
                windows,
                normal,
                None if rate is None else _arguments.positive("rate_hz", rate),
                None if clocks[name] is None else own_names(dataset, "clock", clocks[name]),
                _required(requires[name], streams, dataset, name, names),
            )
            if member.clock == []:
                raise InvalidArgumentError("clock: no stream found, wanted one or more, or None")
        members.append(member)
    return members


def _shared_out(
    argument: str, given: Any, datasets: Mapping[str | None, Dataset]
) -> dict[str | None, Any]:
    """Returns what is given for each dataset: in a dict by their names, or the same for all."""
    if None in datasets or not isinstance(given, Mapping):
        return dict.fromkeys(datasets, given)
    check_members(argument, given, list(datasets))
    return {name: given.get(name) for name in datasets}


def _required(
    require: Any, streams: Any, dataset: Dataset, member: str | None, names: Sequence[str]
) -> list[str]:
    """Returns the streams that are required: in a mixture, those of the windows so named too."""
    if require is None:
        return []
    if member is None:
        return own_names(dataset, "require", require)
    given = [require] if isinstance(require, str) else require
    wanted: list[str] = []
    for name in _arguments.items("require", given, "a list of names"):
        windows = streams.get(name) if isinstance(streams, Mapping) else None
        if windows is None:
            wanted += own_names(dataset, "require", [name])
            continue
        for window in windows if isinstance(windows, (list, tuple)) else [windows]:
            own = window._of(name, member, names) if isinstance(window, Window) else None
            source = () if own is None else name if own.source is None else own.source
            wanted += own_names(
                dataset, "require", [source] if isinstance(source, str) else list(source)
            )
    return list(dict.fromkeys(wanted))
