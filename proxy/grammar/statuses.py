"""Which of our errors does an HTTP status stand for, with any provider?"""

import re

from proxy.errors import Busy, Down, GatewayError, Kind, Refused, Timeout, UpstreamError

_KINDS: dict[int, Kind] = {401: "authentication", 402: "quota_exceeded", 403: "authentication"}


def class_of(status: int, quota: bool = False) -> tuple[type[UpstreamError], Kind | None]:
    """The class, and the kind if it is not the class's default. `quota`: it is used up, so waiting does not help."""
    if status in (429, 529):
        return Busy, "quota_exceeded" if quota else None
    if status in (408, 504):
        return Timeout, None
    return (Down, None) if status >= 500 else (Refused, _KINDS.get(status))


def is_servers(error: GatewayError) -> bool:
    """Is it no mistake of the client's? For a wire that has no word for its status: a model's failure may be a 424."""
    return error.status >= 500 or error.kind == "server_error"


def says_no_more(status: int, message: str, nothing: str) -> bool:
    """Does an error only say that there is nothing at this path, rather than which of the request's things is missing?

    `nothing`: the message of an error that brings none.
    """
    return status in (404, 405, 501) and (message == nothing or _no_more(message) is not None)


# llama.cpp says "File Not Found" of a path, and Azure "Resource not found".
_no_more = re.compile(
    r"(?i)(?:404 )?(?:(?:file|page|path|resource|route|url) )?not found\W*|method not allowed\W*|not implemented\W*"
).fullmatch
