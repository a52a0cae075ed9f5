"""The command line: ``robocache COMMAND``."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType

import robocache

from . import bench, doctor, index, info, stats, view

__all__ = ["main"]

# Name of the command: module with HELP, add_arguments(parser) and run(arguments) -> exit code.
COMMANDS: dict[str, ModuleType] = {
    "index": index,
    "info": info,
    "view": view,
    "bench": bench,
    "stats": stats,
    "doctor": doctor,
}

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="robocache", description="Look at robot datasets and measure how fast they load."
    )
    parser.add_argument("--version", action="version", version=robocache.__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, help=module.HELP, description=module.__doc__)
        module.add_arguments(command)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the arguments after the program's name; by default those of the process.

    Returns:
        The exit code: 0, 1 after an error (one line on stderr says which), 130 after Ctrl-C.
        Arguments that cannot be understood end the process with 2, as argparse does.
    """
    arguments = build_parser().parse_args(argv)

    def tell(message: Warning | str, *_: object, **__: object) -> None:
        print(f"robocache {arguments.command}: warning: {message}", file=sys.stderr)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = tell
            code: int = COMMANDS[arguments.command].run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads the output has enough; nothing is left to be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except (robocache.Error, OSError) as error:
        print(f"robocache {arguments.command}: {_line(error, arguments)}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print(f"robocache {arguments.command}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return code


def _line(error: Exception, arguments: argparse.Namespace) -> str:
    """Returns the message of an error as one line that names the file it is about."""
    message = " ".join(str(error).split())
    path: str = getattr(arguments, "path", "")
    named = (path, getattr(arguments, "output", path))
    return message if any(name in message for name in named) else f"{path}: {message}"
