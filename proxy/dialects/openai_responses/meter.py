"""What does an answer that passes through cost, and is it complete?

Only the few events that hold a response or an error are parsed. That is safe: inside a JSON string every quote is
escaped, so that `"response"` can only be a key or a whole value.
"""

from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct

from proxy.canon import Usage
from proxy.dialects.openai_responses.faults import error_in, fault
from proxy.dialects.openai_responses.usage import PAINTING, SEARCH, said_usage
from proxy.errors import UpstreamError
from proxy.framing import MAX_FRAME, data_of
from proxy.grammar import whole
from proxy.grammar.fields import UNREADABLE, Object, as_list, as_text, decode_json
from proxy.grammar.watching import EventMeter

_NOTHING = msgspec.Raw(b"")
_SEARCH, _PAINTING = SEARCH.encode(), PAINTING.encode()


class _Response(Struct, frozen=True):
    """What a meter reads of a response. Any type will do, as a host may send anything."""

    model: Any = None
    usage: Any = None
    status: Any = None
    error: Any = None
    service_tier: Any = None
    output: msgspec.Raw = _NOTHING  # not parsed, as it is long and only searches count
    tool_usage: Any = None
    tools: msgspec.Raw = _NOTHING  # nor these, of which one may name a model
    type: Any = None  # this field and the following are those of an error
    code: Any = None
    message: Any = None
    param: Any = None


class _Event(Struct):
    type: Any = None
    response: msgspec.Raw = _NOTHING
    error: Any = None
    code: Any = None
    message: Any = None
    param: Any = None


_event_of = msgspec.json.Decoder(_Event).decode
_response_of = msgspec.json.Decoder(_Response).decode


class StreamMeter(EventMeter):
    """Watches a stream. It is finished after response.completed or response.incomplete."""

    def __init__(self) -> None:
        super().__init__(MAX_FRAME)  # the last event repeats the whole answer, images included

    def _tells(self, text: bytes) -> bool:
        return b'"response"' in text or b'"error"' in text

    def _event(self, event: bytes) -> None:
        if self.finished or self.error is not None:
            return
        try:  # a host may send a plain JSON error instead of a stream
            said = _event_of(event if event.startswith(b"{") else data_of(event))
        except UNREADABLE:
            return
        kind, response = as_text(said.type), _read(said.response)
        if kind == "error" or (not kind and said.error):
            self.error = fault(error_in(_told(said)))
            return
        self.model = self.model or as_text(response.model)
        if kind in _ENDS:
            self.usage = _usage(response)
            self.error = _failure(response, kind.removeprefix("response."))
            self.finished = self.error is None


_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")


def _read(response: msgspec.Raw) -> _Response:
    try:
        return _response_of(response)
    except UNREADABLE:  # there is no response, or it is no object
        return _Response()


def _usage(response: _Response) -> Usage | None:
    output = bytes(response.output)
    items: list[Any] = []
    if _SEARCH in output:
        with suppress(*UNREADABLE):
            items = as_list(decode_json(output))
    tools: list[Any] = []
    if _PAINTING in bytes(response.tools):
        with suppress(*UNREADABLE):
            tools = as_list(decode_json(response.tools))
    return said_usage(response.usage, response.service_tier, items, response.tool_usage, tools)


def _told(said: _Event | _Response) -> Object:
    return {"error": said.error, "code": said.code, "message": said.message, "param": said.param}


def _failure(response: _Response, status: str) -> UpstreamError | None:
    if (as_text(response.status) or status) not in ("failed", "cancelled"):
        return None
    return fault(response.error or "The provider did not complete the answer.")


class WholeMeter(whole.Meter):
    def look(self, body: bytes) -> None:
        try:
            said = _response_of(body)
        except UNREADABLE:
            return
        self.finished = True
        self.usage = _usage(said)
        self.model = as_text(said.model)
        if not bytes(said.output).startswith(b"[") and (said.error or said.type == "error"):
            self.error = fault(error_in(_told(said)))
        else:
            self.error = _failure(said, "")
