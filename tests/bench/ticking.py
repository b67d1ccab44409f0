"""How long does pillion's loop stand still at most? It is served here with a clock that ticks in that loop.

    python tests/bench/ticking.py [DESCRIPTORS]

As `pillion serve`, configured by the environment, with at most so many descriptors. `/metrics` has the longest time by
which a tick came late since it was last asked: `bench_stall_seconds`. Of it counts what the process itself was busy
with, in whichever of its threads: the clock alone would tell of others on the machine as well.
"""

import asyncio
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, process_time

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # started by path, not by name

from proxy.app import App
from proxy.config import Source
from proxy.edge.handover import Handed
from proxy.process import serving

TICK = 0.002  # seconds


class Ticking(App):
    async def open(self, handed: Sequence[Handed] = ()) -> None:
        await super().open(handed)
        self.worst = 0.0
        self.metrics.watch("bench_stall_seconds", "By which a tick came late.", self._take)
        self._ticks = asyncio.create_task(self._tick())

    async def close(self) -> None:
        self._ticks.cancel()
        await super().close()

    def _take(self) -> float:
        worst, self.worst = self.worst, 0.0
        return worst

    async def _tick(self) -> None:
        while True:
            began, spent = perf_counter(), process_time()
            await asyncio.sleep(TICK)
            late = perf_counter() - began - TICK
            self.worst = max(self.worst, min(late, process_time() - spent))


if __name__ == "__main__":
    if sys.argv[1:]:
        limit = int(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit // 2, limit))  # as many as it may have it gives itself
    serving.App = Ticking  # type: ignore[attr-defined]
    source = Source(environ=os.environ)
    sys.exit(serving.serve(source.load(), source))
