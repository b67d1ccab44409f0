"""Does each middleware answer its one question: who asks, for what, of whom, and what happened?"""

import asyncio
from collections.abc import Iterator, Mapping
from time import monotonic

import pytest
from multidict import CIMultiDict

from proxy import registry
from proxy.canon import Usage
from proxy.config import Secret
from proxy.errors import BadRequest, Busy, Down, GatewayError, Unauthorized, UnknownModel
from proxy.middleware import metrics as counting
from proxy.middleware.auth import Auth
from proxy.middleware.failover import Failover
from proxy.middleware.intake import Intake
from proxy.middleware.metrics import Metrics
from proxy.ports import Call, Reply, Target
from tests.client import SPEECHES, Speech, ask, chat, client, lane_name, spell
from tests.gateway import pillion

KEY = "right"


def call(headers: Mapping[str, str] | None = None, query: Mapping[str, str] | None = None, body: bytes = b"{}") -> Call:
    async def receive() -> bytes:
        return body

    return Call(
        id="req_1",
        operation="chat",
        dialect=registry.dialect("openai_chat"),
        headers=CIMultiDict(headers or {}),
        query=query or {},
        receive=receive,
        started=monotonic(),
    )


async def fine(call: Call) -> Reply:
    return Reply(200, [], b"fine")


# --- auth ------------------------------------------------------------------------------------------------------------

PLACES = [
    ({"Authorization": "Bearer right"}, {}),
    ({"authorization": "bearer  right "}, {}),
    ({"X-API-Key": "right"}, {}),
    ({"api-key": "right"}, {}),
    ({"x-goog-api-key": "right"}, {}),
    ({}, {"key": "right"}),
    ({"authorization": "Basic abc", "x-api-key": "right"}, {}),
    ({"authorization": "Bearer ", "x-api-key": "right"}, {}),
]


@pytest.mark.parametrize(("headers", "query"), PLACES)
async def test_the_key_is_read_wherever_an_sdk_puts_it(headers: dict[str, str], query: dict[str, str]) -> None:
    asked = call(headers, query)
    assert (await Auth(Secret(KEY))(asked, fine)).status == 200
    assert asked.client == "default"


