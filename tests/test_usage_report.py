"""Is what was used shown as it is, exact, to programs and to people?"""

import csv
import json
from io import StringIO

import pytest

from proxy.errors import BadRequest
from proxy.reports.usage_report import PAGE, as_csv, as_json, as_page, as_table, asked, paged, total
from proxy.store import Group, Query

BY = ("day", "model")
GROUPS = [
    Group(("2027-01-31", "gpt-4o"), 3, 1, 1000, 20, 3, 4, 5, 600, 70, 8, 1_234_567_891, 1, 0),
    Group(("2027-02-01", 'a,"b"\n\x1b[31m'), 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1),
]
TOKENS = "input cache_read cache_write cache_write_1h audio_input output reasoning audio_output".split()


def test_json_has_groups_and_their_total() -> None:
    said = json.loads(as_json(GROUPS, BY))
    assert said["object"] == "list"
    assert said["data"][0] == {
        "day": "2027-01-31",
        "model": "gpt-4o",
        "requests": 3,
        "errors": 1,
        "tokens": dict(zip(TOKENS, [1000, 20, 3, 4, 5, 600, 70, 8], strict=True)),
        "cost_usd": "1.234567891",
        "estimated": 1,
        "unpriced": 0,
    }
    assert {name: said["total"][name] for name in ("requests", "errors", "cost_usd", "estimated", "unpriced")} == {
        "requests": 4, "errors": 1, "cost_usd": "1.234567892", "estimated": 1, "unpriced": 1
    }  # fmt: skip
    assert said["total"]["tokens"]["input"] == 1000


def test_json_of_nothing_is_noughts() -> None:
    said = json.loads(as_json([], BY))
    assert said["data"] == []
    assert (said["total"]["requests"], said["total"]["cost_usd"], said["total"]["tokens"]["output"]) == (0, "0", 0)


def test_a_page_says_where_the_next_one_begins_and_what_all_of_it_comes_to() -> None:
    said = json.loads(as_page(GROUPS[:1], BY, total(GROUPS), has_more=True))
    assert (len(said["data"]), said["total"]["requests"], said["has_more"]) == (1, 4, True)
    assert paged(Query(by=BY), {"page": said["next_page"]}) == Query(by=BY, behind=GROUPS[0].keys, most=PAGE)
    said = json.loads(as_page(GROUPS[1:], BY, total(GROUPS), has_more=False))
    assert (said["has_more"], said["next_page"]) == (False, None)


def test_csv_has_the_same_columns_whatever_a_name_holds() -> None:
    head, *lines = csv.reader(as_csv(GROUPS, BY).splitlines(keepends=True))
    tokens = [f"{name}_tokens" for name in TOKENS]
    assert head == ["day", "model", "requests", "errors", *tokens, "cost_usd", "estimated", "unpriced"]
    assert dict(zip(head, lines[0], strict=True))["cost_usd"] == "1.234567891"
    assert lines[1][1] == r'a,"b"\n\x1b[31m'
    assert {len(line) for line in lines} == {len(head)}


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'"])
def test_no_name_in_csv_is_a_formula_and_each_can_be_had_back(first: str) -> None:
    name = f"{first}HYPERLINK(1)"
    _, (cell, *_) = csv.reader(StringIO(as_csv([Group((name,), *GROUPS[0][1:])], ("model",)), newline=""))
    assert cell == f"'{name}"
    _, (cell, *_) = csv.reader(StringIO(as_csv([Group((f"a{name}",), *GROUPS[0][1:])], ("model",)), newline=""))
    assert cell == f"a{name}"


@pytest.mark.parametrize("control", ["\t", "\r", "\n", "\x1b", "\0", "\x7f", "\x9b", "\u202e"])
def test_no_name_in_csv_can_do_anything_to_a_terminal(control: str) -> None:
    name = f"{control}{'x' * 200}{control}"
    said = as_csv([Group((name,), *GROUPS[0][1:])], ("model",), has_head=False)
    assert said.startswith(name.encode("unicode_escape").decode() + ",")
    assert said.removesuffix("\r\n").isprintable()


