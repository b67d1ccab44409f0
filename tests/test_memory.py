"""Is a sidecar that has forwarded long bodies as small afterwards as it was before?"""

import re
from pathlib import Path

from proxy.process.memory import LONG
from tests.bench.parties import MIB
from tests.client import OPENAI, ask
from tests.test_cli import address, serving
from tests.waiting import soon

KEPT = 8 * MIB  # that may be resident more: buffers of the first request, and what its code is
PAGE = 4096


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


async def test_bodies_as_long_as_agents_send_lie_where_the_one_before_has_lain() -> None:
    """Else the kernel clears each of their pages anew."""
    size, count = 500 * 1024, 10
    async with serving("serve", PILLION_STATE_DIR="") as (process, greeting):
        body = OPENAI.request(model="echo/text", metadata={"padding": "x" * size})

        async def forward() -> None:
            for _ in range(count):
                assert (await ask(address(greeting), "POST", OPENAI.path, body)).status == 200

        await forward()
        before = cleared(process.pid)
        await forward()
        assert (cleared(process.pid) - before) * PAGE < count * size


def cleared(pid: int) -> int:
    """Pages that the kernel had to provide (minflt in proc(5))."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def resident(pid: int) -> int:
    """Bytes (proc(5))."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024
