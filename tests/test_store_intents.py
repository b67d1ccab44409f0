"""Is what was under way found again, and nothing else?"""

import os
import stat
from collections.abc import Iterator
from errno import ENOSPC
from pathlib import Path
from struct import pack
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.store import intents
from proxy.store.intents import BLOCK, FIRST, OPEN, SLOT, Intents, found
from proxy.store.reasons import Unusable
from proxy.store.row import CRASHED, ESTIMATED, LONGEST, Row, spelled
from tests.crash import row


def numbered(number: int) -> Row:
    this = row(f"r{number}", number)
    this.id = number
    return this


def said(number: int) -> bytes:
    return spelled(numbered(number))


def ids(path: Path) -> list[int]:
    return sorted(row.id for row in found(path).rows)


@pytest.fixture
def slots(tmp_path: Path) -> Iterator[Intents]:
    made = Intents(tmp_path / "i")
    yield made
    made.close(is_done=False)


def test_an_open_slot_is_found_at_its_estimate_and_a_settled_one_as_it_is(slots: Intents, tmp_path: Path) -> None:
    slots.put(said(1))
    slots.settle(slots.put(said(2)), said(3))
    slots.flush()
    left = sorted(found(tmp_path / "i").rows, key=lambda row: row.id)
    assert [(row.id, row.flags) for row in left] == [(1, ESTIMATED | CRASHED), (3, 0)]


def test_a_row_may_fill_its_slot_to_the_last_byte(slots: Intents, tmp_path: Path) -> None:
    this = numbered(1)
    this.model = "m" * (LONGEST - len(spelled(this)) - 2)
    this.model += "m" * (LONGEST - len(spelled(this)))
    assert len(spelled(this)) == LONGEST
    slots.settle(slots.put(spelled(this)), spelled(this))
    slots.put(said(2))
    slots.flush()
    assert found(tmp_path / "i").unreadable == 0
    assert ids(tmp_path / "i") == [1, 2]


def test_what_is_forgotten_is_not_found(slots: Intents, tmp_path: Path) -> None:
    slots.put(said(1))
    slots.forget(slots.put(said(2)))
    third = slots.put(said(3))
    slots.flush()
    assert ids(tmp_path / "i") == [1, 3]
    slots.forget(third)
    slots.flush()
    assert ids(tmp_path / "i") == [1]


def test_slots_are_used_round_and_round_and_what_is_held_is_passed_over(slots: Intents) -> None:
    count = FIRST * BLOCK
    assert [slots.put(said(number)) for number in range(count - 1)] == [*range(count - 1)]
    slots.release([*range(5), *range(7, count - 1), 0, intents.NO_SLOT])
    assert [slots.put(said(number)) for number in range(7)] == [count - 1, 0, 1, 2, 3, 4, 7]
    assert repr(slots).endswith("9 of 2048 slots in use>")


