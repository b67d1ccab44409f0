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
    query: str  # what the client's path said behind its question mark, as it stood there
    operation: str = "chat"  # or `generate` (Ollama's other endpoint), or `count_tokens`
    timeout: float | None = None  # seconds until the answer must have ended, where the client said so
    as_array: bool = False  # the stream is to be one JSON array


class Answer(Protocol):
    """A provider's answer, its head read and its body not yet. Whoever has it must read it to its end, or abort it."""

    status: int
    headers: Mapping[str, str]  # all that came, names in lower case; `proxy.headers` says which may go on

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises UpstreamError: cut, timed out, or longer than `limit` bytes."""
        ...

    async def chunk(self) -> bytes:
        """The bytes that have come; waits for some; b"" at the end. Raises UpstreamError."""
        ...

    def begun(self) -> None:
        """It has said something: from now on its silences are timed, and not the wait for its first word."""
        ...

    def ended(self) -> bool:
        """Has all of the body come, and been taken? False where that is not known."""
        ...

    def abort(self) -> None:
        """Close the connection now, whatever it still carries. Harmless after the end."""
        ...


Sink = Callable[[bytes], bool]  # takes some bytes; may it have more?
# How an answer, or a body, hands itself on as it comes, with no task woken for each piece, where it has such a `pour`:
# all of it, or until the sink has enough for now; then it returns False, and goes on when it is called again. It raises
# as reading it would, and what the sink raises.
Pour = Callable[[Sink], Awaitable[bool]]


class Health(NamedTuple):
    """`answers`: somebody is there, whatever they say; a key that may list no models may well chat."""

    ok: bool
    latency: float  # seconds
    detail: str = ""
    answers: bool = True


class Adapter(Protocol):
    """A provider. It holds the credentials, and translates nothing."""

    name: str
    dialects: Sequence[str]  # all that it takes
    real: bool  # False: an offline stand-in, never chosen over a provider
    ask_usage: bool  # streams may be asked for usage (`stream_options`)
    call_id_length: int | None  # characters of a call's id, letters and digits, where no other will do
    no_urls: Collection[str]  # of its dialects: those in which it fetches nothing that a URL names

    def takes(self, model: str) -> Sequence[str]:
        """The dialects in which this model may be asked verbatim, the preferred one first."""
        ...

    def lacks(self, dialect: str) -> None:
        """The host has answered that it knows no such endpoint: for a while it is not asked for this again."""
        ...

    def counts(self, dialect: str) -> bool:
        """Has the provider a way to count the tokens of a request in this dialect?"""
        ...

    def has_other_key(self, model: str) -> bool:
        """Is there a key that might do where the last one has not?"""
        ...

    def refused(self, answer: Answer, error: UpstreamError) -> None:
        """What an answer of its was found to mean: the key may be to blame."""
        ...

    def hints(self, model: str) -> Hints: ...
    def abilities(self, model: str) -> Abilities: ...

    def send(self, outgoing: Outgoing) -> Awaitable[Answer]:
        """Returns at the head of the answer, whatever its status. Raises UpstreamError."""
        ...

    def hide(self, text: str) -> str:
        """The text less the provider's key."""
        ...

    async def models(self, via: str = "") -> list[str]:
        """The ids that the provider lists, configured ones first. Raises UpstreamError.

        `via`: by whom we are asked for them, where that is another gateway.
        """
        ...

    def has(self, model: str) -> bool:
        """Is the model known without asking: configured, or of a name that this provider alone serves?"""
        ...

    async def health(self) -> Health: ...


class Target(NamedTuple):
    """Whom a call asks, and under which name the provider knows the model."""

    adapter: Adapter
    model: str

    def __repr__(self) -> str:
        return f"<Target {self.adapter.name}/{self.model}>"
