"""Does a provider over HTTP show its key to its own host alone, keep its list, and know its own state?"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace

from proxy import registry
from proxy.adapters import http, listing
from proxy.adapters.http import HTTPProvider
from proxy.config import Provider, Secret, Timers
from proxy.errors import BadRequest, Down, Timeout, UpstreamError
from proxy.ports import Adapter, Headers, Outgoing
from proxy.upstream import Upstream
from tests.client import ANTHROPIC, OPENAI, Speech, chat
from tests.evil import Evil, Scenario
from tests.gateway import pillion

KEY = "sk-canary"
LISTED = Scenario(body=b'{"object":"list","data":[{"id":"b","owned_by":"x"},{"id":"c"},{"id":"a"}]}')
ANSWER = Scenario(body=b"{}")


@asynccontextmanager
async def provider(url: str, kind: str = "openai", **changes: Any) -> AsyncIterator[Adapter]:
    config = Provider(
        name="mine",
        kind=kind,
        base_url=url,
        api_key=Secret(KEY),
        key_names=("MINE_API_KEY",),
        serves=(),
        models=(),
        ask_usage=True,
        headers={},
        timers=Timers(),
    )._replace(**changes)
    upstream = Upstream()
    try:
        made: Adapter = registry.adapter(kind)(config, upstream)
        yield made
    finally:
        await upstream.close()


def outgoing(dialect: str = "openai_chat", headers: Headers | None = None) -> Outgoing:
    return Outgoing(dialect, "m", b'{"model":"m"}', False, headers or [], "")


async def sent(kind: str, dialect: str, headers: Headers | None = None, path: str = "", **changes: Any) -> Any:
    async with Evil(ANSWER) as evil, provider(evil.url + path, kind, **changes) as adapter:
        answer = await adapter.send(outgoing(dialect, headers))
        assert await answer.read(1000) == b"{}"
        return evil.requests[0]


def shown(request: Any) -> Mapping[str, str]:
    return dict(request.headers)


# --- the request -----------------------------------------------------------------------------------------------------


async def test_openai_is_asked_below_its_base_url_with_a_bearer_key() -> None:
    request = await sent("openai", "openai_chat", [("x-a", "b")], path="/openai/v1")
    assert (request.method, request.target, request.body) == ("POST", "/openai/v1/chat/completions", b'{"model":"m"}')
    host = shown(request)["host"]
    assert shown(request) == {
        "host": host,
        "content-type": "application/json",
        "accept-encoding": "identity",
        "authorization": f"Bearer {KEY}",
        "x-a": "b",
        "via": shown(request)["via"],
        "content-length": "13",
    }
    assert re.fullmatch(r"1\.1 pillion-[0-9a-f]{16} \(mine\)", shown(request)["via"])


async def test_heads_are_kept_for_only_so_many_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients choose the query."""
    monkeypatch.setattr(http, "KEPT", 2)
    queries = ["a=1", "b=2", "c=3", "a=1"]
    async with Evil(*[ANSWER] * 4) as evil, provider(evil.url) as adapter:
        assert isinstance(adapter, HTTPProvider)
        for query in queries:
            await (await adapter.send(replace(outgoing(), query=query))).read(1000)
            assert len(adapter._heads) <= 2
        assert [request.target for request in evil.requests] == [f"/chat/completions?{query}" for query in queries]


class Placed(HTTPProvider):
    """A provider of somebody else's, whose paths name the model."""

    paths: ClassVar = {"openai_chat": "/models/{model}/chat"}
    models_path = "/models"

    def credentials(self, key: str) -> Headers:
        return [("x-key", key)]


async def test_a_path_may_name_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "adapter", lambda kind: Placed)
    async with Evil(ANSWER) as evil, provider(evil.url) as adapter:
        await (await adapter.send(replace(outgoing(), model="a/b c?", query="x=y"))).read(1000)
        (asked,) = evil.requests
        assert (asked.target, asked.header("x-key")) == ("/models/a%2Fb%20c%3F/chat?x=y", KEY)


