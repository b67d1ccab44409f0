"""Does an alarm ring once, at the earliest time that it was set to?"""

import asyncio

from proxy.edge.alarm import Alarm


async def test_the_earliest_time_counts_and_rings_once() -> None:
    loop = asyncio.get_running_loop()
    rung: list[float] = []
    over = asyncio.Event()
    alarm = Alarm(loop, lambda: rung.append(loop.time()))
    begun = loop.time()
    alarm.set(begun + 60)
    alarm.set(begun + 0.01)
    alarm.set(begun + 0.03)
    loop.call_at(begun + 0.05, over.set)
    await over.wait()
    assert len(rung) == 1


async def test_a_time_that_is_as_good_as_now_can_be_followed_by_another() -> None:
    """uvloop has no timer for less than a millisecond: what it gives then knows no time."""
    loop = asyncio.get_running_loop()
    rung = asyncio.Event()
    alarm = Alarm(loop, rung.set)
    alarm.set(loop.time())
    alarm.set(loop.time() + 60)
    await rung.wait()


async def test_a_stopped_alarm_does_not_ring_and_can_be_set_again() -> None:
    loop = asyncio.get_running_loop()
    rung = asyncio.Event()
    alarm = Alarm(loop, rung.set)
    alarm.set(loop.time())
    alarm.stop()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not rung.is_set()
    alarm.set(loop.time())
    await rung.wait()


async def test_whoever_is_rung_may_set_it_again() -> None:
    loop = asyncio.get_running_loop()
    rung: list[None] = []
    over = asyncio.Event()

    def ring() -> None:
        rung.append(None)
        if len(rung) < 3:
            alarm.set(loop.time())
        else:
            over.set()

    alarm = Alarm(loop, ring)
    alarm.set(loop.time())
    await over.wait()
    assert len(rung) == 3
