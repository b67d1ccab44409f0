"""Does the operator's word count where the client is silent, and nowhere else?"""

import json
from typing import Any

import pytest

from proxy import registry
from proxy.envelope import Envelope
from proxy.errors import BadRequest
from proxy.ports import Hints
from tests.client import ANTHROPIC, OPENAI, Speech, chat
from tests.evil import Evil, Scenario
from tests.gateway import pillion

JSON = [("content-type", "application/json")]
HINTS = Hints("m", max_tokens=77, temperature=0.5)

# By wire: a body that says nothing of either, what is filled in, and bodies that say both, in every spelling.
SILENT: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "openai_chat": (
        {"max_tokens": 77, "temperature": 0.5},
        [{"max_tokens": 1, "temperature": 0}, {"max_completion_tokens": 1, "temperature": 1.0}],
    ),
    "openai_responses": ({"max_output_tokens": 77, "temperature": 0.5}, [{"max_output_tokens": 1, "temperature": 0}]),
    "anthropic": ({"max_tokens": 77, "temperature": 0.5}, [{"max_tokens": 1, "temperature": 0}]),
    "cohere": ({"max_tokens": 77, "temperature": 0.5}, [{"max_tokens": 1, "temperature": 0}]),
    "gemini": (
        {"generationConfig": {"maxOutputTokens": 77, "temperature": 0.5}},
        [
            {"generationConfig": {"maxOutputTokens": 1, "temperature": 0}},
            {"generation_config": {"max_output_tokens": 1, "temperature": 0}},
        ],
    ),
    "bedrock": (
        {"inferenceConfig": {"maxTokens": 77, "temperature": 0.5}},
        [{"inferenceConfig": {"maxTokens": 1, "temperature": 0}}],
    ),
    "ollama": (
        {"options": {"num_predict": 77, "temperature": 0.5}},
        [{"options": {"num_predict": 1, "temperature": 0}}],
    ),
}


def filled(wire: str, body: dict[str, Any]) -> dict[str, Any]:
    envelope = Envelope(json.dumps(body).encode())
    made: dict[str, Any] = json.loads(envelope.filled(registry.dialect(wire).hinted(envelope, HINTS)))
    return made


@pytest.mark.parametrize("wire", SILENT)
def test_silence_is_filled_on_every_wire_and_words_are_kept(wire: str) -> None:
    said, full = SILENT[wire]
    assert filled(wire, {"model": "m"}) == {"model": "m", **said}
    for body in full:
        assert filled(wire, body) == body


@pytest.mark.parametrize("wire", ["gemini", "bedrock", "ollama"])
def test_half_of_an_inner_object_is_filled_and_its_other_bytes_stay(wire: str) -> None:
    ((outer, inner),) = SILENT[wire][0].items()
    limit = next(key for key in inner if key != "temperature")
    body = b'{"a": [1.0, {"b":1e2}], "%b": {"topP" : 0.50, "%b": 3}, "z":"\\u00e9"}' % (outer.encode(), limit.encode())
    envelope = Envelope(body)
    made = envelope.filled(registry.dialect(wire).hinted(envelope, HINTS))
    assert made == body.replace(b": 3}", b': 3,"temperature":0.5}')


def test_reasoning_models_of_openai_get_the_newer_word() -> None:
    wire = registry.dialect("openai_chat")
    said = wire.hinted(Envelope(b"{}"), HINTS._replace(model="o3-mini"))
    assert said == {"max_completion_tokens": 77, "temperature": 0.5}


@pytest.mark.parametrize(("said", "left"), [("null", {"x": 1}), ("5", 5), ("{}", {"x": 1})])
def test_what_is_no_object_is_left_to_the_provider(said: str, left: object) -> None:
    made = Envelope(b'{"options": %b}' % said.encode()).filled({"options": {"x": 1}})
    assert json.loads(made) == {"options": left}


def test_an_inner_object_with_a_key_twice_is_refused() -> None:
    with pytest.raises(BadRequest, match="same key twice"):
        Envelope(b'{"options": {"a": 1, "a": 2}}').filled({"options": {"x": 1}})


# --- through pillion -------------------------------------------------------------------------------------------------


async def sent(client: Speech, provider: Speech, **fields: Any) -> dict[str, Any]:
    """What the provider receives that an operator said something of."""
    name = provider.provider.upper()
    said = {f"PILLION_{name}_MAX_TOKENS": "77", f"PILLION_{name}_TEMPERATURE": "0.5"}
    async with (
        Evil(Scenario(body=provider.whole, headers=JSON)) as evil,
        pillion(**provider.environ(evil.url), **said) as gateway,
    ):
        body = json.dumps(
            {"model": f"{provider.provider}/m", "messages": [{"role": "user", "content": "Hi"}], **fields}
        )
        got = await chat(gateway, client, body.encode())
        assert got.status == 200, got.body
        received: dict[str, Any] = json.loads((await evil.received(1)).body)
    return received


@pytest.mark.parametrize("provider", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
async def test_on_either_lane_the_silent_client_is_helped(provider: Speech) -> None:
    silent = await sent(OPENAI, provider)
    assert (silent["max_tokens"], silent["temperature"]) == (77, 0.5)
    spoken = await sent(OPENAI, provider, max_tokens=5, temperature=0)
    assert (spoken["max_tokens"], spoken["temperature"]) == (5, 0)
