"""How do pillion's own reports go out? As JSON, each with its own list of headers."""

from collections.abc import Sequence
from typing import Any

import msgspec

from proxy.ports import Reply


def reply_of(value: Any, status: int = 200) -> Reply:
    return spelled_reply(msgspec.json.encode(value), status)


def list_reply(rows: Sequence[Any]) -> Reply:
    return reply_of({"object": "list", "data": rows})


def spelled_reply(body: bytes, status: int = 200) -> Reply:
    """A reply whose body is JSON already."""
    return Reply(status, [("content-type", "application/json")], body)
