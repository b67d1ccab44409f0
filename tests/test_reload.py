"""Does another configuration come into force whole, at once and without anybody noticing, or not at all?

In this process; test_handover.py has the signals, and restarts.
"""

import asyncio
import gc
import json
import logging
import os
import re
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from errno import EACCES
from pathlib import Path
from typing import Any

import pytest

from proxy import upstream
from proxy.access.keyring import Minted
from proxy.access.keyring import change as keep_keys
from proxy.app import App
from proxy.config import Source
from proxy.config.secret import digest_of
from proxy.errors import ConfigError, Down, LedgerUnavailable
from proxy.failover.breaker import Breaker, Rules
from proxy.logs import Log, as_json
from proxy.ports import Target
from proxy.process.reloading import FAILURE, FIXED, SUCCESS, Reloading
from proxy.store import begin
from proxy.store.files import Files
from tests.client import OPENAI, Client, ask, chat, client, spell
from tests.clock import Clock
from tests.evil import Evil, Received, Scenario, authority
from tests.gateway import DEFAULTS, Gateway, opened, registry
from tests.test_cost import WHOLE
from tests.test_drain import SSE
from tests.test_store_failures import locked
from tests.waiting import soon

ANSWER = Scenario(body=OPENAI.whole, headers=[("Content-Type", "application/json")])
FIRST, SAID, REST = (event + b"\n\n" for event in OPENAI.stream.split(b"\n\n", 2))
SLOW = Scenario(
    body=FIRST + SAID * 100 + REST, headers=SSE, framing="chunked", split=[len(FIRST), *[len(SAID)] * 100], gap=0.003
)
KEY = "sk-canary-of-a-reload"


@pytest.fixture(autouse=True)
def levels() -> Iterator[None]:
    """Of the log, which belongs to the process."""
    loggers = [logging.getLogger(), logging.getLogger("pillion")]
    before = [each.level for each in loggers]
    yield
    for each, level in zip(loggers, before, strict=True):
        each.setLevel(level)


class Lines:
    """A log's lines, kept."""

    lost = 0

    def __init__(self) -> None:
        self.said: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.said.append(line)

    def close(self) -> None: ...


class Changing(Gateway):
    """A pillion whose configuration stands in a file."""

    def __init__(self, app: App, file: Path, reloads: Reloading) -> None:
        super().__init__(app)
        self.file = file
        self.reloads = reloads

    def write(self, **settings: Any) -> None:
        """As the documentation asks for: a reload that is under way reads the old one or the new one."""
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(settings))
        new.replace(self.file)

    async def reload(self) -> str:
        """As a SIGHUP does: how it ended."""
        before = dict(self.reloads.results)
        self.reloads.ask()
        await soon(lambda: self.reloads.results != before)
        return next(result for (result,), count in self.reloads.results.items() if count != before[result,])

    async def change(self, **settings: Any) -> None:
        self.write(**settings)
        assert await self.reload() == SUCCESS

    async def metric(self, name: str, **labels: str) -> float | None:
        return registry(self.app).get_sample_value(name, labels)


@asynccontextmanager
async def changing(folder: Path, environ: dict[str, str] | None = None, /, **settings: Any) -> AsyncIterator[Changing]:
    file = folder / "config.yaml"
    file.write_text(json.dumps(settings))
    source = Source(file, environ={**DEFAULTS, "PILLION_STATE_DIR": str(folder / "state"), **(environ or {})})
    log = Log("error", as_json, Lines(), str)
    async with (
        opened(App(source.load(), log=log)) as gateway,
        Reloading(gateway.app, source, log, every=0.01) as reloads,
    ):
        yield Changing(gateway.app, file, reloads)


def provider(evil: Evil, **more: Any) -> dict[str, Any]:
    return {"openai": {"base_url": f"{evil.url}/v1", "api_key": KEY, **more}}


async def say(gateway: Gateway, model: str = "openai/m") -> int:
    return (await chat(gateway, OPENAI, OPENAI.request(model=model))).status


async def begun(one: Client, model: str = "openai/m") -> bytes:
    """The first bytes of a stream."""
    await one.send(spell("POST", OPENAI.path, OPENAI.request(True, model), OPENAI.headers))
    assert (await one.head())[0] == 200
    return await one.some()


# --- what is under way, and what comes next --------------------------------------------------------------------------


async def test_a_stream_ends_where_it_began_and_the_next_request_goes_elsewhere(tmp_path: Path) -> None:
    async with Evil(SLOW) as one, Evil(ANSWER) as other, changing(tmp_path, providers=provider(one)) as gateway:
        async with client(gateway) as held:
            start = await begun(held)
            await gateway.change(providers=provider(other))
            assert gateway.app.upstream.in_use == 1
            await held.send(spell("POST", OPENAI.path, OPENAI.request(model="openai/m"), OPENAI.headers))
            assert OPENAI.ends_whole(start + await held.until(b"0\r\n\r\n"))
            assert (await held.answer()).status == 200  # on the same connection
        assert (len(one.requests), len(other.requests)) == (1, 1)


