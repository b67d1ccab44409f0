"""Are exactly the requests under way listed, each only to its own client, and does one end when it is cancelled?"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from proxy import registry
from proxy.access.rights import everybodys
from proxy.canon import Usage
from proxy.edge import delivery
from proxy.errors import GatewayError
from proxy.middleware.witness import Witness
from proxy.ports import Call, Handler, Reply
from proxy.reports.active import TURN, Active
from proxy.reports.outcome import outcome
from proxy.reports.sight import Observer
from tests.client import ANTHROPIC, LANES, OPENAI, SPEECHES, Client, Speech, ask, client, lane_name, showing, spell
from tests.evil import Evil, Scenario
from tests.gateway import Gateway, config_file, pillion
from tests.test_drain import half
from tests.test_middleware import call, fine
from tests.waiting import soon

SSE = [("Content-Type", "text/event-stream")]
SILENT = Scenario(cut_at=0, cut_of="wire", how="stall")
KEYS = "keys: {ann: {key: hers}, bob: {key: his}}\n"

both_ways = pytest.mark.parametrize("by", ["DELETE", "POST"])
lanes = pytest.mark.parametrize(("speech", "provider"), LANES, ids=lane_name)


def watched(active: Active, *observers: Observer) -> Callable[[Call, Handler], Coroutine[None, None, Reply]]:
    """With the witness before it, as in the chain."""
    witness = Witness(*observers, at_once=[active.ended], said=active.said)

    async def asked(call: Call, handler: Handler) -> Reply:
        return await witness(call, lambda each: active(each, handler))

    return asked


async def listed(gateway: Gateway, key: str = "") -> list[dict[str, Any]]:
    got = await ask(gateway, "GET", "/v1/requests/active", headers=showing(key))
    assert got.status == 200
    rows: list[dict[str, Any]] = json.loads(got.body)["data"]
    return rows


async def until(gateway: Gateway, count: int, key: str = "") -> list[dict[str, Any]]:
    """The rows, once so many are under way."""
    await soon(lambda: len(gateway.app.lasting.active) == count)
    return await listed(gateway, key)


async def cancelled(gateway: Gateway, name: str, by: str = "DELETE", key: str = "") -> int:
    path = f"/v1/requests/active/{name}" + ("/cancel" if by == "POST" else "")
    return (await ask(gateway, by, path, headers=showing(key))).status


async def send(one: Client, speech: Speech, model: str, stream: bool = True, key: str = "") -> None:
    await one.send(spell("POST", speech.path, speech.request(stream, model), [*speech.headers, *showing(key)]))


# --- what is told ----------------------------------------------------------------------------------------------------


@lanes
async def test_a_stream_is_told_of_while_it_lasts_and_not_after(speech: Speech, provider: Speech) -> None:
    async with Evil(half(provider)) as evil, pillion(**provider.environ(evil.url)) as gateway:
        async with client(gateway) as one:
            await send(one, speech, f"{provider.provider}/m")
            await one.until("Grü".encode())
            (row,) = await listed(gateway)
        assert (row["phase"], row["stream"], row["attempts"]) == ("streaming", True, 1)
        assert (row["dialect"], row["model"]) == (speech.name, f"{provider.provider}/m")
        assert row["target"] == f"{provider.provider}/m"
        assert 0 <= row["age_seconds"] < 60
        assert row["tokens"] > 0
        assert row["bytes"] > 0
        await until(gateway, 0)


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_what_waits_for_its_provider_or_its_own_body_says_so(speech: Speech) -> None:
    async with Evil(SILENT) as evil, pillion(**speech.environ(evil.url)) as gateway:
        async with client(gateway) as waiting, client(gateway) as sending:
            await send(waiting, speech, f"{speech.provider}/m", stream=False)
            await evil.received(1)
            await sending.send(spell("POST", speech.path, headers=[*speech.headers, ("Content-Length", "9")]))
            first, second = await until(gateway, 2)
        assert (first["phase"], first["stream"], first["bytes"], first["tokens"]) == ("waiting", False, 0, 0)
        assert (second["phase"], second["model"], second["target"], second["attempts"]) == ("receiving", None, None, 0)
        await until(gateway, 0)


@pytest.mark.parametrize("whose", ["LIMITS_CLIENT", "OPENAI_LIMITS"])
async def test_what_waits_for_a_limit_says_so(whose: str) -> None:
    limits = {f"PILLION_{whose}_CONCURRENT": "1", "PILLION_LIMITS_QUEUE_SECONDS": "60"}
    async with Evil(SILENT, SILENT) as evil, pillion(**limits, **OPENAI.environ(evil.url)) as gateway:
        async with client(gateway) as first, client(gateway) as second:
            await send(first, OPENAI, "openai/m", stream=False)
            await evil.received(1)
            await send(second, OPENAI, "openai/m", stream=False)
            assert [row["phase"] for row in await until(gateway, 2)] == ["waiting", "queued"]
            first.leave("rst")
            await evil.received(2)
            assert [row["phase"] for row in await until(gateway, 1)] == ["waiting"]
        await until(gateway, 0)


@pytest.mark.parametrize("length", [400, 40_000])
@pytest.mark.parametrize("speech", [ANTHROPIC, OPENAI], ids=lane_name)
async def test_a_count_that_came_with_the_beginning_is_not_that_of_the_whole(speech: Speech, length: int) -> None:
    """Claude's is about 1. `length`: of the first event, of which more may be needed than is looked at by others."""
    start, delta, rest = ANTHROPIC.stream.split(b"event: content_block_delta", 2)
    start = start.replace(b'{"input_tokens": 5}', b'{"input_tokens": 5, "output_tokens": 1}')
    said = start + b"event: content_block_delta" + delta.replace("Grü".encode(), b"word " * (length // 5))
    cut = Scenario(body=said + rest, headers=SSE, framing="chunked", cut_at=len(said), how="stall")
    async with Evil(cut) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway, client(gateway) as one:
        await send(one, speech, "anthropic/m")
        await one.until(b'word "')
        (row,) = await listed(gateway)
    assert row["tokens"] > length / 20


async def test_the_tokens_of_a_long_stream_are_about_right() -> None:
    async with pillion() as gateway, client(gateway) as one:
        await send(one, OPENAI, "echo/tokens-2000+stall-1001")
        await one.until(b"tok")
        async with asyncio.timeout(5):
            while (row := (await listed(gateway))[0])["bytes"] < 100_000:
                await one.some()
    assert 250 < row["tokens"] < 1000


@pytest.mark.parametrize("model", ["echo/text", "echo/error-500", "echo/nonsense-", "nobody/m"])
@pytest.mark.parametrize("stream", [False, True])
async def test_nothing_stays_of_what_has_ended(model: str, stream: bool) -> None:
    async with pillion() as gateway:
        for body in (OPENAI.request(stream, model), b"{", b""):
            await ask(gateway, "POST", OPENAI.path, body)
        await until(gateway, 0)
        assert len(gateway.app.lasting.active) == 0


async def test_a_name_of_any_length_is_cut_and_a_secret_in_it_hidden(tmp_path: Path) -> None:
    canary = "sk-canary-0123456789"
    async with Evil(SILENT, SILENT) as evil:
        config = {**OPENAI.environ(evil.url), "OPENAI_API_KEY": canary, "PILLION_STATE_DIR": str(tmp_path)}
        async with pillion(**config) as gateway, client(gateway) as one, client(gateway) as other:
            await send(one, OPENAI, "openai/" + "m" * 2_000)
            await send(other, OPENAI, f"openai/{'m' * 180}{canary}")
            await evil.received(2)
            rows = await listed(gateway)
            assert len(rows) == 2
            for row in rows:
                assert len(row["model"]) <= 200
                assert len(row["target"]) <= 210
                assert canary[:8] not in json.dumps(row)


# --- and to whom -----------------------------------------------------------------------------------------------------


async def test_a_client_sees_its_own_and_ends_no_others(tmp_path: Path) -> None:
    environ = {**config_file(KEYS, tmp_path), "PILLION_ADMIN_ADDRESS": "127.0.0.1:0"}
    async with pillion(**environ) as gateway, client(gateway) as one, client(gateway) as other:
        await send(one, OPENAI, "echo/text+stall-1", key="hers")
        await send(other, OPENAI, "echo/text+stall-1", key="his")
        (hers,), (his,) = await until(gateway, 2, "hers"), await listed(gateway, "his")
        assert (hers["client"], his["client"]) == ("ann", "bob")
        operators = gateway.app.addresses[1]
        got = await ask(operators, "GET", "/v1/requests/active", headers=showing("his"))
        assert [row["client"] for row in json.loads(got.body)["data"]] == ["ann", "bob"]
        for by in ("DELETE", "POST"):
            assert await cancelled(gateway, his["id"], by, "hers") == 404
            assert await cancelled(gateway, "req_nobody", by, "hers") == 404
        assert await cancelled(gateway, his["id"], key="his") == 200
        assert len(await until(gateway, 1, "hers")) == 1
        got = await ask(operators, "DELETE", f"/v1/requests/active/{hers['id']}", headers=showing("his"))
        assert got.status == 200
        await until(gateway, 0, "hers")


async def test_an_app_that_brings_its_own_key_sees_what_went_by_that(tmp_path: Path) -> None:
    there = {"PILLION_TRANSPARENT": "echo", "PILLION_STATE_DIR": str(tmp_path)}
    async with pillion(**there) as gateway, client(gateway) as one:
        await send(one, OPENAI, "echo/text+stall-1", key="sk-theirs-0123456789")
        (row,) = await until(gateway, 1, "sk-theirs-0123456789")
        assert row["client"].startswith("app-")
        assert await listed(gateway, "sk-anothers-0123456789") == []
        assert await cancelled(gateway, row["id"], key="sk-anothers-0123456789") == 404


async def test_a_stranger_sees_nothing(tmp_path: Path) -> None:
    async with pillion(**config_file(KEYS, tmp_path)) as gateway:
        for method, path in (
            ("GET", "/v1/requests/active"),
            ("DELETE", "/v1/requests/active/x"),
            ("POST", "/v1/requests/active/x/cancel"),
        ):
            assert (await ask(gateway, method, path)).status == 401


# --- how it ends -----------------------------------------------------------------------------------------------------


@both_ways
@lanes
async def test_a_stream_is_ended_in_its_clients_words_and_its_provider_let_go(
    speech: Speech, provider: Speech, by: str
) -> None:
    async with Evil(half(provider)) as evil, pillion(**provider.environ(evil.url)) as gateway:
        async with client(gateway) as one:
            await send(one, speech, f"{provider.provider}/m")
            start = await one.until("Grü".encode())
            (row,) = await listed(gateway)
            assert await cancelled(gateway, row["id"], by) == 200
            said = start.partition(b"\r\n\r\n")[2] + await one.rest()
        await evil.closed()
        assert b"was cancelled" in said
        assert not speech.ends_whole(said)
        assert not said.endswith(b"0\r\n\r\n")
        await until(gateway, 0)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
@pytest.mark.parametrize("body", [b"a=b", b""])
async def test_a_web_pages_form_ends_nothing(media_type: str, body: bytes) -> None:
    async with pillion() as gateway, client(gateway) as one:
        await send(one, OPENAI, "echo/text+stall-1")
        (row,) = await until(gateway, 1)
        path = f"/v1/requests/active/{row['id']}/cancel"
        assert (await ask(gateway, "POST", path, body, [("Content-Type", media_type)])).status == 415
        assert len(await until(gateway, 1)) == 1


@both_ways
async def test_a_type_for_a_body_that_is_not_there_does_no_harm(by: str) -> None:
    """aiohttp's client names one."""
    async with pillion() as gateway, client(gateway) as one:
        await send(one, OPENAI, "echo/text+stall-1")
        (row,) = await until(gateway, 1)
        path = f"/v1/requests/active/{row['id']}" + ("/cancel" if by == "POST" else "")
        for body, status in ((b"a", 415), (b"", 200)):
            lines = [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))]
            got = await ask(gateway, by, path, body, lines)
            assert got.status == status
            if status == 200:
                assert json.loads(got.body) == {"id": row["id"], "object": "request", "cancelled": True}
        await until(gateway, 0)


