"""Arguments that say which dataset, and which of its episodes, a command is about."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import robocache
from robocache.errors import InvalidArgumentError

if TYPE_CHECKING:
    from robocache.dataset import Dataset


def _number(what: str, kind: type[int] | type[float]) -> Callable[[str], Any]:
    def parse(text: str) -> int | float:
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{what}: {text!r} found, wanted more than 0")
        return value

    return parse


positive_int = _number("count", int)
positive_float = _number("number", float)


def add_dataset_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds PATH and how it is opened."""
    parser.add_argument("path", metavar="PATH", help="folder or file of the dataset")
    parser.add_argument("--catalog", metavar="FILE", help="its file; default: beside the dataset")
    parser.add_argument(
        "--on-error",
        choices=["raise", "skip"],
        default="raise",
        help="what a damaged record does (default: raise)",
    )
    parser.add_argument(
        "--control-rate-hz",
        type=positive_float,
        metavar="HZ",
        help="steps a second, where the dataset does not say it",
    )
    parser.add_argument(
        "--format", metavar="NAME", help="of the dataset, where several formats know the path"
    )
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module, or a file that ends in .py, which registers formats; may be repeated",
    )
    parser.add_argument(
        "--mapping",
        metavar="FILE",
        help="TOML that declares episodes and streams; default: robocache.toml in the folder",
    )
    parser.add_argument("--no-progress", action="store_true", help="draw no progress bar")


def add_selection_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --split and --where."""
    parser.add_argument("--split", metavar="NAME", help="only the episodes of this split")
    parser.add_argument(
        "--where", metavar="SQL", help='only the episodes for which this holds: "num_steps > 50"'
    )


def _import(module: str) -> None:
    """Imports a module by its name, or a file of Python."""
    name = os.path.splitext(os.path.basename(module))[0] if module.endswith(".py") else module
    try:
        if name == module:
            sys.path.insert(0, os.getcwd())  # as `python -m` finds it
            importlib.import_module(name)
            return
        spec = importlib.util.spec_from_file_location(name, module)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
    except robocache.Error:
        raise
    except Exception as error:
        raise InvalidArgumentError(
            f"option --import {module}: {type(error).__name__}: {error}"
        ) from error


def open_dataset(arguments: argparse.Namespace, **options: Any) -> Dataset:
    """Opens the dataset the arguments name; `options` are those of :func:`robocache.open`."""
    for module in arguments.imports:
        _import(module)
    return robocache.open(
        arguments.path,
        format=arguments.format,
        catalog=arguments.catalog,
        progress=False if arguments.no_progress else None,
        on_error=arguments.on_error,
        control_rate_hz=arguments.control_rate_hz,
        mapping=arguments.mapping,
        **options,
    )


def select(dataset: Dataset, arguments: argparse.Namespace) -> Dataset:
    """Returns the episodes that --split and --where choose."""
    if arguments.split is not None:
        dataset = dataset.split(arguments.split)
    if arguments.where is not None:
        dataset = dataset.where(arguments.where)
    return dataset


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Adds --json."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def print_json(value: Any) -> None:
    """Prints a value as JSON, for programs to read."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
