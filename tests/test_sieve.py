"""Is the work of another wire's server tools left out of an answer, and told, while the rest of it comes?"""

import json
from typing import Any

import pytest
from msgspec.structs import replace
from ollama import ChatResponse

from proxy import registry
from proxy.canon import (
    Audio,
    Citation,
    Close,
    Delta,
    Event,
    Finish,
    Inline,
    Opaque,
    Open,
    Part,
    Reason,
    Refusal,
    Request,
    Start,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from proxy.dialects.bedrock import Bedrock
from proxy.dialects.ollama import Ollama
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_responses import OpenAIResponses
from proxy.errors import Unrepresentable
from proxy.grammar.receipts import NAMES_TOLD
from proxy.lanes.sieve import MOST, Sieve
from proxy.ports import Dialect
from tests import laws
from tests.client import ANTHROPIC, OPENAI, Got, ask, chat
from tests.evil import Evil, Scenario
from tests.gateway import pillion, telling
from tests.test_admin import label, samples
from tests.test_logs import Kept, log_to, told

WIRES = ("openai_chat", "openai_responses", "anthropic", "gemini", "bedrock", "ollama", "cohere")
OWN_BLOCKS: dict[str, dict[str, Any]] = {
    "openai_chat": {"type": "reference", "reference_ids": [1]},
    "openai_responses": {"type": "web_search_call", "id": "ws_1", "status": "completed"},
    "anthropic": {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "q"}},
    "gemini": {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "c2Vl"},
    "bedrock": {"toolUse": {"type": "server_tool_use", "toolUseId": "t", "name": "nova_grounding", "input": {}}},
    "cohere": {"type": "not_yet"},
}
NAMES = {
    "openai_chat": "reference",
    "openai_responses": "web_search_call",
    "anthropic": "server_tool_use",
    "gemini": "executableCode",
    "bedrock": "toolUse",
    "cohere": "not_yet",
}
SAID: list[tuple[Part, str]] = [
    (Thinking(), "Hm."),
    (Text(), "Let me look."),
    (ToolCall(id="call_1", name="f"), '{"x":1}'),
    (Text(), "It is so."),
]


def dialect(wire: str) -> Dialect:
    """Its clock, where it has one, stands still."""
    clocked: dict[str, Dialect] = {
        "openai_chat": OpenAIChat(lambda: 1.0),
        "openai_responses": OpenAIResponses(lambda: 1.0),
        "bedrock": Bedrock(lambda: 1.0),
        "ollama": Ollama(lambda: 1.0),
    }
    return clocked.get(wire) or registry.dialect(wire)


def block(index: int, part: Part, text: str = "") -> list[Event]:
    said: list[Event] = [Delta(index=index, text=text)] if text else []
    return [Open(index=index, part=part), *said, Close(index=index)]


def sentence(foreign: list[Opaque], reason: Reason = "tool_use", said: list[tuple[Part, str]] = SAID) -> list[Event]:
    """The other wires' blocks stand before, between and behind what is said, and one opens within another block."""
    out: list[Event] = [Start(id="a", model="m", created=1)]
    for number, another in enumerate(foreign):
        out += block(100 + number, another)
    for index, (part, text) in enumerate(said):
        opening, *rest = block(index, part, text)
        out += [opening, *(event for another in foreign[:1] for event in block(200 + index, another)), *rest]
    return [*out, Usage(input=3, output=2), Finish(stops=(Stop(reason=reason),))]


def rendered(wire: str, stream: bool, events: list[Event]) -> tuple[bytes, list[str]]:
    sieve = Sieve(wire, dialect(wire).cites, dialect(wire).declines)
    renderer = dialect(wire).renderer(Request(wire=wire, model="m", turns=[], stream=stream))
    return laws.say(renderer, sieve.feed(events)), sieve.dropped


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("wire", WIRES)
def test_an_answer_is_told_as_if_other_wires_blocks_were_not_there(wire: str, stream: bool) -> None:
    others = [other for other in OWN_BLOCKS if other != wire]
    foreign = [Opaque(wire=other, value=OWN_BLOCKS[other]) for other in others]
    without, _ = rendered(wire, stream, sentence([]))
    assert rendered(wire, stream, sentence([*foreign, *foreign])) == (without, [NAMES[other] for other in others])


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("wire", OWN_BLOCKS)
def test_a_block_of_the_clients_own_wire_is_told(wire: str, stream: bool) -> None:
    own = Opaque(wire=wire, value=OWN_BLOCKS[wire])
    told, dropped = rendered(wire, stream, sentence([own], said=[]))
    events, _ = laws.listen(registry.dialect(wire).decoder(stream), [told])
    assert ([event.part for event in events if isinstance(event, Open)], dropped) == ([own], [])


