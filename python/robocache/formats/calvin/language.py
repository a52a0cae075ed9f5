"""CALVIN's language annotations, `auto_lang_ann.npy`: a pickled dict, which is never executed.

The pickle's operations are gone through one by one, and build dicts, lists, texts, numbers and
NumPy arrays of numbers. What a pickle could call besides is an error that names it. Memory is
bounded by the file's size.

Opened as a dataset (`Dataset.segments("language")`), an episode is a span that has an instruction.
"""

from __future__ import annotations

import io
import math
import os
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import FormatError, UnsupportedError
from .. import there
from ..npy_header import read_npy_header

if TYPE_CHECKING:
    from ..indexer import Indexer

__all__ = ["Annotation", "find_annotations", "index", "parse_annotations", "read_annotations"]

_MAX_BYTES = 1 << 30
_NUMBERS = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")
_GLOBALS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    ("__builtin__", "bytes"),  # of none: protocol 2 has no others
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
    *((f"numpy.{core}.multiarray", "scalar") for core in ("core", "_core")),
}


@dataclass(frozen=True)
class Annotation:
    """An instruction and the steps that it is about, `first` to `last`, the last one too."""

    first: int
    last: int
    text: str
    task: str


def index(path: str, dataset: Indexer) -> None:
    """Declares streams and parts: an episode is an annotated span."""
    from . import index_segments

    index_segments(path, dataset)


def find_annotations(folder: str) -> str | None:
    """Returns the file with the annotations of a split, None where it has none."""
    with os.scandir(folder) as entries:
        names = (entry.name for entry in entries if entry.name.startswith("lang"))
        folders = sorted(names, key=lambda name: (name != "lang_annotations", name))
    for name in (*folders, ""):
        file = os.path.join(folder, name, "auto_lang_ann.npy")
        if there.is_file(file):
            return file
    return None


