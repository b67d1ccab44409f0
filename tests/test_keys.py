"""Is a minted key known to its holder alone, and does a pillion that runs know of it, and of its end?"""

import asyncio
import errno
import io
import json
import logging
import os
import re
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from proxy.access.allowance import ClientKey, Limits
from proxy.access.clients import Clients
from proxy.access.keyring import FILE, LARGEST, NEW, Keyring, Minted, Rows, change, read
from proxy.cli import main
from proxy.config import Config, load
from proxy.errors import ConfigError
from proxy.process import greeting as greeted_by
from tests.client import OPENAI, Place, ask, chat
from tests.gateway import pillion
from tests.test_cli import address, run, serving
from tests.waiting import soon

KEY_FORM = r"pil_[A-Za-z0-9_-]{43}"
CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LAST = "2099-01-31"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state directory, which is not there yet."""
    monkeypatch.setenv("PILLION_STATE_DIR", str(tmp_path / "state" / "pillion"))
    return tmp_path / "state" / "pillion"


class Typed:
    """The commands, as somebody types them in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        """Exit code, output and complaints."""
        try:
            code = main(["keys", *words])
        except SystemExit as error:
            code = int(error.code or 0)
        return code, *self._capsys.readouterr()

    def add(self, *words: str) -> str:
        code, out, _ = self("add", *words)
        assert code == 0
        return out.strip()


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(capsys)


def row(name: str, key: str = "") -> Minted:
    return Minted(name=name, sha256=sha256((key or name).encode()).hexdigest(), created=CREATED)


def keep(folder: Path, *rows: Minted) -> None:
    change(folder, lambda _: rows)


def mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


# --- the command -----------------------------------------------------------------------------------------------------


def test_a_key_is_printed_once_and_only_its_digest_is_kept(folder: Path, typed: Typed) -> None:
    code, out, complaint = typed("add", "ann")
    assert (code, out.count("\n")) == (0, 1)
    assert re.fullmatch(KEY_FORM, out.strip())
    assert f"shown only once: just its digest is stored, in {folder}. " in complaint
    key, kept = out.strip(), (folder / FILE).read_text()
    digest = sha256(key.encode()).hexdigest()
    assert digest in kept
    for words in (["list"], ["list", "--json"]):
        shown = "".join(map(str, typed(*words)))
        assert "ann" in shown
        assert not [secret for secret in (key, key[4:20], digest, digest[:16]) if secret in shown]
    for text in (complaint, kept):
        assert key[4:20] not in text


