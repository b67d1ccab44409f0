"""Is a client told what to do that names what OpenAI keeps, where another provider is asked?"""

import json
from typing import Any

import pytest

from tests.client import ANTHROPIC, ask
from tests.evil import Evil
from tests.gateway import pillion

ASKED = {"role": "user", "content": "Grüße"}
GIVEN = {"type": "function_call_output", "call_id": "call_1", "output": "21"}
INSTEAD = "pillion stores no answers: send the whole conversation instead (`store: false` in most SDKs)."


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ({"input": [ASKED, {"type": "item_reference", "id": "fc_1"}, GIVEN]}, "input[1]"),
        ({"input": [ASKED, {"id": "fc_1"}, GIVEN]}, "input[1]"),
        ({"input": [ASKED, {"id": "fc_1", "type": None}, GIVEN]}, "input[1]"),
        ({"input": [GIVEN], "previous_response_id": "resp_1"}, "previous_response_id"),
    ],
)
async def test_a_client_is_told_to_say_it_again(said: dict[str, Any], path: str) -> None:
    error = await refused(said)
    assert error["param"] == path
    assert error["message"].endswith(INSTEAD)


async def test_of_what_else_no_other_provider_has_it_is_not() -> None:
    error = await refused({"input": [ASKED, {"type": "code_interpreter_call", "id": "ci_1"}]})
    assert error["param"] == "input[1]"
    assert "store" not in error["message"]


async def refused(said: dict[str, Any]) -> dict[str, Any]:
    async with Evil() as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway:
        body = json.dumps({"model": "anthropic/claude-sonnet-4-5", **said}).encode()
        got = await ask(gateway, "POST", "/v1/responses", body)
    assert got.status == 400
    error: dict[str, Any] = json.loads(got.body)["error"]
    return error
