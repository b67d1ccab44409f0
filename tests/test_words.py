"""Has every wire a word for everything that may end an answer, and do the vendors' own SDKs know it?

And is a refusal one thing, whichever of OpenAI's two wires it came on?
"""

import json
from collections.abc import Callable
from importlib import import_module
from typing import Any, get_args

import anthropic.types
import cohere.types
import google.genai.types
import openai.types.chat.chat_completion as chat_types
import openai.types.responses.response as response_types
import pytest

from proxy import registry
from proxy.canon import (
    Close,
    Delta,
    Event,
    Finish,
    Open,
    Part,
    Reason,
    Refusal,
    Request,
    Start,
    Stop,
    Text,
    ToolCall,
    Usage,
    fold,
)
from proxy.dialects.anthropic.words import STOP_WORDS as ANTHROPIC_WORDS
from proxy.dialects.bedrock.words import STOP_WORDS as BEDROCK_WORDS
from proxy.dialects.cohere.words import STOP_WORDS as COHERE_WORDS
from proxy.dialects.gemini.words import STOP_WORDS as GEMINI_WORDS
from proxy.dialects.ollama.words import STOP_WORDS as OLLAMA_WORDS
from proxy.dialects.openai_chat.words import STOP_WORDS as CHAT_WORDS
from proxy.dialects.openai_responses.words import INCOMPLETE
from tests import laws

Json = dict[str, Any]

REASONS: tuple[Reason, ...] = get_args(Reason)
TABLES = [ANTHROPIC_WORDS, BEDROCK_WORDS, COHERE_WORDS, GEMINI_WORDS, OLLAMA_WORDS, CHAT_WORDS, INCOMPLETE]


def _of_response(body: Json) -> str:
    details = body["incomplete_details"]
    return str(details["reason"] if details else body["status"])


# Where a whole answer of each wire says why it ended.
WORD: dict[str, Callable[[Json], str]] = {
    "openai_chat": lambda body: str(body["choices"][0]["finish_reason"]),
    "openai_responses": _of_response,
    "anthropic": lambda body: str(body["stop_reason"]),
    "gemini": lambda body: str(body["candidates"][0]["finishReason"]),
    "bedrock": lambda body: str(body["stopReason"]),
    "ollama": lambda body: str(body["done_reason"]),
    "cohere": lambda body: str(body["finish_reason"]),
}


def literals(annotation: object) -> set[str]:
    """The words of a type, however deep in its unions."""
    if isinstance(annotation, str):
        return {annotation}
    return {word for inner in get_args(annotation) for word in literals(inner)}


def known() -> dict[str, set[str]]:
    """What the official SDK's own type for it takes; Ollama's is any text."""
    incomplete = response_types.IncompleteDetails.model_fields["reason"].annotation
    bedrock = import_module("botocore.loaders").Loader().load_service_model("bedrock-runtime", "service-2")
    return {
        "openai_chat": literals(chat_types.Choice.model_fields["finish_reason"].annotation),
        "openai_responses": literals(incomplete) | {"completed"},
        "anthropic": literals(anthropic.types.StopReason),
        "gemini": {word.value for word in google.genai.types.FinishReason},
        "bedrock": set(bedrock["shapes"]["StopReason"]["enum"]),
        "cohere": literals(cohere.types.ChatFinishReason),
    }


KNOWN = known()


def sentence(stop: Stop, *parts: tuple[Part, str]) -> list[Event]:
    blocks: list[Event] = []
    for index, (part, text) in enumerate(parts):
        blocks += [Open(index=index, part=part), Delta(index=index, text=text), Close(index=index)]
    return [Start(id="a", model="m", created=1), *blocks, Usage(input=1, output=1), Finish(stops=(stop,))]


def said(wire: str, events: list[Event], stream: bool) -> bytes:
    return laws.say(registry.dialect(wire).renderer(Request(wire=wire, model="m", turns=[], stream=stream)), events)


def ending(wire: str, events: list[Event]) -> str:
    """The word of a whole answer, which a stream says as well."""
    word = WORD[wire](json.loads(said(wire, events, False)))
    assert word.encode() in said(wire, events, True)
    return word


@pytest.mark.parametrize("table", TABLES)
def test_every_reason_is_in_every_table(table: dict[Reason, str | None]) -> None:
    assert set(table) == set(REASONS)


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("wire", WORD)
def test_the_sdk_knows_the_word_for_every_reason(wire: str, reason: Reason) -> None:
    stop = Stop(reason=reason, sequence="x" if reason == "stop_sequence" else None)
    for parts in ([(Text(), "a")], [(ToolCall(id="c", name="f"), "{}")], []):
        word = ending(wire, sentence(stop, *parts))
        assert word in KNOWN.get(wire, {word})


WITHHELD = {
    "openai_chat": "content_filter",
    "openai_responses": "content_filter",
    "anthropic": "refusal",
    "gemini": "SAFETY",
    "bedrock": "content_filtered",
    "ollama": "content_filter",
    "cohere": "MAX_TOKENS",
}


@pytest.mark.parametrize("reason", ["content_filter", "refusal"])
@pytest.mark.parametrize("wire", WORD)
def test_what_was_withheld_does_not_look_finished(wire: str, reason: Reason) -> None:
    assert ending(wire, sentence(Stop(reason=reason), (Text(), "a"))) == WITHHELD[wire]


# --- a refusal -------------------------------------------------------------------------------------------------------

REFUSALS: dict[str, Json] = {
    "openai_chat": {
        "id": "a",
        "choices": [{"message": {"role": "assistant", "content": None, "refusal": "No."}, "finish_reason": "stop"}],
    },
    "openai_responses": {
        "id": "a",
        "status": "completed",
        "output": [{"type": "message", "id": "msg", "content": [{"type": "refusal", "refusal": "No."}]}],
    },
}
# Those that have a word for a refusal derive it from the part; OpenAI has the part, and says that it finished.
REFUSED = {
    "openai_chat": "stop",
    "openai_responses": "completed",
    "anthropic": "refusal",
    "gemini": "SAFETY",
    "bedrock": "content_filtered",
    "ollama": "stop",
    "cohere": "COMPLETE",
}


def refusal(provider: str) -> list[Event]:
    events, error = laws.listen(registry.dialect(provider).decoder(False), [json.dumps(REFUSALS[provider]).encode()])
    assert error is None
    return events


@pytest.mark.parametrize("provider", REFUSALS)
def test_a_refusal_is_a_part_and_an_end_like_any_other(provider: str) -> None:
    (choice,) = fold(refusal(provider)).choices
    assert (choice.parts, choice.stop.reason) == ([Refusal(text="No.")], "stop")


@pytest.mark.parametrize("provider", REFUSALS)
@pytest.mark.parametrize("wire", REFUSED)
def test_a_refusal_ends_in_the_clients_own_word(wire: str, provider: str) -> None:
    events = refusal(provider)
    assert ending(wire, events) == REFUSED[wire]
    assert b"No." in said(wire, events, True)


def test_a_refusal_that_was_cut_short_says_that_it_was() -> None:
    assert ending("gemini", sentence(Stop(reason="length"), (Refusal(), "No"))) == "MAX_TOKENS"
