"""Is this a body that we take, and what does its sender read if not?"""

from collections.abc import Mapping

from proxy.edge.inbound import BodyBroken, BodyTooLong, BodyTooSlow, Inbound
from proxy.edge.patience import Patience
from proxy.errors import BadRequest

_OF_FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})


async def receive(inbound: Inbound, limit: int, patience: Patience) -> bytes:
    """The request's body. Raises BadRequest: too long, too slow, encoded, or of a content type that is not JSON."""
    headers = inbound.headers
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise BadRequest("content-encoding: the request body must not be compressed.", status=415)
    said = headers.get("content-type")
    if said and said != "application/json":  # an empty one says as little as none
        media_type = said.partition(";")[0].strip().lower()
        is_json = media_type == "application/json" or media_type.endswith("+json")
        # Clients such as aiohttp's name a type even where there is no body. So does a form on a web page, which a
        # browser sends to any site without asking: its types are refused all the same.
        if not is_json and (media_type in _OF_FORMS or _has_body(headers)):
            raise BadRequest("content-type: must be application/json.", status=415)
    if int(headers.get("content-length", 0)) > limit:
        raise _too_long(limit)
    try:
        return await inbound.body(limit, patience.body_stall, patience.body)
    except BodyTooLong:
        raise _too_long(limit) from None
    except BodyBroken:
        raise BadRequest("The request body ended early, or is not valid HTTP.") from None
    except BodyTooSlow as slow:
        raise BadRequest(f"The request body {slow}.", status=408, code="body_timeout") from None


def _has_body(headers: Mapping[str, str]) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _too_long(limit: int) -> BadRequest:
    return BadRequest(f"The request body is longer than {limit} bytes.", status=413, code="request_too_large")
