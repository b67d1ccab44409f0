"""Does each middleware answer its one question: what is asked for, and of whom?"""

from collections.abc import Mapping
from time import monotonic
from urllib.parse import urlencode

import pytest

from proxy import registry
from proxy.errors import BadRequest
from proxy.middleware.intake import Intake
from proxy.ports import Call, Reply
from proxy.reports.sight import Sight


def call(headers: Mapping[str, str] | None = None, query: Mapping[str, str] | None = None, body: bytes = b"{}") -> Call:
    async def receive() -> bytes:
        return body

    return Call(
        id="req_1",
        operation="chat",
        dialect=registry.dialect("openai_chat"),
        headers={name.lower(): value for name, value in (headers or {}).items()},
        query=query or {},
        raw_query=urlencode(query or {}),
        receive=receive,
        started=monotonic(),
    )


def seen(call: Call, status: int, error: BaseException | None = None) -> Sight:
    """A call that has ended so."""
    sight = Sight(call, 0.0, status, was_shown=True)
    sight.over(error)
    return sight


async def fine(call: Call) -> Reply:
    return Reply(200, [], b"fine")


# --- intake ----------------------------------------------------------------------------------------------------------


async def test_intake_learns_the_model_and_whether_to_stream() -> None:
    asked = call(body=b'{"model":"m","stream":true}')
    await Intake(60)(asked, fine)
    assert (asked.model, asked.stream, asked.envelope.body) == ("m", True, b'{"model":"m","stream":true}')


@pytest.mark.parametrize(("asked_for", "seconds"), [("5", 5.0), ("0.25", 0.25), ("60", 60.0)])
async def test_a_client_may_say_how_long_it_waits(asked_for: str, seconds: float) -> None:
    asked = call({"X-Pillion-Timeout": asked_for}, body=b'{"model":"m"}')
    await Intake(60)(asked, fine)
    assert asked.timeout == seconds


@pytest.mark.parametrize("asked_for", ["61", "100000", "0", "-1", "1_0", "\u0663", "1e1", "nan", "inf", "", "9" * 400])
async def test_a_client_that_asks_for_no_time_or_for_too_much_is_told_so(asked_for: str) -> None:
    asked = call({"X-Pillion-Timeout": asked_for}, body=b'{"model":"m"}')
    with pytest.raises(BadRequest, match=r"above 0 and at most 60\.") as caught:
        await Intake(60)(asked, fine)
    assert caught.value.param == "x-pillion-timeout"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"model":1}', b'{"model":"m","stream":"yes"}'])
async def test_intake_refuses_nonsense(body: bytes) -> None:
    with pytest.raises(BadRequest):
        await Intake(60)(call(body=body), fine)
