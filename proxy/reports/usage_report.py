"""Which sums were asked for, and how are they written?

As JSON or CSV for programs, as a table for people. Dollars are exact, as decimal text.
"""

import csv
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from io import StringIO
from operator import attrgetter
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from proxy.errors import BadRequest, excerpt
from proxy.logs import visible
from proxy.spending.money import dollars
from proxy.store.row import TOKENS
from proxy.store.sums import total as added
from proxy.store.usage import GROUPINGS, Group, Query, unspelled

# Lines of one answer: a month by hour, model and client has tens of thousands, and each takes time of the loop.
PAGE = 500

PARAMETERS = ("since", "until", "group_by", "client", "limit", "page", "format")
_KEY = "key"  # in which Google's SDKs send the client key; auth has read it
_PAGING = ("limit", "page")
FORMATS = ("json", "csv")

_SHOWN = ("requests", "errors", "input", "cached", "output", "cost", "estimated", "unpriced")  # columns of the table
_LONGEST = 60  # characters of a name in a table

# Spreadsheets take a cell that begins so for a formula, also in full width; and clients choose the names of models.
# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_TEXT = "'"


# --- what is wanted --------------------------------------------------------------------------------------------------


def said_in(query: str) -> dict[str, str]:
    """The parameters in a query. Raises BadRequest where one is there twice: which of the two is meant?"""
    pairs = parse_qsl(query, keep_blank_values=True)
    words = dict(pairs)
    if len(words) < len(pairs):
        twice = excerpt(next(name for name in words if sum(name == other for other, _ in pairs) > 1))
        raise BadRequest(f"{twice!r} was given twice: give it once, with commas between several names.", param=twice)
    return words


def asked(words: Mapping[str, str], by: tuple[str, ...] = ("day",)) -> Query:
    """The query for `since` and `until`, each a date or a time (UTC by default), and `group_by`, names with commas.

    `by`: the default grouping. Raises BadRequest.
    """
    since, until = _moment(words, "since"), _moment(words, "until")
    if since is not None and until is not None and since >= until:
        raise BadRequest("since must be before until.", param="since")
    return Query(since or 0.0, until, _groupings(words["group_by"]) if "group_by" in words else by)


def form(words: Mapping[str, str], accept: str) -> str:
    """The one of FORMATS that is wanted. `accept`: the header. Raises BadRequest, also for unknown parameters."""
    if unknown := [name for name in words if name not in PARAMETERS and name != _KEY]:
        named = ", ".join(repr(excerpt(name)) for name in unknown)
        raise BadRequest(
            f"Unknown parameter {named}; the parameters are {', '.join(PARAMETERS)}.", param=excerpt(unknown[0])
        )
    said = words.get("format", "csv" if "text/csv" in accept else "json")
    if said not in FORMATS:
        raise BadRequest(f"format must be {' or '.join(FORMATS)}, not {excerpt(said)!r}.", param="format")
    if said == "csv" and (paging := [name for name in _PAGING if name in words]):
        raise BadRequest(f"{paging[0]} works only with json: csv has all lines in one answer.", param=paging[0])
    return said


def paged(query: Query, words: Mapping[str, str]) -> Query:
    """The query for one page: of `limit` lines, from where `page` says. Raises BadRequest."""
    limit = words.get("limit", str(PAGE))
    if not _is_number(limit) or not 1 <= int(limit) <= PAGE:
        raise BadRequest(f"limit must be a number from 1 to {PAGE}.", param="limit")
    return query._replace(most=int(limit), behind=_place(words["page"], query.by) if "page" in words else ())


# Python refuses to read numbers of too many digits.
_is_number = re.compile(r"[0-9]{1,9}").fullmatch


def _place(word: str, by: Sequence[str]) -> tuple[str, ...]:
    try:
        keys = msgspec.json.decode(urlsafe_b64decode(word.encode()), type=tuple[str, ...])
        unspelled(by, keys)
    except ValueError:  # it is no base64, no JSON, or no key of such a group
        raise BadRequest(
            "page must be the next_page of an earlier answer, with the same group_by.", param="page"
        ) from None
    return keys