@pytest.mark.parametrize(
    ("headers", "query", "code"),
    [
        ({}, {}, "missing_api_key"),
        ({"authorization": "Basic right"}, {}, "missing_api_key"),
        ({"authorization": "right"}, {}, "missing_api_key"),
        ({"x-api-key": ""}, {"key": ""}, "missing_api_key"),
        ({"authorization": "Bearer wrong"}, {}, "invalid_api_key"),
        ({"authorization": "Bearer wrong", "x-api-key": "right"}, {}, "invalid_api_key"),
        ({"x-api-key": "right2"}, {}, "invalid_api_key"),
        ({"x-api-key": "RIGHT"}, {}, "invalid_api_key"),
        ({"x-api-key": "caf\udce9\u00e9"}, {}, "invalid_api_key"),
        ({}, {"key": "wrong"}, "invalid_api_key"),
    ],
)
async def test_no_key_and_a_wrong_key_are_refused(headers: dict[str, str], query: dict[str, str], code: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        await Auth(Secret(KEY))(call(headers, query), fine)
    assert (caught.value.status, caught.value.code) == (401, code)
    assert not [shown for shown in ("wrong", "right") if shown in caught.value.message]


async def test_without_a_client_key_nobody_is_asked() -> None:
    asked = call({"authorization": "Bearer whatever"})
    assert (await Auth(Secret(""))(asked, fine)).status == 200
    assert asked.client == ""


async def test_a_key_of_any_bytes_can_be_shown() -> None:
    assert (await Auth(Secret("caf\udce9"))(call({"x-api-key": "caf\udce9"}), fine)).status == 200


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_a_stranger_is_turned_away_before_the_body_comes(speech: Speech) -> None:
    async with pillion(PILLION_CLIENT_KEY=KEY) as gateway, client(gateway) as one:
        head = spell("POST", speech.path, headers=[*speech.headers, ("Content-Length", "1000")])
        await one.send(head)  # and no body
        got = await one.answer()
        assert got.status == 401
        assert speech.error(got.body)["type"]


@pytest.mark.parametrize("path", ["/providers", "/metrics", "/v1/models", "/v1/models/x", "/providers/echo/health"])
async def test_what_pillion_says_of_itself_needs_the_key(path: str) -> None:
    async with pillion(PILLION_CLIENT_KEY=KEY) as gateway:
        assert (await ask(gateway, "GET", path)).status == 401


@pytest.mark.parametrize("path", ["/startup", "/readiness", "/liveness"])
async def test_probes_need_no_key(path: str) -> None:
    async with pillion(PILLION_CLIENT_KEY=KEY) as gateway:
        assert (await ask(gateway, "GET", path)).status == 200


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_the_right_key_opens_the_door(speech: Speech) -> None:
    async with pillion(PILLION_CLIENT_KEY=KEY) as gateway:
        request = speech.request(model="echo/text")
        assert (await chat(gateway, speech, request, [("Authorization", f"Bearer {KEY}")])).status == 200
        assert (await ask(gateway, "POST", f"{speech.path}?key={KEY}", request)).status == 200


# --- intake ----------------------------------------------------------------------------------------------------------


async def test_intake_learns_the_model_and_whether_to_stream() -> None:
    asked = call(body=b'{"model":"m","stream":true}')
    await Intake(60)(asked, fine)
    assert (asked.model, asked.stream, asked.envelope.body) == ("m", True, b'{"model":"m","stream":true}')


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"model":1}', b'{"model":"m","stream":"yes"}'])
async def test_intake_refuses_nonsense(body: bytes) -> None:
    with pytest.raises(BadRequest):
        await Intake(60)(call(body=body), fine)


# --- failover --------------------------------------------------------------------------------------------------------


async def test_failover_asks_the_target_that_the_name_means() -> None:
    target = Target(registry.adapter("echo")("echo"), "text")

    async def resolve(name: str) -> Target:
        assert name == "m"
        return target

    asked = call()
    asked.model = "m"
    await Failover(resolve)(asked, fine)
    assert (asked.target, asked.attempts) == (target, 1)


async def test_a_name_that_means_nothing_is_no_attempt() -> None:
    async def resolve(name: str) -> Target:
        raise UnknownModel("no")

    asked = call()
    with pytest.raises(UnknownModel):
        await Failover(resolve)(asked, fine)
    assert (asked.target, asked.attempts) == (None, 0)


# --- metrics ---------------------------------------------------------------------------------------------------------


class Counts:
    """A Metrics, and what it counts."""

    def __init__(self) -> None:
        self.metrics = Metrics()

    def samples(self, name: str) -> dict[tuple[str, ...], float]:
        return dict(self._found(name))

    def _found(self, name: str) -> Iterator[tuple[tuple[str, ...], float]]:
        for family in self.metrics.registry.collect():
            yield from (
                (tuple(sample.labels.values()), sample.value) for sample in family.samples if sample.name == name
            )

    async def ask(self, asked: Call, error: BaseException | None = None) -> Reply | None:
        async def handler(call: Call) -> Reply:
            if error is not None:
                raise error
            return Reply(200, [], b"")

        if error is None:
            return await self.metrics(asked, handler)
        with pytest.raises(type(error)):
            await self.metrics(asked, handler)
        return None


def targeted(model: str = "m") -> Call:
    asked = call()
    asked.target = Target(registry.adapter("echo")("echo"), model)
    return asked


