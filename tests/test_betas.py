"""Does Claude hear which betas a client asks for, whichever of its wires says so, and its host no other?"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.client import OPENAI, Got, ask
from tests.evil import Evil, Received, Scenario
from tests.gateway import config_file, pillion

CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
KNOWN, UNKNOWN = "context-1m-2025-08-07", "oauth-2025-04-20"
USER = [{"role": "user", "content": "Hi"}]
BLOCKS = [{"role": "user", "content": [{"text": "Hi"}]}]
FURTHER = "additionalModelRequestFields"

ROWS: dict[str, dict[str, Any]] = {
    "anthropic": {"kind": "anthropic"},
    "vertex": {"kind": "vertex", "project": "p", "location": "us-east5"},
    "bedrock": {"kind": "bedrock", "location": "us-east-1", "dialects": ["bedrock"]},
    "invoke": {"kind": "bedrock", "location": "us-east-1", "dialects": ["bedrock_invoke"]},
    "openai": {"kind": "openai"},
}
MODELS = {"anthropic": "claude-sonnet-4-5", "vertex": "claude-sonnet-4-5", "openai": "gpt-4.1"}


def spoken(client: str, model: str, betas: list[str]) -> tuple[str, dict[str, Any], list[tuple[str, str]]]:
    """Path, body and headers of a client that asks for these betas in its own way."""
    quoted = model.replace("/", "%2F").replace(":", "%3A")
    header = [("anthropic-beta", ", ".join(betas))]
    match client:
        case "invoke":
            body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": USER}
            return f"/model/{quoted}/invoke", body | {"anthropic_beta": betas}, []
        case "bedrock":
            return f"/model/{quoted}/converse", {"messages": BLOCKS, FURTHER: {"anthropic_beta": betas}}, []
        case "openai":
            return "/v1/chat/completions", {"model": model, "messages": USER}, header
        case _:
            return "/v1/messages", {"model": model, "max_tokens": 9, "messages": USER}, header


async def sent(
    folder: Path, client: str, provider: str, *betas: str, model: str = "", header: str = ""
) -> tuple[Received, Got]:
    named = f"{provider}/{model or MODELS.get(provider, CLAUDE)}"
    path, body, headers = spoken(client, named, list(betas))
    headers += [("anthropic-beta", header)] if header else []
    scenario = Scenario(status=400, headers=[("content-type", "application/json")], body=b"{}")
    async with Evil(scenario) as evil:
        url = evil.url + ("/v1" if provider == "openai" else "")
        row = ROWS[provider] | {"base_url": url, "api_key": "ya29.k"}
        async with pillion(**config_file(json.dumps({"providers": {provider: row}}), folder)) as gateway:
            got = await ask(gateway, "POST", path, json.dumps(body).encode(), headers)
        return await evil.received(), got


def asked_of(provider: str, request: Received) -> list[str]:
    """The betas that the provider hears of, where it looks for them, and nowhere else."""
    body, header = json.loads(request.body), request.header("anthropic-beta")
    told = body.get(FURTHER, {}) if provider == "bedrock" else body
    in_body: list[str] = told.get("anthropic_beta", [])
    if provider in ("anthropic", "vertex"):
        assert "anthropic_beta" not in request.body.decode()
        return header.split(",") if header else []
    assert header is None
    return in_body


@pytest.mark.parametrize("provider", ["anthropic", "vertex"])
@pytest.mark.parametrize("client", ["invoke", "bedrock", "openai"])
async def test_anthropic_and_google_hear_of_all_in_a_header(client: str, provider: str, tmp_path: Path) -> None:
    request, got = await sent(tmp_path, client, provider, KNOWN, UNKNOWN)
    assert asked_of(provider, request) == [KNOWN, UNKNOWN]
    assert got.header("x-pillion-dropped") is None


@pytest.mark.parametrize("provider", ["anthropic", "vertex"])
async def test_what_stands_in_the_header_already_is_said_once(provider: str, tmp_path: Path) -> None:
    request, _ = await sent(tmp_path, "invoke", provider, KNOWN, UNKNOWN, header=f"{UNKNOWN}, other-2025-01-01")
    assert asked_of(provider, request) == [UNKNOWN, "other-2025-01-01", KNOWN]
    assert request.head.lower().count(b"anthropic-beta") == 1


@pytest.mark.parametrize("provider", ["bedrock", "invoke"])
@pytest.mark.parametrize("client", ["anthropic", "openai"])
async def test_bedrock_hears_in_the_body_of_what_it_knows(client: str, provider: str, tmp_path: Path) -> None:
    request, got = await sent(tmp_path, client, provider, KNOWN)
    assert asked_of(provider, request) == [KNOWN]
    assert got.header("x-pillion-dropped") is None
    request, got = await sent(tmp_path, client, provider, UNKNOWN, KNOWN)
    assert asked_of(provider, request) == [KNOWN]
    assert got.header("x-pillion-dropped") == "anthropic-beta"


@pytest.mark.parametrize(("client", "provider"), [("invoke", "bedrock"), ("bedrock", "invoke"), ("invoke", "invoke")])
async def test_who_writes_for_bedrock_knows_what_it_takes(client: str, provider: str, tmp_path: Path) -> None:
    request, got = await sent(tmp_path, client, provider, "new-2027-01-01")
    assert asked_of(provider, request) == ["new-2027-01-01"]
    assert got.header("x-pillion-dropped") is None


@pytest.mark.parametrize(
    ("client", "named"),
    [
        ("anthropic", "anthropic-beta"),
        ("openai", "anthropic-beta"),
        ("invoke", "anthropic_beta"),
        ("bedrock", "additionalModelRequestFields.anthropic_beta"),
    ],
)
async def test_who_is_no_claude_is_asked_for_none(client: str, named: str, tmp_path: Path) -> None:
    for provider, model in (("openai", ""), ("bedrock", "amazon.nova-lite-v1:0")):
        if client == provider:
            continue  # on its own wire the client's own words travel
        request, got = await sent(tmp_path, client, provider, KNOWN, model=model)
        assert KNOWN not in request.body.decode()
        assert got.header("x-pillion-dropped") == named


@pytest.mark.parametrize(("client", "param"), [("invoke", "anthropic_beta"), ("bedrock", f"{FURTHER}.anthropic_beta")])
async def test_what_is_no_list_of_names_is_refused(client: str, param: str) -> None:
    path, body, _ = spoken(client, "openai/m", [])
    (body.get(FURTHER) or body)["anthropic_beta"] = KNOWN
    async with pillion(**OPENAI.environ("http://127.0.0.1:1")) as gateway:
        got = await ask(gateway, "POST", path, json.dumps(body).encode())
    assert (got.status, param in got.body.decode()) == (400, True)