def _spelled(keys: Sequence[str]) -> str:
    return urlsafe_b64encode(msgspec.json.encode(keys)).decode()


def _moment(words: Mapping[str, str], name: str) -> float | None:
    if name not in words:
        return None
    said = words[name]
    if "T" in said:  # then a blank is the + of +05:30, as a URL has it that was not encoded
        said = said.replace(" ", "+")
    try:
        when = datetime.fromisoformat(said)
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise _not_a_moment(name) from None
    if seconds < 0:
        raise _not_a_moment(name)
    return seconds


def _not_a_moment(name: str) -> BadRequest:
    return BadRequest(f"{name} must be a date from 1970 on, such as 2027-01-31 or 2027-01-31T12:00:00Z.", param=name)


def _groupings(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if len({*names}) < len(names) or not {*names} <= {*GROUPINGS}:
        raise BadRequest(f"group_by must be one or more of {', '.join(GROUPINGS)}, each only once.", param="group_by")
    return names


# --- what it looks like ----------------------------------------------------------------------------------------------


def as_json(groups: Sequence[Group], by: Sequence[str]) -> bytes:
    """All groups, and their total."""
    return msgspec.json.encode(_listed(groups, by, total(groups)))


def as_page(groups: Sequence[Group], by: Sequence[str], whole: Group, has_more: bool) -> bytes:
    """One page of groups. `whole`: the total of all pages. `has_more`: another page follows."""
    following = _spelled(groups[-1].keys) if has_more else None
    return msgspec.json.encode({**_listed(groups, by, whole), "has_more": has_more, "next_page": following})


def _listed(groups: Sequence[Group], by: Sequence[str], whole: Group) -> dict[str, Any]:
    data = [{**dict(zip(by, group.keys, strict=True)), **_said(group)} for group in groups]
    return {"object": "list", "data": data, "total": _said(whole)}


def as_csv(groups: Sequence[Group], by: Sequence[str], has_head: bool = True) -> str:
    """A line for each group, without a total."""
    said = StringIO()
    lines = csv.writer(said)
    if has_head:
        tokens = [f"{name}_tokens" for name in TOKENS]
        lines.writerow([*by, "requests", "errors", *tokens, "cost_usd", "estimated", "unpriced"])
    for group in groups:
        names = map(_as_text, group.keys)
        counts = group.requests, group.errors, *_tokens_of(group)
        lines.writerow([*names, *counts, dollars(group.nanos), group.estimated, group.unpriced])
    return said.getvalue()


def _as_text(name: str) -> str:
    """A name as a spreadsheet takes it for text, and fit for a terminal. To have it back, take one leading apostrophe
    away.
    """
    name = visible(name, len(name))
    return _TEXT + name if name.startswith((*_FORMULA, _TEXT)) else name


def as_table(groups: Sequence[Group], by: Sequence[str]) -> str:
    """Names to the left, numbers to the right, the total below."""
    if not groups:
        return "no usage"
    rows = [[*by, *_SHOWN], *([*_names(group), *_numbers(group)] for group in groups)]
    if by:
        rows.append([*["total", *[""] * len(by)][: len(by)], *_numbers(total(groups))])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(_aligned(row, widths, len(by))).rstrip() for row in rows)


def total(groups: Sequence[Group]) -> Group:
    return Group((), *added([group[1:] for group in groups]))


_tokens_of = attrgetter(*TOKENS)


def _said(group: Group) -> dict[str, Any]:
    return {
        "requests": group.requests,
        "errors": group.errors,
        "tokens": dict(zip(TOKENS, _tokens_of(group), strict=True)),
        "cost_usd": dollars(group.nanos),
        "estimated": group.estimated,
        "unpriced": group.unpriced,
    }


def _names(group: Group) -> Iterator[str]:
    """Fit for a terminal: a model's name is a text that a client chose."""
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
