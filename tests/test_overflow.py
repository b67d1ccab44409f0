"""Is a conversation that is longer than the model's context called so, whoever refuses it, and asked of another?"""

import json
from typing import Any

import pytest

from proxy import registry
from proxy.errors import Busy, Refused, UpstreamError
from proxy.grammar.complaints import understand
from tests.client import ANTHROPIC, OPENAI, Speech, chat
from tests.evil import Evil, Scenario
from tests.gateway import pillion

CODE = "context_length_exceeded"
LONG = "prompt is too long: 210000 tokens > 200000 maximum"
KNOWN = "The prompt is too long"
OPENAIS_WORDS = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"
ANTHROPICS = json.dumps({"type": "error", "error": {"type": "invalid_request_error", "message": LONG}}).encode()
OPENAIS = json.dumps({"error": {"message": OPENAIS_WORDS, "type": "invalid_request_error", "code": 400}}).encode()


@pytest.mark.parametrize(
    "error",
    [
        Refused("max_tokens: 300000 > 64000, which is the maximum allowed number of output tokens"),
        Refused("context_window must be a number"),
        Refused("messages: at least one message is required"),
        Busy("Too many tokens, please wait before trying again."),
    ],
)
def test_what_is_something_else_stays_it(error: UpstreamError) -> None:
    code = error.code
    understand(error)
    assert error.code == code


def test_an_empty_account_is_one_whatever_its_words_sound_like() -> None:
    error = Refused("too many tokens", kind="quota_exceeded", status=402)
    understand(error)
    assert error.code == "insufficient_quota"


async def refused(asked: Speech, theirs: Speech, body: bytes, **fields: Any) -> tuple[int, dict[str, Any]]:
    """What a client is told whose provider refuses so."""
    async with (
        Evil(Scenario(status=400, body=body)) as evil,
        pillion(**theirs.environ(evil.url)) as gateway,
    ):
        got = await chat(gateway, asked, asked.request(model=f"{theirs.provider}/m", **fields))
    return got.status, json.loads(got.body)["error"]


async def test_clients_of_openai_hear_its_code() -> None:
    status, error = await refused(OPENAI, ANTHROPIC, ANTHROPICS)
    assert (status, error["code"], error["message"]) == (400, CODE, LONG)


@pytest.mark.parametrize("stream", [False, True])
async def test_clients_of_anthropic_hear_its_words(stream: bool) -> None:
    """Claude Code makes its conversation shorter at these."""
    status, error = await refused(ANTHROPIC, OPENAI, OPENAIS, stream=stream)
    assert (status, error["type"], error["message"]) == (
        400,
        "invalid_request_error",
        f"prompt is too long: {OPENAIS_WORDS}",
    )


TOLD = {
    "anthropic": (b'"message":"%b"}', "prompt is too long: "),
    "bedrock": (b'{"message":"%b"}', "Input is too long for requested model: "),
    "cohere": (b'{"message":"%b",', "too many tokens: "),
    "gemini": (b'"message":"%b",', "The input token count exceeds the maximum number of tokens allowed: "),
}


@pytest.mark.parametrize("wire", TOLD)
def test_clients_of_others_hear_their_vendors_words(wire: str) -> None:
    """Strands shortens the conversation at Bedrock's, and Pydantic AI has a class of error for each."""
    shape, words = TOLD[wire]
    dialect, told = registry.dialect(wire), words + OPENAIS_WORDS
    assert shape % told.encode() in dialect.error(Refused(OPENAIS_WORDS, code=CODE), "req_1")
    assert shape % told.encode() in dialect.error(Refused(told, code=CODE), "req_1")
    assert shape % OPENAIS_WORDS.encode() in dialect.error(Refused(OPENAIS_WORDS), "req_1")


def test_bedrocks_words_are_none_of_anthropics() -> None:
    """Pydantic AI's client of Anthropic's wire knows but these."""
    told = registry.dialect("anthropic").error(Refused("Input is too long for requested model.", code=CODE), "req_1")
    assert b'"prompt is too long: Input is too long for requested model."' in told


async def test_words_that_it_knows_are_left_as_they_are() -> None:
    _, error = await refused(ANTHROPIC, OPENAI, OPENAIS.replace(OPENAIS_WORDS.encode(), KNOWN.encode()))
    assert error["message"] == KNOWN


@pytest.mark.parametrize("asked", [OPENAI, ANTHROPIC])
async def test_another_target_is_asked(asked: Speech) -> None:
    async with (
        Evil(Scenario(status=400, body=ANTHROPICS)) as evil,
        pillion(**ANTHROPIC.environ(evil.url), PILLION_FAILOVER_FALLBACK_ORDER="echo/echo") as gateway,
    ):
        got = await chat(gateway, asked, asked.request(model="anthropic/m"))
    assert (got.status, got.header("x-pillion-provider")) == (200, "echo")
