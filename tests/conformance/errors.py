"""Does every client meet its provider's errors as its own SDK's exceptions, whenever they come?

Figure (b). Right is: the SDK's own exception, with the provider's status and message and its Retry-After, for an error
that comes in place of an answer; and an exception, with the provider's message where it left one, for a stream that
breaks, at whichever byte. It must never look finished. Where client and provider speak one wire, half an event may have
been handed on, and what the SDK makes of it is its own affair.
"""

import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from tests import recordings
from tests.conformance.broken import SAID, UNREADABLE, WORDS, begun, event, middle, refusal
from tests.conformance.clients.raised import Raised
from tests.conformance.readings import READERS
from tests.conformance.report import Finding
from tests.conformance.scene import BROKEN, ERROR_UNDER_200, Scene, is_answer, is_error, is_live, played, rows_of
from tests.conformance.told import Told, Wire
from tests.evil import Scenario
from tests.recordings import Row


class Case(NamedTuple):
    name: str
    plays: Scenario
    stream: bool
    statuses: Sequence[int | None] = (None,)  # those that are right; (None,): any
    said: str = ""  # what the message must hold
    retry: str = ""  # Retry-After
    cut: bool = False  # at whichever byte


async def judge(scene: Scene, client: Wire, provider: Wire, cases: Iterable[Case]) -> AsyncIterator[Finding]:
    for case in cases:
        why = await _wrong(scene, client, provider, case)
        yield Finding("errors", client, provider, case.name, "failed" if why else "ok", why)


@cache
def cases(provider: Wire) -> list[Case]:
    return list(_cases(provider, rows_of(provider)))


def _cases(provider: Wire, rows: Sequence[Row]) -> Iterator[Case]:
    yield from (_recorded(row) for row in rows if is_error(row))
    for stream in (False, True):
        way = "streamed" if stream else "whole"
        for status in WORDS:
            again = "7" if status == 429 else ""
            yield Case(f"{status} {way}", refusal(provider, status), stream, _alike(status), SAID, again)
        for name, plays in UNREADABLE.items():
            status = plays.status if plays.status >= 400 else 502
            yield Case(f"{name} {way}", plays, stream, (status, 502))
    live = [row for row in rows if is_live(row) and is_answer(row) and not READERS[provider](row).apart]
    yield from _failing(provider, live)
    yield from (Case(row["id"], played(row), True) for row in rows if row["id"] in BROKEN)
    yield from (case for row in live for case in _cut(provider, row))


def _alike(status: int) -> tuple[int, ...]:
    """529 is Anthropic's own, and 503 says the same elsewhere."""
    return (529, 503) if status == 529 else (status,)


def _recorded(row: Row) -> Case:
    retry = {name.lower(): value for name, value in row["response_headers"].items()}.get("retry-after", "")
    status = ERROR_UNDER_200.get(row["id"], row["status"])
    return Case(row["id"], Scenario.from_recording(row), bool(row["streamed"]), (status,), message_of(row), retry)


def message_of(row: Row) -> str:
    """What the provider said, in whichever of the vendors' shapes; nothing where it is a page for people."""
    try:
        said = json.loads(recordings.body(row))
    except ValueError:
        return ""
    said = said[0] if isinstance(said, list) else said
    error = said.get("error") or said
    message = error if isinstance(error, str) else error.get("message") or error.get("Message") or ""
    return str(message).strip()


def _failing(provider: Wire, live: Sequence[Row]) -> Iterator[Case]:
    """Every error event of the wire, in the middle of a recorded stream and in its place."""
    for number, said in enumerate(event(provider)):
        scenario = replace(played(live[0]), body=said)
        # What comes before the first word of an answer still has a status.
        yield Case(f"event {number} first", scenario, True, range(400, 600), SAID)
        for row in live[:5]:
            plays = replace(played(row), body=begun(provider, row) + said)
            yield Case(f"{row['id']} then event {number}", plays, True, (None,), SAID)


def _cut(provider: Wire, row: Row) -> Iterator[Case]:
    """The connection goes; or it stays, and the answer is said to be whole."""
    plays = played(row)
    at = middle(provider, plays.body)
    yield Case(f"{row['id']} cut", replace(plays, cut_at=at), True, cut=True)
    yield Case(f"{row['id']} ends early", replace(plays, body=plays.body[:at]), True, cut=True)


async def _wrong(scene: Scene, client: Wire, provider: Wire, case: Case) -> str:
    """What is not as it should be; nothing where all is."""
    scene.play(case.plays)
    try:
        got = await scene.sdks[client].ask(scene.model(provider), case.stream)
    except Exception as error:  # whatever it is, an app would meet it
        if client == provider and (case.cut or repr(error) == repr(await _direct(scene, client, case))):
            return ""
        if isinstance(error, Raised):
            return "; ".join(_unlike(case, error))
        return f"not the SDK's own: {error!r}"
    return f"looks finished: {got!r:.300}"


async def _direct(scene: Scene, client: Wire, case: Case) -> Told | Exception:
    try:
        return await scene.direct[client].ask("m", case.stream)
    except Exception as error:  # likewise
        return error


def _unlike(case: Case, error: Raised) -> Iterator[str]:
    if case.statuses != (None,) and error.status not in case.statuses:
        yield f"status {error.status} and not {case.statuses!r:.40}"
    if not error.message.strip():
        yield "no message"
    if _plain(case.said) not in _plain(error.message):
        yield f"the message {case.said!r:.200} became {error.message!r:.200}"
    if case.retry and error.headers is not None and error.headers.get("retry-after") != case.retry:
        yield f"retry-after {error.headers.get('retry-after')} and not {case.retry}"


def _plain(text: str) -> str:
    """SDKs show a body in Python's spelling or in JSON's; and what looks like a key is shown to nobody."""
    return "".join(letter for letter in _KEY.sub("", text) if letter.isalnum())


_KEY = re.compile(r"sk-[\w*-]+")
