"""Which cases has each pair of a client and a provider, and how many of them were right?

A pair is a client's wire and a provider's. `judge` runs the four figures of one; `table` counts what was found.
"""

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

from tests import recordings
from tests.conformance import answers, apart, asked, errors
from tests.conformance.report import FIGURES, VERDICTS, Figure, Finding, Verdict
from tests.conformance.scene import NO_ANSWER, PROVIDERS, Scene, rows_of
from tests.conformance.told import WIRES, Wire
from tests.recordings import Row

Judge = Callable[[Scene, Wire, Wire, Sequence[Any]], AsyncIterator[Finding]]

DEFINITIONS: Mapping[Figure, str] = {
    "answers": "recorded answers that the SDK reads as a plain reading does: text, thoughts, calls, finish, usage",
    "errors": "errors and broken streams that the SDK raises as its own, with status, message and Retry-After",
    "requests": "recorded requests that reach the provider valid and whole, receipted, or are refused by name",
    "cannot cross": "one vendor's own features that are carried, receipted, or refused by name",
}
# What issue 4 wants, in hundredths. A refusal is right of a request, and not of an answer.
BAR: Mapping[Figure, int] = {"answers": 99, "errors": 100, "requests": 98, "cannot cross": 95}
RIGHT: Mapping[Figure, Sequence[Verdict]] = {
    "answers": ("ok",),
    "errors": ("ok",),
    "requests": ("ok", "refused"),
    "cannot cross": ("ok", "refused"),
}


async def judge(
    scene: Scene, client: Wire, provider: Wire, figures: Iterable[Figure] = FIGURES, sample: int = 0
) -> AsyncIterator[Finding]:
    """Every case; or of each figure so many, chosen by a seed that is the pair's own."""
    for figure in figures:
        each, cases = _cases(client, provider, figure)
        if 0 < sample < len(cases):
            cases = random.Random(f"{figure} {client} {provider}").sample(cases, sample)
        async for finding in each(scene, client, provider, cases):
            yield finding


def size(client: Wire, provider: Wire) -> int:
    """How many cases they have."""
    return sum(len(_cases(client, provider, figure)[1]) for figure in FIGURES)


def _cases(client: Wire, provider: Wire, figure: Figure) -> tuple[Judge, Sequence[Any]]:
    """Who judges the figure, and what."""
    if client == "bedrock_native" != provider and figure != "cannot cross":
        return answers.judge, []  # whatever it asks there is refused
    match figure:
        case "answers":
            return answers.judge, answers.cases(client, provider)
        case "errors":
            return errors.judge, errors.cases(provider)
        case "requests":
            others = {request.id for request, _ in apart.cases(client)}
            return asked.judge, [request for request in asked.requests(client) if request.id not in others]
        case "cannot cross":
            return apart.judge, apart.cases(client)


# --- counts ----------------------------------------------------------------------------------------------------------


def table(findings: Sequence[Finding]) -> list[str]:
    """A line for each pair, and one for all: right of total for each figure, and those refused in brackets."""
    counts: dict[tuple[Wire, Wire], Counter[tuple[Figure, Verdict]]] = {}
    for each in findings:
        counts.setdefault((each.client, each.provider), Counter())[each.figure, each.verdict] += 1
    lines = [f"{'client':18}{'provider':18}" + "".join(f"{figure:>22}" for figure in FIGURES)]
    for (client, provider), counted in counts.items():
        lines.append(f"{client:18}{provider:18}" + "".join(f"{_cell(counted, figure):>22}" for figure in FIGURES))
    whole = sum(counts.values(), Counter())
    lines.append(f"{'all':36}" + "".join(f"{_cell(whole, figure):>22}" for figure in FIGURES))
    lines.append(f"{'right':36}" + "".join(f"{share(whole, figure):>20.2f} %" for figure in FIGURES))
    lines.append(f"{'wanted':36}" + "".join(f"{BAR[figure]:>20} %" for figure in FIGURES))
    return lines


def share(counted: Counter[tuple[Figure, Verdict]], figure: Figure) -> float:
    """Right cases, in hundredths; where there are none, nothing is wrong."""
    total = sum(counted[figure, verdict] for verdict in VERDICTS)
    right = sum(counted[figure, verdict] for verdict in RIGHT[figure])
    return 100 * right / total if total else 100.0


def below(findings: Iterable[Finding]) -> list[str]:
    """The figures that are not where they must be."""
    counted = Counter((each.figure, each.verdict) for each in findings)
    shares = {figure: share(counted, figure) for figure in FIGURES}
    return [f"{figure}: {shares[figure]:.2f} % of {BAR[figure]}" for figure in FIGURES if shares[figure] < BAR[figure]]


def _cell(counted: Counter[tuple[Figure, Verdict]], figure: Figure) -> str:
    total = sum(counted[figure, verdict] for verdict in VERDICTS)
    refused = counted[figure, "refused"]
    return f"{counted[figure, 'ok']}/{total}" + (f" ({refused})" if refused else "")


def skipped(there: Sequence[Wire]) -> list[str]:
    """What no pair has, and why. `there`: the providers that can be asked."""
    used = {row["id"] for wire in WIRES for row in rows_of(wire)}
    others = Counter(_endpoint(row) for row in recordings.load("*") if row["id"] not in used)
    lines = [f"{name}: {count} recordings of another endpoint" for name, count in sorted(others.items())]
    lines += [f"{name}: {why}" for name, why in NO_ANSWER.items()]
    lines.append("answers with calls, to ollama_generate: it can offer no tools")
    lines += [f"provider {PROVIDERS[wire][0]}: its adapter is not there" for wire in WIRES if wire not in there]
    return lines


def _endpoint(row: Row) -> str:
    return str(row["id"].rpartition(".")[0])
