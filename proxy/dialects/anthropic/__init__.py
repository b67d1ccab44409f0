"""How does one say a chat in Anthropic's Messages API (`anthropic-version: 2023-06-01`)?

https://platform.claude.com/docs/en/api/messages and, for streams, .../docs/en/build-with-claude/streaming

Where a request's fields go, that the canonical form has no name for:

    demands  mcp_servers, container      tools and state on Anthropic's side: without them the answer is another
             inference_geo               a promise about where the data goes, not ours to break
    extra    context_management          Claude Code always sends it; it trims long chats, and shapes no answer
             everything else             cache_control, diagnostics, speed, betas, what has no name yet

What is left over of a nested object (metadata, thinking, tool_choice, output_config) rides in `extra` under the
object's own name. A null, where a field may be absent, says nothing and is forgotten.

An answer's `container`, `context_management` and `stop_details` come at the end of a stream, and no event has a place
for them: only the pass-through lane carries them.
"""

from collections.abc import Mapping, Sequence

from proxy.canon import Request
from proxy.dialects.anthropic.decode import StreamDecoder, WholeDecoder
from proxy.dialects.anthropic.encode import Encoding
from proxy.dialects.anthropic.faults import error_body, failure, for_clients, is_error, told_error
from proxy.dialects.anthropic.meter import StreamMeter, WholeMeter
from proxy.dialects.anthropic.parse import model_of, optional, parse_request
from proxy.dialects.anthropic.render import StreamRenderer, WholeRenderer
from proxy.dialects.anthropic.words import NAME, dump
from proxy.envelope import Envelope, parse_object
from proxy.errors import GatewayError, UpstreamError
from proxy.framing import sse
from proxy.ports import Decoder, Encoded, Forward, Meter, Peek, Renderer


class Anthropic:
    """The Messages wire, both faces."""

    name = NAME
    stream_type = "text/event-stream"
    ping: bytes | None = b'event: ping\ndata: {"type": "ping"}\n\n'

    def peek(self, envelope: Envelope) -> Peek:
        fields = {key: envelope.get(key) for key in ("model", "stream") if key in envelope}
        return Peek(model_of(fields), bool(optional(fields, "stream", bool)))

    def parse(self, body: bytes) -> Request:
        return parse_request({key: value for key, value in parse_object(body).items() if value is not None})

    def renderer(self, request: Request) -> Renderer:
        return StreamRenderer(request.model) if request.stream else WholeRenderer(request.model)

    def meter(self, stream: bool) -> Meter:
        return StreamMeter() if stream else WholeMeter()

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return error_body(error, {"request_id": request_id})

    def error_event(self, error: GatewayError) -> bytes:
        # The broken stream may have stopped inside a line: the blank one makes this an event of its own.
        return b"\n\n" + sse(error_body(error), "error")

    def model_list(self, names: Sequence[str]) -> bytes:
        cards = [_model_card(name) for name in names]
        ends = {"first_id": names[0], "last_id": names[-1]} if names else {"first_id": None, "last_id": None}
        return dump({"data": cards, "has_more": False, **ends})

    def model_card(self, name: str) -> bytes:
        return dump(_model_card(name))

    def forward(self, envelope: Envelope, model: str, ask_usage: bool) -> Forward:
        """`ask_usage` changes nothing: this wire always tells."""
        if envelope.get("model") == model:
            return Forward(envelope.body)
        return Forward(envelope.edit({"model": dump(model)}))

    def encode(self, request: Request) -> Encoded:
        encoding = Encoding(request)
        body = dump(encoding.body())
        return Encoded(body, tuple(sorted(encoding.dropped)))

    def decoder(self, stream: bool) -> Decoder:
        return StreamDecoder() if stream else WholeDecoder()

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        word, message = told_error(body)
        text = message or f"The provider answered {status} with no readable error."
        error = failure(status if status >= 400 else 502, word, text)
        error.upstream_status = status
        error.headers = [(name, value) for name, value in headers.items() if for_clients(name.lower())]
        error.body = body if is_error(body) else None
        return error


def _model_card(name: str) -> dict[str, str]:
    """https://platform.claude.com/docs/en/api/models: the epoch stands for a date that is not known."""
    return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}
