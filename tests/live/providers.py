"""Which providers can be asked here, for which model, and by which SDKs?

A key in the environment makes a provider, by the rules that pillion itself has. The models are the vendors' cheapest
that see and call tools; `PILLION_LIVE_<NAME>_MODEL` names another one, or the one of a provider without a row.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from proxy.config import load
from tests.live.purse import MAX_TOKENS, READ

CHECKS = ("chat", "stream", "tools", "image", "error", "count_tokens")
COUNTING = {"anthropic", "gemini", "bedrock"}  # the SDKs that can ask for a count

# What is pillion's own in the environment, and would change what is asked here.
_OURS = ("PILLION_CONFIG", "PILLION_LISTEN", "PILLION_UPSTREAM", "PILLION_CLIENT_KEY", "PILLION_METRICS_ADDRESS")


class Row(NamedTuple):
    """`sdks`: the vendor's own, and a foreign one. `models`: where a check wants another one; "" where none can."""

    model: str
    sdks: tuple[str, ...] = ("openai_chat", "anthropic")
    models: Mapping[str, str] = {}


ROWS: Mapping[str, Row] = {
    "echo": Row(
        "echo",
        ("openai_chat", "openai_responses", "anthropic", "gemini", "bedrock", "ollama", "cohere"),
        {"tools": "tool", "error": "error-404"},
    ),
    "openai": Row("gpt-4.1-nano", ("openai_chat", "openai_responses", "anthropic")),
    "azure": Row("", ("openai_chat", "anthropic")),
    "anthropic": Row("claude-haiku-4-5", ("anthropic", "openai_chat")),
    "gemini": Row("gemini-2.5-flash-lite", ("gemini", "openai_chat")),
    "vertex": Row("gemini-2.5-flash-lite", ("gemini", "openai_chat")),
    "bedrock": Row("us.amazon.nova-lite-v1:0", ("bedrock", "openai_chat")),
    "ollama": Row("gemma3:4b", ("ollama", "openai_chat"), {"tools": "qwen3:4b-instruct"}),
    "cohere": Row("command-r7b-12-2024", ("cohere", "anthropic"), {"image": "command-a-vision-07-2025"}),
    "groq": Row("llama-3.1-8b-instant", models={"image": "meta-llama/llama-4-scout-17b-16e-instruct"}),
    "mistral": Row("mistral-small-latest"),
    "deepseek": Row("deepseek-chat", models={"image": ""}),
    "xai": Row("grok-4-fast-non-reasoning", ("openai_chat", "openai_responses", "anthropic")),
    "openrouter": Row("openai/gpt-4.1-nano", ("openai_chat", "openai_responses", "anthropic")),
    "together": Row("meta-llama/Llama-4-Scout-17B-16E-Instruct"),
}


class Case(NamedTuple):
    """One call."""

    provider: str
    sdk: str
    check: str
    model: str  # as a client names it

    def __str__(self) -> str:
        return f"{self.provider}-{self.sdk}-{self.check}"


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What the pillion that is under test may know."""
    return {name: value for name, value in environ.items() if name not in _OURS}


def cases(environ: Mapping[str, str]) -> list[Case]:
    return [case for provider in _present(environ) for case in _of(provider, environ)]


def worst_case(environ: Mapping[str, str]) -> Iterator[str]:
    """What each vendor may be asked for at most, and whom nobody asks though there is a key."""
    vendors = [name for name in _present(environ) if name != "echo"]
    if not vendors:
        yield "no vendor's key is in the environment: echo alone is asked"
    for vendor in vendors:
        calls, model = len(_of(vendor, environ)), _row(vendor, environ).model
        if calls:
            yield f"{vendor}, {model}: {calls} calls, at most {calls * READ} tokens read, {calls * MAX_TOKENS} written"
        else:
            yield f"{vendor} has a key and no model: set {_variable(vendor)}"


def _present(environ: Mapping[str, str]) -> list[str]:
    """An Ollama that nobody configured does not count."""
    config = load(environ=environment(environ))
    return ["echo", *(name for name, provider in config.providers.items() if not provider.assumed)]


def _variable(provider: str) -> str:
    return f"PILLION_LIVE_{provider.upper().replace('-', '_')}_MODEL"


def _row(provider: str, environ: Mapping[str, str]) -> Row:
    """A model that is named does all the checks."""
    row, named = ROWS.get(provider, Row("")), environ.get(_variable(provider), "")
    return row._replace(model=named, models={}) if named else row


def _of(provider: str, environ: Mapping[str, str]) -> list[Case]:
    row = _row(provider, environ)
    found = []
    for sdk in row.sdks:
        for check in CHECKS:
            model = row.models.get(check, row.model)
            if check == "error" and provider != "echo" and model:
                model = "no-such-model"
            if model and (check != "count_tokens" or sdk in COUNTING):
                found.append(Case(provider, sdk, check, f"{provider}/{model}"))
    return found
