"""Is nobody let in but who shows a good key, wherever it is shown, and to nothing but what the key allows?"""

import hashlib
import json
import os
import re
from collections.abc import Callable
from contextlib import nullcontext
from errno import EACCES
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy import registry
from proxy.access.allowance import ClientKey, Limits
from proxy.access.clients import Clients
from proxy.access.rights import ALLOWED, allows, not_allowed
from proxy.adapters.echo import Echo
from proxy.config import Config, Secret, load
from proxy.envelope import Envelope
from proxy.errors import ConfigError, GatewayError, Unauthorized
from proxy.middleware.auth import Auth
from proxy.ports import Adapter, Call, Target
from tests.client import ANTHROPIC, OPENAI, SPEECHES, Speech, ask, chat, client, lane_name, spell
from tests.evil import Evil, Scenario
from tests.gateway import config_file, pillion
from tests.taking import call as of_dialect
from tests.test_middleware import call, fine

KEY = "right"
LONG = "right-0123456789abcdef"  # for what listens elsewhere than on loopback

# --- who is let in ---------------------------------------------------------------------------------------------------

PLACES = [
    ({"Authorization": "Bearer right"}, {}),
    ({"authorization": "bearer  right "}, {}),
    ({"X-API-Key": "right"}, {}),
    ({"api-key": "right"}, {}),
    ({"x-goog-api-key": "right"}, {}),
    ({}, {"key": "right"}),
    ({"authorization": "Basic abc", "x-api-key": "right"}, {}),
    ({"authorization": "Bearer ", "x-api-key": "right"}, {}),
    ({"authorization": "Bearer right", "x-api-key": "right"}, {"key": "right"}),
    ({"authorization": "AWS4-HMAC-SHA256 Credential=x", "x-api-key": "right"}, {}),
]


def config(text: str = f"client_key: {KEY}", folder: Path | None = None) -> Config:
    """That of a file with this text."""
    if folder is None:
        return load(environ={"PILLION_CLIENT_KEY": KEY} if text else {})
    return load(environ=config_file(text, folder))


def auth(config: Config, now: float = 0.0) -> Auth:
    return Auth(Clients(config), clock=lambda: now)


async def test_a_key_in_a_file_may_be_another_from_one_request_to_the_next(tmp_path: Path) -> None:
    now, file = 0.0, tmp_path / "key"
    file.write_text(KEY)
    held = config()._replace(client_key=Secret(KEY, file, lambda: now))
    one = Auth(Clients(held, lambda: now))
    assert (await one(call({"x-api-key": KEY}), fine)).status == 200
    file.write_text("rotated")
    now = 10.0
    assert (await one(call({"x-api-key": "rotated"}), fine)).status == 200
    with pytest.raises(Unauthorized):
        await one(call({"x-api-key": KEY}), fine)


@pytest.mark.parametrize(("headers", "query"), PLACES)
async def test_the_key_is_read_wherever_an_sdk_puts_it(headers: dict[str, str], query: dict[str, str]) -> None:
    asked = call(headers, query)
    assert (await auth(config())(asked, fine)).status == 200
    assert (asked.client, asked.key) == ("default", ClientKey(name="default"))


