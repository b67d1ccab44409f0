"""Does the app's own key reach the one provider that it is for, and does no other key go there, nor it elsewhere?"""

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from proxy import registry
from proxy.access.allowance import ClientKey, Limits
from proxy.access.salt import FILE, Salt
from proxy.config import Provider, Secret, load
from proxy.middleware.transparent import KEPT, Transparent, keyless
from proxy.ports import Adapter, Call, Reply, Target
from proxy.upstream import Upstream
from tests.client import ANTHROPIC, LANES, OPENAI, Speech, ask, chat, lane_name
from tests.evil import Evil, Scenario
from tests.gateway import config_file, pillion, telling
from tests.test_logs import Kept, log_to, told
from tests.test_middleware import call, fine

OURS = "sk-ours-canary-0123456789"
THEIRS = "sk-theirs-0123456789"

both = pytest.mark.parametrize(("speech", "provider"), LANES, ids=lane_name)


def environ(speech: Speech, url: str) -> dict[str, str]:
    """That wire's provider stands at the URL, and another elsewhere; both have keys of ours."""
    other = ANTHROPIC if speech is OPENAI else OPENAI
    keys = {f"{each.provider.upper()}_API_KEY": OURS for each in (speech, other)}
    return other.environ("http://127.0.0.1:9") | speech.environ(url) | keys | {"PILLION_TRANSPARENT": speech.provider}


def whole(speech: Speech) -> Scenario:
    return Scenario(body=speech.whole, headers=[("Content-Type", "application/json")])


def shown_to(request_headers: list[tuple[str, str]]) -> list[str]:
    """The headers that hold either key."""
    return [f"{name.lower()}: {value}" for name, value in request_headers if OURS in value or THEIRS in value]


@both
@pytest.mark.parametrize(
    ("status", "said"), [(401, "refused the app's own key"), (403, "does not allow the app's own key to do this")]
)
async def test_a_key_that_is_refused_is_not_said_to_be_pillions(
    speech: Speech, provider: Speech, status: int, said: str
) -> None:
    error = {"type": "authentication_error", "message": "wrong key"}
    body = json.dumps({"type": "error", "error": error}).encode()
    refusal = Scenario(status=status, body=body, headers=[("Content-Type", "application/json")])
    kept = Kept()
    async with Evil(refusal) as evil, telling(log_to(kept), environ(provider, evil.url)) as gateway:
        path, headers = speech.path, [*speech.headers, ("Authorization", f"Bearer {THEIRS}")]
        got = await ask(gateway, "POST", path, speech.request(model=f"{provider.provider}/m"), headers)
        (line,) = await told(kept)
    assert line["message"] == f"{provider.provider} {said}: wrong key"
    assert got.status == status
    if speech is provider:
        assert got.body == body  # it is the app's to read
    else:
        assert speech.error(got.body)["message"] == line["message"]


SHOWN = {"openai": f"authorization: Bearer {THEIRS}", "anthropic": f"x-api-key: {THEIRS}"}


@both
@pytest.mark.parametrize("place", ["Authorization: Bearer ", "x-api-key: ", "?key="])
async def test_the_apps_own_key_goes_where_the_provider_looks_for_it(
    speech: Speech, provider: Speech, place: str
) -> None:
    async with Evil(whole(provider)) as evil, pillion(**environ(provider, evil.url)) as gateway:
        name, _, value = place.partition(": ")
        headers = [*speech.headers, *([(name, value + THEIRS)] if value or name != "?key=" else [])]
        path = speech.path + (place + THEIRS if name == "?key=" else "")
        body = speech.request(model=f"{provider.provider}/m")
        got = await ask(gateway, "POST", path, body, headers)
        assert got.status == 200
        (request,) = evil.requests
        assert shown_to(request.headers) == [SHOWN[provider.provider]]
        assert THEIRS not in request.target


