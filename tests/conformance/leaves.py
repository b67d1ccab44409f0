"""What does a request hold, leaf by leaf, and is it all in another?

A body of any wire is walked as the tree that it is. JSON within a string (a call's arguments, a tool's result) is
walked as well, and a data URL is its base64, so that two spellings of one thing have the same leaves.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

Path = tuple[str, ...]


class Leaf(NamedTuple):
    """`path`: the keys on the way, without the places in arrays."""

    path: Path
    value: str | float | bool

    def __str__(self) -> str:
        return f"{'.'.join(self.path)} = {str(self.value)[:80]!r}"


def leaves(value: Any, path: Path = ()) -> Iterator[Leaf]:
    """Every string, number and flag; names of a schema's properties as leaves of their own. What the model thought
    has a step `thinking` in its path.
    """
    if isinstance(value, dict):
        path = (*path, "thinking") if _is_thought(value) else path
        for key, inner in value.items():
            if path and path[-1] in ("properties", "$defs"):
                yield Leaf((*path, "*"), key)
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    elif isinstance(value, str) and value.lstrip()[:1] in ("{", "[") and (inner := _json(value)) is not None:
        yield from leaves(inner, (*path, "json"))
    elif isinstance(value, str) and value.startswith("data:") and "," in value:
        yield Leaf(path, value.partition(",")[2])
    elif value is not None and value != "":
        yield Leaf(path, value)


def _is_thought(node: dict[str, Any]) -> bool:
    return node.get("thought") is True or str(node.get("type")).startswith(("thinking", "redacted", "reasoning"))


def _json(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict | list) else None


class Held:
    """All leaves of a body, ready to be searched."""

    def __init__(self, body: Any) -> None:
        self.leaves = list(leaves(body))
        told = [leaf.value for leaf in self.leaves if isinstance(leaf.value, str)]
        self.texts = "\0".join([*told, *filter(None, map(_decoded, told))])
        self._numbers = {(type(leaf.value) is bool, leaf.value) for leaf in self.leaves}
        self._squeezed = _squeezed(self.texts + "\0".join(_strings(body)))
        self._texts = set(self.texts.split("\0"))

    def has(self, value: str | float | bool) -> bool:
        """A text may stand within a longer one, or in base64 of another alphabet."""
        if not isinstance(value, str):
            return (type(value) is bool, value) in self._numbers or json.dumps(value) in self.texts
        return value in self.texts or _squeezed(value) in self._squeezed or any(map(self._tells, _recoded(value)))

    def _tells(self, text: str) -> bool:
        """A document may be said as text, between two lines that tell its name."""
        return text in self._texts or f"\n{text}\n" in self.texts


def _strings(value: Any) -> Iterator[str]:
    """Every string as it stands: a text that is JSON may be sent in pieces."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _recoded(text: str) -> set[str]:
    """A document of plain text is base64 on some wires."""
    return {base64.b64encode(text.encode("utf-8", "surrogatepass")).decode(), _decoded(text) or text}


def _decoded(text: str) -> str:
    """What a text says that is in base64; empty where it is no such thing."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return ""


def _squeezed(text: str) -> str:
    """Free of what JSON within a string, or base64, may spell otherwise."""
    return "".join(text.split()).replace("\\", "").replace("-", "+").replace("_", "/").replace("=", "")
