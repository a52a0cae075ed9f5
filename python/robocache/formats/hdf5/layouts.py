"""Which episodes and streams an HDF5 file has, by what it holds or as a mapping says.

Works on a survey (:func:`.survey.survey`): the file's objects, of many groups that are
numbered alike, such as ``demo_0`` to ``demo_199``, the first one's.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import FormatError, InvalidArgumentError
from .. import mapping as mappings

__all__ = [
    "LOOKED_FOR",
    "VERSION",
    "Leaf",
    "Plan",
    "Survey",
    "draft",
    "parsed",
    "plan_by_mapping",
    "rate_of",
    "recognised",
    "shown",
]

LOOKED_FOR = (
    "groups numbered alike (/data/demo_N, /traj_N, ...) with a dataset 'actions' or 'action', or "
    "one episode a file with /action or /actions, or with /joint_action/vector"
)

VERSION = 1
"""Of what is recognised: what an earlier one remembered of a file is found out again."""

_STEPS = ("actions", "action")
_STEPS_OF_FILES = (*_STEPS, "joint_action/vector")
_CHANNELS = (1, 3, 4)
_LEAST_IMAGE = 8
_ENCODED = ("ffd8ff", "89504e470d0a1a0a")


@dataclass(frozen=True)
class Leaf:
    """A dataset, or a field of one, that is a stream.

    Attributes:
        stream: its name.
        path: of the dataset, relative to the episode's group.
        kind: "numeric", "image" (pixels), "encoded" (an image a row) or "text".
        dtype: NumPy's string for numbers as they are stored.
        shape: of a sample.
        field: of a compound.
        lengths: path of the dataset that says how many bytes of a row are the image.
        options: further arguments of :meth:`.indexer.Indexer.stream`.
    """

    stream: str
    path: str
    kind: str
    dtype: str = "|u1"
    shape: tuple[int, ...] = ()
    field: str | None = None
    lengths: str | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What is to be read of the files of a dataset.

    Attributes:
        layout: "numbered groups" or "a file an episode".
        base: group that the episodes lie in, or that is the episode.
        series: what the names of the episodes' groups begin with, before their number; None where
            the base is the episode.
        steps: path of the dataset that has a row a step.
        leaves: the streams.
        others: paths of the first episode that are no streams.
        rate_hz: that the file says.
        notes: what users are to know.
        has_masks: /mask names the episodes of splits.
        has_declared_rate: the mapping says the rate, whatever files say.
        task: what the mapping says of the task: a text, or a path with a dataset or attribute.
    """

    layout: str
    base: str
    series: str | None
    steps: str
    leaves: tuple[Leaf, ...]
    others: tuple[str, ...]
    rate_hz: float | None = None
    notes: tuple[str, ...] = ()
    has_masks: bool = False
    has_declared_rate: bool = False
    task: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns what :meth:`from_json` takes."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(given: Any) -> Plan | None:
        """Returns a plan; None where it is none: it may come from anybody's catalog."""
        try:
            leaves = tuple(
                Leaf(**{**leaf, "shape": tuple(leaf["shape"])}) for leaf in given["leaves"]
            )
            told = {key: tuple(given[key]) for key in ("others", "notes")}
            plan = Plan(**{**given, "leaves": leaves, **told})
        except (KeyError, TypeError, ValueError):
            return None
        return plan if _is_sound(plan) and all(_is_sound(leaf) for leaf in leaves) else None


def _is_sound(value: Plan | Leaf) -> bool:
    """Whether what JSON held is of the types that are declared."""
    kinds: dict[str, Any] = {
        "str": str,
        "str | None": (str, type(None)),
        "float | None": (int, float, type(None)),
        "bool": bool,
        "dict[str, Any]": dict,
        "tuple[str, ...]": str,
        "tuple[int, ...]": int,
        "tuple[Leaf, ...]": Leaf,
    }
    for field in dataclasses.fields(value):
        found, kind = getattr(value, field.name), str(field.type)
        each = found if kind.startswith("tuple") else (found,)
        if not all(isinstance(item, kinds[kind]) for item in each):
            return False
    return True


