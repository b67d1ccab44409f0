"""Is what a request held released with its answer, and not only when the garbage collector comes by?

A body may have 64 MiB, and the collector looks at old objects rarely. So no error may end up in a cycle: an error holds
its traceback, that holds the frames, and they hold whatever a variable in them still refers to.
"""

import gc
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from proxy.edge.door import Door
from proxy.edge.exchange import Exchange
from proxy.edge.inbound import Inbound
from proxy.edge.wire import Wire
from proxy.envelope import Envelope
from proxy.errors import GatewayError
from proxy.ports import Call, Reply
from tests.client import ANTHROPIC, OPENAI, Speech, ask, chat, client, spell
from tests.evil import Evil, Scenario
from tests.gateway import Gateway, pillion
from tests.waiting import soon

OF_A_CALL = (Door, Call, Inbound, Envelope, Reply, Exchange, GatewayError)
GOOD = Scenario(headers=[("Content-Type", "application/json")], body=OPENAI.whole)
STREAM = Scenario(headers=[("Content-Type", "text/event-stream")], body=OPENAI.stream, framing="chunked")
BAD = Scenario(status=500, headers=[("Content-Type", "application/json")], body=b'{"error":{"message":"no"}}')
CUT = Scenario(headers=[("Content-Type", "text/event-stream")], body=OPENAI.stream, framing="chunked", cut_at=1)
BROKEN = Scenario(headers=[("Content-Type", "text/event-stream")], body=OPENAI.stream, framing="chunked", cut_at=420)
PAGE = [("Content-Type", "text/html")]  # as hosts have called JSON: its beginning is read to tell
REFUSED = Scenario(status=400, headers=[("Content-Type", "application/json")], body=b'{"error":{"message":"no"}}')
LISTED = Scenario(headers=[("Content-Type", "application/json")], body=b'{"object":"list","data":[{"id":"m"}]}')
TWO = {
    "PILLION_RETRY_MAX_RETRIES": "1",
    "PILLION_RETRY_INITIAL_DELAY": "0.001",
    "PILLION_FAILOVER_OTHERS": "true",
    "OPENAI_EAST_API_KEY": "sk-east",
    "PILLION_OPENAI_EAST_MODEL": "m",
}


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def living() -> Counter[str]:
    return Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, OF_A_CALL))


def connections() -> int:
    """To providers, open or not."""
    return sum(isinstance(each, Wire) for each in gc.get_objects())


async def idle(gateway: Gateway) -> Counter[str]:
    """What lives while nobody is there."""
    await soon(lambda: gateway.app.server.connections == 0)
    return living()


@pytest.mark.parametrize(
    ("speech", "body", "status"),
    [
        (OPENAI, b"[" * 200_001, 400),
        (OPENAI, b'{"model":', 400),
        (OPENAI, OPENAI.request(model="nobody/m"), 404),
        (ANTHROPIC, b'{"model":"echo/text","max_tokens":9,"messages":[{"role":"nobody"}]}', 400),
    ],
    ids=["too many values", "no JSON", "no such model", "no such role"],
)
async def test_a_request_that_is_refused_leaves_nothing(speech: Speech, body: bytes, status: int) -> None:
    async with pillion() as gateway:
        await chat(gateway, OPENAI, OPENAI.request(model="nobody/m"))  # which asks for lists, and keeps what they say
        before = await idle(gateway)
        assert (await chat(gateway, speech, body)).status == status
        await soon(lambda: living() == before)


async def test_one_that_leads_nowhere_leaves_nothing() -> None:
    async with pillion() as gateway:
        before = await idle(gateway)
        assert (await ask(gateway, "POST", "/nowhere", b"{}")).status == 404
        await soon(lambda: living() == before)


@pytest.mark.parametrize(
    ("stream", "scenarios", "status"),
    [
        (False, [GOOD], 200),
        (True, [STREAM], 200),
        (False, [replace(GOOD, headers=PAGE)], 200),
        (True, [replace(STREAM, headers=PAGE)], 200),
        (True, [BROKEN], 200),
        (False, [REFUSED], 400),
        (False, [BAD] * 4, 500),
        (True, [CUT] * 4, 502),
        (False, [BAD, GOOD], 200),
        (False, [BAD, BAD, GOOD], 200),
        (True, [CUT, CUT, STREAM], 200),
    ],
    ids=[
        *("whole", "stream", "page", "streamed page", "broken", "refused", "failed", "cut", "again", "elsewhere"),
        "stream elsewhere",
    ],
)
async def test_however_its_targets_answer_a_request_leaves_nothing(
    stream: bool, scenarios: list[Scenario], status: int
) -> None:
    said = iter([GOOD, *scenarios])
    async with Evil(answering=lambda asked: LISTED if asked.method == "GET" else next(said)) as evil:
        environ = {**OPENAI.environ(evil.url), **TWO, "PILLION_OPENAI_EAST_BASE_URL": f"{evil.url}/v1"}
        async with pillion(**environ) as gateway:
            assert (await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))).status == 200
            before = await idle(gateway)
            assert (await chat(gateway, OPENAI, OPENAI.request(stream, "openai/m"))).status == status
            await soon(lambda: living() == before)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_leaves_nothing(stream: bool) -> None:
    stall = replace(STREAM if stream else GOOD, cut_at=420 if stream else 1, how="stall")
    others = connections()  # whatever an earlier test has left
    async with Evil(GOOD, stall) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        assert (await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))).status == 200
        before = await idle(gateway)
        async with client(gateway) as one:
            await one.send(spell("POST", OPENAI.path, OPENAI.request(stream, "openai/m")))
            await evil.received(2)
            if stream:
                await one.head()
        await soon(lambda: living() == before)
        await soon(lambda: connections() <= others)  # the one to the provider was aborted