async def test_reloads_cut_nobody_and_refuse_nobody(tmp_path: Path) -> None:
    """R3 of the reliability figures, with fewer streams."""

    def answer(request: Any) -> Scenario:
        return replace(SLOW, gap=0.01) if b'"stream": true' in request.body else ANSWER

    async with Evil(answering=answer) as evil, changing(tmp_path, providers=provider(evil)) as gateway:
        async with AsyncExitStack() as stack:
            ones = [await stack.enter_async_context(client(gateway)) for _ in range(30)]
            starts = await asyncio.gather(*(begun(one) for one in ones))
            rests = asyncio.gather(*(one.until(b"0\r\n\r\n") for one in ones))
            reloads = 0
            while not rests.done():
                reloads += 1
                await gateway.change(providers=provider(evil, max_tokens=reloads))
                assert await say(gateway) == 200
                assert json.loads(evil.requests[-1].body)["max_tokens"] == reloads
        assert all(OPENAI.ends_whole(start + rest) for start, rest in zip(starts, await rests, strict=True))
        assert reloads > 10
        assert gateway.app.upstream.in_use == 0


async def test_the_connections_of_a_provider_that_is_gone_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "IDLE_LIFE", 0.05)
    async with Evil(SLOW) as evil, changing(tmp_path, providers=provider(evil)) as gateway:
        async with client(gateway) as held:
            start = await begun(held)
            await gateway.change()
            assert await say(gateway) == 404
            assert gateway.app.upstream.in_use == 1  # its last call
            assert OPENAI.ends_whole(start + await held.until(b"0\r\n\r\n"))
        await evil.closed()
        assert gateway.app.upstream.pooled == 0


async def test_a_provider_that_stays_as_it_is_keeps_its_connections_and_what_it_knows(tmp_path: Path) -> None:
    async with Evil(ANSWER, ANSWER, ANSWER) as evil, changing(tmp_path, providers=provider(evil)) as gateway:
        await say(gateway)
        adapter = gateway.app.catalog.adapters["openai"]
        await gateway.change(providers=provider(evil), strict=True)
        assert gateway.app.catalog.adapters["openai"] is adapter
        await say(gateway)
        await gateway.change(providers=provider(evil, model="m"), strict=True)
        assert gateway.app.catalog.adapters["openai"] is not adapter
        await say(gateway)
        assert evil.connections == 1


async def test_a_file_of_certificates_is_read_again(tmp_path: Path) -> None:
    async with Evil(ANSWER, tls=True) as evil, Evil(tls=True) as other:
        ca = tmp_path / "ca.pem"
        ca.write_text("none")
        with pytest.raises(ConfigError, match="contains no PEM certificates"):
            async with changing(tmp_path, providers=provider(evil, ca=str(ca))):
                pass
        ca.write_bytes(other.ca_pem.read_bytes())
        async with changing(tmp_path, providers=provider(evil, ca=str(ca))) as gateway:
            before = gateway.app.catalog.adapters["openai"]
            assert await gateway.reload() == SUCCESS
            assert gateway.app.catalog.adapters["openai"] is not before
            assert await say(gateway) == 200


async def test_a_renewed_certificate_of_ours_is_shown_from_the_next_reload_on(tmp_path: Path) -> None:
    cert = tmp_path / "tls.pem"
    authority().issue_cert("pillion").private_key_and_cert_chain_pem.write_to_path(str(cert))
    async with Evil(tls=True) as evil, changing(tmp_path, providers=provider(evil, cert=str(cert))) as gateway:
        before = gateway.app.catalog.adapters["openai"]
        authority().issue_cert("pillion").private_key_and_cert_chain_pem.write_to_path(str(cert))
        assert await gateway.reload() == SUCCESS
        renewed = gateway.app.catalog.adapters["openai"]
        assert renewed is not before
        cert.write_text("broken")
        assert await gateway.reload() == FAILURE
        assert gateway.app.catalog.adapters["openai"] is renewed