@pytest.mark.parametrize(
    ("headers", "query", "code"),
    [
        ({}, {}, "missing_api_key"),
        ({"authorization": "Basic right"}, {}, "missing_api_key"),
        ({"authorization": "right"}, {}, "missing_api_key"),
        ({"x-api-key": ""}, {"key": ""}, "missing_api_key"),
        ({"authorization": "Bearer wrong"}, {}, "invalid_api_key"),
        ({"authorization": "Bearer wrong", "x-api-key": "right"}, {}, "conflicting_api_keys"),
        ({"authorization": "Bearer right", "x-api-key": "wrong"}, {}, "conflicting_api_keys"),
        ({"api-key": "right"}, {"key": "wrong"}, "conflicting_api_keys"),
        ({"x-api-key": "right2"}, {}, "invalid_api_key"),
        ({"x-api-key": "RIGHT"}, {}, "invalid_api_key"),
        ({"x-api-key": "caf\udce9\u00e9"}, {}, "invalid_api_key"),
        ({}, {"key": "wrong"}, "invalid_api_key"),
        ({"authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}, {}, "invalid_api_key"),
    ],
)
async def test_no_key_and_a_wrong_key_are_refused(headers: dict[str, str], query: dict[str, str], code: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        await auth(config())(call(headers, query), fine)
    assert (caught.value.status, caught.value.code) == (401, code)
    assert not [shown for shown in ("wrong", "right") if shown in caught.value.message]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("right", "The Authorization header must be `Bearer` and pillion's client key."),
        ("Basic right", "The Authorization header must be `Bearer` and pillion's client key."),
        ("Bearer ", "No API key was sent: send pillion's client key as your API key."),
        ("Bearer", "No API key was sent: send pillion's client key as your API key."),
        ("", "No API key was sent: send pillion's client key as your API key."),
    ],
)
async def test_a_key_without_its_scheme_is_not_said_to_be_none(said: str, told: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        await auth(config())(call({"authorization": said}, {}), fine)
    assert caught.value.message == told


IN_THE_QUERY = {
    "key=wrong&key=right": 401,
    "key=right&key=wrong": 401,
    "key=wrong&alt=sse&k%65y=right": 401,
    "key=right&key=right": 200,
    "key=right&key=": 200,
    "key=&key=right": 200,
    "alt=sse&key=righ%74": 200,
}


@pytest.mark.parametrize(("query", "status"), IN_THE_QUERY.items())
async def test_each_key_in_the_query_counts(query: str, status: int) -> None:
    async with pillion(PILLION_CLIENT_KEY=KEY) as gateway:
        got = await ask(gateway, "GET", f"/v1/models?{query}")
    assert got.status == status
    assert status == 200 or OPENAI.error(got.body)["code"] == "conflicting_api_keys"


@pytest.mark.parametrize("scheme", ["AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"])
async def test_a_signature_alone_is_told_what_to_show_in_its_place(scheme: str) -> None:
    with pytest.raises(Unauthorized, match="set AWS_BEARER_TOKEN_BEDROCK to pillion's client key") as caught:
        await auth(config())(call({"authorization": f"{scheme} Credential=AKIA/20260101/us-east-1/bedrock"}), fine)
    assert (caught.value.status, caught.value.code) == (401, "signature_not_supported")
    assert "or send that key as x-api-key" in caught.value.message


async def test_a_key_may_stand_beside_a_signature() -> None:
    """boto3 from 1.44 on shows no bearer token over plain HTTP."""
    headers = {"authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/bedrock", "x-api-key": KEY}
    assert (await auth(config())(call(headers), fine)).status == 200


async def test_a_signature_in_the_query_is_told_so_too() -> None:
    with pytest.raises(Unauthorized) as caught:
        await auth(config())(call({}, {"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Signature": "0f"}), fine)
    assert (caught.value.status, caught.value.code) == (401, "signature_not_supported")


async def test_without_a_client_key_nobody_is_asked() -> None:
    asked = call({"authorization": "Bearer whatever", "x-api-key": "another"})
    assert (await auth(config(""))(asked, fine)).status == 200
    assert (asked.client, asked.key, asked.accounts) == ("", None, [])


async def test_a_key_of_any_bytes_can_be_shown() -> None:
    held = config()._replace(client_key=Secret("caf\udce9"))
    assert (await auth(held)(call({"x-api-key": "caf\udce9"}), fine)).status == 200


async def test_each_key_of_the_configuration_goes_by_its_own_name(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"known by its digest").hexdigest()
    held = config(
        f"client_key: {KEY}\nlimits: {{client: {{concurrent: 3}}}}\n"
        f"keys: {{ann: {{key: hers, limits: {{concurrent: 9}}}}, bob: {{sha256: {digest.upper()}}}}}",
        tmp_path,
    )
    for key, name, most in [(KEY, "default", 3), ("hers", "ann", 9), ("known by its digest", "bob", 3)]:
        asked = call({"x-api-key": key})
        await auth(held)(asked, fine)
        assert (asked.client, asked.key) == (name, ClientKey(name=name, limits=Limits(concurrent=most)))
    with pytest.raises(Unauthorized):
        await auth(held)(call({"x-api-key": digest}), fine)


async def test_a_key_ends_with_its_last_day(tmp_path: Path) -> None:
    held = config("keys: {ann: {key: hers, expires: '2026-01-31'}}", tmp_path)
    last = 1769903999.0  # 2026-01-31T23:59:59Z
    assert (await auth(held, last)(call({"x-api-key": "hers"}), fine)).status == 200
    with pytest.raises(Unauthorized) as caught:
        await auth(held, last + 1)(asked := call({"x-api-key": "hers"}), fine)
    assert (caught.value.status, caught.value.code) == (401, "expired_api_key")
    assert (asked.client, asked.key) == ("ann", None)  # the log says whose it is


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_a_stranger_is_turned_away_before_the_body_comes(speech: Speech) -> None:
    async with pillion(PILLION_CLIENT_KEY=KEY) as gateway, client(gateway) as one:
        head = spell("POST", speech.path, headers=[*speech.headers, ("Content-Length", "1000")])
        await one.send(head)  # and no body
        got = await one.answer()
        assert got.status == 401
        assert speech.error(got.body)["type"]


@pytest.mark.parametrize("path", ["/providers", "/metrics", "/v1/models", "/v1/models/x", "/providers/echo/health"])
async def test_what_pillion_says_of_itself_needs_the_key(path: str) -> None:
    async with pillion(PILLION_CLIENT_KEY=KEY) as gateway:
        assert (await ask(gateway, "GET", path)).status == 401


@pytest.mark.parametrize("path", ["/startup", "/readiness", "/liveness"])
async def test_probes_need_no_key(path: str) -> None:
    async with pillion(PILLION_CLIENT_KEY=KEY) as gateway:
        assert (await ask(gateway, "GET", path)).status == 200


@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_the_right_key_opens_the_door(speech: Speech) -> None:
    async with pillion(PILLION_CLIENT_KEY=KEY) as gateway:
        request = speech.request(model="echo/text")
        assert (await chat(gateway, speech, request, [("Authorization", f"Bearer {KEY}")])).status == 200
        assert (await ask(gateway, "POST", f"{speech.path}?key={KEY}", request)).status == 200


async def test_keys_without_a_client_key_are_keys_too(tmp_path: Path) -> None:
    async with pillion(**config_file("keys: {ann: {key: hers}}", tmp_path)) as gateway:
        assert (await ask(gateway, "GET", "/v1/models")).status == 401
        assert (await ask(gateway, "GET", "/v1/models", headers=[("x-api-key", "hers")])).status == 200
        got = await ask(gateway, "GET", "/v1/providers", headers=[("x-api-key", "hers")])
        assert (got.status, json.loads(got.body)["error"]["code"]) == (404, "admin_listener_only")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "there is no client key"),
        (
            "keys: {ann: {key: short}}",
            "keys.ann.key: must have at least 16 characters, because 0.0.0.0:1 can be reached from outside",
        ),
        (f"client_key: {LONG}\nkeys: {{ann: {{key: short}}}}", "keys.ann.key: must have at least 16 characters"),
        (f"keys: {{ann: {{key: {LONG}}}}}", ""),
        (f"keys: {{ann: {{sha256: {'a' * 64}}}}}", ""),
        ("jwt: {jwks: 'https://i/keys', issuer: i, audience: a}", ""),
    ],
)
def test_who_listens_to_strangers_asks_for_a_key(text: str, problem: str, tmp_path: Path) -> None:
    told = ""
    try:
        config(f"listen: 0.0.0.0:1\n{text}", tmp_path)
    except Exception as error:
        told = str(error)
    assert problem in told if problem else not told


