"""How is a chat said in Gemini's generateContent, of the Gemini API and of Vertex AI?

https://ai.google.dev/api/generate-content and
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference

The path names the model and says whether to stream; a body need not repeat either. What has no canonical field keeps
its own name: in `extra` where it only tunes the answer, and in `demands` where the answer would be a different one
without it (`words.DEMANDS` lists those). The rest of a nested object (generationConfig, toolConfig) is kept under the
object's own name. Null means the same as absence.

The way in, and what both ways share:

    words         this wire's words, and ours for them
    spelling      keys in camelCase and in snake_case
    parse         a client's request
    parse_parts   the contents of its chat
    schema        Gemini's schemas and JSON Schema
    media         images, sounds, films and documents
    seals         thought signatures
    frames        the chunks of a stream
    decode        a provider's answer
    partial       the arguments of a call that comes in pieces
    citations     where a passage comes from
    logprobs      the probabilities of tokens
    usage         the tokens that were counted
    faults        errors, both ways
    meter         the cost of an answer that passes through

The way out:

    encode        a request to a provider
    encode_parts  the turns of its chat
    thinking      how much the model may think
    count         its tokens, counted before it is sent
    render        an answer to a client
    render_parts  one whole part of it
    endings       how it ends

The same chats under other paths:

    vertex        Vertex AI's list of models
"""

import re
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from proxy.canon import Request, ToolCall
from proxy.dialects.gemini.count import WHOLE, counted, counting_body, parse_count
from proxy.dialects.gemini.decode import StreamDecoder, WholeDecoder
from proxy.dialects.gemini.encode import Encoding
from proxy.dialects.gemini.faults import error_body, fault_of_body
from proxy.dialects.gemini.frames import ChunkGate, has_chunk
from proxy.dialects.gemini.meter import StreamMeter, WholeMeter
from proxy.dialects.gemini.parse import bare, check_model, parse_request, published
from proxy.dialects.gemini.render import ArrayRenderer, StreamRenderer, WholeRenderer
from proxy.dialects.gemini.spelling import as_sent, as_spelled, camel, in_camel, may_be_snake
from proxy.dialects.gemini.words import NAME, VERBS
from proxy.envelope import Envelope, parse_object
from proxy.errors import BadRequest, GatewayError, Unrepresentable, UpstreamError
from proxy.grammar.fields import Fields, Object, as_object, dump, encode_json, without_nulls
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

CONFIGS = ("generationConfig", "generation_config")


