"""How does a body name its model and ask for a stream, on the wires whose paths say neither?"""

from proxy.envelope import Envelope
from proxy.grammar.fields import encode_json, wrong
from proxy.ports import Forward, Peek


def peek_of(envelope: Envelope, unsaid: bool = False) -> Peek:
    """`unsaid`: is the answer to be streamed where the body does not say? Raises BadRequest."""
    model, stream = envelope.get("model"), envelope.get("stream")
    if not isinstance(model, str) or not model:
        raise wrong("model", "a string that is not empty", model)
    if stream is not None and not isinstance(stream, bool):
        raise wrong("stream", "a boolean", stream)
    return Peek(model, unsaid if stream is None else stream)


def renamed(envelope: Envelope, model: str) -> Forward:
    """The body, naming this model: on a wire that always tells its usage there is no more to edit."""
    if envelope.get("model") == model:
        return Forward(envelope.body)
    return Forward(envelope.edit({"model": encode_json(model)}))
