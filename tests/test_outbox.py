"""Do bytes that are kept to go out together all go out, each connection's in order, and none later than it must?"""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import cast

import pytest

from proxy.edge.delivery import _Chunks
from proxy.edge.door import Door, House
from proxy.edge.outbox import ALONE, BIG, FULL, Outbox
from proxy.edge.patience import Patience


class Line:
    """A connection whose bytes are noted, by all lines in one list."""

    def __init__(self, sent: list[tuple[str, bytes]], name: str = "a") -> None:
        self._sent = sent
        self._name = name
        self.transport: asyncio.Transport | None = cast(asyncio.Transport, self)
        self.breaks = False

    def write(self, data: bytes) -> None:
        if self.breaks:
            raise RuntimeError("a bug")
        self._sent.append((self._name, data))


@pytest.fixture
def sent() -> list[tuple[str, bytes]]:
    return []


@pytest.fixture
async def outbox() -> Outbox:
    return Outbox(asyncio.get_running_loop())


async def turn() -> None:
    await asyncio.sleep(0)


async def test_what_one_turn_says_goes_out_together_in_the_next(outbox: Outbox, sent: list[tuple[str, bytes]]) -> None:
    one, other = Line(sent), Line(sent, "b")
    for _ in range(3):
        outbox.write(one, b"1")
        outbox.write(other, b"2")
        assert sent == []
        await turn()
        assert sent == [("a", b"1"), ("b", b"2")]
        sent.clear()


async def test_before_any_bytes_go_it_says_so(sent: list[tuple[str, bytes]]) -> None:
    outbox, line = Outbox(asyncio.get_running_loop(), lambda: sent.append(("before", b""))), Line(sent)
    outbox.write(line, b"alone")
    await turn()
    assert sent == [("before", b""), ("a", b"alone")]
    outbox.write(line, b"at once")
    assert sent[2:] == [("before", b""), ("a", b"at once")]
    for _ in range(ALONE):
        outbox.write(line, b"the last of them waits")
    outbox.flush()
    assert sent[-3:] == [("a", b"the last of them waits"), ("before", b""), ("a", b"the last of them waits")]


async def test_who_waited_alone_waits_no_more_for_a_while(outbox: Outbox, sent: list[tuple[str, bytes]]) -> None:
    line = Line(sent)
    for _ in range(2):
        outbox.write(line, b"tries")
        assert sent == []
        await turn()
        for number in range(ALONE):
            outbox.write(line, b"%d" % number)
            assert len(sent) == 2 + number, "it waited"
        sent.clear()


async def test_nothing_overtakes_what_waits_on_its_own_connection(outbox: Outbox) -> None:
    """However writes, turns and flushes follow each other."""
    dice = random.Random(7)
    for _ in range(300):
        sent: list[tuple[str, bytes]] = []
        lines = {name: Line(sent, name) for name in "abc"}
        said: dict[str, list[bytes]] = {name: [] for name in lines}
        for step in range(60):
            match dice.choice(["write", "write", "write", "turn", "flush"]):
                case "write":
                    name, size = dice.choice("abc"), dice.choice([1, 100, BIG, BIG + 1])
                    data = b"%04d" % step + bytes(size)
                    outbox.write(lines[name], data)
                    said[name].append(data)
                case "turn":
                    await turn()
                case _:
                    outbox.flush()
        await turn()
        assert said == {name: [data for whose, data in sent if whose == name] for name in lines}


async def test_a_large_write_goes_at_once_behind_what_waits(outbox: Outbox, sent: list[tuple[str, bytes]]) -> None:
    one, other = Line(sent), Line(sent, "b")
    outbox.write(one, b"small")
    outbox.write(other, bytes(BIG))
    assert sent == []
    outbox.write(other, bytes(BIG + 1))
    assert sent == [("a", b"small"), ("b", bytes(BIG)), ("b", bytes(BIG + 1))]


async def test_no_more_than_so_many_bytes_wait(outbox: Outbox, sent: list[tuple[str, bytes]]) -> None:
    """Whoever writes without a turn of the loop is told only by its transport that its reader does not keep up."""
    line, size = Line(sent), 1000
    for _ in range(FULL // size):
        outbox.write(line, bytes(size))
    assert sent == []
    outbox.write(line, bytes(size))
    assert len(sent) == FULL // size + 1
    outbox.write(line, b"counts anew")
    assert len(sent) == FULL // size + 1


async def test_what_is_for_a_closed_connection_is_dropped_and_nothing_else(
    outbox: Outbox, sent: list[tuple[str, bytes]]
) -> None:
    lines = [Line(sent, name) for name in "abc"]
    for line in lines:
        outbox.write(line, b"x")
    lines[1].transport = None
    await turn()
    assert sent == [("a", b"x"), ("c", b"x")]


@pytest.fixture
async def loop_errors() -> list[object]:
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))
    return errors


async def test_a_write_that_breaks_silences_nobody_else(
    outbox: Outbox, sent: list[tuple[str, bytes]], loop_errors: list[object]
) -> None:
    lines = [Line(sent, name) for name in "abcd"]
    lines[1].breaks = lines[2].breaks = True
    for line in lines:
        outbox.write(line, b"x")
    outbox.flush()  # which is no fault of whoever does this
    assert sent == [("a", b"x"), ("d", b"x")]
    assert [str(error) for error in loop_errors] == ["a bug"] * 2
    outbox.write(lines[0], b"y")
    await turn()
    assert sent[-1] == ("a", b"y")


async def test_it_tells_how_much_waits(outbox: Outbox, sent: list[tuple[str, bytes]]) -> None:
    outbox.write(Line(sent), b"four")
    assert repr(outbox) == "<Outbox of 4 bytes>"
    outbox.flush()
    assert repr(outbox) == "<Outbox of 0 bytes>"


# --- a client's connection -------------------------------------------------------------------------------------------


class Full(asyncio.Transport):
    """A transport whose reader takes nothing: all stays with us."""

    def __init__(self) -> None:
        super().__init__()
        self.held = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.held += bytes(data)

    def get_write_buffer_size(self) -> int:
        return len(self.held)


class Empty:
    """A house in which nobody is."""

    patience = Patience()

    def came(self, door: Door) -> None: ...


@pytest.fixture
async def door(outbox: Outbox) -> AsyncIterator[Door]:
    made = Door(cast(House, Empty()), asyncio.get_running_loop(), outbox)
    made.connection_made(Full())
    yield made
    made._alarm.end()


async def test_a_client_whose_answer_is_still_to_go_out_is_not_idle(door: Door) -> None:
    """Else it would be closed to make room, and might get half of it."""
    assert not door.busy
    door.write(b"answer")
    assert door.busy


async def test_what_waits_counts_as_not_yet_read(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a client would look slower as soon as it goes out than it did before."""
    seen = []
    monkeypatch.setattr(Door, "unsent", property(lambda self: seen.append(self.transport.held)))
    door.write(b"answer")
    await door.drained()
    assert seen == [b"answer"]


async def test_the_end_of_a_long_chunk_does_not_wait(door: Door) -> None:
    lines = _Chunks(door, b"")
    lines.put(bytes(BIG + 1))
    assert cast(Full, door.transport).held.endswith(bytes(BIG + 1) + b"\r\n")
    lines.stop()
