"""How is a registry written for a scrape without keeping everybody else waiting?

Family by family, each written by prometheus-client, and between two of them the loop may turn. A long family comes from
its collector in pieces, several of one name in a row, which are put together here.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import asyncio
from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

OPEN = "application/openmetrics-text"
END = b"# EOF\n"


class _One(Collector):
    """A registry of one family."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


async def exposition(registry: CollectorRegistry, accept: str, without: str | None = None) -> tuple[str, bytes]:
    """The content type, and the text. `accept`: the caller's header. `without`: families that begin so are left out."""
    is_open = _wants_open(accept)
    encode, content_type = choose_encoder(f"{OPEN}; version=1.0.0" if is_open else "")
    parts: list[bytes] = []
    last = ""
    for family in registry.collect():
        if without is not None and family.name.startswith(without):
            continue
        text = encode(_One(family)).removesuffix(END)
        parts.append(_samples(text) if family.name == last else text)
        last = family.name
        await asyncio.sleep(0)
    return content_type, b"".join([*parts, END] if is_open else parts)


def _wants_open(accept: str) -> bool:
    """Two formats can carry all our names. We choose, because prometheus-client fails on malformed versions."""
    for item in accept.split(","):
        name, *rest = (part.strip() for part in item.split(";"))
        versions = [part for part in rest if part.startswith("version=")]
        if name == OPEN and versions in ([], ["version=1.0.0"]):
            return True
    return False


def _samples(text: bytes) -> bytes:
    """Without the comment lines, which the first piece of the family has."""
    while text.startswith(b"# "):
        text = text.partition(b"\n")[2]
    return text
