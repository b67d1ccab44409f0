"""Is a model whose name says nothing (an ARN, a deployment) asked as the model that it is, where a row says which?"""

import json
from pathlib import Path
from time import time
from typing import Any

from proxy.config import load
from proxy.spending.accounting import prices_of
from tests.client import ANTHROPIC, OPENAI, ask
from tests.evil import Evil, Scenario
from tests.gateway import config_file, pillion
from tests.test_spoken import JSON

ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
SAID = {"output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}}, "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}}  # fmt: skip
ASKED: dict[str, Any] = {
    "max_tokens": 4000,
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
}


def rows(folder: Path, url: str = "http://127.0.0.1:1") -> dict[str, str]:
    text = """
providers:
  bedrock:
    base_url: "%s"
    location: us-east-1
    api_key: k
    models: [{name: "%s", like: "%s"}]
  azure:
    base_url: "%s"
    api_key: k
    dialects: [openai_chat]
    models: [{name: prod, like: gpt-5.1}, {name: finder, like: gpt-4o-search-preview}, other]
"""
    return config_file(text % (url, ARN, SONNET, url), folder)


async def test_a_profile_of_bedrock_is_asked_as_the_claude_that_it_is(tmp_path: Path) -> None:
    answer = Scenario(body=json.dumps(SAID).encode(), headers=JSON)
    async with Evil(answer) as evil, pillion(**rows(tmp_path, evil.url)) as gateway:
        got = await ask(gateway, "POST", "/v1/messages", ANTHROPIC.request(model=f"bedrock/{ARN}", **ASKED))
        assert (got.status, got.header("x-pillion-dropped")) == (200, None)
        assert json.loads(got.body)["model"] != SONNET
        request = evil.requests[0]
        assert "application-inference-profile%2Fabc123/converse" in request.target
        body = json.loads(request.body)
        assert body["additionalModelRequestFields"] == {"thinking": ASKED["thinking"]}
        assert body["system"][1] == {"cachePoint": {"type": "default"}}


async def test_and_counted_so(tmp_path: Path) -> None:
    shapes = {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}
    body = {"model": f"bedrock/{ARN}", "messages": [{"role": "user", "content": "Hi"}]}
    asked = json.dumps(body | {"tools": [{"name": "f", "input_schema": {"type": "object", **shapes}}]}).encode()
    async with (
        Evil(Scenario(body=b'{"inputTokens": 7}', headers=JSON)) as evil,
        pillion(**rows(tmp_path, evil.url)) as gateway,
    ):
        got = await ask(gateway, "POST", "/v1/messages/count_tokens", asked)
        assert (got.status, json.loads(got.body)) == (200, {"input_tokens": 7})
        assert evil.requests[0].target == "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens"
        tool = json.loads(evil.requests[0].body)["input"]["converse"]["toolConfig"]["tools"][0]
    assert "anyOf" not in tool["toolSpec"]["inputSchema"]["json"]  # which Claude would refuse


async def test_a_deployment_is_asked_as_the_model_that_it_is_and_by_its_own_name(tmp_path: Path) -> None:
    answer = Scenario(body=OPENAI.whole, headers=JSON)
    async with Evil(answer, answer) as evil, pillion(**rows(tmp_path, evil.url)) as gateway:
        for name in ("prod", "other"):
            await ask(gateway, "POST", "/v1/messages", ANTHROPIC.request(model=f"azure/{name}", max_tokens=9))
        prod, other = [json.loads(request.body) for request in evil.requests]
        assert (prod["model"], prod["max_completion_tokens"]) == ("prod", 9)
        assert (other["model"], other["max_tokens"]) == ("other", 9)


def test_it_costs_and_takes_what_that_one_does(tmp_path: Path) -> None:
    config = load(environ=rows(tmp_path))
    prices, now = prices_of(config), time()
    its, real = (prices.of("bedrock", name, now) for name in (ARN, SONNET))
    assert its.is_known
    assert its == real
    card, of_real = (config.providers["bedrock"].card(name) for name in (ARN, SONNET))
    assert card is not None
    assert of_real is not None
    assert (card.context, card.max_output) == (of_real.context, of_real.max_output) == (200000, 64000)


async def test_what_it_may_cost_has_a_bound_only_where_that_one_has_one(tmp_path: Path) -> None:
    """A model that searches by itself reads more than it is sent."""
    limited = [("x-pillion-cost-limit", "1000")]
    async with Evil(Scenario(body=OPENAI.whole, headers=JSON)) as evil, pillion(**rows(tmp_path, evil.url)) as gateway:
        for name, status in (("prod", 200), ("finder", 400)):
            body = OPENAI.request(model=f"azure/{name}", max_tokens=9)
            got = await ask(gateway, "POST", OPENAI.path, body, limited)
            assert (got.status, b"without a known bound" in got.body) == (status, status == 400)


def test_a_row_that_says_like_whom_by_nothing_means_its_own_name(tmp_path: Path) -> None:
    text = "providers: {openai: {api_key: k, models: [{name: gpt-5.1, like: null}, gpt-5]}}"
    openai = load(environ=config_file(text, tmp_path)).providers["openai"]
    silent, plain = openai.card("gpt-5.1"), openai.card("gpt-5")
    assert silent is not None
    assert plain is not None
    assert silent.context == plain.context is not None
