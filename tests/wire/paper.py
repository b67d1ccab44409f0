"""How does JSON stand in the golden files?

In the order in which it was sent, and on one line wherever that is short enough to be read at a glance.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WIDTH = 110
HOW = "python -m tests.wire writes the golden files anew; git diff shows what has changed"

Json = dict[str, Any]


def read(path: Path) -> Json:
    said: Json = json.loads(path.read_text())
    return said


def spelled(value: Json) -> str:
    return "".join(_lines(value, "", WIDTH)) + "\n"


def _lines(value: Any, indent: str, room: int) -> Iterator[str]:
    """`room`: characters that are left of the line."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) <= room or not isinstance(value, dict | list) or not value:
        yield flat
        return
    deeper = indent + "  "
    pairs = value.items() if isinstance(value, Mapping) else ((None, each) for each in value)
    begin, end = "{}" if isinstance(value, Mapping) else "[]"
    for number, (key, inner) in enumerate(pairs):
        name = "" if key is None else f"{json.dumps(key, ensure_ascii=False)}: "
        yield f"{',' if number else begin}\n{deeper}{name}"
        yield from _lines(inner, deeper, WIDTH - len(deeper) - len(name))
    yield f"\n{indent}{end}"
