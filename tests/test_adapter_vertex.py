"""Is Vertex AI asked where and as Google says, by whom Google knows, and do the clients of its own routes get along?"""

import asyncio
import json
import logging
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import anthropic
import httpx2
import openai
import pytest
from anthropic import AsyncAnthropicVertex
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google import genai
from google.auth import exceptions, external_account
from google.auth.compute_engine import _metadata
from google.genai import errors, types
from google.oauth2.credentials import Credentials
from msgspec.structs import replace

from proxy import registry
from proxy.adapters.google import login
from proxy.adapters.google.login import Login
from proxy.config import Secret
from proxy.dialects.anthropic.vertex import AnthropicVertex
from proxy.envelope import Envelope
from proxy.errors import BadRequest, ConfigError, Down, Refused, Timeout, is_unsent
from proxy.ports import Adapter, Outgoing, Peek
from proxy.ports import Path as Asked
from tests import recordings, replay
from tests.client import ANTHROPIC, OPENAI, ask, chat
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, pillion
from tests.recordings import needs_recordings
from tests.replay import Json, Row, Stage
from tests.test_adapter_gemini import ASKED, JSON, STREAM, WHOLE, heard, is_plain, path_of, plain
from tests.test_adapters_http import provider

TOKEN = "ya29.canary"
PLACE = {"project": "p-1", "location": "eu-west1"}
THERE = "/v1/projects/p-1/locations/eu-west1"
READY = {"api_key": Secret(TOKEN), **PLACE}
EVENTS = [("content-type", "text/event-stream; charset=utf-8")]
FIREWORKSES = "accounts/fireworks/models/kimi"
COUNTED = Scenario(body=b'{"totalTokens":7}', headers=JSON)


async def sent(dialect: str = "gemini", model: str = "m", body: bytes = b"{}", **changes: Any) -> Received:
    """What the upstream receives."""
    config = changes.pop("config", READY)
    outgoing = replace(Outgoing(dialect, model, body, False, [], ""), **changes)
    async with Evil(WHOLE) as evil, provider(evil.url, "vertex", **config) as adapter:
        await (await adapter.send(outgoing)).read(1000)
        return evil.requests[0]


# --- where -----------------------------------------------------------------------------------------------------------

GOOGLES, CLAUDES = f"{THERE}/publishers/google/models", f"{THERE}/publishers/anthropic/models"


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({}, f"{GOOGLES}/m:generateContent"),
        ({"model": "google/m"}, f"{GOOGLES}/m:generateContent"),
        ({"model": "endpoints/12"}, f"{THERE}/endpoints/12:generateContent"),
        ({"model": "endpoints/12/../../x"}, f"{THERE}/endpoints/12%2F..%2F..%2Fx:generateContent"),
        ({"model": "google/endpoints/../x"}, f"{THERE}/endpoints/..%2Fx:generateContent"),
        ({"model": "m?x:y"}, f"{GOOGLES}/m%3Fx%3Ay:generateContent"),
        ({"stream": True}, f"{GOOGLES}/m:streamGenerateContent?alt=sse"),
        ({"stream": True, "as_array": True}, f"{GOOGLES}/m:streamGenerateContent"),
        ({"operation": "count_tokens"}, f"{GOOGLES}/m:countTokens"),
        ({"dialect": "anthropic", "model": "claude-x@20250101"}, f"{CLAUDES}/claude-x@20250101:rawPredict"),
        ({"dialect": "anthropic", "model": "anthropic/odd", "stream": True}, f"{CLAUDES}/odd:streamRawPredict"),
        ({"dialect": "anthropic", "model": "claude-x", "query": "beta=true"}, f"{CLAUDES}/claude-x:rawPredict"),
        (
            {"dialect": "anthropic", "model": "claude-x", "operation": "count_tokens"},
            f"{CLAUDES}/count-tokens:rawPredict",
        ),
        ({"dialect": "openai_chat", "model": "meta/llama"}, f"{THERE}/endpoints/openapi/chat/completions"),
        ({"config": {**READY, "project": "a/b"}}, GOOGLES.replace("p-1", "a%2Fb") + "/m:generateContent"),
        ({"config": {**READY, "api_version": "v1beta1"}}, GOOGLES.replace("v1", "v1beta1", 1) + "/m:generateContent"),
        ({"config": {"api_key": Secret("AIza")}}, "/v1/publishers/google/models/m:generateContent"),
        ({"config": {"api_key": Secret("AIza"), **PLACE}}, "/v1/publishers/google/models/m:generateContent"),
    ],
)
async def test_the_path_has_project_publisher_and_model(changes: Json, target: str) -> None:
    request = await sent(**changes)
    assert (request.method, request.target) == ("POST", target)


@pytest.mark.parametrize(
    ("model", "dialects"),
    [
        ("gemini-3-pro", ("gemini",)),
        ("google/gemini-3-pro", ("gemini",)),
        ("endpoints/12", ("gemini",)),
        ("claude-opus-4-8@20260101", ("anthropic",)),
        ("anthropic/claude-x", ("anthropic",)),
        ("meta/llama-4", ("openai_chat",)),
        ("mistralai/mistral-large", ("openai_chat",)),
    ],
)
async def test_a_models_publisher_says_which_wire_it_speaks(model: str, dialects: tuple[str, ...]) -> None:
    async with provider("http://127.0.0.1:1", "vertex", **READY) as adapter:
        assert adapter.takes(model) == dialects


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"api_key": Secret(TOKEN)}, "mine has no project: set GOOGLE_CLOUD_PROJECT, or the provider's `project`"),
        ({"api_key": Secret(TOKEN), "project": "p"}, "mine has no location"),
        ({"api_key": Secret("AIza")}, "mine has no project"),
    ],
)
async def test_who_did_not_say_where_is_told_what_to_set(config: Json, said: str) -> None:
    with pytest.raises(Refused, match=said) as caught:
        await sent("anthropic", "claude-x", config=config)
    assert (caught.value.status, caught.value.kind) == (401, "authentication")