class Gemini:
    """The dialect."""

    name = NAME
    stream_type = "text/event-stream"
    ping: bytes | None = None  # to Google's SDKs anything but a chunk is a broken answer
    demands_limit = False
    demands_usage = False
    no_urls: frozenset[type] = frozenset()
    cites: tuple[str, ...] = ("url", "title", "quote")
    declines = True
    tool_names: ToolNames | None = ToolNames(re.compile(r"^[^a-zA-Z_]|[^a-zA-Z0-9_.:-]"), longest=64)
    call_ids: re.Pattern[str] | None = None
    bounds = Bounds(
        output=[*product(CONFIGS, ("maxOutputTokens", "max_output_tokens"))],
        choices=[*product(CONFIGS, ("candidateCount", "candidate_count"))],
        own_tools=re.compile("functionDeclarations|function_declarations"),
        state=("cachedContent", "cached_content", "continuationToken", "continuation_token"),
        tiers=(("serviceTier",), ("service_tier",)),
        # Vertex AI's: https://cloud.google.com/vertex-ai/generative-ai/docs/priority-paygo
        tier_headers=("x-vertex-ai-llm-shared-request-type",),
    )
    alarm = b'"error"'
    farewell = b""
    seals: Sequence[bytes] = (b'ignature"',)  # in either spelling
    needs_seals: frozenset[type] = frozenset({ToolCall})  # Gemini 3 refuses the call
    betas: frozenset[str] | None = None
    refers = False
    sign: re.Pattern[bytes] | None = None

    def has_event(self, held: bytes) -> bool:
        return has_chunk(held)

    def gate(self) -> Gate:
        return ChunkGate()

    def peek(self, envelope: Envelope, path: Path) -> Peek:
        """`path.rest`: what follows `models/`, such as `gemini-2.5-pro:countTokens`, or a path of Vertex AI's."""
        named, _, verb = path.rest.rpartition(":")
        model = published(named)
        if verb not in VERBS or not model:
            known = " or ".join(VERBS)
            raise BadRequest(f"The path must end in a model, a colon, and {known}.", status=404, code="unknown_url")
        if "model" in envelope:
            check_model(Fields({"model": envelope.get("model")}, ""), model)
        stream = VERBS[verb]
        alt = path.query.get("alt") or path.query.get("$alt") or "json"
        return Peek(model, stream, stream and not alt.lower().startswith("sse"))

    def parse(self, body: bytes, peek: Peek) -> Request:
        try:
            value = parse_object(body)
            return parse_request(in_camel(value) if may_be_snake(body) else value, peek)
        except RecursionError:
            raise BadRequest("The request body is nested too deeply.", code="invalid_json") from None

    def renderer(self, request: Request) -> Renderer:
        if not request.stream:
            return WholeRenderer(request)
        return ArrayRenderer(request) if request.as_array else StreamRenderer(request)

    def meter(self, stream: bool) -> Meter:
        return StreamMeter() if stream else WholeMeter()

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return error_body(error)

    def as_sent(self, path: str, body: bytes) -> str:
        return as_sent(path, body)

    def as_spelled(self, fields: Mapping[str, Any], envelope: Envelope) -> Object:
        return as_spelled(fields, envelope)

    def error_headers(self, error: GatewayError) -> Headers:
        return []

    def error_event(self, error: GatewayError) -> bytes:
        """The event that ends a stream of events. In a stream that is an array it cannot be understood any more."""
        return b"data: %b\r\n\r\n" % error_body(error)

    def model_list(self, names: Sequence[str]) -> bytes:
        return dump(self._listed(names))

    def model_page(self, names: Sequence[str], query: Mapping[str, str]) -> bytes:
        """https://ai.google.dev/api/models#method:-models.list; a size of 0 is no size (https://google.aip.dev/158)."""
        said = {camel(key): text for key, text in query.items() if text != "0"}
        page = page_of(names, said, "pageSize", "pageToken")
        return dump(self._listed(page.names) | ({"nextPageToken": page.names[-1]} if page.more else {}))

    def _listed(self, names: Sequence[str]) -> Object:
        return {"models": [_model_card(name) for name in names]}

    def model_card(self, name: str, abilities: Abilities = UNKNOWN) -> bytes:
        return dump(_model_card(name, abilities))

    def forward(self, envelope: Envelope, model: str, ask_usage: bool) -> Forward:
        """`ask_usage` changes nothing: this wire always counts tokens. A body that names the model must name the new
        one.
        """
        for key in WHOLE:  # to count tokens, a client may send a request within the request
            if (inner := envelope.raw(key)) is not None:
                return Forward(envelope.edit({key: _renamed(Envelope(inner), model)}))
        return Forward(_renamed(envelope, model))

    def hinted(self, envelope: Envelope, hints: Hints) -> Object:
        """Spelled as the client spells its own fields."""
        key = "generation_config" if "generation_config" in envelope else "generationConfig"
        said = as_object(envelope.get(key))
        silent = said.get("maxOutputTokens") is None and said.get("max_output_tokens") is None
        limit = hints.max_tokens if silent else None
        fields = without_nulls({"maxOutputTokens": limit, "temperature": hints.temperature})
        return {key: fields} if fields else {}

    def encode(self, request: Request) -> Encoded:
        encoding = Encoding(request)
        try:
            return Encoded(dump(encoding.body()), tuple(sorted(encoding.dropped)))
        except RecursionError:
            raise Unrepresentable("The schema of a tool is nested too deeply.", param="tools") from None

    def decoder(self, stream: bool) -> Decoder:
        return StreamDecoder() if stream else WholeDecoder()

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return fault_of_body(status, headers, body)

    # countTokens, both faces

    def count_parse(self, body: bytes, peek: Peek) -> Request:
        """The request that a client wants counted. Raises BadRequest, with the field's path."""
        try:
            return parse_count(parse_object(body), peek)
        except RecursionError:
            raise BadRequest("The request body is nested too deeply.", code="invalid_json") from None

    def count_body(self, request: Request) -> bytes:
        """Raises Unrepresentable, with the path of what this wire cannot carry."""
        return counting_body(request.model, self.encode(request).body)

    def count_read(self, body: bytes) -> int:
        """Raises UpstreamError."""
        return counted(body)

    def count_answer(self, tokens: int) -> bytes:
        return dump({"totalTokens": tokens})


def _renamed(envelope: Envelope, model: str) -> bytes:
    """The body, with this model where it names one."""
    named = envelope.get("model")
    if not isinstance(named, str) or bare(named) == bare(model):
        return envelope.body
    collection = named.removesuffix(bare(named))
    return envelope.edit({"model": encode_json(collection + bare(model))})


def _model_card(name: str, abilities: Abilities = UNKNOWN) -> Object:
    """https://ai.google.dev/api/models#Model"""
    known = without_nulls(
        {
            "inputTokenLimit": abilities.context,
            "outputTokenLimit": abilities.max_output,
            "thinking": abilities.thinking,
        }
    )
    return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": list(VERBS), **known}
