"""What must every decoder, renderer, framer and meter obey? Told once, for all dialects."""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import pytest

from proxy.canon import Event, Request, grammatical
from proxy.errors import Unrepresentable, UpstreamError
from proxy.ports import Decoder, Dialect, Meter, Renderer

T = TypeVar("T", covariant=True)

SMALL = 2048  # bytes: up to here a stream is cut at every single offset
SOAK = bool(os.environ.get("PILLION_SOAK"))
MOST_SPLITS = 250  # seeded ways to cut a recorded stream: more than 100,000 for all of them
SPLITS = MOST_SPLITS if SOAK else 12

taken: Counter[str] = Counter()  # how many of them this run took
figures: dict[str, tuple[int, int]] = {}  # by name: how many cases this run takes, and how many there are
measured: dict[str, str] = {}  # by name: what this machine made of it, which is told and held to no bar


class Feeder(Protocol[T]):
    def feed(self, data: bytes) -> Iterator[T]: ...
    def close(self) -> Iterator[T]: ...


def examples(whole: int) -> int:
    """How many random cases a law is tried with: in `make test` a fifth of those of `make soak`."""
    return whole if SOAK else whole // 5


def splits(data: bytes, seed: int = 7, count: int = 50) -> Iterator[list[bytes]]:
    """The same bytes: whole, byte by byte, in `count` seeded cuts, and cut once at every offset where they are few."""
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    dice = random.Random(seed)
    for _ in range(count):
        cuts = sorted(dice.randrange(len(data) + 1) for _ in range(dice.randint(1, 12)))
        yield [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    if len(data) <= SMALL:
        for at in range(len(data) + 1):
            yield [data[:at], data[at:]]


def stream_splits(data: bytes) -> Iterator[list[bytes]]:
    """`splits` of a recorded stream, counted: `make test` takes a dozen, `make soak` two hundred and fifty."""
    taken.update(splits=SPLITS)
    return splits(data, count=SPLITS)


def share(figure: str, whole: int, part: int) -> int:
    """How many cases of a figure this run takes: `make soak` takes all, `make test` a part, and says which."""
    figures[figure] = (whole if SOAK else part, whole)
    return figures[figure][0]


def drain(feeder: Feeder[T], chunks: list[bytes]) -> list[T]:
    """Everything that comes out, the end of the bytes included."""
    out: list[T] = []
    for chunk in chunks:
        out.extend(feeder.feed(chunk))
    out.extend(feeder.close())
    return out


def listen(decoder: Decoder, chunks: list[bytes]) -> tuple[list[Event], UpstreamError | None]:
    """The events before the error, if one came, and the error."""
    events: list[Event] = []
    try:
        for chunk in chunks:
            events.extend(decoder.feed(chunk))
        events.extend(decoder.close())
    except UpstreamError as error:
        return events, error
    return events, None


def decoded(decoder: Decoder, data: bytes) -> list[Event]:
    """The sentence that the bytes are."""
    events, error = listen(decoder, [data])
    assert error is None, error
    return list(grammatical(events))


def failure(decoder: Decoder, data: bytes) -> UpstreamError:
    """What the bytes end in."""
    _, error = listen(decoder, [data])
    assert error is not None
    return error


def refused(dialect: Dialect, request: Request) -> str:
    """The field that cannot cross, which the message names."""
    with pytest.raises(Unrepresentable) as caught:
        dialect.encode(request)
    assert caught.value.param is not None
    assert caught.value.param in caught.value.message
    return caught.value.param


def say(renderer: Renderer, events: list[Event]) -> bytes:
    return b"".join(renderer.feed(event) for event in events)


def watch(meter: Meter, chunks: list[bytes]) -> Meter:
    for chunk in chunks:
        meter.feed(chunk)
    meter.close()
    return meter


def split_proof(make: Callable[[], Feeder[T]], data: bytes, count: int = 50) -> list[T]:
    """Assert that the cuts make no difference, and return what comes out."""
    whole = drain(make(), [data])
    for chunks in splits(data, count=count):
        assert drain(make(), chunks) == whole
    return whole
