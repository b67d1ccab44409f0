"""How is a chat said in Amazon Bedrock's Converse API?

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and, for streams,
.../API_runtime_ConverseStream.html

The path says the model and whether to stream. What has no canonical field keeps its own name: in `extra` where it only
tunes the answer, and in `demands` where the answer would be a different one without it (`words.DEMANDS` lists those).
The rest of a nested object is kept under the object's own name. Null means the same as absence.

An answer's `trace`, `performanceConfig` and `serviceTier` come at the end of a stream, and no canonical event has a
field for them: only the pass-through lane carries them.

The way in, and what both ways share:

    words            this wire's words, and ours for them
    parse            a client's request
    parse_blocks     the blocks of its messages
    parse_reasoning  how much it lets the model think
    decode           a provider's answer
    blocks           the blocks of an answer
    blobs            what is in base64
    citations        where a passage comes from
    usage            the tokens that were counted
    faults           errors, both ways
    meter            the cost of an answer that passes through

The way out:

    encode           a request to a provider
    turns            its turns, in the order that Converse wants
    encode_blocks    one block of them
    documents        the names of its documents
    reasoning        how much the model may think
    count            its tokens, counted before it is sent
    render           an answer to a client
    spell            one block of it
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from proxy.canon import Audio, Document, Image, Request, Thinking, Video
from proxy.dialects.bedrock.count import VERB, count_answer, count_body, count_parse, count_read
from proxy.dialects.bedrock.decode import StreamDecoder, WholeDecoder
from proxy.dialects.bedrock.encode import Encoding
from proxy.dialects.bedrock.faults import error_body, error_name, exception_of, fault_of_body
from proxy.dialects.bedrock.meter import StreamMeter, WholeMeter
from proxy.dialects.bedrock.parse import parse_request
from proxy.dialects.bedrock.render import StreamRenderer, WholeRenderer
from proxy.dialects.bedrock.words import NAME, STREAM_TYPE, VERBS, family_of
from proxy.envelope import Envelope, parse_object
from proxy.errors import BadRequest, GatewayError, UpstreamError, excerpt
from proxy.framing import Unframed
from proxy.framing.eventstream import BadMessage, Frames
from proxy.framing.gates import MessageGate
from proxy.grammar.claude.betas import OF_BEDROCK
from proxy.grammar.claude.models import hinted_to
from proxy.grammar.fields import Fields, Object, as_object, dump, without_nulls
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

# The messages of a stream that say nothing of the answer yet: its first one, and an empty piece of text, with which
# some models begin. No text can look like it, since its quotes are escaped.
SILENT = re.compile(rb':event-type\x07\x00\x0cmessageStart|"delta"\s*:\s*\{\s*"text"\s*:\s*""\s*\}')
OPENING = 256  # bytes at the start of a message in which we look for that


class Bedrock:
    """The dialect. `clock` (seconds) measures how long an answer took, which is a required field here."""

    name = NAME
    stream_type = STREAM_TYPE
    ping: bytes | None = None
    demands_limit = False
    demands_usage = True
    no_urls: frozenset[type] = frozenset({Audio, Document, Image, Video})
    cites: tuple[str, ...] = ("url", "title", "quote", "place", "origin")
    declines = True
    tool_names: ToolNames | None = ToolNames(re.compile(r"[^a-zA-Z0-9_-]"), longest=64)
    call_ids: re.Pattern[str] | None = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
    bounds = Bounds(
        output=(("inferenceConfig", "maxTokens"), ("additionalModelRequestFields", "max_tokens")),
        tools=("toolConfig", "tools"),
        own_tools=re.compile("toolSpec|cachePoint"),
        state=("promptVariables",),
        tiers=(("serviceTier", "type"),),
        own_tiers=(("performanceConfig", "latency"),),
    )
    verbs: ClassVar = {**VERBS, VERB: False}  # what a path ends with, and whether the answer is a stream
    alarm = b""
    farewell = b""
    seals: Sequence[bytes] = (b'"signature"', b'"redactedContent"')
    needs_seals: frozenset[type] = frozenset({Thinking})
    betas: frozenset[str] | None = OF_BEDROCK
    refers = False
    sign: re.Pattern[bytes] | None = None

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    def has_event(self, held: bytes) -> bool:
        try:
            return any(map(self.says, Frames().feed(held)))
        except BadMessage:
            raise Unframed from None

    def says(self, frame: bytes) -> bool:
        """Is it more than what a stream begins with?"""
        return SILENT.search(frame, 0, OPENING) is None

    def gate(self) -> Gate:
        return MessageGate()

    def peek(self, envelope: Envelope, path: Path) -> Peek:
        """A model's id may have slashes in it; a verb has none."""
        model, _, verb = path.rest.rpartition("/")
        if verb not in self.verbs or not model:
            known = " or ".join(self.verbs)
            message = f"There is no operation {excerpt(verb)!r}: the path must be /model/<id>/ followed by {known}."
            raise BadRequest(message, status=404, code="unknown_url")
        return Peek(model, self.verbs[verb])

    def parse(self, body: bytes, peek: Peek) -> Request:
        return parse_request(Fields(parse_object(body), ""), peek)

    def renderer(self, request: Request) -> Renderer:
        return (StreamRenderer if request.stream else WholeRenderer)(request, self._clock)

    def meter(self, stream: bool) -> Meter:
        return StreamMeter() if stream else WholeMeter()

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return error_body(error)

    def error_headers(self, error: GatewayError) -> Headers:
        """SDKs take the error's name from here, and raise the exception of that name."""
        return [("x-amzn-errortype", error_name(error))]

    def error_event(self, error: GatewayError) -> bytes:
        return exception_of(error)

    def model_list(self, names: Sequence[str]) -> bytes:
        return dump({"modelSummaries": [_model_card(name) for name in names]})

    def model_card(self, name: str, abilities: Abilities = UNKNOWN) -> bytes:
        return dump({"modelDetails": _model_card(name, abilities)})

    def forward(self, envelope: Envelope, model: str, ask_usage: bool) -> Forward:
        """The body needs no edits: the model is in the path, and this wire always counts tokens."""
        return Forward(envelope.body)

    def hinted(self, envelope: Envelope, hints: Hints) -> Object:
        temperature = hints.temperature
        if temperature is not None:
            further, inference = (
                as_object(envelope.get("additionalModelRequestFields")),
                envelope.get("inferenceConfig"),
            )
            temperature = hints.temperature_beside(as_object(further.get("reasoningConfig")).get("maxReasoningEffort"))
            if family_of(hints.family) == "claude":
                thinking = further.get("thinking") or further.get("reasoning_config")
                temperature = hinted_to(hints.family, thinking, as_object(inference).get("topP"), temperature)
        said = without_nulls({"maxTokens": hints.max_tokens, "temperature": temperature})
        return {"inferenceConfig": said} if said else {}

    def encode(self, request: Request) -> Encoded:
        encoding = Encoding(request)
        return Encoded(dump(encoding.body()), tuple(sorted(encoding.dropped)))

    def decoder(self, stream: bool) -> Decoder:
        return StreamDecoder() if stream else WholeDecoder()

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return fault_of_body(status, headers, body)

    # POST /model/{id}/count-tokens, both faces

    def count_parse(self, body: bytes, peek: Peek) -> Request:
        """Raises BadRequest, with the field's path."""
        return count_parse(parse_object(body), peek)

    def count_answer(self, tokens: int) -> bytes:
        return count_answer(tokens)

    def count_body(self, request: Request) -> bytes:
        """Raises Unrepresentable, with the path of what this wire cannot carry."""
        return count_body(request)

    def count_read(self, body: bytes) -> int:
        """Raises UpstreamError."""
        return count_read(body)


def _model_card(name: str, abilities: Abilities = UNKNOWN) -> Object:
    """The ARN is required: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_FoundationModelSummary.html"""
    return {
        "modelArn": f"arn:aws:bedrock:pillion::foundation-model/{name}",
        "modelId": name,
        "modelName": name,
        "responseStreamingSupported": True,
        **({} if abilities.images is None else {"inputModalities": ["TEXT", *(["IMAGE"] if abilities.images else [])]}),
    }
