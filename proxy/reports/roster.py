"""Which providers are there, and how is each?

What the health checks found, what calls have shown about its targets, and how many of its keys are left out; never a
key, nor a URL that may hold one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from msgspec.structs import asdict

from proxy.adapters.http import HTTPProvider
from proxy.budgets.windows import rfc3339
from proxy.config import Provider
from proxy.failover.health import Checked
from proxy.failover.standing import Standing
from proxy.ports import Adapter, Call, Reply
from proxy.reports.explain import short
from proxy.reports.replies import list_reply


class Checks(Protocol):
    def of(self, provider: str) -> Checked | None:
        """Its last health check; None before the first."""
        ...

    async def first(self) -> None:
        """Wait until each has been checked once, but not for long."""
        ...


class Roster:
    """`rows`: the configured providers; echo has no row."""

    def __init__(
        self,
        adapters: Mapping[str, Adapter],
        rows: Mapping[str, Provider],
        standings: Iterable[Standing],
        checks: Checks,
        hide: Callable[[str], str],
    ) -> None:
        self._adapters = adapters
        self._rows = rows
        self._standings = standings
        self._checks = checks
        self._hide = hide

    async def tell(self, call: Call) -> Reply:
        await self._checks.first()
        targets: dict[str, list[Standing]] = defaultdict(list)
        for standing in self._standings:
            targets[standing.target.adapter.name].append(standing)
        data = [self._row(adapter, targets[adapter.name]) for adapter in self._adapters.values()]
        return list_reply(data)

    def _row(self, adapter: Adapter, targets: Sequence[Standing]) -> dict[str, Any]:
        row, checked = self._rows.get(adapter.name), self._checks.of(adapter.name)
        return {
            "id": adapter.name,
            "object": "provider",
            "offline": not adapter.real,
            "host": None if row is None else _host(row.base_url),
            "status": _status(adapter, row, checked),
            "latency_ms": None if checked is None else round(checked.latency * 1000, 1),
            "checked_at": None if checked is None else rfc3339(checked.at),
            "error": (checked.error or None) if checked is not None else None,
            "error_detail": (checked.why or None) if checked is not None else None,
            "dialects": list(adapter.dialects),
            "capabilities": {
                "count_tokens": any(map(adapter.counts, adapter.dialects)),
                "fetches_urls": set(adapter.no_urls).isdisjoint(adapter.dialects),
                "usage_in_streams": adapter.ask_usage,
            },
            "models": [] if row is None else [_model(adapter, name) for name in row.models],
            "keys": adapter.keys_state() if isinstance(adapter, HTTPProvider) else None,
            "targets": [self._target(standing) for standing in targets],
        }

    def _target(self, standing: Standing) -> dict[str, Any]:
        return {
            "model": short(self._hide(standing.target.model)),
            "state": standing.breaker.state,
            "in_flight": standing.latency.in_flight,
            "latency_ms": round(latency * 1000, 1) if (latency := standing.latency.value) else None,
        }


def _status(adapter: Adapter, row: Provider | None, checked: Checked | None) -> str:
    if checked is not None:
        return "well" if checked.is_there else "unwell"
    if row is not None and row.assumed:
        return "assumed"  # nobody configured it, and it is not checked
    return "unknown" if adapter.real else "well"


def _host(base_url: str) -> str:
    """Host and port of a URL, and no more: a password may stand before them."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    return f"{host}:{parts.port}" if parts.port is not None else host


def _model(adapter: Adapter, name: str) -> dict[str, Any]:
    """A configured model, and what is known of it."""
    known = {ability: value for ability, value in asdict(adapter.abilities(name)).items() if value is not None}
    return {"id": name, **known}
