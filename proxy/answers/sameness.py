"""Do two requests ask the same?

They do if everything is the same that an answer may depend on: who asks and what they may, on which wire, for what, in
which words. Of the body neither the order of its keys nor the space between them counts; numbers do as they are
written. Of the headers all count that travel to a provider, but for those that are known to change no answer: a header
that nobody here has heard of costs a hit, and never a wrong answer.
"""

import re
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256

import msgspec

from proxy import headers
from proxy.envelope import Envelope
from proxy.errors import BadRequest
from proxy.ports import Call
from proxy.wishes import FAULT

VERSION = 1  # of what follows: another one finds nothing that was kept before

# Who calls, through what, for which attempt, and where it is traced.
_changes_nothing = re.compile(
    r"user-agent|accept|x-stainless-.+|x-fern-.+|x-goog-api-client|amz-sdk-(?:invocation-id|request)|via|priority"
    r"|(?:x-)?(?:client-|amzn-)?request-id|(?:x-)?correlation-id|(?:x-)?idempotency-key|traceparent|tracestate|baggage"
    r"|sentry-trace|b3|x-b3-.+|x-amzn-trace-id|x-cloud-trace-context|x-datadog-.+|newrelic|cache-control|pragma"
).fullmatch
# Where the wires of Google, Amazon and Ollama say how to sample; all others say it beside the messages.
_SAMPLERS = ("generationConfig", "generation_config", "inferenceConfig", "options")
_is_nought = re.compile(rb"-?0(?:\.0+)?").fullmatch

_decode = msgspec.json.Decoder(float_hook=lambda text: msgspec.Raw(text.encode())).decode
_encode = msgspec.json.Encoder(order="sorted").encode


def identity(call: Call, about: str, is_shared: bool) -> str:
    """What all calls that ask the same have in common, and no others: 64 hexadecimal digits.

    `about`: what else answers depend on, such as the configuration. `is_shared`: by whatever client of the same rights.
    """
    key = call.key
    said = (
        VERSION,
        about,
        None if is_shared else call.client,
        ((), ()) if key is None else (key.models, key.providers),
        call.dialect.name,
        call.operation,
        call.rest,
        headers.query_out(call.raw_query),
        call.model,
        call.stream,
        call.as_array,
        call.wishes.context,
        sorted(call.wishes.spelled.items()),
        sorted(line for line in headers.outgoing(call.headers) if _counts(line[0])),
    )
    return sha256(repr(said).encode() + b"\n" + canonical(call.envelope.body)).hexdigest()


def canonical(body: bytes) -> bytes:
    """The JSON with its keys sorted and its spacing gone, or as it is where that would not say the same.

    The parser keeps the last of two equal keys, and a provider's may keep the first: such a body is like no other.
    Of any other there are as many quotation marks before and after, as long as none is spelled by its number.
    """
    if b"\\u0022" in body:
        return body
    try:
        sorted_body = _encode(_decode(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # its provider will say so
        return body
    return sorted_body if sorted_body.count(b'"') == body.count(b'"') else body


def is_deterministic(envelope: Envelope) -> bool:
    """Does it want the same answer each time: at temperature 0, or by a seed?"""
    if _has_no_chance(envelope):
        return True
    with suppress(BadRequest):  # a key twice, which is for others to refuse
        samplers = filter(None, map(envelope.raw, _SAMPLERS))
        return any(_has_no_chance(Envelope(raw)) for raw in samplers if raw.startswith(b"{"))
    return False


def stands_alone(call: Call) -> bool:
    """Is it like no other, though its words are the same?

    It is where it is about something that lies at the provider, which may be another thing the next time; and where
    something is to go wrong on purpose, for it and for nobody else.
    """
    said = map(call.envelope.raw, call.dialect.bounds.state)
    return FAULT in call.headers or any(raw is not None and raw != b"null" for raw in said)


def _has_no_chance(envelope: Envelope) -> bool:
    temperature, seed = envelope.raw("temperature"), envelope.raw("seed")
    return (temperature is not None and _is_nought(temperature) is not None) or seed not in (None, b"null")


@lru_cache(maxsize=1024)
def _counts(name: str) -> bool:
    return _changes_nothing(name) is None