@pytest.mark.parametrize("known", ["url", "title", "quote", "origin"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("wire", WIRES)
def test_a_citation_is_shown_or_told(wire: str, stream: bool, known: str) -> None:
    def said(*citations: Citation) -> list[Event]:
        cited = [Delta(index=1, citations=list(citations))] if citations else []
        return [Start(id="a", model="m", created=1), *block(1, Text(), "So.")[:2], *cited, Close(index=1), *END]

    told, dropped = rendered(
        wire, stream, said(replace(Citation(wire="nobody", value={"x": 1}), **{known: "https://a"}))
    )
    assert (told == rendered(wire, stream, said())[0]) == (dropped == ["citations"])


SURE: dict[str, Any] = {"token": "So", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "A", "logprob": -1}]}
UNREADABLE = [
    {"token": "x", "logprob": None}, {"token": "x"}, {"logprob": -1}, {"token": None, "logprob": -1}, None, 7, [],
    {"token": "x", "logprob": "-1"}, {"token": "x", "logprob": True}, {"token": "x", "logprob": -(10**400)},
]  # fmt: skip


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("wire", ["openai_chat", "openai_responses", "gemini", "ollama", "cohere"])
def test_a_logprob_that_no_sdk_reads_is_left_out_and_told(wire: str, stream: bool) -> None:
    def said(own: str, *entries: Any) -> tuple[bytes, list[str]]:
        scored = Delta(index=1, text="So.", logprobs=list(entries))
        opening, closing = block(1, Text())
        return rendered(wire, stream, [Start(wire=own, id="a", model="m", created=1), opening, scored, closing, *END])

    told, dropped = said("nobody", SURE)
    assert (b"-0.5" in told, dropped) == (True, [])
    assert said("nobody", *UNREADABLE, SURE) == (told, ["logprobs"])
    others = {**SURE, "top_logprobs": [*UNREADABLE, *SURE["top_logprobs"]]}
    assert said("nobody", others) == (told, ["logprobs"])
    assert said("nobody", *UNREADABLE) == (said("nobody")[0], ["logprobs"])
    bare = {key: value for key, value in SURE.items() if key != "top_logprobs"}  # as the events of Responses may be
    assert said("nobody", bare) == said("nobody", {**bare, "top_logprobs": []})
    assert said(wire, UNREADABLE[0])[1] == []


async def test_an_ollama_app_reads_an_answer_with_a_token_that_could_not_be() -> None:
    entries = [SURE, {"token": "!", "logprob": None, "bytes": None, "top_logprobs": []}]
    scored = b'"logprobs":%b,"finish_reason"' % json.dumps({"content": entries}).encode()
    body = OPENAI.whole.replace(b'"finish_reason"', scored)
    plays = Scenario(headers=[("content-type", "application/json")], body=body)
    async with Evil(plays) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        asked = {"model": "openai/m", "messages": _TURNS, "stream": False, "logprobs": True}
        got = await ask(gateway, "POST", "/api/chat", json.dumps(asked).encode())
    read = ChatResponse.model_validate_json(got.body)
    assert [one.token for one in read.logprobs or []] == ["So"]
    assert (read.message.content, got.header("x-pillion-dropped")) == ("Grüße", "logprobs")


END: list[Event] = [Usage(input=3, output=2), Finish()]


