"""Which fields of this wire's events and whole answers do we read?"""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from proxy.canon import Start
from proxy.dialects.anthropic.words import DELTA_FIELDS, END_FIELDS, NAME, START_FIELDS
from proxy.grammar.fields import Object


class DeltaFields(Struct):
    """The `delta` of a block, or of the message: each kind has a few of these."""

    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    citation: Any = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    container: Any = None
    stop_details: Any = None


class MessageFields(Struct):
    """A whole answer, the head of a stream, or an error in the place of either."""

    id: str | None = None
    model: str | None = None
    content: list[Raw] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Any = None
    error: Any = None
    container: Any = None
    stop_details: Any = None
    context_management: Any = None
    input_transformations: Any = None
    diagnostics: Any = None


class EventFields(Struct):
    type: str
    index: int = -1
    delta: DeltaFields | None = None
    content_block: Raw = Raw(b"null")
    message: MessageFields | None = None
    usage: Any = None
    error: Any = None
    context_management: Any = None
    input_transformations: Any = None


class ContentFields(Struct):
    """A content block that has a canonical form."""

    type: str
    text: str = ""
    citations: list[Any] | None = None
    thinking: str = ""
    signature: str | None = None
    data: str = ""
    id: str = ""
    name: str = ""
    input: Raw = Raw(b"{}")


class KindFields(Struct):
    type: str


EVENT = msgspec.json.Decoder(EventFields)
MESSAGE = msgspec.json.Decoder(MessageFields)
CONTENT = msgspec.json.Decoder(ContentFields)
KIND = msgspec.json.Decoder(KindFields)


# --- what an answer says beside its content and its tokens -----------------------------------------------------------


def beside_delta(event: EventFields) -> Object:
    return _told(event.delta, DELTA_FIELDS) | _told(event, END_FIELDS)


def beside_message(message: MessageFields) -> Object:
    return _told(message, [key for key in DELTA_FIELDS + END_FIELDS if key not in START_FIELDS])


def start_of(message: MessageFields) -> Start:
    return Start(wire=NAME, id=message.id or "", model=message.model or "", extra=_told(message, START_FIELDS))


def _told(struct: Struct | None, keys: Iterable[str]) -> Object:
    return {key: value for key in keys if (value := getattr(struct, key, None)) is not None}