async def test_a_call_counts_at_its_end_and_is_in_flight_until_then() -> None:
    counts = Counts()
    asked = targeted()
    reply = await counts.ask(asked)
    assert reply is not None
    assert counts.samples("pillion_requests_in_flight") == {(): 1}
    assert counts.samples("pillion_requests_total") == {}
    asked.usage = Usage(input=5, output=2, cache_read=3)
    (ending,) = reply.endings
    ending(None)
    assert counts.samples("pillion_requests_in_flight") == {(): 0}
    assert counts.samples("pillion_requests_total") == {("chat", "echo", "m", "200"): 1}
    assert counts.samples("pillion_tokens_total") == {
        ("echo", "m", "input"): 5,
        ("echo", "m", "output"): 2,
        ("echo", "m", "cache_read"): 3,
    }
    assert counts.samples("pillion_request_duration_seconds_count") == {("echo", "m"): 1}
    assert counts.samples("pillion_time_to_first_byte_seconds_count") == {("echo", "m"): 1}
    assert counts.samples("pillion_overhead_seconds_count") == {(): 1}


FAILURES = [
    (Busy("slow"), "429", ("rate_limit", "rate_limit_exceeded")),
    (Down("gone", code="upstream_cut"), "502", ("server_error", "upstream_cut")),
    (BadRequest("no"), "400", ("invalid_request", "invalid_request")),
    (GatewayError("a bug"), "500", ("server_error", "internal_error")),
    (ValueError("a bug"), "500", ("server_error", "internal_error")),
    (asyncio.CancelledError(), "499", ("client", "client_gone")),
    (ConnectionResetError(), "499", ("client", "client_gone")),
]


@pytest.mark.parametrize(("error", "status", "kind"), FAILURES, ids=repr)
async def test_a_call_that_fails_counts_by_its_kind(error: BaseException, status: str, kind: tuple[str, str]) -> None:
    counts = Counts()
    await counts.ask(targeted(), error)
    assert counts.samples("pillion_requests_total") == {("chat", "echo", "m", status): 1}
    assert counts.samples("pillion_errors_total") == {kind: 1}
    assert counts.samples("pillion_requests_in_flight") == {(): 0}


async def test_a_stream_that_breaks_counts_under_its_head_and_as_an_error() -> None:
    counts = Counts()
    reply = await counts.ask(targeted())
    assert reply is not None
    reply.endings[0](Down("gone", code="upstream_cut"))
    assert counts.samples("pillion_requests_total") == {("chat", "echo", "m", "200"): 1}
    assert counts.samples("pillion_errors_total") == {("server_error", "upstream_cut"): 1}


async def test_a_call_without_a_target_counts_without_one() -> None:
    counts = Counts()
    await counts.ask(call(), UnknownModel("no"))
    assert counts.samples("pillion_requests_total") == {("chat", "", "", "404"): 1}


async def test_names_that_clients_choose_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "NAMES", 2)
    counts = Counts()
    for number in (1, 2, 3, 4, 1):
        asked = targeted(f"m{number}")
        asked.dropped = (f"f{number}",)
        await counts.ask(asked, Busy("slow"))
    models = {label[2]: count for label, count in counts.samples("pillion_requests_total").items()}
    assert models == {"m1": 2, "m2": 1, "other": 2}
    assert counts.samples("pillion_dropped_fields_total") == {("f1",): 2, ("f2",): 1, ("other",): 2}


async def test_the_time_of_the_provider_is_not_overhead() -> None:
    counts = Counts()
    asked = targeted()
    asked.started -= 50
    asked.waited = 50
    reply = await counts.ask(asked)
    assert reply is not None
    assert counts.samples("pillion_overhead_seconds_sum")[()] < 50
    assert counts.samples("pillion_time_to_first_byte_seconds_sum")["echo", "m"] >= 50
    buckets = {label[2]: count for label, count in counts.samples("pillion_time_to_first_byte_seconds_bucket").items()}
    assert (buckets["50"], buckets["100"], buckets["+Inf"]) == (0, 1, 1)