async def test_what_a_host_has_refused_is_known_after_a_reload(tmp_path: Path) -> None:
    """Else the next request of each app would be refused once more."""

    def answer(request: Received) -> Scenario:
        if "seed" not in json.loads(request.body):
            return Scenario(body=OPENAI.whole, headers=[("content-type", "application/json")])
        error = {"message": "Unknown parameter: 'seed'.", "type": "invalid_request_error", "param": None, "code": None}
        return Scenario(status=400, body=json.dumps({"error": error}).encode())

    async with Evil(answering=answer) as evil:
        said = {"providers": provider(evil), "upstream": "openai/prod"}
        async with changing(tmp_path, **said) as gateway:
            for posted in (2, 3):
                assert (await chat(gateway, OPENAI, OPENAI.request(model="gpt-4o", seed=1))).status == 200
                assert len(evil.requests) == posted
                await gateway.change(**said, strict=False)


async def test_what_one_configuration_has_made_is_gone_with_it(tmp_path: Path) -> None:
    """At once: what waits for the collector makes it stop all streams for as long as that takes."""
    async with Evil() as evil, changing(tmp_path, {"PILLION_RELOAD": "false"}) as gateway:
        await gateway.change(providers=provider(evil))
        gc.collect()
        gc.disable()
        try:
            made = weakref.ref(gateway.app.now)
            await gateway.change(providers=provider(evil), aliases={"now": "openai/m"})
            assert made() is None
            assert [type(one) for one in in_circles() if type(one).__module__.startswith("proxy.")] == []
        finally:
            gc.enable()


def in_circles() -> list[object]:
    """What nobody can reach, and only the collector finds."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return list(gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


# --- what may be wrong -----------------------------------------------------------------------------------------------


async def test_no_part_of_a_file_is_ever_in_force(tmp_path: Path) -> None:
    """Cut at each byte."""
    async with changing(tmp_path, strict=True, aliases={"a": "echo/text"}) as gateway:
        whole, now = gateway.file.read_text(), gateway.app.now
        for size in range(len(whole)):
            gateway.file.write_text(whole[:size] or "{")
            assert await gateway.reload() == FAILURE
            assert gateway.app.now is now
        assert await say(gateway, "a") == 200


YAML = """\
strict: true
overload:
  max_requests: 400
aliases:
  a: echo/text
  b: echo/tool-12
"""


async def test_no_part_of_a_line_is_ever_in_force(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Cut at each byte. At the end of a line YAML cannot tell, and most of those are taken."""
    async with changing(tmp_path) as gateway:
        taken: list[str] = []
        for size in range(len(YAML)):
            gateway.file.write_text(YAML)
            assert await gateway.reload() == SUCCESS
            now = gateway.app.now
            gateway.file.write_text(YAML[:size])
            if await gateway.reload() == SUCCESS:
                taken.append(YAML[:size])
            else:
                assert gateway.app.now is now
            assert gateway.app.config.overload.max_requests in (None, 400)
            assert gateway.app.config.aliases.get("b", "echo/tool-12") == "echo/tool-12"
    lines = YAML.splitlines(keepends=True)
    assert {*taken} <= {"".join(lines[:n]) for n in range(1, len(lines))}
    assert "config.yaml: half written? Its last line has no line end, as it had before: add one" in caplog.text


@pytest.mark.parametrize("before", [YAML, YAML.rstrip()])
@pytest.mark.parametrize("empty", ["", "\n"])
async def test_an_empty_file_is_never_in_force_where_one_was_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, before: str, empty: str
) -> None:
    """As one is for a moment that is written in place, while a SIGHUP is on its way."""
    async with changing(tmp_path) as gateway:
        gateway.file.write_text(before)
        assert await gateway.reload() == SUCCESS
        now = gateway.app.now
        gateway.file.write_text(empty)
        assert await gateway.reload() == FAILURE
        assert gateway.app.now is now
    assert "config.yaml: half written? It is empty" in caplog.text


async def test_a_file_whose_last_line_never_had_an_end_needs_none(tmp_path: Path) -> None:
    async with changing(tmp_path) as gateway:
        for text, result in (("strict: true", SUCCESS), ("strict: false\n", SUCCESS), ("strict: true", FAILURE)):
            gateway.file.write_text(text)
            assert await gateway.reload() == result
        assert not gateway.app.config.strict


KEPT: dict[str, Any] = {
    "providers": {"openai": {"api_key": KEY}},
    "keys": {"ann": {"key": "the-key-of-ann"}},
    "budgets": {"it": {"usd": 1, "mode": "lenient"}},
    "limits": {"client": {"requests_per_minute": 5}},
}


