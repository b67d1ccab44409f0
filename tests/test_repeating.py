"""Is a provider's message repeated to a client without the keys in it, on every wire that several hosts speak?"""

import json

import pytest

from proxy import registry
from proxy.grammar.repeating import LONGEST

KEYS = [
    "sk-proj-abcdefgh",
    "sk-or-v1-****cdef",
    "gsk_abcdefgh",
    "fw_abcdefgh",
    "pplx-abcdefgh",
    "AIzaSyABCDEF",
    "ya29.abcdef",
]
WIRES = ["openai_chat", "openai_responses", "gemini"]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("key", KEYS)
def test_no_key_goes_further(key: str, wire: str) -> None:
    body = json.dumps({"error": {"message": f"Incorrect API key: {key}."}}).encode()
    error = registry.dialect(wire).decode_error(401, {}, body)
    assert (error.message.removesuffix("."), error.body) == ("Incorrect API key: ***", None)


@pytest.mark.parametrize("wire", [*WIRES, "bedrock"])
def test_a_message_is_cut_to_length(wire: str) -> None:
    message = "no " * LONGEST
    body = json.dumps({"message": message, "error": {"message": message}}).encode()
    assert registry.dialect(wire).decode_error(400, {}, body).message == message[:LONGEST]
