"""What has the operator decided?

The schema of config.yaml and of the environment, and the only place that reads either. Precedence: flags, environment,
file, the vendors' own variables, preset. A provider's URL never comes from `OPENAI_BASE_URL` and its like: those are
the app's variables and point at us, so that we would call ourselves.
"""

from proxy.config.descriptors import handed_over
from proxy.config.effective import Config, HeldKey, Provider, Route
from proxy.config.loading import layered, load, log_format
from proxy.config.schema import (
    JWT,
    Breaker,
    Budget,
    Cache,
    Client,
    Failover,
    Fault,
    Faults,
    Health,
    Hedge,
    KeyBudget,
    Ledger,
    LimitsRow,
    Log,
    Model,
    Overload,
    Price,
    Queue,
    Retry,
    Timers,
)
from proxy.config.secret import Secret
from proxy.config.shown import Flag, flags, json_schema, show
from proxy.config.source import Source
from proxy.config.unknown import instead_of_flag
from proxy.config.values import NOWHERE, Places
from proxy.edge.address import Address

__all__ = [
    "JWT", "NOWHERE", "Address", "Breaker", "Budget", "Cache", "Client", "Config", "Failover", "Fault", "Faults",
    "Flag", "Health", "Hedge", "HeldKey", "KeyBudget", "Ledger", "LimitsRow", "Log", "Model", "Overload", "Places",
    "Price", "Provider", "Queue", "Retry", "Route", "Secret", "Source", "Timers", "flags", "handed_over",
    "instead_of_flag", "json_schema", "layered", "load", "log_format", "show",
]  # fmt: skip
