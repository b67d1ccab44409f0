"""Does each middleware answer its one question: who asks, for what, and of whom?"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from time import monotonic

import pytest
from multidict import CIMultiDict

from proxy import registry
from proxy.adapters.echo import Echo
from proxy.config import Secret
from proxy.errors import BadRequest, Unauthorized, UnknownModel
from proxy.middleware.auth import Auth
from proxy.middleware.failover import Failover
from proxy.middleware.intake import Intake
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


async def test_a_key_in_a_file_may_be_another_from_one_request_to_the_next(tmp_path: Path) -> None:
    now, file = 0.0, tmp_path / "key"
    file.write_text(KEY)
    auth = Auth(Secret(KEY, file, lambda: now))
    assert (await auth(call({"x-api-key": KEY}), fine)).status == 200
    file.write_text("rotated")
    now = 10.0
    assert (await auth(call({"x-api-key": "rotated"}), fine)).status == 200
    with pytest.raises(Unauthorized):
        await auth(call({"x-api-key": KEY}), fine)


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


@pytest.mark.parametrize(("asked_for", "seconds"), [("5", 5.0), ("0.25", 0.25), ("60", 60.0)])
async def test_a_client_may_say_how_long_it_waits(asked_for: str, seconds: float) -> None:
    asked = call({"X-Pillion-Timeout": asked_for}, body=b'{"model":"m"}')
    await Intake(60)(asked, fine)
    assert asked.timeout == seconds


@pytest.mark.parametrize("asked_for", ["61", "100000", "0", "-1", "1_0", "\u0663", "1e1", "nan", "inf", "", "9" * 400])
async def test_a_client_that_asks_for_no_time_or_for_too_much_is_told_so(asked_for: str) -> None:
    asked = call({"X-Pillion-Timeout": asked_for}, body=b'{"model":"m"}')
    with pytest.raises(BadRequest, match=r"above 0, and at most 60\.") as caught:
        await Intake(60)(asked, fine)
    assert caught.value.param == "x-pillion-timeout"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"model":1}', b'{"model":"m","stream":"yes"}'])
async def test_intake_refuses_nonsense(body: bytes) -> None:
    with pytest.raises(BadRequest):
        await Intake(60)(call(body=body), fine)


# --- failover --------------------------------------------------------------------------------------------------------


async def test_failover_asks_the_target_that_the_name_means() -> None:
    target = Target(Echo("echo"), "text")

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


async def test_what_a_list_takes_before_the_provider_is_known_is_no_time_of_ours() -> None:
    async def resolve(name: str) -> Target:
        await asyncio.sleep(0.02)
        return Target(Echo("echo"), "m")

    asked = call()
    await Failover(resolve)(asked, fine)
    assert asked.waited > 0.01
