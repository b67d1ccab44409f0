"""Is a live answer stopped soon after it has spent what was set aside for it, and not before?"""

import pytest

from proxy.errors import OverBudget
from proxy.ports import Call, Heard, Reply
from proxy.spending.brake import Brake
from tests.test_middleware import call

CHUNK = b"x" * 128


def heard(spent: int, size: int, stop_at: int = 100) -> tuple[Reply, list[int]]:
    """What becomes of an answer of so many bytes, and how many had come at each look at what it `spent`."""
    one, reply, looks = call(), Reply(200, [], b""), list[int]()
    one.heard, one.stop_at = Heard(), stop_at

    def look(asked: Call) -> int:
        assert asked.heard is not None
        looks.append(asked.heard.size)
        return spent

    brake = Brake(one, reply, look)
    for _ in range(size // len(CHUNK)):
        one.heard.tap(CHUNK)
        brake.tap(CHUNK)
    return reply, looks


def test_it_is_looked_at_often_at_first_and_then_every_few_kilobytes() -> None:
    kilobyte = 1024
    _, looks = heard(spent=0, size=40 * kilobyte)
    assert looks == [512, *(many * kilobyte for many in (1, 2, 4, 8, 16, 24, 32, 40))]


@pytest.mark.parametrize(("spent", "is_stopped"), [(100, False), (101, True)])
def test_what_was_set_aside_may_be_spent_and_no_more(spent: int, is_stopped: bool) -> None:
    reply, _ = heard(spent, size=1024)
    assert isinstance(reply.stopped, OverBudget) == is_stopped


def test_an_answer_without_a_limit_is_not_looked_at() -> None:
    one = call()
    Brake(one, Reply(200, [], b""), lambda asked: pytest.fail("it was")).tap(CHUNK)
    one.heard = Heard([CHUNK], 10**6)
    Brake(one, Reply(200, [], b""), lambda asked: pytest.fail("it was")).tap(CHUNK)
