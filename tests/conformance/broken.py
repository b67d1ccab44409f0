"""How does each vendor say that something is wrong, where no recording has it?

An error's body, an event that ends a stream, and streams that stop in the middle.
"""

import json
import re
import struct
from base64 import b64encode
from binascii import crc32

from tests import recordings
from tests.conformance.told import Json, Wire
from tests.evil import Scenario
from tests.recordings import Row

SAID = "The model is made of cheese."  # the provider's message

JSON = [("content-type", "application/json")]

# Status: OpenAI's type, Anthropic's, Google's and Amazon's, which has one for few. From
# https://platform.openai.com/docs/guides/error-codes, https://docs.anthropic.com/en/api/errors,
# https://cloud.google.com/apis/design/errors, https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
WORDS = {
    400: ("invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT", "ValidationException"),
    401: ("authentication_error", "authentication_error", "UNAUTHENTICATED", ""),
    403: ("permission_error", "permission_error", "PERMISSION_DENIED", "AccessDeniedException"),
    404: ("invalid_request_error", "not_found_error", "NOT_FOUND", "ResourceNotFoundException"),
    408: ("timeout", "timeout_error", "DEADLINE_EXCEEDED", "ModelTimeoutException"),
    413: ("invalid_request_error", "request_too_large", "INVALID_ARGUMENT", ""),
    429: ("rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED", "ThrottlingException"),
    500: ("server_error", "api_error", "INTERNAL", "InternalServerException"),
    502: ("server_error", "api_error", "UNAVAILABLE", ""),
    503: ("server_error", "overloaded_error", "UNAVAILABLE", "ServiceUnavailableException"),
    529: ("server_error", "overloaded_error", "UNAVAILABLE", ""),
}


def refusal(provider: Wire, status: int) -> Scenario:
    """The vendor's error of that status; 429 says when to come back."""
    headers = list(JSON)
    if provider.startswith("bedrock") and WORDS[status][3]:
        headers.append(("x-amzn-errortype", WORDS[status][3]))
    if status == 429:
        headers.append(("retry-after", "7"))
    return Scenario(status=status, headers=headers, body=json.dumps(_body(provider, status)).encode())


def _body(provider: Wire, status: int) -> Json:
    openai, anthropic, google, _ = WORDS[status]
    match provider:
        case "openai_chat" | "openai_responses":
            return {"error": {"message": SAID, "type": openai, "param": None, "code": None}}
        case "anthropic":
            return {"type": "error", "error": {"type": anthropic, "message": SAID}, "request_id": "req_1"}
        case "gemini":
            return {"error": {"code": status, "message": SAID, "status": google}}
        case "ollama" | "ollama_generate":
            return {"error": SAID}
        case "bedrock" | "bedrock_invoke" | "bedrock_native" | "cohere":
            return {"message": SAID}


# What comes from whatever stands before a provider, or half from itself.
UNREADABLE = {
    "html": Scenario(
        status=502, headers=[("content-type", "text/html")], body=b"<html><body><h1>502 Bad Gateway</h1></body></html>"
    ),
    "empty": Scenario(status=503, body=b""),
    "truncated": Scenario(status=500, headers=JSON, body=b'{"error": {"message": "The model is ma'),
    "no object": Scenario(status=400, headers=JSON, body=b'"no"'),
    "whole and no json": Scenario(status=200, headers=JSON, body=b"<html>Welcome</html>"),
    "whole and empty": Scenario(status=200, headers=JSON, body=b""),
}


def event(provider: Wire) -> list[bytes]:
    """The events by which a stream of this wire says that it failed."""
    match provider:
        case "openai_chat":
            return [_sse(_body(provider, 500))]
        case "openai_responses":
            error = {"code": "server_error", "message": SAID}
            failed = {"id": "r", "object": "response", "status": "failed", "error": error, "output": []}
            return [
                _sse({"type": "error", **error, "param": None, "sequence_number": 9}, named=True),
                _sse({"type": "response.failed", "response": failed, "sequence_number": 9}, named=True),
            ]
        case "anthropic":
            return [_sse({"type": "error", "error": {"type": "overloaded_error", "message": SAID}}, named=True)]
        case "gemini":
            bare = json.dumps(_body(provider, 503), indent=2).encode()
            return [_sse(_body(provider, 503)), bare]
        case "ollama" | "ollama_generate":
            return [json.dumps(_body(provider, 500)).encode() + b"\n"]
        case "bedrock" | "bedrock_invoke" | "bedrock_native":
            return [_frame(word) for word in ("modelStreamErrorException", "throttlingException")]
        case "cohere":
            return [_sse({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": SAID}}, named=True)]


def _sse(said: Json, named: bool = False) -> bytes:
    name = f"event: {said['type']}\n" if named else ""
    return f"{name}data: {json.dumps(said)}\n\n".encode()


def _frame(exception: str) -> bytes:
    """https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html#streaming-event-stream"""
    said = {":exception-type": exception, ":content-type": "application/json", ":message-type": "exception"}
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in said.items()
    )
    payload = json.dumps({"message": SAID}).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return message + struct.pack(">I", crc32(message))


# --- streams that stop -----------------------------------------------------------------------------------------------

_ENDS: dict[Wire, bytes] = {
    "openai_chat": rb'"finish_reason": ?"|"usage": ?\{',
    "openai_responses": rb"response\.(?:completed|incomplete)",
    "anthropic": rb"message_delta",
    "gemini": rb'"finishReason"|"blockReason"',
    "bedrock": rb"messageStop",
    "bedrock_invoke": b64encode(b'{"type":"message_delt'),
    "bedrock_native": rb"\Z",  # most families have no such event
    "ollama": rb'"done": ?true',
    "ollama_generate": rb'"done": ?true',
    "cohere": rb"message-end",
}


def middle(provider: Wire, body: bytes) -> int:
    """A byte within the stream: at two fifths of what comes before it says that it is at its end."""
    end = re.search(_ENDS[provider], body)
    return (end.start() if end else len(body)) * 2 // 5


def begun(provider: Wire, row: Row) -> bytes:
    """The first whole events of a recorded stream, up to its middle; at least one."""
    body = recordings.body(row)
    at = middle(provider, body)
    if provider.startswith("bedrock"):
        size = 0
        while size < at:
            size += int.from_bytes(body[size : size + 4], "big")
        return body[:size]
    mark = b"\n" if provider.startswith("ollama") else b"\r\n\r\n" if b"\r\n\r\n" in body else b"\n\n"
    whole = body.find(mark, at) + len(mark)
    return body[:whole]
