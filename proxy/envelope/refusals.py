"""What is a client told of a body that cannot be read?"""

import re
from collections.abc import Mapping

from proxy.errors import BadRequest

_CUT = "it contains half of a surrogate pair, as where a text is cut inside an emoji"


def unreadable(what: str, body: bytes, error: Exception, param: str | None = None) -> BadRequest:
    """`what` is the part that is not JSON. Of bytes that are not UTF-8, msgspec knows only the place in one string."""
    if isinstance(error, UnicodeDecodeError):
        return BadRequest(f"The request body is not UTF-8{_at(body)}.", code="invalid_json", param=param)
    why = _CUT if _is_half_a_pair(error, body) else error
    return BadRequest(f"{what} is not valid JSON: {why}.", code="invalid_json", param=param)


def _is_half_a_pair(error: Exception, body: bytes) -> bool:
    """Where nothing follows the first half, msgspec complains of truncated input or of a hex escape instead."""
    why = str(error)
    return "surrogate" in why or (("truncated" in why or "hex escape" in why) and _first_half_alone(body) is not None)


_first_half_alone = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])").search


def _at(body: bytes) -> str:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f" (byte {error.start})"
    return ""


def duplicate(members: Mapping[str, object]) -> BadRequest:
    names = ", ".join(list(members)[:20])
    return BadRequest(f"An object in the request body has the same key twice. Its keys: {names}.", code="duplicate_key")
