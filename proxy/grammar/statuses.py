"""Which of our errors does an HTTP status stand for, with any provider?"""

from proxy.errors import Busy, Down, Kind, Refused, Timeout, UpstreamError

_KINDS: dict[int, Kind] = {401: "authentication", 402: "quota_exceeded", 403: "authentication"}


def class_of(status: int, quota: bool = False) -> tuple[type[UpstreamError], Kind | None]:
    """The class, and the kind if it is not the class's default. `quota`: it is used up, so waiting does not help."""
    if status in (429, 529):
        return Busy, "quota_exceeded" if quota else None
    if status in (408, 504):
        return Timeout, None
    return (Down, None) if status >= 500 else (Refused, _KINDS.get(status))
