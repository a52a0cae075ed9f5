"""What the documents refer to is there: links, commands, results, arguments, numbers of tables."""

from __future__ import annotations

import bisect
import csv
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import robocache as rc
from robocache.cli import build_parser

ROOT = Path(__file__).resolve().parents[2]
MAPS = sorted(ROOT.glob("src/**/README.md"))  # of folders
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("[bpt]*/**/README.md"), *MAPS]
)
SCRIPT = re.compile(r"\b((?:examples|bench|tools|fuzz)/[\w/]+\.(?:py|sh))\b([^`\n#]*)")

# Of these pages the blocks need a GPU.
NOT_RUN = {"gpu.md"}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Returns the anchors of a page's titles, as GitHub and MkDocs make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{name_of(page)}: {target}"
        if anchor:
            assert anchor in anchors(found), f"{name_of(page)}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_files_are_there(page: Path) -> None:
    text = page.read_text()
    for script, arguments in SCRIPT.findall(text):
        path = ROOT / script
        assert path.is_file(), f"{name_of(page)}: {script}"
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", arguments):
            if path.suffix == ".sh":  # hands them on
                continue
            assert f'"{option}"' in path.read_text(), f"{name_of(page)}: {script} {option}"
    for name in re.findall(r"`((?:src|python|tests|include|requirements)/[\w./-]+)`", text):
        assert (ROOT / name).exists(), f"{name_of(page)}: {name}"
    for result in re.findall(r"bench/results/[\w.]+", text):
        assert (ROOT / result.rstrip(".")).is_file(), f"{name_of(page)}: {result}"
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"(?:^    |`)(?:[A-Z_]+=\S+ )*make ([a-z][\w-]*)", text, re.MULTILINE):
        assert target in targets, f"{name_of(page)}: make {target}"


@pytest.mark.parametrize("page", MAPS, ids=name_of)
def test_maps_name_every_source_of_their_folder(page: Path) -> None:
    text = page.read_text()
    for path in page.parent.iterdir():
        if path.suffix in (".c", ".cu"):
            assert path.stem in text, f"{name_of(page)}: {path.name}"


def test_maps_of_tests_and_measurements_are_whole() -> None:
    text = (ROOT / "bench/README.md").read_text()
    for path in (ROOT / "bench").glob("*.py"):
        assert f"`{path.name}`" in text, path.name
    text = (ROOT / "tests/README.md").read_text()
    for path in (ROOT / "tests").iterdir():
        if any(path.glob("*.*")) and path.is_dir() and path.name != "__pycache__":
            assert f"`{path.name}/`" in text, path.name


def test_every_result_is_spoken_of() -> None:
    text = "".join(page.read_text() for page in PAGES)
    for result in (ROOT / "bench/results").iterdir():
        assert f"bench/results/{result.name}" in text, result.name


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs/cli.md"], ids=name_of)
def test_options_of_commands_are_there(page: Path) -> None:
    (commands,) = (
        action.choices for action in build_parser()._actions if isinstance(action.choices, dict)
    )
    known = {name: parser.format_help() for name, parser in commands.items()}
    for name, arguments in re.findall(r"`robocache ([a-z]+)([^`]*)`", page.read_text()):
        assert name in known
        for option in re.findall(r"(?<!\S)--?[a-z][\w-]*", arguments):
            assert option in known[name], f"{name_of(page)}: robocache {name} {option}"
    rows = re.findall(r"^\| `robocache ([a-z]+)", (ROOT / "docs/cli.md").read_text(), re.MULTILINE)
    assert set(rows) == set(known)
    for option in re.findall(r"^\| `(--[\w-]+)", (ROOT / "docs/cli.md").read_text(), re.MULTILINE):
        assert option in known["info"]


def test_every_page_with_code_is_run() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    for page in (ROOT / "docs").glob("*.md"):
        if "```python" in page.read_text() and page.name not in NOT_RUN:
            assert re.search(rf'["/]{page.name}"', tests), f"no test runs {page.name}"


def arguments_of(docstring: str | None) -> set[str]:
    """Returns the names that the section Args, or Attributes, of a docstring has."""
    section = re.search(
        r"^(?:Args|Attributes):\n(.*?)(?=^\S|\Z)",
        inspect.cleandoc(docstring or ""),
        re.DOTALL | re.MULTILINE,
    )
    assert section is not None
    heads = re.findall(r"^    (\*{0,2}\w+(?:, \*{0,2}\w+)*):", section[1], re.MULTILINE)
    return {name.strip(" *") for head in heads for name in head.split(",")}


