"""Do all spellings of a model mean that model, and none another one?"""

import pytest

from proxy.spending.names import plain


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("gpt-4o", ["gpt-4o-2024-08-06", "GPT-4o", "gpt-4o:nitro", "gpt-4o-latest"]),
        ("gpt-4", ["gpt-4-0613"]),
        (
            "claude-sonnet-4-5",
            ["claude-sonnet-4-5-20250929", "claude-sonnet-4-5@20250929", "claude-sonnet-4-5@default"],
        ),
        (
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            [
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "global.anthropic.claude-sonnet-4-5-20250929-v1:0:200k",
                "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0",
                "arn:aws-us-gov:bedrock:us-gov-west-1:7:inference-profile/us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0",
            ],
        ),
        (
            "gemini-2.0-flash",
            ["gemini-2.0-flash-001", "models/gemini-2.0-flash", "publishers/google/models/gemini-2.0-flash"],
        ),
        ("command-r", ["command-r-08-2024"]),
        ("mistral-large-latest", ["mistral-large-2411", "mistral-large"]),
        ("llama3:latest", ["llama3"]),
        ("anthropic/claude-sonnet-4.5", ["anthropic/claude-sonnet-4.5:online", "Anthropic/Claude-Sonnet-4.5:floor"]),
        (
            "openai/gpt-oss-120b",
            [f"openai/gpt-oss-120b:{host}" for host in ("groq", "fireworks-ai", "zai-org", "auto", "Nscale")],
        ),
        ("accounts/fireworks/models/deepseek-v3-0324", ["accounts/fireworks/models/deepseek-v3"]),
    ],
)
def test_one_model_has_many_names(name: str, others: list[str]) -> None:
    assert {plain(other) for other in others} == {plain(name)}


@pytest.mark.parametrize(
    "names",
    [
        ["gpt-5", "gpt-5-mini", "gpt-5.1", "gpt-5-pro", "ft:gpt-5:org::1"],
        ["llama3:8b", "llama3:70b", "llama3", "ns/llama3", "llama3:grok", "llama3:together-7b"],
        ["x/claude:thinking", "x/claude:extended", "x/claude"],
        ["claude-sonnet-4", "claude-sonnet-4-5", "claude-opus-4-5", "claude-3-5-sonnet", "claude-3-7-sonnet"],
        ["deepseek-v3", "deepseek-v3.1", "deepseek-r1"],
        ["gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-flash-preview-09-2025"],
        ["amazon.nova-lite-v1:0", "amazon.nova-pro-v1:0", "amazon.nova-2-lite-v1:0"],
        ["meta-llama/llama-3", "unsloth/llama-3"],
        ["latest", "2024", "models/", "us.", "0613"],
        ["arn:aws:bedrock:us-east-1:7:application-inference-profile/a", "arn:aws:bedrock:us-east-1:7:imported-model/b"],
    ],
)
def test_other_models_have_other_names(names: list[str]) -> None:
    assert len({plain(name) for name in names}) == len(names)


def test_a_name_of_any_length_is_looked_at_once() -> None:
    assert plain("a." * 100_000 + "-0613" * 2)
