"""Does what came along from another gateway work, or hear in one sentence what to do instead?"""

from pathlib import Path

import pytest

from proxy.config import load
from proxy.config.layers import gathered
from proxy.errors import ConfigError
from proxy.headers import outgoing
from tests.client import OPENAI, ask
from tests.gateway import pillion

PRESETS = gathered(None, {}, {}).presets
KEY = "sk-canary-0123456789"


def test_other_words_for_a_provider_name_one_and_are_none_themselves() -> None:
    assert not PRESETS.synonyms.keys() & PRESETS.providers.keys()
    assert set(PRESETS.synonyms.values()) <= PRESETS.providers.keys()


@pytest.mark.parametrize(
    ("name", "provider", "model"),
    [
        ("fireworks_ai/accounts/fireworks/models/x", "fireworks", "accounts/fireworks/models/x"),
        ("together_ai/meta-llama/Llama-3", "together", "meta-llama/Llama-3"),
        ("hosted_vllm/m", "vllm", "m"),
    ],
)
async def test_a_name_as_litellm_spells_it_goes_to_its_provider(name: str, provider: str, model: str) -> None:
    keys = {"TOGETHERAI_API_KEY": "x", "FIREWORKS_AI_API_KEY": "x", "PILLION_VLLM_BASE_URL": "http://127.0.0.1:9/v1"}
    async with pillion(**keys) as gateway:
        target = await gateway.app.catalog.resolve(name)
    assert (target.adapter.name, target.model) == (provider, model)


async def test_a_word_of_litellms_for_a_provider_that_is_not_there_is_told_how_to_get_it() -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "POST", "/v1/chat/completions", OPENAI.request(model="together_ai/m"))
    assert got.status == 404
    assert "together is not configured: set TOGETHER_API_KEY or TOGETHERAI_API_KEY." in got.body.decode()


def test_all_traffic_may_go_to_one() -> None:
    assert "vllm" in load(environ={"PILLION_UPSTREAM": "hosted_vllm/m"}).providers


def test_a_row_that_is_called_so_is_itself(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("providers: {hosted_vllm: {base_url: 'http://gpu:8000/v1', model: m}}\nupstream: hosted_vllm\n")
    config = load(file, {})
    assert "vllm" not in config.providers
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("variable", "provider"),
    [
        ("HUGGINGFACE_API_KEY", "huggingface"),
        ("PERPLEXITYAI_API_KEY", "perplexity"),
        ("VERCEL_AI_GATEWAY_API_KEY", "vercel-gateway"),
        ("NVIDIA_NIM_API_KEY", "nvidia"),
    ],
)
def test_a_key_may_have_the_name_that_litellm_gives_it(variable: str, provider: str) -> None:
    config = load(environ={variable: KEY})
    assert config.providers.keys() == {provider, "ollama"}
    assert config.providers[provider].api_key.reveal() == KEY


def test_places_may_have_the_names_that_litellm_gives_them() -> None:
    bedrock = load(environ={"PILLION_UPSTREAM": "bedrock/m", "AWS_REGION_NAME": "eu-west-1"}).providers["bedrock"]
    assert bedrock.location == "eu-west-1"
    said = {"PILLION_UPSTREAM": "vertex_ai/m", "VERTEXAI_PROJECT": "p", "VERTEXAI_LOCATION": "l"}
    vertex = load(environ=said).providers["vertex"]
    assert (vertex.project, vertex.location) == ("p", "l")


@pytest.mark.parametrize(
    ("variable", "own"),
    [
        ("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"),
        ("AZURE_API_BASE", "PILLION_AZURE_BASE_URL"),
        ("OLLAMA_API_BASE", "PILLION_OLLAMA_BASE_URL"),
        ("HOSTED_VLLM_API_BASE", "PILLION_VLLM_BASE_URL"),
        ("LM_STUDIO_API_BASE", "PILLION_LMSTUDIO_BASE_URL"),
    ],
)
def test_a_variable_that_is_called_differently_here_is_told_of(variable: str, own: str) -> None:
    told = f"{variable} has no effect: pillion reads {own} (docs/migrating.md)"
    assert load(environ={variable: "http://gpu:9000/v1"}).warnings == (told,)
    assert load(environ={variable: "http://[x:y"}).warnings == (told,)


def test_but_not_where_the_provider_is_there_or_the_app_is_meant() -> None:
    azure = {"AZURE_OPENAI_API_KEY": "k", "PILLION_AZURE_BASE_URL": "https://r.openai.azure.com"}
    assert load(environ={"AZURE_API_KEY": "k", "AZURE_API_BASE": "https://r.openai.azure.com", **azure}).warnings == ()
    assert load(environ={"OLLAMA_API_BASE": "http://localhost:7455"}).warnings == ()
    assert load(environ={"OLLAMA_API_BASE": "", "LITELLM_MASTER_KEY": ""}).warnings == ()


def test_a_master_key_that_nobody_is_asked_for_is_told_of(tmp_path: Path) -> None:
    told = "LITELLM_MASTER_KEY has no effect: the key that apps must send is PILLION_CLIENT_KEY (docs/migrating.md)"
    assert load(environ={"LITELLM_MASTER_KEY": KEY}).warnings == (told,)
    assert load(environ={"LITELLM_MASTER_KEY": KEY, "PILLION_CLIENT_KEY": KEY}).warnings == ()
    file = tmp_path / "config.yaml"
    file.write_text(f"keys: {{app: {{key: {KEY}}}}}\n")
    assert load(file, {"LITELLM_MASTER_KEY": KEY}).warnings == ()


