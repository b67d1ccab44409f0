"""Do two requests ask the same?

They do if everything is the same that an answer may depend on: who asks and what they may do, on which wire, for what,
in which words. In the body neither the space between keys nor their order counts, but for the order in what has a
schema: models write an object's keys in the order of its schema. Numbers count as they are written. All headers count
that go on to a provider, except those that are known to change no answer: an unknown header may cost a hit, but never
gives a wrong answer.
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

VERSION = 2  # of what follows: with another one, nothing is found that was kept before

# Headers that say who calls, through what, when, for which attempt, and where it is traced. Those of a signature that
# no provider sees (boto3's) tell the time, too.
_changes_nothing = re.compile(
    r"user-agent|accept|x-stainless-.+|x-fern-.+|x-goog-api-client|amz-sdk-(?:invocation-id|request)|via|priority"
    r"|date|x-amz-date|x-amz-content-sha256|(?:x-)?(?:client-|amzn-|ms-client-)?request-id|(?:x-)?correlation-id"
    r"|(?:x-)?idempotency-key|traceparent|tracestate|baggage|sentry-trace|b3|x-b3-.+|x-amzn-trace-id"
    r"|x-cloud-trace-context|x-datadog-.+|(?:x-)?newrelic(?:-.+)?|uber-trace-id|elastic-apm-traceparent|x-instana-[lst]"
    r"|x-dynatrace|sw8(?:-.+)?|ot-tracer-.+|request-context|cache-control|pragma"
).fullmatch
# Where Google's, Amazon's and Ollama's wires say how to sample; all others say it beside the messages.
_SAMPLERS = ("generationConfig", "generation_config", "inferenceConfig", "options")
_is_zero = re.compile(rb"-?0(?:\.0+)?").fullmatch

_decode = msgspec.json.Decoder(float_hook=lambda text: msgspec.Raw(text.encode())).decode
_encode = msgspec.json.Encoder(order="sorted").encode
_in_order = msgspec.json.Encoder().encode
_SCHEMA = b'"properties":'  # https://platform.openai.com/docs/guides/structured-outputs#key-ordering


def identity(call: Call, about: str, is_shared: bool) -> str:
    """The same for all calls that ask the same, and for no others: 64 hexadecimal digits.

    `about`: what else answers depend on, such as the configuration. `is_shared`: all clients with the same rights share
    answers.
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
        sorted(
            [line for line in headers.outgoing(call.headers) if _counts(line[0])]
            + [(name, "") for name in headers.unheeded(call.headers)]  # the receipt names them
        ),
    )
    return sha256(repr(said).encode() + b"\n" + canonical(call.envelope.body)).hexdigest()


def canonical(body: bytes) -> bytes:
    """The JSON without spacing and with its keys sorted, or as it is where that would not mean the same.

    Our parser keeps the last of two equal keys, and a provider's may keep the first: such a body is left as it is. It
    is known by its quotation marks, which any other has as many of before as after, unless one is escaped by number.
    """
    if b"\\u0022" in body:
        return body
    try:
        said = _decode(body)
        sorted_body = _encode(said)
        if _SCHEMA in sorted_body and isinstance(said, dict):
            sorted_body = _encode({key: msgspec.Raw(_ordered(value)) for key, value in said.items()})
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # its provider will refuse it
        return body
    return sorted_body if sorted_body.count(b'"') == body.count(b'"') else body


def _ordered(value: object) -> bytes:
    text = _encode(value)
    return _in_order(value) if _SCHEMA in text else text


def is_deterministic(envelope: Envelope) -> bool:
    """Does it want the same answer each time, by temperature 0 or a seed?"""
    if _has_no_chance(envelope):
        return True
    with suppress(BadRequest):  # a key that is there twice, which others refuse
        samplers = filter(None, map(envelope.raw, _SAMPLERS))
        return any(_has_no_chance(Envelope(raw)) for raw in samplers if raw.startswith(b"{"))
    return False


def stands_alone(call: Call) -> bool:
    """Is it like no other call, even with the same words?

    It is if it is about something that is kept at the provider, and may have changed the next time; and if something is
    to go wrong on purpose, for this call only.
    """
    said = map(call.envelope.raw, call.dialect.bounds.state)
    return headers.FAULT in call.headers or any(raw is not None and raw != b"null" for raw in said)


def _has_no_chance(envelope: Envelope) -> bool:
    temperature, seed = envelope.raw("temperature"), envelope.raw("seed")
    return (temperature is not None and _is_zero(temperature) is not None) or seed not in (None, b"null")


@lru_cache(maxsize=1024)
def _counts(name: str) -> bool:
    return _changes_nothing(name) is None
