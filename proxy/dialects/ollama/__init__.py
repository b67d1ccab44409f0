"""How does one speak Ollama's native API, to Ollama and to its clients?

https://docs.ollama.com/api/chat and .../api/generate, which has a `prompt` in place of `messages`. A stream is lines of
JSON, and is the default. What is left of `options` goes to `extra` under that name.

This wire has no place for several choices, nor for an image or a sound in an answer.

A request:

    parse       from a client
    loading     a request that only loads or unloads a model
    encode      to Ollama

An answer:

    decode      from Ollama
    render      to a client
    lines       what a line must not hold
    meter       cost and end, where the answer passes through

Both ways:

    words       the wire's words and ours
    usage       tokens and durations
    faults      errors
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence

from proxy.canon import Event, Image, Request
from proxy.dialects.ollama.decode import StreamDecoder, WholeDecoder
from proxy.dialects.ollama.encode import Encoding
from proxy.dialects.ollama.faults import error_body, error_line, fault_of_body
from proxy.dialects.ollama.loading import loaded
from proxy.dialects.ollama.meter import MAX_LINE, StreamMeter, WholeMeter
from proxy.dialects.ollama.parse import parse_request
from proxy.dialects.ollama.render import StreamRenderer, WholeRenderer
from proxy.dialects.ollama.words import NAME, SAYS
from proxy.envelope import Envelope, parse_object
from proxy.errors import GatewayError, UpstreamError
from proxy.framing import check_json
from proxy.framing.gates import LineGate
from proxy.grammar.fields import Fields, Object, dump, without_nulls
from proxy.grammar.named import peek_of, renamed
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

_UNDATED = "1970-01-01T00:00:00Z"  # the field is required, and the date unknown
_ARCHITECTURE = "unknown"  # clients look for the context length under this name


class Ollama:
    """The dialect. `clock` (seconds since 1970) measures an answer, and dates it if its provider did not.

    The wire requires a date, and clients divide the tokens by the durations.
    """

    name = NAME
    stream_type = "application/x-ndjson"
    ping: bytes | None = None  # clients parse every line as JSON, even a blank one
    demands_limit = False
    demands_usage = False
    no_urls: frozenset[type] = frozenset({Image})
    cites: tuple[str, ...] = ()
    declines = True
    tool_names: ToolNames | None = None
    call_ids: re.Pattern[str] | None = None
    bounds = Bounds(output=(("options", "num_predict"),))
    alarm = b""
    farewell = b""
    seals: Sequence[bytes] = ()
    needs_seals: frozenset[type] = frozenset()
    betas: frozenset[str] | None = None
    refers = False
    sign: re.Pattern[bytes] | None = None

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def has_event(self, held: bytes) -> bool:
        if (line := SAYS.search(held)) is None:
            return False
        check_json(line[0])
        return True

    def gate(self) -> Gate:
        return LineGate(MAX_LINE)

    def peek(self, envelope: Envelope, path: Path) -> Peek:
        return peek_of(envelope, unsaid=True)

    def parse(self, body: bytes, peek: Peek) -> Request:
        return parse_request(Fields(parse_object(body), ""))

    def loaded(self, request: Request) -> Sequence[Event]:
        return loaded(request)

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
        return error_line(error)

    def model_list(self, names: Sequence[str]) -> bytes:
        """https://docs.ollama.com/api/tags: there are no weights here, so size and digest are empty."""
        told = {"modified_at": _UNDATED, "size": 0, "digest": "", "details": _DETAILS}
        return dump({"models": [{"name": name, "model": name, **told} for name in names]})

    def model_card(self, name: str, abilities: Abilities = UNKNOWN) -> bytes:
        """https://docs.ollama.com/api/show: clients offer tools only to a model that says it can take them."""
        told = {"modelfile": "", "parameters": "", "template": "", "modified_at": _UNDATED}
        holds = {"tools": abilities.tools is not False, "vision": abilities.images, "thinking": abilities.thinking}
        can = ["completion", *(name for name, has in holds.items() if has)]
        known = without_nulls({f"{_ARCHITECTURE}.context_length": abilities.context})
        info = {"general.architecture": _ARCHITECTURE, "general.basename": name, **known}
        return dump({**told, "details": _DETAILS, "model_info": info, "capabilities": can})

    def forward(self, envelope: Envelope, model: str, ask_usage: bool) -> Forward:
        """`ask_usage` changes nothing, as this wire always reports usage."""
        return renamed(envelope, model)

    def hinted(self, envelope: Envelope, hints: Hints) -> Object:
        said = without_nulls({"num_predict": hints.max_tokens, "temperature": hints.temperature})
        return {"options": said} if said else {}

    def window(self, tokens: int) -> Object:
        """https://docs.ollama.com/context-length: the model is loaded with this window, but no larger than its own."""
        return {"options": {"num_ctx": tokens}}

    def encode(self, request: Request) -> Encoded:
        encoding = Encoding(request)
        return Encoded(dump(encoding.body()), tuple(sorted(encoding.dropped)))

    def decoder(self, stream: bool) -> Decoder:
        return StreamDecoder() if stream else WholeDecoder()

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return fault_of_body(status, headers, body)


class OllamaChat(Ollama):
    """For clients of /api/chat, whose `messages` may be missing. (A body in itself is then one of /api/generate.)"""

    def parse(self, body: bytes, peek: Peek) -> Request:
        top = Fields(parse_object(body), "")
        top.rest.setdefault("messages", [])
        return parse_request(top)


_DETAILS: Object = {
    "parent_model": "",
    "format": "",
    "family": "",
    "families": [],
    "parameter_size": "",
    "quantization_level": "",
}