def test_minted_keys_that_cannot_be_read_are_not_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is another user's, as of a container that runs under a new number."""
    stat = Path.stat

    def denied(path: Path, **how: Any) -> os.stat_result:
        if path.name == "keys.json":
            raise PermissionError(EACCES, "Permission denied", str(path))
        return stat(path, **how)

    monkeypatch.setattr(Path, "stat", denied)
    told = re.escape(f"minted keys cannot be read: {tmp_path / 'state' / 'keys.json'}: permission denied to user")
    with pytest.raises(ConfigError, match=told):
        config("listen: 0.0.0.0:1", tmp_path)


# --- and to what -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "providers", "asked", "may"),
    [
        ([], [], "openai/gpt", True),
        (["openai/gpt"], [], "openai/gpt", True),
        (["openai/gpt"], [], "openai/gpt-4", False),
        (["openai/gpt"], [], "azure/gpt", False),
        (["openai/*"], [], "openai/org/gpt", True),
        (["*"], [], "openai/gpt", True),
        (["*/gpt-*-mini"], [], "azure/gpt-4o-mini", True),
        (["*/gpt-*-mini"], [], "azure/gpt-mini", False),
        (["a/x*x"], [], "a/x", False),
        (["a/x*x"], [], "a/xx", True),
        (["a/*b*c*"], [], "a/cb", False),
        (["a/*b*c*"], [], "a/1b2c3", True),
        (["a/[x]?"], [], "a/x1", False),
        (["a/x", "b/*"], [], "b/y", True),
        ([], ["openai"], "openai/gpt", True),
        ([], ["openai"], "azure/gpt", False),
        (["*/gpt"], ["openai"], "azure/gpt", False),
        (["*/gpt"], ["openai"], "openai/o3", False),
    ],
)
def test_a_model_must_fit_a_pattern_and_a_provider_be_named(
    models: list[str], providers: list[str], asked: str, may: bool
) -> None:
    key = ClientKey(name="ann", models=tuple(models), providers=tuple(providers))
    provider, _, model = asked.partition("/")
    assert allows(key, provider, model) is may