@pytest.mark.parametrize("gone", KEPT)
async def test_a_file_that_has_lost_what_keeps_others_out_must_be_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, gone: str
) -> None:
    """As one does of which somebody has written only the beginning: the beginning of a YAML file is one."""
    async with changing(tmp_path, **KEPT) as gateway:
        now = gateway.app.now
        gateway.write(**{name: said for name, said in KEPT.items() if name != gone})
        await soon(lambda: gateway.reloads.results[FAILURE,] == 1)
        assert gateway.app.now is now
        name = {"keys": "client keys"}.get(gone, gone)
        assert f"the file no longer has any {name}: send SIGHUP if that is intended" in caplog.text
        assert await gateway.reload() == SUCCESS
        assert gateway.app.now is not now


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"strict": "perhaps"}, "config.yaml:1: strict"),
        ({"providers": {"x": {"kind": "smoke", "base_url": "http://h"}}}, "there is no adapter 'smoke'"),
        ({"providers": {"x": {"base_url": "http://h", "dialects": ["zzz"]}}}, "openai does not take 'zzz'"),
        (
            {"providers": {"x": {"base_url": "http://h", "api_key": "k", "headers": {"Authorization": "b"}}}},
            "is already sent along with the API key",
        ),
        ({"workers": 2}, "workers: must be 1, but is 2"),
    ],
)
async def test_a_mistake_changes_nothing_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], says: str
) -> None:
    async with changing(tmp_path) as gateway:
        now, config = gateway.app.now, gateway.app.config
        gateway.write(**settings)
        assert await gateway.reload() == FAILURE
        assert (gateway.app.now, gateway.app.config) == (now, config)
        assert says in caplog.text
        assert config.fingerprint in caplog.text
        assert await say(gateway, "echo/text") == 200


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("listen", {"listen": "127.0.0.1:1"}),
        ("metrics_address", {"metrics_address": "127.0.0.1:1"}),
        ("admin.address", {"admin": {"address": "127.0.0.1:1"}}),
        ("state_dir", {"state_dir": "/elsewhere"}),
        ("ledger", {"ledger": {"keep_days": 3}}),
        ("store", {"store": "redis://:canary@h:1/0"}),
        ("log.format", {"log": {"format": "json"}}),
        ("cache.stored", {"cache": {"stored": True}, "state_dir": "/elsewhere"}),
    ],
)
async def test_what_takes_a_restart_is_refused_as_a_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str, settings: dict[str, Any]
) -> None:
    async with changing(tmp_path) as gateway:
        file = tmp_path / "other.yaml"
        file.write_text(json.dumps({**settings, "strict": True}))
        later = Source(file, environ={k: v for k, v in DEFAULTS.items() if k != "PILLION_LISTEN"})
        gateway.reloads._source = later
        assert await gateway.reload() == FAILURE
        assert not gateway.app.config.strict
    said = key if key != "ledger" else "ledger.keep_days"  # of a table, what differs
    told = rf"{re.escape(said)}: was (?!None)[^,]* and is now (?!None)[^,]*, which requires a restart"
    assert re.search(told, caplog.text)
    assert "canary" not in caplog.text


def test_each_setting_that_takes_a_restart_is_tested() -> None:
    (mark,) = test_what_takes_a_restart_is_refused_as_a_whole.pytestmark
    assert {key for key, _ in mark.args[1]} == set(FIXED)


async def test_a_fault_of_our_own_changes_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with Evil() as evil, changing(tmp_path) as gateway:
        monkeypatch.setattr("proxy.adapters.openai.OpenAI.__init__", broken)
        now = gateway.app.now
        gateway.write(providers=provider(evil))
        assert await gateway.reload() == FAILURE
        assert gateway.app.now is now
    assert "ZeroDivisionError" in caplog.text


async def test_a_ledger_that_cannot_say_what_was_spent_lets_no_new_budget_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> None:
        raise LedgerUnavailable("away")

    async with changing(tmp_path) as gateway:
        monkeypatch.setattr(gateway.app.accounting.ledger, "reckoned", away)
        gateway.write(budgets={"it": {"usd": 1, "mode": "lenient"}})
        assert await gateway.reload() == FAILURE
        gateway.write(strict=True)
        assert await gateway.reload() == SUCCESS


async def test_the_first_strict_budget_comes_into_force_and_counts_what_was_spent(tmp_path: Path) -> None:
    budget = {"usd": 0.000011, "mode": "lenient"}
    async with Evil(WHOLE) as evil, changing(tmp_path, **bought(evil)) as gateway:
        assert await say(gateway) == 200
        await gateway.change(**bought(evil, budgets={"it": {**budget, "mode": "strict"}}))
        assert await say(gateway) == 429
        assert gateway.app.accounting.ledger.is_hard
        await gateway.change(**bought(evil, budgets={"it": budget}))
        assert not gateway.app.accounting.ledger.is_hard


async def test_without_a_ledger_to_count_on_it_does_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with another_has_the_ledger(tmp_path):
        async with Evil(WHOLE) as evil, changing(tmp_path, **bought(evil)) as gateway:
            gateway.write(**bought(evil, budgets={"it": {"usd": 1}}))
            assert await gateway.reload() == FAILURE
            assert await say(gateway) == 200
    assert "a strict budget needs the ledger, but another pillion is using the ledger" in caplog.text


