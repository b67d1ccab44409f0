"""Whom could a call go to, and in which order?

The operator's route says it. Without one it is the provider that the model's name means, then those of
`fallback_order`, then every other one that has a model of that name or a default one, those on this machine last. A
provider that gets all traffic (`upstream`) is the only target, and so is the offline echo, which stands in for nobody.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from proxy.access.allowance import ClientKey
from proxy.access.rights import allows, is_restricted
from proxy.catalog import Catalog
from proxy.config import Failover, Route
from proxy.failover.needs import is_limited
from proxy.ports import Adapter, Target

_OPERATORS = frozenset({"upstream", "alias", "default", "local"})  # rules by which the operator says who is asked
_ANYBODYS = frozenset({"listed", "beginning"})  # rules by which a name means a model, whoever has it
KEPT = 1000  # names whose targets are known; clients choose them


class Plan(Struct, frozen=True):
    """`weights` stand beside the targets; `name` is the route's, "" where there is none. `how`: see Catalog.how.

    `is_named`: the client's own word for the model means its only target, and not what the operator made of it.
    `may_lack`: other providers may list that model as well, and something is known that its only target cannot do.
    """

    targets: Sequence[Target]
    weights: Sequence[float] = ()
    strategy: str = "order"
    name: str = ""
    how: str = ""
    is_named: bool = False
    may_lack: bool = False


class Planner:
    """`defaults`: providers' own default models, by provider. `local`: providers on this machine.

    `alone`: all traffic goes to one place.
    """

    def __init__(
        self,
        catalog: Catalog,
        routes: Mapping[str, Route],
        failover: Failover,
        defaults: Mapping[str, str],
        local: Iterable[str],
        alone: bool = False,
    ) -> None:
        self.catalog = catalog
        self._routes = routes
        self._failover = failover
        self._defaults = defaults
        self._local = frozenset(local)
        self._alone = alone
        self._plans: dict[str, Plan] = {}

    def known_plan(self, name: str, key: ClientKey | None) -> Plan | None:
        """What `plan` would say, if that is known without asking a provider for its models."""
        target = None if name in self._routes else self.catalog.met(name)
        if target is None:
            return None
        if key is not None and is_restricted(key) and not allows(key, target.adapter.name, target.model):
            return None
        plan = self._plans.get(name)
        if plan is None or plan.targets[0] is not target:
            if len(self._plans) >= KEPT:
                self._plans.clear()
            plan = self._plans[name] = self._only(name, target)
        return plan

    async def plan(self, name: str, key: ClientKey | None = None) -> Plan:
        """Of a route all its targets; else the one that the name means. `key`: who asks. Raises UnknownModel."""
        route = None if self._alone else self._routes.get(name)
        if route is None:
            return self._only(name, await self.catalog.resolve(name, key))
        targets = [await self.catalog.resolve(target, key) for target, _ in route.targets]
        return Plan(targets, [weight for _, weight in route.targets], route.strategy, name, "route")

    def _only(self, name: str, target: Target) -> Plan:
        how, spelled = self.catalog.how(name), (target.model, f"{target.adapter.name}/{target.model}")
        is_named = how not in _OPERATORS or name in spelled
        may_lack = how in _ANYBODYS and is_limited(target.adapter.abilities(target.model))
        return Plan((target,), how=how, is_named=is_named, may_lack=may_lack)

    async def load_others(self, plan: Plan, is_well: Callable[[str], bool]) -> None:
        """Get the model lists of those that `others` would come to: a name that says its provider has needed none.

        Providers that are known to be down, or without a key to use now, are not waited for.
        """
        if said := self._said(plan):
            there = map(self.catalog.adapter, dict.fromkeys(filter(is_well, said)))
            await self.catalog.meet(plan.targets[0], [one for one in there if one is not None and one.may_ask("")])

    def others(self, plan: Plan, pass_over: Callable[[Target], None] = lambda target: None) -> Iterator[Target]:
        """Whom to ask when the plan's own targets have failed. A route has no others than those it names.

        `pass_over`: who hears of those that the operator has configured and that have nothing to answer with.
        """
        first = plan.targets[0]
        seen = {first.adapter.name}
        for said in self._said(plan):
            provider, _, model = said.partition("/")
            target = self._target(provider, model or first.model, is_said=bool(model))
            adapter = self._adapter(provider) if target is None else target.adapter
            if adapter.name in seen:
                continue
            if target is not None:
                seen.add(adapter.name)
                yield target
            elif not self.catalog.is_assumed(adapter):
                pass_over(Target(adapter, first.model))

    def _said(self, plan: Plan) -> list[str]:
        """The others of a plan, as the operator says them: PROVIDER, or PROVIDER/MODEL."""
        if plan.name or self._alone or not plan.targets[0].adapter.real:
            return []
        return [*self._failover.fallback_order, *(self._rest() if self._failover.others else ())]

    def _rest(self) -> list[str]:
        """Every provider, those on this machine last."""
        real = [name for name, adapter in self.catalog.adapters.items() if adapter.real]
        return sorted(real, key=lambda name: name in self._local)

    def _adapter(self, provider: str) -> Adapter:
        adapter = self.catalog.adapter(provider)
        assert adapter is not None  # or nothing would have been started
        return adapter

    def _target(self, provider: str, model: str, is_said: bool) -> Target | None:
        """None where it has no such model, nor a default one."""
        adapter = self._adapter(provider)
        if is_said or adapter.has(model):
            return Target(adapter, model)
        default = self._defaults.get(adapter.name, "")
        return Target(adapter, default) if default else None
