"""What would happen to this request if it were sent?

    POST /v1/explain?path=/v1/messages      with the body that would go there; without a path, to /v1/chat

It goes the way of any other request, up to the moment when it would be sent to a provider. None gets it, nothing is
booked, no limit counts it, and no URL in it is fetched. Lists of models that a plan depends on may be asked for.
"""

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any, cast

from proxy.access.rights import Whose, check
from proxy.edge.aside import aside
from proxy.edge.remote import Fetcher, Found, NotFetched
from proxy.errors import GatewayError
from proxy.failover.plan import Plan
from proxy.limits.need import need_of
from proxy.middleware.cost import Cost
from proxy.middleware.failover import Failover
from proxy.ports import Adapter, Answer, Attempt, Call, Dialect, Handler, Middleware, Outgoing, Reply, Target
from proxy.reports.explain import NOT_ALLOWED, short
from proxy.reports.replies import reply_of
from proxy.routing import Routing
from proxy.spending.money import dollars

PATH = "/v1/chat"  # where no path is given


class Rehearsal:
    """`paths`: the routes to models. `dispatch`: with the fetcher UNFETCHED."""

    def __init__(
        self,
        paths: Routing,
        dialect: Callable[[str], Dialect],
        intake: Middleware,
        failover: Failover,
        cost: Cost,
        dispatch: Handler,
    ) -> None:
        self._paths = paths
        self._dialect = dialect
        self._intake = intake
        self._failover = failover
        self._cost = cost
        self._dispatch = dispatch

    async def tell(self, whose: Whose, call: Call) -> Reply:
        """Raises GatewayError: no such path, UnknownModel, BadRequest."""
        return await self._intake(self._asked(call), partial(self._told, is_whole=whose(call) is None))

    def _asked(self, call: Call) -> Call:
        """The request that would be sent."""
        path, _, _ = call.query.get("path", PATH).partition("?")
        route, rest = self._paths.find("POST", path)
        asked = copy(call)
        asked.operation, asked.dialect, asked.rest = route.operation, self._dialect(route.dialect), rest
        asked.query, asked.raw_query = {}, ""
        return asked

    async def _told(self, call: Call, is_whole: bool) -> Reply:
        """`is_whole`: for operators, who also see the targets that the client may not ask."""
        plan = await self._failover.rehearse(call)
        targets = [one for one in call.history if is_whole or one.skipped != NOT_ALLOWED]
        first = next((one.target for one in call.history if not one.skipped), None)
        size = len(call.envelope.body)
        said = {
            "object": "rehearsal",
            "operation": call.operation,
            "dialect": call.dialect.name,
            "stream": call.stream,
            "model": {"asked": short(call.model), "understood_as": call.how or None},
            "strategy": plan.strategy if plan.name else None,
            "targets": [await self._place(call, one) for one in targets],
            "request": None if first is None else await self._carried(call, first, plan),
            "tokens": await aside(size, _tokens, call),
            "cost": None if first is None else await aside(size, self._priced, call, first),
        }
        return reply_of(said)

    async def _place(self, call: Call, one: Attempt) -> dict[str, Any]:
        """One of the targets: why it would be passed over, or what its budgets, or its price, would refuse it with."""
        row = {"target": _name(one.target)}
        if one.skipped:
            return row | {"skipped": one.skipped}
        refusal = await self._cost.refusal(call, one.target)
        return row if refusal is None else row | {"refused": refusal.code}

    async def _carried(self, call: Call, target: Target, plan: Plan) -> dict[str, Any]:
        """How the request would reach the first target, or why it would not."""
        size = 0
        refused = await self._cost.refusal(call, target)
        call.target, call.is_named = target, plan.is_named and target is plan.targets[0]
        try:
            check(call)
            call.target = Target(cast(Adapter, _Deaf(target.adapter)), target.model)
            await self._dispatch(call)
        except _Held as held:
            size = len(held.outgoing.body)
        except GatewayError as error:
            refused = error
        return {
            "target": _name(target),
            "lane": ("translated" if call.is_translated else "passed_through") if call.wire else None,
            "from": call.dialect.name,
            "to": call.wire or None,
            "bytes": size,
            "dropped": list(map(short, call.dropped)),
            "refused": None if refused is None else _refused(refused),
        }

    def _priced(self, call: Call, target: Target) -> dict[str, Any]:
        need = need_of(call)
        try:
            cost = self._cost.foresee(call, target, need.read, need.write)
        except GatewayError as error:
            return {"about_usd": None, "bound_usd": None, "price_source": error.code}
        return {
            "about_usd": dollars(cost.about),
            "bound_usd": None if cost.bound is None else dollars(cost.bound),
            "price_source": cost.source,
        }


class _Held(GatewayError):
    """Stops a rehearsal at the point where the provider would be asked."""

    def __init__(self, outgoing: Outgoing) -> None:
        super().__init__("This is a rehearsal.")
        self.outgoing = outgoing


class _Deaf:
    """A provider that is never sent anything, and is otherwise as it is."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    async def send(self, outgoing: Outgoing) -> Answer:
        raise _Held(outgoing)


class _Unfetched:
    async def get(self, url: str, limit: int) -> Found:
        raise NotFetched("a rehearsal fetches nothing")


UNFETCHED = cast(Fetcher, _Unfetched())


def _name(target: Target) -> str:
    return f"{target.adapter.name}/{short(target.model)}"


def _refused(error: GatewayError) -> dict[str, Any]:
    return {"status": error.status, "code": error.code, "param": error.param, "message": error.message}


def _tokens(call: Call) -> dict[str, Any]:
    """The same estimate that the limits use. Raises BadRequest."""
    need = need_of(call)
    return {"input": need.read, "output": need.write, "output_is_said": need.says}
