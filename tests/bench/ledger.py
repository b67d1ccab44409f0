"""What does the ledger cost, and what does a million rows make of that?

    python tests/bench/ledger.py [ROWS]

In a folder of its own on the disk that TMPDIR names. Each figure stands beside its bar. The exit code: 1 where one does
not hold.
"""

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # started by path, not by name

import uvloop

from proxy.budgets import Budgets
from proxy.config import Ledger as Wish
from proxy.reports.books import Books
from proxy.store import Ledger, Query, Row
from proxy.store.database import Database
from proxy.store.files import Files
from proxy.store.intents import Intents
from proxy.store.row import spelled
from proxy.store.usage import GROUPINGS
from tests.taking import call

ROWS = 1_000_000
BEGAN = 1_788_220_800.0  # 2026-09-01: the rows are of that month
MONTH = 30 * 86400.0  # seconds
CLIENTS, MODELS = 5, 8
FINEST = ("hour", "model", "client")
AT_ONCE = 500  # attempts under way
ROUNDS = 20


class Figure(NamedTuple):
    what: str
    value: float
    bar: float
    unit: str

    def __str__(self) -> str:
        mark = "" if self.value <= self.bar else "  <- over"
        return f"{self.what:64} {self.value:8.2f} {self.unit:3} bar {self.bar:7.1f}{mark}"


def row(n: int, rows: int) -> Row:
    """The n-th of so many, evenly in the month."""
    return Row(
        id=n,
        at=BEGAN + n * MONTH / rows,
        request=f"req_{n:028x}",
        attempt=1,
        client=f"app-{n % CLIENTS}",
        dialect="openai_chat",
        operation="chat",
        provider="openai",
        model=f"model-{n % MODELS}",
        input=1200,
        cache_read=300,
        cache_write=0,
        cache_write_1h=0,
        audio_input=0,
        output=450,
        reasoning=100,
        audio_output=0,
        nanos=4_321_000,
        source="genai-prices",
        duration=2.5,
        first_byte=0.4,
        status=200,
        error="",
        flags=0,
    )


def fill(folder: Path, rows: int) -> None:
    """And leave it as a crash does: slots with attempts that were under way."""
    files = Files(folder)
    files.lock()
    database = Database(files.database)
    database.open()
    database.begin()
    files.mark_begun()
    for first in range(1, rows + 1, 10_000):
        database.insert([spelled(row(n, rows)) for n in range(first, min(first + 10_000, rows + 1))])
    intents = Intents(files.intents)
    for n in range(rows + 1, rows + 1 + 2 * AT_ONCE):
        intents.put(spelled(row(n, rows)))
    intents.close(is_done=False)
    database.close()
    files.unlock()


def memory() -> float:
    """MiB that are resident."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


async def timed(do: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    waited = do()
    if asyncio.iscoroutine(waited):
        await waited
    return (time.perf_counter() - began) * 1000


async def attempts(ledger: Ledger, rows: int) -> Iterator[Figure]:
    """What intend and settle take of the loop, and all threads of the processor."""
    intending: list[float] = []
    settling: list[float] = []
    batches = [[row(n, rows) for n in range(AT_ONCE)] for _ in range(ROUNDS)]
    busy = time.process_time()
    for under_way in batches:
        before = time.perf_counter()
        slots = [ledger.intend(each) for each in under_way]
        between = time.perf_counter()
        for slot, each in zip(slots, under_way, strict=True):
            ledger.settle(slot, each)
        intending.append((between - before) / AT_ONCE * 1e6)
        settling.append((time.perf_counter() - between) / AT_ONCE * 1e6)
        await ledger.totals()
    busy = (time.process_time() - busy) / AT_ONCE / ROUNDS * 1e6
    return iter(
        [
            Figure("intend: of the loop", median(intending), 5, "us"),
            Figure("settle: of the loop", median(settling), 5, "us"),
            Figure("an attempt, written and summed: of the processor", busy, 20, "us"),
        ]
    )


async def told(ledger: Ledger) -> int:
    """Bytes that /v1/usage answers when it is asked for more lines than it has in a page."""
    query = {"since": "2026-09-01T01:00", "until": "2026-09-30T23:00", "group_by": ",".join(FINEST)}
    reply = await Books(ledger, Budgets({}, time.time, print)).usage(lambda _: None, call(query=query))
    assert isinstance(reply.body, bytes)
    return len(reply.body)


async def worst_stall(asking: Coroutine[Any, Any, object]) -> float:
    """Milliseconds by which a tick of the loop came late meanwhile."""
    asked = asyncio.create_task(asking)
    worst = 0.0
    while not asked.done():
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        worst = max(worst, time.perf_counter() - began - 0.001)
    return worst * 1000


async def figures(folder: Path, rows: int) -> list[Figure]:
    before = memory()
    ledger = Ledger(folder, Wish(), True)
    said = [Figure(f"start, {2 * AT_ONCE} slots of a crash to replay", await timed(ledger.open), 1000, "ms")]
    said.append(Figure("totals, of all time", await timed(ledger.totals), 100, "ms"))
    for by in [(), *((name,) for name in GROUPINGS), ("day", "model", "client")]:
        query = Query(BEGAN + 3600, BEGAN + MONTH - 3600, by)  # it begins and ends within a day
        took = [await timed(lambda query=query: ledger.usage(query)) for _ in range(5)]  # type: ignore[misc]
        lines = len(await ledger.usage(query))
        said.append(Figure(f"a month by {', '.join(by) or 'nothing'}: {lines:,} lines", median(took), 100, "ms"))
    took = [await timed(partial(told, ledger)) for _ in range(5)]
    said.append(Figure(f"a month by {', '.join(FINEST)}: a page of 28,720 lines", median(took), 100, "ms"))
    query = Query(BEGAN, BEGAN + MONTH, ("day", "model"))
    said.append(Figure("a month of whole days by day, model", await timed(lambda: ledger.usage(query)), 100, "ms"))
    stall = median([await worst_stall(told(ledger)) for _ in range(5)])
    said.append(Figure("meanwhile the loop stands still for", stall, 5, "ms"))
    said += await attempts(ledger, rows)
    said.append(Figure("memory, with all of these questions", memory() - before, 64, "MiB"))
    await ledger.close()
    return said


def main() -> int:
    rows = int(sys.argv[1]) if sys.argv[1:] else ROWS
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "state"
        fill(place, rows)
        size = (place / "ledger.db").stat().st_size / 2**20
        print(f"{rows:,} rows of a month, {CLIENTS} clients, {MODELS} models: {size:.0f} MiB")
        said = uvloop.run(figures(place, rows))
    print(*said, sep="\n")
    return int(any(figure.value > figure.bar for figure in said))


if __name__ == "__main__":
    sys.exit(main())
