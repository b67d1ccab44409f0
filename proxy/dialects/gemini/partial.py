"""What are the arguments of a call that comes in pieces?

With `streamFunctionCallArguments` Google sends values and not the text of JSON, each with its path, such as
`$.items[0].name`; a string may come in several pieces. They become JSON once the call is whole.
https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling#streaming-fc
"""

import re
from itertools import pairwise
from typing import Any

from proxy.grammar.fields import Object, as_list, as_object, as_text, nonsense

_step = re.compile(r"\.([^.\[\]]+)|\[(\d{1,9})\]|\['((?:[^'\\]|\\.)*)'\]|\[\"((?:[^\"\\]|\\.)*)\"\]")
_DEEPEST = 100  # steps that a path may have


class PartialArguments:
    def __init__(self, given: Object) -> None:
        self.value: Object = given

    def add(self, pieces: object) -> None:
        """`partialArgs` of one chunk. Raises UpstreamError where a piece has no place."""
        for piece in map(as_object, as_list(pieces)):
            path = _steps(as_text(piece.get("jsonPath")))
            text = piece.get("stringValue")
            if isinstance(text, str):
                had = _get(self.value, path)
                _put(self.value, path, had + text if isinstance(had, str) else text)
            elif "numberValue" in piece or "boolValue" in piece:
                _put(self.value, path, piece.get("numberValue", piece.get("boolValue")))
            elif "nullValue" in piece:
                _put(self.value, path, None)


def _steps(path: str) -> list[str | int]:
    """The keys and indices of a path."""
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        found = _step.match(path, at)
        if found is None or len(steps) == _DEEPEST:
            break
        key = found[1] or found[3] or found[4] or ""
        steps.append(key if found[2] is None else int(found[2]))
        at = found.end()
    if not path.startswith("$") or not steps or at < len(path):
        raise nonsense("a piece of a function call's arguments has no valid jsonPath")
    return steps


def _get(value: Any, path: list[str | int]) -> Any:
    for step in path:
        value = _child(value, step)
    return value


def _put(value: Any, path: list[str | int], item: Any) -> None:
    for step, following in pairwise(path):
        child = _child(value, step)
        if not isinstance(child, dict | list):
            child = [] if isinstance(following, int) else {}
            _set(value, step, child)
        value = child
    _set(value, path[-1], item)


def _child(value: Any, step: str | int) -> Any:
    if isinstance(value, dict) and isinstance(step, str):
        return value.get(step)
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return None


def _set(value: Any, step: str | int, item: Any) -> None:
    """Set one item. A list grows by one at a time: an index beyond its end would be an attack, or a fault."""
    if isinstance(value, list) and step == len(value):
        value.append(None)
    fits = step < len(value) if isinstance(value, list) and isinstance(step, int) else isinstance(value, dict)
    if not fits or isinstance(value, dict) != isinstance(step, str):
        raise nonsense("a piece of a function call's arguments has no valid jsonPath")
    value[step] = item
