"""What must a provider be able to do, and what is sent to it?

An adapter holds the credentials, and translates nothing: it is handed a body in a dialect that it takes.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from proxy.errors import UpstreamError
from proxy.ports.dialects import Abilities, Headers, Hints


class Outgoing(Struct, frozen=True, gc=False):
    """What is sent to a provider: a body in a dialect that it takes, and the client's headers that may travel."""

    dialect: str
    model: str
    body: bytes
    stream: bool
    headers: Headers
    query: str  # the query of the client's path, as it stood there
    operation: str = "chat"  # or `generate` (Ollama's other endpoint), or `count_tokens`
    timeout: float | None = None  # seconds until the answer must have ended, where the client said so
    as_array: bool = False  # the stream is to be one JSON array
    allowed: float | None = None  # seconds that the client allowed, of which `timeout` is left


class Answer(Protocol):
    """A provider's answer: its head was read, its body was not. The holder must read it to its end, or abort it."""

    status: int
    headers: Mapping[str, str]  # all that came, names in lower case; `proxy.headers` says which may go on

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises UpstreamError: cut, timed out, or longer than `limit` bytes."""
        ...

    async def chunk(self) -> bytes:
        """The bytes that have come, waiting for at least one; b"" at the end. Raises UpstreamError."""
        ...

    def begun(self) -> None:
        """It has said something: from now on its silences are timed, no longer the wait for its first event."""
        ...

    def concluded(self) -> None:
        """It has said its last, and nothing else of it is handed on: its connection has a moment to end as well."""
        ...

    def ended(self) -> bool:
        """Has all of the body come, and been read? False where that is not known."""
        ...

    def abort(self) -> None:
        """Close the connection now, even if more would come. Harmless after the end."""
        ...


Sink = Callable[[bytes], bool]  # takes some bytes; returns whether it wants more for now
# The `pour` that some answers and bodies have: hands pieces to the sink as they come, without waking a task for each.
# True when all has come; False when the sink has enough for now, and then it goes on when it is called again. It raises
# what reading would raise, and what the sink raises.
Pour = Callable[[Sink], Awaitable[bool]]


class Health(NamedTuple):
    """`answers`: somebody is there, even if they refuse: a key that may not list models may well chat. `why`: what the
    network says, for operators alone.
    """

    ok: bool
    latency: float  # seconds
    detail: str = ""
    answers: bool = True
    why: str = ""


class Adapter(Protocol):
    """A provider. It holds the credentials, and translates nothing."""

    name: str
    dialects: Sequence[str]  # all that it takes
    real: bool  # False: an offline stand-in, never chosen over a provider
    ask_usage: bool  # streams may be asked for usage (`stream_options`)
    call_id_length: int | None  # characters of a call's id, letters and digits, where no other will do
    cache_points: bool  # it takes Claude's cache points in Chat Completions
    searches: bool  # it runs the web search of its wire, for clients of another one too
    thoughts: str  # refused, taken or demanded, in the `reasoning_content` of messages that are sent back
    whose_key: str  # that it shows, as an error says it
    no_urls: Collection[str]  # of its dialects: those in which it fetches nothing that a URL names

    def takes(self, model: str) -> Sequence[str]:
        """The dialects in which this model may be asked verbatim, the preferred one first."""
        ...

    def do_without(self, dialect: str) -> None:
        """The host has answered that it knows no such endpoint: for a while it is not asked for this again."""
        ...

    def counts(self, dialect: str) -> bool:
        """Can the provider count the tokens of a request in this dialect?"""
        ...

    def may_ask(self, model: str) -> bool:
        """Is there a key to ask it with now, other than as a last resort? An empty name: for any model."""
        ...

    def has_other_key(self, model: str) -> bool:
        """Is there another key that may work where the last one did not?"""
        ...

    def refused(self, answer: Answer, error: UpstreamError) -> None:
        """An answer of this provider's was an error; its key may be to blame."""
        ...

    def hints(self, model: str) -> Hints: ...
    def abilities(self, model: str) -> Abilities: ...

    def send(self, outgoing: Outgoing) -> Awaitable[Answer]:
        """Returns at the head of the answer, whatever its status. Raises UpstreamError."""
        ...

    def hide(self, text: str) -> str:
        """The text without the provider's key."""
        ...

    async def models(self, via: str = "") -> list[str]:
        """The ids that the provider lists, configured ones first. Raises UpstreamError.

        `via`: the `Via` of the request that wants them, where it came through another gateway.
        """
        ...

    def has(self, model: str) -> bool:
        """Is the model known without asking: configured, or one of the names that only this provider serves?"""
        ...

    def denies(self, model: str) -> bool:
        """Has the provider listed all that it has, and not this model? Not so where its list is not there."""
        ...

    async def health(self) -> Health: ...


class Target(Struct, frozen=True):
    """The provider that a call asks, and the name by which it knows the model."""

    adapter: Adapter
    model: str

    def __repr__(self) -> str:
        return f"<Target {self.adapter.name}/{self.model}>"
