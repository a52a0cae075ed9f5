"""Lets torch.compile and torch.export see the operations, which are functions of a C module.

Dynamo, the compiler's front end, is told to trace those of robocache.torch in their place. It takes
a second to import, so that is done when somebody else has imported it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"


def when_compiler_is_there(functions: Iterable[Callable[..., Any]]) -> None:
    """Registers the operations with Dynamo, now or when it is imported."""
    listed = list(functions)
    if _COMPILER in sys.modules:
        _register(listed)
    else:
        sys.meta_path.insert(0, _Finder(listed))


def _register(functions: list[Callable[..., Any]]) -> None:
    compiler = importlib.import_module("torch.compiler")
    substitute = getattr(compiler, "substitute_in_graph", None)
    if substitute is None:  # before PyTorch 2.6
        return
    traceable = importlib.import_module("robocache.torch")
    for function in functions:
        substitute(function, skip_signature_check=True)(_traced(traceable, function.__name__))


def _traced(traceable: ModuleType, name: str) -> Callable[..., Any]:
    target = getattr(traceable, name)

    def call(*args: Any, backend: str | None = None, **kwargs: Any) -> Any:
        return target(*args, **kwargs)

    return call


class _Finder(MetaPathFinder):
    """Finds Dynamo by way of the others, once, and registers after it has been imported."""

    def __init__(self, functions: list[Callable[..., Any]]) -> None:
        self.functions = functions

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> Any:
        if name != _COMPILER:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self.functions)
        return spec


class _Loader(Loader):
    def __init__(self, loader: Loader, functions: list[Callable[..., Any]]) -> None:
        self.loader = loader
        self.functions = functions

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        _register(self.functions)
