"""Does each client's own SDK read, of each provider's recorded answer, what a plain reading of it finds?

Figure (a). Right is: no exception, and the same text, thoughts, calls, finish reason and usage, streamed as it was
streamed and whole as it was whole. Where client and provider speak one wire, and the host strays from it, right is
what the SDK reads when it asks the host itself. An answer that holds what the client's wire has no place for (sound, an
image, a second choice, the work of a server's tool) may be refused by an error that says so, and is counted apart. One
with calls is not for /api/generate, which offers no tools.
"""

from collections.abc import AsyncIterator, Iterable

from tests.conformance.clients import Client
from tests.conformance.clients.raised import Raised
from tests.conformance.readings import READERS
from tests.conformance.report import Finding, Verdict
from tests.conformance.scene import Scene, is_answer, is_live, played, rows_of
from tests.conformance.told import Told, Wire, differences
from tests.recordings import Row, replayed

# What must not go missing without a word, where there is a place for the rest.
_LOUD = {"sound", "image", "choices"}


async def judge(scene: Scene, client: Wire, provider: Wire, rows: Iterable[Row]) -> AsyncIterator[Finding]:
    for row in rows:
        yield await _judged(scene, client, provider, row)
        replayed(row)


def cases(client: Wire, provider: Wire) -> list[Row]:
    answers = [row for row in rows_of(provider) if is_answer(row)]
    return [row for row in answers if client != "ollama_generate" or not READERS[provider](row).calls]


async def _judged(scene: Scene, client: Wire, provider: Wire, row: Row) -> Finding:
    def found(verdict: Verdict, why: str = "") -> Finding:
        return Finding("answers", client, provider, row["id"], verdict, why)

    expected = READERS[provider](row)
    scene.play(played(row))
    heard = await _heard(scene.sdks[client], scene.model(provider, _model(row)), row)
    told = heard.told if isinstance(heard, Raised) else heard
    if isinstance(told, Told):
        unlike = differences(provider, expected, client, told) + _missing(expected, told)
    else:
        unlike = [repr(heard)]
    if not unlike:
        return found("ok")
    if client == provider and repr(await _heard(scene.direct[client], "m", row)) == repr(heard):
        return found("ok")
    if isinstance(heard, Raised) and expected.apart:
        return found("refused", repr(heard))
    return found("failed", "; ".join(unlike))


def _model(row: Row) -> str:
    """One of the host that was recorded: what its head tells of its rate limits holds for no other host's answers."""
    return f"m-{row['id'].rpartition('.')[0]}"


async def _heard(sdk: Client, model: str, row: Row) -> Told | Exception:
    try:
        return await sdk.ask(model, is_live(row))
    except Exception as error:  # whatever it is, an app would meet it
        return error


def _missing(expected: Told, got: Told) -> list[str]:
    return [f"{what}: gone without a word" for what in sorted((expected.apart - got.apart) & _LOUD)]
