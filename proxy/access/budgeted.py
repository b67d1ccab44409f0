"""What may each client spend, by the configuration and by the keys that were minted?"""

from collections.abc import Iterator, Mapping

from proxy.access.keyring import Rows
from proxy.config import Budget, Config
from proxy.config.spending import DEFAULT_CLIENT, Beside, own, too_large
from proxy.errors import ConfigError


def budgets_of(config: Config, minted: Rows) -> Mapping[str, Budget]:
    """All budgets, by name. Raises ConfigError, with a line for each that contradicts another."""
    budgets, problems = dict(config.budgets), []
    configured, known = _configured(config), Beside(config.budgets)
    for row in minted:
        if row.budget is not None and row.name not in configured:  # else the minted key counts for nothing
            budget = own(row.name, row.budget)
            why = known.contradiction(row.name, budget) or too_large(budget, bool(config.store))
            problems += [f"the budget of the minted key {row.name} {why}"] if why else []
            budgets.setdefault(row.name, budget)
    if problems:
        raise ConfigError("\n".join(problems))
    return budgets


def in_vain(config: Config, minted: Rows) -> Iterator[str]:
    """A sentence for each budget, and each token's claim, whose client key does not exist. Where tokens may say any
    name, nobody can tell.
    """
    if config.jwt.jwks and not config.jwt.keys:
        return
    there = _configured(config) | {row.name for row in minted}
    for said, name in config.jwt.keys.items():
        if name not in there:
            yield f"jwt.keys.{said}: there is no client key named {name}, so these tokens are refused"
    for name, budget in config.budgets.items():
        if budget.client not in (None, "*", *there):
            yield f"budgets.{name}.client: there is no client key named {budget.client}, so this budget counts nothing"


def _configured(config: Config) -> set[str]:
    """The names of the configured keys."""
    return {each.client.name for each in config.keys} | ({DEFAULT_CLIENT} if config.client_key else set())