# --- envelopes -------------------------------------------------------------------------------------------------------

VERSION = b'"anthropic_version":"vertex-2023-10-16"'


@pytest.mark.parametrize(
    ("body", "received"),
    [
        (b'{"model":"c", "n":1.0}', b'{ "n":1.0,%b}' % VERSION),
        (b'{"n": 1, "stream": true ,"model":"c"}', b'{"n": 1, "stream": true ,%b}' % VERSION),
        (b'{"anthropic_version": "bedrock-x","model":"c"}', b'{"anthropic_version": "bedrock-x"}'),
    ],
)
async def test_a_claude_is_named_by_the_path_and_its_version_by_the_body(body: bytes, received: bytes) -> None:
    assert (await sent("anthropic", "claude-x", body)).body == received


async def test_where_tokens_are_counted_the_body_names_the_claude() -> None:
    request = await sent("anthropic", "anthropic/claude-x", b'{"model":"anthropic/claude-x"}', operation="count_tokens")
    assert request.body == b'{"model":"claude-x",%b}' % VERSION


@pytest.mark.parametrize(
    ("body", "received"),
    [
        (ASKED, ASKED),
        (b'{"generateContentRequest":{"model":"models/m", "tools":[ ],"safetySettings":[]}}', b'{ "tools":[ ]}'),
        (b'{"generate_content_request":{"contents":[1.0],"tool_config":{}}}', b'{"contents":[1.0]}'),
    ],
)
async def test_a_count_takes_the_fields_of_a_request_as_they_are(body: bytes, received: bytes) -> None:
    assert (await sent(body=body, operation="count_tokens")).body == received


@pytest.mark.parametrize("dialect", ["gemini", "openai_chat"])
async def test_any_other_body_is_sent_as_it_is(dialect: str) -> None:
    assert (await sent(dialect, "meta/m", b'{"model": "meta/m" }')).body == b'{"model": "meta/m" }'


# --- who asks: a key, or a token that somebody else got ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "shown"),
    [("AIza-1", {"x-goog-api-key": "AIza-1"}), ("eyJhbGci.x", {"authorization": "Bearer eyJhbGci.x"})],
)
async def test_a_key_and_a_token_are_each_shown_in_their_own_way(key: str, shown: Json) -> None:
    request = await sent(config={"api_key": Secret(key), **PLACE})
    assert {name: value for name, value in request.headers if "goog" in name or name == "authorization"} == shown


async def test_the_list_is_googles_own() -> None:
    names = [{"name": "publishers/google/models/gemini-x"}, {"name": "publishers/google/models/gemini-y"}]
    pages = [Scenario(body=json.dumps({"publisherModels": [name], "nextPageToken": "t"}).encode()) for name in names]
    async with (
        Evil(*pages, Scenario(body=b"{}")) as evil,
        provider(evil.url, "vertex", **READY) as adapter,
    ):
        assert await adapter.models() == ["gemini-x", "gemini-y"]
        assert evil.requests[1].target == "/v1beta1/publishers/google/models?pageSize=1000&pageToken=t"
        assert evil.requests[1].header("authorization") == f"Bearer {TOKEN}"


# --- who asks: google-auth -------------------------------------------------------------------------------------------


@cache
def private_key() -> str:
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(pem, pkcs8, serialization.NoEncryption()).decode()


class Google:
    """An upstream that gives tokens, numbered, at /token and the metadata server's places, and answers chats."""

    def __init__(self) -> None:
        self.tokens: list[Scenario] = []  # that come before those that are as they should be
        self.chat = WHOLE
        self.life = 3600
        self.evil = Evil(answering=self._answer)
        self._given = 0

    def asked(self, path: str = "/token") -> list[Received]:
        return [request for request in self.evil.requests if request.target.partition("?")[0] == path]

    @property
    def shown(self) -> list[str | None]:
        """How the chats were asked."""
        return [request.header("authorization") for request in self.evil.requests if ":generate" in request.target]

    def _answer(self, request: Received) -> Scenario:
        path = request.target.partition("?")[0]
        if path in ("/token", f"{METADATA}/instance/service-accounts/default/token"):
            return self.tokens.pop(0) if self.tokens else self._token()
        if path == "/v1/projects/1":
            return Scenario(body=b'{"projectId":"p-pool"}', headers=JSON)
        if path in MACHINE:
            return Scenario(body=MACHINE[path], headers=[("Metadata-Flavor", "Google"), ("content-type", "text/plain")])
        if path == f"{METADATA}/instance/service-accounts/default/":
            return Scenario(body=b'{"email":"default","scopes":[]}', headers=JSON)
        return self.chat

    def _token(self) -> Scenario:
        self._given += 1
        said = {"access_token": f"{TOKEN}-{self._given}", "expires_in": self.life, "token_type": "Bearer"}
        return Scenario(body=json.dumps(said).encode(), headers=JSON)


METADATA = "/computeMetadata/v1"
MACHINE = {"/": b"computeMetadata/", f"{METADATA}/project/project-id": b"p-machine"}


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials but the test's own, and no machine of Google's."""
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(_metadata, "_NO_GCE_CHECK", True)


@pytest.fixture
def key_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Where GOOGLE_APPLICATION_CREDENTIALS points; `write_key` fills it."""
    path = tmp_path / "key.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    yield path
    path.unlink(missing_ok=True)


def write_key(path: Path, url: str, **more: Any) -> None:
    info: Json = {
        "type": "service_account",
        "project_id": "p-file",
        "private_key_id": "1",
        "private_key": private_key(),
        "client_email": "pillion@p-file.iam.gserviceaccount.com",
        "token_uri": url,
    }
    write(path, json.dumps(info | more))


def write(path: Path, text: str) -> None:
    path.write_text(text)


@asynccontextmanager
async def logged_in(path: Path, **config: Any) -> AsyncIterator[tuple[Google, Adapter]]:
    """A provider with a service account, whose token endpoint and API are one."""
    google = Google()
    async with google.evil as evil:
        write_key(path, f"{evil.url}/token")
        config = {"api_key": Secret(""), "location": "eu-west1", **config}
        async with provider(evil.url, "vertex", **config) as adapter:
            yield google, adapter


