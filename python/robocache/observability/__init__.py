"""Where the time of a training loop goes: a live line, rates, metrics for Prometheus, NVTX ranges.

All of it reads :meth:`robocache.DataLoader.stats`, whose counters are kept anyway: none of it slows
a loader down, and nothing runs or listens that was not asked for. Every function here takes a
:class:`robocache.DataLoader` or one of :mod:`robocache.datasets`.
"""

from __future__ import annotations

from .gpus import gpu_figures
from .line import Watch, watch
from .nvtx import annotate
from .prometheus import MetricsServer, prometheus_text, serve_metrics
from .snapshot import GPU_WORKS, STAGES, format_waits, rates, snapshot

__all__ = [
    "GPU_WORKS",
    "STAGES",
    "MetricsServer",
    "Watch",
    "annotate",
    "format_waits",
    "gpu_figures",
    "prometheus_text",
    "rates",
    "serve_metrics",
    "snapshot",
    "watch",
]
