"""Does it outlive the process who made a seal, whatever becomes of the file, and does no request fail for it?"""

import json
import logging
import os
import resource
import signal
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from proxy.sealing import register
from proxy.sealing.provenance import Provenance
from proxy.sealing.register import FILE, FORMER, Register
from tests.client import ask
from tests.evil import Evil, Scenario
from tests.gateway import pillion
from tests.test_cli import address, serving
from tests.test_provenance import SAID, WIRES, asks, is_foreign, passed

ONE, TWO = "a https://one", "b https://two"
WIRE = WIRES["anthropic"]
OTHER = SAID.replace("first", "other")
UNREADABLE, UNKEPT = ["seals_unreadable"], ["seals_unkept"]
HEAD = b"pillion seals 1\n"


def digest(number: int) -> bytes:
    return number.to_bytes(16, "big")


def line(number: int, maker: str = ONE) -> bytes:
    return f"{number:032x} {maker}\n".encode()


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """The events of the log, as they come."""
    events: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            events.append(f"{vars(record).get('event')}: {record.getMessage()}")

    handler, log = Handler(), logging.getLogger("pillion")
    log.addHandler(handler)
    yield events
    log.removeHandler(handler)


# --- the file --------------------------------------------------------------------------------------------------------


def test_what_is_noted_is_read_again(tmp_path: Path, told: list[str]) -> None:
    folder = tmp_path / "not" / "there"
    kept = Register(folder)
    assert (kept.read(), repr(kept)) == ({}, f"<Register {folder / FILE}>")
    kept.note(digest(1), ONE)
    kept.note(digest(2), TWO)
    assert (folder / FILE).read_bytes() == HEAD + line(1) + line(2, TWO)
    assert Register(folder).read() == {digest(1): (ONE,), digest(2): (TWO,)}
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / FILE)] == [0o700, 0o600]
    assert told == []


def test_no_word_of_a_seal_is_kept(tmp_path: Path) -> None:
    passed("a-seal-of-somebody", told=Provenance(Register(tmp_path)))
    assert (tmp_path / FILE).stat().st_size == len(HEAD) + 32 + len(" a -\n")
    assert b"a-seal" not in (tmp_path / FILE).read_bytes()


def test_only_what_is_new_is_written(tmp_path: Path) -> None:
    one = Provenance(Register(tmp_path))
    for _ in range(3):
        passed("s", told=one)
    assert (tmp_path / FILE).read_bytes().count(b"\n") == 2
    passed("s", "b", told=one)
    assert (tmp_path / FILE).read_bytes().count(b"\n") == 3


def test_one_that_two_have_made_is_both_of_theirs(tmp_path: Path) -> None:
    kept = Register(tmp_path)
    for maker in (ONE, TWO, ONE):
        kept.note(digest(1), maker)
    assert Register(tmp_path).read() == {digest(1): (ONE, TWO)}


async def test_what_was_read_is_known(tmp_path: Path) -> None:
    passed("s", told=Provenance(Register(tmp_path)))
    later = Provenance(Register(tmp_path))
    await later.open()
    assert (is_foreign(later, "s", "a"), is_foreign(later, "s", "b")) == (False, True)
    before = (tmp_path / FILE).read_bytes()
    passed("s", told=later)
    assert (tmp_path / FILE).read_bytes() == before


def test_it_has_a_bound_and_the_oldest_are_forgotten_first(tmp_path: Path) -> None:
    kept = Register(tmp_path, limit=10)
    for number in range(100):
        kept.note(digest(number), ONE)
        found = [int.from_bytes(each, "big") for each in Register(tmp_path).read()]
        assert found == list(range(number + 1))[-len(found) :]
        assert min(number + 1, 5) <= len(found) <= 10
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE, FORMER]


def test_two_pillions_write_into_one_folder(tmp_path: Path, told: list[str]) -> None:
    both = Register(tmp_path, limit=20), Register(tmp_path, limit=20)
    for number in range(100):
        both[number % 2].note(digest(number), ONE)
        found = [int.from_bytes(each, "big") for each in Register(tmp_path).read()]
        assert found == list(range(number + 1))[-len(found) :]
    assert told == []


