"""fuse_streams and fuse_multimodal on every backend."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import robocache as rc
from tests.conformance.backends import Backend
from tests.conformance.test_resample import EPOCH_NS

STREAMS = [  # S and D of each stream
    [(30, 512), (100, 32), (50, 16)],
    [(30, 64), (100, 17), (200, 12)],
    [(1, 1), (2, 3), (5, 2), (9, 7), (4, 1)],
    [(40, 8)],
    [(11, 3)] * 17,
]
MODES = ["linear", "hold", "nearest", "cubic"]


def make(seed: int, sizes: list[tuple[int, int]], batch: int, count: int, dtype: torch.dtype):
    rng = np.random.default_rng(seed)
    streams = []
    for length, width in sizes:
        times = EPOCH_NS + np.sort(rng.integers(0, 10**9, (batch, length)), axis=1)
        values = torch.as_tensor(rng.uniform(-2, 2, (batch, length, width))).to(dtype)
        streams.append((values, torch.as_tensor(times)))
    targets = torch.as_tensor(EPOCH_NS + np.sort(rng.integers(-(10**7), 10**9, (batch, count)), 1))
    return streams, targets


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("sizes", STREAMS, ids=str)
def test_fuse_is_resamples_side_by_side(
    backend: Backend, sizes: list[tuple[int, int]], dtype: torch.dtype
) -> None:
    for count in (1, 50, 129):
        streams, targets = make(len(sizes), sizes, 3, count, dtype)
        streams = [(v.to(backend.device), t.to(backend.device)) for v, t in streams]
        targets = targets.to(backend.device)
        modes = [MODES[i % len(MODES)] for i in range(len(streams))]
        fused, valid = rc.fuse_streams(
            streams, targets, modes=modes, return_valid=True, backend=backend.argument
        )
        parts = [
            rc.resample_trajectories(
                v, t, targets, mode=m, return_valid=True, backend=backend.argument
            )
            for (v, t), m in zip(streams, modes, strict=True)
        ]
        assert torch.equal(fused, torch.cat([p[0] for p in parts], dim=2))
        assert torch.equal(valid, torch.stack([p[1] for p in parts], dim=2))
        out = torch.full_like(fused, float("nan"))
        assert (
            rc.fuse_streams(streams, targets, modes=modes, out=out, backend=backend.argument) is out
        )
        assert torch.equal(out, fused)


def test_three_streams(backend: Backend) -> None:
    streams, targets = make(5, STREAMS[0], 2, 50, torch.float32)
    flat = [x.to(backend.device) for pair in streams for x in pair]
    targets = targets.to(backend.device)
    fused = rc.fuse_multimodal(*flat, targets, backend=backend.argument)
    pairs = list(zip(flat[::2], flat[1::2], strict=True))
    assert torch.equal(fused, rc.fuse_streams(pairs, targets, backend=backend.argument))


@pytest.mark.parametrize("shape", [(0, 4, 2, 5), (2, 0, 2, 5), (2, 4, 0, 5), (2, 4, 2, 0)], ids=str)
def test_empty(backend: Backend, shape: tuple[int, int, int, int]) -> None:
    """Nothing in one of the batch, the samples, the channels or the targets."""
    b, s, d, t = shape
    values = backend.tensor(np.ones((b, s, d), np.float32))
    stamps = backend.tensor(np.tile(np.arange(s), (b, 1)))
    targets = backend.tensor(np.tile(np.arange(t), (b, 1)))
    fused, valid = rc.fuse_streams(
        [(values, stamps)] * 2, targets, return_valid=True, backend=backend.argument
    )
    assert tuple(fused.shape) == (b, t, 2 * d)
    assert tuple(valid.shape) == (b, t, 2)
    assert bool((fused == (0 if s == 0 else 1)).all())
    within = np.broadcast_to(np.arange(t)[:, None] < s, (b, t, 2))
    np.testing.assert_array_equal(valid.cpu().numpy().astype(bool), within)


def test_stream_without_channels(backend: Backend) -> None:
    """Its column of the mask is what it would be with channels, beside wide and narrow streams."""
    streams, targets = make(8, [(30, 64), (25, 4), (1, 3)], 2, 70, torch.float32)
    streams = [(v.to(backend.device), t.to(backend.device)) for v, t in streams]
    targets = targets.to(backend.device)
    expected, mask = rc.fuse_streams(
        streams, targets, return_valid=True, max_gap=10**8, backend=backend.argument
    )
    assert bool(mask.any())
    assert not bool(mask.all())
    streams[1] = (streams[1][0][..., :0], streams[1][1])
    fused, valid = rc.fuse_streams(
        streams, targets, return_valid=True, max_gap=10**8, backend=backend.argument
    )
    assert torch.equal(fused, torch.cat([expected[..., :64], expected[..., 68:]], dim=2))
    assert torch.equal(valid, mask)


def test_streams_from_an_iterator(backend: Backend) -> None:
    streams, targets = make(9, [(30, 4), (20, 3)], 2, 50, torch.float32)
    streams = [(v.to(backend.device), t.to(backend.device)) for v, t in streams]
    targets = targets.to(backend.device)
    expected = rc.fuse_streams(streams, targets, backend=backend.argument)
    assert torch.equal(rc.fuse_streams(iter(streams), targets, backend=backend.argument), expected)
