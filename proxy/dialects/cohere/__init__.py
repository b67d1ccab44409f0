"""How does one speak version 2 of Cohere's API, to Cohere and to its clients?

https://docs.cohere.com/reference/chat and, for streams, .../reference/chat-stream

A field without a canonical counterpart keeps its own name, and goes to `extra`: each only tunes the answer
(`safety_mode`, `citation_options`, `priority`). What is left of a nested object (thinking, response_format) goes there
under the object's name.

A `tool_plan` becomes thinking, whose `extra` says that it goes back as a plan. A document in a tool's result becomes
the JSON text that Cohere makes of it, and its `extra` keeps the document as it came.

A request:

    parse          from a client
    encode         to Cohere

An answer:

    decode         from Cohere, as a stream
    decode_whole   from Cohere, as a whole
    render         to a client
    meter          cost and end, where the answer passes through

Both ways:

    words          the wire's words and ours
    documents      what the answer is to be grounded in
    citations      the sources of a text, and logprobs
    usage          tokens
    faults         errors
"""

import re
from collections.abc import Mapping, Sequence

from proxy.canon import Request
from proxy.dialects.cohere.decode import StreamDecoder
from proxy.dialects.cohere.decode_whole import WholeDecoder
from proxy.dialects.cohere.encode import Encoding
from proxy.dialects.cohere.faults import error_body, error_event, fault_of_body
from proxy.dialects.cohere.meter import StreamMeter, WholeMeter
from proxy.dialects.cohere.parse import parse_request
from proxy.dialects.cohere.render import StreamRenderer, WholeRenderer
from proxy.dialects.cohere.words import NAME, SILENT
from proxy.envelope import Envelope, parse_object
from proxy.errors import GatewayError, UpstreamError
from proxy.framing import MAX_EVENT, has_sse
from proxy.framing.gates import EventGate
from proxy.grammar.fields import Fields, Object, dump, without_nulls
from proxy.grammar.named import peek_of, renamed
from proxy.grammar.pages import page_of
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

CHATS = "chat"  # the endpoint that every model here is for


class Cohere:
    """The dialect."""

    name = NAME
    stream_type = "text/event-stream"
    ping: bytes | None = b": ping\n\n"
    demands_limit = False
    demands_usage = False
    no_urls: frozenset[type] = frozenset()
    cites: tuple[str, ...] = ("url", "title", "quote", "origin")
    declines = False
    tool_names: ToolNames | None = None
    call_ids: re.Pattern[str] | None = None
    bounds = Bounds(output=(("max_tokens",),), state=("connectors",))
    alarm = b""
    farewell = b""
    seals: Sequence[bytes] = ()
    needs_seals: frozenset[type] = frozenset()
    betas: frozenset[str] | None = None
    refers = False
    sign: re.Pattern[bytes] | None = None

    def has_event(self, held: bytes) -> bool:
        return has_sse(held, SILENT.search)

    def gate(self) -> Gate:
        return EventGate(MAX_EVENT)

    def peek(self, envelope: Envelope, path: Path) -> Peek:
        return peek_of(envelope)

    def parse(self, body: bytes, peek: Peek) -> Request:
        return parse_request(Fields(parse_object(body), ""))

    def renderer(self, request: Request) -> Renderer:
        return StreamRenderer(request) if request.stream else WholeRenderer(request)

    def meter(self, stream: bool) -> Meter:
        return StreamMeter() if stream else WholeMeter()

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return error_body(error, {"id": request_id})

    def error_headers(self, error: GatewayError) -> Headers:
        return []

    def error_event(self, error: GatewayError) -> bytes:
        return error_event(error)

    def model_list(self, names: Sequence[str]) -> bytes:
        return dump({"models": [_model_card(name) for name in names]})

    def model_page(self, names: Sequence[str], query: Mapping[str, str]) -> bytes:
        """https://docs.cohere.com/reference/list-models: those of one endpoint, if it is named. Ours all chat."""
        names = names if query.get("endpoint", CHATS) in ("", CHATS) else []
        page = page_of(names, query, "page_size", "page_token")
        more = {"next_page_token": page.names[-1]} if page.more else {}
        return dump({"models": [_model_card(name) for name in page.names], **more})

    def model_card(self, name: str, abilities: Abilities = UNKNOWN) -> bytes:
        return dump(_model_card(name, abilities))

    def forward(self, envelope: Envelope, model: str, ask_usage: bool) -> Forward:
        """`ask_usage` changes nothing, as this wire always reports usage."""
        return renamed(envelope, model)

    def hinted(self, envelope: Envelope, hints: Hints) -> Object:
        return without_nulls({"max_tokens": hints.max_tokens, "temperature": hints.temperature})

    def encode(self, request: Request) -> Encoded:
        encoding = Encoding(request)
        return Encoded(dump(encoding.body()), tuple(sorted(encoding.dropped)))

    def decoder(self, stream: bool) -> Decoder:
        return StreamDecoder() if stream else WholeDecoder()

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return fault_of_body(status, headers, body)


def _model_card(name: str, abilities: Abilities = UNKNOWN) -> Object:
    """https://docs.cohere.com/reference/get-model"""
    known = without_nulls({"context_length": abilities.context})
    return {"name": name, "endpoints": [CHATS], "default_endpoints": [], "finetuned": False, **known}
