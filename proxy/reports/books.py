"""What was spent, as far as the caller of a route may see it?

A client that shows a key sees what that key has spent. Where no key is asked for, and on the operators' own listener,
everything can be seen.
"""

import asyncio
from collections.abc import AsyncGenerator

from proxy.access.rights import Whose
from proxy.budgets import Budgets, Statement
from proxy.errors import GatewayError
from proxy.ports import Call, Reply
from proxy.reports.replies import list_reply, spelled_reply
from proxy.reports.usage_report import PAGE, as_csv, as_page, asked, form, paged, said_in, total
from proxy.spending.money import dollars
from proxy.store import Group, Ledger, Query

_CSV = [("content-type", "text/csv; charset=utf-8")]


class Books:
    """The routes that show the ledger's sums and the budgets."""

    def __init__(self, ledger: Ledger, budgets: Budgets) -> None:
        self._ledger = ledger
        self._budgets = budgets

    async def usage(self, whose: Whose, call: Call) -> Reply:
        """A caller that sees everybody's may ask for one client's. Raises GatewayError, 400, 403; LedgerUnavailable."""
        words = said_in(call.raw_query)
        wants = form(words, call.headers.get("accept", ""))
        query = asked(words)._replace(client=_client(whose(call), words.get("client")))
        if wants == "csv":
            return Reply(200, _CSV, await self._lines(query))
        page = paged(query, words)
        groups, has_more = await self._page(page)
        is_all = not (has_more or page.behind)
        whole = total(groups if is_all else await self._ledger.usage(query._replace(by=())))
        return spelled_reply(await asyncio.to_thread(as_page, groups, query.by, whole, has_more))

    async def _page(self, query: Query) -> tuple[list[Group], bool]:
        """A page of groups, and whether there are more."""
        assert query.most is not None
        groups = await self._ledger.usage(query._replace(most=query.most + 1))
        return groups[: query.most], len(groups) > query.most

    async def _lines(self, query: Query) -> bytes | AsyncGenerator[bytes]:
        """All lines. A year by hours has tens of thousands, which go out as they are read."""
        groups, has_more = await self._page(query := query._replace(most=PAGE))
        head = (await asyncio.to_thread(as_csv, groups, query.by)).encode()
        return self._others(query, head, groups[-1].keys) if has_more else head

    async def _others(self, query: Query, head: bytes, behind: tuple[str, ...]) -> AsyncGenerator[bytes]:
        yield head
        has_more = True
        while has_more:
            groups, has_more = await self._page(query._replace(behind=behind))
            yield (await asyncio.to_thread(as_csv, groups, query.by, False)).encode()
            behind = groups[-1].keys if groups else behind

    async def budgets(self, whose: Whose, call: Call) -> Reply:
        """The state of each budget, and what is left of it."""
        rows, client = self._budgets.statements(), whose(call)
        return _statements([row for row in rows if client is None or row.client == client])


def _client(own: str | None, wanted: str | None) -> str | None:
    """Whose usage to show. `own`: the client, where it may see no other's. Raises GatewayError, 403."""
    if own is None or wanted in (None, own):
        return own or wanted
    raise GatewayError(
        f"This key can see only its own usage: leave out client, or set it to {own}.",
        status=403,
        kind="authentication",
        code="usage_not_allowed",
        param="client",
    )


def _statements(rows: list[Statement]) -> Reply:
    data = [
        {
            "name": row.name,
            "client": row.client or None,
            "window": row.window,
            "limit_usd": dollars(row.limit),
            "spent_usd": dollars(row.spent),
            "reserved_usd": dollars(row.reserved),
            "remaining_usd": dollars(row.remaining),
            "resets_at": row.resets_at,
        }
        for row in rows
    ]
    return list_reply(data)
