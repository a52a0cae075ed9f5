"""What meta/info.json and meta/modality.json say of a LeRobot dataset."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from ... import _arguments
from ...errors import FormatError, UnsupportedError
from .. import there
from ..foreign import foreign

__all__ = ["Feature", "Info", "Modality", "Slice", "load_json", "load_lines", "rate_of"]

VERSIONS = ("v2.0", "v2.1", "v3.0")
NUMERIC = (
    *("float16", "float32", "float64"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"),
)
BOOKKEEPING = ("timestamp", "episode_index", "index")
"""Columns that are no streams: they say what stamps, metadata and step numbers say."""

_PATHS = {
    2: (
        "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    ),
    3: (
        "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    ),
}
_FIELD = re.compile(r"\{(\w+)(?::0?(\d{1,2})d)?\}")
_MAX_JSON_BYTES = 1 << 30


def read_text(path: str) -> str:
    try:
        if os.path.getsize(path) > _MAX_JSON_BYTES:
            raise FormatError(f"{path}: found {os.path.getsize(path)} bytes, wanted JSON")
        with open(path, encoding="utf-8") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: byte {error.start}: found no UTF-8") from None


def load_json(path: str) -> dict[str, Any]:
    """Returns the object that a JSON file holds."""
    text = read_text(path)
    try:
        return _object(path, text)
    except FormatError as error:
        raise foreign(path, "JSON", is_text=True) or error from None


def load_lines(path: str) -> Iterator[dict[str, Any]]:
    """Yields the object in each line of a file."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip():
            yield _object(f"{path}: line {number}", line)