def test_people_get_a_table_that_no_name_can_spoil() -> None:
    assert as_table(GROUPS, BY).splitlines() == [
        "day         model            requests  errors  input  cached  output          cost  estimated  unpriced",
        "2027-01-31  gpt-4o                  3       1  1,005      27     678  $1.234567891          1         0",
        r'2027-02-01  a,"b"\n\x1b[31m         1       0      0       0       0  $0.000000001          0         1',
        "total                               4       1  1,005      27     678  $1.234567892          1         1",
    ]


def test_a_table_of_one_sum_has_no_total() -> None:
    assert as_table([Group((), *GROUPS[0][1:])], ()).splitlines() == [
        "requests  errors  input  cached  output          cost  estimated  unpriced",
        "       3       1  1,005      27     678  $1.234567891          1         0",
    ]


def test_a_name_that_is_empty_is_seen() -> None:
    assert as_table([Group(("",), *GROUPS[0][1:])], ("client",)).splitlines()[1].split()[0] == "-"


def test_a_table_of_nothing_says_so() -> None:
    assert as_table([], BY) == "no usage"


# --- what is asked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "query"),
    [
        ({}, Query(by=("day",))),
        ({"since": "1970-01-02"}, Query(86400.0, None, ("day",))),
        ({"since": "1970-01-01T06:30:00 05:30"}, Query(3600.0, None, ("day",))),
        ({"since": "1970-01-01 01:00:00"}, Query(3600.0, None, ("day",))),
        ({"since": "1970-01-01T01:00:00+01:00", "until": "1970-01-01T00:00:10Z"}, Query(0.0, 10.0, ("day",))),
        ({"group_by": "model, client"}, Query(by=("model", "client"))),
        ({"group_by": ""}, Query(by=())),
        ({"other": "x"}, Query(by=("day",))),
    ],
)
def test_words_make_a_query(words: dict[str, str], query: Query) -> None:
    assert asked(words) == query


@pytest.mark.parametrize(
    ("words", "param"),
    [
        ({"since": "yesterday"}, "since"),
        ({"since": ""}, "since"),
        ({"until": "1969-01-01"}, "until"),
        ({"since": "0001-01-01T00:00:00+23:00"}, "since"),
        ({"since": "2027-01-02", "until": "2027-01-02"}, "since"),
        ({"group_by": "day,day"}, "group_by"),
        ({"group_by": "dialect; DROP TABLE hours"}, "group_by"),
    ],
)
def test_words_that_make_none_are_named(words: dict[str, str], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        asked(words)
    assert refused.value.param == param


ELSEWHERE = json.loads(as_page(GROUPS, BY, total(GROUPS), has_more=True))["next_page"]


@pytest.mark.parametrize(
    ("words", "by", "param"),
    [
        *(({"limit": word}, BY, "limit") for word in ("0", "501", "-1", "1.5", "many", "", "\u0663", "9" * 5000)),
        *(({"page": word}, BY, "page") for word in ("", "x", "WzFd", "W10", "\ud800", "\u00fc", "WyJ4IiwgIm0iXQ==")),
        ({"page": ELSEWHERE}, ("day",), "page"),
        ({"page": ELSEWHERE}, ("hour", "model"), "page"),
        ({"page": ELSEWHERE}, (), "page"),
    ],
)
def test_a_page_that_cannot_be_is_refused(words: dict[str, str], by: tuple[str, ...], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        paged(Query(by=by), words)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "limit",
    ["0", "501", "", "-1", "1.0", "٣", "000000001999", "000000001" + "0" * 5000],
    ids=lambda limit: limit[:12],
)
def test_a_page_has_no_more_lines_than_may_be(limit: str) -> None:
    with pytest.raises(BadRequest, match="limit must be a number from 1 to 500"):
        paged(Query(by=BY), {"limit": limit})