def test_what_waits_is_written_together_where_slots_lie_side_by_side(
    slots: Intents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[tuple[int, int]] = []
    pwrite = os.pwrite

    def noted(descriptor: int, data: bytes, at: int) -> int:
        writes.append((at // SLOT, -(-len(data) // SLOT)))
        return pwrite(descriptor, data, at)

    monkeypatch.setattr(os, "pwrite", noted)
    for number in range(5):
        slots.put(said(number))
    assert (writes, slots.is_waiting) == ([], True)
    slots.flush()
    slots.flush()
    assert (writes, slots.is_waiting) == ([(0, 5)], False)
    for slot in (3, 0, 1, 4):
        slots.settle(slot, said(slot))
    slots.put(said(5))
    slots.flush()
    assert writes[1:] == [(0, 2), (3, 3)]
    assert ids(tmp_path / "i") == [0, 1, 2, 3, 4, 5]


def test_the_oldest_is_of_those_that_are_held(slots: Intents) -> None:
    assert slots.oldest() is None
    slots.put(said(9))
    slots.put(said(7))
    slots.release([slots.put(said(5))])
    assert (slots.oldest(), slots.held) == (7, 2)


def test_it_is_allocated_ahead_of_need(slots: Intents, tmp_path: Path) -> None:
    def blocks() -> int:
        return (tmp_path / "i").stat().st_blocks * 512 // (BLOCK * SLOT)

    slots.grow()
    assert blocks() == FIRST
    for number in range(FIRST * BLOCK - BLOCK + 1):
        slots.put(said(number))
    slots.grow()
    assert blocks() == FIRST + 1
    for number in range(3 * BLOCK):
        slots.put(said(number))
    slots.grow()
    assert blocks() == FIRST + 4


def test_when_no_slot_is_left_an_intent_says_so(slots: Intents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intents, "MOST", 2)
    held = [slots.put(said(1)), slots.put(said(2))]
    with pytest.raises(OSError, match="no free slot"):
        slots.put(said(3))
    slots.release(held[:1])
    slots.put(said(4))
    with pytest.raises(OSError, match="no free slot"):
        slots.put(said(5))


def test_what_cannot_be_written_hinders_nothing_else(
    slots: Intents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite = os.pwrite

    def worn(descriptor: int, data: bytes, at: int) -> int:
        return fail() if at <= SLOT < at + len(data) else pwrite(descriptor, data, at)

    with monkeypatch.context() as broken:
        broken.setattr(os, "pwrite", worn)
        for number in range(3):
            assert slots.put(said(number)) == number
        failed = slots.flush()
    assert ([*failed], str(failed[1]), slots.is_waiting) == ([1], "[Errno 5] I/O error", False)
    assert ids(tmp_path / "i") == [0, 2]
    slots.settle(1, said(1))
    assert slots.flush() == {}
    assert ids(tmp_path / "i") == [0, 1, 2]


def test_a_short_write_is_a_full_disk(slots: Intents, monkeypatch: pytest.MonkeyPatch) -> None:
    slots.put(said(1))
    monkeypatch.setattr(os, "pwrite", lambda _descriptor, data, _at: len(data) - 1)
    assert [error.errno for error in slots.flush().values()] == [ENOSPC]


def test_after_a_burst_the_slots_that_are_allocated_are_used_again(slots: Intents) -> None:
    """Else a disk that is full by then would refuse intents, though there is room for them."""
    count = FIRST * BLOCK
    for slot in [slots.put(said(number)) for number in range(count + 5)]:
        slots.forget(slot)
    assert {slots.put(said(number)) for number in range(count)} == {*range(count)}


def test_what_happens_between_a_look_and_a_write_is_in_the_new_file(
    slots: Intents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot, fsync, pwrite = slots.put(said(1)), os.fsync, os.pwrite

    def settle(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "pwrite", late)
        slots.settle(slot, said(2))
        fsync(descriptor)

    def late(descriptor: int, data: bytes, at: int) -> int:
        monkeypatch.setattr(os, "pwrite", pwrite)
        slots.settle(slot, said(3))
        return pwrite(descriptor, data, at)

    monkeypatch.setattr(os, "fsync", settle)
    slots.renew()
    assert ids(tmp_path / "i") == [3]


def fail(*_: object) -> int:
    raise OSError(5, "I/O error")


def test_after_a_sync_that_failed_all_is_in_another_file(slots: Intents, tmp_path: Path) -> None:
    slots.put(said(1))
    old = (tmp_path / "i").stat().st_ino
    slots.renew()
    slots.put(said(2))
    slots.flush()
    assert (tmp_path / "i").stat().st_ino != old
    assert ids(tmp_path / "i") == [1, 2]
    assert not os.get_inheritable(slots._fd)


def test_what_happens_while_a_file_is_renewed_is_in_the_new_one(
    slots: Intents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, settled, forgotten = (slots.put(said(number)) for number in (1, 2, 3))
    fsync = os.fsync

    def meanwhile(descriptor: int) -> None:
        monkeypatch.undo()
        slots.settle(settled, said(20))
        slots.forget(forgotten)
        slots.put(said(4))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", meanwhile)
    slots.renew()
    left = {row.id: bool(row.flags & CRASHED) for row in found(tmp_path / "i").rows}
    assert left == {1: True, 20: False, 4: True}
    assert kept == 0


def test_a_file_that_is_done_with_is_gone(tmp_path: Path) -> None:
    for is_held, is_done in [(True, True), (False, False), (False, True)]:
        slots = Intents(tmp_path / "i")
        if is_held:
            slots.put(said(1))
        slots.close(is_done)
        assert (tmp_path / "i").exists() == (is_held or not is_done)


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        slots = Intents(tmp_path / "i")
    finally:
        os.umask(before)
    slots.close(is_done=False)
    assert stat.S_IMODE((tmp_path / "i").stat().st_mode) == 0o600


# --- what cannot be read ---------------------------------------------------------------------------------------------


def test_where_there_is_no_file_nothing_is_found(tmp_path: Path) -> None:
    assert found(tmp_path / "i") == ([], 0)


def slot(body: bytes, version: int = 1, state: int = OPEN, **spoilt: Any) -> bytes:
    crc, length = spoilt.get("crc", crc32(body, state)), spoilt.get("length", len(body))
    return (pack("<IHBB", crc, length, version, state) + body).ljust(SLOT, b"\0")


@pytest.mark.parametrize(
    ("data", "unreadable"),
    [
        (b"", 0),
        (bytes(SLOT), 0),
        (b"x" * (SLOT - 1), 0),
        (b"x" * SLOT, 1),
        (slot(b"no row"), 1),
        (slot(said(1), crc=1), 1),
        (slot(said(1), length=9), 1),
        (slot(said(1), length=60000), 1),
        (slot(b""), 1),
    ],
)
def test_a_slot_that_cannot_be_read_is_counted(tmp_path: Path, data: bytes, unreadable: int) -> None:
    (tmp_path / "i").write_bytes(data + slot(said(7)) if len(data) % SLOT == 0 else data)
    left = found(tmp_path / "i")
    assert left.unreadable == unreadable
    assert [row.id for row in left.rows] == ([7] if len(data) % SLOT == 0 else [])


def test_a_newer_pillions_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "i").write_bytes(slot(said(1)) + slot(b"who knows", version=2))
    with pytest.raises(Unusable, match=f"{tmp_path / 'i'} belongs to a newer pillion: run that version"):
        found(tmp_path / "i")


@given(st.lists(st.binary(max_size=SLOT), max_size=4))
def test_any_bytes_at_all_can_be_read(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    path = tmp_path_factory.getbasetemp() / "any-slots"
    path.write_bytes(b"".join(part.ljust(SLOT, b"\0") for part in parts))
    found(path)
