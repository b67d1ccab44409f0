"""How is an Anthropic chat said through Bedrock's InvokeModel?

Anthropic's body in Bedrock's envelope: the path says the model and whether to stream, the body has `anthropic_version`,
and errors and streams have Bedrock's form. Each event of a stream is a message of type `chunk`, whose `bytes` are the
event's JSON in base64. Whatever the model, the last one counts tokens as well (`amazon-bedrock-invocationMetrics`).
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html and
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html

Other families (Titan, Llama, ...) have bodies of their own. They pass through to Bedrock as they are, and are not
translated for other providers.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from proxy.canon import Document, Event, Finish, Image, Request, Usage
from proxy.dialects.anthropic.decode import StreamDecoder as EventDecoder
from proxy.dialects.anthropic.decode import WholeDecoder
from proxy.dialects.anthropic.encode import Encoding
from proxy.dialects.anthropic.meter import StreamMeter as EventMeter
from proxy.dialects.anthropic.meter import WholeMeter
from proxy.dialects.anthropic.parse import parse_request
from proxy.dialects.anthropic.render import StreamRenderer as EventRenderer
from proxy.dialects.anthropic.render import WholeRenderer
from proxy.dialects.anthropic.words import BOUNDS, CALL_IDS, CITES, SEALS, SILENT
from proxy.dialects.bedrock import Bedrock
from proxy.dialects.bedrock.faults import exception_of, fault_of_message
from proxy.dialects.bedrock.usage import head_of, usage_in_head, usage_in_metrics
from proxy.dialects.bedrock.words import STREAM_TYPE, family_of
from proxy.envelope import Envelope, parse_object
from proxy.errors import BadRequest, GatewayError, Unsupported, UpstreamError
from proxy.framing import sse
from proxy.framing.eventstream import BadMessage, EventStream, Frames, Message, encode_frame, encode_headers, message_of
from proxy.grammar.claude.models import hinted_to
from proxy.grammar.fields import UNREADABLE, Fields, Object, as_object, decode_json, dump, nonsense, without_nulls
from proxy.ports import Decoder, Encoded, Headers, Hints, Meter, Peek, Renderer

# Bedrock's name for 2023-06-01. Clients may send another (Anthropic's SDK sends its own API's); all are parsed alike.
VERSION = "bedrock-2023-05-31"
METRICS = "amazon-bedrock-invocationMetrics"


class Invoke(Bedrock):
    """The dialect: Bedrock's, except for the body."""

    name = "bedrock_invoke"
    demands_limit = True
    no_urls: frozenset[type] = frozenset((Document, Image))  # Bedrock fetches nothing for Claude
    cites: tuple[str, ...] = CITES
    call_ids: re.Pattern[str] | None = CALL_IDS
    # https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html
    bounds = replace(BOUNDS, tier_headers=("x-amzn-bedrock-performanceconfig-latency", "x-amzn-bedrock-service-tier"))
    seals: Sequence[bytes] = SEALS  # of a whole answer; a stream's events are in base64
    verbs: ClassVar = {"invoke": False, "invoke-with-response-stream": True}

    def parse(self, body: bytes, peek: Peek) -> Request:
        """Raises Unsupported where the body is not Claude's, but another family's."""
        said = parse_object(body)
        if "prompt" in said or said.pop("anthropic_version", None) is None:
            raise Unsupported(
                "Only Bedrock accepts this body: for other providers, InvokeModel needs the body of Anthropic's API,"
                f' with `"anthropic_version": "{VERSION}"` and `messages`. Converse works with every model.'
            )
        for key in ("model", "stream"):
            if key in said:
                raise BadRequest(f"{key} belongs in the path of InvokeModel, not in its body: leave it out.", param=key)
        return parse_request(Fields(said | {"model": peek.model, "stream": peek.stream}, ""))

    def suits(self, envelope: Envelope, model: str) -> bool:
        """Claude's body is for Claude; what another body is for, its sender knows."""
        return "anthropic_version" not in envelope or "prompt" in envelope or not _is_anothers(model)

    def says(self, frame: bytes) -> bool:
        try:
            return SILENT.search(_event_in(message_of(frame))) is None
        except UpstreamError:
            return True

    def renderer(self, request: Request) -> Renderer:
        return StreamRenderer(request) if request.stream else WholeRenderer(request)

    def meter(self, stream: bool) -> Meter:
        return StreamMeter() if stream else WholeMeter()

    def usage_in_head(self, headers: Mapping[str, str]) -> Usage | None:
        """For the bodies of other families, which our meters cannot read."""
        return usage_in_head(headers)

    def head_of(self, usage: Usage) -> Headers:
        return head_of(usage)

    def hinted(self, envelope: Envelope, hints: Hints) -> Object:
        """Nothing for other families, which have other names for these, or none."""
        if "anthropic_version" not in envelope:
            return {}
        temperature = hinted_to(hints.family, envelope.get("thinking"), envelope.get("top_p"), hints.temperature)
        return without_nulls({"max_tokens": hints.max_tokens, "temperature": temperature})

    def encode(self, request: Request) -> Encoded:
        """It is Claude, which the name need not show: that of a profile or an endpoint is an ARN."""
        encoding = Encoding(request, claude=True)
        apart = ("model", "stream", "anthropic_version")
        said = {key: value for key, value in encoding.body().items() if key not in apart}
        return Encoded(dump({"anthropic_version": VERSION} | said), tuple(sorted(encoding.dropped)))

    def decoder(self, stream: bool) -> Decoder:
        return StreamDecoder() if stream else WholeDecoder()