async def test_the_way_that_a_request_has_come_stands_before_our_own() -> None:
    request = await sent("openai", "openai_chat", [("via", "1.1 edge"), ("x-a", "b")])
    first, second = [value for name, value in request.headers if name == "via"]
    assert (first, "(mine)" in second) == ("1.1 edge", True)


async def test_a_model_list_is_asked_for_with_our_mark() -> None:
    async with Evil(LISTED) as evil, provider(evil.url) as adapter:
        await adapter.models()
        assert "pillion-" in (evil.requests[0].header("via") or "")


async def test_anthropic_is_asked_with_its_own_header_and_a_version() -> None:
    request = await sent("anthropic", "anthropic")
    assert request.target == "/v1/messages"
    assert (request.header("x-api-key"), request.header("authorization")) == (KEY, None)
    assert request.header("anthropic-version") == "2023-06-01"


async def test_the_clients_version_of_anthropic_stays() -> None:
    request = await sent("anthropic", "anthropic", [("anthropic-version", "2026-10-21")])
    assert [value for name, value in request.headers if name == "anthropic-version"] == ["2026-10-21"]


@pytest.mark.parametrize(("kind", "dialect"), [("openai", "openai_chat"), ("anthropic", "anthropic")])
async def test_without_a_key_none_is_shown(kind: str, dialect: str) -> None:
    request = await sent(kind, dialect, api_key=Secret(""))
    assert not {"authorization", "x-api-key"} & shown(request).keys()


async def test_configured_headers_go_along_and_win() -> None:
    async with Evil(ANSWER, LISTED) as evil, provider(evil.url, headers={"X-Team": Secret("blue")}) as adapter:
        await (await adapter.send(outgoing(headers=[("x-team", "evil"), ("x-other", "kept")]))).read(1000)
        await adapter.models()
        said = [[value for name, value in request.headers if name.lower() == "x-team"] for request in evil.requests]
        assert said == [["blue"], ["blue"]]
        assert evil.requests[0].header("x-other") == "kept"


async def test_a_configured_header_in_a_file_may_be_another_from_one_request_to_the_next(tmp_path: Path) -> None:
    now, file = 0.0, tmp_path / "team"
    file.write_text("blue")
    headers = {"X-Team": Secret("blue", file, lambda: now)}
    async with Evil(ANSWER, ANSWER, LISTED) as evil, provider(evil.url, headers=headers) as adapter:
        await (await adapter.send(outgoing())).read(1000)
        file.write_text("green")
        now = 10.0
        await (await adapter.send(outgoing())).read(1000)
        await adapter.models()
        assert [request.header("x-team") for request in evil.requests] == ["blue", "green", "green"]


@pytest.mark.parametrize(
    ("kind", "changes", "twice"),
    [
        ("openai", {}, ["Authorization"]),
        ("openai", {"api_key": Secret("")}, []),
        ("openai", {"api_key": Secret(""), "org_id": "o"}, ["OpenAI-Organization"]),
        ("anthropic", {}, ["X-Api-Key"]),
    ],
)
async def test_a_header_that_shows_the_key_as_well_is_known(
    kind: str, changes: dict[str, Any], twice: list[str]
) -> None:
    names = ["Authorization", "OpenAI-Organization", "X-Api-Key", "X-Team"]
    headers = {name: Secret("x") for name in names}
    async with provider("http://127.0.0.1:9", kind, headers=headers, **changes) as adapter:
        assert isinstance(adapter, HTTPProvider)
        assert adapter.said_twice() == twice


async def test_a_header_of_the_clients_cannot_end_its_line() -> None:
    async with Evil() as evil, provider(evil.url) as adapter:
        with pytest.raises(BadRequest):
            await adapter.send(outgoing(headers=[("x-a", "b\r\nx-forged: 1")]))
        assert evil.connections == 0


async def test_an_error_says_whose_it_is() -> None:
    async with Evil(welcome="fin") as evil, provider(evil.url) as adapter:
        with pytest.raises(UpstreamError) as caught:
            await adapter.send(outgoing())
        assert caught.value.provider == "mine"


