"""Is everything given back wherever a request is ended: at each place where it waits, one after the other? (D3)

A request is played again and again, and ended at its first wait, at its second, and so on until it gets through; what
waits on its behalf in a task of its own (a hedge, a shared answer) counts as well. Either its client leaves: while what
it waits for is still to come, in the very turn in which it has come, or by a connection that breaks. Or the client
stays and is told: an operator cancels the request, or pillion ends. There is one place for it, at every limit that
there is: what one attempt keeps, the next one lacks.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from proxy.edge.door import Door
from proxy.errors import GatewayError
from tests import laws
from tests.client import Got
from tests.cutting import Cut, Cuts, break_off, cutting, leave
from tests.quiesce import Loop
from tests.scenes import SCENES, Stage, staged

ENDING = GatewayError("pillion is shutting down: try again.", status=503, code="shutting_down")
WORDS = (ENDING.message, "This request was cancelled through pillion.")


def cancel(stage: Stage, door: Door) -> bool:
    """As an operator does."""
    active = stage.gateway.app.lasting.active
    call = next((call for call in active._live.values() if call.interrupt == door.interrupt), None)
    if call is None or call.id in active._cancelled:
        return False
    active._cancel(call)
    return True


def end_all(stage: Stage, door: Door) -> bool:
    """As pillion does that ends, and with it all that is under way."""
    assert stage.gateway.app.server.cut(ENDING)
    return True


class Way(NamedTuple):
    """How a request ends. `late`: as Cut has it."""

    end: Callable[[Stage, Door], bool]
    late: bool = False
    is_told: bool = False
    for_all: bool = False


WAYS = {
    "left as it waits": Way(lambda stage, door: leave(door)),
    "left as its turn comes": Way(lambda stage, door: leave(door), late=True),
    "left by a connection that breaks": Way(lambda stage, door: break_off(door)),
    "cancelled": Way(cancel, is_told=True),
    "ended with pillion": Way(end_all, is_told=True, for_all=True),
}
# The first ones are of each scene once, and of each way as often as of any other.
EVERY = [
    (name, list(WAYS)[(number + turn) % len(WAYS)]) for turn in range(len(WAYS)) for number, name in enumerate(SCENES)
]
TAKEN = EVERY[: laws.share("D3, kinds of request by how each of their waits may end", len(EVERY), len(SCENES))]


@pytest.fixture
def cuts(monkeypatch: pytest.MonkeyPatch, loop_of_test: Loop) -> Iterator[Cuts]:
    with cutting(monkeypatch, loop_of_test) as cuts:
        yield cuts


@pytest.mark.filterwarnings("ignore:The load_credentials_from_file method:DeprecationWarning")
@pytest.mark.parametrize(("name", "way"), TAKEN, ids=[", ".join(each) for each in TAKEN])
async def test_wherever_it_ends_nothing_is_kept(
    name: str, way: str, tmp_path: Path, cuts: Cuts, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, (end, late, is_told, for_all) = SCENES[name], WAYS[way]
    async with staged(scene, tmp_path, monkeypatch) as stage:
        at, booked, cut = 0, 0, Cut(0, leave)
        while cut.waits >= at:
            at += 1
            await stage.begin()
            await stage.quiet()
            was, had = await stage.books()
            cuts.extend([*[None] * scene.whom, cut := Cut(at, partial(end, stage), late)])
            answers = await stage.play()
            cuts.clear()
            stage.gateway.app.server._parting = None  # it goes on
            whole = sum(is_whole(stage, got, is_told) for got in answers)
            await stage.quiet()
            # Nobody else is ended with it.
            assert whole >= (not cut.is_made) + scene.beside or (for_all and cut.is_made), cut
            booked, seen = (now - before for now, before in zip(await stage.books(), (was, had), strict=True))
            # What a provider has seen is booked; what was ended on its way there may have been seen or not.
            assert seen - scene.twice <= booked <= scene.attempts + scene.beside, cut
        # All of them are; but the loser of a hedge may be let go of before its provider has read a word, and on a busy
        # machine whoever asks the same comes too late to share the answer.
        assert booked == scene.attempts or (scene.beside and booked > scene.attempts)
        assert at > scene.waits


def is_whole(stage: Stage, got: Got | None, is_told: bool) -> bool:
    """It never looks so when it is not; and who is still there is told why it is not, on their own wire."""
    speech, is_live = stage.scene.speech, stage.scene.stream
    if got is None:
        assert not is_told, "it was not told"
        return False
    if got.status != 200:
        assert is_told, got
        assert speech.error(got.body)["message"] in WORDS
        return False
    ends = speech.ends_whole(got.body) if is_live else stage.scene.says.encode() in got.body
    assert ends or not got.whole
    if is_told and not ends:
        assert speech.error(speech.last_event(got.body))["message"] in WORDS
    return ends and got.whole
