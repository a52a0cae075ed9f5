"""Holds messages of errors to one grammar: where, what was found, what was wanted.

usage: python tools/check_errors.py [FILE...]      (all C sources and Python files of the package)

    path: byte N: stream 's', sample i: found X, wanted Y

A message begins in lower case unless with a name, ends without a full stop, quotes streams and
tasks, says "wanted" of what should have been and nothing else, and gives bytes as "byte N:".
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CALLS = re.compile(
    r"\b(?:rbc__fail\w*|rbc__error_set|raise_value|raise_type|fail_at|fail)\s*\(", re.ASCII
)
RAISES = re.compile(r"\braise\s+(?:\w+\.)*\w*Error\s*\(|\berror\(", re.ASCII)
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')
RULES = {
    r"\b(?:expected|must be|should be|has to be)\b": 'say "wanted"',
    r"\b(?:invalid|illegal|bad)\b": "say what was found and what was wanted",
    r"\bfailed to\b|\bplease\b|!$": "say what happened",
    r"[^.]\.$": "no full stop at the end",
    r"\bstream %s": "quote the stream: stream '%s'",
    r"\bat byte(?: offset)? %": 'say where first: "path: byte N: ..."',
}
NAMES = re.compile(
    r"(?:[A-Z0-9_]{2,}|[A-Z][a-z]*[A-Z]\w*|Feature|Future|Image|Voxels|Window|Plan|Python)\b|[%{$]"
    r"|[a-z0-9'\"(\[]"
)


def arguments(text: str, begin: int) -> str:
    """The text between the parentheses that open at `begin`."""
    depth, at, quoted = 0, begin, False
    while at < len(text):
        c = text[at]
        if quoted:
            at += c == "\\"
            quoted = c != '"'
        elif c == '"':
            quoted = True
        elif c == "(":
            depth += 1
        elif c == ")":
            depth -= 1
            if depth == 0:
                return text[begin + 1 : at]
        at += 1
    return ""


def messages(path: Path) -> list[tuple[int, str]]:
    """Messages with the lines where they begin; literals side by side are one."""
    text = path.read_text()
    found = []
    for call in (CALLS if path.suffix != ".py" else RAISES).finditer(text):
        inside = arguments(text, call.end() - 1)
        parts = LITERAL.findall(re.sub(r'"\s*(?:PRI\w+\s*)?"', "", inside))
        line = text.count("\n", 0, call.start()) + 1
        found += [(line, part) for part in parts if " " in part]
    return found


def main() -> None:
    named = sys.argv[1:] or subprocess.run(
        ["git", "ls-files", "src/*.c", "src/*.h", "python/src/*.c", "python/robocache/*.py"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    wrong = []
    for name in named:
        for line, message in messages(Path(name)):
            text = re.sub(r"'[^']*'", "''", message)
            wrong += [
                f'{name}:{line}: "{message}": {advice}'
                for rule, advice in RULES.items()
                if re.search(rule, message if "%s" in rule else text)
            ]
            if not NAMES.match(message.lstrip(" :,;")):
                wrong.append(f'{name}:{line}: "{message}": begin in lower case')
    print(*wrong, sep="\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
