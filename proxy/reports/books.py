"""What was spent, as whoever asks over HTTP may see it?

A client that shows a key sees what went by that key; where nobody is asked for one, and on the operators' own listener,
everything is there.
"""

import asyncio

import msgspec

from proxy.access.rights import Whose
from proxy.budgets import Budgets, Standing
from proxy.ports import Call, Reply
from proxy.reports.usage_report import as_csv, as_json, asked
from proxy.spending.money import dollars
from proxy.store import Ledger

_JSON = [("content-type", "application/json")]
_CSV = [("content-type", "text/csv; charset=utf-8")]


class Books:
    def __init__(self, ledger: Ledger, budgets: Budgets) -> None:
        self._ledger = ledger
        self._budgets = budgets

    async def usage(self, whose: Whose, call: Call) -> Reply:
        """Who sees everybody's may ask for one client's. Raises BadRequest, LedgerUnavailable."""
        client = whose(call)
        query = asked(call.query)._replace(client=call.query.get("client") if client is None else client)
        groups = await self._ledger.usage(query)
        if call.query.get("format") == "csv" or "text/csv" in call.headers.get("accept", ""):
            said = await asyncio.to_thread(as_csv, groups, query.by)  # of a year by hours there are thousands
            return Reply(200, _CSV, said.encode())
        return Reply(200, _JSON, await asyncio.to_thread(as_json, groups, query.by))

    async def budgets(self, whose: Whose, call: Call) -> Reply:
        """How they stand, and what is left."""
        rows, client = self._budgets.standing(), whose(call)
        return _standing([row for row in rows if client is None or row.client == client])


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