@pytest.mark.parametrize(
    ("models", "providers", "told"),
    [
        (["echo/text", "gpt*"], [], "echo/text, gpt*."),
        ([], ["echo", "openai"], "echo, openai."),
        (["*/text"], ["echo", "openai"], "*/text, at echo, openai."),
    ],
)
def test_a_key_is_told_all_that_it_may_use(models: list[str], providers: list[str], told: str) -> None:
    key = ClientKey(name="ann", models=tuple(models), providers=tuple(providers))
    message = not_allowed(key, "gemini", "x").message
    assert message == f"This key may not use 'x' at gemini. It may use: {told}"


def test_where_there_are_no_keys_everything_is_allowed() -> None:
    assert allows(None, "openai", "gpt")


def test_a_long_name_is_looked_through_once() -> None:
    key = ClientKey(name="ann", models=("a/" + "*a" * 50 + "b",))
    assert not allows(key, "a", "a" * 1_000_000)


async def restricted(model: str) -> Call:
    asked = call()
    asked.key, asked.target = ClientKey(name="ann", models=("echo/text",)), Target(Echo("echo"), model)
    await ALLOWED.reserve(asked)
    return asked


async def test_the_account_of_a_restricted_key_lets_the_allowed_target_pass_and_no_other() -> None:
    ALLOWED.settle(await restricted("text"), None, None)
    with pytest.raises(GatewayError) as caught:
        await restricted("tool" * 1000)
    assert (caught.value.status, caught.value.code, caught.value.param) == (403, "model_not_allowed", "model")
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    ("dialect", "word"),
    [
        ("openai_chat", "model_not_allowed"),
        ("openai_responses", "model_not_allowed"),
        ("anthropic", "permission_error"),
        ("gemini", "PERMISSION_DENIED"),
        ("bedrock", "AccessDeniedException"),
        ("ollama", "may not use 'tool' at echo"),
        ("cohere", "may not use 'tool' at echo"),
    ],
)
async def test_each_wire_says_it_in_its_own_words(dialect: str, word: str) -> None:
    with pytest.raises(GatewayError) as caught:
        await restricted("tool")
    spoken = registry.dialect(dialect)
    said = spoken.error(caught.value, "req_1").decode() + str(spoken.error_headers(caught.value))
    assert word in said
    assert "may not use 'tool' at echo" in said


