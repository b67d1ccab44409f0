"""What do Bedrock's errors mean, and how are ours put into its words?

An error's name is in the header `x-amzn-errortype`, perhaps followed by a colon and a URL, or else in the body
(`__type` or `code`, perhaps with a namespace before it); the body may be empty. In a stream an error is a message of
type `exception`. https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html
"""

from collections.abc import Mapping

from proxy.dialects.bedrock.words import ERROR_STATUS, ERROR_WORDS, EXCEPTION_WORDS
from proxy.errors import Down, GatewayError, Headers, Kind, UpstreamError, excerpt
from proxy.framing.eventstream import Message, encode_message
from proxy.grammar.fields import Object, as_object, as_text, dump, kept_headers, no_answer, object_in
from proxy.grammar.overflow import in_words_of
from proxy.grammar.statuses import class_of, is_servers
from proxy.grammar.worded import message_in

_told = in_words_of("Input is too long for requested model", "(?:prompt|input) is too long|Input Tokens Exceeded")
_SIGNATURES = {"InvalidSignatureException", "IncompleteSignature"}


def fault_of_body(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error behind a status other than 200. Its body is kept where it is fit for a client to read."""
    said = object_in(body)
    name = _bare(headers.get("x-amzn-errortype", "")) or _name_in(said)
    readable = "message" in said and name not in _SIGNATURES
    return _fault(
        name, message_in(said), status, kept_headers(headers, "x-amzn-ratelimit-"), body if readable else None
    )


def fault_of_no_answer(body: bytes) -> UpstreamError:
    """The error behind bytes that came as an answer and are none: an error's JSON, a page of HTML, nothing."""
    said = object_in(body)
    if not said:
        return no_answer(body)
    if "message" in said or _name_in(said):
        return _fault(_name_in(said), message_in(said), 200)
    return Down("The provider's answer could not be read: it has no output.")


def fault_of_message(message: Message) -> UpstreamError:
    """The error in a message that ends a stream: an exception, as Amazon has modelled it, or any other error."""
    headers, said = message.headers, object_in(message.payload)
    name = _bare(as_text(headers.get(":exception-type")) or as_text(headers.get(":error-code")))
    told = message_in(said) or as_text(headers.get(":error-message"))
    return _fault(name[:1].upper() + name[1:], told, 200)


def _fault(name: str, told: str, status: int, headers: Headers = (), body: bytes | None = None) -> UpstreamError:
    meant = ERROR_STATUS.get(name) or (status if status >= 400 else 502)
    made, kind = _classify(meant, name)
    if name in _SIGNATURES:  # what follows repeats the signed headers, among them the session's token
        told = told.partition("\n")[0]
    return made(
        told or f"The provider answered {name or status} with no readable message.",
        status=status if status >= 400 else meant,
        kind=kind,
        headers=headers,
        upstream_status=status,
        upstream_type=name,
        body=body,
    )


def _classify(status: int, name: str) -> tuple[type[UpstreamError], Kind | None]:
    """408 and 424 are the model's faults, not the client's."""
    return class_of(502 if status == 424 else status, quota=name == "ServiceQuotaExceededException")


def _name_in(said: Object) -> str:
    """The error's name in a body, which one of Amazon's gateways may have wrapped in `Output`."""
    words = (said.get("__type"), said.get("code"), said.get("type"), as_object(said.get("Output")).get("__type"))
    return next((name for word in words if (name := _bare(as_text(word)))), "")


def _bare(word: str) -> str:
    """`ValidationException`, out of `com.amazon.bedrock#ValidationException:http://...`."""
    return excerpt(word.partition(":")[0].rpartition("#")[2].strip(), 200)


# --- ours ------------------------------------------------------------------------------------------------------------


def error_body(error: GatewayError) -> bytes:
    return dump({"message": _told(error)})


def error_name(error: GatewayError) -> str:
    """Bedrock's own name, where the error is Bedrock's."""
    if isinstance(error, UpstreamError) and error.upstream_type in ERROR_STATUS:
        return error.upstream_type
    if error.kind == "quota_exceeded":
        return "ServiceQuotaExceededException"
    unnamed = "InternalServerException" if is_servers(error) else "ValidationException"
    return ERROR_WORDS.get(error.status, unnamed)


def exception_of(error: GatewayError) -> bytes:
    """The message that ends a live stream, and makes SDKs raise."""
    unnamed = "internalServerException" if is_servers(error) else "validationException"
    headers = (
        (":exception-type", EXCEPTION_WORDS.get(error.status, unnamed)),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    )
    return encode_message(headers, error_body(error))
