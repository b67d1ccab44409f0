"""What is asked of every SDK, and what comes back, in no SDK's words?"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

# What every question with a tool offers.
NAME, DESCRIPTION = "weather", "The weather in a city, now"
PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}


class Question(NamedTuple):
    """`image`: a PNG to look at. `tool`: the weather is on offer, and is to be called."""

    text: str
    image: bytes | None = None
    tool: bool = False


class Said(NamedTuple):
    """`tokens`: read and written."""

    text: str
    calls: list[tuple[str, Any]]
    tokens: int


class Refused(Exception):
    """What the SDK raised."""

    def __init__(self, status: int | None, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class Talk(Protocol):
    async def ask(self, model: str, question: Question, stream: bool) -> Said:
        """Raises Refused."""
        ...


@runtime_checkable
class Counting(Protocol):
    """An SDK that can ask how many tokens a question has."""

    async def count(self, model: str, question: Question) -> int: ...
