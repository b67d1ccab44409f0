"""What may a client do, and how much of it?"""

from typing import Annotated

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=1, le=10**9)]


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """How much in how long."""

    requests_per_minute: Annotated[Count | None, Meta(description="Requests per minute.")] = None
    tokens_per_minute: Annotated[Count | None, Meta(description="Input and output tokens per minute.")] = None
    concurrent: Annotated[Count | None, Meta(description="Requests in progress at the same time.")] = None

    def __bool__(self) -> bool:
        return self != NO_LIMITS


NO_LIMITS = Limits()


class ClientKey(Struct, frozen=True, kw_only=True):
    """A client that has shown its key, and what it may ask for. The key itself is not in here."""

    name: str
    models: tuple[str, ...] = ()  # PROVIDER/MODEL, in which * is any part; none: all
    providers: tuple[str, ...] = ()  # none: all
    limits: Limits = NO_LIMITS
    expires: float | None = None  # seconds since 1970


def reaches(pattern: str, provider: str) -> bool:
    """Could a pattern of `models` fit any model of the provider's?

    It could if what it has before its first `*` begins with `provider/`, or `provider/` begins with that.
    """
    fixed, star, _ = pattern.partition("*")
    own = f"{provider}/"
    return (fixed.startswith(own) and pattern != own) or (bool(star) and own.startswith(fixed))
