"""How is a provider's answer spoilt: one value of it, one event, or its end?

The answers are recorded ones. Every place in the JSON of all of them is spoilt, each once in every way: two places are
the same if the same keys and types lead to them.
"""

import json
import random
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from tests.conformance.broken import middle
from tests.conformance.scene import is_answer, is_live, played, rows_of
from tests.conformance.told import Wire
from tests.framed import Framing, frames, said, spelled
from tests.nested import Path, places, put
from tests.recordings import Row
from tests.spoilt import VALUES, Dice

LONGEST = 60_000  # bytes of an answer

# What stands in a value's place. Of these, each way takes one by dice; in the odd one half of the values are gone.
WAYS: dict[str, list[Any]] = {
    "nested": [[], {}, [None], [{}], [[]], {"a": 1}, {"": None}, {"type": None}, {"type": "x"}, {"text": 1}, ["x", 1]],
    "plain": [*VALUES, -7, -0.5, 2**53],
    "odd": [b"NaN", b"-Infinity", b"1e999", b"9" * 400, b'"\\udfff\\ud800"', b'"\xff"', b"[" * 999 + b"]" * 999, b"01"],
}  # fmt: skip
_MARK = "the place of odd JSON"

# What an event may become. `until`: it is the last that comes.
DEEDS = ("gone", "twice", "moved", "until", "strange")
STRANGE: dict[Framing, list[bytes]] = {
    "sse": [
        b": c\n\n", b"data: {}\n\n", b"data: null\n\n", b"data: []\n\n", b"data:\n\n", b"data: [DONE]\n\n",
        b"event: error\ndata: {}\n\n", b'data: {"error":null}\n\n', b'data: {"error":"x"}\n\n', b"id: 1\nretry: 0\n\n",
        b'data: {"type":null}\n\n', b"data: {\n\n", b'event: ping\ndata: {"type":"ping"}\n\n',
    ],
    "ndjson": [b"{}\n", b"null\n", b"[]\n", b"\n", b"{\n", b'{"error":null}\n', b'{"error":{}}\n', b'{"done":"yes"}\n'],
}  # fmt: skip


class Spoilt(NamedTuple):
    """`how` says what was done. `is_cut`: it ends before what would make it whole. `cut_at`: and there the connection
    ends.
    """

    row: Row
    how: str
    body: bytes
    is_cut: bool = False
    cut_at: int | None = None


class Place(NamedTuple):
    row: Row
    frame: int
    path: Path


@cache
def answers(provider: Wire) -> list[Row]:
    return [row for row in rows_of(provider) if is_answer(row) and len(row["response_body"]) < LONGEST]


def framing_of(row: Row) -> Framing:
    """As it is played."""
    framing: str = row["framing"]
    match framing:
        case "sse" | "json-array":
            return "sse"
        case "ndjson" | "aws-eventstream":
            return framing
        case _:
            return "json"


@cache
def all_places(provider: Wire) -> list[Place]:
    """Of two that are the same, the first."""
    found: dict[tuple[str, ...], Place] = {}
    for row in answers(provider):
        framing = framing_of(row)
        for number, frame in enumerate(frames(framing, played(row).body)):
            try:
                value = said(framing, frame)
            except ValueError:
                continue
            for path in places(value)[1:]:
                found.setdefault((framing, *_named(value, path)), Place(row, number, path))
    return list(found.values())


def _named(value: Any, path: Path) -> Iterator[str]:
    """The keys on the way, and the types."""
    for step in ("", *path):
        if step != "":
            value = value[step]
            yield "#" if isinstance(step, int) else step
        if isinstance(value, dict) and isinstance(value.get("type"), str):
            yield value["type"]


def with_value(place: Place, way: str, dice: Dice) -> Spoilt:
    framing, body = framing_of(place.row), played(place.row).body
    every = frames(framing, body)
    value = _changed(said(framing, every[place.frame]), place.path, way, dice)
    every[place.frame] = spelled(framing, every[place.frame], value)
    return Spoilt(place.row, f"{'.'.join(map(str, place.path))} {way}: {value[:300]!r}", b"".join(every))


def _changed(value: Any, path: Path, way: str, dice: Dice) -> bytes:
    if way == "odd" and dice.random() < 0.5:
        return json.dumps(_without(value, path)).encode()
    chosen = dice.choice(WAYS[way])
    if not isinstance(chosen, bytes):
        return json.dumps(put(value, path, chosen)).encode()
    return json.dumps(put(value, path, _MARK)).encode().replace(json.dumps(_MARK).encode(), chosen)


def _without(value: Any, path: Path) -> Any:
    *way, last = path
    holder = value
    for step in way:
        holder = holder[step]
    left = holder.copy()
    del left[last]
    return put(value, tuple(way), left)


def with_event(provider: Wire, row: Row, deed: str, dice: Dice) -> Spoilt:
    framing = framing_of(row)
    every = frames(framing, played(row).body)
    at = dice.randrange(len(every))
    match deed:
        case "gone":
            del every[at]
        case "twice":
            every.insert(at, every[at])
        case "moved":
            every.insert(dice.randrange(len(every)), every.pop(at))
        case "until":
            del every[at:]
        case _:
            own = [spelled(framing, every[0], each) for each in (b"{}", b"null", b"[]", b"{", b"")]
            every.insert(at, dice.choice(STRANGE.get(framing, own)))
    body = b"".join(every)
    is_cut = deed == "until" and len(body) <= middle(provider, played(row).body)
    return Spoilt(row, f"event {at} {deed}", body, is_cut)


def cut(provider: Wire, row: Row, dice: Dice) -> Spoilt:
    """By the connection, which ends before the answer is whole."""
    body = played(row).body
    before = middle(provider, body) if is_live(row) else len(body) - 1
    return Spoilt(row, "cut", body, True, dice.randrange(before + 1))


def cases(provider: Wire) -> list[tuple[Any, str]]:
    """What `spoilt` takes: every place in every way, and every answer with one event spoilt, and cut."""
    dice = random.Random(provider)
    values: list[tuple[Any, str]] = [(place, way) for place in all_places(provider) for way in WAYS]
    events = [(row, dice.choice(DEEDS)) for row in answers(provider) if is_live(row)]
    return [*values, *events, *((row, "cut") for row in answers(provider))]


def spoilt(provider: Wire, case: tuple[Any, str], dice: Dice) -> Spoilt:
    what, way = case
    if isinstance(what, Place):
        return with_value(what, way, dice)
    return cut(provider, what, dice) if way == "cut" else with_event(provider, what, way, dice)