def test_a_key_that_was_printed_and_could_not_be_kept_is_said_to_be_none(
    folder: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is printed first, since one that is kept and that nobody has seen would lock everybody out."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("proxy.access.keyring.replace_file", full)
    code, out, complaint = typed("add", "ann")
    assert (code, re.fullmatch(KEY_FORM, out.strip()) is not None) == (2, True)
    assert complaint.endswith("keys.json: no space left on device; the key that was printed does not count\n")
    assert "does not count" not in typed("add", "")[2]


def test_no_two_keys_are_alike(folder: Path, typed: Typed) -> None:
    assert len({typed.add(f"k{n}") for n in range(20)}) == 20


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_the_file_and_its_folders_are_nobody_elses_whatever_the_umask(mask: int, folder: Path, typed: Typed) -> None:
    with umask(mask):
        typed.add("ann")
        typed.add("bob")
    assert [mode(folder.parent), mode(folder), mode(folder / FILE)] == ["0o700", "0o700", "0o600"]
    assert not stat.S_IMODE((folder / "keys.lock").stat().st_mode) & 0o077


def test_what_a_key_may_do_is_kept_and_listed(folder: Path, typed: Typed) -> None:
    words = "--models openai/*,echo/text --providers openai,echo --rpm 60 --tpm 1000 --concurrent 2 --expires"
    typed.add("ann", *words.split(), LAST)
    typed.add("bob")
    (ann, bob) = read(folder / FILE)
    assert ann.limits == Limits(60, 1000, 2)
    assert (ann.models, ann.providers) == (("openai/*", "echo/text"), ("openai", "echo"))
    assert bob == Minted(name="bob", sha256=bob.sha256, created=bob.created)
    listed = json.loads(typed("list", "--json")[1])
    assert [entry["name"] for entry in listed] == ["ann", "bob"]
    assert listed[0]["expires"].startswith("2099-01-31T23:59:59")
    assert listed[0]["limits"] == {"requests_per_minute": 60, "tokens_per_minute": 1000, "concurrent": 2}
    heads, first, second = typed("list")[1].splitlines()
    assert heads.split() == ["NAME", "ORIGIN", "CREATED", "EXPIRES", "MODELS", "PROVIDERS", "LIMITS", "BUDGET"]
    assert re.fullmatch(
        r"ann +minted +\S+ +2099-01-31T23:59:59\S+ +openai/\*,echo/text +openai,echo"
        r" +60 requests a minute, 1000 tokens a minute, 2 at once +-",
        first,
    )
    assert re.fullmatch(r"bob +minted +\S+ +- +- +- +- +-", second)


def test_the_keys_of_the_configuration_are_listed_beside_them(
    folder: Path, typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c.yaml").write_text("client_key: canary-1\nkeys: {bob: {key: canary-2, expires: '2099-01-31'}}")
    typed.add("ann")
    shown = typed("list", "--config", str(tmp_path / "c.yaml"))[1]
    assert [line.split()[:2] for line in shown.splitlines()[1:]] == [
        ["default", "configured"],
        ["bob", "configured"],
        ["ann", "minted"],
    ]
    assert "canary" not in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("add", "the following arguments are required: NAME"),
        (["add", ""], "pillion: a key's name must be"),
        (["add", "a b"], "pillion: a key's name must be"),
        (["add", "x" * 65], "pillion: a key's name must be"),
        (["add", "ann\n"], "pillion: a key's name must be"),
        ("add ann", "pillion: there is already a key named ann: revoke it first"),
        ("add bob", "pillion: the configuration already has a key named bob"),
        ("add default", "pillion: default is the name of the key in client_key"),
        ("add new --models gpt", "pillion: --models gpt: must be PROVIDER/MODEL"),
        ("add new --models echo/", "pillion: --models echo/: must be PROVIDER/MODEL"),
        ("add new --models opnai/gpt", "pillion: --models opnai/gpt: no such provider"),
        ("add new --providers openai,opnai", "pillion: --providers opnai: no such provider"),
        (["add", "new", "--models", ""], "argument --models: must name at least one; leave it out for all"),
        (["add", "new", "--providers", " , "], "argument --providers: must name at least one; leave it out for all"),
        ("add new --expires soon", "pillion: --expires must be a date"),
        ("add new --expires 99999-01-01", "pillion: --expires must be a date"),
        ("add new --expires 2020-01-01", "pillion: --expires 2020-01-01 is in the past"),
        ("add new --rpm 0", "argument --rpm: must be a whole number from 1"),
        ("add new --tpm many", "argument --tpm: must be a whole number from 1"),
        ("revoke nobody", "pillion: there is no minted key named nobody; minted keys: ann"),
        ("revoke bob", "pillion: bob is a key of the configuration: remove it there"),
        ("revoke default", "pillion: there is no minted key named default"),
        ("", "usage: pillion keys"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    words: str | list[str], said: str, folder: Path, typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c.yaml").write_text("keys: {bob: {key: secret}}")
    monkeypatch.setenv("PILLION_CONFIG", str(tmp_path / "c.yaml"))
    typed.add("ann")
    before = (folder / FILE).read_bytes()
    code, out, complaint = typed(*(words.split() if isinstance(words, str) else words))
    assert (code, out) == (2, "")
    assert said in complaint
    assert (folder / FILE).read_bytes() == before


def test_before_the_first_is_made_none_is_listed_and_none_revoked(folder: Path, typed: Typed) -> None:
    assert typed("list", "--json") == (0, "[]\n", "")
    assert typed("revoke", "ann") == (2, "", "pillion: there is no minted key named ann; no keys have been minted\n")


def test_where_there_is_nowhere_to_keep_them_no_key_is_made(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("PILLION_STATE_DIR", "XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    assert typed("add", "ann") == (2, "", "pillion: there is no folder to keep keys in: set PILLION_STATE_DIR\n")
    assert typed("list")[0] == 0
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PILLION_STATE_DIR", str(tmp_path / "file"))
    code, out, complaint = typed("add", "ann")
    assert (code, out) == (2, "")
    assert "keys.json: " in complaint


def test_in_transparent_mode_there_are_no_keys_to_make(folder: Path, typed: Typed) -> None:
    code, _, complaint = typed("add", "ann", "--transparent", "echo")
    assert (code, complaint.partition(",")[0]) == (2, "pillion: transparent: apps send their own keys for echo")


def test_a_minted_key_is_enough_to_listen_to_strangers(folder: Path, typed: Typed) -> None:
    """And is made where pillion does not start yet. Without any key, or with a revoked one, nobody is let in."""
    far = {"PILLION_LISTEN": "0.0.0.0:1"}
    with pytest.raises(ConfigError, match="there is no client key: set PILLION_CLIENT_KEY, make one by `pillion keys"):
        load(flags=far)
    for words in (["ledger", "init"], ["spend"]):  # they listen nowhere
        assert main([*words, "--listen", "0.0.0.0:1"]) == 0
    typed.add("ann", "--listen", "0.0.0.0:1")
    assert load(flags=far).listen.port == 1
    typed("revoke", "ann", "--listen", "0.0.0.0:1")
    assert Clients(load(flags=far)).are_asked()


def test_a_key_that_nobody_could_see_is_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once there is one, everybody must show a key."""

    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("sys.stdout", Full())
    assert main(["keys", "add", "ann"]) == 2
    assert not (folder / FILE).exists()


def test_a_revoked_key_is_gone_and_its_name_is_free(folder: Path, typed: Typed) -> None:
    typed.add("ann")
    typed.add("bob")
    assert typed("revoke", "ann") == (0, "revoked ann\n", "")
    assert [each.name for each in read(folder / FILE)] == ["bob"]
    typed.add("ann")
    typed("revoke", "ann")
    code, _, complaint = typed("revoke", "bob")
    assert code == 0
    assert "clients still need one. To let in everybody, delete" in complaint


def test_a_minted_key_is_revoked_also_where_the_configuration_has_its_name(
    folder: Path, typed: Typed, tmp_path: Path
) -> None:
    """It counts for nothing as long as that is there, and would come back with its end."""
    typed.add("ann")
    (tmp_path / "c.yaml").write_text("keys: {ann: {key: canary}}")
    told = "pillion: ann of the configuration is another key, and still counts\n"
    assert typed("revoke", "ann", "--config", str(tmp_path / "c.yaml")) == (0, "revoked ann\n", told)
    assert read(folder / FILE) == ()
    assert typed("revoke", "ann", "--config", str(tmp_path / "c.yaml"))[0] == 2


# --- the file --------------------------------------------------------------------------------------------------------


def test_of_many_who_add_at_once_none_is_lost(folder: Path) -> None:
    def add(n: int) -> None:
        change(folder, lambda rows: (*rows, row(f"k{n}")))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(24)))
    assert sorted(each.name for each in read(folder / FILE)) == sorted(f"k{n}" for n in range(24))


def test_what_a_crash_left_behind_is_in_nobodys_way(folder: Path) -> None:
    keep(folder, row("ann"))
    (folder / NEW).write_text('{"version": 1, "keys": [' * 1000)
    keep(folder, row("bob"))
    assert [each.name for each in read(folder / FILE)] == ["bob"]
    assert not (folder / NEW).exists()


def test_a_link_that_somebody_laid_is_not_followed(folder: Path, tmp_path: Path) -> None:
    keep(folder)
    (folder / NEW).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=re.escape(FILE)):
        keep(folder, row("ann"))
    assert not (tmp_path / "elsewhere").exists()


def test_what_fails_half_way_leaves_the_old_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(folder, row("ann"))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConfigError, match="no space left on device"):
        keep(folder, row("bob"))
    assert [each.name for each in read(folder / FILE)] == ["ann"]


GOOD = {"name": "ann", "sha256": "0" * 64, "created": "2026-01-02T03:04:05Z"}

BROKEN: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "Input data was truncated: put a good copy back, or remove it and make its keys anew"),
    ("no JSON", b"\xff{", "not UTF-8"),
    ("no object", b"[]", "Expected `object`"),
    ("no version", b'{"keys": []}', "missing required field `version`"),
    ("a newer version", b'{"version": 2, "keys": {}}', "has version 2, but this pillion reads version 1: upgrade it"),
    ("no rows", b'{"version": 1}', "missing required field `keys`"),
    ("a row of nothing", json.dumps({"version": 1, "keys": [{}]}).encode(), "missing required field `name`"),
    ("an odd name", json.dumps({"version": 1, "keys": [GOOD | {"name": "a b"}]}).encode(), "$.keys[0].name"),
    ("no digest", json.dumps({"version": 1, "keys": [GOOD | {"sha256": "xyz"}]}).encode(), "$.keys[0].sha256"),
    ("a right that is not known", json.dumps({"version": 1, "keys": [GOOD | {"may": 1}]}).encode(), "unknown field"),
    ("no zone", json.dumps({"version": 1, "keys": [GOOD | {"expires": "2026-01-02T03:04:05"}]}).encode(), "expires"),
    ("one name twice", json.dumps({"version": 1, "keys": [GOOD, GOOD]}).encode(), "contains two keys named ann"),
    ("too deep", b'{"version": 1, "keys": ' + b"[" * 100_000, "keys.json: "),
    ("too long", b" " * (LARGEST + 1), "longer than"),
]
broken = pytest.mark.parametrize(("data", "problem"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])


@broken
def test_a_file_that_cannot_be_read_lets_nothing_start(
    data: bytes, problem: str, folder: Path, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir(parents=True)
    (folder / FILE).write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        Keyring(folder)
    assert problem in str(caught.value)
    assert str(folder / FILE) in str(caught.value)
    assert "\n" not in str(caught.value)
    for words in (["list"], ["add", "bob"], ["revoke", "ann"]):
        code, out, complaint = typed(*words)
        assert (code, out) == (2, "")
        assert problem in complaint
    assert (folder / FILE).read_bytes() == data
    assert main(["check"]) == 2
    assert problem in capsys.readouterr().err


def test_what_is_no_file_is_not_waited_for(folder: Path) -> None:
    folder.mkdir(parents=True)
    os.mkfifo(folder / FILE)
    with pytest.raises(ConfigError, match="not a regular file"):
        Keyring(folder)


# --- a pillion that runs ---------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def configured(folder: Path, text: str = "") -> Config:
    file = folder.parent / "config.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return load(file, {"PILLION_STATE_DIR": str(folder)})


class Running:
    """The clients of a pillion, and the clock that they look at."""

    def __init__(self, folder: Path, text: str = "") -> None:
        self.clock = Clock()
        self.clients = Clients(configured(folder, text), self.clock)

    def after(self, seconds: float) -> "Running":
        self.clock.now += seconds
        self.clients.are_asked()
        return self

    def named(self, key: str) -> str:
        found = self.clients.find(key)
        return found.name if found is not None else ""


def test_a_key_is_known_within_a_second_and_so_is_its_end(folder: Path) -> None:
    running = Running(folder)
    assert not running.clients.are_asked()
    keep(folder, row("ann"), row("bob"))
    assert not running.after(0.9).clients.are_asked()
    assert running.after(0.2).clients.are_asked()
    assert (running.named("ann"), running.named("bob"), running.named("eve")) == ("ann", "bob", "")
    keep(folder, row("bob"))
    assert (running.after(1.0).named("ann"), running.named("bob")) == ("", "bob")


def test_the_file_is_looked_at_once_a_second_and_read_when_it_is_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(folder, row("ann"))
    running, reads = Running(folder), list[Path]()

    def counted(path: Path) -> Rows:
        reads.append(path)
        return read(path)

    monkeypatch.setattr("proxy.access.keyring.read", counted)
    for _ in range(50):
        running.after(0.5)
    assert reads == []
    keep(folder, row("bob"))
    reads.clear()
    for _ in range(50):
        running.after(0.5)
    assert len(reads) == 1


def test_when_the_last_key_is_revoked_the_door_does_not_open(folder: Path) -> None:
    keep(folder, row("ann"))
    running = Running(folder)
    keep(folder)
    assert running.after(1).clients.are_asked()
    assert running.named("ann") == ""
    assert Running(folder).clients.are_asked()  # nor after a restart


def gone(file: Path) -> None:
    file.unlink()


def nonsense(file: Path) -> None:
    file.write_text("nonsense")


def newer(file: Path) -> None:
    file.write_text('{"version": 2}')


def test_each_reason_why_it_cannot_be_read_is_told_of(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever mends one mistake by hand and makes another hears of that one, too."""
    keep(folder, row("ann"))
    running = Running(folder)
    for spoil in (nonsense, newer, gone):
        spoil(folder / FILE)
        assert running.after(1).clients.are_asked()
    nonsenses, newers, gones = caplog.messages
    assert ("malformed" in nonsenses, "has version 2" in newers, "no longer exists" in gones) == (True, True, True)


@pytest.mark.parametrize("spoil", [gone, nonsense, newer])
def test_a_file_that_breaks_changes_nothing_and_is_told_of_once(
    spoil: Callable[[Path], None], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep(folder, row("ann"))
    running = Running(folder)
    with caplog.at_level(logging.INFO, "pillion"):
        for _ in range(2):
            caplog.clear()
            spoil(folder / FILE)
            for _ in range(5):
                assert running.after(1).clients.are_asked()
                assert running.named("ann") == "ann"
            (told,) = caplog.records
            assert "keeping the minted keys that were read last" in told.getMessage()
            assert told.levelname == "ERROR"
            keep(folder, row("ann")) if spoil is gone else (folder / FILE).unlink()
            keep(folder, row("ann"), row("bob"))
            assert running.after(1).named("bob") == "bob"


def test_a_file_that_cannot_be_opened_for_a_while_is_read_as_soon_as_it_can(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is the same file all the while: without another look at it, who was revoked would stay."""
    keep(folder, row("ann"), row("bob"))
    running = Running(folder)
    keep(folder, row("bob"))

    def nothing_left(path: Path, limit: int) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr("proxy.access.keyring.secret_text", nothing_left)
        assert (running.after(1).named("ann"), running.after(1).named("bob")) == ("ann", "bob")
    (told,) = caplog.messages
    assert told == f"{folder / FILE}: too many open files; keeping the minted keys that were read last"
    assert (running.after(1).named("ann"), running.named("bob")) == ("", "bob")


def test_what_is_minted_has_the_limits_of_all_clients_where_it_has_none_of_its_own(folder: Path) -> None:
    own = Minted(name="ann", sha256=row("ann").sha256, created=CREATED, limits=Limits(concurrent=9), models=("a/b",))
    keep(folder, own, row("bob"))
    clients = Running(folder, "limits: {client: {concurrent: 3}}").clients
    assert clients.find("ann") == ClientKey(name="ann", limits=Limits(concurrent=9), models=("a/b",))
    assert clients.find("bob") == clients.named("bob") == ClientKey(name="bob", limits=Limits(concurrent=3))


def test_of_two_of_a_name_the_configured_one_counts(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    keep(folder, row("ann", "minted"), row("bob"))
    with caplog.at_level(logging.WARNING, "pillion"):
        running = Running(folder, "keys: {ann: {key: configured}}")
    assert (running.named("minted"), running.named("configured"), running.named("bob")) == ("", "ann", "bob")
    assert [record.getMessage()[:30] for record in caplog.records] == ["the minted key ann is ignored:"]


def test_nothing_that_is_printed_tells_of_a_key(folder: Path) -> None:
    keep(folder, row("ann", "canary"))
    clients = Running(folder, "client_key: canary-2").clients
    assert repr(clients) == "<Clients: 1 keys configured, 1 minted>"
    assert repr(Keyring(folder)) == "<Keyring of 1 minted keys>"


async def test_the_greeting_says_who_may_use_it(folder: Path) -> None:
    state = {"PILLION_STATE_DIR": str(folder)}
    async with pillion(**state) as gateway:
        assert "No client key is set (PILLION_CLIENT_KEY, or `pillion keys" in await greeted_by.greeting(gateway.app)
    keep(folder, row("ann"))
    async with pillion(**state, PILLION_CLIENT_KEY="k") as gateway:
        told = "Apps must send a client key (1 configured, 1 minted)."
        assert told in await greeted_by.greeting(gateway.app)
    async with pillion(**state, PILLION_TRANSPARENT="echo") as gateway:
        told = "Apps must send their own API keys, which go only to echo."
        assert told in await greeted_by.greeting(gateway.app)


async def until(at: Place, key: str, status: int) -> None:
    """Until a client that shows this key gets that status."""

    async def gets_it() -> bool:
        return (await chat(at, OPENAI, OPENAI.request(model="echo/text"), [("x-api-key", key)])).status == status

    await soon(gets_it)


async def test_a_pillion_that_serves_hears_of_what_is_typed_beside_it(tmp_path: Path) -> None:
    state = {"PILLION_STATE_DIR": str(tmp_path / "state"), "PILLION_LOG_LEVEL": "debug"}

    async def typed(*words: str) -> str:
        code, out, complaint = await asyncio.to_thread(run, "keys", *words, **state)
        assert code == 0, complaint
        said.append(complaint)
        return out

    said: list[str] = []
    with umask(0):
        async with serving(**state) as (process, greeting):
            at = address(greeting)
            await until(at, "whatever", 200)
            key = (await typed("add", "ann", "--models", "echo/text")).strip()
            await until(at, "", 401)  # the door closes with the first key ...
            await until(at, key, 200)  # ... which opens it
            got = await chat(at, OPENAI, OPENAI.request(model="echo/tool"), [("authorization", f"Bearer {key}")])
            assert got.status == 403
            said += [await typed("list"), await typed("list", "--json"), str(await ask(at, "GET", "/metrics"))]
            await typed("revoke", "ann")
            await until(at, key, 401)
            process.terminate()
            out, log = await process.communicate()
    kept = [file.read_bytes().decode("latin-1") for file in (tmp_path / "state").iterdir()]
    said += [greeting, out.decode(), log.decode(), *kept]
    assert "ann" in log.decode()
    secrets = (key[4:16], sha256(key.encode()).hexdigest()[:16])
    assert not [text for text in said for secret in secrets if secret in text]
