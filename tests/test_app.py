"""Does what is put together hold together: one way in, one way out, and no way round in a circle?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from proxy.edge.patience import Patience
from proxy.errors import GatewayError
from proxy.headers import Trail
from proxy.reports.outcome import outcome
from tests.client import LANES, OPENAI, SPEECHES, Got, Speech, ask, chat, lane_name
from tests.evil import Evil, Scenario
from tests.gateway import Gateway, pillion
from tests.nowhere import free_port


@asynccontextmanager
async def second_address(gateway_port: int) -> AsyncIterator[str]:
    """A URL that leads to that port, and does not look like it."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", gateway_port)
        ways = [(reader, there[1]), (there[0], writer)]
        await asyncio.gather(*(pipe(*way) for way in ways))
        for end in (there[1], writer):
            with suppress(ConnectionError):
                await end.wait_closed()

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def check_loop(got: Got, speech: Speech, provider: Speech) -> None:
    assert got.status in (502, 508)
    assert f"PILLION_{provider.provider.upper()}_BASE_URL" in speech.error(got.body)["message"]


def seen(gateway: Gateway) -> int:
    """Requests that were served so far."""
    return next(gateway.app.server._count)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("speech", "provider"), LANES, ids=lane_name)
async def test_a_pillion_that_asks_itself_finds_out(speech: Speech, provider: Speech, stream: bool) -> None:
    port = free_port()
    async with (
        second_address(port) as url,
        pillion(PILLION_LISTEN=f"127.0.0.1:{port}", **provider.environ(url)) as gateway,
    ):
        got = await chat(gateway, speech, speech.request(stream, f"{provider.provider}/{provider.provider}/m"))
        check_loop(got, speech, provider)
        assert seen(gateway) == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_two_pillions_in_a_ring_find_out_and_a_row_of_them_is_none(speech: Speech, stream: bool) -> None:
    ports = free_port(), free_port()
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    async with (
        pillion(PILLION_LISTEN=f"127.0.0.1:{ports[0]}", **speech.environ(urls[1])) as one,
        pillion(PILLION_LISTEN=f"127.0.0.1:{ports[1]}", **speech.environ(urls[0])) as two,
    ):
        got = await chat(
            one, speech, speech.request(stream, f"{speech.provider}/{speech.provider}/{speech.provider}/m")
        )
        check_loop(got, speech, speech)
        assert (seen(one), seen(two)) == (2, 1)
        got = await chat(one, speech, speech.request(stream, f"{speech.provider}/echo/text"))
        assert got.status == 200


async def test_a_model_list_does_not_go_round_either() -> None:
    port = free_port()
    async with (
        second_address(port) as url,
        pillion(PILLION_LISTEN=f"127.0.0.1:{port}", **OPENAI.environ(url)) as gateway,
    ):
        assert (await ask(gateway, "GET", "/v1/models")).status == 200
        assert (await ask(gateway, "GET", "/providers/openai/health")).status == 503


def test_a_request_that_comes_round_is_worth_a_warning() -> None:
    trail = Trail()
    with pytest.raises(GatewayError) as caught:
        trail.check(dict([trail.via("openai")]))
    assert outcome(caught.value).level == "warning"


async def test_two_pillions_that_list_each_others_models_find_out() -> None:
    ports = free_port(), free_port()
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    async with (
        pillion(PILLION_LISTEN=f"127.0.0.1:{ports[0]}", **OPENAI.environ(urls[1])) as one,
        pillion(PILLION_LISTEN=f"127.0.0.1:{ports[1]}", **OPENAI.environ(urls[0])) as two,
    ):
        got = await ask(one, "GET", "/v1/models")
        assert b'"openai/echo/text"' in got.body  # what the other has of its own
        assert (one.app.server.refused["loop_detected"], two.app.server.refused["loop_detected"]) == (1, 0)


async def test_the_way_is_shown_to_the_provider_in_its_order() -> None:
    async with Evil(Scenario(body=OPENAI.whole)) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        await chat(gateway, OPENAI, OPENAI.request(model="gpt"), [("Via", "1.1 edge, 1.0 pillion-elsewhere (openai)")])
        first, ours = [value for name, value in evil.requests[0].headers if name == "via"]
        assert first == "1.1 edge, 1.0 pillion-elsewhere (openai)"
        got = await chat(gateway, OPENAI, OPENAI.request(model="gpt"), [("Via", f"1.1 edge, {ours}")])
        assert (got.status, OPENAI.error(got.body)["code"]) == (508, "loop_detected")


async def test_a_request_that_comes_round_by_a_name_of_others_is_told_of_the_round() -> None:
    async with pillion(PILLION_ALLOWED_HOSTS="other") as gateway:
        ours = gateway.app.upstream.trail.via("openai")[1]
        for via, status in ((ours, 508), ("1.1 pillion-elsewhere (openai)", 421)):
            assert (await ask(gateway, "GET", "/v1/models", headers=[("Via", via)])).status == status


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_the_limits_of_the_configuration_are_the_listeners(speech: Speech) -> None:
    client = {"HEADER": "1", "BODY_STALL": "2", "BODY": "3", "KEEP_ALIVE": "4", "WRITE_STALL": "5"}
    async with pillion(
        PILLION_BODY_LIMIT="1024", **{f"PILLION_CLIENT_{name}": text for name, text in client.items()}
    ) as gateway:
        assert gateway.app.server.patience == Patience(header=1, body=3, body_stall=2, keep_alive=4, write_stall=5)
        got = await chat(gateway, speech, speech.request(model="echo/text", padding="x" * 2000))
        assert got.status == 413
        assert "1024 bytes" in speech.error(got.body)["message"]


async def test_what_fails_to_close_leaves_nothing_else_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger most of all, which has rows to write."""
    closed: list[str] = []

    async def broken() -> None:
        closed.append("keystates")
        raise RuntimeError("it is broken")

    async def served() -> None:
        async with pillion() as gateway:
            accounting = gateway.app.accounting
            close = accounting.close

            async def noted() -> None:
                closed.append("accounting")
                await close()

            monkeypatch.setattr(gateway.app.lasting.keystates, "close", broken)
            monkeypatch.setattr(accounting, "close", noted)

    with pytest.raises(RuntimeError, match="it is broken"):
        await served()
    assert closed == ["keystates", "accounting"]
