"""Are a provider's several keys used by turns, one that is refused left alone, and no request lost to it?"""

import asyncio
import json
import logging
import os
import stat
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy import registry
from proxy.adapters.keys import STRANGER, Asked, Key, Keys
from proxy.app import App
from proxy.config import Provider, Secret, Timers, load, secret
from proxy.errors import Busy, Down, Refused
from proxy.failover import keystate
from proxy.failover.cooldown import Saved
from proxy.failover.keystate import FILE, KeyStates
from proxy.ports import Outgoing
from proxy.upstream import Upstream
from tests.client import OPENAI, Got, ask, chat
from tests.clock import Clock
from tests.evil import Evil, Received, Scenario
from tests.gateway import DEFAULTS, Gateway, opened, pillion
from tests.waiting import soon

ONE, TWO, NEW = "sk-canary-one-0123456789", "sk-canary-two-0123456789", "sk-canary-new-0123456789"
JSON = [("Content-Type", "application/json")]
FINE = Scenario(body=OPENAI.whole, headers=JSON)

Play = Callable[[Received], Scenario]


def refusal(status: int, code: str = "x", message: str = "no", **headers: str) -> Scenario:
    lines = [*JSON, *((name.replace("_", "-"), value) for name, value in headers.items())]
    error = {"message": message, "type": code, "param": None, "code": code}
    return Scenario(status=status, body=json.dumps({"error": error}).encode(), headers=lines)


def shown(request: Received) -> str:
    return (request.header("authorization") or "").removeprefix("Bearer ")


def plays(**by_key: Scenario) -> Play:
    """What a host answers whom: `one`, `two` or `new`; everybody else is served."""
    known = {ONE: "one", TWO: "two", NEW: "new"}
    return lambda request: by_key.get(known[shown(request)], FINE)


class Stage:
    """A gateway whose one provider has keys, and what it was asked with."""

    def __init__(self, gateway: Gateway, evil: Evil) -> None:
        self.gateway = gateway
        self.evil = evil

    async def ask(self, count: int = 1, model: str = "openai/m") -> list[int]:
        """One after the other: how each ended."""
        return [(await self.got(model)).status for _ in range(count)]

    async def got(self, model: str = "openai/m") -> Got:
        return await chat(self.gateway, OPENAI, OPENAI.request(model=model))

    def asked(self) -> Counter[str]:
        """Since it was last looked at."""
        counts = Counter(map(shown, self.evil.requests))
        self.evil.requests.clear()
        return counts

    def state(self) -> Mapping[str, int]:
        state: Mapping[str, int] = self.gateway.app.now.adapters["openai"].keys_state()
        return state


@asynccontextmanager
async def keyed(play: Play, **environ: str) -> AsyncIterator[Stage]:
    async with Evil(answering=play) as evil:
        at = {"PILLION_OPENAI_BASE_URL": f"{evil.url}/v1", "PILLION_OPENAI_API_KEYS": f"{ONE},{TWO}"}
        async with pillion(**{**at, **environ}) as gateway:
            yield Stage(gateway, evil)


@asynccontextmanager
async def configured(play: Play, folder: Path, **openai: Any) -> AsyncIterator[Stage]:
    """The same, of a row in a file."""
    async with Evil(answering=play) as evil:
        row = {"base_url": f"{evil.url}/v1", **openai}
        (folder / "config.json").write_text(json.dumps({"providers": {"openai": row}}))
        async with pillion(PILLION_CONFIG=str(folder / "config.json")) as gateway:
            yield Stage(gateway, evil)


