"""The counters of loaders in the text format of Prometheus, and a server of it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .. import _arguments
from ..errors import Error, IoError
from .gpus import gpu_figures
from .snapshot import GPU_WORKS, STAGES, snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Labels of a value, beside that of its loader, and the value.
_Values = Iterable[tuple[dict[str, str], float]]
# Labels, and what figures are read from: a snapshot, or what is told of a GPU.
_Found = list[tuple[dict[str, str], Mapping[str, Any]]]


@dataclass(frozen=True)
class Metric:
    """One metric: how it is called, what it counts, and its values in a snapshot."""

    name: str
    kind: str  # "counter" or "gauge"
    meaning: str
    values: Callable[[Mapping[str, Any]], _Values]


def _one(key: str, scale: float = 1) -> Callable[[Mapping[str, Any]], _Values]:
    return lambda stats: [({}, stats[key] * scale)]


def _stages(key: str, scale: float = 1) -> Callable[[Mapping[str, Any]], _Values]:
    return lambda stats: [({"stage": each}, stats[key.format(each)] * scale) for each in STAGES]


def _works(stats: Mapping[str, Any]) -> _Values:
    return [({"work": each}, stats[f"gpu_{each}_ns"] * 1e-9) for each in GPU_WORKS]


def _memory(stats: Mapping[str, Any]) -> _Values:
    kinds = ("slots", "episode", "block", "decoder", "fetched")
    return [({"of": kind}, stats[f"{kind}_bytes"]) for kind in kinds]


def _gpu(key: str) -> Callable[[Mapping[str, Any]], _Values]:
    return lambda figures: [({"gpu": str(figures["gpu"])}, figures[key])]


LOADER_METRICS = (
    Metric("batches_total", "counter", "batches delivered", _one("batches_delivered")),
    Metric("samples_total", "counter", "samples delivered", _one("samples_delivered")),
    Metric("samples_skipped_total", "counter", "samples left out", _one("samples_skipped")),
    Metric("samples_masked_total", "counter", "samples masked", _one("samples_masked")),
    Metric("images_total", "counter", "images decoded", _one("images_decoded")),
    Metric(
        "images_on_device_total",
        "counter",
        "of them, by the GPU that batches are on",
        _one("images_on_device"),
    ),
    Metric(
        "wait_seconds_total",
        "counter",
        "the training loop waited, by the stage that it waited for",
        _stages("wait_{}_ns", 1e-9),
    ),
    Metric(
        "outside_seconds_total",
        "counter",
        "between calls of next(): the training loop's own time",
        _one("outside_ns", 1e-9),
    ),
    Metric(
        "stage_seconds_total",
        "counter",
        "in each stage, summed over threads; deliver: in next() beside waiting",
        _stages("stage_{}_ns", 1e-9),
    ),
    Metric(
        "stage_bytes_total", "counter", "that came out of each stage", _stages("stage_{}_bytes")
    ),
    Metric(
        "device_seconds_total",
        "counter",
        "the GPU that batches are on took for copies, decoding, ..., summed over workers",
        _works,
    ),
    Metric(
        "idle_seconds_total",
        "counter",
        "worker threads had nothing to do, summed",
        _one("idle_ns", 1e-9),
    ),
    Metric("epoch", "gauge", "that is delivered", _one("epoch")),
    Metric("position", "gauge", "samples of the epoch that all ranks were given", _one("position")),
    Metric("samples", "gauge", "of an epoch", _one("num_samples")),
    Metric("batches_begun", "gauge", "begun and not delivered", _one("batches_begun")),
    Metric("batches_ready", "gauge", "of them, ready to be delivered", _one("batches_ready")),
    Metric(
        "ranges_fetched", "gauge", "parts of batches that wait for a worker", _one("ranges_fetched")
    ),
    Metric("threads", "gauge", "worker threads", _one("threads")),
    Metric("threads_idle", "gauge", "of them, with nothing to do", _one("threads_idle")),
    Metric("fetchers", "gauge", "threads that only fetch", _one("fetchers")),
    Metric("slots", "gauge", "memory of batches, allocated", _one("slots")),
    Metric("slots_in_use", "gauge", "of them, being filled, ready or held", _one("slots_in_use")),
    Metric("memory_bytes", "gauge", "held, by what", _memory),
    Metric("memory_bound_bytes", "gauge", "that may be held", _one("memory_bytes")),
)

GPU_METRICS = (
    Metric("gpu_busy_ratio", "gauge", "of the last moments, by NVML", _gpu("busy")),
    Metric("gpu_memory_bytes", "gauge", "in use, by NVML", _gpu("memory_bytes")),
)


def prometheus_text(loaders: Any, *, gpus: bool = True) -> str:
    """Returns the metrics of loaders in Prometheus' text format 0.0.4.

    Args:
        loaders: one, or a mapping of names, which become the label ``loader``, to loaders; one
            alone is called "0". A loader that is closed is left out.
        gpus: whether to add what GPUs do, see :func:`gpu_figures`.
    """
    named = loaders if isinstance(loaders, Mapping) else {"0": loaders}
    found: _Found = []
    for name, loader in list(named.items()):  # others may come meanwhile
        try:
            found.append(({"loader": str(name)}, snapshot(loader, gpus=False)))
        except Error:  # closed
            continue
    lines = [line for metric in LOADER_METRICS for line in _format(metric, found)]
    figures: _Found = [({}, each) for each in (gpu_figures() if gpus else [])]
    lines += [line for metric in GPU_METRICS for line in _format(metric, figures)]
    return "".join(f"{line}\n" for line in lines)


def _format(metric: Metric, found: _Found) -> Iterator[str]:
    if not found:
        return
    name = f"robocache_{metric.name}"
    yield f"# HELP {name} {metric.meaning}"
    yield f"# TYPE {name} {metric.kind}"
    for labels, stats in found:
        for more, value in metric.values(stats):
            both = ",".join(f'{key}="{_escaped(text)}"' for key, text in {**labels, **more}.items())
            yield f"{name}{{{both}}} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class MetricsServer:
    """Answers GET /metrics, see :func:`serve_metrics`. A context manager."""

    def __init__(self, loaders: Any, port: int, host: str, *, gpus: bool) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.split("?")[0] != "/metrics":
                    self.send_error(404, "wanted /metrics")
                    return
                content = prometheus_text(loaders, gpus=gpus).encode()
                self.send_response(200)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Says nothing: stderr is the training loop's."""

        try:
            self._server = http.server.ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise IoError(f"{host}:{port}: cannot be served: {error.strerror}") from error
        self._server.daemon_threads = True
        self.host = host
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="robocache metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stops answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> MetricsServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def serve_metrics(
    loaders: Any, port: int = 0, host: str = "127.0.0.1", *, gpus: bool = True
) -> MetricsServer:
    """Serves :func:`prometheus_text` at ``http://host:port/metrics`` until it is closed.

    Args:
        loaders: as of prometheus_text(); a mapping may get others while it is served.
        port: 0 takes any that is free, which ``.port`` tells.
        host: who may ask: by default this machine alone; "0.0.0.0" lets everybody.
        gpus: as of prometheus_text().

    Raises:
        OSError: the port cannot be had.
    """
    port = _arguments.integer("port", port, 0, 65535)
    return MetricsServer(loaders, port, _arguments.string("host", host), gpus=gpus)
