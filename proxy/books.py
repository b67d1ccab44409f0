"""What was spent, as whoever asks over HTTP may see it?

A client that shows a key sees what went by that key; where nobody is asked for one, and on the operators' own listener,
everything is there.
"""

from collections.abc import Callable

import msgspec

from proxy.budgets import Budgets, Standing
from proxy.money import dollars
from proxy.ports import Call, Reply
from proxy.store import Ledger
from proxy.usage_report import as_csv, as_json, asked

_JSON = [("content-type", "application/json")]
_CSV = [("content-type", "text/csv; charset=utf-8")]


class Books:
    """`are_asked`: must clients show a key?"""

    def __init__(self, ledger: Ledger, budgets: Budgets, are_asked: Callable[[], bool]) -> None:
        self._ledger = ledger
        self._budgets = budgets
        self._are_asked = are_asked

    async def usage(self, call: Call) -> Reply:
        """For clients. Raises BadRequest, LedgerUnavailable."""
        return await self._usage(call, call.client if self._are_asked() else None)

    async def all_usage(self, call: Call) -> Reply:
        """For operators. Raises BadRequest, LedgerUnavailable."""
        return await self._usage(call, call.query.get("client"))

    async def budgets(self, call: Call) -> Reply:
        """For clients: how those stand that are about them, and what is left."""
        return _standing(self._standing(call.client if self._are_asked() else None))

    async def all_budgets(self, call: Call) -> Reply:
        return _standing(self._budgets.standing())

    async def _usage(self, call: Call, client: str | None) -> Reply:
        query = asked(call.query)._replace(client=client)
        groups = await self._ledger.usage(query)
        if call.query.get("format") == "csv" or "text/csv" in call.headers.get("accept", ""):
            return Reply(200, _CSV, as_csv(groups, query.by).encode())
        return Reply(200, _JSON, as_json(groups, query.by))

    def _standing(self, client: str | None) -> list[Standing]:
        rows = self._budgets.standing()
        return rows if client is None else [row for row in rows if row.client == client]


def _standing(rows: list[Standing]) -> Reply:
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
    return Reply(200, _JSON, msgspec.json.encode({"object": "list", "data": data}))
