"""What does it cost to tell what happens: a line of the log for each request, and /metrics when somebody scrapes?

    .venv/bin/python tests/bench/telling.py

The line is told by the journal itself and written to a file; its cost is CPU of all threads over that of the same calls
without a journal. The stall is the most CPU between two turns of the loop: on a busy machine the clock would tell of
others as well.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # started by path, not by name

from proxy import registry
from proxy.adapters.echo import Echo
from proxy.canon import Usage
from proxy.logs import Log, as_json, as_words
from proxy.logs.writer import GATHER, Writer
from proxy.middleware.journal import Journal
from proxy.middleware.metrics import NAMES, Metrics
from proxy.middleware.witness import Witness
from proxy.ports import Call, Reply, Target
from proxy.reports.families import Families

ROUNDS = 20_000
PAUSE = 1000  # calls after which the writer may catch up
SCRAPES = 20
BODY = b"x" * 1000

Serve = Callable[[Call], Awaitable[Reply]]


async def _nothing() -> bytes:
    return b""


def _call(model: str = "gpt-4o-mini") -> Call:
    return Call(
        id="req_0123456789abcdef00000001",
        operation="chat",
        dialect=registry.dialect("openai_chat"),
        headers={},
        query={},
        receive=_nothing,
        started=time.monotonic(),
        model=model,
        target=Target(Echo("echo"), model),
        attempts=1,
        upstream_id="req_fedcba9876543210",
        usage=Usage(input=25, output=60),
        answered_model=f"{model}-2024-07-18",
    )


async def _answer(call: Call) -> Reply:
    return Reply(200, [], BODY)


async def _microseconds(serve: Serve) -> float:
    """CPU of one call, endings included."""
    call, spent = _call(), 0.0
    for _ in range(ROUNDS // PAUSE):
        began = time.process_time()
        for _ in range(PAUSE):
            for ending in (await serve(call)).endings:
                ending(None)
        await asyncio.sleep(2 * GATHER)
        spent += time.process_time() - began
    return spent / ROUNDS * 1e6


async def _lines(folder: Path) -> None:
    bare = await _microseconds(_answer)
    for name, level, spell in (("JSON", "info", as_json), ("words", "info", as_words), ("none", "warning", as_json)):
        with (folder / name).open("wb") as file:
            writer = Writer(file.fileno(), lambda count: b"lost\n")
            journal = Witness(Journal(Log(level, spell, writer, str)).ended)
            cost = await _microseconds(lambda call, journal=journal: journal(call, _answer)) - bare  # type: ignore[misc]
            writer.close()
        print(f"a line: {name:6} {cost:5.1f} us of CPU for a request, {writer.lost} lines lost")


async def _scrape() -> None:
    metrics = Metrics()
    families = Families(metrics.told)
    for number in range(NAMES):
        for ending in (
            await Witness(metrics.ended)(_call(f"a-model-with-a-rather-long-name-{number:03}"), _answer)
        ).endings:
            ending(None)
    longest, size, began = 0.0, 0, time.thread_time()
    for _ in range(SCRAPES):
        scrape = asyncio.ensure_future(families.text(""))
        while not scrape.done():
            turned = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - turned)
        size = len(scrape.result()[1])
    each = (time.thread_time() - began) / SCRAPES
    stall = f"the loop stalled for {longest * 1e3:.1f} ms at most"
    print(f"a scrape: {size / 1000:.0f} KB in {each * 1e3:.0f} ms of CPU, {stall}")


async def _main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        await _lines(Path(folder))
    await _scrape()


uvloop.run(_main())
