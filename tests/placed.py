"""Where does each part stand of a turn that a test made by hand?"""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from proxy.canon import Part, Role, ToolResult, Turn


def placed(role: Role, parts: Iterable[Part], at: str, **fields: Any) -> Turn:
    """As a parser has it: every part with a path of its own."""
    return Turn(role=role, parts=_placed(parts, f"{at}.content"), at=at, **fields)


def _placed(parts: Iterable[Part], path: str) -> list[Part]:
    return [_at(part, f"{path}[{number}]") for number, part in enumerate(parts)]


def _at(part: Part, at: str) -> Part:
    if isinstance(part, ToolResult):
        return replace(part, at=at, parts=_placed(part.parts, f"{at}.content"))
    return replace(part, at=at)
