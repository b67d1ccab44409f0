"""What can go wrong, who is to blame, and may another target answer instead?

One shallow tree. An error is raised anywhere and caught twice: by `failover`, which asks `elsewhere`, and by
`server`, which has the client's dialect spell it. Its message is written for the client: no key, no traceback and
no internal address ever goes in. `kind` is the taxonomy that operators alert on.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, TypedDict, Unpack

Kind = Literal[
    "authentication",
    "rate_limit",
    "quota_exceeded",
    "invalid_request",
    "server_error",
    "network_error",
    "timeout",
    "unknown",
]

Headers = Sequence[tuple[str, str]]


def excerpt(text: str, longest: int = 40) -> str:
    """What a client, a provider or a file has said, as a sentence may cite it: not much longer than so many characters.

    No word is cut. It may be a secret, and half of one would not be found by whoever takes secrets out of the sentence.
    """
    if len(text) <= longest:
        return text
    if text[longest].isspace():
        return f"{text[:longest].rstrip()} …"
    words = text[: longest + 1].rsplit(maxsplit=1)
    return f"{words[0]} …" if len(words) > 1 else "…"


class Particulars(TypedDict, total=False):
    """What any error may say in place of what its class says."""

    status: int | None
    kind: Kind | None
    code: str | None
    param: str | None
    headers: Headers


class GatewayError(Exception):
    """Anything that ends a call. `code` is a stable snake_case word for programs, `message` a sentence for people."""

    status: int = 500
    kind: Kind = "server_error"
    code: str = "internal_error"
    elsewhere: bool = False  # may another target answer?
    ahead: int | None = None  # a limit of ours is full: so many wait in its queue, where the request has not stood yet

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        kind: Kind | None = None,
        code: str | None = None,
        param: str | None = None,
        headers: Headers = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param  # the field's path, such as `messages[2].content[0]`
        self.headers = headers  # to send along: Retry-After, Allow
        self.status = self.status if status is None else status
        self.kind = self.kind if kind is None else kind
        self.code = self.code if code is None else code

    @property
    def logged(self) -> str:
        """The message, as far as it may stand in the log."""
        return self.message


class BadRequest(GatewayError):
    """The client's request cannot be served, here or anywhere."""

    status, kind, code = 400, "invalid_request", "invalid_request"


class Unrepresentable(BadRequest):
    """The target's wire has no way to say what the client said; `param` names it."""

    code = "unrepresentable"


class UnknownModel(BadRequest):
    """There is no provider of that name, or none has that model; the message lists what there is."""

    status, code = 404, "model_not_found"


class Unsupported(BadRequest):
    """A route that pillion knows and that this provider, or this version, does not serve."""

    status, code = 501, "not_implemented"


class Unauthorized(GatewayError):
    status, kind, code = 401, "authentication", "invalid_api_key"


class OverLimit(GatewayError):
    status, code = 429, "rate_limit_exceeded"
    kind: Kind = "rate_limit"


class OverBudget(OverLimit):
    """There is no money left for it. The code is the one that vendors use for an empty account."""

    code = "insufficient_quota"
    kind: Kind = "quota_exceeded"
    cheaper = False  # may a target that costs less be asked?


class LedgerUnavailable(GatewayError):
    """What is spent cannot be recorded, and a budget depends on it."""

    status, code = 503, "ledger_unavailable"


class UpstreamError(GatewayError):
    """The provider's fault, or the network's on the way to it."""

    status, code = 502, "upstream_error"
    elsewhere = True

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        upstream_status: int | None = None,
        upstream_type: str = "",
        body: bytes | None = None,
        detail: str = "",
        **particulars: Unpack[Particulars],
    ) -> None:
        super().__init__(message, **particulars)
        self.provider = provider
        self.upstream_status = upstream_status  # the provider's own
        self.upstream_type = upstream_type  # the provider's own word, such as `overloaded_error`
        # Its answer's bytes, where the client may read them as they are: on its own wire, and well-formed. Else the
        # client's dialect spells `message`.
        self.body = body
        self.detail = detail  # what the network says, for the log alone
        self.told = False  # the client has read it as the last event of a stream, in the provider's own words
        self.event = b""  # those words, where they were withheld from the client
        self.mute = b""  # those words, where the client's SDKs would not take them for an error
        self.of_key = False  # the provider refused the key, and the adapter leaves that one out
        self.lost = False  # there is nothing at that path, by all that was said
        self.date = ""  # when the provider said so, by its own clock, as HTTP spells it
        self.heard: Headers | None = None  # those of `headers` that it sent itself, where it did not send all of them
        self.unmirrored = ""  # the message without what it repeats of the request

    @property
    def logged(self) -> str:
        return self.unmirrored or self.message


class Refused(UpstreamError):
    """A 4xx: whether to ask again, or to ask another, is decided by the table in failover."""

    status, kind, code = 400, "invalid_request", "upstream_refused"
    elsewhere = False


class Busy(UpstreamError):
    """429 or 529: rate limit, quota or overload."""

    status, kind, code = 429, "rate_limit", "rate_limit_exceeded"


class Down(UpstreamError):
    """A 5xx, no connection, a connection that broke, or an answer that makes no sense."""

    status, kind, code = 502, "server_error", "upstream_error"


class Resting(Down):
    """A target that we leave alone: nobody was asked, so it is our own doing. It counts as no attempt."""

    status, code = 503, "target_resting"


class Timeout(UpstreamError):
    """One of the timers ran out; `code` names it: `connect_timeout`, `tls_timeout`, `headers_timeout`, ..."""

    status, kind, code = 504, "timeout", "upstream_timeout"


class ConfigError(Exception):
    """Start-up only, exit code 2: one line per mistake."""


_UNSENT = "Nothing had been sent yet."


@contextmanager
def unsent() -> Iterator[None]:
    """Around what comes before a request's first byte: whatever ends it there, nothing is owed to the provider.

    The error gets a note, since a CancelledError of a kind of our own would be none for `asyncio.timeout`.
    """
    try:
        yield
    except BaseException as error:
        error.add_note(_UNSENT)
        raise


def is_unsent(error: BaseException) -> bool:
    """Is it known that nothing had been sent yet?"""
    return _UNSENT in getattr(error, "__notes__", ())


def unwound(error: GatewayError) -> GatewayError:
    """The same error without its traceback, and without those of the errors in its context.

    Whoever keeps an error also keeps its frames and all that they refer to: the request's body, and often the error
    itself, so that all of it would have to wait for the garbage collector.
    """
    one: BaseException | None = error
    while one is not None:
        one.__traceback__, one = None, one.__context__
    return error
