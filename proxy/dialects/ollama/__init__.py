"""How does one talk to Ollama, or as Ollama does, in its native API?

https://docs.ollama.com/api/chat and .../api/generate, the same with a `prompt` where the other has `messages`. A
stream is lines of JSON, and is the default. What is left over of `options` rides in `extra` under that name.

An answer of several choices, and one with an image or a sound in it, cannot be told on this wire.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence

from proxy.canon import Event, Image, Request
from proxy.dialects.ollama.decode import StreamDecoder, WholeDecoder
from proxy.dialects.ollama.encode import Encoding
from proxy.dialects.ollama.faults import error_body, error_line, fault_of_body
from proxy.dialects.ollama.loading import loaded
from proxy.dialects.ollama.meter import StreamMeter, WholeMeter
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

_UNDATED = "1970-01-01T00:00:00Z"  # required, and not known
_ARCHITECTURE = "unknown"  # clients look for the length of the context under its name


class Ollama:
    """The dialect. `clock` (seconds since 1970) dates an answer whose provider did not, and measures how long it took.

    An answer over the wire has a date and durations, which clients divide tokens by.
    """

    name = NAME
    stream_type = "application/x-ndjson"
    ping: bytes | None = None  # clients read every line as JSON, blank ones too
    demands_limit = False
    demands_usage = False
    no_urls: frozenset[type] = frozenset({Image})
    cites: tuple[str, ...] = ()
    declines = True
    tool_names: ToolNames | None = None
    call_ids: re.Pattern[str] | None = None
    bounds = Bounds(output=(("options", "num_predict"),))
    alarm = b""
    seals: Sequence[bytes] = ()
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
        return LineGate()

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
        """https://docs.ollama.com/api/tags: no weights lie here, and so there is no size and no digest."""
        told = {"modified_at": _UNDATED, "size": 0, "digest": "", "details": _DETAILS}
        return dump({"models": [{"name": name, "model": name, **told} for name in names]})

    def model_card(self, name: str, abilities: Abilities = UNKNOWN) -> bytes:
        """https://docs.ollama.com/api/show: clients offer tools to a model that says it can take them, and no other."""
        told = {"modelfile": "", "parameters": "", "template": "", "modified_at": _UNDATED}
        holds = {"tools": abilities.tools is not False, "vision": abilities.images, "thinking": abilities.thinking}
        can = ["completion", *(name for name, has in holds.items() if has)]
        known = without_nulls({f"{_ARCHITECTURE}.context_length": abilities.context})
        info = {"general.architecture": _ARCHITECTURE, "general.basename": name, **known}
        return dump({**told, "details": _DETAILS, "model_info": info, "capabilities": can})

    def forward(self, envelope: Envelope, model: str, ask_usage: bool) -> Forward:
        """`ask_usage` changes nothing: this wire always tells."""
        return renamed(envelope, model)

    def hinted(self, envelope: Envelope, hints: Hints) -> Object:
        said = without_nulls({"num_predict": hints.max_tokens, "temperature": hints.temperature})
        return {"options": said} if said else {}

    def window(self, tokens: int) -> Object:
        """https://docs.ollama.com/context-length: the model is loaded with so much, and with no more than it has."""
        return {"options": {"num_ctx": tokens}}

    def encode(self, request: Request) -> Encoded:
        encoding = Encoding(request)
        return Encoded(dump(encoding.body()), tuple(sorted(encoding.dropped)))

    def decoder(self, stream: bool) -> Decoder:
        return StreamDecoder() if stream else WholeDecoder()

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return fault_of_body(status, headers, body)


_DETAILS: Object = {
    "parent_model": "",
    "format": "",
    "family": "",
    "families": [],
    "parameter_size": "",
    "quantization_level": "",
}
