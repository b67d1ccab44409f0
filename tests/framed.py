"""Which frames has an answer, and what is the JSON in one? And how does a frame look with other JSON in it?

For tests: it knows no more of the three framings than is needed to take apart what is well framed.
"""

import json
import re
from base64 import b64decode, b64encode
from typing import Any, Literal

from proxy.framing.eventstream import encode_frame

Framing = Literal["json", "sse", "ndjson", "aws-eventstream"]

_EVENT = re.compile(rb".+?(?:\r\n\r\n|\n\n|\r\r|\Z)", re.DOTALL)
_DATA = re.compile(rb"(?m)^data: ?(.*?)\r?$")
_PRELUDE, _CHECKSUM = 12, 4  # bytes


def frames(framing: Framing, body: bytes) -> list[bytes]:
    """Together they are the body."""
    match framing:
        case "json":
            return [body]
        case "sse":
            return _EVENT.findall(body)
        case "ndjson":
            return body.splitlines(keepends=True)
        case "aws-eventstream":
            out: list[bytes] = []
            while body:
                size = int.from_bytes(body[:4], "big")
                out.append(body[:size])
                body = body[size:]
            return out


def said(framing: Framing, frame: bytes) -> Any:
    """The JSON in it; of InvokeModel's, the JSON within that. Raises ValueError: there is none."""
    value = json.loads(_payload(framing, frame))
    return json.loads(b64decode(value["bytes"])) if _is_wrapped(framing, value) else value


def spelled(framing: Framing, frame: bytes, value: bytes) -> bytes:
    """The frame with this JSON in place of its own."""
    match framing:
        case "json":
            return value
        case "sse":
            name = re.match(rb"event:.*\r?\n", frame)
            return (name[0] if name else b"") + b"data: " + value + b"\n\n"
        case "ndjson":
            return value + b"\n"
        case "aws-eventstream":
            had = json.loads(_payload(framing, frame))
            if _is_wrapped(framing, had):
                value = json.dumps({**had, "bytes": b64encode(value).decode()}).encode()
            return encode_frame(frame[_PRELUDE : _behind_headers(frame)], value)


def name_of(frame: bytes) -> str:
    """Of a frame of AWS's: the event's type, or that of an exception."""
    found = re.search(rb":(?:event|exception)-type\x07..(\w+)", frame, re.DOTALL)
    return found[1].decode() if found else ""


def _payload(framing: Framing, frame: bytes) -> bytes:
    match framing:
        case "sse":
            return b"\n".join(_DATA.findall(frame))
        case "aws-eventstream":
            return frame[_behind_headers(frame) : -_CHECKSUM]
        case _:
            return frame


def _behind_headers(frame: bytes) -> int:
    return _PRELUDE + int.from_bytes(frame[4:8], "big")


def _is_wrapped(framing: Framing, value: Any) -> bool:
    return framing == "aws-eventstream" and isinstance(value, dict) and isinstance(value.get("bytes"), str)
