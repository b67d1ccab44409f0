"""What does pillion say about itself?

Health, metrics and models: handlers like any other, from Call to Reply. Where the client's wire has its own shape for a
list of models, its dialect spells it.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from proxy.access.rights import Whose, allows, not_allowed
from proxy.catalog import bounded
from proxy.edge.loading import loaded
from proxy.envelope import parse_object
from proxy.errors import GatewayError, UnknownModel
from proxy.failover.plan import Planner
from proxy.grammar.fields import Fields
from proxy.late import FAMILIES, TIME
from proxy.ports import Call, Health, Paging, Placed, Reply, Target
from proxy.reports.gauges import Told
from proxy.reports.replies import reply_of, spelled_reply

if TYPE_CHECKING:
    from proxy.reports.families import Families

OLLAMA = "0.13.0"  # the version whose native API is spoken here: clients ask before they use what is new
BUDGETS = "pillion_budget_"  # how the names of the metrics about budgets begin

_TEXT = [("content-type", "text/plain; charset=utf-8")]


class Admin:
    def __init__(self, planner: Planner, told: Callable[[], Iterable[Told]]) -> None:
        """`told`: what the metrics say, asked anew for each scrape."""
        self._planner = planner
        self._told = told
        self._kept: Families | None = None
        self.ready = False  # set by the app once the listeners are open
        self.stop = asyncio.Event()  # set when pillion is to end

    def become(self, planner: Planner) -> None:
        self._planner = planner

    async def startup(self, call: Call) -> Reply:
        return _probe(self.ready)

    async def readiness(self, call: Call) -> Reply:
        return _probe(self.ready)

    async def liveness(self, call: Call) -> Reply:
        """Never depends on a provider: restarting pillion would heal none."""
        return _probe(True)

    async def quit(self, call: Call) -> Reply:
        """For the app of a Kubernetes job, which says it is done to a sidecar that would otherwise run for ever."""
        self.stop.set()
        return Reply(200, _TEXT, b"ok\n")

    async def metrics(self, whose: Whose, call: Call) -> Reply:
        """A client that may see only its own share gets no budgets: they name other clients."""
        without = None if whose(call) is None else BUDGETS
        content_type, body = await (await self._families()).text(call.headers.get("accept", ""), without)
        return Reply(200, [("content-type", content_type)], body)

    async def models(self, call: Call) -> Reply:
        """The models that the caller may use. Raises BadRequest."""
        names, dialect = await self._names(call), call.dialect
        if call.query and isinstance(dialect, Paging):
            return spelled_reply(dialect.model_page(names, call.query))
        return spelled_reply(dialect.model_list(names))

    async def model(self, call: Call) -> Reply:
        """Raises BadRequest, UnknownModel, Unsupported, and GatewayError, 403, where the caller may not use it."""
        if isinstance(call.dialect, Placed):
            call.rest = call.dialect.model_at(call.rest)
        bounded(call.rest)
        target = await self._allowed(call)
        names = {call.rest, f"{target.adapter.name}/{target.model}"}
        stands_in = not target.adapter.real and self._planner.catalog.how(call.rest) != "named"
        is_named = stands_in or target.adapter.has(target.model) or not names.isdisjoint(await self._names(call))
        listing = call.lent if call.lent is not None and call.lent.name == target.adapter.name else target.adapter
        if not is_named and listing.denies(target.model):  # without a list, the name is believed as in a chat
            raise UnknownModel(f"{target.adapter.name} does not list a model {target.model!r}.", param="model")
        abilities = target.adapter.abilities(target.model)
        return spelled_reply(call.dialect.model_card(call.rest, abilities))

    async def _names(self, call: Call) -> list[str]:
        return await call.timed(self._planner.catalog.names(_via(call), call.key, call.lent))

    async def _allowed(self, call: Call) -> Target:
        """The first target that the caller may ask. Raises GatewayError, 403, where there is none."""
        plan = await call.timed(self._planner.plan(call.rest, call.key))
        for target in plan.targets:
            if allows(call.key, target.adapter.name, target.model):
                return target
        first = plan.targets[0]
        raise not_allowed(call.key, first.adapter.name, first.model)

    async def show(self, call: Call) -> Reply:
        """One model, named in the body. Raises BadRequest, UnknownModel."""
        asked = Fields(parse_object(await call.receive()), "")
        is_older = bool(asked.rest.get("name")) and not asked.rest.get("model")
        call.rest = asked.need_name("name" if is_older else "model")
        return await self.model(call)

    async def version(self, call: Call) -> Reply:
        return reply_of({"version": OLLAMA})

    async def loaded(self, call: Call) -> Reply:
        """Models in memory: none, as those that Ollama has loaded are its own business."""
        return reply_of({"models": []})

    async def greeting(self, call: Call) -> Reply:
        """Ollama's own words, because some clients look for them."""
        return Reply(200, _TEXT, b"Ollama is running")

    async def provider_health(self, call: Call) -> Reply:
        """`/providers/{name}/health`. 200 when it is well, 503 when not, 404 when there is none of that name."""
        name, _, what = call.rest.rpartition("/")
        adapters = self._planner.catalog.adapters
        adapter = adapters.get(name)
        if adapter is None or what != "health":
            message = f"There is no provider {name or what!r}. The providers are: {', '.join(adapters)}."
            if not name and what in adapters:
                message = f"Use /v1/providers/{what}/health for this provider, or /v1/providers for all of them."
            raise GatewayError(message, status=404, kind="invalid_request", code="provider_not_found")
        time, families = await loaded(TIME), await self._families()
        asking = time(families.checks.labels(name), asyncio.ensure_future(adapter.health()))
        health: Health = await call.timed(asking)
        detail = f"{health.detail} ({health.why})" if health.why else health.detail
        body = {"name": name, "ok": health.ok, "latency_ms": round(health.latency * 1000, 1), "detail": detail}
        return reply_of(body, 200 if health.ok else 503)

    async def _families(self) -> "Families":
        """Whoever asks first has them made; of several who do so at once, one."""
        make = await loaded(FAMILIES)
        if self._kept is None:
            self._kept = make(self._told)
        return self._kept


def _via(call: Call) -> str:
    """The request's `Via`, to be sent on; one that is not ASCII is not valid (RFC 9110, 7.6.3)."""
    via = call.headers.get("via", "")
    return via if via.isascii() else ""


def _probe(well: bool) -> Reply:
    return Reply(200, _TEXT, b"ok\n") if well else Reply(503, _TEXT, b"not ready\n")