@pytest.mark.parametrize(
    ("others", "allowed"),
    [
        ('["text"]', True),
        ("[]", True),
        ("null", True),
        ('["text","tool"]', False),
        ('["echo/text"]', False),
        ('"tool"', False),
        ('[["tool"]]', False),
        ('{"tool":1}', False),
    ],
)
async def test_no_model_is_asked_in_place_of_the_allowed_one_either(others: str, allowed: bool) -> None:
    """OpenRouter's list of fallbacks."""
    asked = call()
    asked.key, asked.target = ClientKey(name="ann", models=("echo/text",)), Target(Echo("echo"), "text")
    asked.envelope = Envelope(b'{"model":"echo/text","mod\\u0065ls":%b}' % others.encode())
    with nullcontext() if allowed else pytest.raises(GatewayError, match="may not use"):
        await ALLOWED.reserve(asked)


def _adding(model: str) -> dict[str, Any]:
    definition = {"type": "advisor_20260301", "name": "advisor", "model": model}
    return {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": definition}}


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({"fallbacks": [{"model": "small"}]}, True),
        ({"fallbacks": []}, True),
        ({"fallbacks": None}, True),
        ({"fallbacks": [{"model": "small"}, {"model": "large"}]}, False),
        ({"fallbacks": "default"}, False),  # the provider chooses
        ({"fallbacks": ["large"]}, False),
        ({"fallbacks": [{}]}, False),
        ({"tools": [{"name": "f", "input_schema": {"properties": {"model": {}}}}]}, True),
        ({"tools": [{"type": "advisor_20260301", "name": "advisor", "model": "small"}]}, True),
        ({"tools": [{"name": "f"}, {"type": "advisor_20260301", "name": "advisor", "model": "large"}]}, False),
        ({"tools": [{"type": "advisor_20260301", "model": None}]}, False),
        ({"tools": "no list"}, True),
        ({"messages": [{"role": "user", "content": [_adding("small")]}]}, True),
        (
            {"messages": [{"content": "x"}, {"role": "user", "content": [{}, _adding("large")]}]},
            False,
        ),
    ],
    ids=str,
)
async def test_a_model_that_claude_is_to_hand_over_to_must_be_allowed_too(
    fields: dict[str, Any], allowed: bool, tmp_path: Path
) -> None:
    """Whom Anthropic asks if the model refuses, which a client can bring about, and whom it asks for advice."""
    text = "keys: {ann: {key: hers, models: [anthropic/small, openai/other]}}"
    whole = [("Content-Type", "application/json")]
    async with Evil(Scenario(body=ANTHROPIC.whole, headers=whole)) as evil:
        async with pillion(**config_file(text, tmp_path), **ANTHROPIC.environ(evil.url)) as gateway:
            asked = ANTHROPIC.request(model="anthropic/small", **fields)
            got = await chat(gateway, ANTHROPIC, asked, [("x-api-key", "hers")])
        assert (got.status, len(evil.requests)) == ((200, 1) if allowed else (403, 0))
        assert allowed or "may not use" in ANTHROPIC.error(got.body)["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"fallbacks": [{"model": "large"}]},
        {"tools": [{"type": "advisor_20260301", "name": "advisor", "model": "large"}]},
    ],
    ids=str,
)
async def test_so_must_one_that_is_named_to_invoke_model(fields: dict[str, Any], tmp_path: Path) -> None:
    """Its body is Anthropic's, and goes to Anthropic with all that is in it."""
    text = "keys: {ann: {key: hers, models: [anthropic/small]}}"
    asked = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
    async with Evil() as evil:
        async with pillion(**config_file(text, tmp_path), **ANTHROPIC.environ(evil.url)) as gateway:
            body = json.dumps(asked | fields).encode()
            got = await ask(gateway, "POST", "/model/anthropic%2Fsmall/invoke", body, [("x-api-key", "hers")])
        assert (got.status, evil.requests) == (403, [])


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({"models": ["small", "large"]}, False),
        ({"compound_custom": {"models": {"answering_model": "small", "reasoning_model": "small"}}}, True),
        ({"compound_custom": {"models": {"answering_model": "small", "reasoning_model": "large"}}}, False),
        ({"Compound_Custom": {"Models": {"Answering_model": "large"}}}, False),  # as Go reads it
        ({"compound_custom": {"tools": {"enabled_tools": ["web_search"]}}}, True),
        ({"compound_custom": None, "plugins": None, "providerOptions": "x", "preset": None}, True),
        ({"providerOptions": {"gateway": {"models": ["small"]}}}, True),
        ({"providerOptions": {"gateway": {"order": ["azure"], "models": ["large"]}}}, False),
        ({"plugins": [{"id": "web"}, {"id": "fusion", "model": "small", "analysis_models": ["small"]}]}, True),
        ({"plugins": [{"id": "web"}, {"id": "fusion", "analysis_models": ["small", "large"]}]}, False),
        ({"preset": "mine"}, True),
        ({"preset": "theirs"}, False),
        ({"tools": [{"type": "image_generation", "model": "small"}]}, True),
        ({"tools": [{"type": "image_generation", "model": "large"}]}, False),
        ({"tools": [{"type": "image_generation", "svg": {"model": "large"}}]}, False),
        ({"tools": [{"type": "openrouter:advisor", "parameters": {"mod\u0065l": "large"}}]}, False),
        ({"tools": [{"type": "openrouter:fusion", "parameters": {"analysis_models": ["large"]}}]}, False),
        ({"tools": [{"type": "function", "name": "f", "parameters": {"properties": {"model": {}}}}]}, True),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"model": "x"}}}]}, True),
        ({"input": [{"type": "additional_tools", "tools": [{"type": "x", "model": "large"}]}]}, False),
    ],
    ids=str,
)
@pytest.mark.parametrize("wire", ["openai_chat", "openai_responses"])
async def test_no_field_of_a_host_of_openais_wire_reaches_a_model_that_is_not_allowed(
    fields: dict[str, Any], allowed: bool, wire: str
) -> None:
    host = SimpleNamespace(name="openrouter", takes=lambda model: ("openai_chat",))
    asked = of_dialect(dialect=wire)
    asked.key = ClientKey(name="ann", models=("openrouter/small", "openrouter/@preset/mine"))
    asked.target = Target(cast(Adapter, host), "small")
    asked.envelope = Envelope(json.dumps({"model": "small", **fields}).encode())
    with nullcontext() if allowed else pytest.raises(GatewayError, match="may not use"):
        await ALLOWED.reserve(asked)


