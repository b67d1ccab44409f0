"""How does a body name its model and ask for a stream, on wires whose paths say neither?"""

from proxy.envelope import Envelope
from proxy.grammar.fields import encode_json, wrong
from proxy.ports import Forward, Peek


def peek_of(envelope: Envelope, unsaid: bool = False) -> Peek:
    """`unsaid`: whether the answer is streamed if the body does not say. Raises BadRequest."""
    model, stream = envelope.get("model"), envelope.get("stream")
    if not isinstance(model, str) or not model:
        raise wrong("model", "a non-empty string", model)
    if stream is not None and not isinstance(stream, bool):
        raise wrong("stream", "a boolean", stream)
    return Peek(model, unsaid if stream is None else stream)


def renamed(envelope: Envelope, model: str) -> Forward:
    """The body with this model's name. Wires that always report usage need no other edit."""
    if envelope.get("model") == model:
        return Forward(envelope.body)
    return Forward(envelope.edit({"model": encode_json(model)}))


def called(body: bytes, model: str) -> bytes:
    """A body that we have written for a model like this one, with this one's name, where it names any."""
    envelope = Envelope(body)
    return envelope.edit({"model": encode_json(model)}) if "model" in envelope else body