@pytest.mark.parametrize("reason", ["stop", "pause", "length"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("wire", WIRES)
def test_an_answer_of_nothing_else_is_empty_and_says_why_it_ended(wire: str, stream: bool, reason: Reason) -> None:
    foreign = Opaque(wire="nobody", value={"x": 1})
    told, dropped = rendered(wire, stream, sentence([foreign], reason, said=[]))
    assert (told, dropped) == (rendered(wire, stream, sentence([], reason, said=[]))[0], ["block"])
    events, error = laws.listen(registry.dialect(wire).decoder(stream), [told])
    assert error is None
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert (finish.stops[0].reason == "stop") is (reason == "stop")  # what was suspended does not look finished


# Every key of an `extra` that some renderer looks for, and one that none does.
FOREIGN: dict[str, Any] = {
    "service_tier": "FOREIGN",
    "promptFeedback": {"blockReason": "FOREIGN"},
    "remote_model": "FOREIGN",
    "diagnostics": {"x": "FOREIGN"},
    "container": {"id": "FOREIGN"},
    "stop_details": {"x": "FOREIGN"},
    "context_management": {"x": "FOREIGN"},
    "input_transformations": ["FOREIGN"],
    "toolUsePromptTokenCount": 1,
    "trafficType": "FOREIGN",
    "input_tokens_details": {"x": "FOREIGN"},
    "prompt_tokens_details": {"x": "FOREIGN"},
    "function_call": {"x": "FOREIGN"},
    "functionCall": {"x": "FOREIGN"},
    "extra_content": {"google": {"thought_signature": "FOREIGN"}},
    "caller": {"type": "FOREIGN"},
    "namespace": "FOREIGN",
    "phase": "FOREIGN",
    "tool_plan": True,
    "logprobs": [{"token": "FOREIGN", "logprob": 0.0}],
    "load_duration": 1,
    "not_yet": "FOREIGN",
}


def laden(wire: str, extra: dict[str, Any]) -> list[Event]:
    """An answer of this wire with the same by-words in every place that has room for them."""
    parts = [*((replace(part, extra=extra), text) for part, text in SAID), (Refusal(extra=extra), "No.")]
    events = sentence([], said=parts)
    return [replace(each, wire=wire, extra=extra) if isinstance(each, Start) else each for each in events[:-2]] + [
        Usage(input=3, output=2, extra=extra),
        events[-1],
    ]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("other", WIRES)
@pytest.mark.parametrize("wire", WIRES)
def test_what_only_another_wire_has_a_name_for_is_not_told(wire: str, other: str, stream: bool) -> None:
    told, _ = rendered(wire, stream, laden(other, FOREIGN))
    bare, _ = rendered(wire, stream, laden(other, {}))
    if other == wire:
        assert told != bare  # of each wire's own there is something in the list above
    else:
        assert told == bare


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("wire", WIRES)
def test_a_citation_that_says_nothing_elsewhere_is_not_told_there(wire: str, stream: bool) -> None:
    """Google's lists of what was fetched and searched for ride on one."""
    silent = Citation(wire="nobody", value={"urlContextMetadata": {"x": 1}})
    cited = [Delta(index=0, text="a", citations=[silent])]
    around: list[Event] = [Start(id="a", model="m", created=1), Open(index=0, part=Text())]
    ended: list[Event] = [Close(index=0), Finish()]
    bare: list[Event] = [*around, Delta(index=0, text="a"), *ended]
    assert rendered(wire, stream, [*around, *cited, *ended]) == rendered(wire, stream, bare)


@pytest.mark.parametrize("wire", [wire for wire in WIRES if wire not in ("openai_chat", "gemini")])
def test_a_sound_is_the_answer_and_is_not_left_out(wire: str) -> None:
    with pytest.raises(Unrepresentable):
        rendered(wire, True, [Start(), *block(0, Audio(source=Inline("AAAA", "audio/wav"))), Finish()])


# --- through the lane ------------------------------------------------------------------------------------------------

USED = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "q"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []}
JSON = [("content-type", "application/json")]
SSE = [("content-type", "text/event-stream")]


def whole(*blocks: dict[str, Any], reason: str = "end_turn") -> Scenario:
    said = json.loads(ANTHROPIC.whole)
    body = said | {"content": [*blocks, *said["content"]] if reason == "end_turn" else list(blocks)}
    return Scenario(body=json.dumps(body | {"stop_reason": reason}).encode(), headers=JSON)


def streamed(first: bool) -> Scenario:
    """The server's work stands before the text, or behind it, when the head is out."""
    work = b""
    for index, value in ((7, USED), (8, FOUND)):
        for said in (
            {"type": "content_block_start", "index": index, "content_block": value},
            {"type": "content_block_stop", "index": index},
        ):
            work += b"event: %b\ndata: %b\n\n" % (str(said["type"]).encode(), json.dumps(said).encode())
    at = ANTHROPIC.stream.index(b"event: content_block_start" if first else b"event: message_delta")
    body = ANTHROPIC.stream[:at] + work + ANTHROPIC.stream[at:]
    return Scenario(body=body, headers=SSE, framing="chunked", split=[at], gap=0.02)


def content(got: Got) -> tuple[str, str]:
    """What an OpenAI client reads, and why it ended."""
    if got.header("content-type") == "application/json":
        choice = json.loads(got.body)["choices"][0]
        return choice["message"]["content"], choice["finish_reason"]
    lines = [line[6:] for line in got.body.split(b"\n") if line.startswith(b"data: {")]
    choices = [choice for line in lines for choice in json.loads(line)["choices"]]
    reasons = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices), reasons[-1]


