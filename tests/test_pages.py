"""Does a client that asks for a list of models page by page get each of them, once, and what it asked for?"""

import json
from typing import Any

import httpx2
import pytest
from anthropic import AsyncAnthropic
from google import genai
from google.genai import types

from tests.client import ask
from tests.gateway import Gateway, pillion

ANTHROPIC = (("anthropic-version", "2023-06-01"),)
COHERE = (("x-fern-sdk-name", "cohere"),)


async def listed(gateway: Gateway, path: str, headers: Any = ()) -> dict[str, Any]:
    got = await ask(gateway, "GET", path, headers=headers)
    assert got.status == 200, got.body
    body: dict[str, Any] = json.loads(got.body)
    return body


async def names(gateway: Gateway) -> list[str]:
    return [model["id"] for model in (await listed(gateway, "/v1/models"))["data"]]


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_the_official_sdks_come_by_all_of_them(size: int) -> None:
    async with pillion() as gateway:
        known = await names(gateway)
        async with AsyncAnthropic(base_url=gateway.url, api_key="x", max_retries=0) as claude:
            first = await claude.models.list(limit=size)
            assert [model.id for model in first.data] == known[:size]
            assert first.has_more == (size < len(known))
            assert [model.id async for model in first] == known
        transport = {"transport": httpx2.AsyncHTTPTransport()}  # else it inherits from aiohttp, which warns
        options = types.HttpOptions(base_url=gateway.url, async_client_args=transport)
        google = genai.Client(api_key="x", http_options=options)
        try:
            pager = await google.aio.models.list(config={"page_size": size})
            assert len(pager) == min(size, len(known))
            assert [model.name async for model in pager] == [f"models/{name}" for name in known]
        finally:
            await google.aio.aclose()
            google.close()


async def test_anthropics_list_is_read_in_both_directions() -> None:
    async with pillion() as gateway:
        known = await names(gateway)
        page = await listed(gateway, f"/v1/models?limit=2&before_id={known[4]}", ANTHROPIC)
        assert [model["id"] for model in page["data"]] == known[2:4]
        assert (page["first_id"], page["last_id"], page["has_more"]) == (known[2], known[3], True)
        page = await listed(gateway, f"/v1/models?limit=2&before_id={known[2]}", ANTHROPIC)
        assert ([model["id"] for model in page["data"]], page["has_more"]) == (known[:2], False)
        page = await listed(gateway, f"/v1/models?after_id={known[-2]}", ANTHROPIC)
        assert [model["id"] for model in page["data"]] == known[-1:]
        assert page["has_more"] is False


@pytest.mark.parametrize("key", ["pageSize", "page_size"])
@pytest.mark.parametrize("path", ["/v1beta/models", "/v1beta1/publishers/google/models"])
async def test_googles_pages_name_the_next_one_in_either_spelling(path: str, key: str) -> None:
    async with pillion() as gateway:
        known = await names(gateway)
        token, seen = "", 0
        while True:
            page = await listed(gateway, f"{path}?{key}=4&pageToken={token}")
            seen += len(page.get("models", ()) or page["publisherModels"])
            if not (token := page.get("nextPageToken", "")):
                break
        assert seen == len(known)


async def test_a_size_of_nought_is_none_to_google() -> None:
    async with pillion() as gateway:
        page = await listed(gateway, "/v1beta/models?pageSize=0")
        assert len(page["models"]) == len(await names(gateway))


async def test_coheres_pages_name_the_next_one() -> None:
    async with pillion() as gateway:
        known = await names(gateway)
        token: str | None = ""
        seen: list[str] = []
        while token is not None:
            page = await listed(gateway, f"/v1/models?page_size=5&page_token={token}", COHERE)
            seen += [model["name"] for model in page["models"]]
            token = page.get("next_page_token")
        assert seen == known


@pytest.mark.parametrize(("endpoint", "all_of_them"), [("chat", True), ("", True), ("embed", False), ("rerank", False)])
async def test_cohere_lists_the_models_of_an_endpoint(endpoint: str, all_of_them: bool) -> None:
    async with pillion() as gateway:
        page = await listed(gateway, f"/v1/models?endpoint={endpoint}&page_size=1000", COHERE)
        assert [model["name"] for model in page["models"]] == (await names(gateway) if all_of_them else [])


@pytest.mark.parametrize(
    ("path", "headers", "param"),
    [
        ("/v1/models?limit=0", ANTHROPIC, "limit"),
        ("/v1/models?limit=abc", ANTHROPIC, "limit"),
        ("/v1/models?limit=%C2%B2", ANTHROPIC, "limit"),
        ("/v1/models?limit=99999999999999999999", ANTHROPIC, "limit"),
        ("/v1/models?after_id=nobody", ANTHROPIC, "after_id"),
        ("/v1beta/models?pageSize=-1", (), "pageSize"),
        ("/v1beta/models?pageToken=nobody", (), "pageToken"),
    ],
)
async def test_a_page_that_is_none_is_refused_by_name(path: str, headers: Any, param: str) -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "GET", path, headers=headers)
    assert got.status == 400
    assert param in json.loads(got.body)["error"]["message"]
