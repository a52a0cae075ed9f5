"""Holds headers to one source each, or to saying which folder they are for, and to layers.

usage: python tools/check_headers.py

A header a.h belongs to a.c (or a.cu) beside it, which defines all that it declares. One that has
no such source, or declares what others define, says in its first comment "Shared within src/io."
where nothing outside of its folder includes it, else "Interface of src/io.". Headers of kernels
(.cuh) are parts of them and no concern of this.

A folder of src/ includes only what comes before it in the list of layers in CMakeLists.txt. Headers
that lie in src/ itself are of no layer.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

DECLARES = re.compile(r"^(?!static|typedef|#)[A-Za-z_][\w *]*?\b(\w+)\([^{}]*?\);", re.M)
DEFINES = re.compile(r"^(?!static)[A-Za-z_][\w *]*?\b(\w+)\([^;{}]*\)\s*\{", re.M)
INCLUDES = re.compile(r'^#\s*include "([^"]+)"', re.M)
COMMENT = re.compile(r"/\*.*?\*/", re.S)


def includes_upwards(texts: dict[str, str]) -> list[str]:
    listed = re.search(r"set\(layers ([\w\s]+)\)", Path("CMakeLists.txt").read_text())
    assert listed is not None
    layers = listed[1].split()
    wrong = []
    for name, text in texts.items():
        _, layer, *rest = name.split("/")
        for header in INCLUDES.findall(text):
            of = header.split("/")[0]
            if rest and layer in layers and of in layers and layers.index(of) > layers.index(layer):
                wrong.append(f"{name}: includes {header}, wanted none of a layer above src/{layer}")
    return wrong


def main() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "src", "python/src"], capture_output=True, text=True, check=True
    ).stdout.split()
    texts = {
        name: Path(name).read_text()
        for name in listed
        if name.endswith((".c", ".cu", ".h", ".cuh")) and Path(name).exists()
    }
    defined = defaultdict(set)
    included_from = defaultdict(set)
    for name, text in texts.items():
        if name.endswith((".c", ".cu")):
            for function in DEFINES.findall(text):
                defined[function].add(name)
        for header in INCLUDES.findall(text):
            included_from[header].add(str(Path(name).parent))
    wrong = includes_upwards(texts)
    for name, text in texts.items():
        if not name.endswith(".h"):
            continue
        own = {name[:-2] + ".c", name[:-2] + ".cu"}
        others = set()
        for function in DECLARES.findall(COMMENT.sub("", text)):
            places = defined.get(function, set())
            others |= places if not places & own else set()
        if own & texts.keys() and not others:
            continue
        folder = str(Path(name).parent)
        users = included_from[name.removeprefix("python/").removeprefix("src/")]
        is_shared = all(f"{user}/".startswith(f"{folder}/") for user in users)
        sentence = f"{'Shared within' if is_shared else 'Interface of'} {folder}."
        comment = COMMENT.search(text)
        if comment is None or sentence not in " ".join(comment[0].replace("*", " ").split()):
            which = f"declares what {min(others)} defines" if others else "has no source of its own"
            wrong.append(f'{name}: {which}; wanted "{sentence}" in the first comment')
    print(*wrong, sep="\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
