"""May this client ask this provider for this model?

The target decides, after the model's name was resolved: an alias, or another spelling of a provider, opens no door. In
the patterns of a key's `models`, `*` is any run of characters, slashes included; every other character is itself.
"""

from collections.abc import Callable

from proxy.access.allowance import ClientKey, reaches
from proxy.access.named import others
from proxy.errors import GatewayError, excerpt
from proxy.ports import Call, Reply

LONGEST_NAME = 200  # characters of a model that are repeated

Whose = Callable[[Call], str | None]  # whose requests may the caller see? A client's name; None: everybody's


def everybodys(call: Call) -> None:
    """What operators may see (`Whose`)."""


def is_restricted(key: ClientKey) -> bool:
    return bool(key.models or key.providers)


def allows(key: ClientKey | None, provider: str, model: str) -> bool:
    """`key`: None where pillion asks clients for none."""
    if key is None:
        return True
    if key.providers and provider not in key.providers:
        return False
    name = f"{provider}/{model}"
    return not key.models or any(_fits(pattern, name) for pattern in key.models)


def may_reach(key: ClientKey | None, provider: str) -> bool:
    """May it ask for any model of the provider's at all?"""
    if key is None:
        return True
    if key.providers and provider not in key.providers:
        return False
    return not key.models or any(reaches(pattern, provider) for pattern in key.models)


def check(call: Call) -> None:
    """May it ask its target, and every other model that it names? Raises GatewayError, 403."""
    assert call.target is not None  # failover chose it
    if call.key is None or not is_restricted(call.key):
        return
    provider = call.target.adapter.name
    for model in (call.target.model, *others(call, call.target)):
        check_names(call.key, provider, model)


def check_names(key: ClientKey | None, provider: str, model: str) -> None:
    """Raises GatewayError, 403."""
    if not allows(key, provider, model):
        raise not_allowed(key, provider, model)


class Allowed:
    """An account of each attempt (ports.Account): whichever target failover chooses must be an allowed one."""

    async def reserve(self, call: Call) -> None:
        """Raises GatewayError, 403."""
        check(call)

    def begun(self, call: Call, reply: Reply) -> None:
        """Nothing to do: `reserve` has checked it."""

    def settle(self, call: Call, held: None, error: BaseException | None) -> None:
        """Nothing to do: `reserve` has set nothing aside."""


ALLOWED = Allowed()


def not_allowed(key: ClientKey | None, provider: str, model: str) -> GatewayError:
    """The error, 403, which tells all that the key may use."""
    models, providers = (", ".join(names) for names in ((key.models, key.providers) if key else ((), ())))
    at = f", at {providers}" if models and providers else providers
    return GatewayError(
        f"This key may not use {excerpt(model, LONGEST_NAME)!r} at {provider}. It may use: {models}{at}.",
        status=403,
        kind="authentication",
        code="model_not_allowed",
        param="model",
    )


def _fits(pattern: str, name: str) -> bool:
    """Each part is searched for once, behind the one before: clients choose names, and none may take long to judge."""
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
