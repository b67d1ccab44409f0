"""Is all counted that happens, under names that nobody can multiply, and told without keeping anybody waiting?"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
from prometheus_client.parser import text_string_to_metric_families as read_text

from proxy.adapters.echo import Echo
from proxy.canon import Iteration, Usage
from proxy.config import load
from proxy.errors import BadRequest, Busy, Down, GatewayError, OverBudget, Timeout, UnknownModel
from proxy.middleware import metrics as counting
from proxy.middleware.metrics import Metrics
from proxy.middleware.witness import Witness
from proxy.ports import Call, Reply, Target
from proxy.reports import families
from proxy.reports.exposition import OPEN, exposition
from proxy.reports.families import Families
from proxy.reports.gauges import SECONDS
from tests.client import OPENAI, Headers, Place, ask, chat, client
from tests.evil import Evil, Scenario
from tests.gateway import pillion
from tests.test_middleware import call

Labels = tuple[str, ...]


class Counts:
    """A Metrics that knows one configured model, and what it counts."""

    def __init__(self) -> None:
        self.metrics = Metrics({"echo": {"m"}})
        self.families = Families(self.metrics.told)

    def samples(self, name: str) -> dict[Labels, float]:
        return dict(self._found(name))

    def _found(self, name: str) -> Iterator[tuple[Labels, float]]:
        for family in self.families.registry.collect():
            yield from (
                (tuple(sample.labels.values()), sample.value) for sample in family.samples if sample.name == name
            )

    async def ask(self, asked: Call, error: BaseException | None = None) -> Reply:
        """The reply; or, where there is an error, an empty one."""

        async def handler(call: Call) -> Reply:
            if error is not None:
                raise error
            return Reply(200, [], b"")

        async def attempt(call: Call) -> Reply:
            if call.target is not None:
                self.metrics.attempted(call, error)
            return await handler(call)

        if error is None:
            return await Witness(self.metrics.ended)(asked, attempt)
        with pytest.raises(type(error)):
            await Witness(self.metrics.ended)(asked, attempt)
        await asyncio.sleep(0)  # what ends in one turn of the loop is counted in the next
        return Reply(0, [], b"")

    async def answer(self, asked: Call, error: BaseException | None = None) -> None:
        """Ask, and end the answer so."""
        (ending,) = (await self.ask(asked)).endings
        ending(error)
        await asyncio.sleep(0)

    def models(self) -> dict[str, float]:
        counted: dict[str, float] = {}
        for labels, count in self.samples("pillion_requests_total").items():
            counted[labels[2]] = counted.get(labels[2], 0) + count
        return counted


def targeted(model: str = "m") -> Call:
    asked = call()
    asked.target = Target(Echo("echo"), model)
    return asked


# --- what is counted -------------------------------------------------------------------------------------------------


async def test_a_call_counts_at_its_end() -> None:
    counts = Counts()
    asked = targeted()
    reply = await counts.ask(asked)
    assert counts.samples("pillion_requests_total") == {}
    (ending,) = reply.endings
    ending(None)
    await asyncio.sleep(0)
    assert counts.samples("pillion_requests_total") == {("chat", "echo", "m", "200"): 1}
    assert counts.samples("pillion_request_duration_seconds_count") == {("echo", "m"): 1}
    assert counts.samples("pillion_time_to_first_byte_seconds_count") == {("echo", "m"): 1}
    assert counts.samples("pillion_overhead_seconds_count") == {(): 1}
    assert counts.samples("pillion_upstream_attempts_total") == {("echo",): 1}


async def test_tokens_are_those_of_attempts() -> None:
    counts, asked = Counts(), targeted()
    asked.usage = Usage(input=5, output=2, cache_read=3)
    assert asked.target is not None
    counts.metrics.paid(asked.target, 1, False, True, asked.usage)
    counts.metrics.paid(asked.target, 1, False, True, Usage(input=60, beside=(Iteration("", Usage(output=7)),)))
    counts.metrics.paid(asked.target, 1, False, True, None)
    await counts.answer(asked)
    assert counts.samples("pillion_tokens_total") == {
        ("echo", "m", "input"): 65,
        ("echo", "m", "output"): 9,
        ("echo", "m", "cache_read"): 3,
    }


FAILURES = [
    (Busy("slow"), "429", ("rate_limit", "rate_limit_exceeded")),
    (Down("gone", code="upstream_cut"), "502", ("server_error", "upstream_cut")),
    (BadRequest("no"), "400", ("invalid_request", "invalid_request")),
    (GatewayError("a bug"), "500", ("server_error", "internal_error")),
    (ValueError("a bug"), "500", ("server_error", "internal_error")),
    (asyncio.CancelledError(), "499", ("client", "client_gone")),
    (asyncio.CancelledError("interrupted"), "503", ("server_error", "shutting_down")),
    (ConnectionResetError(), "499", ("client", "client_gone")),
    (ConnectionAbortedError(), "499", ("client", "client_stalled")),
]


@pytest.mark.parametrize(("error", "status", "kind"), FAILURES, ids=repr)
async def test_a_call_that_fails_counts_by_its_kind(error: BaseException, status: str, kind: tuple[str, str]) -> None:
    counts = Counts()
    await counts.ask(targeted(), error)
    assert counts.samples("pillion_requests_total") == {("chat", "echo", "m", status): 1}
    assert counts.samples("pillion_errors_total") == {kind: 1}


async def test_a_stream_that_breaks_counts_under_its_head_and_as_an_error() -> None:
    counts = Counts()
    await counts.answer(targeted(), Down("gone", code="upstream_cut"))
    assert counts.samples("pillion_requests_total") == {("chat", "echo", "m", "200"): 1}
    assert counts.samples("pillion_errors_total") == {("server_error", "upstream_cut"): 1}


@pytest.mark.parametrize(
    ("error", "broken"),
    [
        (Down("gone", code="upstream_cut"), {("echo", "upstream_cut"): 1}),
        (Timeout("silent", code="idle_timeout"), {("echo", "idle_timeout"): 1}),
        (OverBudget("spent"), {}),  # its client, or the operator, has it so
        (asyncio.CancelledError(), {}),
        (ConnectionResetError(), {}),
    ],
)
async def test_an_answer_that_its_provider_breaks_counts_as_broken(
    error: BaseException, broken: dict[tuple[str, ...], float]
) -> None:
    counts = Counts()
    await counts.answer(targeted(), error)
    assert counts.samples("pillion_broken_answers_total") == broken


async def test_a_call_that_fails_before_its_head_is_no_broken_answer() -> None:
    counts = Counts()
    await counts.ask(targeted(), Down("gone", code="upstream_cut"))
    assert counts.samples("pillion_broken_answers_total") == {}


async def test_a_call_without_a_target_counts_without_one() -> None:
    counts = Counts()
    await counts.ask(call(), UnknownModel("no"))
    assert counts.samples("pillion_requests_total") == {("chat", "", "", "404"): 1}


@pytest.mark.parametrize("is_live", [False, True], ids=["before the head", "after it"])
async def test_an_error_of_a_provider_counts_once_against_it(is_live: bool) -> None:
    counts = Counts()
    error = Down("gone", code="upstream_cut")
    await (counts.answer(targeted(), error) if is_live else counts.ask(targeted(), error))
    assert counts.samples("pillion_upstream_errors_total") == {("echo", "server_error", "upstream_cut"): 1}
    assert counts.samples("pillion_upstream_attempts_total") == {("echo",): 1}


async def test_what_is_the_clients_fault_is_not_counted_against_a_provider() -> None:
    counts = Counts()
    await counts.ask(targeted(), BadRequest("no"))
    assert counts.samples("pillion_upstream_errors_total") == {}


@pytest.mark.parametrize(
    ("error", "timer"),
    [
        (Timeout("slow", code="connect_timeout"), ("connect", "echo")),
        (Timeout("slow", code="first_event_timeout"), ("first_event", "echo")),
        (BadRequest("slow", status=408, code="body_timeout"), ("body", "")),
        (ConnectionAbortedError(), ("write", "")),
    ],
    ids=repr,
)
async def test_a_timer_that_ran_out_counts_by_its_name_and_provider(error: BaseException, timer: Labels) -> None:
    counts = Counts()
    samples = counts.samples("pillion_timeouts_total")
    assert set(samples.values()) == {0}  # so that a rate of it can be asked for
    assert timer in samples
    await counts.ask(targeted(), error)
    assert counts.samples("pillion_timeouts_total")[timer] == 1
    assert sum(counts.samples("pillion_timeouts_total").values()) == 1


async def test_a_clients_time_that_was_over_before_a_provider_was_chosen_counts_without_one() -> None:
    counts = Counts()
    assert counts.samples("pillion_timeouts_total")["total", ""] == 0
    await counts.ask(call(), GatewayError("late", status=504, kind="timeout", code="total_timeout"))
    assert counts.samples("pillion_timeouts_total")["total", ""] == 1


async def test_a_timer_counts_also_where_another_target_answered() -> None:
    counts = Counts()
    counts.metrics.attempted(targeted(), Timeout("slow", code="headers_timeout"))
    await counts.answer(targeted())
    assert counts.samples("pillion_timeouts_total")["headers", "echo"] == 1
    assert sum(counts.samples("pillion_timeouts_total").values()) == 1


async def test_a_timeout_that_a_provider_speaks_of_is_no_timer_of_ours() -> None:
    counts = Counts()
    await counts.ask(targeted(), Timeout("the provider's own 504"))
    assert sum(counts.samples("pillion_timeouts_total").values()) == 0


async def test_a_client_that_leaves_counts_by_when() -> None:
    counts = Counts()
    await counts.ask(targeted(), asyncio.CancelledError())
    await counts.answer(targeted(), ConnectionResetError())
    await counts.answer(targeted(), Down("not the client"))
    assert counts.samples("pillion_client_aborts_total") == {("before_head",): 1, ("after_head",): 1}


@pytest.mark.parametrize("whose", ["waited", "delayed"])
async def test_the_time_of_the_provider_or_the_client_is_not_overhead(whose: str) -> None:
    counts = Counts()
    asked = targeted()
    asked.started -= 50
    setattr(asked, whose, 50)
    await counts.answer(asked)
    assert counts.samples("pillion_overhead_seconds_sum")[()] < 50
    assert counts.samples("pillion_time_to_first_byte_seconds_sum")["echo", "m"] >= 50
    buckets = {label[2]: count for label, count in counts.samples("pillion_time_to_first_byte_seconds_bucket").items()}
    assert (buckets["50"], buckets["100"], buckets["+Inf"]) == (0, 1, 1)


# --- names -----------------------------------------------------------------------------------------------------------


async def test_a_model_counts_by_its_name_once_it_is_configured_listed_or_answered_for() -> None:
    counts = Counts()
    for model in ("m", "text", "new"):  # configured; echo's own; neither
        await counts.ask(targeted(model), Busy("slow"))
    assert counts.models() == {"m": 1, "text": 1, "other": 1}
    await counts.answer(targeted("new"))
    await counts.ask(targeted("new"), Busy("slow"))
    assert counts.models() == {"m": 1, "text": 1, "other": 1, "new": 2}


async def test_names_that_mean_nothing_take_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "NAMES", 2)
    counts = Counts()
    for number in range(10):
        await counts.ask(targeted(f"guess-{number}"), Busy("slow"))
    for number in (1, 2, 3, 4, 1):
        await counts.answer(targeted(f"m{number}"))
    await counts.answer(targeted("m"))  # there is always room for what is configured
    assert counts.models() == {"other": 12, "m1": 2, "m2": 1, "m": 1}


async def test_an_estimate_of_tokens_is_nobodys_answer_for_a_model() -> None:
    counts = Counts()
    asked = targeted("guess")
    asked.operation = "count_tokens"
    await counts.answer(asked)
    assert counts.models() == {"other": 1}


@pytest.mark.parametrize("name", ["a\nb", "a\udce9", "x" * 101], ids=ascii)
async def test_what_is_no_label_is_other(name: str) -> None:
    counts = Counts()
    asked = targeted(name)
    asked.dropped = (name,)
    await counts.answer(asked)
    await counts.ask(targeted(), Down("odd", code=name))
    assert counts.models() == {"other": 1, "m": 1}
    assert counts.samples("pillion_dropped_fields_total") == {("other",): 1}
    assert counts.samples("pillion_errors_total") == {("server_error", "other"): 1}
    await exposition(counts.families.registry, "")


async def test_fields_and_codes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "NAMES", 2)
    counts = Counts()
    for number in (1, 2, 3, 4, 1):
        asked = targeted()
        asked.dropped = (f"f{number}",)
        await counts.ask(asked, Busy("slow", code=f"c{number}"))
    assert counts.samples("pillion_dropped_fields_total") == {("f1",): 2, ("f2",): 1, ("other",): 2}
    assert {label[1]: n for label, n in counts.samples("pillion_errors_total").items()} == {
        "c1": 2,
        "c2": 1,
        "other": 2,
    }
    assert {label[2] for label in counts.samples("pillion_upstream_errors_total")} == {"c1", "c2", "other"}


# --- what others count -----------------------------------------------------------------------------------------------


async def scraped(gateway: Place, headers: Headers = ()) -> dict[tuple[str, Labels], float]:
    got = await ask(gateway, "GET", "/metrics", headers=headers)
    samples = [sample for family in read_text(got.body.decode()) for sample in family.samples]
    return {(sample.name, tuple(sample.labels.values())): sample.value for sample in samples}


async def test_connections_and_the_configuration_are_told() -> None:
    answer = Scenario(body=OPENAI.whole, headers=[("Content-Type", "application/json")])
    async with Evil(answer) as evil, pillion(**OPENAI.environ(evil.url)) as gateway, client(gateway):
        await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))
        told = await scraped(gateway)
        fact = gateway.app.config.fingerprint
    assert told["pillion_client_connections", ()] >= 2  # the one that waits, and the one that asks
    assert told["pillion_upstream_connections_in_use", ()] == 0
    assert told["pillion_upstream_connections_pooled", ()] == 1
    assert told["pillion_upstream_attempts_total", ("openai",)] == 1
    assert told["pillion_log_lines_lost_total", ()] == 0
    assert told["pillion_config_info", (fact,)] == 1
    assert [labels for name, labels in told if name == "pillion_build_info"]
    assert ("process_open_fds", ()) in told


STRANGE = [
    (b"GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n", "unknown_url"),
    (b"GET /v1/nothing HTTP/1.1\r\nHost: h\r\n\r\n", "unknown_url"),
    (b"DELETE /metrics HTTP/1.1\r\nHost: h\r\n\r\n", "method_not_allowed"),
    (b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", "host_not_allowed"),
    (b"GET /metrics HTTP/1.1\r\nHost: h\r\nOrigin: http://evil.example\r\n\r\n", "origin_not_allowed"),
    (b"GET /metrics HTTP/1.1\r\nHost: h\r\nX: %b\r\n\r\n" % (b"a" * 70_000), "head_too_long"),
    (b"what?\r\n\r\n", "invalid_http"),
    (b"GET /metrics HTTP/1.1\r\nHost: h\r\n", "head_timeout"),
]


async def test_what_reaches_no_route_counts_by_the_code_of_our_answer() -> None:
    async with pillion(PILLION_CLIENT_HEADER="0.05") as gateway:
        for request, _ in STRANGE:
            async with client(gateway) as one:
                await one.send(request)
                assert (await one.answer()).status >= 400
        told = await scraped(gateway)
    counted = {labels[0]: count for (name, labels), count in told.items() if name == "pillion_refused_total"}
    assert counted == Counter(code for _, code in STRANGE)


async def test_what_reaches_a_route_is_not_among_the_refused() -> None:
    async with pillion() as gateway:
        await chat(gateway, OPENAI, b"{")
        told = await scraped(gateway)
    assert [name for name, _ in told if name == "pillion_refused_total"] == []
    assert sum(count for (name, _), count in told.items() if name == "pillion_errors_total") == 1


async def test_what_asks_no_model_counts_where_it_fails_and_only_there() -> None:
    async with pillion(PILLION_CLIENT_KEY="k") as gateway:
        key = [("X-Api-Key", "k")]
        for method, path, headers in (
            ("GET", "/v1/models", []),
            ("GET", "/v1/models", key),
            ("GET", "/v1/models/nope%2Fx", key),
            ("POST", "/v1/embeddings", key),
            ("GET", "/liveness", []),
        ):
            await ask(gateway, method, path, b"", headers)
        told = await scraped(gateway, key)
    errors = {labels: count for (name, labels), count in told.items() if name == "pillion_errors_total"}
    assert errors == {
        ("missing_api_key", "authentication"): 1,
        ("model_not_found", "invalid_request"): 1,
        ("not_implemented", "invalid_request"): 1,
    }
    assert [name for name, _ in told if name == "pillion_requests_total"] == []
    assert told["pillion_requests_in_flight", ()] == 0


def test_the_fingerprint_tells_configurations_apart_and_no_secret() -> None:
    one, other = load(environ={"OPENAI_API_KEY": "sk-one-12345"}), load(environ={"OPENAI_API_KEY": "sk-two-12345"})
    strict = load(environ={"OPENAI_API_KEY": "sk-one-12345", "PILLION_STRICT": "true"})
    assert one.fingerprint == other.fingerprint != strict.fingerprint


# --- telling it ------------------------------------------------------------------------------------------------------


async def crowded() -> Counts:
    """More than 300 KB of metrics."""
    counts = Counts()
    for number in range(counting.NAMES):
        model = f"a-model-with-a-rather-long-name-{number:03}"
        for error in (None, Down("gone"), ConnectionResetError()):
            asked = targeted(model)
            asked.usage = Usage(input=1, output=2)
            await counts.answer(asked, error)
        await counts.ask(targeted(model), Busy("slow"))
    return counts


FORMATS: list[tuple[str, Any, Any]] = [("", generate_latest, read_text), (OPEN, openmetrics.generate_latest, read_open)]


@pytest.mark.parametrize(("accept", "whole", "read"), FORMATS, ids=["text", "open"])
async def test_pieces_together_are_what_prometheus_client_spells_at_once(
    accept: str, whole: Any, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = await crowded()
    for collector in list(counts.families.registry._collector_to_names):  # what they say changes as we look
        if collector is not counts.families:
            counts.families.registry.unregister(collector)
    content_type, told = await exposition(counts.families.registry, accept)
    assert content_type.startswith(OPEN if accept else "text/plain; version=0.0.4")
    assert len(told) > 300_000
    assert len(list(read(told.decode()))) == len({family.name for family in counts.families.collect()})
    monkeypatch.setattr(families, "PIECE", 10**9)
    assert told == whole(counts.families.registry)


async def test_the_loop_turns_between_pieces_and_each_is_small() -> None:
    counts = await crowded()
    pieces = list(counts.families.registry.collect())
    row = max(len(SECONDS), len(counting.OVERHEAD)) + 3
    assert max(len(family.samples) for family in pieces) < families.PIECE + row
    telling = asyncio.ensure_future(exposition(counts.families.registry, ""))
    turns = 0
    while not telling.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= len(pieces) > 3000 / families.PIECE


async def test_calls_may_end_while_it_is_told() -> None:
    counts = await crowded()
    telling = asyncio.ensure_future(exposition(counts.families.registry, ""))
    number = 0
    while not telling.done():
        number += 1
        await counts.ask(targeted(), Busy("slow", status=400 + number % 100, code=f"c{number}"))
        await asyncio.sleep(0)
    list(read_text(telling.result()[1].decode()))


def test_what_is_tallied_may_grow_between_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "PIECE", 1)
    counts = Counts()
    kept: dict[Labels, float] = {("a",): 1, ("b",): 2}
    counts.metrics.tally("pillion_things", "Things.", ["name"], lambda: kept)
    pieces = (family.samples for family in counts.families.collect() if family.name == "pillion_things")
    told = [*next(pieces)]
    kept["c",] = 3
    told += [sample for samples in pieces for sample in samples]
    assert [(sample.labels["name"], sample.value) for sample in told] == [("a", 1), ("b", 2)]


@pytest.mark.parametrize(
    ("accept", "is_open"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain;version=0.0.4", False),
        (OPEN, True),
        (f"text/plain;q=0.2, {OPEN}; version=1.0.0; charset=utf-8;q=0.5", True),
        (f"{OPEN};version=1.0.0;escaping=allow-utf-8;q=0.5,{OPEN};version=0.0.1;q=0.4,*/*;q=0.1", True),  # Prometheus 3
        (f"{OPEN}; version=0.0.1", False),
        (f"{OPEN}; version=abc", False),
        (f"{OPEN}; version=99", False),
        ("text/plain; version=x\udce9; q=,;,", False),
    ],
)
async def test_the_format_is_chosen_by_accept(accept: str, is_open: bool) -> None:
    content_type, told = await exposition(Counts().families.registry, accept)
    assert content_type.startswith(OPEN if is_open else "text/plain")
    assert told.endswith(b"# EOF\n") is is_open
