"""May this client ask this provider for this model?

Judged by the target, as a name was resolved: an alias, or another spelling of a provider, opens no door. In a pattern
of a key's `models`, `*` is any run of characters, slashes included; every other character is itself.
"""

from proxy.allowance import ClientKey
from proxy.errors import GatewayError
from proxy.ports import Call

LONGEST_NAME = 200  # characters of a model that are repeated


def is_restricted(key: ClientKey) -> bool:
    return bool(key.models or key.providers)


def allows(key: ClientKey | None, provider: str, model: str) -> bool:
    """A client without a key is one of a pillion that asks for none."""
    if key is None:
        return True
    if key.providers and provider not in key.providers:
        return False
    name = f"{provider}/{model}"
    return not key.models or any(_fits(pattern, name) for pattern in key.models)


def check(call: Call) -> None:
    """May it ask its target? Raises GatewayError, 403."""
    assert call.target is not None  # failover chose it
    provider, model = call.target.adapter.name, call.target.model
    if not allows(call.key, provider, model):
        raise _not_allowed(call.key, provider, model[:LONGEST_NAME])


class Allowed:
    """An account of each attempt (ports.Account): whichever target failover comes to, it must be an allowed one."""

    async def reserve(self, call: Call) -> None:
        """Raises GatewayError, 403."""
        check(call)

    def settle(self, call: Call, held: None, error: BaseException | None) -> None:
        """Nothing was set aside."""


ALLOWED = Allowed()


def _not_allowed(key: ClientKey | None, provider: str, model: str) -> GatewayError:
    may = ", ".join((key.models or key.providers) if key else ())
    return GatewayError(
        f"This key may not ask {provider} for {model!r}. It may ask for: {may}.",
        status=403,
        kind="authentication",
        code="model_not_allowed",
        param="model",
    )


def _fits(pattern: str, name: str) -> bool:
    """Each part at its first place behind the one before. Clients choose names, so nothing is ever tried twice."""
    first, *rest = pattern.split("*")
    if not rest:
        return name == first
    if not name.startswith(first):
        return False
    at, last = len(first), rest.pop()
    for part in rest:
        found = name.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return name.endswith(last) and at + len(last) <= len(name)
