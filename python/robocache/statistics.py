"""What the values of streams are like: :meth:`robocache.Dataset.statistics`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from . import _arguments, _core
from ._cached import cached_property
from ._progress import StatisticsBar, reporting
from .errors import ArgumentTypeError, InvalidArgumentError, IoError, NotFoundError

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

__all__ = ["KINDS", "Statistics", "StatisticsTable", "merge"]

KINDS = ("mean_std", "min_max", "q01_q99")
"""Ways of normalising: to mean 0 and standard deviation 1, or from these bounds to -1 and 1."""

_QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}


class Statistics:
    """Statistics of one stream over the episodes and steps of a dataset or view.

    Arrays are NumPy's, float64, or int64 for numbers of values, of :attr:`shape`: one value a
    channel. They are of the finite values of a channel; where it has none they are NaN. ``std`` is
    that of the population, as ``numpy.std`` has it. ``q01`` to ``q99`` are quantiles as
    ``numpy.quantile`` has them; exact, or off by :attr:`rank_error` of the ranks at most.
    """

    def __init__(self, native: _core.Statistics) -> None:
        self._native = native
        info = native.info()
        self.stream: str = info["stream"]
        """Its name."""
        self.dtype: str = info["dtype"]
        """Of its values, "float32"."""
        self.shape: tuple[int, ...] = info["shape"]
        """Of the channels: that of a sample. Where a sample has more than 4,096 elements, and for
        images, there is a channel a place along its last axis, over all of the others."""
        self.num_samples: int = info["num_samples"]
        """Samples that were looked at; of images, those that were decoded."""
        self.num_episodes: int = info["num_episodes"]
        self.num_skipped: int = info["num_skipped"]
        """Episodes, or images, left out in whole or part for damage (on_error="skip")."""
        self.problem: str | None = info["problem"] or None
        """The first of these, as an error message."""
        self.is_image: bool = info["is_image"]
        self.has_quantiles: bool = info["has_quantiles"]
        """False where there are more than 128 channels: quantiles are NaN."""
        self.rank_error: float = info["rank_error"]
        """Of quantiles at most, as a share of all values; 0 where they are exact."""

    @cached_property
    def _channels(self) -> tuple[bytes, bytes]:
        return self._native.channels()

    def _count(self, row: int) -> NDArray[numpy.int64]:
        import numpy

        counts: NDArray[numpy.int64] = numpy.frombuffer(self._channels[0], numpy.int64)
        found: NDArray[numpy.int64] = counts.reshape(4, -1)[row].reshape(self.shape)
        return found

    def _value(self, row: int) -> NDArray[numpy.float64]:
        import numpy

        values: NDArray[numpy.float64] = numpy.frombuffer(self._channels[1], numpy.float64)
        found: NDArray[numpy.float64] = values.reshape(4, -1)[row].reshape(self.shape)
        return found

    @property
    def count(self) -> NDArray[numpy.int64]:
        """Finite values of each channel."""
        return self._count(0)

    @property
    def num_nan(self) -> NDArray[numpy.int64]:
        """Values that are NaN; they are in none of the others."""
        return self._count(1)

    @property
    def num_positive_infinite(self) -> NDArray[numpy.int64]:
        """Values that are infinite, likewise."""
        return self._count(2)

    @property
    def num_negative_infinite(self) -> NDArray[numpy.int64]:
        """Values that are infinite and negative, likewise."""
        return self._count(3)

    @property
    def mean(self) -> NDArray[numpy.float64]:
        """Mean of each channel."""
        return self._value(0)

    @property
    def std(self) -> NDArray[numpy.float64]:
        """Standard deviation of each channel; exactly 0 where it is constant."""
        return self._value(1)

    @property
    def min(self) -> NDArray[numpy.float64]:
        """Lowest value of each channel."""
        return self._value(2)

    @property
    def max(self) -> NDArray[numpy.float64]:
        """Highest value of each channel."""
        return self._value(3)

    def quantile(self, share: float) -> NDArray[numpy.float64]:
        """Returns the value below which a share of the values lies, of each channel.

        Raises:
            InvalidArgumentError: the share is not from 0 to 1.
        """
        import numpy

        found = self._native.quantile(_arguments.number("share", share))
        return numpy.frombuffer(found, numpy.float64).reshape(self.shape)

    @property
    def q01(self) -> NDArray[numpy.float64]:
        """The first percentile."""
        return self.quantile(0.01)

    @property
    def q10(self) -> NDArray[numpy.float64]:
        """The tenth percentile."""
        return self.quantile(0.10)

    @property
    def q50(self) -> NDArray[numpy.float64]:
        """The median."""
        return self.quantile(0.50)

    @property
    def q90(self) -> NDArray[numpy.float64]:
        """The ninetieth percentile."""
        return self.quantile(0.90)

    @property
    def q99(self) -> NDArray[numpy.float64]:
        """The ninety-ninth percentile."""
        return self.quantile(0.99)

    @property
    def constant(self) -> NDArray[numpy.bool_]:
        """Channels that have a value, and one only."""
        import numpy

        return numpy.asarray((self.count > 0) & (self.min == self.max))

    @property
    def constant_channels(self) -> list[tuple[int, ...]]:
        """Where those are, as indices into :attr:`shape`."""
        import numpy

        return [tuple(map(int, index)) for index in numpy.argwhere(self.constant)]

    def bounds(self, kind: str) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64]]:
        """Returns what a kind of normalising maps to -1 and to 1, of each channel."""
        kind = _arguments.choice("normalize", kind, KINDS)
        if kind == "mean_std":
            return self.mean - self.std, self.mean + self.std
        if kind == "min_max":
            return self.min, self.max
        if not self.has_quantiles:
            raise InvalidArgumentError(
                f"stream {self.stream!r}: normalize 'q01_q99' found, but samples of shape "
                f"{self.shape} have no quantiles; wanted 'mean_std' or 'min_max'"
            )
        return self.q01, self.q99

    def scale_offset(self, kind: str) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64]]:
        """Returns what normalises values: ``value * scale + offset``.

        "mean_std" gives mean 0 and standard deviation 1; "min_max" and "q01_q99" map these bounds
        to -1 and 1, and what is beyond them beyond those. Where both bounds are the same, as in a
        constant channel, scale is 1 and the value itself becomes 0. A channel without a finite
        value stays as it is. ``(value - offset) / scale`` is the way back.

        Args:
            kind: "mean_std", "min_max" or "q01_q99".
        """
        if kind == "mean_std":
            return scale_offset(kind, self.mean, self.std)
        return scale_offset(kind, *self.bounds(kind))

    def normalize(self, values: Any, kind: str = "mean_std") -> Any:
        """Returns values normalised, see :meth:`scale_offset`: [..., *shape] of NumPy or torch."""
        scale, offset = self._like(values, kind)
        return values * scale + offset

    def denormalize(self, values: Any, kind: str = "mean_std") -> Any:
        """Returns what :meth:`normalize` made of values."""
        scale, offset = self._like(values, kind)
        return (values - offset) / scale

    def _like(self, values: Any, kind: str) -> tuple[Any, Any]:
        shape = tuple(getattr(values, "shape", self.shape))
        if shape[len(shape) - len(self.shape) :] != self.shape:
            wanted = ", ".join(map(str, ("...", *self.shape)))
            raise InvalidArgumentError(f"values: found shape {list(shape)}, wanted [{wanted}]")
        scale, offset = self.scale_offset(kind)
        return _like(values, scale), _like(values, offset)

    def as_dict(self) -> dict[str, Any]:
        """Returns all of it as lists and numbers that JSON can hold; None stands for NaN."""
        arrays = {
            name: _listed(getattr(self, name))
            for name in ("count", "num_nan", "num_positive_infinite", "num_negative_infinite")
        }
        arrays |= {name: _listed(getattr(self, name)) for name in ("mean", "std", "min", "max")}
        arrays |= {name: _listed(self.quantile(share)) for name, share in _QUANTILES.items()}
        return {
            "stream": self.stream,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "num_samples": self.num_samples,
            "num_episodes": self.num_episodes,
            "num_skipped": self.num_skipped,
            "rank_error": self.rank_error if self.has_quantiles else None,
            "constant_channels": [list(index) for index in self.constant_channels],
            **arrays,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return _load, (self._native.save(),)

    def __repr__(self) -> str:
        return (
            f"<Statistics of {self.stream!r}: {self.num_samples} samples, {self.dtype} "
            f"{list(self.shape)}>"
        )


class StatisticsTable(dict[str, Statistics]):
    """Statistics by the names of streams."""

    def __init__(
        self, items: Iterable[tuple[str, Statistics]], dataset: str, num_steps: int, episodes: int
    ) -> None:
        super().__init__(items)
        self.dataset = dataset
        """Name of the dataset."""
        self.num_steps = num_steps
        """Steps that the statistics are over."""
        self.num_episodes = episodes
        """Episodes that they are over."""

    def __missing__(self, name: str) -> Statistics:
        raise NotFoundError(f"statistics of {name!r}: not asked for; there are {', '.join(self)}")

    def __reduce__(self) -> tuple[Any, ...]:
        return StatisticsTable, (
            list(self.items()),
            self.dataset,
            self.num_steps,
            self.num_episodes,
        )

    def as_dict(self) -> dict[str, Any]:
        """Returns :meth:`Statistics.as_dict` of each."""
        return {name: found.as_dict() for name, found in self.items()}

    def to_lerobot(self, path: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """Returns them as LeRobot's ``meta/stats.json`` has them, and writes that file.

        Images have shape [C, 1, 1] and values from 0 to 1. Their quantiles, and those of numbers,
        are of all values together; LeRobot's own are means of each episode's.

        Args:
            path: of a file to write; None: none.
        """
        return _write(path, {name: _for_lerobot(found) for name, found in self.items()})

    def to_openvla(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        action: str = "action",
        proprio: str | None = None,
        mask: Sequence[bool] | None = None,
        name: str | None = None,
    ) -> dict[str, Any]:
        """Returns them as OpenVLA's ``dataset_statistics.json`` has them, and writes that file.

        Args:
            path: of a file to write; None: none.
            action: stream of the actions.
            proprio: stream of the state; None: zeros of the action's width, as OpenVLA writes them
                where it has none.
            mask: channels of the action that are normalised; by default all but the last, the
                gripper.
            name: of the dataset in the file; by default its own.
        """
        actions = self[action]
        if mask is None:
            mask = [True] * (actions.count.size - 1) + [False]
        if len(mask) != actions.count.size:
            raise InvalidArgumentError(
                f"mask: {len(mask)} channels found, wanted {actions.count.size}, those of "
                f"{action!r}"
            )
        zeros = dict.fromkeys(("mean", "std", "max", "min", "q01", "q99"), [0.0] * len(mask))
        return _write(
            path,
            {
                name or self.dataset: {
                    "action": {**_for_openvla(actions), "mask": [bool(each) for each in mask]},
                    "proprio": zeros if proprio is None else _for_openvla(self[proprio]),
                    "num_transitions": self.num_steps,
                    "num_trajectories": self.num_episodes,
                }
            },
        )


def scale_offset(
    kind: str, low: NDArray[numpy.float64], high: NDArray[numpy.float64]
) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64]]:
    """Returns what normalises values, see :meth:`Statistics.scale_offset`.

    Args:
        kind: "mean_std", "min_max" or "q01_q99".
        low: mean, lowest values or first percentiles; NaN where a channel has no value.
        high: standard deviations, highest values or ninety-ninth percentiles.
    """
    import numpy

    middle = (low + high) / 2 if kind != "mean_std" else low
    half = (high - low) / 2 if kind != "mean_std" else high
    known = ~numpy.isnan(middle)
    scale = 1 / numpy.where(known & (half > 0), half, 1.0)
    return scale, numpy.where(known, -numpy.nan_to_num(middle) * scale, 0.0)


def merge(parts: Iterable[Statistics]) -> Statistics:
    """Returns the statistics of all that several are of together: splits, views, datasets.

    What is in two of them counts twice. Rank errors add up in proportion, and 3e-5 more where there
    are more different values than are kept, 16,384: so merge all at once, not one after the other.

    Raises:
        InvalidArgumentError: they are not all of one dtype and shape, or there are none.
    """
    given = list(_arguments.items("merge", parts, "Statistics"))
    for part in given:
        if not isinstance(part, Statistics):
            raise ArgumentTypeError(f"merge: found {_arguments.found(part)}, wanted Statistics")
    return Statistics(_core.merge_statistics([part._native for part in given]))


def compute(
    selection: _core.Selection,
    names: Sequence[str],
    *,
    images: int,
    num_threads: int,
    on_error: str,
    keep: bool,
    progress: bool | Callable[[int, int, int, int], object] | None,
    title: str,
) -> list[Statistics]:
    """Computes, or finds, the statistics of streams over a selection."""
    with reporting(progress, StatisticsBar, title) as told:
        found = selection.statistics(
            list(names),
            _arguments.integer("images", images, 0),
            _arguments.integer("num_threads", num_threads, 0, 1024),
            _arguments.choice("on_error", on_error, ("raise", "skip")) == "skip",
            _arguments.flag("keep", keep),
            told,
        )
    return [Statistics(native) for native in found]


def _load(data: bytes) -> Statistics:
    return Statistics(_core.load_statistics(data))


def _like(values: Any, numbers: NDArray[numpy.float64]) -> Any:
    """Returns numbers as what they are to be calculated with, in the dtype of float values."""
    if hasattr(values, "new_tensor"):
        dtype = values.dtype if values.dtype.is_floating_point else None
        return values.new_tensor(numbers.tolist(), dtype=dtype)
    dtype = getattr(values, "dtype", None)
    return numbers.astype(dtype) if getattr(dtype, "kind", "") == "f" else numbers


def _listed(values: Any) -> Any:
    import numpy

    if values.dtype.kind == "i":
        return values.tolist()
    return numpy.where(numpy.isnan(values), numpy.array(None), values).tolist()


def _for_lerobot(found: Statistics) -> dict[str, Any]:
    import numpy

    arrays = {
        "min": found.min,
        "max": found.max,
        "mean": found.mean,
        "std": found.std,
        **{name: found.quantile(share) for name, share in _QUANTILES.items()},
    }
    is_image = found.is_image
    top = float(numpy.iinfo(found.dtype).max) if is_image else 1.0
    shape = (-1, 1, 1) if is_image else (found.shape or (1,))
    listed = {name: (each / top).reshape(shape).tolist() for name, each in arrays.items()}
    return {**listed, "count": [found.num_samples]}


def _for_openvla(found: Statistics) -> dict[str, Any]:
    names = ("mean", "std", "max", "min", "q01", "q99")
    return {name: getattr(found, name).ravel().tolist() for name in names}


def _write(path: str | os.PathLike[str] | None, value: dict[str, Any]) -> dict[str, Any]:
    if path is not None:
        name = _arguments.path("path", path)
        try:
            with open(name, "w", encoding="utf-8") as file:
                json.dump(value, file, indent=4)
        except OSError as error:
            raise IoError(f"path: {name}: {error.strerror}") from error
    return value