@pytest.mark.parametrize("place", ["Authorization: Bearer ", "x-api-key: "])
async def test_an_oauth_token_of_anthropics_is_shown_as_one(place: str) -> None:
    """Beside the beta that its app names for it."""
    token, beta = "sk-ant-oat01-0123456789", "oauth-2025-04-20"
    async with Evil(whole(ANTHROPIC)) as evil, pillion(**environ(ANTHROPIC, evil.url)) as gateway:
        name, _, value = place.partition(": ")
        headers = [*ANTHROPIC.headers, (name, value + token), ("anthropic-beta", beta)]
        got = await ask(gateway, "POST", ANTHROPIC.path, ANTHROPIC.request(model="anthropic/m"), headers)
        assert got.status == 200
        (request,) = evil.requests
        said = [(name.lower(), value) for name, value in request.headers if token in value or value == beta]
        assert sorted(said) == [("anthropic-beta", beta), ("authorization", f"Bearer {token}")]


@both
async def test_no_other_provider_is_asked(speech: Speech, provider: Speech) -> None:
    async with Evil() as evil, Evil() as other:
        elsewhere = ANTHROPIC if provider is OPENAI else OPENAI
        places = environ(provider, evil.url) | elsewhere.environ(other.url)
        async with pillion(**places) as gateway:
            for model in (f"{elsewhere.provider}/m", "echo/text"):
                for stream in (False, True):
                    body = speech.request(stream, model=model)
                    got = await chat(gateway, speech, body, [("x-api-key", THEIRS)])
                    assert got.status == 403
                    assert "may not use" in speech.error(got.body)["message"]
        assert evil.requests == other.requests == []


@pytest.mark.parametrize("speech", [OPENAI, ANTHROPIC], ids=lane_name)
async def test_without_a_key_of_its_own_an_app_gets_nothing(speech: Speech) -> None:
    async with Evil() as evil, pillion(**environ(speech, evil.url)) as gateway:
        got = await chat(gateway, speech, speech.request(model=f"{speech.provider}/m"))
        assert got.status == 401
        said = f"No API key was sent: send the app's own key for {speech.provider} as your API key."
        assert speech.error(got.body)["message"] == said
        assert evil.requests == []


async def test_operators_are_asked_for_no_key() -> None:
    """Any would do: pillion knows none, so `pillion providers` has none to show."""
    places = OPENAI.environ("http://127.0.0.1:9") | {"PILLION_TRANSPARENT": "openai"}
    async with pillion(**places, PILLION_ADMIN_ADDRESS="127.0.0.1:0") as gateway:
        for path in ("/v1/providers", "/v1/usage", "/v1/budgets", "/v1/requests/active", "/metrics"):
            assert (await ask(gateway.app.addresses[1], "GET", path)).status == 200
            assert (await ask(gateway, "GET", path)).status == 401


async def test_the_apps_account_pays_and_no_header_of_ours_that_holds_a_key_goes_out(tmp_path: Path) -> None:
    async with Evil(whole(OPENAI)) as evil:
        text = f"providers: {{openai: {{headers: {{Authorization: 'Bearer {OURS}', X-Team: red}}}}}}"
        named = {**config_file(text, tmp_path), **OPENAI.environ(evil.url), "PILLION_TRANSPARENT": "openai"}
        del named["OPENAI_API_KEY"]
        async with pillion(**named) as gateway:
            headers = [("Authorization", f"Bearer {THEIRS}"), ("OpenAI-Organization", "org-theirs")]
            assert (await chat(gateway, OPENAI, OPENAI.request(model="openai/m"), headers)).status == 200
        (request,) = evil.requests
        assert shown_to(request.headers) == [SHOWN["openai"]]
        assert request.header("openai-organization") == "org-theirs"
        assert request.header("x-team") == "red"


async def test_a_provider_that_repeats_the_apps_key_is_not_repeated() -> None:
    said = json.dumps({"error": {"message": f"no such key: {THEIRS}", "type": "x", "param": None, "code": "x"}})
    refusal = Scenario(status=401, body=said.encode(), headers=[("Content-Type", "application/json")])
    async with Evil(refusal, refusal) as evil, pillion(**environ(OPENAI, evil.url)) as gateway:
        for speech in (OPENAI, ANTHROPIC):
            got = await chat(gateway, speech, speech.request(model="openai/m"), [("x-api-key", THEIRS)])
            assert got.status == 401
            assert THEIRS.encode() not in got.body