async def test_a_ledger_that_fails_refuses_nothing_once_the_last_strict_budget_is_gone(tmp_path: Path) -> None:
    begin(tmp_path / "state", 0)
    strict = {"it": {"usd": 1, "unbounded_usd": 0.1}}
    async with Evil(WHOLE, WHOLE) as evil, changing(tmp_path, **bought(evil, budgets=strict)) as gateway:
        with locked(tmp_path / "state"):
            assert await say(gateway) == 200
            await soon(lambda: gateway.app.accounting.ledger.failed)
            assert await say(gateway) == 503
            await gateway.change(**bought(evil))
            assert await say(gateway) == 200


@contextmanager
def another_has_the_ledger(path: Path) -> Iterator[None]:
    """So that what is spent is kept in memory alone."""
    files = Files(path / "state")
    files.lock()
    try:
        yield
    finally:
        files.unlock()


def bought(evil: Evil, **more: Any) -> dict[str, Any]:
    return {"providers": provider(evil), "prices": {"openai/m": {"input": 1, "output": 3}}, **more}


# --- the file --------------------------------------------------------------------------------------------------------


async def test_a_file_that_changes_is_read_without_being_asked_for(tmp_path: Path) -> None:
    async with changing(tmp_path) as gateway:
        gateway.write(strict=True)
        await soon(lambda: gateway.app.config.strict)


async def test_where_nobody_wants_that_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Source] = []
    monkeypatch.setattr(Source, "has_changed", lambda source: looks.append(source))
    async with changing(tmp_path, reload=False) as gateway:
        gateway.write(strict=True, reload=True)
        assert await gateway.reload() == SUCCESS
        assert gateway.app.config.strict
        assert not looks
        await soon(lambda: bool(looks))  # as it is wanted by now


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_file_that_is_gone_is_told_of_once_and_again_when_it_is_back(
    wanted: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where it is read on a signal only: the next start needs it."""
    caplog.set_level(logging.INFO, "pillion")

    def told() -> list[tuple[str, str]]:
        lines = [(getattr(each, "event", ""), each.levelname) for each in caplog.records]
        return [line for line in lines if line[0].startswith("config_file")]

    async with changing(tmp_path, reload=wanted) as gateway:
        aside = gateway.file.rename(tmp_path / "aside.yaml")
        await soon(lambda: bool(told()))
        await asyncio.sleep(0.05)
        assert told() == [("config_file_lost", "WARNING")]
        words = f"{gateway.file} cannot be found (no such file or directory): what was read from it stays in force"
        assert words in caplog.text
        aside.rename(gateway.file)
        await soon(lambda: len(told()) > 1)
        await asyncio.sleep(0.05)
        assert told()[1:] == [("config_file_back", "INFO")]
        assert gateway.reloads.results == {(SUCCESS,): 0, (FAILURE,): 0}


async def test_a_file_is_not_gone_while_another_takes_its_place(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    source = Source(file, environ={})
    assert [bool(source.lost()) for _ in range(3)] == [False, True, True]  # the first look may fall in between
    file.write_text("")
    assert [source.lost() for _ in range(2)] == ["", ""]
    file.unlink()
    assert not source.lost()


def test_a_file_that_is_being_written_is_left_alone_until_it_is_still(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("strict: true\n")
    source = Source(file, environ={})
    source.load()
    assert not source.has_changed()
    for _ in range(3):
        with file.open("a") as opened:
            opened.write("aliases: {}\n")
        assert not source.has_changed()
    assert source.has_changed()
    assert not source.has_changed()  # it is told of once, right or wrong


def test_a_new_version_of_a_configmap_is_a_change(tmp_path: Path) -> None:
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "config.yaml").write_text("strict: true\n")
        os.utime(tmp_path / version / "config.yaml", (1, 1))
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    source = Source(tmp_path / "config.yaml", environ={})
    source.load()
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(tmp_path / "..data")
    assert [source.has_changed() for _ in range(3)] == [False, True, False]


def test_a_file_that_is_gone_is_no_change_and_one_that_is_back_is(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("strict: true\n")
    source = Source(environ={"PILLION_CONFIG": str(file)})
    source.load()
    file.unlink()
    assert not any(source.has_changed() for _ in range(3))
    file.write_text("strict: false\n")
    assert [source.has_changed() for _ in range(3)] == [False, True, False]


async def test_a_file_that_cannot_be_reached_for_a_while_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a folder on the way to it was closed to us."""
    file, stat = tmp_path / "config.yaml", Path.stat

    def denied(path: Path, **how: Any) -> os.stat_result:
        if path == file:
            raise PermissionError(EACCES, "Permission denied", str(path))
        return stat(path, **how)

    async with changing(tmp_path) as gateway:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "stat", denied)
            await soon(lambda: "cannot be found (permission denied to user" in caplog.text)
        gateway.write(strict=True)
        await soon(lambda: gateway.app.config.strict)