async def test_it_tells_where_it_is_and_not_its_key() -> None:
    async with provider("https://api.example/v1") as adapter:
        assert repr(adapter) == "<OpenAI mine at https://api.example>"
        assert KEY not in repr(vars(adapter).get("_config"))


# --- the list --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "path", "target"), [("openai", "/v1", "/v1/models"), ("anthropic", "", "/v1/models?limit=1000")]
)
async def test_the_list_is_the_configured_models_and_the_providers(kind: str, path: str, target: str) -> None:
    async with Evil(LISTED) as evil, provider(evil.url + path, kind, models=("a", "z")) as adapter:
        assert await adapter.models() == ["a", "z", "b", "c"]
        request = evil.requests[0]
        assert (request.method, request.target) == ("GET", target)
        assert KEY in (request.header("x-api-key") or request.header("authorization") or "")


async def test_the_list_is_asked_for_once_and_known_from_then_on() -> None:
    async with Evil(LISTED) as evil, provider(evil.url, models=("z",)) as adapter:
        assert (adapter.has("z"), adapter.has("b")) == (True, False)
        for _ in range(3):
            assert await adapter.models() == ["z", "b", "c", "a"]
        assert adapter.has("b")
        assert len(evil.requests) == 1


async def test_callers_at_the_same_time_share_one_list() -> None:
    slow = Scenario(body=LISTED.body, delay_head=0.02)
    async with Evil(slow) as evil, provider(evil.url) as adapter:
        assert await asyncio.gather(*(adapter.models() for _ in range(3))) == [["b", "c", "a"]] * 3
        assert len(evil.requests) == 1


async def test_a_caller_that_leaves_does_not_leave_an_empty_list_behind() -> None:
    stall = Scenario(cut_at=0, cut_of="wire", how="stall")
    async with Evil(stall, LISTED) as evil, provider(evil.url) as adapter:
        first = asyncio.create_task(adapter.models())
        await evil.received()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await adapter.models() == ["b", "c", "a"]


async def test_an_old_list_is_asked_for_again_and_kept_where_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "LIFE", 0.0)
    monkeypatch.setattr(listing, "RETRY", 0.0)
    fails = Scenario(status=500)
    newer = Scenario(body=b'{"data":[{"id":"d"}]}')
    async with Evil(LISTED, fails, newer) as evil, provider(evil.url) as adapter:
        lists = [await adapter.models() for _ in range(3)]
        assert lists == [["b", "c", "a"], ["b", "c", "a"], ["d"]]
        assert len(evil.requests) == 3


async def test_a_list_may_be_a_bare_array() -> None:
    """Together's is."""
    bare = Scenario(body=b'[{"id":"meta/b","object":"model"},{"id":"a"}]')
    async with Evil(bare) as evil, provider(evil.url) as adapter:
        assert await adapter.models() == ["meta/b", "a"]


NO_LISTS = [
    (Scenario(status=401, body=b"{}"), "with status 401"),
    (Scenario(status=302, headers=[("Location", "/x")]), "with status 302"),
    (Scenario(body=b"<html>"), "did not answer with a list of models"),
    (Scenario(body=b""), "did not answer with a list of models"),
    (Scenario(body=b"[]"), "did not answer with a list of models"),
    (Scenario(body=b'{"data":{}}'), "did not answer with a list of models"),
    (Scenario(body=b'{"data":[{"id":1}]}'), "did not answer with a list of models"),
    (Scenario(body=b'{"data":[{"id":"\xff"}]}'), "did not answer with a list of models"),
    (Scenario(body=b'{"x":' + b"[" * 100_000), "did not answer with a list of models"),
]


@pytest.mark.parametrize(("answer", "said"), NO_LISTS)
async def test_what_is_no_list_is_an_upstream_error_once_per_retry(answer: Scenario, said: str) -> None:
    async with Evil(answer) as evil, provider(evil.url) as adapter:
        for _ in range(2):
            with pytest.raises(Down, match=said):
                await adapter.models()
        assert len(evil.requests) == 1