@pytest.fixture
def told() -> Iterator[list[str]]:
    """The lines of the log, with all that goes along."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.getMessage()} {vars(record)}")

    handler, log = Handler(), logging.getLogger("pillion")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield lines
    log.removeHandler(handler)
    log.setLevel(level)


# --- turns -----------------------------------------------------------------------------------------------------------


async def test_keys_are_used_by_turns() -> None:
    async with keyed(plays()) as stage:
        assert await stage.ask(6) == [200] * 6
        assert [shown(request) for request in stage.evil.requests] == [ONE, TWO] * 3


async def test_each_as_often_as_its_weight_says(tmp_path: Path) -> None:
    async with configured(plays(), tmp_path, api_keys=[{"key": ONE, "weight": 3}, TWO]) as stage:
        assert await stage.ask(8) == [200] * 8
        assert stage.asked() == {ONE: 6, TWO: 2}


BODY = b'{"model":"m"}'
KINDS: dict[str, tuple[str, dict[str, Any], str, str]] = {  # dialect, more of its row, the header, and what it says
    "openai": ("openai_chat", {}, "authorization", "Bearer {}"),
    "azure": ("openai_chat", {}, "api-key", "{}"),
    "anthropic": ("anthropic", {}, "x-api-key", "{}"),
    "gemini": ("gemini", {}, "x-goog-api-key", "{}"),
    "vertex": ("gemini", {}, "x-goog-api-key", "{}"),
    "cohere": ("cohere", {}, "authorization", "Bearer {}"),
    "ollama": ("ollama", {}, "authorization", "Bearer {}"),
    "bedrock": ("bedrock", {"location": "us-east-1"}, "authorization", "Bearer {}"),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_provider_shows_the_key_whose_turn_it_is(kind: str) -> None:
    dialect, more, header, spelled = KINDS[kind]
    async with Evil(answering=lambda request: FINE) as evil:
        row = Provider(
            name=kind, kind=kind, base_url=evil.url, api_key=Secret(""), key_names=(), serves=(), models=(),
            ask_usage=True, headers={}, timers=Timers(), api_keys=((Secret(ONE), 1), (Secret(TWO), 1)), **more,
        )  # fmt: skip
        upstream = Upstream()
        adapter = registry.adapter(kind)(row, upstream)
        for _ in range(3):
            await (await adapter.send(Outgoing(dialect, "m", BODY, False, [], ""))).read(1000)
        await upstream.close()
        assert [request.header(header) for request in evil.requests] == [spelled.format(key) for key in (ONE, TWO, ONE)]
        assert adapter.keys_state() == {"count": 2, "cooling": 0, "failed": 0}
        assert ONE not in adapter.hide(f"no: {ONE} {TWO}")
        assert TWO not in adapter.hide(f"no: {ONE} {TWO}")


# --- refusals --------------------------------------------------------------------------------------------------------


async def test_a_key_that_is_none_is_asked_once_and_the_request_is_served_by_another(told: list[str]) -> None:
    async with keyed(plays(one=refusal(401, "invalid_api_key"))) as stage:
        assert await stage.ask(20) == [200] * 20
        assert stage.asked() == {ONE: 1, TWO: 20}
        assert stage.state() == {"count": 2, "cooling": 0, "failed": 1}
    assert len([line for line in told if line.startswith("openai's key 1 of 2 was refused")]) == 1


async def test_nobody_is_refused_where_many_meet_it_at_once() -> None:
    """No budget of retries, nor their number, stands between a request and a good key."""
    async with keyed(plays(one=refusal(401, "invalid_api_key"))) as stage:
        assert await asyncio.gather(*(stage.ask() for _ in range(40))) == [[200]] * 40


async def test_all_keys_but_the_last_may_be_bad(tmp_path: Path) -> None:
    bad = [f"sk-canary-bad-{n}" for n in range(6)]

    def play(request: Received) -> Scenario:
        return FINE if shown(request) == TWO else refusal(401, "invalid_api_key")

    async with configured(play, tmp_path, api_keys=[*bad, TWO]) as stage:
        assert await stage.ask(3) == [200] * 3
        assert stage.asked() == {**dict.fromkeys(bad, 1), TWO: 3}


async def test_until_its_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret, "LOOK_AGAIN", 0.0)
    (tmp_path / "key").write_text(ONE)
    keys = [f"${{file:{tmp_path}/key}}", TWO]
    async with configured(plays(one=refusal(401, "invalid_api_key")), tmp_path, api_keys=keys) as stage:
        assert await stage.ask(10) == [200] * 10
        assert stage.asked() == {ONE: 1, TWO: 10}
        (tmp_path / "key").write_text(NEW)
        assert await stage.ask(10) == [200] * 10
        assert stage.asked() == {NEW: 5, TWO: 5}


async def test_a_key_that_was_rotated_a_moment_ago_loses_no_request(tmp_path: Path) -> None:
    """The old one is refused before we have looked at its file again."""
    (tmp_path / "key").write_text(ONE)
    row = f"${{file:{tmp_path}/key}}"
    async with configured(plays(one=refusal(401, "invalid_api_key")), tmp_path, api_key=row) as stage:
        stage.gateway.app.now.adapters["openai"].keys.good()  # looked at just now, and so not for a while
        (tmp_path / "key").write_text(NEW)
        assert await stage.ask(3) == [200] * 3
        assert stage.asked() in ({ONE: 1, NEW: 3}, {NEW: 3})  # the latter where that while has passed
        assert stage.state() == {"count": 1, "cooling": 0, "failed": 0}


def rotating(folder: Path) -> tuple[Keys, Path]:
    file, clock = folder / "key", Clock()
    file.write_text(ONE)
    return Keys("it", [(Secret(ONE, file, clock), 1)], str.encode, clock), file


def test_what_is_heard_of_its_former_value_is_no_news_of_a_key(tmp_path: Path) -> None:
    keys, file = rotating(tmp_path)
    late = Asked(keys.pick("m"), "m", 0.0)
    file.write_text(NEW)
    error = Refused("no", status=401, kind="authentication")
    keys.refused(late, error)
    assert (error.of_key, keys.counts()["failed"], keys.pick("m").value) == (True, 0, NEW)
    keys.refused(late, Busy("slower"))
    assert (keys.counts()["cooling"], keys.has_good("m")) == (0, True)
    keys.answered(late)


def test_one_that_was_left_out_and_is_another_now_has_its_turn_again(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(ONE)
    clock = Clock()
    keys = Keys("it", [(Secret(ONE, tmp_path / "key", clock), 1), (Secret(TWO), 1)], str.encode, clock)
    keys.refused(Asked(keys.pick("m"), "m", 2000.0), Refused("no", status=401, kind="authentication"))
    assert {keys.pick("m").value for _ in range(4)} == {TWO}
    (tmp_path / "key").write_text(NEW)
    clock.sleep(secret.LOOK_AGAIN)
    assert {keys.pick("m").value for _ in range(4)} == {NEW, TWO}


async def test_a_provider_is_shown_a_key_that_is_none_once_for_all_that_may_be_back() -> None:
    """As often as there are keys it might take us for somebody who tries them by lot."""

    async def check(key: Key) -> None:
        tried.append(key.value)
        if key.value not in (ONE, TWO):
            raise Down("no", upstream_status=401)

    tried: list[str] = []
    keys = Keys("it", [(Secret(value), 1) for value in (ONE, "gone", TWO)], str.encode)
    for _ in range(3):
        keys.refused(Asked(keys.pick("m"), "m", 1e9), Refused("no", status=401, kind="authentication"))
    assert keys.counts()["failed"] == 3
    await keys.try_failed(check, 5.0)
    assert tried == [ONE, STRANGER, "gone", TWO]
    assert keys.counts()["failed"] == 1


def test_a_key_that_works_is_not_blamed_for_one_before_it(tmp_path: Path) -> None:
    keys, file = rotating(tmp_path)
    keys.refused(Asked(keys.pick("m"), "m", 2000.0), Refused("no", status=401, kind="authentication"))
    assert (keys.counts()["failed"], keys.may_ask("")) == (1, False)
    keys.answered(Asked(keys.good(), "m", 3000.0))
    assert keys.counts()["failed"] == 0
    assert file.exists()


async def test_one_that_may_not_use_a_model_is_used_for_others() -> None:
    def play(request: Received) -> Scenario:
        forbidden = shown(request) == ONE and json.loads(request.body)["model"] == "m"
        return refusal(403, "model_not_allowed") if forbidden else FINE

    async with keyed(play) as stage:
        assert await stage.ask(6) == [200] * 6
        assert stage.asked() == {ONE: 1, TWO: 6}
        assert await stage.ask(6, "openai/n") == [200] * 6
        assert stage.asked() == {ONE: 3, TWO: 3}


LIMITED = {
    "of_time": refusal(429, "rate_limit_exceeded", retry_after="30"),
    "of_money": refusal(429, "insufficient_quota"),
}


@pytest.mark.parametrize(("why", "least"), [("of_time", 29), ("of_money", 59)])
async def test_one_that_has_met_a_limit_rests_for_as_long_as_that_takes(why: str, least: float) -> None:
    async with keyed(plays(one=LIMITED[why])) as stage:
        assert await stage.ask(20) == [200] * 20
        assert stage.asked() == {ONE: 1, TWO: 20}
        assert stage.state() == {"count": 2, "cooling": 1, "failed": 0}
        [row] = stage.gateway.app.lasting.keystates.rows()["openai"]
        assert least < row.pause < 61


@pytest.mark.parametrize(
    ("refused", "event"),
    [
        (refusal(401), "key_failed"),
        (refusal(403), "key_forbidden"),
        (refusal(429, "insufficient_quota"), "key_spent"),
        (refusal(429, "rate_limit_exceeded"), None),
    ],
    ids=["401", "403", "quota", "429"],
)
async def test_a_key_that_somebody_must_see_to_is_told_of_once(
    refused: Scenario, event: str | None, told: list[str]
) -> None:
    async with keyed(plays(one=refused)) as stage:
        assert await asyncio.gather(*[stage.ask() for _ in range(10)]) == [[200]] * 10
    found = [line for line in told if "'event': 'key_" in line]
    assert len(found) == (event is not None)
    assert all(f"'event': '{event}'" in line and "openai's key 1 of 2" in line for line in found)


async def test_a_spent_key_is_told_of_where_it_rested_for_a_rate_limit_before(told: list[str]) -> None:
    """The only key is asked all the same, and with each refusal its rest grows longer."""
    answers = iter([LIMITED["of_time"], *[LIMITED["of_money"]] * 3, FINE, *[LIMITED["of_money"]] * 2])
    async with keyed(lambda request: next(answers), PILLION_OPENAI_API_KEYS=ONE) as stage:
        assert await stage.ask(7) == [*[429] * 4, 200, *[429] * 2]
    assert ["'key_spent'" in line for line in told if "'event': 'key_" in line] == [True, True]


async def test_a_spent_key_that_was_refused_before_is_left_out_for_no_number_of_seconds(told: list[str]) -> None:
    answers = iter([refusal(401), LIMITED["of_money"]])
    async with keyed(lambda request: next(answers), PILLION_OPENAI_API_KEYS=ONE) as stage:
        assert await stage.ask(2) == [401, 429]
    (line,) = [line for line in told if "'event': 'key_spent'" in line]
    assert "has used up its quota, and is not used until it works again: " in line


async def test_where_all_rest_the_last_is_asked_all_the_same() -> None:
    busy = refusal(429, "rate_limit_exceeded", retry_after="30")
    async with keyed(plays(one=busy, two=busy)) as stage:
        assert await stage.ask(3) == [429] * 3
        assert stage.asked().total() == 4  # both by the first, and one by each of the others


async def test_and_the_last_is_the_one_that_will_be_back_first() -> None:
    busy = refusal(429, "rate_limit_exceeded", retry_after="30")
    async with keyed(plays(one=refusal(401, "invalid_api_key"), two=busy)) as stage:
        assert await stage.ask(3) == [429] * 3
        assert stage.asked() == {ONE: 1, TWO: 3}


async def test_an_overload_is_no_keys_fault_and_not_repeated_at_once() -> None:
    async with keyed(plays(one=refusal(529, "overloaded"), two=refusal(529, "overloaded"))) as stage:
        assert await stage.ask(2) == [529] * 2
        assert stage.asked() == {ONE: 1, TWO: 1}
        assert stage.state()["cooling"] == 0


async def test_a_key_that_gemini_calls_invalid_under_400_is_left_out() -> None:
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    error = {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT", "details": [detail]}
    invalid = Scenario(status=400, body=json.dumps({"error": error}).encode(), headers=JSON)
    said = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}
    fine = Scenario(body=json.dumps(said).encode(), headers=JSON)

    def play(request: Received) -> Scenario:
        return invalid if request.header("x-goog-api-key") == ONE else fine

    async with Evil(answering=play) as evil:
        environ = {"PILLION_GEMINI_API_KEYS": f"{ONE},{TWO}", "PILLION_GEMINI_BASE_URL": evil.url}
        async with pillion(**environ) as gateway:
            got = [(await chat(gateway, OPENAI, OPENAI.request(model="gemini/m"))).status for _ in range(6)]
        assert (got, len(evil.requests)) == ([200] * 6, 7)


async def test_a_count_of_tokens_does_not_bring_back_who_has_no_money() -> None:
    def play(request: Received) -> Scenario:
        if "input_tokens" in request.target:
            return Scenario(body=b'{"object":"response.input_tokens","input_tokens":3}', headers=JSON)
        return refusal(429, "insufficient_quota")

    environ = {"PILLION_OPENAI_API_KEYS": ONE, "PILLION_OPENAI_COUNTS_TOKENS": "true"}
    async with keyed(play, PILLION_OPENAI_DIALECTS="openai_chat,openai_responses", **environ) as stage:
        assert await stage.ask() == [429]
        body = b'{"model":"openai/m","input":"Hi"}'
        counted = await ask(stage.gateway, "POST", "/v1/responses/input_tokens", body)
        assert (counted.status, stage.evil.requests[-1].target) == (200, "/v1/responses/input_tokens")
        assert stage.state()["cooling"] == 1


# --- other targets ---------------------------------------------------------------------------------------------------


async def test_a_provider_whose_every_key_is_out_comes_behind_the_others(tmp_path: Path) -> None:
    def play(request: Received) -> Scenario:
        return refusal(401, "invalid_api_key") if shown(request) == ONE else FINE

    async with Evil(answering=play) as evil:
        rows = {name: {"base_url": f"{evil.url}/v1", "api_key": key} for name, key in (("a", ONE), ("b", TWO))}
        route = {"r": {"targets": ["a/m", "b/m"]}}
        (tmp_path / "config.json").write_text(json.dumps({"providers": rows, "routes": route}))
        async with pillion(PILLION_CONFIG=str(tmp_path / "config.json")) as gateway:
            stage = Stage(gateway, evil)
            assert await stage.ask(5, "r") == [200] * 5
            assert stage.asked() == {ONE: 1, TWO: 5}
            assert await stage.ask(2, "a/m") == [401] * 2  # who names it gets it


async def test_and_so_it_does_for_the_model_that_its_keys_may_not_use(tmp_path: Path) -> None:
    def play(request: Received) -> Scenario:
        forbidden = shown(request) == ONE and json.loads(request.body)["model"] == "m"
        return refusal(403, "model_not_allowed") if forbidden else FINE

    async with Evil(answering=play) as evil:
        rows = {name: {"base_url": f"{evil.url}/v1", "api_key": key} for name, key in (("a", ONE), ("b", TWO))}
        routes = {name: {"targets": [f"a/{name}", f"b/{name}"]} for name in ("m", "n")}
        (tmp_path / "config.json").write_text(json.dumps({"providers": rows, "routes": routes}))
        async with pillion(PILLION_CONFIG=str(tmp_path / "config.json")) as gateway:
            stage = Stage(gateway, evil)
            assert await stage.ask(5, "m") == [200] * 5
            assert stage.asked() == {ONE: 1, TWO: 5}
            assert await stage.ask(5, "n") == [200] * 5
            assert stage.asked() == {ONE: 5}


# --- what is kept ----------------------------------------------------------------------------------------------------


async def test_after_a_restart_the_first_request_goes_to_a_key_that_works(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    environ = {"PILLION_STATE_DIR": str(folder), "PILLION_OPENAI_API_KEYS": f"{ONE},{NEW},{TWO}"}
    play = plays(one=refusal(401, "invalid_api_key"), new=refusal(429, "insufficient_quota", retry_after="7200"))
    async with keyed(play, **environ) as stage:
        assert await stage.ask(6) == [200] * 6
    kept = (folder / FILE).read_bytes()
    assert not [key for key in (ONE, TWO, NEW) if key.encode() in kept]
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir() if path.name.startswith(FILE)] == [FILE]
    async with keyed(play, **environ) as stage:
        assert stage.state() == {"count": 3, "cooling": 1, "failed": 1}
        assert await stage.ask(6) == [200] * 6
        assert stage.asked() == {TWO: 6}


async def test_a_key_has_another_name_in_each_place(tmp_path: Path) -> None:
    """Who has two of these files cannot tell whether they speak of the same key."""
    names = []
    for place in ("a", "b"):
        async with keyed(plays(one=refusal(401)), PILLION_STATE_DIR=str(tmp_path / place)) as stage:
            await stage.ask(2)
        names += [row["key"] for row in json.loads((tmp_path / place / FILE).read_bytes())["providers"]["openai"]]
    assert len(set(names)) == 2


@pytest.mark.parametrize(
    "broken",
    [
        b"", b"{", b"\xff\xfe\x00", b"[]", b"[" * 100_000, b'{"version":2,"salt":"x","providers":{}}',
        b'{"version":1,"salt":5,"providers":{}}', b'{"version":1,"salt":"x","providers":{"openai":[{"key":"k"}]}}',
    ],
)  # fmt: skip
async def test_a_file_that_is_none_of_ours_is_told_of_and_no_more(
    broken: bytes, tmp_path: Path, told: list[str]
) -> None:
    (tmp_path / FILE).write_bytes(broken)
    async with keyed(plays(one=refusal(401)), PILLION_STATE_DIR=str(tmp_path)) as stage:
        assert await stage.ask(2) == [200] * 2
    assert len([line for line in told if "starting with all keys in use" in line]) == 1
    assert json.loads((tmp_path / FILE).read_bytes())["providers"]["openai"]  # it is one of ours now


async def test_one_that_cannot_be_written_is_told_of_once(told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystate, "PAUSE", 0.0)
    states = KeyStates(Path("/proc/nowhere"))
    keys = Keys("it", [(Secret(ONE), 1)], str.encode)
    states.become({"it": keys})
    for _ in range(3):
        keys.refused(Asked(keys.pick("m"), "m", 1e9), Busy("slower"))
        await soon(lambda: states._writing is None)
    await states.close()
    assert len([line for line in told if "is forgotten when pillion stops" in line]) == 1


async def test_it_is_written_once_in_a_while_however_much_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    monkeypatch.setattr(keystate, "_replace", lambda path, data: written.append(data))
    monkeypatch.setattr(keystate, "PAUSE", 3600.0)
    states = KeyStates(tmp_path)
    keys = Keys("it", [(Secret(ONE), 1)], str.encode)
    states.become({"it": keys})
    for n in range(100):
        keys.refused(Asked(keys.pick("m"), "m", 1e9 + n), Busy("slower"))
        await asyncio.to_thread(int)  # as long as it would take to write it
    await states.close()
    times = [json.loads(data)["providers"]["it"][0]["times"] for data in written]
    assert (len(times), times[-1]) == (2, 100)  # with the last word


async def test_nothing_is_written_where_there_is_nothing_to_tell(tmp_path: Path) -> None:
    async with keyed(plays(), PILLION_STATE_DIR=str(tmp_path)) as stage:
        assert await stage.ask(4) == [200] * 4
    assert not (tmp_path / FILE).exists()


async def test_what_another_knows_is_known_here_as_well(tmp_path: Path) -> None:
    states = KeyStates(tmp_path)
    keys = Keys("it", [(Secret(ONE), 1), (Secret(TWO), 1)], str.encode)
    states.become({"it": keys})
    keys.refused(Asked(keys.pick("m"), "m", 0.0), Refused("no", status=401, kind="authentication"))
    other = KeyStates(tmp_path)
    other._salt = states._salt
    there = Keys("it", [(Secret(TWO), 1), (Secret(ONE), 1)], str.encode)
    other.become({"it": there})
    other.merge(states.rows())
    other.merge({"nobody": [Saved(key="k", model="", until=None, pause=1.0, times=1)]})
    assert [there.pick("m").value for _ in range(3)] == [TWO] * 3
    for each in (states, other):
        await each.close()


async def test_another_configuration_forgets_no_key(tmp_path: Path) -> None:
    environ = dict(DEFAULTS, PILLION_OPENAI_API_KEYS=f"{ONE},{TWO}", PILLION_STATE_DIR=str(tmp_path))
    async with Evil(answering=plays(one=refusal(401))) as evil:
        environ["PILLION_OPENAI_BASE_URL"] = f"{evil.url}/v1"
        async with opened(App(load(environ=environ))) as gateway:
            app, stage = gateway.app, Stage(gateway, evil)
            assert await stage.ask(4) == [200] * 4
            await app.become(load(environ=environ | {"PILLION_OPENAI_MODEL": "n"}))  # another adapter
            stage.asked()
            assert await stage.ask(4) == [200] * 4
            assert stage.asked() == {TWO: 4}
            await app.become(load(environ={name: said for name, said in environ.items() if "OPENAI" not in name}))
            assert "openai" not in app.now.adapters
            assert [row.until for row in app.lasting.keystates.rows()["openai"]] == [None]  # it may come again


# --- what is told ----------------------------------------------------------------------------------------------------


def files(folder: Path) -> list[str]:
    return [path.read_text("latin-1") for path in folder.rglob("*") if path.is_file()]


async def test_no_key_is_told_of_by_itself(tmp_path: Path, told: list[str]) -> None:
    """The provider repeats both in its words, its code and its headers."""
    words = f"Incorrect API key provided: {ONE}, nor {TWO}"
    bad = refusal(401, ONE, words, x_request_id=ONE, x_ratelimit_limit_requests=TWO)
    async with keyed(plays(one=bad, two=bad), PILLION_STATE_DIR=str(tmp_path)) as stage:
        got = [await stage.got() for _ in range(3)]
        got += [await ask(stage.gateway, "GET", path) for path in ("/metrics", "/v1/providers")]
        app = stage.gateway.app
        reprs = [repr(each) for each in (app.lasting.keystates, app.now.adapters["openai"].keys, app.config)]
        keys = app.now.adapters["openai"].keys
        reprs += [repr(keys.pick("m")), repr(app.lasting.keystates.rows())]
    sinks = [each.raw_headers + each.body.decode() for each in got] + told + reprs
    sinks += files(tmp_path)
    assert [each.status for each in got] == [401, 401, 401, 200, 200]
    assert not [sink for sink in sinks for key in (ONE, TWO) if key in sink]


async def test_the_operator_is_told_how_many_are_out() -> None:
    async with keyed(plays(one=refusal(401))) as stage:
        await stage.ask(2)
        metrics = (await ask(stage.gateway, "GET", "/metrics")).body.decode()
        assert 'pillion_provider_keys_out{provider="openai",state="failed"} 1.0' in metrics
        rows = json.loads((await ask(stage.gateway, "GET", "/v1/providers")).body)["data"]
        [row] = [row for row in rows if row["id"] == "openai"]
        assert row["keys"] == {"count": 2, "cooling": 0, "failed": 1}


def test_the_name_of_a_file_under_way_is_this_processs_own(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / f"{FILE}.{os.getpid()}").symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic links"):
        keystate._replace(tmp_path / FILE, b"x")
    assert not elsewhere.exists()