def test_a_file_that_cannot_be_reached_at_the_start_is_told_of(tmp_path: Path) -> None:
    source = Source(tmp_path / ("x" * 300) / "config.yaml", environ={})
    with pytest.raises(ConfigError, match=r"config\.yaml: file name too long"):
        source.load()


def test_a_pipe_is_read_once() -> None:
    """A second time it would be empty, and so would be the configuration."""
    reading, writing = os.pipe()
    try:
        os.write(writing, b"strict: true\n")
        source = Source(Path(f"/dev/fd/{reading}"), environ={})
        os.close(writing)
        assert source.load().strict
        assert not any(source.has_changed() for _ in range(3))
        with pytest.raises(ConfigError, match="is a pipe"):
            source.load()
    finally:
        os.close(reading)


def test_without_a_file_there_is_none_to_look_at() -> None:
    source = Source(environ={})
    assert not source.load().strict
    assert not source.has_changed()
    assert not any(source.lost() for _ in range(3))
    assert repr(source) == "<Source without a file>"


# --- when ------------------------------------------------------------------------------------------------------------


async def test_ten_that_are_asked_for_at_once_are_one_or_two(tmp_path: Path) -> None:
    async with changing(tmp_path, {"PILLION_RELOAD": "false"}) as gateway:
        for _ in range(10):
            gateway.reloads.ask()
        await soon(lambda: gateway.reloads.results[SUCCESS,] == 1)
        gateway.reloads.ask()
        await soon(lambda: gateway.reloads.results[SUCCESS,] == 2)
        gateway.write(strict=True)
        await gateway.reload()
        assert gateway.reloads.results[SUCCESS,] == 3


async def test_one_that_is_under_way_when_pillion_ends_is_not_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "pillion")
    async with changing(tmp_path, {"PILLION_RELOAD": "false"}) as gateway:
        now, reads = gateway.app.now, asyncio.Event()
        held = asyncio.Event()

        async def reckoned(_: object) -> list[object]:
            reads.set()
            await held.wait()
            return []

        gateway.app.accounting.reckoned = reckoned  # type: ignore[method-assign, assignment]
        gateway.reloads.ask()
        await reads.wait()
        await gateway.reloads.__aexit__(None, None, None)
        held.set()
        gateway.reloads.ask()
        assert gateway.app.now is now
        assert "no longer reads its configuration" in caplog.text


# --- what lives on ---------------------------------------------------------------------------------------------------


async def test_limits_that_stay_have_counted_what_went_before_and_others_begin(tmp_path: Path) -> None:
    limits = {"client": {"requests_per_minute": 2}}
    async with changing(tmp_path, limits=limits) as gateway:
        assert await say(gateway, "echo/text") == 200
        await gateway.change(limits=limits, strict=True)
        assert [await say(gateway, "echo/text") for _ in range(2)] == [200, 429]
        await gateway.change(limits={"client": {"requests_per_minute": 3}})
        assert [await say(gateway, "echo/text") for _ in range(4)] == [200, 200, 200, 429]
        await gateway.change()
        assert await say(gateway, "echo/text") == 200


PRICES = {"openai/m": {"input": 1000.0, "output": 1000.0}}


@pytest.mark.parametrize("before", [{}, {"budgets": {"it": {"usd": 50, "mode": "lenient", "provider": "openai"}}}])
async def test_a_new_budget_has_all_that_was_spent_once(tmp_path: Path, before: dict[str, Any]) -> None:
    """Before it, while it came, and since; by requests that had no budget as well."""

    def answer(request: Any) -> Scenario:
        return SLOW if b'"stream": true' in request.body else ANSWER

    async with Evil(answering=answer) as evil:
        settings = {"providers": provider(evil), "prices": PRICES}
        async with changing(tmp_path, **settings, **before) as gateway:
            accounting = gateway.app.accounting
            async with client(gateway) as held:
                await say(gateway)
                start = await begun(held)
                await say(gateway)
                later = {"it": {"usd": 60, "mode": "lenient"}, "its": {"usd": 70, "mode": "lenient", "client": "*"}}
                await gateway.change(**settings, budgets=later)
                await say(gateway)
                assert OPENAI.ends_whole(start + await held.until(b"0\r\n\r\n"))
            await soon(lambda: not gateway.app.upstream.in_use)
            told = sum(total.nanos for total in await accounting.ledger.totals())
            assert told > 0
            assert [row.spent for row in accounting.budgets.statements()] == [told, told]
            assert [row.reserved for row in accounting.budgets.statements()] == [0, 0]


