"""Which sums does somebody want to see, and what do they look like?

As JSON and as CSV for programs, as a table for people. Dollars are exact, in decimal text.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import msgspec

from proxy.errors import BadRequest
from proxy.logs import visible
from proxy.spending.money import dollars
from proxy.store.sums import total as added
from proxy.store.usage import GROUPINGS, Group, Query

TOKENS = Group._fields[3:11]

_SHOWN = ("requests", "errors", "input", "cached", "output", "cost", "estimated", "unpriced")  # to people
_LONGEST = 60  # characters of a name in a table


# --- what is wanted --------------------------------------------------------------------------------------------------


def asked(words: Mapping[str, str], by: tuple[str, ...] = ("day",)) -> Query:
    """`since` and `until`, a date or a moment each (UTC where it does not say), and `group_by`, names with commas.

    `by`: how it is grouped where nobody says. Raises BadRequest.
    """
    since, until = _moment(words, "since"), _moment(words, "until")
    if since is not None and until is not None and since >= until:
        raise BadRequest("since must be before until", param="since")
    return Query(since or 0.0, until, _groupings(words["group_by"]) if "group_by" in words else by)


def _moment(words: Mapping[str, str], name: str) -> float | None:
    if name not in words:
        return None
    try:
        when = datetime.fromisoformat(words[name])
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise _not_a_moment(name) from None
    if seconds < 0:
        raise _not_a_moment(name)
    return seconds


def _not_a_moment(name: str) -> BadRequest:
    return BadRequest(f"{name} must be a date from 1970 on: 2027-01-31, or 2027-01-31T12:00:00Z", param=name)


def _groupings(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if len({*names}) < len(names) or not {*names} <= {*GROUPINGS}:
        raise BadRequest(f"group_by must be any of {', '.join(GROUPINGS)}, each once", param="group_by")
    return names


# --- what it looks like ----------------------------------------------------------------------------------------------


def as_json(groups: Sequence[Group], by: Sequence[str]) -> bytes:
    data = [{**dict(zip(by, group.keys, strict=True)), **_said(group)} for group in groups]
    return msgspec.json.encode({"object": "list", "data": data, "total": _said(total(groups))})


def as_csv(groups: Sequence[Group], by: Sequence[str]) -> str:
    """A line each, without a total: whoever adds them up has it."""
    said = StringIO()
    lines = csv.writer(said)
    tokens = [f"{name}_tokens" for name in TOKENS]
    lines.writerow([*by, "requests", "errors", *tokens, "cost_usd", "estimated", "unpriced"])
    for group in groups:
        lines.writerow([*group.keys, *group[1:11], dollars(group.nanos), group.estimated, group.unpriced])
    return said.getvalue()


def as_table(groups: Sequence[Group], by: Sequence[str]) -> str:
    """Names to the left, numbers to the right, the total below."""
    if not groups:
        return "nothing was used"
    rows = [[*by, *_SHOWN], *([*_names(group), *_numbers(group)] for group in groups)]
    if by:
        rows.append([*["total", *[""] * len(by)][: len(by)], *_numbers(total(groups))])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(_aligned(row, widths, len(by))).rstrip() for row in rows)


def total(groups: Sequence[Group]) -> Group:
    return Group((), *added([group[1:] for group in groups]))


def _said(group: Group) -> dict[str, Any]:
    return {
        "requests": group.requests,
        "errors": group.errors,
        "tokens": dict(zip(TOKENS, group[3:11], strict=True)),
        "cost_usd": dollars(group.nanos),
        "estimated": group.estimated,
        "unpriced": group.unpriced,
    }


def _names(group: Group) -> Iterator[str]:
    """As a terminal may show them: a model's name is the client's own text."""
    for name in group.keys:
        yield visible(name, _LONGEST) or "-"


def _numbers(group: Group) -> Iterator[str]:
    cached = group.cache_read + group.cache_write + group.cache_write_1h
    read, written = group.input + group.audio_input, group.output + group.reasoning + group.audio_output
    for count in (group.requests, group.errors, read, cached, written):
        yield f"{count:,}"
    yield f"${dollars(group.nanos)}"
    yield from (f"{count:,}" for count in (group.estimated, group.unpriced))


def _aligned(row: Sequence[str], widths: Sequence[int], names: int) -> Iterator[str]:
    for n, (text, width) in enumerate(zip(row, widths, strict=True)):
        yield text.ljust(width) if n < names else text.rjust(width)