@pytest.mark.parametrize("path", [("generationConfig", "routingConfig", "manualMode", "modelName")])
@pytest.mark.parametrize(
    "spelled",
    [
        str,
        lambda key: re.sub("([A-Z])", r"_\1", key).lower(),
        str.upper,
        lambda key: key.replace("model", "mod\ue000l"),  # \u0065, once it is JSON
    ],
    ids=["camel", "snake", "capitals", "escape"],
)
async def test_nor_does_vertex_ai_choose_one_by_the_clients_word(
    path: tuple[str, ...], spelled: Callable[[str], str]
) -> None:
    host = SimpleNamespace(name="vertex", takes=lambda model: ("gemini",))
    asked = of_dialect(dialect="gemini")
    asked.key, asked.target = ClientKey(name="ann", models=("vertex/small",)), Target(cast(Adapter, host), "small")
    for name in ("small", "large"):
        said: Any = name
        for key in reversed(path):
            said = {spelled(key): said}
        asked.envelope = Envelope(json.dumps(said).replace(r"\ue000", r"\u0065").encode())
        with nullcontext() if name == "small" else pytest.raises(GatewayError, match="may not use"):
            await ALLOWED.reserve(asked)


async def test_what_another_wire_does_not_carry_asks_for_no_other_model(tmp_path: Path) -> None:
    text = "keys: {ann: {key: hers, models: [openai/small]}}"
    fallbacks = [{"model": "claude-opus-4-8"}]
    async with Evil(Scenario(body=OPENAI.whole, headers=[("Content-Type", "application/json")])) as evil:
        async with pillion(**config_file(text, tmp_path), **OPENAI.environ(evil.url)) as gateway:
            asked = ANTHROPIC.request(model="openai/small", fallbacks=fallbacks)
            got = await chat(gateway, ANTHROPIC, asked, [("x-api-key", "hers")])
        assert got.status == 200
        assert b"claude-opus" not in evil.requests[0].body