@pytest.mark.parametrize("plays", [whole(USED, FOUND, FOUND), streamed(first=True)], ids=["whole", "streamed"])
async def test_what_is_known_before_the_head_stands_in_it(plays: Scenario) -> None:
    kept = Kept()
    async with Evil(plays) as evil, telling(log_to(kept), ANTHROPIC.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(plays.headers == SSE, "claude", seed=1))
        assert got.header("x-pillion-dropped") == "seed, server_tool_use, web_search_tool_result"
        assert content(got) == ("Grüße", "stop")
        (line,) = await told(kept)
        assert line["dropped"] == ["seed", "server_tool_use", "web_search_tool_result"]


async def test_a_provider_cannot_have_its_key_or_endless_names_told() -> None:
    kept, key = Kept(), "sk-anthropic-secret"
    plays = whole(*({"type": name} for name in (key, *(f"work_{number}" for number in range(500)))))
    async with Evil(plays) as evil, telling(log_to(kept), ANTHROPIC.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(model="claude"))
        names = (got.header("x-pillion-dropped") or "").split(", ")
        assert (names[:2], names[-1], len(names)) == (
            ["***", "work_0"],
            f"and {MOST - NAMES_TOLD} more",
            NAMES_TOLD + 1,
        )
        assert content(got) == ("Grüße", "stop")
        (line,) = await told(kept)
        assert key not in json.dumps(line) + got.raw_headers


async def test_what_comes_later_is_logged_and_counted() -> None:
    kept = Kept()
    async with Evil(streamed(first=False)) as evil, telling(log_to(kept), ANTHROPIC.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(True, "claude"))
        assert (got.whole, got.header("x-pillion-dropped")) == (True, None)
        assert content(got) == ("Grüße", "stop")
        (line,) = await told(kept)
        assert line["dropped"] == ["server_tool_use", "web_search_tool_result"]
        assert (await samples(gateway))["pillion_dropped_fields_total" + label(field="server_tool_use")] == 1


@pytest.mark.parametrize(("reason", "finish"), [("end_turn", "stop"), ("pause_turn", "length")])
async def test_a_turn_that_was_suspended_is_not_told_as_finished(reason: str, finish: str) -> None:
    async with Evil(whole(USED, reason=reason)) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(model="claude"))
    assert got.status == 200
    assert content(got) == ("" if reason == "pause_turn" else "Grüße", finish)


async def test_a_second_choice_that_comes_with_all_the_rest_breaks_the_stream() -> None:
    """The whole stream is there before its head is sent, and still it has no good end."""
    at = OPENAI.stream.index(b"data: [DONE]")
    second = b'data: {"choices":[{"index":1,"delta":{"content":"b"},"finish_reason":"stop"}]}\n\n'
    plays = Scenario(body=OPENAI.stream[:at] + second + OPENAI.stream[at:], headers=SSE)
    async with Evil(plays) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, ANTHROPIC, ANTHROPIC.request(True, "openai/gpt"))
    assert (got.status, got.whole) == (200, False)
    assert "several choices" in ANTHROPIC.error(ANTHROPIC.last_event(got.body))["message"]


async def test_an_answer_of_the_clients_own_wire_is_dropped_nothing() -> None:
    plays = whole(USED)
    async with Evil(plays) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway:
        got = await chat(gateway, ANTHROPIC, ANTHROPIC.request(model="claude"))
    assert (got.body, got.header("x-pillion-dropped")) == (plays.body, None)


# --- a model that declines -------------------------------------------------------------------------------------------

