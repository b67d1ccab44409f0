"""Is a provider's message repeated to a client without the keys in it, on every wire?"""

import json
from types import SimpleNamespace
from typing import cast

import pytest

from proxy import registry
from proxy.errors import UpstreamError
from proxy.grammar.repeating import LONGEST, repeated
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


def refused(wire: str, message: str, status: int = 400, name: str = "p", model: str = "m") -> UpstreamError:
    """The error that says so, in whichever place the wire has for it."""
    dialect = registry.dialect(wire)
    adapter = SimpleNamespace(name=name, whose_key="pillion's", hide=lambda text: text)
    call = taking.call(dialect=wire, target=Target(cast(Adapter, adapter), model))
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


@every_wire
@pytest.mark.parametrize("model", ["hf-llama-3.1-8b", "fw-mixtral-8x22b", "accounts/me/models/fw-tuned_2"])
def test_the_name_of_the_requests_own_model_is_no_key(model: str, wire: str) -> None:
    message = f"The model {model!r} does not exist: is {model} deployed?"
    error = refused(wire, message, 404, model=model)
    assert error.message == message
    assert error.body is None or model.encode() in error.body
    assert (error.body is None) == (refused(wire, "No such model.", 404).body is None)


@pytest.mark.parametrize("model", ["hf-llama-70b", "hf-llama", "m", "a", "sk-proj-abcdefgh-of-mine"])
def test_what_only_begins_like_the_model_is_a_key_all_the_same(model: str) -> None:
    for key in ("hf-llama-70b-a1b2c3", "hf-other-70b", "sk-proj-abcdefghm", "xai-abcdefghm"):
        error = refused("openai_chat", f"Incorrect: {key} of {model}.", model=model)
        assert error.message == f"Incorrect: *** of {model}."
        assert error.body is None


def test_by_whichever_name_the_client_called_it() -> None:
    assert repeated("no hf-abcdefgh here", ("fast", "hf-abcdefgh")) == "no hf-abcdefgh here"
    assert repeated("no hf-abcdefgh here", ("p/hf-abcdefgh", "m")) == "no *** here"


def test_a_long_message_is_searched_quickly() -> None:
    name = "hf-" + "a" * 100
    assert repeated(f"{name} " * 5_000, (name,)) == f"{name} " * (LONGEST // 104) + f"{name} "[: LONGEST % 104]
