"""What ``/metrics`` shows, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable

from ..optional import require
from .settings import Answer

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counters of one application, in a registry of their own: no numbers of other libraries."""

    def __init__(
        self,
        inside: Callable[[], int],
        uploads: Callable[[], int],
        replicas: Callable[[], int],
    ) -> None:
        """``inside`` counts the pictures accepted and not answered, ``uploads`` open bodies."""
        prometheus = require("prometheus_client", extra="serve")
        self._registry = registry = prometheus.CollectorRegistry()
        self._latest = prometheus.generate_latest
        self.content_type: str = prometheus.CONTENT_TYPE_LATEST
        self._requests = prometheus.Counter(
            "deblur_requests", "Requests for a picture, by status of the answer; 499: the client "
            "left before it.", ["status"], registry=registry,
        )  # fmt: skip
        self._seconds = prometheus.Histogram(
            "deblur_request_seconds", "From the end of a body to its answer, waiting included.",
            registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self._work = prometheus.Counter(
            "deblur_work_seconds", "Time that replicas worked, by step; waiting left out.",
            ["step"], registry=registry,
        )  # fmt: skip
        self._pixels = prometheus.Counter(
            "deblur_pixels", "Pixels of the pictures answered.", registry=registry
        )
        self._bytes = prometheus.Counter(
            "deblur_bytes", "Bytes of bodies, in and out.", ["direction"], registry=registry
        )
        for name, text, count in (
            ("deblur_pictures_inside", "Pictures accepted and not answered yet.", inside),
            ("deblur_uploads", "Bodies that are arriving.", uploads),
            ("deblur_replicas", "Replicas that have the artifact open.", replicas),
        ):
            prometheus.Gauge(name, text, registry=registry).set_function(count)

    def count_request(self, status: int) -> None:
        """Count a request by the status of its answer."""
        self._requests.labels(str(status)).inc()

    def count_answer(self, answer: Answer, received: int, seconds: float) -> None:
        """Count a picture answered, of ``received`` bytes, after ``seconds``."""
        self._seconds.observe(seconds)
        self._pixels.inc(answer.height * answer.width)
        self._bytes.labels("in").inc(received)
        self._bytes.labels("out").inc(len(answer.body))
        around = answer.total_s - answer.decode_s - answer.infer_s
        steps = {"decode": answer.decode_s, "infer": answer.infer_s, "around": max(0.0, around)}
        for step, spent_s in steps.items():
            self._work.labels(step).inc(spent_s)

    def text(self) -> bytes:
        """The page."""
        return self._latest(self._registry)
