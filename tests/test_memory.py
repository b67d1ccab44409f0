"""Is a sidecar that has forwarded long bodies as small afterwards as it was before?"""

import re
from pathlib import Path

from proxy.memory import LONG
from tests.bench.parties import MIB
from tests.client import OPENAI, ask
from tests.test_cli import address, serving
from tests.waiting import soon

KEPT = 8 * MIB  # that may be resident more: buffers of the first request, and what its code is


async def test_what_long_bodies_took_goes_back() -> None:
    async with serving("serve", PILLION_STATE_DIR="") as (process, greeting):
        where = address(greeting)

        async def forward(size: int) -> None:
            body = OPENAI.request(model="echo/text", metadata={"padding": "x" * size})
            assert (await ask(where, "POST", OPENAI.path, body)).status == 200

        await forward(LONG)
        before = resident(process.pid)
        for size in (8, 16, 12, 24):  # each that is freed would have had those that are no longer kept from then on
            await forward(size * MIB)
        await soon(lambda: resident(process.pid) - before < KEPT)  # its last client has just left


def resident(pid: int) -> int:
    """Bytes (proc(5))."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024
