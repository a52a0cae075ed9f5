"""The conventions of the published Open X-Embodiment datasets: :func:`transform`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _arguments, rotation
from ._oxe_table import ALIASES, CONVENTIONS, Convention
from .errors import InvalidArgumentError, NotFoundError, UnsupportedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .episode import Episode

__all__ = [
    "CONVENTIONS",
    "Convention",
    "Term",
    "Transform",
    "absolute_gripper",
    "binarize_gripper",
    "names",
    "transform",
]

_TERM = re.compile(r"(?P<operations>(?:\w+ )*)(?P<stream>[^\s\[\]]+)(?:\[(?P<slice>[-\d:]+)\])?")
_OPERATIONS = ("clip", "invert", "absolute", "binarize", "euler")


@dataclass(frozen=True)
class Term:
    """Some channels of an action or state.

    Attributes:
        stream: that they are taken from; "" for a constant.
        start: first channel of the stream; None: 0.
        stop: channel that is not taken any more; None: the end.
        operations: what is done to them, in this order.
        fill: of a constant.
        width: of a constant.
    """

    stream: str
    start: int | None = None
    stop: int | None = None
    operations: tuple[str, ...] = ()
    fill: float = 0.0
    width: int = 0


def names() -> list[str]:
    """Returns the names of the datasets whose conventions are known."""
    return sorted({*CONVENTIONS, *ALIASES})


def transform(name: str, rotation: str | None = None) -> Transform:
    """Returns how a dataset's episodes become action and state as Octo and OpenVLA have them.

    Args:
        name: of the dataset, "bridge_dataset"; :func:`names` lists them.
        rotation: form that the rotations of action and state are turned into, see
            :mod:`robocache.rotation`; None: they stay as they are published, mostly "euler".

    Raises:
        NotFoundError: nothing is known of a dataset of that name.
        UnsupportedError: its action has no rotation, such as one of joints.
    """
    name = _arguments.string("name", name)
    convention = CONVENTIONS.get(ALIASES.get(name, name))
    if convention is None:
        raise NotFoundError(f"oxe: found {name!r}, wanted one of {', '.join(names())}")
    return Transform(name, convention, rotation)


class Transform:
    """What makes action and state of the streams of a dataset.

    Called with a mapping from streams to their samples in order, such as an
    :class:`robocache.Episode` or a dict of arrays [T, n], it returns a dict of NumPy arrays:
    "action" [T', n] float32, "state" [T', m] float32 where there is one, and "steps" int64 [T'],
    which steps they are of. A hand's action is its motion (3), rotation (3, or as asked) and
    gripper (1): 1 is open, 0 closed.
    """

    def __init__(self, name: str, convention: Convention, form: str | None) -> None:
        self.name = name
        self.convention = convention
        self.action = tuple(map(_parse, convention.action))
        """Terms of the action."""
        self.state = tuple(map(_parse, convention.state))
        """Terms of the state; none where there is none."""
        self.images = dict(convention.images)
        """Streams of the cameras "primary", "secondary" and "wrist", those that there are."""
        self.language = convention.language or None
        """Stream of the instruction; None where there is none that says anything."""
        self.action_form: str | None = None
        """Form of the rotation in the action; None for actions of joints."""
        self.state_form: str | None = None
        """Form of the rotation in the state; None where it has none, or none that is known."""
        stored = "axis_angle" if convention.state_form == "axis_angle" else "euler"
        self._stored_form = None if convention.control == "joints" else stored
        self._form = (
            None
            if form is None
            else _arguments.choice(
                "rotation", form, tuple(each for each in rotation.FORMS if each != "matrix")
            )
        )
        if self._form is not None and self._stored_form is None:
            raise UnsupportedError(
                f"oxe: rotation {form!r} found, but the action of {name!r} is of "
                f"{convention.control}"
            )
        self.action_form = self._form or self._stored_form
        if convention.state_form in rotation.FORMS:
            self.state_form = self._form or convention.state_form

    @property
    def streams(self) -> list[str]:
        """Streams of numbers that it takes."""
        return list(dict.fromkeys(t.stream for t in (*self.action, *self.state) if t.stream))

    def steps(self, num_steps: int) -> range:
        """Returns the steps of an episode that have an action."""
        first = 1 if self.convention.skips_first else 0
        end = num_steps - (1 if self.convention.is_relabelled else 0)
        return range(first, max(end, first))

    def keep(self, episode: Episode) -> NDArray[Any]:
        """Returns bool [num_steps]: :meth:`steps` for :meth:`robocache.Dataset.steps`."""
        import numpy

        mask = numpy.zeros(episode.num_steps, bool)
        mask[list(self.steps(episode.num_steps))] = True
        return mask

    def __call__(self, samples: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Returns action, state and steps of an episode."""
        import numpy

        taken = {name: self._samples(samples, name) for name in self.streams}
        lengths = {name: len(values) for name, values in taken.items()}
        if len(set(lengths.values())) > 1:
            raise InvalidArgumentError(f"oxe: {self.name}: found streams of lengths {lengths}")
        length = next(iter(lengths.values()))
        steps = self.steps(length)
        first = steps.start if len(steps) or steps.start <= length else length
        kept = {name: values[first:] for name, values in taken.items()}
        action = self._joined(self.action, kept, length - first)
        if self.convention.is_relabelled:
            reached = kept["observation/state"][:, :6].astype("f4", copy=False)
            moved = reached[1:] - reached[:-1]
            action = numpy.concatenate((moved, action[:-1, 6:]), 1)
        found = {
            "action": self._turned(action[: len(steps)], self._stored_form),
            "steps": numpy.arange(steps.start, steps.stop),
        }
        if self.state:
            state = self._joined(self.state, kept, length - first)[: len(steps)]
            known = self.convention.state_form if self.state_form else None
            found["state"] = self._turned(state, known)
        return found

    def __repr__(self) -> str:
        return f"<Transform of {self.name!r}: action of {', '.join(self.convention.action)}>"

    def _samples(self, samples: Mapping[str, Any], name: str) -> NDArray[Any]:
        import numpy

        if name not in samples:
            raise NotFoundError(
                f"oxe: {self.name}: found no stream {name!r}, wanted {', '.join(self.streams)}"
            )
        values = samples[name]
        values = numpy.asarray(values.values if hasattr(values, "times_ns") else values)
        return values[:, None] if values.ndim == 1 else values.reshape(len(values), -1)

    def _joined(
        self, terms: Iterable[Term], taken: Mapping[str, NDArray[Any]], length: int
    ) -> NDArray[Any]:
        import numpy

        return numpy.concatenate([_evaluate(term, taken, length) for term in terms], 1)

    def _turned(self, values: NDArray[Any], stored: str | None) -> NDArray[Any]:
        """Returns rows with their rotation, which begins at channel 3, in the form asked for."""
        import numpy

        if self._form is None or stored is None or self._form == stored:
            return values
        end = 3 + rotation.FORMS[stored]
        turned = rotation.convert(values[:, 3:end], stored, self._form)
        rest = values[:, end:]
        if stored == "euler" and rest.shape[1] == 2 and turned.shape[1] > 3:
            rest = rest[:, 1:]  # what fills euler up to the width of a quaternion
        return numpy.concatenate((values[:, :3], turned, rest), 1)


def _parse(text: str) -> Term:
    words = text.split()
    if words[0] in ("zeros", "ones"):
        return Term("", fill=float(words[0] == "ones"), width=int(words[1]))
    match = _TERM.fullmatch(text)
    if match is None:
        raise InvalidArgumentError(f"oxe: term {text!r}: wanted operations, a stream and a slice")
    operations = tuple(reversed(match["operations"].split()))
    for each in operations:
        _arguments.choice(f"oxe: term {text!r}", each, _OPERATIONS)
    stream = re.sub(r"^@", "observation/", match["stream"])
    start, stop = None, None
    if match["slice"] is not None:
        start, stop = (int(each) if each else None for each in match["slice"].split(":"))
    return Term(stream, start, stop, operations)


def _evaluate(term: Term, taken: Mapping[str, NDArray[Any]], length: int) -> NDArray[Any]:
    import numpy

    if not term.stream:
        return numpy.full((length, term.width), term.fill, "f4")
    values = taken[term.stream][:, term.start : term.stop].astype("f4")
    for operation in term.operations:
        if operation == "clip":
            values = values.clip(0, 1)
        elif operation == "invert":
            values = 1 - values
        elif operation == "absolute":
            values = absolute_gripper(values[:, 0])[:, None]
        elif operation == "binarize":
            values = binarize_gripper(values[:, 0])[:, None]
        else:
            values = rotation.convert(values, "quat_xyzw", "euler")
    return values


def binarize_gripper(actions: Any, low: float = 0.05, high: float = 0.95) -> NDArray[Any]:
    """Returns 1 (open) where actions [T] are above `high`, 0 (closed) where they are below `low`.

    In between it is what is reached next; at the end, where nothing is, the last action itself.
    """
    import numpy

    actions = numpy.asarray(actions, "f4")
    decided = (actions > high) | (actions < low)
    positions = numpy.where(decided, numpy.arange(len(actions)), len(actions))
    following = numpy.minimum.accumulate(positions[::-1])[::-1]
    states = numpy.append((actions > high).astype("f4"), actions[-1:])
    return states[following] if len(actions) else actions


def absolute_gripper(actions: Any, threshold: float = 0.1) -> NDArray[Any]:
    """Returns what state the gripper is in, 1 (open) or 0 (closed), after each of actions [T].

    Actions below -`threshold` open it, those above `threshold` close it, all others leave it.
    Before the first that does either it is in the other state; where none does, open.
    """
    import numpy

    actions = numpy.asarray(actions, "f4")
    turns = numpy.where(actions < -threshold, 1, numpy.where(actions > threshold, -1, 0))
    changes = numpy.flatnonzero(turns)
    start = -turns[changes[0]] if len(changes) else 1
    latest = numpy.maximum.accumulate(numpy.where(turns != 0, numpy.arange(len(turns)), -1))
    states = numpy.where(latest >= 0, turns[latest] if len(turns) else turns, start)
    return states.astype("f4") / 2 + numpy.float32(0.5)