def read_annotations(file: str) -> list[Annotation]:
    """Returns what the file says, in its order.

    Raises:
        FormatError: it is not as CALVIN writes it; names byte and what was found.
        UnsupportedError: it is larger than 1 GiB.
    """
    with open(file, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > _MAX_BYTES:
            raise UnsupportedError(f"{file}: {size} bytes of annotations, at most {_MAX_BYTES} are")
        return parse_annotations(stream.read(), file)


def parse_annotations(data: bytes, file: str) -> list[Annotation]:
    """Returns what the content of a file says; `file` begins messages."""
    found = _read_pickled(data, file)
    spans = _member(file, found, "info", "indx")
    texts = _member(file, found, "language", "ann")
    tasks = _member(file, found, "language", "task", otherwise=[""] * len(texts))
    if not len(spans) == len(texts) == len(tasks):
        raise FormatError(
            f"{file}: found {len(spans)} of info.indx, {len(texts)} of language.ann and "
            f"{len(tasks)} of language.task, wanted as many of each"
        )
    annotations = []
    for number, (span, text, task) in enumerate(zip(spans, texts, tasks, strict=True)):
        first, last = _span(f"{file}: info.indx[{number}]", span)
        for name, value in (("ann", text), ("task", task)):
            if not isinstance(value, str):
                raise FormatError(
                    f"{file}: language.{name}[{number}]: found {type(value).__name__}, wanted text"
                )
        annotations.append(Annotation(first, last, text, task))
    return annotations


def _member(file: str, found: Any, outer: str, inner: str, otherwise: Any = None) -> list[Any]:
    value = found.get(outer) if isinstance(found, dict) else None
    value = value.get(inner, otherwise) if isinstance(value, dict) else None
    if isinstance(value, _Array):
        value = value.items(f"{file}: {outer}.{inner}")
    if not isinstance(value, (list, tuple)):
        raise FormatError(f"{file}: found no list {outer}.{inner} in it")
    return list(value)


def _span(what: str, span: Any) -> tuple[int, int]:
    if isinstance(span, _Array) and span.shape in ((), (2,)):
        span = span.items(what)
    numbers = span if isinstance(span, (tuple, list)) and len(span) == 2 else ()
    if not numbers or not all(type(number) is int for number in numbers):
        found = [_shown(number) for number in numbers] or _shown(span)
        raise FormatError(f"{what}: found {found}, wanted two integers")
    first, last = numbers
    if not 0 <= first <= last < 2**62:
        raise FormatError(f"{what}: found steps {_shown(first)} to {_shown(last)}")
    return first, last


def _shown(value: Any) -> str:
    """Returns what messages say of a value, however large, and however deep it nests."""
    if isinstance(value, str):
        return repr(value[:60])
    if type(value) is int and -(2**64) < value < 2**64:
        return str(value)
    return f"a {type(value).__name__}"


# ---- a pickle, gone through without being executed ----------------------------------------------


@dataclass
class _Global:
    """A name that the pickle would import; one of those that are known."""

    module: str
    name: str


@dataclass
class _Dtype:
    text: str


@dataclass
class _Array:
    """A NumPy array as its pickle describes it."""

    shape: tuple[int, ...] = ()
    dtype: str = ""
    data: bytes | bytearray | list[Any] = field(default=b"")

    def items(self, what: str) -> list[Any]:
        """Returns it as nested lists; of objects only where it has one axis or none."""
        import numpy

        if not self.dtype:
            raise FormatError(f"{what}: found an array without values")
        if isinstance(self.data, list):
            if len(self.shape) > 1:
                raise FormatError(f"{what}: found an array of objects of {len(self.shape)} axes")
            return self.data
        array = numpy.frombuffer(self.data, self.dtype).reshape(self.shape)
        listed = array.tolist()
        return listed if isinstance(listed, list) else [listed]


class _Machine:
    """Builds what a pickle describes, of at most `room` bytes that are not the pickle's own."""

    def __init__(self, room: int) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.room = room

    def step(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[int(argument)] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self.memo[int(argument)])
        elif name in _OPERATIONS:
            _OPERATIONS[name](self)
        elif name == "GLOBAL":
            self.stack.append(_known(*argument.split(" ", 1)))
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise ValueError("wanted dicts, lists, texts, numbers and NumPy arrays alone")

    def spend(self, num_bytes: int) -> None:
        """Takes so many bytes of the room for what the pickle does not hold itself."""
        self.room -= num_bytes
        if self.room < 0:
            raise ValueError("makes more of its texts than the file has bytes")

    def pop_mark(self) -> list[Any]:
        """Returns what lies above the last mark, which goes too."""
        at = self.marks.pop()
        items = self.stack[at:]
        del self.stack[at:]
        return items

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def memoize(self) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def append(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("appends to what is no list")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise ValueError("sets items of what is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, (str, int)):
                raise ValueError(f"found a key of type {type(key).__name__}")
            self.stack[-1][key] = value

    def tuple_of(self, count: int) -> None:
        items = [self.stack.pop() for _ in range(count)]
        self.stack.append(tuple(items[::-1]))

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(_known(module, name))

    def reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Global) or not isinstance(arguments, tuple):
            raise ValueError("calls what is no function")
        self.stack.append(_call(self, function, arguments))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Dtype) and isinstance(state, tuple) and len(state) > 1:
            if state[1] not in ("<", ">", "|", "="):
                raise ValueError(f"found the byte order {_shown(state[1])}")
            target.text = state[1] + target.text.lstrip("<>|=")
        elif isinstance(target, _Array) and isinstance(state, tuple) and len(state) == 5:
            _fill(self, target, *state[1:])
        else:
            raise ValueError("sets the state of what is no array")


def _known(module: Any, name: Any) -> _Global:
    is_named = isinstance(module, str) and isinstance(name, str)
    if not is_named or (module, name) not in _GLOBALS:
        raise ValueError(f"would import {_shown(module)}.{_shown(name)}, which nobody calls here")
    return _Global(module, name)


def _call(machine: _Machine, function: _Global, arguments: tuple[Any, ...]) -> Any:
    """Returns what the few functions that NumPy's pickles name would make."""
    if function.name == "_reconstruct":
        return _Array()
    if function.name == "dtype" and arguments and isinstance(arguments[0], str):
        if arguments[0] != "O8" and arguments[0] != "O" and not _NUMBERS.fullmatch(arguments[0]):
            raise ValueError(f"found the dtype {_shown(arguments[0])}")
        return _Dtype(arguments[0])
    if function.name == "bytes" and not arguments:
        return b""
    if function.name == "encode" and len(arguments) == 2 and isinstance(arguments[0], str):
        if arguments[1] not in ("latin1", "latin-1"):
            raise ValueError(f"found the encoding {_shown(arguments[1])}")
        machine.spend(len(arguments[0]))
        return arguments[0].encode("latin-1")
    if function.name == "scalar" and len(arguments) == 2:
        array = _Array()
        _fill(machine, array, (1,), arguments[0], False, arguments[1])
        return array.items("a number")[0]
    if function.name == "_frombuffer" and len(arguments) == 4 and arguments[3] == "C":
        array = _Array()
        _fill(machine, array, arguments[2], arguments[1], False, arguments[0])
        return array
    raise ValueError(f"calls {function.name} with what it does not take")


def _fill(
    machine: _Machine, array: _Array, shape: Any, dtype: Any, is_fortran: Any, data: Any
) -> None:
    if not isinstance(shape, tuple) or not all(
        type(extent) is int and extent >= 0 for extent in shape
    ):
        raise ValueError("found an array whose shape is no tuple of extents")
    if not isinstance(dtype, _Dtype) or len(shape) > 32 or (is_fortran and len(shape) > 1):
        raise ValueError("found an array of another kind than NumPy's in C order")
    count = math.prod(shape)
    if dtype.text.lstrip("<>|=").startswith("O"):
        if not isinstance(data, list) or len(data) != count:
            raise ValueError("found no list of as many objects as the array's shape has")
    else:
        if isinstance(data, str):  # Python 2 wrote bytes as text
            machine.spend(len(data))
            data = data.encode("latin-1")
        wanted = count * int(dtype.text[-1])
        if not isinstance(data, (bytes, bytearray)) or len(data) != wanted:
            raise ValueError("found another number of bytes than the array's shape has")
        if count == 0:  # which may have more axes and rows than memory can hold
            shape = (0,)
    array.shape, array.dtype, array.data = shape, dtype.text, data


_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    "BYTEARRAY8",
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}
_OPERATIONS: dict[str, Callable[[_Machine], None]] = {
    "MARK": _Machine.mark,
    "MEMOIZE": _Machine.memoize,
    "APPEND": lambda m: m.append([m.stack.pop()]),
    "APPENDS": lambda m: m.append(m.pop_mark()),
    "LIST": lambda m: m.stack.append(m.pop_mark()),
    "TUPLE": lambda m: m.stack.append(tuple(m.pop_mark())),
    "TUPLE1": lambda m: m.tuple_of(1),
    "TUPLE2": lambda m: m.tuple_of(2),
    "TUPLE3": lambda m: m.tuple_of(3),
    "SETITEM": lambda m: m.set_items([m.stack.pop(), m.stack.pop()][::-1]),
    "SETITEMS": lambda m: m.set_items(m.pop_mark()),
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}


def _read_pickled(data: bytes, file: str) -> Any:
    """Returns the object of a .npy file that holds one."""
    header = io.BytesIO(data)
    shape, _, dtype = read_npy_header(header, f"{file}: byte 0")
    if shape != () or dtype.kind != "O":
        raise FormatError(f"{file}: found an array {dtype} {shape}, wanted one pickled dict")
    machine = _Machine(room=len(data))
    begin = header.tell()
    at, name = begin, "nothing"
    try:
        for operation, argument, position in pickletools.genops(header):
            at, name = position or begin, operation.name
            machine.step(name, argument)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise FormatError(f"{file}: byte {at}: pickle: {name}: {error}") from None
    if name != "STOP" or len(machine.stack) != 1:
        raise FormatError(f"{file}: byte {at}: pickle: found {len(machine.stack)} objects, not one")
    filled = machine.stack[0]
    if isinstance(filled, _Array) and isinstance(filled.data, list) and len(filled.data) == 1:
        return filled.data[0]  # numpy.save() pickles the array that holds the dict
    return filled
