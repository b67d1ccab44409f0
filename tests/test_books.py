"""Does a long report come page by page, with nothing left out or repeated?"""

import csv
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.reports.usage_report import PAGE
from proxy.store.usage import GROUPINGS
from tests.client import ask
from tests.crash import row
from tests.gateway import Gateway, pillion

MODELS = 2 * PAGE + 7


@asynccontextmanager
async def used(folder: Path, models: int = MODELS) -> AsyncIterator[Gateway]:
    """By so many models, each once."""
    async with pillion(PILLION_STATE_DIR=str(folder)) as gateway:
        ledger = gateway.app.accounting.ledger
        for number in range(models):
            this = row("r", 1000)
            this.model = f"m{number:04}"
            ledger.settle(ledger.intend(this), this)
        yield gateway


async def pages(gateway: Gateway, path: str) -> AsyncIterator[dict[str, Any]]:
    following = ""
    while following is not None:
        got = await ask(gateway, "GET", path + (f"&page={following}" if following else ""))
        assert got.status == 200, got.body
        page = json.loads(got.body)
        yield page
        following = page["next_page"]


@pytest.mark.parametrize(("limit", "count"), [("", 3), ("&limit=400", 3), (f"&limit={PAGE}", 3), ("&limit=100", 11)])
async def test_json_comes_in_pages_each_with_the_total_of_all(tmp_path: Path, limit: str, count: int) -> None:
    async with used(tmp_path) as gateway:
        said = [page async for page in pages(gateway, f"/v1/usage?group_by=model,day{limit}")]
    assert len(said) == count
    assert [line["model"] for page in said for line in page["data"]] == [f"m{number:04}" for number in range(MODELS)]
    assert {page["total"]["requests"] for page in said} == {MODELS}
    assert [page["has_more"] for page in said] == [True] * (count - 1) + [False]


@pytest.mark.parametrize(("models", "has_more"), [(0, False), (PAGE, False), (PAGE + 1, True)])
async def test_a_page_that_is_just_full_is_the_last_one(tmp_path: Path, models: int, has_more: bool) -> None:
    async with used(tmp_path, models) as gateway:
        said = json.loads((await ask(gateway, "GET", "/v1/usage?group_by=model")).body)
    assert (said["has_more"], said["next_page"] is not None) == (has_more, has_more)


@pytest.mark.parametrize("models", [0, 1, PAGE, PAGE + 1, MODELS])
async def test_csv_has_all_of_it_and_one_head(tmp_path: Path, models: int) -> None:
    async with used(tmp_path, models) as gateway:
        got = await ask(gateway, "GET", "/v1/usage?group_by=day,model&format=csv")
    head, *lines = csv.reader(got.body.decode().splitlines())
    assert (got.status, head[:3], [line[1] for line in lines]) == (
        200, ["day", "model", "requests"], [f"m{number:04}" for number in range(models)]
    )  # fmt: skip


async def test_csv_of_a_ledger_that_fails_on_the_way_does_not_end_as_if_it_were_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with used(tmp_path) as gateway:
        ledger, asked = gateway.app.accounting.ledger, 0
        ask_it = ledger._writer.ask

        async def failing(question: Any) -> Any:
            nonlocal asked
            asked += 1
            if asked > 1:
                raise sqlite3.OperationalError("disk I/O error")
            return await ask_it(question)

        monkeypatch.setattr(ledger._writer, "ask", failing)
        got = await ask(gateway, "GET", "/v1/usage?group_by=model&format=csv")
        assert got.body.count(b"\r\n") == PAGE + 1
        assert not got.whole


@pytest.mark.parametrize("by", ["key", "client", "model,key"])
async def test_who_spent_it_is_a_key_or_a_client_as_was_asked(tmp_path: Path, by: str) -> None:
    async with used(tmp_path, 1) as gateway:
        got = await ask(gateway, "GET", f"/v1/usage?group_by={by}")
    (line,) = json.loads(got.body)["data"]
    names = by.split(",")
    assert list(line)[: len(names)] == names
    assert line[names[-1]] == "app"


async def test_a_page_that_nobody_named_is_refused(tmp_path: Path) -> None:
    async with used(tmp_path, 1) as gateway:
        got = await ask(gateway, "GET", "/v1/usage?page=elsewhere")
    assert (got.status, json.loads(got.body)["error"]["param"]) == (400, "page")


@pytest.mark.parametrize(
    ("query", "param", "words"),
    [
        ("start=2027-01-01", "start", "Unknown parameter 'start'; the parameters are since, until, group_by, client,"),
        ("since=2027-01-01&key=k&groupby=day&x=", "groupby", "Unknown parameter 'groupby', 'x'; the parameters are"),
        ("format=xml", "format", "format must be json or csv, not 'xml'"),
        ("format=", "format", "format must be json or csv, not ''"),
        ("group_by=day&group_by=model", "group_by", "'group_by' was given twice: give it once"),
        ("since=2027-01-01&x=1&since=2027-01-02", "since", "'since' was given twice"),
        ("format=csv&limit=5", "limit", "limit works only with json: csv has all lines in one answer"),
        ("format=csv&page=WyJ4Il0=", "page", "page works only with json"),
    ],
)
async def test_a_word_that_nobody_reads_is_named_and_what_there_is(query: str, param: str, words: str) -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "GET", f"/v1/usage?{query}")
    error = json.loads(got.body)["error"]
    assert (got.status, error["param"], error["message"][: len(words)]) == (400, param, words)


async def test_an_operator_sees_everybodys_usage_or_one_clients(tmp_path: Path) -> None:
    async with used(tmp_path, models=1) as gateway:
        ledger, other = gateway.app.accounting.ledger, row("r", 1000)
        other.client = "other"
        ledger.settle(ledger.intend(other), other)
        for query, clients in (("", ["app", "other"]), ("&client=other", ["other"]), ("&client=nobody", [])):
            got = await ask(gateway, "GET", f"/v1/usage?group_by={','.join(GROUPINGS)}{query}")
            said = json.loads(got.body)
            assert sorted(line["client"] for line in said["data"]) == clients
            assert said["total"]["requests"] == len(clients)


async def test_what_the_query_says_of_the_form_wins_over_the_header() -> None:
    csv_please = [("accept", "text/csv")]
    async with pillion() as gateway:
        for query, kind in (("", "text/csv"), ("?format=json", "application/json"), ("?key=k", "text/csv")):
            got = await ask(gateway, "GET", f"/v1/usage{query}", headers=csv_please)
            assert (got.status, (got.header("content-type") or "").partition(";")[0]) == (200, kind)
