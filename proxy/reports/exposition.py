"""How is a registry told to whoever scrapes it, without keeping everybody else waiting?

Family by family, each spelled by prometheus-client, and between two of them the loop may turn. A family that is long
comes from its collector in pieces, several of one name in a row, and is put together here.
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
    """The content type, and the text. `accept`: the header of whoever asks. `without`: how the names of families begin
    that are not for them.
    """
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
    """Two formats are enough for every name that we have. prometheus-client stumbles over versions that are none."""
    for item in accept.split(","):
        name, *rest = (part.strip() for part in item.split(";"))
        versions = [part for part in rest if part.startswith("version=")]
        if name == OPEN and versions in ([], ["version=1.0.0"]):
            return True
    return False


def _samples(text: bytes) -> bytes:
    """Less what the first piece has said of the family."""
    while text.startswith(b"# "):
        text = text.partition(b"\n")[2]
    return text
