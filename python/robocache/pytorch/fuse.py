"""Fusing: several streams resampled onto one clock, side by side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ..errors import ArgumentTypeError, InvalidArgumentError
from ._public import public
from ._tensors import from_torch, store
from .resample import resample


def for_each(option: Any, name: str, count: int) -> list[Any]:
    """Returns one option a stream, from one for all or a list."""
    if not isinstance(option, (list, tuple)):
        return [option] * count
    if len(option) != count:
        raise InvalidArgumentError(
            f"{name}: {len(option)} elements found, {count} wanted, one for each stream"
        )
    return list(option)


def nested(option: Any, name: str, count: int) -> list[Any]:
    """As for_each(), of options that are lists themselves."""
    if option is not None and not isinstance(option, (list, tuple)):
        raise ArgumentTypeError(
            f"{name}: found {option!r}, wanted a list with one element (or None) a stream"
        )
    return for_each(option, name, count)


@public
def fuse_streams(
    streams: Iterable[tuple[Any, Any]],
    target_times: Any,
    *,
    modes: Any = None,
    outside: Any = None,
    lengths: Any = None,
    channels: Any = None,
    max_gap: Any = None,
    tolerance: Any = None,
    nan_missing: bool = False,
    check_times: bool = False,
    return_valid: bool = False,
    out: Any = None,
) -> Any:
    """See :func:`robocache.fuse_streams`."""
    streams = list(streams)
    count = len(streams)
    if count == 0:
        raise InvalidArgumentError("streams: 0 streams found, wanted at least 1")
    options = zip(
        streams,
        for_each(modes, "modes", count),
        for_each(outside, "outside", count),
        nested(lengths, "lengths", count),
        nested(channels, "channels", count),
        for_each(max_gap, "max_gap", count),
        for_each(tolerance, "tolerance", count),
        strict=True,
    )
    results = [
        resample(
            values,
            times,
            target_times,
            mode=mode or "linear",
            outside=policy or "hold",
            lengths=stream_lengths,
            channels=groups,
            max_gap=gap,
            tolerance=within,
            nan_missing=nan_missing,
            check_times=check_times,
        )
        for (values, times), mode, policy, stream_lengths, groups, gap, within in options
    ]
    like = streams[0][0]
    for index, result in enumerate(results):
        if result.values.dtype != results[0].values.dtype:
            raise InvalidArgumentError(
                f"streams[{index}]: dtype {result.values.dtype} found, "
                f"{results[0].values.dtype} wanted as the first"
            )
        if result.values.shape[:-1] != results[0].values.shape[:-1]:
            raise InvalidArgumentError(
                f"streams[{index}]: gives {list(result.values.shape)}, the first "
                f"{list(results[0].values.shape)}"
            )
    fused = store(torch.cat([result.values for result in results], -1), out, like)
    if not return_valid:
        return fused
    return fused, from_torch(torch.stack([result.valid for result in results], -1), like)


@public
def fuse_multimodal(
    vision: Any,
    vision_times: Any,
    proprio: Any,
    proprio_times: Any,
    force: Any,
    force_times: Any,
    target_times: Any,
    *,
    mode: str = "linear",
    modes: Any = None,
    outside: Any = None,
    lengths: Any = None,
    channels: Any = None,
    max_gap: Any = None,
    tolerance: Any = None,
    nan_missing: bool = False,
    check_times: bool = False,
    return_valid: bool = False,
    out: Any = None,
) -> Any:
    """See :func:`robocache.fuse_multimodal`."""
    return fuse_streams(
        [(vision, vision_times), (proprio, proprio_times), (force, force_times)],
        target_times,
        modes=[chosen or mode for chosen in for_each(modes, "modes", 3)],
        outside=outside,
        lengths=lengths,
        channels=channels,
        max_gap=max_gap,
        tolerance=tolerance,
        nan_missing=nan_missing,
        check_times=check_times,
        return_valid=return_valid,
        out=out,
    )
