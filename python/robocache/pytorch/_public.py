"""What all public functions of the reference do with an error that they did not foresee."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from ..errors import ArgumentTypeError, Error, InvalidArgumentError, OutOfMemoryError

Function = TypeVar("Function", bound=Callable[..., Any])


def public(function: Function) -> Function:
    """Lets only errors of RoboCache out: PyTorch's own become one, whose cause they are."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (Error, MemoryError):
            raise
        except torch.OutOfMemoryError as error:
            raise OutOfMemoryError(f"{function.__name__}: {error}") from error
        except Exception as error:
            kind = ArgumentTypeError if isinstance(error, TypeError) else InvalidArgumentError
            raise kind(f"{function.__name__}: {error}") from error

    return call  # type: ignore[return-value]
