"""What has the operator decided?

The schema of config.yaml and of the environment, and the only place that reads either. Precedence: flags, environment,
file, the vendors' own variables, preset. A provider's URL never comes from `OPENAI_BASE_URL` and its like: those are
the app's variables and point at us, so that we would call ourselves.

What is said, and where:

    source       where the configuration comes from, and has it changed?
    reading      a YAML file, with its lines
    environment  the variables, and the flags
    expansion    `${NAME}` and its like
    secret       a value that nobody may see, and that may change
    descriptors  sockets that were opened for us
    values       the tree that all of it is read into

What may be said, and of which type, is in `schema`, a folder of its own.

Together:

    layers       which of them says what
    conversion   has it the types of the schema?
    models       what is known of a model by its name alone
    loading      the way in: all of these steps
    effective    what comes of it, and what everybody else reads
    shown        the same for people, with the origin of each value; and the JSON Schema

Does it make sense?

    checks       each value by itself, and all together
    spending     what clients may do, and what may be spent
    targets      whom to ask, and whom next
    address      is it a URL, and does it lead back to us?
    usable       can a file that it names be used?
    useless      what can hardly be meant
    unknown      variables that mean nothing
    meant        what was meant by a key that there is not
    elsewhere    what another gateway has left in the environment
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