class Survey:
    """The nodes of a survey by their paths."""

    def __init__(self, nodes: Iterable[Mapping[str, Any]]) -> None:
        self.nodes = {node["path"]: node for node in nodes}

    def dataset(self, path: str) -> Mapping[str, Any] | None:
        """Returns a dataset that has rows; None where there is none."""
        node = self.nodes.get(path)
        return node if node is not None and node["kind"] == "dataset" and node["shape"] else None

    def groups(self) -> Iterable[Mapping[str, Any]]:
        """Returns the groups, the outermost first."""
        groups = [node for node in self.nodes.values() if node["kind"] == "group"]
        return sorted(groups, key=lambda node: (node["path"].count("/"), len(node["path"])))

    def attributes(self, path: str) -> Mapping[str, Any]:
        """Returns the attributes of a group; none where there is none."""
        attributes: Mapping[str, Any] = self.nodes.get(path, {}).get("attributes", {})
        return attributes

    def below(self, path: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """Returns what lies below a group, with the paths from there."""
        prefix = path.rstrip("/") + "/"
        for each, node in self.nodes.items():
            if each.startswith(prefix) and each != prefix:
                yield each[len(prefix) :], node

    def first(self, base: str, series: str, steps: Iterable[str]) -> tuple[str, str] | None:
        """Returns the first episode of a series that has steps, and the path of those."""
        for name in self.nodes[base].get("series", {}).get(series, []):
            path = f"{base.rstrip('/')}/{name}"
            if path not in self.nodes:
                return None
            for each in steps:
                node = self.dataset(f"{path}/{each}")
                if node is not None and node["shape"][0] > 0:
                    return path, each
        return None


def parsed(value: Any) -> Any:
    """Returns the table that a text of JSON holds, all else as it is."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


# ---- recognised by what it holds ----------------------------------------------------------------


def recognised(survey: Survey) -> Plan | None:
    """Returns how the file is laid out, None where that is none of the layouts known."""
    for group in survey.groups():
        for series in group.get("series", {}):
            found = survey.first(group["path"], series, _STEPS)
            if found is not None:
                return _plan(survey, "numbered groups", group["path"], series, *found)
    for steps in _STEPS_OF_FILES:
        node = survey.dataset(f"/{steps}")
        if node is not None and node["shape"][0] > 0:
            return _plan(survey, "a file an episode", "/", None, "/", steps)
    return None


def _plan(
    survey: Survey, layout: str, base: str, series: str | None, episode: str, steps: str
) -> Plan:
    leaves, others, notes = _leaves(survey, episode, steps)
    attributes = survey.attributes(base)
    notes += _upside_down(attributes, leaves)
    return Plan(
        layout,
        base,
        series,
        steps,
        tuple(leaves),
        tuple(others),
        rate_of({**survey.attributes("/"), **attributes}),
        tuple(notes),
        _has_masks(survey),
    )


def _has_masks(survey: Survey) -> bool:
    return any(node["kind"] == "dataset" for _, node in survey.below("/mask"))


def _leaves(survey: Survey, episode: str, steps: str) -> tuple[list[Leaf], list[str], list[str]]:
    """Returns the streams of the first episode, the paths of all else, and notes on that."""
    node = survey.dataset(f"{episode.rstrip('/')}/{steps}")
    assert node is not None
    rows = node["shape"][0]
    leaves: list[Leaf] = []
    others: list[str] = []
    left_out: list[str] = []
    behind: list[str] = []
    is_file = episode == "/"
    lengths = "compress_len" if survey.dataset("/compress_len") is not None else None
    for path, each in survey.below(episode):
        if each["kind"] == "group" or path == lengths:
            continue
        found, why = _streams(path, each, rows, lengths if is_file else None)
        leaves += found
        if found and each["shape"][0] == rows + 1:
            behind.append(path)
        if not found and why is not None:
            others.append(path)
            left_out.append(f"{shown(path)} ({why})")
    for group in survey.groups():
        if is_file:
            left_out += _unseen(survey, group)
    notes = []
    if left_out:
        notes.append(f"not read: {', '.join(sorted(left_out))}")
    if behind:
        notes.append(
            f"have a row more than there are actions, which is behind the last step and not read: "
            f"{', '.join(sorted(behind))}"
        )
    return leaves, others, notes


def shown(path: str) -> str:
    """Returns a path as messages have it: bytes of names that are no UTF-8 are escaped."""
    return path.encode("utf-8", "backslashreplace").decode()


def _unseen(survey: Survey, group: Mapping[str, Any]) -> list[str]:
    """Returns groups numbered alike of which a survey saw the first alone."""
    return [
        f"{group['path']}: {len(names) - 1} groups as {names[0]}"
        for names in group.get("series", {}).values()
        if f"{group['path'].rstrip('/')}/{names[-1]}" not in survey.nodes
    ]


def _streams(
    path: str, node: Mapping[str, Any], rows: int, lengths: str | None
) -> tuple[list[Leaf], str | None]:
    """Returns the streams of a dataset, or, where it has none, why it is not even metadata."""
    if node["kind"] != "dataset":
        return [], node.get("why", "is no dataset")
    if "why" in node:
        return [], node["why"]
    if shown(path) != path:
        return [], "its name is no UTF-8"
    shape = node["shape"]
    size = 1
    for extent in shape:
        size *= extent
    if not shape or shape[0] not in (rows, rows + 1):
        return [], None if size <= 256 else f"{shape} has not {rows} rows"
    if node["layout"] == "virtual":
        return [], "is a virtual dataset"
    if node["type"] == "compound":
        leaves = []
        for name, each in node["fields"].items():
            if "why" not in each:
                inner = (*shape[1:], *each["inner"])
                leaves.append(Leaf(f"{path}/{name}", path, "numeric", each["dtype"], inner, name))
        return leaves, "no field of it is a number"
    if node.get("begins", "").startswith(_ENCODED):
        return [Leaf(path, path, "encoded", lengths=lengths)], None
    if node["type"] == "text":
        return ([Leaf(path, path, "text")], None) if len(shape) == 1 else ([], "text of two axes")
    sample = (*shape[1:], *node["inner"])
    if 0 in sample:
        return [], f"{shape} has no values"
    if len(sample) > 7:
        return [], f"has {len(sample)} axes a sample, wanted at most 7"
    kind = "image" if _is_image(sample, node["dtype"]) else "numeric"
    if kind == "image" and node["layout"] == "compact":
        return [], "images in an object header (compact)"
    return [Leaf(path, path, kind, node["dtype"], sample)], None


def _is_image(shape: tuple[int, ...], dtype: str) -> bool:
    import numpy

    if len(shape) != 3 or shape[2] not in _CHANNELS or min(shape[:2]) < _LEAST_IMAGE:
        return False
    kind = numpy.dtype(dtype)
    return kind == numpy.uint8 or (shape[2] == 1 and kind == numpy.dtype("<u2"))


def _upside_down(attributes: Mapping[str, Any], leaves: list[Leaf]) -> list[str]:
    """Returns what to say of images that a renderer stored with the lowest row first."""
    images = [leaf.stream for leaf in leaves if leaf.kind == "image"]
    convention = attributes.get("macros_image_convention")
    is_libero = "bddl_file_name" in attributes or "problem_info" in attributes
    if not images or not (convention == "opengl" or (convention is None and is_libero)):
        return []
    because = "macros_image_convention is 'opengl'" if convention else "as LIBERO's are"
    turned = 'rc.Image(orient="flip_vertical") turns them'
    return [
        f"images are stored upside down ({because}) and delivered so: {', '.join(images)}; {turned}"
    ]


def rate_of(attributes: Mapping[str, Any]) -> float | None:
    """Returns the control rate that attributes say, None where none does."""
    table = parsed(attributes.get("env_args"))
    if not isinstance(table, Mapping):
        return None
    arguments = table.get("env_kwargs")
    if isinstance(arguments, Mapping):
        rate = arguments.get("control_freq")
        if isinstance(rate, (int, float)) and 0 < rate < 1e9:
            return float(rate)
    physics = table.get("sim_args")
    if isinstance(physics, Mapping):
        dt, decimation = physics.get("dt"), physics.get("decimation")
        if isinstance(dt, float) and isinstance(decimation, int) and 0 < dt * decimation < 1e9:
            return 1 / (dt * decimation)
    return None


# ---- declared -----------------------------------------------------------------------------------

_KEYS = ("format", "files", "episodes", "steps", "rate_hz", "task", "streams")
_STREAM_KEYS = ("path", "kind", "unit", "scale", "offset")
_KINDS = ("numeric", "image", "text")


def plan_by_mapping(survey: Survey, mapping: mappings.Mapping) -> Plan:
    """Returns what a mapping says of the file; raises InvalidArgumentError where that is not so."""
    mapping.allow(_KEYS)
    episodes = mapping.text("episodes", "/") or "/"
    streams = mapping.tables("streams", short="path")
    if not streams:
        raise InvalidArgumentError(f"{mapping.what('streams')}: are missing")
    for stream in streams.values():
        stream.allow(_STREAM_KEYS)
    paths = {name: str(stream.text("path", name)).strip("/") for name, stream in streams.items()}
    steps = mapping.text("steps")
    if steps is None:
        steps = next((paths[name] for name in _STEPS if name in paths), next(iter(paths.values())))
    base, series, episode = _episodes(survey, mapping, episodes, steps.strip("/"))
    leaves, _, notes = _leaves(survey, episode, steps.strip("/"))
    by_path: dict[str, Leaf] = {}
    for leaf in leaves:
        by_path[leaf.path if leaf.field is None else leaf.stream] = leaf
    chosen = tuple(
        _declared(survey, episode, name, stream, by_path.get(paths[name]), paths[name])
        for name, stream in streams.items()
    )
    unused = sorted(set(by_path) - set(paths.values()))
    notes = [note for note in notes if note.startswith("have a row more")]
    if unused:
        notes.append(f"not in the mapping, and not read: {shown(', '.join(unused))}")
    taken = {leaf.path for leaf in chosen}
    others = tuple(path for path, node in survey.below(episode) if path not in taken)
    return Plan(
        "numbered groups" if series is not None else "a file an episode",
        base,
        series,
        steps.strip("/"),
        chosen,
        others,
        mapping.positive("rate_hz") or rate_of(survey.attributes(base)),
        tuple(notes),
        _has_masks(survey),
        "rate_hz" in mapping,
        mapping.text("task"),
    )


def _episodes(
    survey: Survey, mapping: mappings.Mapping, episodes: str, steps: str
) -> tuple[str, str | None, str]:
    """Returns the group that episodes lie in, what their names begin with, and the first one."""
    what = f"{mapping.what('episodes')}: found {episodes!r}"
    path = "/" + episodes.strip("/")
    if not path.endswith("*"):
        if survey.dataset(f"{path.rstrip('/')}/{steps}") is None:
            raise FormatError(f"{what}: the file has no dataset {path.rstrip('/')}/{steps}")
        return path, None, path
    base, _, series = path[:-1].rpartition("/")
    base = base or "/"
    group = survey.nodes.get(base)
    if group is None or series not in group.get("series", {}):
        raise FormatError(f"{what}: the file has no groups {base.rstrip('/')}/{series}N, N numbers")
    found = survey.first(base, series, (steps,))
    if found is None:
        raise FormatError(f"{what}: the first of them have no dataset {steps!r} with rows")
    return base, series, found[0]


def _declared(
    survey: Survey,
    episode: str,
    name: str,
    stream: mappings.Mapping,
    leaf: Leaf | None,
    path: str,
) -> Leaf:
    if leaf is None:
        node = survey.nodes.get(f"{episode.rstrip('/')}/{path}")
        why = (
            "is not in the first episode" if node is None else node.get("why", "has no row a step")
        )
        raise FormatError(f"{stream.what('path')}: {episode.rstrip('/')}/{path} {why}")
    kind = stream.choice("kind", _KINDS)
    found = {"encoded": "image"}.get(leaf.kind, leaf.kind)
    if kind is not None and kind != found:
        can = {("image", "numeric"): True, ("numeric", "image"): len(leaf.shape) == 3}
        if not can.get((found, kind)) or leaf.kind == "encoded":
            raise InvalidArgumentError(
                f"{stream.what('kind')}: found {kind!r}, but {path} is {found}: {leaf.shape}"
            )
        found = kind
    options: dict[str, Any] = {}
    if "unit" in stream:
        options["unit"] = stream.text("unit")
    for key, default in (("scale", 1.0), ("offset", 0.0)):
        if key in stream:
            options[key] = stream.number(key, default)
    kind = "encoded" if leaf.kind == "encoded" else found
    return Leaf(name, leaf.path, kind, leaf.dtype, leaf.shape, leaf.field, leaf.lengths, options)


def draft(survey: Survey, file: str) -> str:
    """Returns a mapping to start from, as TOML: what is recognised, or the likeliest."""
    plan = recognised(survey) or _likeliest(survey)
    lines = [f"# of {file}", 'format = "hdf5"']
    if plan is None:
        tree = [f"#   {path} {node.get('shape', '')}" for path, node in survey.nodes.items()]
        return "\n".join(
            [*lines, "# no two datasets have equally many rows; the file holds", *tree[:100]]
        )
    episodes = plan.base if plan.series is None else f"{plan.base.rstrip('/')}/{plan.series}*"
    lines += [
        f"episodes = {json.dumps(episodes)}",
        f"steps = {json.dumps(plan.steps)}",
        f"rate_hz = {plan.rate_hz:g}" if plan.rate_hz else "# rate_hz = 20",
        "",
        "[streams]",
    ]
    for leaf in plan.leaves:
        path = leaf.path if leaf.field is None else leaf.stream
        lines.append(f"{json.dumps(leaf.stream)} = {json.dumps(path)}")
    lines += [f"# {note}" for note in plan.notes]
    return "\n".join(lines)


def _likeliest(survey: Survey) -> Plan | None:
    """Returns the plan in which most datasets of all episodes have as many rows."""
    best: Plan | None = None
    best_score = (0, False)
    for group in survey.groups():
        path = group["path"]
        inside = next(
            (
                (base, series)
                for base, node in survey.nodes.items()
                for series, names in node.get("series", {}).items()
                if any(f"{base.rstrip('/')}/{name}" == path for name in names)
            ),
            None,
        )
        by_rows: dict[int, list[str]] = {}
        for name, node in survey.below(path):
            if node["kind"] == "dataset" and node["shape"] and node["shape"][0] > 1:
                by_rows.setdefault(node["shape"][0], []).append(name)
        if not by_rows:
            continue
        names = max(by_rows.values(), key=len)
        base, series = inside or (path, None)
        layout = "numbered groups" if series is not None else "a file an episode"
        plan = _plan(survey, layout, base, series, path, names[0])
        episodes = len(survey.nodes[base]["series"][series]) if series is not None else 1
        score = len(plan.leaves) * episodes, series is not None
        if score > best_score:
            best, best_score = plan, score
    return best
