"""What may stand in config.yaml, and in presets.yaml?

    file       the whole of it, and how pillion itself serves
    providers  a provider, its models, a preset
    failover   whom to ask, and whom next
    spending   who may ask, how much, and what it may cost
    scalars    the numbers, texts and secrecy that these have in common

Every key with its type, its default and its sentence: the messages, the JSON Schema, `config show`, the names of the
variables and docs/configuration.md are all made of these structs. In `extra`, `secret` marks what is never shown, and
`unit` is a word for messages.
"""

from proxy.config.schema.failover import Breaker, Failover, Health, Hedge, Retry, RouteRow, TargetRow
from proxy.config.schema.file import AdminRow, Cache, Client, Fault, Faults, File, Log, Overload
from proxy.config.schema.providers import APIKey, Model, Preset, Presets, ProviderRow, Timers
from proxy.config.schema.spending import JWT, Alerts, Budget, ClientKeyRow, KeyBudget, Ledger, LimitsRow, Price, Queue

__all__ = [
    "JWT", "APIKey", "AdminRow", "Alerts", "Breaker", "Budget", "Cache", "Client", "ClientKeyRow", "Failover",
    "Fault", "Faults", "File", "Health", "Hedge", "KeyBudget", "Ledger", "LimitsRow", "Log", "Model", "Overload",
    "Preset", "Presets", "Price", "ProviderRow", "Queue", "Retry", "RouteRow", "TargetRow", "Timers",
]  # fmt: skip