DECLINED = (
    b'{"id":"c1","object":"chat.completion","created":1,"model":"gpt-real","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":null,"refusal":"I will not."},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}'
)
_TURNS = [{"role": "user", "content": "Hi"}]
# Where each client asks, with what, and what it is told: how the answer ended, and what was left out.
DECLINES: dict[str, tuple[str, dict[str, Any], str, str | None]] = {
    "anthropic": ("/v1/messages", {"max_tokens": 9, "messages": _TURNS}, '"stop_reason":"refusal"', None),
    "bedrock": (
        "/model/openai%2Fm/converse",
        {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]},
        '"stopReason":"content_filtered"',
        None,
    ),
    "gemini": (
        "/v1beta/models/openai/m:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
        '"finishReason":"SAFETY"',
        None,
    ),
    "ollama": ("/api/chat", {"messages": _TURNS, "stream": False}, '"done_reason":"content_filter"', None),
    "cohere": ("/v2/chat", {"messages": _TURNS}, '"finish_reason":"COMPLETE"', "refusal"),
    "responses": ("/v1/responses", {"input": "Hi"}, '"refusal":"I will not."', None),
}


@pytest.mark.parametrize("client", DECLINES)
async def test_no_client_takes_a_refusal_for_an_answer_unawares(client: str) -> None:
    """A wire that marks a refusal ends it with `stop`. Others say it with the end; Cohere's has no true word for it."""
    path, asked, end, receipt = DECLINES[client]
    body = json.dumps({"model": "openai/m", **asked} if "openai" not in path else asked).encode()
    plays = Scenario(headers=[("content-type", "application/json")], body=DECLINED)
    async with Evil(plays) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await ask(gateway, "POST", path, body)
    assert "I will not." in got.body.decode()
    assert end in got.body.decode().replace('": ', '":')
    assert got.header("x-pillion-dropped") == receipt


@pytest.mark.parametrize("wire", ["ollama", "anthropic", "bedrock", "gemini"])
def test_a_stream_that_is_a_refusal_ends_as_one(wire: str) -> None:
    speech = registry.dialect(wire)
    request = Request(wire=wire, model="m", turns=[], stream=True)
    events: list[Event] = [
        Start(wire="openai_chat", id="1"),
        Open(index=0, part=Refusal()),
        Delta(index=0, text="No."),
        Close(index=0),
        Finish(stops=(Stop(raw="stop"),)),
    ]
    renderer, decoder = speech.renderer(request), speech.decoder(stream=True)
    out = b"".join(map(renderer.feed, events))
    *_, end = [*decoder.feed(out), *decoder.close()]
    assert isinstance(end, Finish)
    assert end.stops[0].reason in ("refusal", "content_filter")


# --- why the model declined ------------------------------------------------------------------------------------------

EXPLAINED = {
    "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "First"}],
    "stop_reason": "refusal", "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 2},
    "stop_details": {"type": "refusal", "category": "cyber", "explanation": "Not with this."},
}  # fmt: skip


def explained(wire: str) -> Any:
    """What a client of this wire reads."""
    told, dropped = rendered(
        wire,
        False,
        list(laws.listen(registry.dialect("anthropic").decoder(False), [json.dumps(EXPLAINED).encode()])[0]),
    )
    assert dropped == []
    return json.loads(told)


def test_why_claude_declined_is_told_where_there_is_a_place_for_it() -> None:
    """https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons"""
    [choice] = explained("openai_chat")["choices"]
    assert (choice["message"]["content"], choice["message"]["refusal"]) == ("First", "Not with this.")
    assert choice["finish_reason"] == "content_filter"
    said = [part for item in explained("openai_responses")["output"] for part in item["content"]]
    assert [part.get("refusal") or part["text"] for part in said] == ["First", "Not with this."]
    [candidate] = explained("gemini")["candidates"]
    assert (candidate["finishReason"], candidate["finishMessage"]) == ("SAFETY", "Not with this.")
    assert explained("cohere")["error"] == "Not with this."
    same = explained("anthropic")
    assert (same["content"], same["stop_details"]) == (EXPLAINED["content"], EXPLAINED["stop_details"])


@pytest.mark.parametrize("details", [None, {}, {"explanation": None}, {"explanation": 3}, []])
def test_a_refusal_without_a_reason_says_no_more(details: object) -> None:
    body = json.dumps(EXPLAINED | {"stop_details": details}).encode()
    events, _ = laws.listen(registry.dialect("anthropic").decoder(False), [body])
    told, _ = rendered("openai_chat", False, list(events))
    assert json.loads(told)["choices"][0]["message"]["refusal"] is None