RESTRICTED = """
providers: {openai: {base_url: http://127.0.0.1:9/v1, api_key: k}}
aliases: {fast: echo/text, slow: echo/tool}
keys:
  ann: {key: hers, models: [echo/text]}
  bob: {key: his, providers: [openai]}
"""


@pytest.mark.parametrize(
    ("key", "model", "status"),
    [
        ("hers", "echo/text", 200),
        ("hers", "fast", 200),
        ("hers", "echo/tool", 403),
        ("hers", "slow", 403),
        ("hers", "tool", 403),
        ("his", "echo/text", 403),
        ("his", "fast", 403),
    ],
)
@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_what_a_name_stands_for_decides_and_not_the_name(
    speech: Speech, key: str, model: str, status: int, tmp_path: Path
) -> None:
    async with pillion(**config_file(RESTRICTED, tmp_path)) as gateway:
        for stream in (False, True):
            got = await chat(gateway, speech, speech.request(stream, model=model), [("x-api-key", key)])
            assert got.status == status
            if status == 403:
                message = speech.error(got.body)["message"]
                assert "This key may not use " in message
                assert " at echo. It may use: " in message


async def test_a_bare_name_is_whose_the_key_may_ask_where_several_have_it(tmp_path: Path) -> None:
    plays = [Scenario(body=OPENAI.whole, headers=[("Content-Type", "application/json")])] * 2
    async with Evil(*plays) as evil:
        rows = "".join(
            f"  {name}: {{preset: openai, base_url: {url}/v1, api_key: k, models: [m]}}\n"
            for name, url in (("first", "http://127.0.0.1:9"), ("second", evil.url))
        )
        text = f"providers:\n{rows}keys: {{ann: {{key: hers, providers: [second]}}}}"
        async with pillion(**config_file(text, tmp_path)) as gateway:
            for _ in range(2):
                got = await chat(gateway, OPENAI, OPENAI.request(model="m"), [("x-api-key", "hers")])
                assert (got.status, got.header("x-pillion-provider")) == (200, "second")
            for model in ("first/m", "first/other"):
                got = await chat(gateway, OPENAI, OPENAI.request(model=model), [("x-api-key", "hers")])
                assert got.status == 403
        assert len(evil.requests) == 2


async def test_tokens_are_counted_for_allowed_models_alone(tmp_path: Path) -> None:
    async with pillion(**config_file(RESTRICTED, tmp_path)) as gateway:
        body = {"messages": [{"role": "user", "content": "hello"}]}
        for model, status in (("echo/text", 200), ("echo/tool", 403)):
            asked = json.dumps({**body, "model": model}).encode()
            got = await ask(gateway, "POST", "/v1/messages/count_tokens", asked, [("x-api-key", "hers")])
            assert got.status == status