@both
async def test_an_app_is_shown_the_models_that_its_own_key_shows(speech: Speech, provider: Speech) -> None:
    listed = Scenario(
        body=b'{"data":[{"id":"mine","type":"model","display_name":"m","created_at":"2026-01-01T00:00:00Z"}]}'
    )
    places = environ(provider, "")
    async with Evil(listed) as evil, pillion(**places | provider.environ(evil.url)) as gateway:
        headers = [*speech.headers, ("x-api-key", THEIRS)]
        got = await ask(gateway, "GET", "/v1/models", headers=headers)
        assert [row["id"] for row in json.loads(got.body)["data"]] == [f"{provider.provider}/mine"]
        (request,) = evil.requests
        assert shown_to(request.headers) == [SHOWN[provider.provider]]
        assert (await ask(gateway, "GET", "/v1/models/mine", headers=headers)).status == 200
        assert (await ask(gateway, "GET", "/v1/models/nobodys", headers=headers)).status == 404
        assert len(evil.requests) == 1  # it is known for this key


async def test_each_app_has_a_list_of_its_own() -> None:
    lists = [Scenario(body=b'{"data":[{"id":"%s"}]}' % name) for name in (b"a", b"b")]
    async with Evil(*lists) as evil, pillion(**environ(OPENAI, evil.url)) as gateway:
        for key, name in (("sk-a", "openai/a"), ("sk-b", "openai/b"), ("sk-a", "openai/a")):
            got = await ask(gateway, "GET", "/v1/models", headers=[("x-api-key", key)])
            assert name in [row["id"] for row in json.loads(got.body)["data"]]
        assert len(evil.requests) == 2


@pytest.mark.parametrize(("status", "told"), [(401, 401), (403, 403), (404, 200), (500, 200)])
async def test_a_key_that_shows_no_list_is_told_so(status: int, told: int) -> None:
    async with Evil(Scenario(status=status)) as evil, pillion(**environ(OPENAI, evil.url)) as gateway:
        got = await ask(gateway, "GET", "/v1/models", headers=[("x-api-key", THEIRS)])
        assert got.status == told
        if told == status:
            assert "openai refused the app's own key" in OPENAI.error(got.body)["message"]


KINDS: Mapping[str, dict[str, Any]] = {
    "openai": {},
    "azure": {},
    "anthropic": {},
    "gemini": {},
    "vertex": {"project": "p", "location": "l"},
    "bedrock": {"location": "us-east-1"},
    "ollama": {},
    "cohere": {},
}


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_provider_can_be_asked_with_a_clients_key(kind: str, tmp_path: Path) -> None:
    row = {"kind": kind, "base_url": "http://127.0.0.1:9", "api_key": OURS, **KINDS[kind]}
    (tmp_path / "c.yaml").write_text(json.dumps({"providers": {"it": row}}))
    provider = load(tmp_path / "c.yaml", {}).providers["it"]
    upstream = Upstream()
    try:
        made = registry.adapter(kind)(keyless(provider)._replace(api_key=Secret(THEIRS)), upstream)
        lines = made.keys.good().lines.decode()
        assert THEIRS in lines
        assert OURS not in lines
    finally:
        await upstream.close()


def test_what_shows_a_key_is_taken_from_a_provider_and_nothing_else(tmp_path: Path) -> None:
    headers = "{Authorization: a, X-Api-Key: b, Cookie: c, X-Team: d}"
    (tmp_path / "c.yaml").write_text(f"providers: {{openai: {{org_id: o, headers: {headers}}}}}")
    provider = load(tmp_path / "c.yaml", {"OPENAI_API_KEY": OURS}).providers["openai"]
    less = keyless(provider)
    assert not less.api_key
    assert less.api_keys == ()
    assert list(less.headers) == ["X-Team"]
    assert less._replace(api_key=provider.api_key, headers=provider.headers) == provider


# --- the middleware itself -------------------------------------------------------------------------------------------


class Made:
    """Adapters, one for each key."""

    def __init__(self, provider: Provider) -> None:
        self.keys: list[str] = []
        self._upstream = Upstream()
        self._provider = provider

    def __call__(self, key: Secret) -> Adapter:
        self.keys.append(key.reveal())
        return registry.adapter("openai")(self._provider._replace(api_key=key), self._upstream)

    async def close(self) -> None:
        await self._upstream.close()