def test_each_of_two_that_begin_a_file_at_once_says_whose_it_is(tmp_path: Path, told: list[str]) -> None:
    (tmp_path / FILE).write_bytes(HEAD + line(1) + HEAD + line(2, TWO))
    assert Register(tmp_path).read() == {digest(1): (ONE,), digest(2): (TWO,)}
    assert told == []


def test_of_what_cannot_be_begun_nothing_is_closed_twice(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then its number may be another file's."""
    kept = Register(tmp_path, limit=2)
    kept.note(digest(1), ONE)
    closed, close, replace = list[int](), os.close, Path.replace

    def closing(descriptor: int) -> None:
        closed.append(descriptor)
        close(descriptor)

    def replacing(self: Path, target: Path) -> None:
        replace(self, target)
        self.mkdir()  # so that no file can be begun

    monkeypatch.setattr(Path, "replace", replacing)
    monkeypatch.setattr(os, "close", closing)
    kept.note(digest(2), ONE)
    assert len(closed) == 1
    assert [each.partition(":")[0] for each in told] == UNKEPT
    assert "directory" in told[0]


@pytest.mark.parametrize("cut", range(1, len(line(2))))
def test_a_line_that_was_cut_off_says_nothing_nor_spoils_another(cut: int, tmp_path: Path, told: list[str]) -> None:
    (tmp_path / FILE).write_bytes(HEAD + line(1) + line(2)[:cut])
    kept = Register(tmp_path)
    assert kept.read() == {digest(1): (ONE,)}
    kept.note(digest(3), TWO)
    assert Register(tmp_path).read() == {digest(1): (ONE,), digest(3): (TWO,)}
    unaware = (tmp_path / FILE).read_bytes().replace(line(2)[:cut] + b" \n", line(2)[:cut])
    (tmp_path / FILE).write_bytes(unaware)  # as another pillion would have gone on
    assert Register(tmp_path).read() == {digest(1): (ONE,)}
    assert [each.partition(":")[0] for each in told] == ["seals_unreadable"] * 3
    assert "1 of its lines" in told[0]


@pytest.mark.parametrize(
    "spoilt",
    [b"\0" * 4096, b"\xff\xfe\n\n\n", b"x" * 100_000, line(7).replace(b"00", b"zz"), b"{}", b"pillion seals x\n"],
)
def test_damage_costs_no_more_than_what_it_hit(spoilt: bytes, tmp_path: Path, told: list[str]) -> None:
    (tmp_path / FILE).write_bytes(spoilt + b"\n" + line(1))
    kept = Register(tmp_path)
    assert kept.read() == {digest(1): (ONE,)}
    kept.note(digest(2), ONE)
    assert len(told) == 1
    assert Register(tmp_path).read() == {digest(1): (ONE,), digest(2): (ONE,)}


def test_a_newer_pillions_file_stays_as_it_is(tmp_path: Path, told: list[str]) -> None:
    (tmp_path / FILE).write_bytes(b"pillion seals 2\nwho knows\n")
    kept = Register(tmp_path)
    assert kept.read() == {}
    kept.note(digest(1), ONE)
    assert (tmp_path / FILE).read_bytes() == b"pillion seals 2\nwho knows\n"
    assert [each.partition(":")[0] for each in told] == ["seals_unreadable"]
    assert "newer" in told[0]


def test_one_that_is_far_too_long_is_not_read(tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "LARGEST", 100)
    (tmp_path / FILE).write_bytes(HEAD + line(1) * 3)
    assert Register(tmp_path).read() == {}
    assert len(told) == 1


@contextmanager
def full_after(size: int) -> Iterator[None]:
    """No file of this process can be longer, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 1, 40, len(line(2)) - 1])
def test_a_full_disk_is_told_of_once_and_written_again_when_there_is_room(
    room: int, tmp_path: Path, told: list[str]
) -> None:
    kept = Register(tmp_path)
    kept.note(digest(1), ONE)
    with full_after(len(HEAD + line(1)) + room):
        kept.note(digest(2), ONE)
        kept.note(digest(3), ONE)
    assert [each.partition(":")[0] for each in told] == ["seals_unkept"]
    kept.note(digest(4), ONE)
    assert Register(tmp_path).read() == {digest(1): (ONE,), digest(4): (ONE,)}


@pytest.mark.parametrize("way", ["folder", "file", "link", "pipe", "former"])
async def test_where_nothing_can_be_kept_requests_are_served(way: str, tmp_path: Path, told: list[str]) -> None:
    """Root may write whatever is read-only: so something else is in the way."""
    state, there = tmp_path / "state", tmp_path / "state" / FILE
    if way == "folder":
        state.write_bytes(b"")
    else:
        state.mkdir()
    if way == "file":
        there.mkdir()
    elif way == "link":
        there.symlink_to(tmp_path / "elsewhere")
    elif way == "pipe":
        os.mkfifo(there)
    elif way == "former":
        (state / FORMER).mkdir()
    async with host() as evil, pillion(**here(evil, state)) as gateway:
        for _ in range(2):
            got = await asks(gateway, WIRE, "anthropic")
            assert (got.status, SAID.encode() in got.body) == (200, True)
    ours = [each.partition(":")[0] for each in told if each.startswith("seals_")]
    assert ours == {"folder": UNKEPT, "former": UNREADABLE}.get(way, UNREADABLE + UNKEPT)
    assert not (tmp_path / "elsewhere").exists()


# --- one process after the other -------------------------------------------------------------------------------------


@asynccontextmanager
async def host(seal: str = SAID) -> AsyncIterator[Evil]:
    """A vendor, who makes one seal."""
    body = json.dumps(WIRE.whole).replace(SAID, seal).encode()
    plays = Scenario(headers=[("content-type", "application/json")], body=body)
    async with Evil(answering=lambda _: plays) as evil:
        yield evil


def here(evil: Evil, state: Path, key: str = "k-1") -> dict[str, str]:
    """Their one account."""
    return {"PILLION_STATE_DIR": str(state), "ANTHROPIC_API_KEY": key, "PILLION_ANTHROPIC_BASE_URL": evil.url}


async def goes(evil: Evil, environ: dict[str, str], provider: str = "anthropic", how: int = signal.SIGTERM) -> bool:
    """Does the seal reach the provider, by a pillion that is started for it, and ended so?"""
    async with serving("serve", **environ) as (process, greeting):
        body = json.dumps(WIRE.back(provider)).encode()
        got = await ask(address(greeting), "POST", WIRE.path(provider), body)
        process.send_signal(how)
        assert await process.wait() == (0 if how == signal.SIGTERM else -how)
    reached = SAID.encode() in evil.requests[-1].body
    assert (got.status, bool(got.header("x-pillion-dropped"))) == (200, not reached)
    return reached


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_after_a_restart_a_seal_goes_to_no_other_account(how: int, tmp_path: Path) -> None:
    async with host() as evil:
        environ = WIRE.environ(evil.url) | {"PILLION_STATE_DIR": str(tmp_path)}
        assert await goes(evil, environ, how=how)
        assert not await goes(evil, environ, "anthropic-east")
        assert await goes(evil, environ)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_after_a_restart_at_another_host_a_seal_stays_here(how: int, tmp_path: Path) -> None:
    """There is one provider at a time, and its name stays."""
    async with host() as one, host() as two:
        assert await goes(one, here(one, tmp_path), how=how)
        assert not await goes(two, here(two, tmp_path))
        assert await goes(one, here(one, tmp_path))


async def test_another_key_is_of_the_same_account(tmp_path: Path) -> None:
    async with host() as evil:
        assert await goes(evil, here(evil, tmp_path))
        assert await goes(evil, here(evil, tmp_path, "k-2"))


async def test_two_pillions_in_one_folder_know_of_both_after_a_restart(tmp_path: Path) -> None:
    async with host() as one, host(OTHER) as two:
        async with pillion(**here(one, tmp_path)) as first, pillion(**here(two, tmp_path)) as second:
            await asks(first, WIRE, "anthropic")
            await asks(second, WIRE, "anthropic")
        async with pillion(**here(two, tmp_path)) as later:
            for seal in (SAID, OTHER):
                body = json.dumps(WIRE.back("anthropic")).replace(SAID, seal).encode()
                await ask(later, "POST", WIRE.path("anthropic"), body)
            assert [SAID.encode() in two.requests[-2].body, OTHER.encode() in two.requests[-1].body] == [False, True]