def _object(where: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: found no JSON: {error}") from None
    if not isinstance(found, dict):
        raise FormatError(f"{where}: found {_arguments.found(found)}, wanted a JSON object")
    return found


def rate_of(fps: float) -> Fraction:
    """Returns frames a second as loaders take a rate: 29.97 is 30000/1001."""
    nominal = round(fps * 1.001)
    is_video = 24 <= nominal <= 240 and (nominal % 24 == 0 or nominal % 30 == 0)
    if is_video and abs(fps * 1.001 - nominal) < 2e-6 * nominal:
        return Fraction(nominal * 1000, 1001)
    short = (Fraction(fps).limit_denominator(10**digits) for digits in range(16))
    return next((rate for rate in short if float(rate) == fps), Fraction(fps))


@dataclass(frozen=True)
class Feature:
    """One feature of info.json.

    Attributes:
        name: as LeRobot spells it, "observation.images.top".
        kind: "numeric", "string", "language", "image" or "video".
        dtype: of numbers.
        shape: of one sample as it is delivered: () for [1]; (height, width, channels) of pictures.
        info: what is said of a video or depth map.
        is_depth: a depth map.
        names: of the channels, as info.json has them.
    """

    name: str
    kind: str
    dtype: str
    shape: tuple[int, ...]
    info: Mapping[str, Any]
    is_depth: bool
    names: Any


@dataclass(frozen=True)
class Slice:
    """A named range [start, end) of a feature's channels, of meta/modality.json."""

    name: str
    feature: str
    start: int
    end: int


@dataclass(frozen=True)
class Modality:
    """What GR00T's meta/modality.json adds.

    Attributes:
        slices: "state.left_arm" and such.
        videos: "video.ego_view" to the feature it stands for.
        annotations: "annotation.human.action.task_description" to the column of task numbers.
    """

    slices: tuple[Slice, ...] = ()
    videos: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


class Info:
    """meta/info.json, checked.

    Attributes:
        root: folder of the dataset.
        path: of info.json.
        version: "v2.1" and such; `major` 2 or 3.
        fps: frames a second, as it is written; `rate` the fraction that means.
        features: by name, those that can be streams.
        unread: of the others, why.
        splits: [(name, first, end)] of episode numbers; "train" with all where there are none.
        total_episodes: and `total_frames`, as they are written, None where they are not.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.path = os.path.join(root, "meta", "info.json")
        self.raw = raw = load_json(self.path)
        self.version: str = str(raw.get("codebase_version"))
        if self.version not in VERSIONS:
            raise UnsupportedError(
                f"{self.path}: codebase_version {self.version!r} found, wanted one of "
                f"{', '.join(VERSIONS)}; LeRobot's own scripts convert others"
            )
        self.major = int(self.version[1])
        fps = raw.get("fps")
        if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps <= 1e6:
            raise self.wrong("fps", fps, "frames a second")
        self.fps = fps
        self.rate = rate_of(fps)
        self.chunks_size = self._integer("chunks_size", 1000, 1)
        self.total_episodes = self._integer("total_episodes", None, 0)
        self.total_frames = self._integer("total_frames", None, 0)
        data, video = _PATHS[self.major]
        self.data_path = self._template("data_path", data)
        self.video_path = self._template("video_path", video)
        self.robot_type = raw.get("robot_type")
        self.splits = self._splits()
        self.features: dict[str, Feature] = {}
        self.unread: dict[str, str] = {}
        features = raw.get("features")
        if not isinstance(features, dict) or not features:
            raise self.wrong("features", features, "features by name")
        for name, given in features.items():
            self._add_feature(name, given)

    def wrong(self, key: str, found: Any, wanted: str) -> FormatError:
        """Returns the error that says what is wrong with an entry."""
        return FormatError(f"{self.path}: {key}: found {_arguments.found(found)}, wanted {wanted}")

    def _integer(self, key: str, default: int | None, low: int) -> Any:
        value = self.raw.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value < 2**62:
            raise self.wrong(key, value, f"an integer of {low} or more")
        return value

    def _template(self, key: str, default: str) -> str:
        value = self.raw.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.wrong(key, value, "a path such as " + default)
        rest = _FIELD.sub("", value)
        if "{" in rest or "}" in rest or value.startswith("/") or ".." in value.split("/"):
            raise self.wrong(key, value, f"a path below the dataset such as {default}")
        for name, _ in _FIELD.findall(value):
            if "{" + name not in default:
                raise self.wrong(key, value, f"only the fields of {default}")
        return value

    def expand(self, key: str, **values: Any) -> str:
        """Returns `data_path` or `video_path` with its fields filled in."""

        def fill(match: re.Match[str]) -> str:
            value = values[match[1]]
            return str(value) if match[2] is None else f"{value:0{match[2]}d}"

        if "episode_index" in values:
            values["episode_chunk"] = values["episode_index"] // self.chunks_size
        return _FIELD.sub(fill, getattr(self, key))

    def _splits(self) -> list[tuple[str, int, int]]:
        given = self.raw.get("splits") or {}
        if not isinstance(given, dict):
            raise self.wrong("splits", given, "ranges of episodes by name")
        splits = []
        for name, text in given.items():
            match = re.fullmatch(r"\s*(\d{1,15})\s*:\s*(\d{1,15})\s*", str(text))
            if match is None or not name:
                raise self.wrong(f"splits: {name!r}", text, 'a range of episodes such as "0:100"')
            splits.append((name, int(match[1]), int(match[2])))
        splits = [split for split in splits if split[1] < split[2]]
        taken = sorted((first, end, name) for name, first, end in splits)
        for (_, end, name), (first, _, other) in itertools.pairwise(taken):
            if first < end:
                raise self.wrong("splits", given, f"no episode in both {name!r} and {other!r}")
        return splits

    def _add_feature(self, name: str, given: Any) -> None:
        if not name or not isinstance(given, dict):
            raise self.wrong(f"features: {name!r}", given, "a feature's dtype and shape")
        if name in BOOKKEEPING:
            return
        dtype, extents = given.get("dtype"), given.get("shape", [1])
        if name in ("language_persistent", "language_events"):
            dtype = "language"
        kind = "numeric" if dtype in NUMERIC else str(dtype)
        if kind not in ("numeric", "string", "language", "image", "video"):
            self.unread[name] = f"dtype {dtype!r} is none that is known"
            return
        if kind in ("string", "language"):
            extents = []
        if (
            not isinstance(extents, (list, tuple))
            or len(extents) > 7
            or not all(type(e) is int and 0 < e < 2**31 for e in extents)
        ):
            raise self.wrong(f"features: {name!r}: shape", extents, "extents of one sample")
        shape = tuple(extents)
        info = given.get("info") or given.get("video_info") or {}
        info = info if isinstance(info, dict) else {}
        names = given.get("names")
        is_depth = bool(info.get("is_depth_map") or info.get("video.is_depth_map"))
        if kind == "numeric" and shape == (1,):
            shape = ()
        elif kind in ("image", "video"):
            shape = self._picture(name, shape, names)
        self.features[name] = Feature(
            name, kind, str(dtype) if kind == "numeric" else "", shape, info, is_depth, names
        )

    def _picture(self, name: str, shape: tuple[int, ...], names: Any) -> tuple[int, ...]:
        """Returns (height, width, channels), whichever way round they are written."""
        if len(shape) == 2:
            shape = (*shape, 1)
        if len(shape) != 3:
            raise self.wrong(f"features: {name!r}: shape", shape, "height, width and channels")
        first = names[0] if isinstance(names, (list, tuple)) and len(names) == 3 else ""
        by_name = isinstance(first, str) and first.lower().startswith("channel")
        if by_name or (not first and shape[0] in (1, 3) and shape[2] not in (1, 3, 4)):
            return (*shape[1:], shape[0])
        return shape

    def modality(self) -> Modality:
        """Returns what meta/modality.json says, nothing where there is none."""
        path = os.path.join(self.root, "meta", "modality.json")
        if not there.exists(path):
            return Modality()
        raw = load_json(path)
        slices, videos, annotations = [], {}, {}
        for group, feature in (("state", "observation.state"), ("action", "action")):
            for name, given in _entries(path, raw, group):
                slices.append(self._slice(path, f"{group}.{name}", given, feature))
        for name, given in _entries(path, raw, "video"):
            default = name if name in self.features else f"observation.images.{name}"
            feature = given.get("original_key") or default
            if feature not in self.features or self.features[feature].kind not in (
                "video",
                "image",
            ):
                cameras = [f.name for f in self.features.values() if f.kind in ("video", "image")]
                raise FormatError(
                    f"{path}: video: {name!r}: found camera {feature!r}, which meta/info.json has "
                    f"not: {', '.join(cameras) or 'it has none'}"
                )
            if f"video.{name}" != feature:
                videos[f"video.{name}"] = feature
        for name, given in _entries(path, raw, "annotation"):
            column = given.get("original_key") or f"annotation.{name}"
            found = self.features.get(column)
            if found is None or found.kind not in ("numeric", "string"):
                raise FormatError(
                    f"{path}: annotation: {name!r}: found column {column!r}, which meta/info.json "
                    "has not"
                )
            annotations[f"annotation.{name}"] = column
        return Modality(tuple(slices), videos, annotations)

    def _slice(self, path: str, name: str, given: Mapping[str, Any], feature: str) -> Slice:
        feature = given.get("original_key") or feature
        found = self.features.get(feature)
        if found is None or found.kind != "numeric" or len(found.shape) > 1:
            raise FormatError(
                f"{path}: {name!r}: found feature {feature!r}, wanted a vector of meta/info.json"
            )
        width = found.shape[0] if found.shape else 1
        start, end = given.get("start", 0), given.get("end", width)
        if type(start) is not int or type(end) is not int or not 0 <= start < end <= width:
            raise FormatError(
                f"{path}: {name!r}: found channels [{start}, {end}), wanted some of the {width} of "
                f"{feature!r}"
            )
        return Slice(name, feature, start, end)

    def embodiment(self) -> str | None:
        """Returns GR00T's embodiment tag, where the dataset has one."""
        for name in ("embodiment.json", "modality.json", "info.json"):
            path = os.path.join(self.root, "meta", name)
            if there.exists(path):
                tag = load_json(path).get("embodiment_tag")
                if isinstance(tag, str) and tag:
                    return tag
        return None


def _entries(path: str, raw: Mapping[str, Any], group: str) -> Iterator[tuple[str, dict[str, Any]]]:
    given = raw.get(group) or {}
    if not isinstance(given, dict):
        raise FormatError(
            f"{path}: {group}: found {_arguments.found(given)}, wanted entries by name"
        )
    for name, entry in given.items():
        if not isinstance(entry or {}, dict):
            raise FormatError(
                f"{path}: {group}: {name!r}: found {_arguments.found(entry)}, wanted an object"
            )
        yield name, entry or {}