async def test_a_door_that_was_shut_stays_shut_though_the_keys_are_gone(tmp_path: Path) -> None:
    key = Minted(name="ann", sha256=digest_of("ann's").hex(), created=datetime.now(UTC))
    keep_keys(tmp_path / "state", lambda _: (key,))
    async with Evil(answering=lambda _: ANSWER) as evil, changing(tmp_path, providers=provider(evil)) as gateway:
        (tmp_path / "state" / "keys.json").unlink()
        await gateway.change(providers=provider(evil), strict=True)
        assert await say(gateway) == 401
        shown = [("authorization", "Bearer ann's")]
        assert (await chat(gateway, OPENAI, OPENAI.request(model="openai/m"), shown)).status == 200


async def test_a_strict_budget_is_not_overrun_by_reloads(tmp_path: Path) -> None:
    budget = {"usd": 0.4, "mode": "strict"}
    async with Evil(answering=lambda _: ANSWER) as evil:
        settings = {"providers": provider(evil, max_tokens=100), "prices": PRICES, "ledger": {"create": True}}
        async with changing(tmp_path, **settings, budgets={"it": budget}) as gateway:
            statuses = []
            for n in range(20):
                statuses.append(await say(gateway))
                (row,) = gateway.app.accounting.budgets.statements()
                assert row.spent + row.reserved <= row.limit
                await gateway.change(**settings, budgets={"it": budget | {"alert": 0.5 + n / 100}})
            assert statuses[0] == 200
            assert statuses[-1] == 429


@pytest.mark.parametrize("kind", ["providers", "models"])
async def test_so_it_is_with_those_of_providers_and_models(tmp_path: Path, kind: str) -> None:
    def settings(count: int) -> dict[str, Any]:
        limits = {"requests_per_minute": count}
        return (
            {"providers": provider(evil, limits=limits)}
            if kind == "providers"
            else {"providers": provider(evil), "limits": {"models": {"openai/m": limits}}}
        )

    async with Evil(answering=lambda _: ANSWER) as evil, changing(tmp_path, **settings(2)) as gateway:
        assert await say(gateway) == 200
        await gateway.change(**settings(2), strict=True)
        assert [await say(gateway) for _ in range(2)] == [200, 429]
        await gateway.change(**settings(3))
        assert await say(gateway) == 200


async def test_a_breaker_stays_open_unless_its_provider_is_another_one(tmp_path: Path) -> None:
    ours = {"PILLION_BREAKER_FAILURES": ""}
    async with Evil() as evil, changing(tmp_path, ours, providers=provider(evil)) as gateway:
        standings, target = gateway.app.lasting.standings, Target(gateway.app.catalog.adapters["openai"], "m")
        breaker = standings.of(target).breaker
        await gateway.change(providers=provider(evil), breaker={"failures": 1}, strict=True)
        assert standings.of(target).breaker is breaker
        breaker.failed(breaker.allow())
        assert breaker.state == "open"  # by the rules that are in force
        await gateway.change(providers=provider(evil, model="m"), breaker={"failures": 1})
        assert standings.of(target).breaker.state == "closed"


@pytest.mark.parametrize(("state", "rules"), [("open", Rules(longest=2.0)), ("ramp", Rules(ramp=2.0))])
def test_nobody_rests_for_longer_than_the_new_rules_would_have_it(state: str, rules: Rules) -> None:
    clock = Clock()
    breaker = Breaker(Rules(failures=1), clock)
    breaker.failed(breaker.allow())
    if state == "ramp":
        clock.sleep(10)
        breaker.succeeded(breaker.allow())
    assert breaker.state == state
    breaker.become(rules)
    clock.sleep(2)
    assert breaker.state != state
    assert breaker.allow()


def test_a_ramp_that_is_taken_away_is_over() -> None:
    clock = Clock()
    breaker = Breaker(Rules(failures=1), clock)
    breaker.failed(breaker.allow())
    clock.sleep(10)
    breaker.succeeded(breaker.allow())
    breaker.become(Rules(ramp=0))
    assert breaker.allow()
    assert breaker.state == "closed"


