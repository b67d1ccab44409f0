"""Does a route that is not served say so in the words of whose it is, and does none answer in another's?"""

import json

import cohere
import httpx
import pytest
from cohere.core import ApiError

from proxy import registry
from proxy.errors import Unsupported
from proxy.routes import NOT_YET
from tests.client import OPENAI, ask
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


async def test_a_client_of_coheres_old_api_hears_which_is_served() -> None:
    async with pillion() as gateway, httpx.AsyncClient() as http:
        client = cohere.AsyncClient("key", base_url=gateway.url, httpx_client=http)
        with pytest.raises(ApiError) as caught:
            await client.chat(message="Hi", model="echo/text")
        with pytest.raises(ApiError) as tokenized:
            await client.tokenize(text="Hi", model="echo/text")
    assert (caught.value.status_code, tokenized.value.status_code) == (501, 501)
    assert "/v2/chat" in caught.value.body["message"]
