"""How do clients of Claude on Vertex AI ask, with the model in the path?

`.../publishers/anthropic/models/{model}:rawPredict`, or `:streamRawPredict`, and otherwise the Messages API as it is,
without the model and with Vertex AI's own `anthropic_version`. This dialect keeps Anthropic's name, as its clients'
face differs only in the envelope: every provider of that wire takes the rest as it is.
https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai
"""

import re

from proxy.canon import Request
from proxy.dialects.anthropic import Anthropic
from proxy.envelope import Envelope
from proxy.errors import BadRequest, excerpt
from proxy.grammar.fields import Fields, encode_json
from proxy.ports import Forward, Path, Peek

# What follows `/projects/` or `/publishers/` in the path. A model's name may have slashes in it: `openai/gpt-5`.
_asked = re.compile(r"(?:.+?/publishers/)?anthropic/models/(.+):(rawPredict|streamRawPredict)").fullmatch

_COUNT = "count-tokens"  # in the model's place; then the body has the model


class AnthropicVertex(Anthropic):
    """The clients' face."""

    def peek(self, envelope: Envelope, path: Path) -> Peek:
        """The body says whether to stream; where it does not, the path does."""
        found = _asked(path.rest)
        if found is None:
            known = "publishers/anthropic/models/MODEL:rawPredict or :streamRawPredict"
            raise BadRequest(f"The path must end in {known}.", status=404, code="unknown_url")
        model, verb = found.groups()
        top = Fields({key: envelope.get(key) for key in ("model", "stream")}, "")
        if model == _COUNT:
            return Peek(top.need_name("model"), False)
        named, stream = top.text("model"), top.flag("stream")
        if named and named != model:
            said, meant = excerpt(named, 80), excerpt(model, 80)
            message = f"model is {said!r}, but the path names {meant!r}: leave it out or give the same."
            raise BadRequest(message, param="model")
        return Peek(model, verb == "streamRawPredict" if stream is None else stream)

    def parse(self, body: bytes, peek: Peek) -> Request:
        stream = encode_json(peek.stream)
        return super().parse(_messages(Envelope(body), peek.model, stream=stream), peek)

    def count_parse(self, body: bytes, peek: Peek) -> Request:
        return super().count_parse(_messages(Envelope(body), peek.model), peek)

    def forward(self, envelope: Envelope, model: str, ask_usage: bool) -> Forward:
        return Forward(_messages(envelope, model))


def _messages(envelope: Envelope, model: str, **edits: bytes) -> bytes:
    """The body in the form of the Messages API, where the version is no field."""
    edits["model"] = encode_json(model)
    return Envelope(envelope.without("anthropic_version")).edit(edits)
