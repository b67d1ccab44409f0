"""Does the form of a seal tell of its maker, and of no other, and what follows from that for whom?"""

import base64
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

import msgspec
import pytest

from proxy.config import load
from proxy.config.schema.providers import Maker
from proxy.ports import Adapter
from proxy.sealing.forms import MAKERS, maker_of
from proxy.sealing.makers import called, foreign, silent
from tests import recordings
from tests.gateway import config_file
from tests.recordings import Row, needs_recordings
from tests.replay import events

_BYTES = {
    "openai": b"\x80\0\0\0\0\x68" + bytes(range(60)),
    "anthropic": b"\x12\x7f\x0a\x46\x08\x0b\x18\x02*@" + bytes(range(119)),
    "google": b"\x0a\x24\x01\xbe\x3e\xf6\xfb" + bytes(range(60)),
}
_TEXTS = {
    "bedrock-mantle": "rsn_5ZVrif4J0bXIqmWdledj7QIFeF",
    "deepseek": "15473b38-ad91-4b6c-85e9-dd1c4a0e285a-0",
}


def made(maker: str) -> str:
    """A seal of this maker's form."""
    return _TEXTS.get(maker) or base64.urlsafe_b64encode(_BYTES[maker]).decode()


# --- the form --------------------------------------------------------------------------------------------------------


def test_every_maker_has_a_form_and_a_word_in_the_configuration() -> None:
    assert {maker_of(made(maker)) for maker in MAKERS} == set(MAKERS)
    assert get_args(Maker) == MAKERS


@pytest.mark.parametrize(
    ("seal", "maker"),
    [
        (b"\x08\x02\x12\xcd\x02\x0a\x87\x01\x08\x10\x10\x18\x02", "anthropic"),
        (b"\x12\x6c\x0a\x02\x18\x02\x12\x0c", "anthropic"),
        (b"\x12\xec\x03\x0a\xe9\x03\x01\xbe\x3e\xf6\xfb", "google"),
        (b"\x12\xeb\xf6\x01\x0a\xe7\xf6\x01\x08\x01\x12\xe1\xf6\x01\x01\x0c\x39", "google"),
        (b"\x12\xec\x03\x0a\xe9\x03\x02\xbe\x3e\xf6\xfb", ""),
        (b"\x01\x8f\x3d\x6b\x5f", ""),
        (b"", ""),
    ],
)
def test_a_buffer_is_read_in_either_alphabet(seal: bytes, maker: str) -> None:
    assert maker_of(base64.b64encode(seal + bytes(40)).decode() if seal else "") == maker
    assert maker_of(base64.urlsafe_b64encode(seal + bytes(40)).decode().rstrip("=") if seal else "") == maker


@pytest.mark.parametrize(
    "seal", ["E", "C?", "Eu", "sig_abc123", "skip_thought_signature_validator", "gAAAA", "Ünicode"]
)
def test_what_is_no_such_seal_tells_of_nobody(seal: str) -> None:
    assert maker_of(seal) == ""


def test_bytes_at_random_tell_of_nobody() -> None:
    chance = random.Random(4)
    told = [maker_of(base64.b64encode(chance.randbytes(300)).decode()) for _ in range(20_000)]
    assert sum(map(bool, told)) <= 2


# Whose models a recorded host has; one that serves all of them says whose with each seal (OpenRouter's `format`).
_HOSTS = {
    "anthropic.messages": "anthropic",
    "openai.responses": "openai",
    "openai.responses_compact": "openai",
    "azure.responses": "openai",
    "bedrock-mantle.responses": "bedrock-mantle",
    "deepseek.responses": "deepseek",
    "gemini.generateContent": "google",
    "gemini.streamGenerateContent": "google",
    "vertex.generateContent": "google",
    "vertex.streamGenerateContent": "google",
    "bedrock.converse": "anthropic",
    "xai.responses": "",
}
_KEYS = ("signature", "thoughtSignature", "thought_signature", "encrypted_content")


def _seals(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for each in node:
            yield from _seals(each)
    elif isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, str) and value and key in _KEYS:
                yield value
            yield from _seals(value)


