"""How does one speak OpenAI's Responses API, to clients and to the hosts that speak it?

https://platform.openai.com/docs/api-reference/responses and, for streams, .../responses-streaming

A field without a canonical counterpart keeps its own name. It goes to `demands` if the answer would be a different one
without it (`words.DEMANDS` lists those), and to `extra` if it only tunes the answer. What is left of a nested object
(`text`, `reasoning`, `include`) goes to `extra` under the object's name. Null means the same as absence.

A request:

    parse            from a client
    parse_input      its items, as turns
    namespaces       tools in groups that have names of their own
    encode           to a host
    encode_input     its turns, as items
    count            how many tokens it has

An answer:

    decode           from a host
    decode_item      one item of it, and what of that is new
    render           to a client
    response         its fields besides the items
    items            its items
    meter            cost and end, where the answer passes through

Both ways:

    words            the wire's words and ours
    seals            the signatures of thoughts, calls and texts
    citations        the sources of a text
    moderation       what was found in request and answer
    usage            tokens
    faults           errors
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence

from proxy.canon import Request, Thinking
from proxy.dialects.openai_responses.count import count_answer, count_body, count_read
from proxy.dialects.openai_responses.decode import StreamDecoder, WholeDecoder
from proxy.dialects.openai_responses.encode import Encoding
from proxy.dialects.openai_responses.faults import error_body, failure, fault_of_body
from proxy.dialects.openai_responses.meter import StreamMeter, WholeMeter
from proxy.dialects.openai_responses.parse import parse_request
from proxy.dialects.openai_responses.render import StreamRenderer, WholeRenderer
from proxy.dialects.openai_responses.response import NOTHING
from proxy.dialects.openai_responses.words import NAME, SIGN, SILENT
from proxy.envelope import Envelope, parse_object
from proxy.errors import GatewayError, UpstreamError
from proxy.framing import MAX_FRAME, has_sse
from proxy.framing.gates import EventGate
from proxy.grammar.fields import Fields, Object, as_object, dump, without_nulls
from proxy.grammar.named import peek_of, renamed
from proxy.grammar.openai import model_card
from proxy.ports import (
    UNKNOWN,
    Abilities,
    Bounds,
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
)


class OpenAIResponses:
    """The dialect. `clock` dates an answer that its provider did not date, as the wire requires a date."""

    name = NAME
    stream_type = "text/event-stream"
    ping: bytes | None = b": ping\n\n"
    demands_limit = False
    demands_usage = False
    no_urls: frozenset[type] = frozenset()
    cites: tuple[str, ...] = ("url",)
    declines = True
    tool_names: ToolNames | None = ToolNames(re.compile(r"[^a-zA-Z0-9_-]"), longest=64)
    call_ids: re.Pattern[str] | None = re.compile(r"[\s\S]{1,64}")
    bounds = Bounds(
        output=(("max_output_tokens",),),
        own_tools=re.compile("function|custom|local_shell|shell|apply_patch|computer.*|namespace"),
        state=("previous_response_id", "conversation", "prompt", "background", "plugins", "context_management"),
        items="input",
        beside=("models", "preset"),  # OpenRouter's fallback models, and its setups
        tiers=(("service_tier",),),
    )
    alarm = b""
    farewell = b""
    seals: Sequence[bytes] = (b'"encrypted_content"',)
    needs_seals: frozenset[type] = frozenset({Thinking})
    betas: frozenset[str] | None = None
    refers = True
    sign: re.Pattern[bytes] | None = SIGN

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def has_event(self, held: bytes) -> bool:
        return has_sse(held, SILENT.search)

    def gate(self) -> Gate:
        return EventGate(MAX_FRAME)  # the last one repeats the whole answer

    def peek(self, envelope: Envelope, path: Path) -> Peek:
        return peek_of(envelope)

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
        return failure(error, NOTHING, 0)

    def model_list(self, names: Sequence[str]) -> bytes:
        return dump({"object": "list", "data": [model_card(name) for name in names]})

    def model_card(self, name: str, abilities: Abilities = UNKNOWN) -> bytes:
        return dump(model_card(name))

    def forward(self, envelope: Envelope, model: str, ask_usage: bool) -> Forward:
        """`ask_usage` changes nothing, as this wire always reports usage."""
        return renamed(envelope, model)

    def hinted(self, envelope: Envelope, hints: Hints) -> Object:
        temperature = hints.temperature_beside(as_object(envelope.get("reasoning")).get("effort"))
        return without_nulls({"max_output_tokens": hints.max_tokens, "temperature": temperature})

    def encode(self, request: Request) -> Encoded:
        encoding = Encoding(request)
        return Encoded(dump(encoding.body()), tuple(sorted(encoding.dropped)))

    def decoder(self, stream: bool) -> Decoder:
        return StreamDecoder() if stream else WholeDecoder()

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return fault_of_body(status, headers, body)

    # POST /v1/responses/input_tokens, from clients and to hosts

    def count_parse(self, body: bytes, peek: Peek) -> Request:
        return self.parse(body, peek)

    def count_answer(self, tokens: int) -> bytes:
        return count_answer(tokens)

    def count_body(self, request: Request) -> bytes:
        return count_body(request)

    def count_read(self, body: bytes) -> int:
        return count_read(body)