@pytest.mark.parametrize(
    "function",
    [
        *(rc.open, rc.DataLoader, rc.Window, rc.Future, rc.Image, rc.Voxels, rc.mix, rc.image_key),
        *(rc.RldsWriter, rc.LeRobotWriter, rc.Dataset.statistics, rc.Dataset.split_random),
        *(rc.resample_trajectories, rc.fuse_streams, rc.voxelize_point_cloud, rc.voxelize_sparse),
        *(rc.decode_jpeg, rc.depth_to_points, rc.register_format, rc.datasets.RTXDataLoader),
        *(rc.datasets.LeRobotDataset, rc.datasets.LeRobotDataLoader),
    ],
    ids=lambda function: function.__name__,
)
def test_each_argument_is_described_once(function: Any) -> None:
    parameters = set(inspect.signature(function).parameters) - {"self"}
    assert arguments_of(function.__doc__) == parameters


def test_every_counter_of_a_loader_is_described(bridge: rc.Dataset) -> None:
    table = (ROOT / "docs/observability.md").read_text().split("## Counters\n")[1]
    described = set(re.findall(r"`(\w+)`", table.split("\n## ")[0]))
    stages = re.findall(r"`(\w+_)<\w+>(_\w+)`", table)
    stats = rc.DataLoader(bridge, 8, streams=["action"]).stats()
    for name in stats:
        is_of_a_stage = any(name.startswith(a) and name.endswith(b) for a, b in stages)
        assert is_of_a_stage or name in described, name


# ---- numbers of tables --------------------------------------------------------------------------


def numbers_in(value: Any) -> Iterator[float]:
    """Yields all numbers of a result, and of its lists the mean, the sum and the median."""
    if isinstance(value, dict):
        for each in value.values():
            yield from numbers_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from numbers_in(each)
        plain = [each for each in value if type(each) in (int, float)]
        if plain and len(plain) == len(value):
            yield sum(plain)
            yield sum(plain) / len(plain)
            yield sorted(plain)[len(plain) // 2]
    elif isinstance(value, str):
        yield from map(float, re.findall(r"\d+\.?\d*", value))
    elif type(value) in (int, float):
        yield abs(value)


def load(path: Path) -> Any:
    with path.open() as file:
        return list(csv.reader(file)) if path.suffix == ".csv" else json.load(file)


def is_among(known: list[float], text: str) -> bool:
    """Whether a number, as it is rounded in a table and in a unit of a power of ten, is known."""
    whole, _, digits = text.replace(",", "").partition(".")
    zeros = len(whole) - len(whole.rstrip("0")) if not digits else 0
    value, half = float(f"{whole}.{digits or 0}"), 0.501 * 10.0 ** (zeros - len(digits))
    for scale in (1, 1e2, 1e3, 1e6, 1e9, 1e-2, 1e-3, 1e-6, 1e-9):
        at = bisect.bisect_left(known, (value - half) * scale)
        if at < len(known) and known[at] <= (value + half) * scale:
            return True
    return False


def sections() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for section in re.split(r"^(?=#+ )", page.read_text(), flags=re.MULTILINE):
            if re.search(r"bench/results/", section) and re.search(r"^\|.*\d", section, re.M):
                yield f"{page.name}: {section.splitlines()[0].strip('# ')}", section


@pytest.mark.parametrize(("title", "section"), [pytest.param(*s, id=s[0]) for s in sections()])
def test_numbers_of_tables_are_those_of_the_results(title: str, section: str) -> None:
    """Half of them may be worked out from others: a table whose result is anew fails."""
    results = {ROOT / name for name in re.findall(r"bench/results/\w+\.(?:json|csv)", section)}
    known = sorted(number for result in results for number in numbers_in(load(result)))
    rows = re.findall(r"^\|[^|\n]*\|(.*)\|$", section, re.MULTILINE)
    shown = [
        number
        for row in rows
        for number in re.findall(r"(?<![\w.,^])\d[\d,]*(?:\.\d+)?(?![\w,^])", row)
        if len(number) > 1
    ]
    missing = [number for number in shown if not is_among(known, number)]
    assert shown, title
    assert len(missing) * 2 <= len(shown), missing
