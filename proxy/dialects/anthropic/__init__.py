"""How is a chat said in Anthropic's Messages API?

https://platform.claude.com/docs/en/api/messages and, for streams, .../docs/en/build-with-claude/streaming

Clients may send `anthropic-version` 2023-06-01 or 2026-10-21: the newer one takes less (no sampling, no documents from
the assistant, no citations from the user) and adds nothing, so that both are parsed alike. Providers get the older one,
in which a temperature can still be given to the models that know it.

What has no canonical field keeps its own name: in `extra` where it only tunes the answer, and in `demands` where the
answer would be a different one without it (`words.DEMANDS` lists those). `context_management`, which Claude Code always
sends, trims long chats and does not shape the answer. Null means the same as absence.

The rest of a nested object (metadata, thinking, tool_choice, output_config) is kept in `extra` under the object's own
name.

What an answer says beside its content (`container`, `stop_details`, `context_management`) is kept in `Usage.extra`, as
it comes with the last counts, and is lost if the answer counts no tokens. What it says at its start is kept in
`Start.extra`.

The way in, and what both ways share:

    words         this wire's words, and ours for them
    parse         a client's request
    documents     its documents and search results
    decode        a provider's answer
    events        the fields of answers and their events
    citations     where a passage comes from
    usage         the tokens that were counted
    faults        errors, both ways
    meter         the cost of an answer that passes through

The way out:

    encode        a request to a provider
    messages      the order of its turns
    blocks        one block of a turn
    thinking      how much the model may think
    count         its tokens, counted before it is sent
    render        an answer to a client

The same chats in another envelope:

    invoke        Bedrock's InvokeModel
    vertex        Vertex AI, which has the model in the path
"""

import re
from collections.abc import Mapping, Sequence

from proxy.canon import Request, Thinking
from proxy.dialects.anthropic.count import count_answer, count_body, count_read
from proxy.dialects.anthropic.decode import StreamDecoder, WholeDecoder
from proxy.dialects.anthropic.encode import Encoding
from proxy.dialects.anthropic.faults import error_body, fault_of_body
from proxy.dialects.anthropic.meter import StreamMeter, WholeMeter
from proxy.dialects.anthropic.parse import parse_prompt, parse_request
from proxy.dialects.anthropic.render import StreamRenderer, WholeRenderer
from proxy.dialects.anthropic.words import BOUNDS, CALL_IDS, CITES, NAME, SEALS, SILENT
from proxy.envelope import Envelope, parse_object
from proxy.errors import GatewayError, UpstreamError
from proxy.framing import MAX_EVENT, has_sse, sse
from proxy.framing.gates import EventGate
from proxy.grammar.claude.models import hinted_to
from proxy.grammar.fields import Fields, Object, dump, without_nulls
from proxy.grammar.named import peek_of, renamed
from proxy.grammar.pages import Page, page_of
from proxy.ports import (
    UNKNOWN,
    Abilities,
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


class Anthropic:
    """The dialect."""

    name = NAME
    stream_type = "text/event-stream"
    ping: bytes | None = b'event: ping\ndata: {"type": "ping"}\n\n'
    demands_limit = True
    demands_usage = True
    no_urls: frozenset[type] = frozenset()
    cites: tuple[str, ...] = CITES
    declines = True
    tool_names: ToolNames | None = ToolNames(re.compile(r"[^a-zA-Z0-9_-]"), longest=128)
    call_ids: re.Pattern[str] | None = CALL_IDS
    bounds = BOUNDS
    alarm = b""
    farewell = b""
    seals: Sequence[bytes] = SEALS
    needs_seals: frozenset[type] = frozenset({Thinking})
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
        return error_body(error, {"request_id": request_id})

    def error_headers(self, error: GatewayError) -> Headers:
        return []

    def error_event(self, error: GatewayError) -> bytes:
        return sse(error_body(error), "error")

    def model_list(self, names: Sequence[str]) -> bytes:
        return _model_list(Page(names))

    def model_page(self, names: Sequence[str], query: Mapping[str, str]) -> bytes:
        """https://platform.claude.com/docs/en/api/models/list"""
        return _model_list(page_of(names, query, "limit", "after_id", "before_id"))

    def model_card(self, name: str, abilities: Abilities = UNKNOWN) -> bytes:
        return dump(_model_card(name, abilities))

    def forward(self, envelope: Envelope, model: str, ask_usage: bool) -> Forward:
        """`ask_usage` changes nothing: this wire always counts tokens."""
        return renamed(envelope, model)

    def hinted(self, envelope: Envelope, hints: Hints) -> Object:
        temperature = hinted_to(hints.family, envelope.get("thinking"), envelope.get("top_p"), hints.temperature)
        return without_nulls({"max_tokens": hints.max_tokens, "temperature": temperature})

    def encode(self, request: Request) -> Encoded:
        encoding = Encoding(request)
        return Encoded(dump(encoding.body()), tuple(sorted(encoding.dropped)))

    def decoder(self, stream: bool) -> Decoder:
        return StreamDecoder() if stream else WholeDecoder()

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return fault_of_body(status, headers, body)

    # POST /v1/messages/count_tokens, both faces

    def count_parse(self, body: bytes, peek: Peek) -> Request:
        """Raises BadRequest, with the field's path."""
        return parse_prompt(Fields(parse_object(body), ""))

    def count_answer(self, tokens: int) -> bytes:
        return count_answer(tokens)

    def count_body(self, request: Request) -> bytes:
        """Raises Unrepresentable, with the path of what this wire cannot carry."""
        return count_body(request)

    def count_read(self, body: bytes) -> int:
        """Raises UpstreamError."""
        return count_read(body)


def _model_list(page: Page) -> bytes:
    names = page.names
    ends = {"first_id": names[0], "last_id": names[-1]} if names else {"first_id": None, "last_id": None}
    return dump({"data": [_model_card(name) for name in names], "has_more": page.more, **ends})


def _model_card(name: str, abilities: Abilities = UNKNOWN) -> Object:
    """The epoch stands for an unknown date: https://platform.claude.com/docs/en/api/models"""
    limits = without_nulls({"max_input_tokens": abilities.context, "max_tokens": abilities.max_output})
    return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z", **limits}
