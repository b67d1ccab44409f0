"""What happened?

Counts every call at its end, whatever the end. Base units, prefix `pillion_`. Labels are bounded: an operation, a
provider and a status are ours; a model, or a dropped field, counts under its own name while fewer than NAMES names
were met, then as "other", since clients choose them.

The counts are plain numbers here, and become Prometheus's families when it asks for them: one loop needs none of the
locks and copies of prometheus-client's own counters, at ten of them per call.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import accumulate
from time import monotonic

from msgspec.structs import astuple
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.canon import Usage
from proxy.errors import GatewayError
from proxy.ports import Call, Handler, Reply

NAMES = 100  # of models, and as many of fields
CLIENT_GONE = 499  # as nginx counts a client that left
SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 600)
OVERHEAD = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1)
KINDS = tuple(name for name in Usage.__struct_fields__ if name != "extra")  # of tokens
PLACE = ("provider", "model")


class Spread:
    """How values, in seconds, spread over buckets."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def told(self) -> tuple[list[tuple[str, float]], float]:
        """Cumulative buckets by their upper bounds, and the sum: as the exposition format wants them."""
        names = [*map(str, self._bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self._counts)), strict=True)), self._total


class Place:
    """What happened at one provider with one model."""

    __slots__ = ("duration", "ended", "first_byte", "tokens")

    def __init__(self) -> None:
        self.ended: Counter[tuple[str, int]] = Counter()  # by operation and status
        self.tokens: Counter[str] = Counter()  # by kind
        self.duration = Spread(SECONDS)
        self.first_byte = Spread(SECONDS)


class Metrics(Collector):
    """The middleware, and the collector that Prometheus's registry asks."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._places: dict[tuple[str, str], Place] = {}
        self._models: set[str] = set()
        self._fields: set[str] = set()
        self._overhead = Spread(OVERHEAD)
        self._errors: Counter[tuple[str, str]] = Counter()  # by kind and code
        self._dropped: Counter[str] = Counter()  # by field
        self._in_flight = 0
        for collect in (ProcessCollector, PlatformCollector, GCCollector):
            collect(registry=self.registry)
        self.registry.register(self)

    async def __call__(self, call: Call, handler: Handler) -> Reply:
        self._in_flight += 1
        try:
            reply = await handler(call)
        except BaseException as error:
            self._end(call, _status(error), error)
            raise
        taken = monotonic() - call.started
        self._overhead.observe(taken - call.waited)
        self._place(call).first_byte.observe(taken)
        reply.endings.append(partial(self._end, call, reply.status))
        return reply

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("pillion_requests_in_flight", "Calls under way.", value=self._in_flight)
        requests = CounterMetricFamily(
            "pillion_requests", "Calls that ended, by status.", labels=["operation", *PLACE, "status"]
        )
        tokens = CounterMetricFamily("pillion_tokens", "Tokens, by kind.", labels=[*PLACE, "kind"])
        duration = HistogramMetricFamily(
            "pillion_request_duration_seconds", "From the request to the answer's end.", labels=PLACE
        )
        first_byte = HistogramMetricFamily(
            "pillion_time_to_first_byte_seconds", "From the request to the answer's head.", labels=PLACE
        )
        for where, place in self._places.items():
            for (operation, status), count in place.ended.items():
                requests.add_metric([operation, *where, str(status)], count)
            for kind, count in place.tokens.items():
                tokens.add_metric([*where, kind], count)
            duration.add_metric(where, *place.duration.told())
            first_byte.add_metric(where, *place.first_byte.told())
        yield from (requests, tokens, duration, first_byte)
        overhead = HistogramMetricFamily("pillion_overhead_seconds", "Our own part of the time to the head.")
        overhead.add_metric([], *self._overhead.told())
        yield overhead
        yield _counted("pillion_errors", "Calls that failed, by kind.", ("kind", "code"), self._errors.items())
        dropped = [((name,), count) for name, count in self._dropped.items()]
        yield _counted("pillion_dropped_fields", "Fields that a target's wire lacks.", ("field",), dropped)

    def _end(self, call: Call, status: int, error: BaseException | None) -> None:
        self._in_flight -= 1
        place = self._place(call)
        place.ended[call.operation, status] += 1
        place.duration.observe(monotonic() - call.started)
        if call.dropped:
            self._dropped.update(_bounded(name, self._fields) for name in call.dropped)
        if error is None:
            pass
        elif isinstance(error, GatewayError):
            self._errors[error.kind, error.code] += 1
        else:
            gone = _status(error) == CLIENT_GONE
            self._errors[("client", "client_gone") if gone else ("server_error", "internal_error")] += 1
        if call.usage is not None:
            for kind, count in zip(KINDS, astuple(call.usage), strict=False):  # the last field is no count
                if count:
                    place.tokens[kind] += count

    def _place(self, call: Call) -> Place:
        target = call.target
        where = ("", "") if target is None else (target.adapter.name, _bounded(target.model, self._models))
        if where not in self._places:
            self._places[where] = Place()
        return self._places[where]


def _status(error: BaseException) -> int:
    """What a call that raised this counts as."""
    if isinstance(error, GatewayError):
        return error.status
    return 500 if isinstance(error, Exception) and not isinstance(error, ConnectionError) else CLIENT_GONE


def _bounded(name: str, met: set[str]) -> str:
    if name not in met:
        if len(met) >= NAMES:
            return "other"
        met.add(name)
    return name


def _counted(
    name: str, about: str, labels: Sequence[str], counts: Iterable[tuple[Sequence[str], int]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, about, labels=labels)
    for values, count in counts:
        family.add_metric(values, count)
    return family