def test_a_configuration_of_litellms_is_known_by_its_tables(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("model_list: []\nlitellm_settings: {drop_params: true}\ngeneral_settings: {}\n")
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    told = "unknown key; it is LiteLLM's: docs/migrating.md has what to write in its place"
    tables = ("model_list", "litellm_settings", "general_settings")
    assert str(caught.value).splitlines() == [f"{file}:{n}: {key}: {told}" for n, key in enumerate(tables, 1)]


def test_a_variable_as_litellm_writes_it_is_told_of(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("providers: {openai: {api_key: os.environ/OPENAI_API_KEY}}\n")
    told = "the key of openai begins with os.environ/, and is taken as it stands: for what a variable holds, write"
    assert load(file, {}).warnings == (f"{told} ${{NAME}}",)


@pytest.mark.parametrize(
    ("method", "path", "status", "told"),
    [
        ("POST", "/anthropic/v1/messages", 404, "There is /v1/messages: leave /anthropic out of the base URL."),
        ("POST", "/a/b/openai/chat/completions", 404, "There is /chat/completions: leave /a/b/openai out of"),
        ("POST", "/bedrock/model/m/converse", 404, "There is /model/m/converse: leave /bedrock out of the base URL."),
        ("GET", "/inference/v1/models", 404, "There is /v1/models: leave /inference out of the base URL."),
        ("POST", "/engines/gpt-4o/completions", 404, "Chats are at /v1/chat/completions."),
        ("POST", "/v1/completions", 501, "Chats are at /v1/chat/completions."),
        ("POST", "/api/v1/chat/completions", 501, "pillion's base URL ends in /v1."),
        ("POST", "/v1beta/openai/chat/completions", 501, "pillion's base URL ends in /v1."),
        ("GET", "/health", 404, "The probes are /liveness, /readiness and /startup."),
        ("GET", "/health/liveliness", 404, "The probes are /liveness, /readiness and /startup."),
        ("GET", "/v1/model/info", 501, "The models are at /v1/models."),
        ("GET", "/key/info", 404, "Client keys are made by `pillion keys add`."),
        ("GET", "/spend/logs", 404, "What was spent is at /v1/usage."),
    ],
)
async def test_a_route_of_another_gateways_names_the_one_here(method: str, path: str, status: int, told: str) -> None:
    async with pillion() as gateway:
        got = await ask(gateway, method, path, b"{}" if method == "POST" else b"")
    assert got.status == status
    assert told in got.body.decode()


@pytest.mark.parametrize(
    "path", ["/nowhere", "/nowhere/", "/healthy", "/keyring", "/a/b/c/d/e/f/g/h/i/v1/messages", "/" * 99]
)
async def test_any_other_route_names_none(path: str) -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "POST", path, b"{}")
    assert got.status == 404
    assert f'There is no route {path}."' in got.body.decode()


async def test_the_cluster_hears_of_the_probes_alone() -> None:
    async with pillion(PILLION_METRICS_ADDRESS="127.0.0.1:0") as gateway:
        there = gateway.app.addresses[-1]
        got = [await ask(there, "GET", path) for path in ("/health/readiness", "/a/v1/models")]
    assert [each.status for each in got] == [404, 404]
    assert ["The probes are" in each.body.decode() for each in got] == [True, False]
    assert "base URL" not in got[1].body.decode()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("@echo/text", " Did you mean echo/text?"),
        ("Echo/text", " Did you mean echo/text?"),
        ("text/echo", " Did you mean echo/text?"),
        ("Google/gemini-x", " Did you mean google/gemini-x?"),
        ("openai/gpt-x:online", "set OPENAI_API_KEY. Did you mean openrouter/openai/gpt-x:online?"),
        ("openai/gpt-y:online", "set OPENAI_API_KEY. Providers:"),
        ("meta/llama", " is not known. Providers:"),
        ("@echo", " is not known. Providers:"),
    ],
)
async def test_a_name_as_other_gateways_spell_it_names_the_one_here(name: str, told: str) -> None:
    openrouter = {"PILLION_OPENROUTER_BASE_URL": "http://127.0.0.1:9/v1", "PILLION_OPENROUTER_MODELS": "openai/gpt-x"}
    async with pillion(PILLION_GEMINI_BASE_URL="http://127.0.0.1:9", GEMINI_API_KEY="x", **openrouter) as gateway:
        got = await ask(gateway, "POST", "/v1/chat/completions", OPENAI.request(model=name))
    assert got.status == 404
    assert told in got.body.decode()


def test_no_header_with_other_providers_keys_goes_to_one() -> None:
    sent = {
        "x-portkey-config": '{"provider": "openai", "api_key": "k"}',
        "helicone-fallbacks": '[{"headers": {"Authorization": "Bearer k"}}]',
        "helicone-auth": "Bearer k",
        "x-litellm-api-key": "k",
        "x-portkey-virtual-key": "k",
    }
    assert outgoing({**sent, "x-title": "app"}) == [("x-title", "app")]