async def test_configured_models_are_listed_though_the_provider_does_not_answer() -> None:
    async with Evil(Scenario(status=500)) as evil, provider(evil.url, models=("a",)) as adapter:
        assert await adapter.models() == ["a"]


async def test_a_provider_that_does_not_answer_its_list_is_left_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SIDE_TIMEOUT", 0.05)
    stall = Scenario(cut_at=0, cut_of="wire", how="stall")
    async with Evil(stall) as evil, provider(evil.url) as adapter:
        with pytest.raises(Timeout):
            await adapter.models()


# --- health ----------------------------------------------------------------------------------------------------------


async def test_health_asks_anew_each_time() -> None:
    busy = Scenario(status=503, body=json.dumps({"a": KEY}).encode())
    async with Evil(LISTED, busy) as evil, provider(evil.url) as adapter:
        well, ill = [await adapter.health() for _ in range(2)]
    assert (well.ok, well.detail) == (True, "")
    assert (ill.ok, ill.detail) == (False, "mine answered the request for its list of models with status 503.")
    assert well.latency >= 0


async def test_a_model_list_is_asked_for_in_no_content_coding() -> None:
    async with Evil(LISTED) as evil, provider(evil.url) as adapter:
        await adapter.models()
        assert evil.requests[0].header("accept-encoding") == "identity"


async def test_anthropics_model_list_is_asked_for_by_version() -> None:
    async with Evil(LISTED) as evil, provider(evil.url, "anthropic") as adapter:
        await adapter.models()
        assert evil.requests[0].header("anthropic-version") == "2023-06-01"


async def test_the_key_is_taken_out_of_words() -> None:
    async with Evil() as evil, provider(evil.url) as adapter:
        assert adapter.hide(f"no such key: {KEY}!") == "no such key: ***!"


# --- a host that echoes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asking", [OPENAI, ANTHROPIC], ids=lambda speech: speech.name)  # passed through, translated
@pytest.mark.parametrize("status", [200, 400])
async def test_a_host_that_repeats_our_key_in_a_header_shows_it_to_nobody(asking: Speech, status: int) -> None:
    environ = OPENAI.environ("")
    echoes = [("x-echo", f"Bearer {environ['OPENAI_API_KEY']}"), ("x-request-id", environ["OPENAI_API_KEY"])]
    body = OPENAI.whole if status == 200 else b'{"error":{"message":"No."}}'
    answer = Scenario(
        status=status, body=body, headers=[("content-type", "application/json"), ("x-same", "y"), *echoes]
    )
    async with Evil(answer) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, asking, asking.request(model="openai/m"))
    assert got.status == status
    assert environ["OPENAI_API_KEY"] not in got.raw_headers
    assert got.header("x-request-id") == "***"
    if status == 200:
        assert (got.header("x-echo"), got.header("x-same")) == ("Bearer ***", "y")


# --- whose account it is ---------------------------------------------------------------------------------------------

ACCOUNTS = [("openai-organization", "org-client"), ("openai-project", "client"), ("x-goog-user-project", "client")]


@pytest.mark.parametrize(
    ("kind", "dialect"), [("openai", "openai_chat"), ("azure", "openai_chat"), ("gemini", "gemini")]
)
async def test_with_our_key_go_no_accounts_of_the_clients(kind: str, dialect: str) -> None:
    request = await sent(kind, dialect, [*ACCOUNTS, ("x-a", "b")])
    assert request.header("x-a") == "b"
    assert not dict(ACCOUNTS).keys() & shown(request).keys()


async def test_the_operators_account_is_told_once() -> None:
    for key in (KEY, ""):
        request = await sent("openai", "openai_chat", ACCOUNTS, org_id="org-ours", project="ours", api_key=Secret(key))
        told = [line for line in request.headers if line[0] in dict(ACCOUNTS)]
        assert told == [("openai-organization", "org-ours"), ("openai-project", "ours")]


async def test_where_no_key_is_ours_the_clients_accounts_travel() -> None:
    request = await sent("openai", "openai_chat", ACCOUNTS, api_key=Secret(""))
    assert dict(ACCOUNTS).items() <= shown(request).items()
