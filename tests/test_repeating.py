"""Is a provider's message repeated to a client without the keys in it, on every wire?"""

import json
from types import SimpleNamespace
from typing import cast

import pytest

from proxy import registry
from proxy.errors import UpstreamError
from proxy.grammar.repeating import LONGEST
from proxy.lanes.asking import blame
from proxy.ports import Adapter, Target
from tests import taking

KEYS = [
    "sk-proj-abcdefgh",
    "sk-or-v1-****cdef",
    "gsk_abcdefgh",
    "fw_abcdefgh",
    "pplx-abcdefgh",
    "AIzaSyABCDEF",
    "AIza****CDEF",
    "ya29.abcdef",
]
every_wire = pytest.mark.parametrize("wire", registry.DIALECTS)


def refused(wire: str, message: str, status: int = 400, name: str = "p") -> UpstreamError:
    """The error that says so, in whichever place the wire has for it."""
    dialect = registry.dialect(wire)
    adapter = SimpleNamespace(name=name, whose_key="pillion's", hide=lambda text: text)
    call = taking.call(dialect=wire, target=Target(cast(Adapter, adapter), "m"))
    said = {"type": "error", "message": message, "error": message if wire == "ollama" else {"message": message}}
    error = dialect.decode_error(status, {}, json.dumps(said).encode())
    blame(call, error)
    return error


@every_wire
@pytest.mark.parametrize("key", KEYS)
def test_no_key_goes_further(key: str, wire: str) -> None:
    error = refused(wire, f"Incorrect API key: {key}.")
    assert (error.message.removesuffix("."), error.body) == ("Incorrect API key: ***", None)


@every_wire
def test_a_message_is_cut_to_length_and_the_providers_own_body_is_not(wire: str) -> None:
    message = "no " * LONGEST
    error = refused(wire, message)
    assert error.message == message[:LONGEST]
    assert error.body is None or message.encode() in error.body


def test_a_providers_name_is_no_key() -> None:
    error = refused("openai_chat", "Bad hf_abcdefgh.", 401, "hf-endpoints")
    assert error.message == "hf-endpoints refused pillion's key: Bad ***."
