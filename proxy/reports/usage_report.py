"""Which sums does somebody want to see, and what do they look like?

As JSON and as CSV for programs, as a table for people. Dollars are exact, in decimal text.
"""

import csv
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from io import StringIO
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from proxy.errors import BadRequest
from proxy.logs import visible
from proxy.spending.money import dollars
from proxy.store.sums import total as added
from proxy.store.usage import GROUPINGS, Group, Query, unspelled

TOKENS = Group._fields[3:11]
# Lines of an answer: a month by hour, model and client has tens of thousands, and each takes some of the loop.
PAGE = 500

PARAMETERS = ("since", "until", "group_by", "client", "limit", "page", "format")
_KEY = "key"  # of Google's SDKs, in the query: auth has read it
_PAGING = ("limit", "page")
FORMATS = ("json", "csv")

_SHOWN = ("requests", "errors", "input", "cached", "output", "cost", "estimated", "unpriced")  # to people
_LONGEST = 60  # characters of a name in a table

# Spreadsheets take a cell for a formula that begins so, in East Asian widths as well; clients choose models' names.
# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_TEXT = "'"


# --- what is wanted --------------------------------------------------------------------------------------------------


def said_in(query: str) -> dict[str, str]:
    """The parameters, as the path has them. Raises BadRequest of one that is there twice: which of the two is meant?"""
    pairs = parse_qsl(query, keep_blank_values=True)
    words = dict(pairs)
    if len(words) < len(pairs):
        twice = next(name for name in words if sum(name == other for other, _ in pairs) > 1)[:40]
        raise BadRequest(f"{twice!r} is there twice: say it once, several names with commas", param=twice)
    return words


def asked(words: Mapping[str, str], by: tuple[str, ...] = ("day",)) -> Query:
    """`since` and `until`, a date or a moment each (UTC where it does not say), and `group_by`, names with commas.

    `by`: how it is grouped where nobody says. Raises BadRequest.
    """
    since, until = _moment(words, "since"), _moment(words, "until")
    if since is not None and until is not None and since >= until:
        raise BadRequest("since must be before until", param="since")
    return Query(since or 0.0, until, _groupings(words["group_by"]) if "group_by" in words else by)


def form(words: Mapping[str, str], accept: str) -> str:
    """Of FORMATS, the one that is wanted. `accept`: the header. Raises BadRequest: also of a word that nobody reads."""
    if unknown := [name for name in words if name not in PARAMETERS and name != _KEY]:
        named = ", ".join(repr(name[:40]) for name in unknown)
        raise BadRequest(f"there is no parameter {named}; there are {', '.join(PARAMETERS)}", param=unknown[0][:40])
    said = words.get("format", "csv" if "text/csv" in accept else "json")
    if said not in FORMATS:
        raise BadRequest(f"format must be {' or '.join(FORMATS)}, but {said[:40]!r} came", param="format")
    if said == "csv" and (paging := [name for name in _PAGING if name in words]):
        raise BadRequest(f"{paging[0]} goes with json: csv has all lines in one answer", param=paging[0])
    return said


def paged(query: Query, words: Mapping[str, str]) -> Query:
    """The page of it that is wanted: of `limit` lines, from where `page` says. Raises BadRequest."""
    limit = words.get("limit", str(PAGE))
    if not _is_number(limit) or not 1 <= int(limit) <= PAGE:
        raise BadRequest(f"limit must be a number from 1 to {PAGE}", param="limit")
    return query._replace(most=int(limit), behind=_place(words["page"], query.by) if "page" in words else ())


# Longer ones may have more digits than Python reads.
_is_number = re.compile(r"[0-9]{1,9}").fullmatch


def _place(word: str, by: Sequence[str]) -> tuple[str, ...]:
    try:
        keys = msgspec.json.decode(urlsafe_b64decode(word.encode()), type=tuple[str, ...])
        unspelled(by, keys)
    except ValueError:  # in whichever way
        raise BadRequest("page must be what next_page said, and group_by as it was then", param="page") from None
    return keys


def _spelled(keys: Sequence[str]) -> str:
    return urlsafe_b64encode(msgspec.json.encode(keys)).decode()


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
    """All that there is."""
    return msgspec.json.encode(_listed(groups, by, total(groups)))


def as_page(groups: Sequence[Group], by: Sequence[str], whole: Group, has_more: bool) -> bytes:
    """Some of it. `whole`: the sum of all; `has_more`: others follow."""
    following = _spelled(groups[-1].keys) if has_more else None
    return msgspec.json.encode({**_listed(groups, by, whole), "has_more": has_more, "next_page": following})


def _listed(groups: Sequence[Group], by: Sequence[str], whole: Group) -> dict[str, Any]:
    data = [{**dict(zip(by, group.keys, strict=True)), **_said(group)} for group in groups]
    return {"object": "list", "data": data, "total": _said(whole)}


def as_csv(groups: Sequence[Group], by: Sequence[str], has_head: bool = True) -> str:
    """A line each, without a total: whoever adds them up has it."""
    said = StringIO()
    lines = csv.writer(said)
    if has_head:
        tokens = [f"{name}_tokens" for name in TOKENS]
        lines.writerow([*by, "requests", "errors", *tokens, "cost_usd", "estimated", "unpriced"])
    for group in groups:
        names = map(_as_text, group.keys)
        lines.writerow([*names, *group[1:11], dollars(group.nanos), group.estimated, group.unpriced])
    return said.getvalue()


def _as_text(name: str) -> str:
    """So that a spreadsheet takes it for none but text. Who wants it back takes away the first of such marks."""
    return _TEXT + name if name.startswith((*_FORMULA, _TEXT)) else name


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