async def test_the_metrics_tell_what_is_in_force_since_when_and_how_often_it_was_tried(tmp_path: Path) -> None:
    async with changing(tmp_path) as gateway:
        first, started = gateway.app.config.fingerprint, gateway.reloads.succeeded_at
        await say(gateway, "echo/text")
        for result in (SUCCESS, FAILURE):
            assert await gateway.metric("pillion_config_reloads_total", result=result) == 0
        assert await gateway.metric("pillion_config_last_reload_successful") == 1
        await gateway.change(strict=True)
        assert await gateway.metric("pillion_config_last_reload_successful") == 1
        gateway.write(strict="perhaps")
        await gateway.reload()
        assert await gateway.metric("pillion_config_last_reload_successful") == 0
        assert await gateway.metric("pillion_config_info", hash=first) is None
        assert await gateway.metric("pillion_config_info", hash=gateway.app.config.fingerprint) == 1
        for result in (SUCCESS, FAILURE):
            assert await gateway.metric("pillion_config_reloads_total", result=result) == 1
        at = await gateway.metric("pillion_config_last_reload_success_timestamp_seconds")
        assert at is not None
        assert at > started
        told = {"operation": "chat", "provider": "echo", "model": "text", "status": "200"}
        assert await gateway.metric("pillion_requests_total", **told) == 1
        await gateway.change(strict=False)
        assert await gateway.metric("pillion_config_last_reload_successful") == 1


async def test_faults_go_on_counting_and_are_told_after_they_have_been_switched_off(tmp_path: Path) -> None:
    """A counter that begins anew looks like a restart, and one that is gone like an instance that is."""
    failing = {"enabled": True, "providers": {"echo": {"status": 429}}}
    fault = {"provider": "echo", "fault": "status"}
    async with changing(tmp_path, faults=failing) as gateway:
        for so_many in (1, 2):
            assert await say(gateway, "echo/text") == 429
            assert await gateway.metric("pillion_faults_total", **fault) == so_many
            await gateway.change(faults=failing, strict=so_many == 1)
        await gateway.change()
        assert await say(gateway, "echo/text") == 200
        assert await gateway.metric("pillion_faults_total", **fault) == 2


async def test_the_level_of_the_log_and_new_warnings_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    environ: dict[str, str] = {}
    async with changing(tmp_path) as gateway:
        await gateway.change(log={"level": "info"})
        assert logging.getLogger("pillion").level == logging.INFO
        file_environ = gateway.reloads._source._environ
        environ |= file_environ
        gateway.reloads._source._environ = {**file_environ, "PILLION_STRIKT": "1"}
        await gateway.reload()
        await gateway.reload()
    assert caplog.text.count("PILLION_STRIKT is not one of pillion's variables") == 1
    assert "is in force" in caplog.text


async def test_secrets_of_both_configurations_are_hidden(tmp_path: Path) -> None:
    async with Evil() as evil, changing(tmp_path, providers=provider(evil)) as gateway:
        await gateway.change(providers=provider(evil, api_key="sk-another-canary"))
        hide = gateway.app._hide
        assert hide(f"{KEY} and sk-another-canary") == "*** and ***"
        await gateway.change(providers=provider(evil, api_key="sk-another-canary"), strict=True)
        assert hide(f"{KEY} and sk-another-canary") == "*** and ***"


async def test_a_client_that_shows_its_own_key_is_the_same_client(tmp_path: Path) -> None:
    settings = {"transparent": "echo", "limits": {"client": {"requests_per_minute": 2}}}
    body, shown = OPENAI.request(model="echo/text"), [("Authorization", "Bearer sk-of-the-app")]
    async with changing(tmp_path, **settings) as gateway:
        assert (await chat(gateway, OPENAI, body, shown)).status == 200
        await gateway.change(**settings, strict=True)
        assert [(await chat(gateway, OPENAI, body, shown)).status for _ in range(2)] == [200, 429]


async def test_client_keys_come_and_go(tmp_path: Path) -> None:
    async with changing(tmp_path, client_key="k" * 20) as gateway:
        assert await say(gateway, "echo/text") == 401
        await gateway.change()
        assert await say(gateway, "echo/text") == 200


async def test_hosts_and_timers_are_those_of_the_new_configuration(tmp_path: Path) -> None:
    async with changing(tmp_path, {"PILLION_ALLOWED_HOSTS": ""}) as gateway:
        assert (await ask(gateway, "GET", "/readiness")).status == 421
        await gateway.change(allowed_hosts=["pillion"], client={"header": 3}, body_limit=2048)
        assert (await ask(gateway, "GET", "/readiness")).status == 200
        assert (gateway.app.server.patience.header, gateway.app.server.body_limit) == (3, 2048)


async def test_an_attempt_that_fails_after_a_reload_is_told_as_before(tmp_path: Path) -> None:
    """Of a provider that is gone by then."""
    async with Evil(replace(ANSWER, cut_at=0, how="stall")) as evil, changing(tmp_path, providers=provider(evil)) as it:
        asking = asyncio.create_task(chat(it, OPENAI, OPENAI.request(model="openai/m")))
        await evil.received()
        await it.change()
        evil.hang_up(0, "rst")
        got = await asking
        assert got.status == Down("").status
        assert OPENAI.error(got.body)["code"]
