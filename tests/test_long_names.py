"""Is a name of a megabyte refused where it is read, and is it nowhere told of, kept or counted at length?"""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.catalog import LONGEST
from proxy.config import load
from tests.client import ANTHROPIC, OPENAI, Got, Speech, ask, chat
from tests.evil import Evil, Scenario
from tests.gateway import DEFAULTS, Gateway, telling
from tests.test_secrets import Sinks, logged

NAME = "a" * 1024 * 1024
IN_A_PATH = "a" * 6000  # the head of a request may be 8 KiB
TURN: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
GOOGLES = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
AMAZONS = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}

LONG: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/chat/completions", {"model": NAME, **TURN}, "model"),
    ("/v1/chat/completions", {"model": f"echo/{NAME}", "stream": True, **TURN}, "model"),
    ("/v1/chat", {"model": NAME, **TURN}, "model"),
    ("/v1/chat", {"model": "m", "provider": NAME, **TURN}, "provider"),
    ("/v1/chat", {"model": NAME, "provider": "echo", **TURN}, "model"),
    ("/v1/responses", {"model": NAME, "input": "Hi"}, "model"),
    ("/v1/messages", {"model": NAME, **TURN}, "model"),
    ("/v1/messages/count_tokens", {"model": NAME, **TURN}, "model"),
    ("/api/chat", {"model": NAME, **TURN}, "model"),
    ("/api/generate", {"model": NAME, "prompt": "Hi"}, "model"),
    ("/api/show", {"model": NAME}, "model"),
    ("/v2/chat", {"model": NAME, **TURN}, "model"),
    ("/v1/explain", {"model": NAME, **TURN}, "model"),
    ("/v1beta/models/m:generateContent", {"model": NAME, **GOOGLES}, "model"),
    (f"/v1beta/models/{IN_A_PATH}:generateContent", GOOGLES, "model"),
    (f"/v1beta/models/{IN_A_PATH}:countTokens", GOOGLES, "model"),
    (f"/model/{IN_A_PATH}/converse", AMAZONS, "model"),
    (f"/openai/deployments/{IN_A_PATH}/chat/completions", TURN, "model"),
]


class Told:
    """A gateway, and its log."""

    def __init__(self, gateway: Gateway, sinks: Sinks) -> None:
        self.gateway = gateway
        self.sinks = sinks

    async def told(self) -> list[bytes]:
        """All that it tells operators."""
        paths = ("/metrics", "/v1/usage", "/v1/providers", "/v1/requests/active")
        answers = [await ask(self.gateway, "GET", path) for path in paths]
        assert [answer.status for answer in answers] == [200] * len(paths)
        return [*(answer.body for answer in answers), *self.sinks.said.get("the log", b"").splitlines()]


@asynccontextmanager
async def telling_all(**environ: str) -> AsyncIterator[Told]:
    sinks = Sinks()
    log, _ = logged(sinks, load(environ={**DEFAULTS, **environ}), words=False)
    async with telling(log, environ) as gateway:
        yield Told(gateway, sinks)


async def explained(place: Gateway, got: Got) -> bytes:
    return (await ask(place, "GET", f"/v1/explain/{got.header('x-pillion-request-id')}")).body


@pytest.mark.parametrize(("path", "body", "param"), LONG)
async def test_one_that_no_provider_could_have_given_is_refused(path: str, body: dict[str, Any], param: str) -> None:
    async with telling_all() as it:
        got = await ask(it.gateway, "POST", path, json.dumps(body).encode())
        assert got.status == 400
        assert b"a" * 100 not in got.body
        assert param in got.body.decode()
        texts = [*await it.told(), await explained(it.gateway, got)]
        assert not [text for text in texts if b"a" * 200 in text]
        assert any(b'"event":"request"' in text for text in texts)


async def test_one_that_is_looked_up_is_bounded_as_well() -> None:
    async with telling_all() as it:
        got = await ask(it.gateway, "GET", f"/v1/models/{IN_A_PATH}")
        assert got.status == 400
        assert not [text for text in [got.body, *await it.told()] if b"a" * 200 in text]


@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC], ids=lambda each: each.name)
async def test_the_longest_name_there_is_passes_and_is_told_in_short(client: Speech) -> None:
    async with telling_all() as it:
        name = "echo/" + "a" * (LONGEST - 5)
        got = await chat(it.gateway, client, client.request(model=name))
        assert got.status == 200
        texts = [*await it.told(), await explained(it.gateway, got)]
        assert not [text for text in texts if b"a" * 500 in text]
        assert (await chat(it.gateway, client, client.request(model=name + "a"))).status == 400


async def test_one_that_is_left_out_is_told_in_short() -> None:
    """A header of a megabyte would break the client's parser."""
    scenario = Scenario(headers=[("Content-Type", "application/json")], body=ANTHROPIC.whole)
    async with Evil(scenario) as evil, telling_all(**ANTHROPIC.environ(evil.url)) as it:
        body = {"model": "anthropic/m", "messages": [{"role": "user", "content": "Hi", NAME: 1}], "max_tokens": 5}
        got = await ask(it.gateway, "POST", OPENAI.path, json.dumps(body).encode())
        assert got.status == 200
        assert got.header("x-pillion-dropped") == "a" * 200 + "..."
        texts = [*await it.told(), await explained(it.gateway, got)]
        assert not [text for text in texts if b"a" * 500 in text]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC], ids=lambda each: each.name)
async def test_the_name_that_a_provider_answers_for_is_told_in_short(client: Speech, stream: bool) -> None:
    body = re.sub(rb'"model": ?"', b'"model":"' + NAME.encode(), OPENAI.stream if stream else OPENAI.whole)
    assert NAME.encode() in body
    media_type = "text/event-stream" if stream else "application/json"
    scenario = Scenario(headers=[("Content-Type", media_type)], body=body)
    async with Evil(scenario) as evil, telling_all(**OPENAI.environ(evil.url)) as it:
        got = await chat(it.gateway, client, client.request(stream, model="openai/m"))
        texts = [*await it.told(), await explained(it.gateway, got)]
        assert not [text for text in texts if b"a" * 500 in text]
