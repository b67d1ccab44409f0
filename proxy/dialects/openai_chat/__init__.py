"""How does one speak OpenAI's Chat Completions, to clients and to the many hosts that speak it?

The wire: https://platform.openai.com/docs/api-reference/chat. Hosts have extended it, and extensions that several of
them share are understood as well: `reasoning_content` (DeepSeek, vLLM), `reasoning` and `reasoning_details`
(OpenRouter, Vercel), content lists with thinking (Mistral), `images` in an answer (OpenRouter), `cache_control`
(OpenRouter, LiteLLM).

A field without a canonical counterpart keeps its own name. It goes to `demands` if the answer would be a different one
without it (`words.DEMANDS` lists those), and to `extra` if it only tunes the answer. Null means the same as absence.

What clients speak besides the wire itself:

    azure             the deployment in the path
    unified           /v1/chat, pillion's own endpoint
    wishes            pillion's own fields in a body

A request:

    parse             from a client
    parse_turns       its messages
    encode            to a host
    encode_messages   its turns, as messages
    encode_parts      the parts of a message

An answer:

    decode            from a host
    voices            the open block and the calls of each choice
    render            to a client, as a stream
    render_whole      to a client, as a whole
    render_fields     what these two have in common
    meter             cost and end, where the answer passes through
    strip             takes out usage that the client did not ask for
    summary           what the answer took, for the client

Both ways:

    words             the wire's words and ours
    reasoning         thoughts
    seals             the signatures of tool calls
    citations         the sources of a text
    usage             tokens, as any host counts them
    counts            tokens, as OpenAI counts them: the fast path
    faults            errors
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from proxy.canon import Audio, Document, Request
from proxy.dialects.openai_chat.decode import StreamDecoder, WholeDecoder
from proxy.dialects.openai_chat.encode import Encoding, limit_field
from proxy.dialects.openai_chat.faults import error_body, fault_of_body
from proxy.dialects.openai_chat.meter import StreamMeter, WholeMeter
from proxy.dialects.openai_chat.parse import parse_request
from proxy.dialects.openai_chat.render import StreamRenderer
from proxy.dialects.openai_chat.render_whole import WholeRenderer
from proxy.dialects.openai_chat.strip import UsageStrip
from proxy.dialects.openai_chat.summary import SummaryCoda, summarised
from proxy.dialects.openai_chat.wishes import wishes_in
from proxy.dialects.openai_chat.words import NAME, SAYING, SIGN
from proxy.envelope import Envelope, parse_object
from proxy.errors import GatewayError, UpstreamError
from proxy.framing import MAX_EVENT, has_sse, sse
from proxy.framing.gates import EventGate
from proxy.grammar.fields import Fields, Object, dump, encode_json, without_nulls
from proxy.grammar.named import peek_of
from proxy.grammar.openai import model_card
from proxy.ports import (
    UNKNOWN,
    Abilities,
    Bounds,
    Coda,
    Decoder,
    Encoded,
    Forward,
    Gate,
    Headers,
    Hints,
    Meter,
    Path,
    Peek,
    Renderer,
    ToolNames,
    Wishes,
)


class OpenAIChat:
    """The dialect. `clock` dates an answer that its provider did not date, as the wire requires a date."""

    name = NAME
    stream_type = "text/event-stream"
    ping: bytes | None = b": ping\n\n"
    demands_limit = False
    demands_usage = False
    no_urls: frozenset[type] = frozenset((Audio, Document))
    cites: tuple[str, ...] = ("url",)
    declines = True
    tool_names: ToolNames | None = ToolNames(re.compile(r"[^a-zA-Z0-9_-]"), longest=64)
    call_ids: re.Pattern[str] | None = re.compile(r"[\s\S]{1,40}")
    bounds = Bounds(
        output=(("max_completion_tokens",), ("max_tokens",)),
        choices=(("n",), ("best_of",)),
        state=("web_search_options", "search_parameters", "plugins", "enable_search", "cached_content", "extra_body"),
        # OpenRouter's fallback models, and its setups; predicted tokens that the answer did not use
        beside=("models", "preset", "prediction"),
        tiers=(("service_tier",),),
    )
    alarm = b"error"  # mostly in quotes
    farewell = b"[DONE]"
    seals: Sequence[bytes] = (b'signature"', b"encrypted")
    needs_seals: frozenset[type] = frozenset()
    betas: frozenset[str] | None = None
    refers = False
    sign: re.Pattern[bytes] | None = SIGN

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def has_event(self, held: bytes) -> bool:
        return has_sse(held, _is_silent)

    def gate(self) -> Gate:
        return EventGate(MAX_EVENT)

    def peek(self, envelope: Envelope, path: Path) -> Peek:
        return peek_of(envelope)

    def wishes(self, envelope: Envelope) -> tuple[Wishes, Envelope]:
        return wishes_in(envelope)

    def summarised(self, body: bytes, summary: Mapping[str, Any]) -> bytes:
        return summarised(body, summary)

    def coda(self, tell: Callable[[], Mapping[str, Any]]) -> Coda:
        return SummaryCoda(tell)

    def parse(self, body: bytes, peek: Peek) -> Request:
        return parse_request(Fields(parse_object(body), ""))

    def renderer(self, request: Request) -> Renderer:
        made = StreamRenderer if request.stream else WholeRenderer
        return made(request, self._clock)

    def meter(self, stream: bool) -> Meter:
        return StreamMeter() if stream else WholeMeter()

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return error_body(error)

    def error_headers(self, error: GatewayError) -> Headers:
        return []

    def error_event(self, error: GatewayError) -> bytes:
        return sse(error_body(error))

    def model_list(self, names: Sequence[str]) -> bytes:
        return dump({"object": "list", "data": [model_card(name) for name in names]})

    def model_card(self, name: str, abilities: Abilities = UNKNOWN) -> bytes:
        return dump(model_card(name))

    def forward(self, envelope: Envelope, model: str, ask_usage: bool) -> Forward:
        edits: dict[str, bytes] = {}
        if envelope.get("model") != model:
            edits["model"] = encode_json(model)
        options = envelope.get("stream_options")
        ask = ask_usage and envelope.get("stream") is True and isinstance(options, dict | None)
        if ask and (options is None or options.get("include_usage") is not True):
            edits["stream_options"] = encode_json({**(options or {}), "include_usage": True})
            return Forward(envelope.edit(edits), UsageStrip())
        return Forward(envelope.edit(edits) if edits else envelope.body)

    def hinted(self, envelope: Envelope, hints: Hints) -> Object:
        limit = limit_field(hints.family)
        silent = envelope.get("max_tokens") is None and envelope.get("max_completion_tokens") is None
        temperature = hints.temperature_beside(envelope.get("reasoning_effort"))
        return without_nulls({limit: hints.max_tokens if silent else None, "temperature": temperature})

    def encode(self, request: Request) -> Encoded:
        encoding = Encoding(request)
        return Encoded(dump(encoding.body()), tuple(sorted(encoding.dropped)))

    def decoder(self, stream: bool) -> Decoder:
        return StreamDecoder() if stream else WholeDecoder()

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return fault_of_body(status, headers, body)


def _is_silent(data: bytes) -> bool:
    """Nor does [DONE] say anything: a stream that only ends has not begun; nor does {}, by which some hosts show that
    they are alive.
    """
    return data in (b"[DONE]", b"{}") or (b'"choices"' in data and SAYING.search(data) is None)
