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
import ollama
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
from proxy.dialects.gemini.words import REASONS as GEMINI_REASONS
from proxy.dialects.gemini.words import STOP_WORDS as GEMINI_WORDS
from proxy.dialects.ollama.words import STOP_WORDS as OLLAMA_WORDS
from proxy.dialects.openai_chat.words import STOP_WORDS as CHAT_WORDS
from proxy.dialects.openai_responses.words import STOP_WORDS as RESPONSES_WORDS
from proxy.grammar.endings import AS_IT_CAME, reason_of
from tests import laws

Json = dict[str, Any]

REASONS: tuple[Reason, ...] = get_args(Reason)
TABLES = [ANTHROPIC_WORDS, BEDROCK_WORDS, COHERE_WORDS, GEMINI_WORDS, OLLAMA_WORDS, CHAT_WORDS, RESPONSES_WORDS]


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
def test_every_reason_is_in_every_table(table: dict[Reason, str]) -> None:
    assert set(table) == set(REASONS)


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("wire", WORD)
def test_the_sdk_knows_the_word_for_every_reason(wire: str, reason: Reason) -> None:
    """But for what the wire has no word for: that is told as it came."""
    stop = Stop(reason=reason, sequence="x" if reason == "stop_sequence" else None)
    unworded = import_module(f"proxy.dialects.{wire}.words").STOP_WORDS[reason] == AS_IT_CAME
    for parts in ([(Text(), "a")], [(ToolCall(id="c", name="f"), "{}")], []):
        word = ending(wire, sentence(stop, *parts))
        assert word == reason if unworded else word in KNOWN.get(wire, {word})


# --- words that are not the wire's -----------------------------------------------------------------------------------

# What each wire says of an answer that ended as it should.
FINISHED = {
    "openai_chat": {"stop", "tool_calls", "function_call"},
    "openai_responses": {"completed"},
    "anthropic": {"end_turn", "stop_sequence", "tool_use"},
    "gemini": {"STOP"},
    "bedrock": {"end_turn", "stop_sequence", "tool_use"},
    "ollama": {"stop"},
    "cohere": {"COMPLETE", "STOP_SEQUENCE", "TOOL_CALL"},
}
# What Google says of an answer that ended otherwise, and a word that nobody knows yet.
ABNORMAL = {
    "LANGUAGE": "content_filter",
    "SAFETY": "content_filter",
    "OTHER": "other",
    "MISSING_THOUGHT_SIGNATURE": "other",
    "TOO_MANY_TOOL_CALLS": "other",
    "MALFORMED_FUNCTION_CALL": "malformed_tool_call",
    "NEW_BLOCK_REASON": "other",
    "insufficient_system_resource": "other",
}


# The SDKs' own reading of a whole answer: they check no word of it, and one of them warns.
READ: dict[str, Callable[[Json], object]] = {
    "openai_chat": lambda body: chat_types.Choice.construct(**body["choices"][0]).finish_reason,
    "openai_responses": lambda body: response_types.Response.construct(**body).incomplete_details,
    "anthropic": lambda body: anthropic.types.Message.construct(**body).stop_reason,
    "gemini": lambda body: google.genai.types.GenerateContentResponse.model_validate(body).candidates,
    "bedrock": lambda body: body["stopReason"],  # botocore's parser hands on any text
    "ollama": lambda body: ollama.ChatResponse.model_validate(body).done_reason,
    "cohere": lambda body: cohere.V2ChatResponse.model_construct(**body).finish_reason,
}


@pytest.mark.filterwarnings("ignore:.*is not a valid FinishReason")
@pytest.mark.parametrize(("raw", "reason"), ABNORMAL.items())
@pytest.mark.parametrize("wire", WORD)
def test_an_abnormal_end_never_looks_like_a_normal_one(wire: str, raw: str, reason: Reason) -> None:
    assert reason_of(raw, GEMINI_REASONS) == reason
    events = sentence(Stop(reason=reason, raw=raw), (Text(), "a"))
    assert ending(wire, events) not in FINISHED[wire]
    assert READ[wire](json.loads(said(wire, events, False)))
    for stream in (True, False):  # and nobody has to guess which end it was
        assert raw.encode() in said(wire, events, stream) or reason != "other"


@pytest.mark.parametrize("wire", ["openai_chat", "openai_responses", "anthropic", "bedrock", "ollama", "cohere"])
def test_a_new_word_goes_on_as_it_came(wire: str) -> None:
    assert ending(wire, sentence(Stop(reason="other", raw="brand_new"), (Text(), "a"))) == "brand_new"


def test_google_s_clients_are_told_a_new_word_beside_theirs() -> None:
    """Theirs is an enum's, and not each of Google's SDKs takes another."""
    body = json.loads(said("gemini", sentence(Stop(reason="other", raw="brand_new"), (Text(), "a")), False))
    assert (body["candidates"][0]["finishReason"], body["candidates"][0]["finishMessage"]) == ("OTHER", "brand_new")


@pytest.mark.parametrize(
    ("wire", "word", "reason"),
    [
        ("openai_chat", "eos", "stop"),
        ("openai_chat", "SAFETY", "content_filter"),
        ("openai_chat", "model_length", "length"),
        ("openai_chat", "end_turn", "stop"),
        ("anthropic", "stop", "stop"),
        ("anthropic", "length", "length"),
        ("openai_responses", "max_messages", "length"),
        ("bedrock", "length", "length"),
        ("ollama", "unload", "other"),
        ("cohere", "complete", "stop"),
    ],
)
def test_a_host_may_say_another_wire_s_word(wire: str, word: str, reason: Reason) -> None:
    assert reason_of(word, import_module(f"proxy.dialects.{wire}.words").REASONS) == reason


# What the SDKs' types say that an answer may end with.
LISTED: dict[str, set[str]] = {
    "openai_chat": set(get_args(chat_types.Choice.model_fields["finish_reason"].annotation)),
    "openai_responses": {
        word
        for words in get_args(response_types.IncompleteDetails.model_fields["reason"].annotation)
        for word in get_args(words)
    },
    "anthropic": set(get_args(anthropic.types.beta.BetaStopReason)),
    "gemini": {word.value for word in google.genai.types.FinishReason} - {"FINISH_REASON_UNSPECIFIED"},
}


@pytest.mark.parametrize("wire", LISTED)
def test_every_word_of_the_sdk_is_in_the_table(wire: str) -> None:
    assert LISTED[wire] - set(import_module(f"proxy.dialects.{wire}.words").REASONS) == set()


WITHHELD = {
    "openai_chat": "content_filter",
    "openai_responses": "content_filter",
    "anthropic": "refusal",
    "gemini": "SAFETY",
    "bedrock": "content_filtered",
    "ollama": "content_filter",
    "cohere": "ERROR",
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
    "ollama": "content_filter",
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
