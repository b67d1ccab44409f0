"""Is the client given the status that its provider sent, on all seven wires, and is the kind of error the right one?"""

import json
from typing import Any

import pytest

from proxy import registry
from proxy.errors import Busy, Down, Kind, Refused, Timeout, UpstreamError
from tests.client import OPENAI, chat
from tests.evil import Evil, Scenario
from tests.gateway import pillion

WIRES = ("openai_chat", "openai_responses", "anthropic", "gemini", "bedrock", "bedrock_invoke", "ollama", "cohere")

BODIES: dict[str, Any] = {
    "openai_chat": {"error": {"message": "No.", "type": "some_error", "param": None, "code": None}},
    "openai_responses": {"error": {"message": "No.", "type": "some_error", "param": None, "code": None}},
    "anthropic": {"type": "error", "error": {"type": "some_error", "message": "No."}},
    "gemini": {"error": {"message": "No.", "status": "SOME_ERROR"}},
    "bedrock": {"message": "No."},
    "bedrock_invoke": {"message": "No."},
    "ollama": {"error": "No."},
    "cohere": {"message": "No."},
}

KINDS: dict[int, Kind] = {
    401: "authentication",
    402: "quota_exceeded",
    403: "authentication",
    408: "timeout",
    429: "rate_limit",
    504: "timeout",
    529: "rate_limit",
}
MADE: dict[int, type[UpstreamError]] = {408: Timeout, 429: Busy, 504: Timeout, 529: Busy}
# Where a vendor means something of its own: Google gave up, Bedrock's model failed, Ollama's queue is full.
OWN: dict[tuple[str, int], tuple[type[UpstreamError], Kind]] = {
    ("gemini", 499): (Down, "server_error"),
    ("bedrock", 424): (Down, "server_error"),
    ("bedrock_invoke", 424): (Down, "server_error"),
    ("ollama", 503): (Busy, "rate_limit"),
}


def meant(wire: str, status: int) -> tuple[type[UpstreamError], Kind]:
    made = MADE.get(status) or (Refused if status < 500 else Down)
    kind = KINDS.get(status) or ("invalid_request" if status < 500 else "server_error")
    return OWN.get((wire, status), (made, kind))


# From what stands before a provider, whichever wire it speaks: FastAPI, API gateways of Amazon's, Azure's and
# Cloudflare's, and hosts of one wire that answer in another's shape.
FRONTS: list[tuple[Any, str]] = [
    ({"detail": "No."}, "No."),
    ({"detail": [{"loc": ["body", "messages"], "msg": "No."}]}, "body.messages: No."),
    ({"message": "No."}, "No."),
    ({"Message": "No."}, "No."),
    ({"statusCode": 422, "message": "No."}, "No."),
    ({"errors": [{"message": "No.", "code": 5006}], "success": False, "result": {}}, "No."),
    ({"error": "No."}, "No."),
    ({"error": {"message": "No.", "code": 422}}, "No."),
    ({"error": {"code": "Odd", "message": "No."}}, "No."),
    ({"error": [{"message": "No."}]}, "No."),
    ({"error_code": 336003, "error_msg": "No."}, "No."),
    ({"error_message": "No."}, "No."),
    ({"base_resp": {"status_code": 2013, "status_msg": "No."}}, "No."),
    ({"code": 7, "reason": "No."}, "No."),
]


@pytest.mark.parametrize(("body", "said"), FRONTS, ids=[json.dumps(body) for body, _ in FRONTS])
@pytest.mark.parametrize("wire", WIRES)
def test_no_words_are_lost_for_the_shape_they_come_in(wire: str, body: Any, said: str) -> None:
    error = registry.dialect(wire).decode_error(422, {}, json.dumps(body).encode())
    assert (error.message, error.status, error.kind) == (said, 422, "invalid_request")


@pytest.mark.parametrize("body", [None, b"", b"<html>", b"[]"], ids=["its own", "empty", "a page", "a list"])
@pytest.mark.parametrize("wire", WIRES)
def test_every_status_is_the_providers_own(wire: str, body: bytes | None) -> None:
    said = json.dumps(BODIES[wire]).encode() if body is None else body
    for status in range(400, 600):
        error = registry.dialect(wire).decode_error(status, {}, said)
        assert (error.status, error.upstream_status) == (status, status)
        assert ((type(error), error.kind)) == meant(wire, status), status
        assert error.message == "No." or body is not None


@pytest.mark.parametrize("name", ["ThrottlingException", "ModelTimeoutException", "ModelErrorException", "Whatever"])
def test_a_name_tells_the_kind_of_an_error_and_not_its_status(name: str) -> None:
    error = registry.dialect("bedrock").decode_error(418, {"x-amzn-errortype": name}, b'{"message":"No."}')
    kinds = {"ThrottlingException": Busy, "ModelTimeoutException": Timeout, "ModelErrorException": Down}
    assert (type(error), error.status) == (kinds.get(name, Refused), 418)


@pytest.mark.parametrize("status", [408, 424, 499, 507, 520])
async def test_a_client_of_another_wire_is_given_it_too(status: int) -> None:
    plays = Scenario(status=status, body=json.dumps(BODIES["gemini"]).encode())
    async with (
        Evil(plays) as evil,
        pillion(GEMINI_API_KEY="k", PILLION_GEMINI_BASE_URL=evil.url) as gateway,
    ):
        got = await chat(gateway, OPENAI, OPENAI.request(model="gemini/m"))
    assert (got.status, OPENAI.error(got.body)["message"]) == (status, "No.")
