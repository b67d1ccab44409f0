"""What is loaded only when it is first needed?

Libraries that take MiBs and tens of milliseconds, and that most sidecars never need: docs/decisions/0029-late.md.
"""

from importlib import import_module
from typing import Any

# As "module:name".
KEPT_AWAKE = "proxy.edge.keptawake:kept_awake"  # with aiohttp's server: for translated streams
FAMILIES = "proxy.reports.families:Families"  # with prometheus_client: for a scrape
TIME = "prometheus_async.aio:time"  # with aiohttp's server too: for a provider's health, when somebody asks
ESCAPE = "html:escape"  # for the names of documents that become text
CLOSE_MATCHES = "difflib:get_close_matches"  # for mistakes in a configuration


def load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
