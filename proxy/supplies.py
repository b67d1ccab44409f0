"""Is everything there that a configuration needs?

Found and read before anything is put together, so that what is missing is reported as a mistake of the configuration.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from proxy import registry
from proxy.access.budgeted import budgets_of
from proxy.access.clients import Clients
from proxy.access.keyring import Keyring, Rows
from proxy.adapters.http import HTTPProvider
from proxy.config import Budget, Config, Provider
from proxy.errors import ConfigError
from proxy.prices import Prices
from proxy.spending.accounting import prices_of

if TYPE_CHECKING:
    from proxy.access.tokens import Tokens


class Supplies(NamedTuple):
    clients: Clients
    makers: Mapping[str, type[HTTPProvider]]  # by provider
    prices: Prices
    tokens: "type[Tokens] | None"
    minted: Rows
    budgets: Mapping[str, Budget]  # those of minted keys among them


def supplies_of(config: Config, ring: Keyring | None = None) -> Supplies:
    """`ring`: the minted keys, where pillion runs already. Raises ConfigError. May take a while; needs no loop."""
    check_adapters(config)
    clients = Clients(config, ring=ring)
    minted = clients.ring.found
    return Supplies(
        clients,
        {name: registry.adapter(provider.kind) for name, provider in config.providers.items()},
        prices_of(config),
        registry.tokens() if config.jwt.jwks else None,
        minted,
        budgets_of(config, minted),
    )


def check_adapters(config: Config) -> None:
    """Is there one for every provider, and does it know each dialect? Raises ConfigError, a line for each mistake."""
    problems = [
        f"{config.places.told('providers', provider.name, key)}: {problem}"
        for provider in config.providers.values()
        for key, problem in _problems(provider)
    ]
    if problems:
        raise ConfigError("\n".join(problems))


def _problems(provider: Provider) -> Iterator[tuple[str, str]]:
    try:
        paths = registry.adapter(provider.kind).paths
    except ConfigError as error:
        yield "kind", str(error)
        return
    for dialect in provider.dialects:
        if dialect not in paths:
            yield "dialects", f"{provider.kind} does not take {dialect!r}, only {', '.join(paths)}"
