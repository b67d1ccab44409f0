"""How do our counts become the families that Prometheus reads?

Loaded at the first scrape, with prometheus_client: docs/decisions/0029-late.md. What is counted does not wait for that;
it is kept in plain numbers from the start (`gauges`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from proxy.reports.exposition import exposition
from proxy.reports.gauges import Kind, Told

PIECE = 100  # samples of a family that are made at once: about a millisecond's work
_MAKERS: Mapping[Kind, Callable[..., Any]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
    "info": InfoMetricFamily,
}


class Families(Collector):
    """The collector that Prometheus's registry asks, and that registry."""

    def __init__(self, told: Callable[[], Iterable[Told]]) -> None:
        """`told` is asked anew for each scrape."""
        self.registry = CollectorRegistry()
        self._told = told
        for collect in (ProcessCollector, PlatformCollector, GCCollector):
            collect(registry=self.registry)
        self.registry.register(self)
        # prometheus-client's own, which prometheus-async feeds: the first check loads it just as the first scrape does.
        self.checks = Histogram(
            "pillion_health_check_seconds", "How long a provider took to answer a health check.", ["provider"],
            registry=self.registry,
        )  # fmt: skip

    async def text(self, accept: str, without: str | None = None) -> tuple[str, bytes]:
        """The content type, and what a scrape gets: see `exposition`."""
        return await exposition(self.registry, accept, without)

    def collect(self) -> Iterator[Metric]:
        """Long families in pieces, which only `exposition` can put together. Anything may happen between two."""
        for told in self._told():
            yield from _pieces(told)


def _pieces(told: Told) -> Iterator[Metric]:
    """Families of one name, of about PIECE samples each; one at least, though it be empty."""
    make = _MAKERS[told.kind]
    family = make(told.name, told.about, labels=told.labels)
    for row in told.rows:
        if len(family.samples) >= PIECE:
            yield family
            family = make(told.name, told.about, labels=told.labels)
        family.add_metric(*row)
    yield family