async def test_a_key_has_one_adapter_and_few_are_kept() -> None:
    provider = load(environ={"OPENAI_API_KEY": OURS}).providers["openai"]
    made = Made(provider)
    transparent = Transparent("openai", made, Limits())
    catalogued = registry.adapter("openai")(keyless(provider), made._upstream)
    seen: list[Adapter] = []

    async def handler(asked: Call) -> Reply:
        assert asked.target is not None
        seen.append(asked.target.adapter)
        return await fine(asked)

    async def lend(key: str) -> None:
        asked = call({"x-api-key": key})
        await transparent(asked, fine)
        asked.target = Target(catalogued, "m")
        await transparent.lend(asked, handler)

    try:
        for key in ("a", "b", "a"):
            await lend(key)
        assert made.keys == ["a", "b"]
        assert seen[0] is seen[2] is not seen[1]
        for n in range(KEPT):
            await lend(f"k{n}")
        await lend("a")
        assert len(made.keys) == 2 + KEPT + 1
        assert len(transparent._adapters) == KEPT
    finally:
        await made.close()


async def test_each_key_has_a_name_that_tells_nothing_of_it_and_limits_of_its_own() -> None:
    names: dict[str, set[str]] = {"a": set(), "b": set()}
    transparent = Transparent("openai", None, Limits(concurrent=3))
    for key in ("a", "b", "a"):
        asked = call({"authorization": f"Bearer {key}"})
        await transparent(asked, fine)
        assert asked.key == ClientKey(name=asked.client, providers=("openai",), limits=Limits(concurrent=3))
        names[key].add(asked.client)
    assert [len(found) for found in names.values()] == [1, 1]
    assert names["a"] != names["b"]
    other, asked = Transparent("openai", None, Limits()), call({"authorization": "Bearer a"})
    await other(asked, fine)
    assert {asked.client} != names["a"]


async def named(folder: Path) -> str:
    """By which name the key `a` goes, of a pillion that keeps its state there."""
    asked = call({"authorization": "Bearer a"})
    await Transparent("openai", None, Limits(), Salt(folder))(asked, fine)
    return asked.client


async def test_it_keeps_its_name_over_restarts_and_has_another_elsewhere(tmp_path: Path) -> None:
    here = await named(tmp_path / "state" / "here")
    assert await named(tmp_path / "state" / "here") == here
    assert await named(tmp_path / "state" / "elsewhere") != here
    assert stat.S_IMODE((tmp_path / "state" / "here" / FILE).stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "state" / "here").iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("text", "why"), [("", "hexadecimal"), ("ab" * 31, "hexadecimal"), ("\xff", "hexadecimal"), (None, "directory")]
)
async def test_a_salt_that_cannot_be_read_is_told_of_and_left_alone(
    text: str | None, why: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if text is None:
        (tmp_path / FILE).mkdir()
    else:
        (tmp_path / FILE).write_bytes(text.encode("latin-1"))
    assert await named(tmp_path) != await named(tmp_path)
    assert [getattr(record, "event", "") for record in caplog.records] == ["salt_failed"] * 2
    assert why in caplog.text
    assert text is None or (tmp_path / FILE).read_bytes() == text.encode("latin-1")


@pytest.mark.parametrize(("transparent", "there"), [("", False), ("echo", True)])
async def test_nothing_is_written_where_apps_bring_no_keys(transparent: str, there: bool, tmp_path: Path) -> None:
    async with pillion(PILLION_TRANSPARENT=transparent, PILLION_STATE_DIR=str(tmp_path)) as gateway:
        got = await ask(gateway, "POST", OPENAI.path, OPENAI.request(model="echo"), [("authorization", "Bearer a")])
    assert (got.status, (tmp_path / FILE).exists()) == (200, there)


async def test_echo_takes_no_key_and_is_the_only_one() -> None:
    async with pillion(PILLION_TRANSPARENT="echo", OPENAI_API_KEY=OURS) as gateway:
        for model, status in (("echo/text", 200), ("openai/gpt", 403)):
            got = await chat(gateway, OPENAI, OPENAI.request(model=model), [("x-api-key", THEIRS)])
            assert got.status == status