async def speak(adapter: Adapter) -> int:
    answer = await adapter.send(Outgoing("gemini", "m", b"{}", False, [], ""))
    await answer.read(10_000)
    return answer.status


async def test_a_service_account_gets_a_token_for_its_own_project(key_file: Path) -> None:
    async with logged_in(key_file) as (google, adapter):
        await speak(adapter)
        (asked,) = google.asked()
        form = parse_qs(asked.body.decode())
        assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        chat = google.evil.requests[-1]
        assert chat.target == "/v1/projects/p-file/locations/eu-west1/publishers/google/models/m:generateContent"
        assert chat.header("authorization") == f"Bearer {TOKEN}-1"


def write_workload(path: Path, url: str) -> None:
    """As `gcloud iam workload-identity-pools create-cred-config` writes it, for a token that a platform mounts."""
    mounted = path.with_suffix(".jwt")
    write(mounted, "of-the-platform")
    info = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/ours",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": url,
        "credential_source": {"file": str(mounted)},
    }
    write(path, json.dumps(info))


@pytest.mark.filterwarnings("ignore:The load_credentials_from_file method:DeprecationWarning")
@pytest.mark.parametrize("of_row", [False, True])
async def test_a_workload_shows_its_platforms_token_and_gets_googles(
    tmp_path: Path, key_file: Path, of_row: bool
) -> None:
    """Whether the row names the file, or the environment does."""
    google, file = Google(), tmp_path / "row.json" if of_row else key_file
    async with google.evil as evil:
        write_workload(file, f"{evil.url}/token")
        row = {"api_key": Secret(""), **PLACE, **({"credentials": file} if of_row else {})}
        async with provider(evil.url, "vertex", **row) as adapter:
            await speak(adapter)
            (asked,) = google.asked()
            form = parse_qs(asked.body.decode())
            assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:token-exchange"]
            assert form["subject_token"] == ["of-the-platform"]
            assert form["scope"] == ["https://www.googleapis.com/auth/cloud-platform"]
            assert google.shown == [f"Bearer {TOKEN}-1"]
            assert evil.requests[-1].target.startswith(f"{THERE}/publishers/google/models/m")
            assert len(evil.requests) == 2


@pytest.mark.filterwarnings("ignore:The load_credentials_from_file method:DeprecationWarning")
async def test_a_workload_whose_project_nobody_says_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    google, file = Google(), tmp_path / "row.json"
    async with google.evil as evil:
        monkeypatch.setattr(external_account, "_CLOUD_RESOURCE_MANAGER", f"{evil.url}/v1/projects/")
        write_workload(file, f"{evil.url}/token")
        row = {"api_key": Secret(""), "location": "eu-west1", "credentials": file}
        async with provider(evil.url, "vertex", **row) as adapter:
            await speak(adapter)
        assert google.asked("/v1/projects/1")[0].header("authorization") == f"Bearer {TOKEN}-1"
        assert evil.requests[-1].target.startswith("/v1/projects/p-pool/locations/eu-west1/")


async def test_a_key_file_that_names_no_project_is_told_of(key_file: Path) -> None:
    async with logged_in(key_file) as (google, adapter):
        write_key(key_file, f"{google.evil.url}/token", project_id=None)
        with pytest.raises(Refused, match="mine has no project: set GOOGLE_CLOUD_PROJECT"):
            await speak(adapter)


@pytest.mark.filterwarnings("ignore:The load_credentials_from_file method:DeprecationWarning")
async def test_who_cannot_ask_for_its_project_has_credentials_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    google, file = Google(), tmp_path / "row.json"
    async with google.evil as evil:
        monkeypatch.setattr(external_account, "_CLOUD_RESOURCE_MANAGER", "http://127.0.0.1:1/v1/projects/")
        write_workload(file, f"{evil.url}/token")
        row = {"api_key": Secret(""), "location": "eu-west1", "credentials": file}
        async with provider(evil.url, "vertex", **row) as adapter:
            with pytest.raises(Down, match="token endpoint cannot be reached for mine") as caught:
                await speak(adapter)
        assert (caught.value.kind, caught.value.code) == ("network_error", "token_error")


