"""Does a route that is not served say so on the wire of its vendor, and does no route answer on another's?"""

import json
import re
from importlib import import_module
from pathlib import Path

import cohere
import httpx
import pytest
from cohere.core import ApiError

from proxy import registry
from proxy.errors import Unsupported
from proxy.routes import NOT_YET
from tests.client import ANTHROPIC, OPENAI, ask
from tests.gateway import pillion


@pytest.mark.parametrize(
    ("dialect", "path"),
    [
        *((dialect, f"/v1{path}/more") for dialect, paths in NOT_YET.items() if dialect for path in paths),
        *(("cohere", f"/v1/{name}") for name in ("embed", "tokenize", "detokenize", "classify", "summarize")),
        ("cohere", "/v2/embed"),
        ("ollama", "/api/embed"),
        ("openai_chat", "/v1/embeddings"),
        ("openai_chat", "/v1/videos"),
        ("gemini", "/v1beta/models/gemini-embedding-001:embedContent"),
        ("gemini", "/v1beta/cachedContents"),
        ("gemini", "/v1beta/interactions"),
        ("gemini", "/v1beta/cachedContents/c"),
        ("gemini", "/v1beta/tunedModels/t"),
        ("gemini", "/v1beta/fileSearchStores"),
        ("gemini", "/upload/v1beta/files"),
        ("bedrock", "/guardrail/g/version/1/apply"),
        ("bedrock", "/guardrail-checks/invoke"),
        ("bedrock", "/async-invoke"),
    ],
)
async def test_what_is_not_served_is_told_on_its_own_wire(dialect: str, path: str) -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "POST", path, OPENAI.request(model="echo/text"))
    expected = json.loads(registry.dialect(dialect).error(Unsupported("x"), "req"))
    said = json.loads(got.body)
    assert got.status == 501
    assert said.keys() == expected.keys()
    assert [type(value) for value in said.values()] == [type(value) for value in expected.values()]
    if isinstance(expected.get("error"), dict):
        assert said["error"].keys() == expected["error"].keys()


def beginnings(sdk: str) -> set[str]:
    """The first segments of all paths that the resources of an SDK ask."""
    folder = Path(str(import_module(sdk).__file__)).parent / "resources"
    sources = [file.read_text() for file in folder.rglob("*.py")]
    asks = r"""self\._(?:get|post|put|patch|delete|get_api_list)\(\s*(?:path_template\()?f?"(?:/v1)?(/\w+)"""
    return {path for source in sources for path in re.findall(asks, source)}


@pytest.mark.parametrize(
    ("sdk", "served"), [("openai", "/models /chat /responses"), ("anthropic", "/models /messages")]
)
async def test_whatever_an_sdk_asks_for_is_known(sdk: str, served: str) -> None:
    """Else a 404 looks like a mistake in the base URL."""
    headers = ANTHROPIC.headers if sdk == "anthropic" else []
    asked = beginnings(sdk)
    assert set(served.split()) < asked
    async with pillion() as gateway:
        for path in sorted(asked - set(served.split())):
            for more in ("", "/x/y"):
                got = await ask(gateway, "POST", f"/v1{path}{more}", b"{}", headers)
                assert (path, got.status, got.header("x-should-retry")) == (path, 501, "false")


async def test_a_client_of_coheres_old_api_hears_which_is_served() -> None:
    async with pillion() as gateway, httpx.AsyncClient() as http:
        client = cohere.AsyncClient("key", base_url=gateway.url, httpx_client=http)
        with pytest.raises(ApiError) as caught:
            await client.chat(message="Hi", model="echo/text")
        with pytest.raises(ApiError) as tokenized:
            await client.tokenize(text="Hi", model="echo/text")
    assert (caught.value.status_code, tokenized.value.status_code) == (501, 501)
    assert "/v2/chat" in caught.value.body["message"]


CHAT = OPENAI.request(model="echo/text")
MESSAGE = ANTHROPIC.request(model="echo/text")
CONTENTS = b'{"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}'


@pytest.mark.parametrize(
    "path",
    [
        "/v1beta/echo/text:generateContent",
        "/v1/echo/text:streamGenerateContent?alt=sse",
        "/echo/text:generateContent",
        "/v1beta/echo/text:countTokens",
        "/v1beta/openai/gpt-4o:generateContent",  # beneath paths of OpenAI's that are not served
    ],
)
async def test_a_model_of_googles_wire_that_has_a_slash_is_a_path_by_itself(path: str) -> None:
    """Vercel's SDK puts `models/` before names without a slash alone."""
    async with pillion(PILLION_UPSTREAM="echo") as gateway:
        got = await ask(gateway, "POST", path, CONTENTS)
    assert got.status == 200
    assert got.header("x-pillion-provider") == "echo" or "countTokens" in path


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/v1/messages", MESSAGE),
        ("/v1/v1/chat/completions", CHAT),
        ("/v1/v1beta/models/echo/text:generateContent", CONTENTS),
        ("/v1beta/v1beta/models/echo/text:generateContent", CONTENTS),
        ("/v1/v2/chat", CHAT),
        ("/v1/api/chat", CHAT),
        ("/v1/model/echo%2Ftext/converse", b'{"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}'),
        ("//v1/messages", MESSAGE),
        ("//chat/completions", CHAT),
        ("/v1//chat/completions", CHAT),
        ("/v1//v1/messages", MESSAGE),
        ("/v1/chat/completions/", CHAT),
        ("/v1beta//models/echo/text:generateContent", CONTENTS),
    ],
)
async def test_a_base_url_may_end_in_what_the_sdk_adds_itself(path: str, body: bytes) -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "POST", path, body)
    assert got.status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/v1/v1/messages",
        "///v1/messages",
        "/v1///messages",
        "/v3/v1/messages",
        "/v1/v1/nowhere",
        "/v1/v1",
        "/v1/messages//",
    ],
)
async def test_but_no_more_than_that(path: str) -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "POST", path, MESSAGE)
    assert got.status == 404
    assert path in got.body.decode()


@pytest.mark.parametrize(
    "path",
    [
        "/v1beta/models/echo%2F%FF:generateContent",
        "/model/echo%2Ft%C3/converse",
        "/openai/deployments/%ED%A0%80/chat/completions",
    ],
)
async def test_a_path_that_is_no_text_leads_nowhere(path: str) -> None:
    """No model is called so, and neither a provider's path nor a file of ours could hold the name."""
    async with pillion(PILLION_UPSTREAM="echo") as gateway:
        got = await ask(gateway, "POST", path, CONTENTS)
    assert got.status == 404
    assert json.loads(got.body)["error"]["code"] == "unknown_url"


async def test_who_asks_for_an_ollama_finds_one() -> None:
    """Its command line asks HEAD / before all else, and some look at the words; no key is asked for there."""
    async with pillion(PILLION_CLIENT_KEY="a-key-of-16-characters") as gateway:
        asked = [await ask(gateway, method, "/", b"") for method in ("HEAD", "GET")]
        unknown = await ask(gateway, "GET", "/api/ps", b"")
        loaded = await ask(gateway, "GET", "/api/ps", b"", [("authorization", "Bearer a-key-of-16-characters")])
    assert [got.status for got in asked] == [200, 200]
    assert asked[1].body == b"Ollama is running"
    assert (unknown.status, loaded.status, json.loads(loaded.body)) == (401, 200, {"models": []})