def _answer(row: Row) -> Any:
    return events(row) if row["framing"] == "sse" else msgspec.json.decode(recordings.body(row))


@needs_recordings
@pytest.mark.parametrize("host", _HOSTS)
def test_a_recorded_seal_tells_of_its_maker_or_of_nobody(host: str) -> None:
    rows = [row for row in recordings.load(host) if row["status"] == 200 and row["framing"] in ("sse", "json")]
    seals = {seal for row in rows for seal in _seals(_answer(row))}
    told = [maker_of(seal) for seal in seals]
    assert seals
    assert set(told) <= {_HOSTS[host], ""}
    assert told.count(_HOSTS[host]) >= 0.8 * len(seals)  # some of Vertex's are a ciphertext and nothing around it


# --- what follows ----------------------------------------------------------------------------------------------------


class Named(NamedTuple):
    name: str
    dialects: tuple[str, ...]


BOTH = ("openai_chat", "openai_responses")
ADAPTERS = [Named("openai", BOTH), Named("xai", BOTH), Named("anthropic", ("anthropic",)), Named("mine", BOTH)]


def foreign_of(text: str, folder: Path) -> dict[tuple[str, str], set[str]]:
    config = load(environ=config_file(text, folder))
    there = [cast(Adapter, each) for each in ADAPTERS if each.name in config.providers]
    return {place: set(makers) for place, makers in foreign(config, there).items()}


def test_a_presets_own_host_makes_its_vendors_alone(tmp_path: Path) -> None:
    found = foreign_of("providers: {openai: {api_key: a}, anthropic: {api_key: b}}", tmp_path)
    assert found["anthropic", "anthropic"] == set(MAKERS) - {"anthropic"}
    assert found["openai", "openai_chat"] == found["openai", "openai_responses"] == set(MAKERS) - {"openai"}


def test_another_host_may_be_a_gateway_and_is_kept_from_what_others_here_make(tmp_path: Path) -> None:
    text = "providers: {openai: {api_key: a, base_url: 'http://h'}, anthropic: {api_key: b, base_url: 'http://h'}}"
    assert foreign_of(text, tmp_path) == {}
    text = "providers: {openai: {api_key: a, base_url: 'http://h'}, xai: {api_key: b, base_url: 'http://h'}}"
    assert foreign_of(text, tmp_path) == {("xai", wire): {"openai"} for wire in BOTH}


def test_the_operator_has_the_last_word_and_of_an_unknown_host_nobody_has(tmp_path: Path) -> None:
    row = "{api_key: a, base_url: 'http://h', seals: [openai, google]}"
    found = foreign_of(f"providers: {{openai: {row}, mine: {{base_url: 'http://h'}}}}", tmp_path)
    assert found == {("openai", wire): set(MAKERS) - {"openai", "google"} for wire in BOTH}


def test_a_maker_is_a_name_and_the_host_that_it_stands_for(tmp_path: Path) -> None:
    row = "{api_key: a, base_url: 'https://Host.example:8443/v1'}"
    found = called(load(environ=config_file(f"providers: {{openai: {row}, xai: {{api_key: b}}}}", tmp_path)))
    assert {name: found[name] for name in ("openai", "xai")} == {
        "openai": "openai https://host.example:8443",
        "xai": "xai https://api.x.ai",
    }


def test_who_seals_nothing_on_chat_completions_is_not_watched_there_where_it_is_alone(tmp_path: Path) -> None:
    def found(text: str) -> set[tuple[str, str]]:
        config = load(environ=config_file(f"providers: {{{text}}}", tmp_path))
        there = [cast(Adapter, each) for each in ADAPTERS if each.name in config.providers]
        return set(silent(config, there))

    assert found("openai: {api_key: a}, anthropic: {api_key: b}") == {("openai", "openai_chat")}
    assert found("xai: {api_key: a}") == {("xai", "openai_chat")}
    assert found("openai: {api_key: a}, xai: {api_key: b}") == set()
    assert found("openai: {api_key: a, seals: [google]}") == set()
    assert found("mine: {base_url: 'http://h'}") == set()