@pytest.mark.filterwarnings("ignore:The load_credentials_from_file method:DeprecationWarning")
async def test_the_rows_own_key_file_wins_over_the_environments(
    tmp_path: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(key_file, "{}")
    async with logged_in(tmp_path / "row.json", credentials=tmp_path / "row.json") as (google, adapter):
        await speak(adapter)
        (asked,) = google.asked()
        assert parse_qs(asked.body.decode())["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        assert google.evil.requests[-1].target.startswith("/v1/projects/p-file/locations/eu-west1/")
        assert google.shown == [f"Bearer {TOKEN}-1"]


@pytest.mark.filterwarnings("ignore:The load_credentials_from_file method:DeprecationWarning")
async def test_a_key_file_of_the_configurations_is_used(tmp_path: Path) -> None:
    google, file = Google(), tmp_path / "row.json"
    async with google.evil as evil:
        write_key(file, f"{evil.url}/token")
        row = {"PILLION_VERTEX_BASE_URL": evil.url, "PILLION_VERTEX_LOCATION": "global"}
        async with pillion(**row, PILLION_VERTEX_CREDENTIALS=str(file)) as gateway:
            got = await ask(gateway, "POST", "/v1beta/models/vertex/m:generateContent", ASKED)
    assert (got.status, google.shown) == (200, [f"Bearer {TOKEN}-1"])


@pytest.mark.filterwarnings("ignore:The load_credentials_from_file method:DeprecationWarning")
@pytest.mark.parametrize("text", [None, "", "{}", '{"type":"service_account"}'])
async def test_a_rows_key_file_that_is_none_is_told(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "row.json"
    if text is not None:
        write(file, text)
    row = {"api_key": Secret(""), "credentials": file, **PLACE}
    async with provider("http://127.0.0.1:1", "vertex", **row) as adapter:
        with pytest.raises(Refused, match="or `credentials` in its row") as caught:
            await speak(adapter)
        assert caught.value.code == "no_credentials"
        assert str(file) not in caught.value.message


async def test_a_token_that_google_repeats_in_a_header_is_not_passed_on(key_file: Path) -> None:
    async with logged_in(key_file) as (google, adapter):
        google.chat = Scenario(body=b"{}", headers=[*JSON, ("x-echo", f"Bearer {TOKEN}-1")])
        answer = await adapter.send(Outgoing("gemini", "m", b"{}", False, [], ""))
        await answer.read(1000)
        assert answer.headers["x-echo"] == "Bearer ***"


async def test_twenty_at_once_wait_for_one_token(key_file: Path) -> None:
    async with logged_in(key_file) as (google, adapter):
        await asyncio.gather(*(speak(adapter) for _ in range(20)))
        assert len(google.asked()) == 1
        assert google.shown == [f"Bearer {TOKEN}-1"] * 20


async def test_near_its_end_a_token_is_shown_while_the_next_is_fetched(
    key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "RETRY", 0.0)
    async with logged_in(key_file) as (google, adapter):
        google.life = int(login.EARLY) - 50
        await speak(adapter)
        google.tokens.append(Scenario(cut_at=0, cut_of="wire", how="stall"))
        await asyncio.gather(*(speak(adapter) for _ in range(20)))
        assert google.shown == [f"Bearer {TOKEN}-1"] * 21
        await google.evil.received(23)
        await asyncio.gather(*(speak(adapter) for _ in range(5)))
        assert len(google.asked()) == 2


async def test_a_token_that_has_ended_is_waited_for(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "RETRY", 0.0)
    async with logged_in(key_file) as (google, adapter):
        google.life = 5
        await speak(adapter)
        google.life = 3600
        await asyncio.gather(*(speak(adapter) for _ in range(20)))
        assert google.shown == [f"Bearer {TOKEN}-1"] + [f"Bearer {TOKEN}-2"] * 20


async def test_whoever_leaves_takes_the_token_from_nobody(key_file: Path) -> None:
    async with logged_in(key_file) as (google, adapter):
        first = asyncio.create_task(speak(adapter))
        second = asyncio.create_task(speak(adapter))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == 200
        assert first.cancelled()
        assert len(google.asked()) == 1


async def test_a_token_that_google_takes_for_none_is_followed_by_another(
    key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with logged_in(key_file) as (google, adapter):
        google.chat = Scenario(status=401, body=b"{}", headers=JSON)
        assert [await speak(adapter), await speak(adapter)] == [401, 401]
        assert len(google.asked()) == 1  # a brand-new one is not followed, however often it is refused
        monkeypatch.setattr(login, "RETRY", 0.0)
        assert [await speak(adapter), await speak(adapter)] == [401, 401]
        assert google.shown[-1] == f"Bearer {TOKEN}-2"


async def test_a_clock_that_is_put_back_keeps_nobody_from_another_token(
    key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "RETRY", 0.0)
    async with logged_in(key_file) as (google, adapter):
        google.tokens.append(Scenario(status=400, body=b'{"error":"invalid_grant"}', headers=JSON))
        with pytest.raises(Refused):
            await speak(adapter)
        monkeypatch.setattr(login, "time", lambda: time.time() - 86400)
        assert await speak(adapter) == 200
        google.chat = Scenario(status=401, body=b"{}", headers=JSON)
        monkeypatch.setattr(login, "time", lambda: time.time() - 2 * 86400)
        assert [await speak(adapter), await speak(adapter)] == [401, 401]
        assert google.shown[-2:] == [f"Bearer {TOKEN}-{n}" for n in (1, 2)]


async def test_health_and_list_log_in_as_well(key_file: Path) -> None:
    async with logged_in(key_file) as (google, adapter):
        google.chat = Scenario(body=b'{"publisherModels":[]}', headers=JSON)
        assert (await adapter.health()).ok
        assert google.evil.requests[-1].header("authorization") == f"Bearer {TOKEN}-1"


async def test_the_metadata_server_is_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    google = Google()
    async with google.evil as evil, provider(evil.url, "vertex", api_key=Secret(""), location="global") as adapter:
        monkeypatch.setattr(_metadata, "_NO_GCE_CHECK", False)
        monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", f"127.0.0.1:{evil.port}")
        monkeypatch.setenv("GCE_METADATA_IP", f"127.0.0.1:{evil.port}")
        await speak(adapter)
        asked = evil.requests[-1]
        assert asked.target.startswith("/v1/projects/p-machine/locations/global/")
        assert asked.header("authorization") == f"Bearer {TOKEN}-1"


async def test_whoever_pays_is_named(monkeypatch: pytest.MonkeyPatch, key_file: Path) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "payer")
    async with logged_in(key_file) as (google, adapter):
        await speak(adapter)
        assert google.evil.requests[-1].header("x-goog-user-project") == "payer"


@pytest.mark.parametrize("where", ["row", "environment", "nowhere"])
async def test_the_login_trusts_whom_the_provider_trusts(
    key_file: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the environment says to requests is the app's business: REQUESTS_CA_BUNDLE would outdo the row's `ca`."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    google = Google()
    async with google.evil as api, Evil(google._token(), tls=True) as secure:
        write_key(key_file, f"{secure.url}/token")
        row: dict[str, Any] = {"api_key": Secret(""), **PLACE, "ca": secure.ca_pem if where == "row" else None}
        if where == "environment":
            monkeypatch.setenv("SSL_CERT_FILE", str(secure.ca_pem))
        async with provider(api.url, "vertex", **row) as adapter:
            if where == "nowhere":
                with pytest.raises(Down, match="cannot be reached"):
                    await speak(adapter)
                secure.queue.clear()
            else:
                assert await speak(adapter) == 200
        assert google.shown == ([] if where == "nowhere" else [f"Bearer {TOKEN}-1"])


async def test_where_the_system_has_only_a_folder_of_cas_the_login_trusts_those(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Debian does, unless somebody has made a file of them."""
    trusted: list[Any] = []

    def nobody(request: Any) -> None:
        trusted.append(request.session.verify)
        raise exceptions.DefaultCredentialsError("none")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(login, "default", nobody)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: SimpleNamespace(cafile=None, capath=str(tmp_path)))
    async with provider("http://127.0.0.1:1", "vertex", api_key=Secret(""), **PLACE) as adapter:
        with pytest.raises(Refused, match="no Google Cloud credentials"):
            await speak(adapter)
    assert trusted == [str(tmp_path)]


async def test_the_login_heeds_no_proxy_of_the_environments(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with Evil() as way_out, logged_in(key_file) as (google, adapter):
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, way_out.url)
        assert await speak(adapter) == 200
        assert (len(google.asked()), way_out.connections) == (1, 0)


async def test_the_login_goes_through_the_providers_own_proxy(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuses = Scenario(status=502, then="close")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    async with Evil(refuses) as way_out:
        write_key(key_file, "https://token.invalid/token")
        row = {"api_key": Secret(""), "proxy": Secret(way_out.url), **PLACE}
        async with provider("http://127.0.0.1:1", "vertex", **row) as adapter:
            with pytest.raises(Down, match="cannot be reached"):
                await speak(adapter)
        assert (way_out.requests[0].method, way_out.requests[0].target) == ("CONNECT", "token.invalid:443")


# --- who is not known ------------------------------------------------------------------------------------------------


async def test_without_credentials_it_is_told_what_to_set(caplog: pytest.LogCaptureFixture) -> None:
    async with provider("http://127.0.0.1:1", "vertex", api_key=Secret(""), **PLACE) as adapter:
        for _ in range(2):  # the second time nobody looks again
            with pytest.raises(Refused, match="set GOOGLE_APPLICATION_CREDENTIALS to the path") as caught:
                await speak(adapter)
            assert (caught.value.status, caught.value.kind) == (401, "authentication")
            assert (caught.value.provider, caught.value.code) == ("mine", "no_credentials")
    assert [record.name for record in caplog.records].count("pillion") == 1


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"type":"service_account"}', '{"type":"service_account","x":1}']
)
async def test_a_key_file_that_is_none_is_told(key_file: Path, text: str) -> None:
    write(key_file, text)
    async with provider("http://127.0.0.1:1", "vertex", api_key=Secret(""), **PLACE) as adapter:
        with pytest.raises(Refused) as caught:
            await speak(adapter)
        assert caught.value.code == "no_credentials"
        assert str(key_file) not in caught.value.message


TOKENS_THAT_ARE_NONE = [
    Scenario(status=400, body=b'{"error":"invalid_grant","error_description":"Invalid JWT: canary-assertion"}'),
    Scenario(status=401, body=b"canary-assertion"),
    *(
        Scenario(body=body, headers=JSON)
        for body in (
            b"",
            b"canary-assertion",
            b"\xff\xfe",
            b"[]",
            b"{}",
            b'{"access_token":5}',
            b'{"access_token":"canary-assertion\\r\\nx: y","expires_in":9}',
            b'{"access_token":"canary-assertion","expires_in":"soon"}',
            b'{"access_token":"canary-assertion","expires_in":1e300}',
        )
    ),
]


@pytest.mark.parametrize("answer", TOKENS_THAT_ARE_NONE, ids=lambda answer: repr(answer.body[:40]))
async def test_whatever_the_token_endpoint_says_is_a_refusal(
    key_file: Path, answer: Scenario, caplog: pytest.LogCaptureFixture
) -> None:
    async with logged_in(key_file) as (google, adapter):
        google.tokens.append(answer)
        with pytest.raises(Refused, match="Google refused an access token for mine") as caught:
            await speak(adapter)
        assert (caught.value.kind, caught.value.code) == ("authentication", "token_refused")
        assert ("invalid_grant" in caught.value.message) == (b"invalid_grant" in answer.body)
        assert "canary" not in caught.value.message + caplog.text
        assert google.shown == []


async def test_a_token_endpoint_that_is_not_there_is_no_refusal(key_file: Path) -> None:
    write_key(key_file, "http://127.0.0.1:1/token")
    async with provider("http://127.0.0.1:1", "vertex", api_key=Secret(""), **PLACE) as adapter:
        with pytest.raises(Down, match="cannot be reached") as caught:
            await speak(adapter)
        assert (caught.value.kind, caught.value.code) == ("network_error", "token_error")
        assert "127.0.0.1" not in caught.value.message


def test_a_token_endpoint_that_fails_for_a_while_is_no_refusal() -> None:
    error = login._fault("mine", exceptions.RefreshError("backend", retryable=True))()  # type: ignore[no-untyped-call]
    assert (type(error), error.kind, error.elsewhere) == (Down, "network_error", True)


async def test_a_token_endpoint_that_does_not_answer_is_left(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "PATIENCE", 0.02)
    async with logged_in(key_file) as (google, adapter):
        google.tokens.append(Scenario(cut_at=0, cut_of="wire", how="stall"))
        with pytest.raises(Timeout, match=r"did not issue an access token for mine within 0\.02 s") as caught:
            await speak(adapter)
        assert caught.value.code == "token_timeout"
        assert is_unsent(caught.value)


async def test_a_login_that_fails_leaves_a_good_token_alone(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "RETRY", 0.0)
    async with logged_in(key_file) as (google, adapter):
        google.life = int(login.EARLY) - 50
        await speak(adapter)
        google.tokens.append(Scenario(status=400, body=b'{"error":"invalid_grant"}', headers=JSON))
        await speak(adapter)
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "login of mine"))
        google.life = 3600
        await speak(adapter)
        assert google.shown == [f"Bearer {TOKEN}-1"] * 3


async def test_a_new_key_file_is_read_once_the_old_one_is_refused(
    key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "RETRY", 0.0)
    async with logged_in(key_file) as (google, adapter):
        write_key(key_file, f"{google.evil.url}/old")
        google.chat = Scenario(status=400, body=b'{"error":"invalid_grant"}', headers=JSON)  # of /old as well
        with pytest.raises(Refused):
            await speak(adapter)
        write_key(key_file, f"{google.evil.url}/token")
        assert await speak(adapter) == 400
        assert len(google.asked()) == 1


async def test_a_token_is_never_seen(key_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told = json.dumps({"error": {"code": 403, "message": f"Not with {TOKEN}-1.", "status": "PERMISSION_DENIED"}})
    google = Google()
    google.chat = Scenario(status=403, body=told.encode(), headers=JSON)
    async with google.evil as evil:
        write_key(key_file, f"{evil.url}/token")
        environ = {"PILLION_VERTEX_BASE_URL": evil.url, "PILLION_VERTEX_LOCATION": "global"}
        async with pillion(**environ) as gateway:
            got = await ask(gateway, "POST", "/v1beta/models/vertex/m:generateContent", ASKED)
            adapter = gateway.app.catalog.adapters["vertex"]
            seen = [got.body.decode(), got.raw_headers, caplog.text, repr(adapter), repr(vars(adapter))]
    assert got.status == 403
    assert "Not with ***" in seen[0]
    assert [text for text in seen if TOKEN in text or "BEGIN" in text] == []


async def test_a_providers_words_are_told_without_the_token(key_file: Path) -> None:
    async with logged_in(key_file) as (google, adapter):
        google.tokens.append(Scenario(body=b'{"access_token":"like no other","expires_in":3600}', headers=JSON))
        await speak(adapter)
        assert adapter.hide("Who is like no other?") == "Who is ***?"


async def test_a_login_says_how_it_stands(key_file: Path) -> None:
    async with logged_in(key_file) as (_, adapter):
        mine: Login = vars(adapter)["_login"]
        assert repr(mine) == "<Login of mine to no project: token none>"
        await speak(adapter)
        assert repr(mine) == "<Login of mine to p-file: token good>"


# --- the extra -------------------------------------------------------------------------------------------------------


def test_without_google_auth_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("vertex", "login"):
        monkeypatch.delitem(sys.modules, f"proxy.adapters.google.{name}")
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(ConfigError, match=r"pip install 'pillion\[vertex\]'"):
        registry.adapter("vertex")


def test_who_asks_for_no_vertex_pays_for_none() -> None:
    look = "import sys, proxy.app, proxy.adapters.google.gemini; print('google.auth' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", look], text=True).strip() == "False"


# --- how clients of Claude on Vertex AI ask --------------------------------------------------------------------------

WIRE = AnthropicVertex()
LONG = "p/locations/l/publishers/anthropic/models/"
CLAUDE_ASKED = b'{"anthropic_version":"vertex-2023-10-16","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]%b}'


@pytest.mark.parametrize(
    ("rest", "body", "peek"),
    [
        (f"{LONG}claude-x@20250101:rawPredict", b"{}", Peek("claude-x@20250101", False)),
        (f"{LONG}claude-x:streamRawPredict", b"{}", Peek("claude-x", True)),
        (f"{LONG}claude-x:streamRawPredict", b'{"stream":false}', Peek("claude-x", False)),
        (f"{LONG}claude-x:rawPredict", b'{"stream":true,"model":"claude-x"}', Peek("claude-x", True)),
        (f"{LONG}openai/gpt-5:rawPredict", b"{}", Peek("openai/gpt-5", False)),
        (f"{LONG}a/publishers/b/models/c:d:rawPredict", b"{}", Peek("a/publishers/b/models/c:d", False)),
        ("anthropic/models/claude-x:rawPredict", b"{}", Peek("claude-x", False)),
        (f"{LONG}count-tokens:rawPredict", b'{"model":"openai/gpt-5"}', Peek("openai/gpt-5", False)),
    ],
)
def test_the_path_names_the_model(rest: str, body: bytes, peek: Peek) -> None:
    assert WIRE.peek(Envelope(body), Asked(rest)) == peek


@pytest.mark.parametrize(
    ("rest", "body", "said"),
    [
        ("p/locations/l/publishers/mistralai/models/m:rawPredict", b"{}", "publishers/anthropic/models/MODEL"),
        ("x:rawPredict", b"{}", "publishers/anthropic"),
        (f"{LONG}:rawPredict", b"{}", "publishers/anthropic"),
        (f"{LONG}claude-x:rawPredict", b'{"model":"claude-y"}', "model is 'claude-y', but the path names 'claude-x'"),
        (f"{LONG}claude-x:rawPredict", b'{"stream":1}', "stream must be a boolean"),
        (f"{LONG}count-tokens:rawPredict", b"{}", "model must be a non-empty string, but it is missing"),
    ],
)
def test_what_the_path_cannot_mean_is_refused(rest: str, body: bytes, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        WIRE.peek(Envelope(body), Asked(rest))


def test_its_body_becomes_one_of_the_messages_api() -> None:
    body = CLAUDE_ASKED % b', "temperature":1.0'
    request = WIRE.parse(body, Peek("m", True))
    assert (request.model, request.stream, request.wire, request.extra) == ("m", True, "anthropic", {})
    made = WIRE.forward(Envelope(body), "m", False).body
    assert made == b'{"max_tokens":9,"messages":[{"role":"user","content":"Hi"}], "temperature":1.0,"model":"m"}'
    assert WIRE.count_parse(b'{"messages":[],"model":"x"}', Peek("x", False)).model == "x"


# --- the clients, through pillion ------------------------------------------------------------------------------------

VERTEX = {"PILLION_VERTEX_API_KEY": TOKEN, "PILLION_VERTEX_PROJECT": "p-1", "PILLION_VERTEX_LOCATION": "eu-west1"}


@asynccontextmanager
async def stage(**environ: str) -> AsyncIterator[Stage]:
    """A pillion that has Vertex AI, Anthropic and OpenAI at one place."""
    async with Evil(answering=lambda request: acting.plays) as evil:
        there = {
            **{f"PILLION_{name}_BASE_URL": evil.url for name in ("VERTEX", "ANTHROPIC")},
            "PILLION_OPENAI_BASE_URL": f"{evil.url}/v1",
            "ANTHROPIC_API_KEY": "a",
            "OPENAI_API_KEY": "o",
        }
        async with pillion(**VERTEX, **there, **environ) as gateway:
            acting = Stage(gateway, evil)
            yield acting


@asynccontextmanager
async def claude(gateway: Gateway) -> AsyncIterator[AsyncAnthropicVertex]:
    async with AsyncAnthropicVertex(
        base_url=f"{gateway.url}/v1", access_token="theirs", region="r", project_id="q", max_retries=0
    ) as client:
        yield client


@asynccontextmanager
async def google_sdk(gateway: Gateway, **who: Any) -> AsyncIterator[genai.Client]:
    transport = {"transport": httpx2.AsyncHTTPTransport()}  # else it inherits from aiohttp, which warns
    options = types.HttpOptions(base_url=gateway.url, async_client_args=transport)
    client = genai.Client(vertexai=True, http_options=options, **who)
    try:
        yield client
    finally:
        await client.aio.aclose()
        client.close()


IN_A_PROJECT = {"project": "q", "location": "r", "credentials": Credentials("theirs")}  # type: ignore[no-untyped-call]
SAYING: Any = {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}

FROM_CLAUDES = {  # model: what goes out, and what is answered
    "vertex/claude-x@20250101": (f"{CLAUDES}/claude-x@20250101:%s", ANTHROPIC),
    "anthropic/claude-x": ("/v1/messages", ANTHROPIC),
    "openai/gpt-x": ("/v1/chat/completions", OPENAI),
}


@pytest.mark.parametrize("model", FROM_CLAUDES)
async def test_anthropics_vertex_sdk_talks_to_any_provider(model: str) -> None:
    path, speech = FROM_CLAUDES[model]
    async with stage() as acting, claude(acting.gateway) as client:
        acting.plays = Scenario(body=speech.whole, headers=JSON)
        got = await client.messages.create(model=model, **SAYING)
        assert [block.text for block in got.content if block.type == "text"] == ["Grüße"]
        assert acting.last().target == path.replace("%s", "rawPredict")
        acting.plays = Scenario(body=speech.stream, headers=EVENTS)
        async with client.messages.stream(model=model, **SAYING) as stream:
            assert await stream.get_final_text() == "Grüße"
        assert acting.last().target == path.replace("%s", "streamRawPredict")
        said = json.loads(acting.last().body)
        assert said["stream"] is True
        assert said.get("model") == (None if model.startswith("vertex") else model.partition("/")[2])
        assert ("anthropic_version" in said) == model.startswith("vertex")
        assert "theirs" not in acting.last().head.decode()


async def test_its_betas_reach_anthropic() -> None:
    async with stage() as acting, claude(acting.gateway) as client:
        acting.plays = Scenario(body=ANTHROPIC.whole, headers=JSON)
        beta: Any = client.beta.messages
        await beta.create(model="anthropic/claude-x", betas=["context-1m-2025-08-07"], **SAYING)
        assert acting.last().header("anthropic-beta") == "context-1m-2025-08-07"


async def test_it_counts_tokens() -> None:
    asked: Any = {"messages": SAYING["messages"]}
    async with stage() as acting, claude(acting.gateway) as client:
        acting.plays = Scenario(body=b'{"input_tokens":7}', headers=JSON)
        for model in ("vertex/claude-x", "anthropic/claude-x"):
            assert (await client.messages.count_tokens(model=model, **asked)).input_tokens == 7
        one, other = acting.evil.requests
        assert one.target == f"{CLAUDES}/count-tokens:rawPredict"
        assert other.target == "/v1/messages/count_tokens"
        assert json.loads(one.body)["model"] == json.loads(other.body)["model"] == "claude-x"


async def test_an_anthropic_client_is_told_what_vertex_refuses() -> None:
    said = {"type": "error", "error": {"type": "not_found_error", "message": "No such model."}}
    async with stage() as acting, claude(acting.gateway) as client:
        acting.plays = Scenario(status=404, body=json.dumps(said).encode(), headers=JSON)
        with pytest.raises(anthropic.NotFoundError, match="No such model"):
            await client.messages.create(model="vertex/claude-x", **SAYING)


async def test_anthropics_beta_query_is_not_said_to_google() -> None:
    async with stage() as acting:
        acting.plays = Scenario(body=ANTHROPIC.whole, headers=JSON)
        body = ANTHROPIC.request(model="vertex/claude-x")
        got = await ask(acting.gateway, "POST", "/v1/messages?beta=true", body, ANTHROPIC.headers)
        assert got.body == ANTHROPIC.whole
        assert acting.last().target == f"{CLAUDES}/claude-x:rawPredict"


async def test_another_publishers_model_is_asked_as_openai_would_be() -> None:
    async with (
        stage() as acting,
        openai.AsyncOpenAI(base_url=f"{acting.gateway.url}/v1", api_key="unused", max_retries=0) as client,
    ):
        acting.plays = Scenario(body=OPENAI.whole, headers=JSON)
        await client.chat.completions.create(model="vertex/meta/llama-4", messages=SAYING["messages"])
        assert acting.last().target == f"{THERE}/endpoints/openapi/chat/completions"
        assert json.loads(acting.last().body)["model"] == "meta/llama-4"


async def test_googles_vertex_sdk_talks_to_any_provider() -> None:
    async with stage() as acting, google_sdk(acting.gateway, **IN_A_PROJECT) as client:
        acting.plays = WHOLE
        got = await client.aio.models.generate_content(model="vertex/gemini-x", contents="Hello?")
        assert got.text == "Hi"
        assert acting.last().target == f"{GOOGLES}/gemini-x:generateContent"
        acting.plays = STREAM
        stream = await client.aio.models.generate_content_stream(model="vertex/gemini-x", contents="Hello?")
        assert [chunk.text async for chunk in stream] == ["Hi"]
        acting.plays = Scenario(body=OPENAI.whole, headers=JSON)
        got = await client.aio.models.generate_content(model="openai/gpt-x", contents="Hello?")
        assert got.text == "Grüße"
        acting.plays = COUNTED
        config = types.CountTokensConfig(system_instruction="Be kind.")
        counted = await client.aio.models.count_tokens(model="vertex/gemini-x", contents="Hello?", config=config)
        assert counted.total_tokens == 7
        assert json.loads(acting.last().body).keys() == {"contents", "systemInstruction"}


async def test_googles_vertex_sdk_lists_what_it_may_ask_for_and_asks_for_one() -> None:
    fireworks = {"FIREWORKS_API_KEY": "f", "PILLION_FIREWORKS_MODELS": FIREWORKSES}
    async with stage(**fireworks) as acting, google_sdk(acting.gateway, **IN_A_PROJECT) as client:
        acting.plays = Scenario(body=b'{"data":[{"id":"gpt-5"}]}', headers=JSON)
        names = [model.name or "" async for model in await client.aio.models.list()]
        assert "publishers/openai/models/gpt-5" in names
        assert f"publishers/fireworks/models/{FIREWORKSES}" in names
        for name in names:
            assert (await client.aio.models.get(model=name)).name == name
            whole = f"projects/p/locations/l/{name}"
            assert (await client.aio.models.get(model=whole)).name == name
        assert (await client.aio.models.get(model="openai/gpt-5")).name == "publishers/openai/models/gpt-5"
        with pytest.raises(errors.ClientError, match="does not list a model"):
            await client.aio.models.get(model="openai/nobodys")


def test_a_name_without_a_provider_is_googles_in_its_paths() -> None:
    wire = registry.dialect("gemini_vertex")
    assert json.loads(wire.model_card("fast")) == {"name": "publishers/google/models/fast"}


@pytest.mark.parametrize("start", ["/v1beta1/projects/q/locations/r", "/v1"])
async def test_vertexs_list_is_there_with_and_without_a_project(start: str) -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "GET", f"{start}/publishers/google/models")
    assert got.status == 200
    assert {"name": "publishers/echo/models/text"} in json.loads(got.body)["publisherModels"]


@pytest.mark.parametrize("path", ["models", "models/7", "cachedContents/7", "publishers/google"])
async def test_what_else_lies_in_a_project_is_not_served(path: str) -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "GET", f"/v1beta1/projects/q/locations/r/{path}")
    assert (got.status, json.loads(got.body)["error"]["status"]) == (501, "UNIMPLEMENTED")


async def test_both_vertex_sdks_talk_to_echo() -> None:
    async with pillion() as gateway:
        async with google_sdk(gateway, **IN_A_PROJECT) as client:
            got = await client.aio.models.generate_content(model="echo/m", contents="Hello?")
            assert "Hello?" in (got.text or "")
        async with claude(gateway) as other, other.messages.stream(model="echo/m", **SAYING) as stream:
            assert "Hi" in await stream.get_final_text()


# --- recordings ------------------------------------------------------------------------------------------------------

ROWS = recordings.load("*vertex.generateContent", "*vertex.streamGenerateContent")
MESSAGES = recordings.load("vertex-anthropic.messages")

# Made to be broken: an error in the midst of a stream, and a stream that is no answer.
BROKEN = {"vertex.streamGenerateContent.1efd5d835ff3", "vertex.streamGenerateContent.608030670872"}


@needs_recordings
async def test_what_vertex_said_passes_through_byte_for_byte() -> None:
    async def check(row: Row) -> None:
        acting.plays = Scenario.from_recording(row)
        path = path_of(row, "").removeprefix("/v1beta/models/")
        got = await ask(acting.gateway, "POST", f"/v1/projects/q/locations/r/publishers/vertex/models/m{path}", ASKED)
        assert got.status == row["status"]
        assert got.body == recordings.body(row) or row["framing"] == "text"
        assert acting.last().target == f"{GOOGLES}/m{path}"

    async with stage() as acting:
        await replay.each((row for row in ROWS if row["id"] not in BROKEN), check)


@needs_recordings
async def test_an_openai_client_reads_what_vertex_said() -> None:
    async def check(row: Row) -> None:
        acting.plays = Scenario.from_recording(row)
        asked: Json = {"model": "vertex/m", "messages": [{"role": "user", "content": "Hello?"}]}
        if row["framing"] == "json":
            said: list[Any] = [(await client.chat.completions.create(**asked)).choices[0].message]
        else:
            stream = await client.chat.completions.create(**asked, stream=True)
            said = [chunk.choices[0].delta async for chunk in stream if chunk.choices]
        assert heard(said) == plain(row)

    rows = [row for row in ROWS if row["framing"] in ("json", "sse") and is_plain(row) and row["id"] not in BROKEN]
    assert len(rows) > 30
    async with (
        stage() as acting,
        openai.AsyncOpenAI(base_url=f"{acting.gateway.url}/v1", api_key="unused", max_retries=0) as client,
    ):
        await replay.each(rows, check)


@needs_recordings
async def test_a_recorded_chat_with_claude_goes_out_as_it_was_recorded() -> None:
    async def check(row: Row) -> None:
        acting.plays = Scenario.from_recording(row)
        body = json.dumps(row["request_json"]).encode()
        path = row["path"].replace("/models/", "/models/vertex/")
        got = await ask(acting.gateway, "POST", path, body)
        assert got.body == recordings.body(row)
        assert json.loads(acting.last().body) == row["request_json"]
        assert acting.last().target == row["path"].replace("my-project", "p-1").replace("us-east5", "eu-west1")
        openai_asked = OPENAI.request(model="vertex/claude-x", stream=replay.streamed(row))
        got = await chat(acting.gateway, OPENAI, openai_asked)
        assert got.status == 200

    async with stage() as acting:
        await replay.each(MESSAGES, check)