# The vendor in a model's id, which may be that of a profile, with a region before it, or an ARN: `us.amazon.nova-...`.
_vendor = re.compile(r"(?:^|/)(?:[a-z-]+[.])?[a-z0-9]+[.][a-z]").search


def _is_anothers(model: str) -> bool:
    return family_of(model) != "claude" and _vendor(model) is not None


# --- chunks to events ------------------------------------------------------------------------------------------------


class _Part(msgspec.Struct):
    """PayloadPart. Its other field, `p`, is padding that hides the length of the bytes from eavesdroppers."""

    data: bytes = msgspec.field(name="bytes", default=b"")


_PART = msgspec.json.Decoder(_Part)


def _event_in(message: Message) -> bytes:
    """The JSON of a chunk's event, on one line; empty where the message is of a kind that we do not know.

    Raises UpstreamError for an exception, and for what cannot be read.
    """
    if message.headers.get(":message-type") in ("exception", "error"):
        raise fault_of_message(message)
    if message.headers.get(":event-type") != "chunk":
        return b""
    try:
        return _PART.decode(message.payload).data.translate(None, b"\r\n")  # inside JSON strings these are escaped
    except UNREADABLE:
        raise nonsense("a chunk has no bytes") from None


class StreamDecoder:
    """Takes each event out of its message, and gives it to the decoder of Anthropic's own streams."""

    def __init__(self) -> None:
        self._messages = EventStream()
        self._events = EventDecoder()
        self._finished = False

    def feed(self, data: bytes) -> Iterator[Event]:
        try:
            for message in self._messages.feed(data):
                if not self._finished:
                    yield from self._message(message)
        except BadMessage as error:
            raise nonsense(str(error)) from None

    def close(self) -> Iterator[Event]:
        return self._events.close()

    def _message(self, message: Message) -> Iterator[Event]:
        for event in self._events.feed(sse(_event_in(message))):
            self._finished = isinstance(event, Finish)
            yield event


# --- events to chunks ------------------------------------------------------------------------------------------------

_CHUNK = encode_headers(((":event-type", "chunk"), (":content-type", "application/json"), (":message-type", "event")))


def _chunk(event: bytes) -> bytes:
    return encode_frame(_CHUNK, b'{"bytes":"%b"}' % b64encode(event))


class StreamRenderer:
    """Puts each event of Anthropic's own stream into a message."""

    media_type = STREAM_TYPE

    def __init__(self, request: Request) -> None:
        self._events = EventRenderer(request)
        self._usage = Usage()

    def feed(self, event: Event) -> bytes:
        said = [each.partition(b"data: ")[2] for each in self._events.feed(event).split(b"\n\n") if each]
        if isinstance(event, Usage):
            self._usage = event
        if isinstance(event, Finish):
            said[-1] = said[-1][:-1] + b',"%b":%b}' % (METRICS.encode(), dump(_metrics_of(self._usage)))
        return b"".join(map(_chunk, said))

    def error(self, error: GatewayError) -> bytes:
        return exception_of(error)


def _metrics_of(usage: Usage) -> Object:
    return {
        "inputTokenCount": usage.input + usage.audio_input,
        "outputTokenCount": usage.total_output,
        "cacheReadInputTokenCount": usage.cache_read,
        "cacheWriteInputTokenCount": usage.cache_write + usage.cache_write_1h,
    }


# --- what an answer that passes through costs ------------------------------------------------------------------------


# How nearly every chunk of an Anthropic stream begins: it is about one block, and says nothing of the whole answer.
_OF_BLOCK = b'"bytes":"' + b64encode(b'{"type":"content_bloc')
_BEGINNING = 256  # bytes at the start of a frame in which we look for that


class StreamMeter:
    """Watches a stream. It finishes at Anthropic's message_stop; other families' streams just stop."""

    def __init__(self) -> None:
        self._frames = Frames()
        self._events = EventMeter()
        self._counted: Usage | None = None
        self._fault: UpstreamError | None = None
        self._just_stops: bool | None = None  # does it end without an event? None until its first event
        self._stopped = False  # it did, and cut off no message
        self._is_lost = False  # nothing can be read any more

    @property
    def usage(self) -> Usage | None:
        """As the events count it, kind by kind; else as Bedrock counted it."""
        return self._events.usage or self._counted

    @property
    def model(self) -> str:
        return self._events.model

    @property
    def finished(self) -> bool:
        return self._events.finished or self._stopped

    @property
    def over(self) -> bool:
        return self._events.over

    @property
    def error(self) -> UpstreamError | None:
        return self._fault or self._events.error

    def feed(self, data: bytes) -> None:
        try:
            for frame in self._frames.feed(data):
                if self._is_lost or self._events.finished:
                    break
                if _OF_BLOCK not in frame[:_BEGINNING]:
                    self._look(_event_in(message_of(frame)))
        except BadMessage:
            self._is_lost = True
        except UpstreamError as error:
            self._fault, self._is_lost = error, True

    def close(self) -> None:
        """The end of the stream. If it cuts off a message, the answer did not finish."""
        with suppress(BadMessage):
            self._frames.close()
            self._stopped = bool(self._just_stops) and not self._is_lost

    def _look(self, event: bytes) -> None:
        self._events.feed(sse(event))
        if event and self._just_stops is None:
            self._just_stops = b'"message_start"' not in event
        if METRICS.encode() in event:
            self._counted = _counted(event) or self._counted


def _counted(event: bytes) -> Usage | None:
    try:
        return usage_in_metrics(as_object(as_object(decode_json(event)).get(METRICS)))
    except UNREADABLE:
        return None