@both_ways
@pytest.mark.parametrize("stream", [False, True])
@lanes
async def test_what_has_no_answer_yet_gets_an_error(speech: Speech, provider: Speech, stream: bool, by: str) -> None:
    async with Evil(SILENT) as evil, pillion(**provider.environ(evil.url)) as gateway, client(gateway) as one:
        await send(one, speech, f"{provider.provider}/m", stream)
        await evil.received(1)
        (row,) = await listed(gateway)
        assert await cancelled(gateway, row["id"], by) == 200
        got = await one.answer()
        await evil.closed()
        assert got.status == 499
        assert "was cancelled" in speech.error(got.body)["message"]
        await send(one, speech, "echo/text", stream)  # the connection is as good as it was
        assert (await one.answer()).status == 200


async def test_what_is_still_being_received_ends_as_well() -> None:
    async with pillion() as gateway, client(gateway) as one:
        await one.send(spell("POST", OPENAI.path, headers=[("Content-Length", "9")]))
        (row,) = await until(gateway, 1)
        assert await cancelled(gateway, row["id"]) == 200
        assert (await one.answer()).status == 499


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_a_stream_whose_head_is_about_to_go_out_is_ended_in_its_clients_words(
    speech: Speech, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first stream of our own frames waits for what writes them to be loaded."""

    async def forever(place: str) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(delivery, "loaded", forever)
    provider = OPENAI if speech is ANTHROPIC else ANTHROPIC
    async with Evil(half(provider)) as evil, pillion(**provider.environ(evil.url)) as gateway, client(gateway) as one:
        await send(one, speech, f"{provider.provider}/m")
        await soon(lambda: any(call.reply is not None for call in gateway.app.lasting.active._live.values()))
        (row,) = await listed(gateway)
        assert await cancelled(gateway, row["id"]) == 200
        got = await one.answer()
        assert (got.status, got.whole) == (200, False)
        assert "was cancelled" in speech.error(speech.last_event(got.body))["message"]
        await until(gateway, 0)


async def test_a_client_that_reads_nothing_holds_up_no_cancelling() -> None:
    async with pillion() as gateway, client(gateway, receive_buffer=4096) as one:
        await send(one, OPENAI, "echo/tokens-100000")
        await soon(lambda: any(door.writing_paused for door in gateway.app.server._doors))
        (row,) = await listed(gateway)
        assert row["phase"] == "streaming"
        assert await cancelled(gateway, row["id"]) == 200
        await until(gateway, 0)


async def test_the_ledger_and_the_metrics_tell_that_it_was_cancelled(tmp_path: Path) -> None:
    async with (
        Evil(SILENT, half(OPENAI)) as evil,
        pillion(**OPENAI.environ(evil.url), PILLION_STATE_DIR=str(tmp_path)) as gateway,
    ):
        for stream in (False, True):
            async with client(gateway) as one:
                await send(one, OPENAI, "openai/m", stream)
                if stream:
                    await one.until("Grü".encode())
                (row,) = await until(gateway, 1)
                await evil.received(1 + stream)
                await cancelled(gateway, row["id"])
                await one.rest() if stream else await one.answer()
                await until(gateway, 0)
        said = (await ask(gateway, "GET", "/metrics")).body.decode()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as ledger:
        assert ledger.execute("SELECT status, error FROM attempts").fetchall() == [(499, "request_cancelled")] * 2
    assert 'pillion_errors_total{code="request_cancelled",kind="unknown"} 2.0' in said
    assert "client_gone" not in said
    assert "pillion_upstream_errors_total{" not in said


@pytest.mark.parametrize("name", sorted(registry.DIALECTS))
def test_each_wire_can_say_it(name: str) -> None:
    dialect = registry.dialect(name)
    error = GatewayError(
        "This request was cancelled through pillion.", status=499, kind="unknown", code="request_cancelled"
    )
    assert b"was cancelled" in dialect.error(error, "req_1")
    assert b"was cancelled" in dialect.error_event(error)


def test_a_task_that_somebody_ended_has_ended_for_their_reason() -> None:
    error = GatewayError("cancelled", status=499, kind="unknown", code="request_cancelled")
    assert outcome(asyncio.CancelledError(error)).code == "request_cancelled"
    assert outcome(asyncio.CancelledError("interrupted")).code == "shutting_down"
    assert outcome(asyncio.CancelledError()).code == "client_gone"


# --- by itself -------------------------------------------------------------------------------------------------------


async def test_the_providers_own_count_is_told_where_there_is_one() -> None:
    active = Active(str)
    one = call()
    await active(one, fine)
    one.usage = Usage(input=5, output=7)
    said = (await active.all(lambda _: None, call())).body
    assert isinstance(said, bytes)
    assert [each["tokens"] for each in json.loads(said)["data"]] == [7]


async def test_a_long_list_lets_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    active = Active(str)
    for number in range(2 * TURN + 1):
        one = call()
        one.id = str(number)
        await active(one, fine)
    turns: list[float] = []

    async def turn(seconds: float) -> None:
        turns.append(seconds)

    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "sleep", turn)
        said = (await active.all(lambda _: None, call())).body
    assert isinstance(said, bytes)
    assert (len(json.loads(said)["data"]), turns) == (2 * TURN + 1, [0, 0])


async def test_whoever_hears_of_the_end_hears_once_of_each() -> None:
    heard: list[tuple[str, int, BaseException | None]] = []
    active = Active(str)
    witness = watched(active, lambda sight: heard.append((sight.call.id, sight.status, sight.error)))
    broken = ValueError("no")

    async def fail(call: Call) -> Reply:
        raise broken

    reply = await witness(call(), fine)
    assert (len(active), heard) == (1, [])
    for ending in reply.endings:
        ending(None)
    with pytest.raises(ValueError, match="no"):
        await witness(call(), fail)
    assert (len(active), heard) == (0, [])
    await asyncio.sleep(0)  # what ends in one turn of the loop is told of in the next
    assert heard == [("req_1", 200, None), ("req_1", 0, broken)]


async def test_the_client_that_leaves_is_not_told_that_somebody_ended_it() -> None:
    active = Active(str)

    async def wait(call: Call) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    task = asyncio.create_task(watched(active)(call(), wait))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_whoever_goes_on_after_a_cancelled_call_is_not_cancelled() -> None:
    active, asked, words = Active(str), call(), call()
    words.rest = asked.id

    async def wait(call: Call) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    async def go_on() -> int:
        task = asyncio.current_task()
        assert task is not None
        asked.interrupt = task.cancel
        with pytest.raises(GatewayError, match="was cancelled"):
            await watched(active)(asked, wait)
        return task.cancelling()

    task = asyncio.create_task(go_on())
    await asyncio.sleep(0)
    for _ in range(2):
        await active.cancel(everybodys, words)
    assert await task == 0


async def test_who_ends_what_has_failed_meanwhile_changes_nothing() -> None:
    """The provider's answer and the operator's word come in one turn of the loop."""
    active, turn = Active(str), asyncio.get_running_loop().create_future()

    async def wait(call: Call) -> Reply:
        try:
            await turn
        except asyncio.CancelledError:
            raise GatewayError("first") from None
        raise AssertionError

    asked = call()
    task = asyncio.create_task(watched(active)(asked, wait))
    asked.interrupt = task.cancel
    await asyncio.sleep(0)
    asked.rest = "req_1"
    await active.cancel(everybodys, asked)
    with pytest.raises(GatewayError, match="first"):
        await task
