"""Which seals can a provider not have made, and by what name does it go as a maker of seals?

All of it is for provenance.py, once for each configuration.
"""

from collections.abc import Collection, Iterable, Mapping
from urllib.parse import urlsplit

from proxy.config import Config
from proxy.ports import Adapter
from proxy.sealing.forms import DEEPSEEK, MAKERS, MANTLE, OPENAI
from proxy.sealing.provenance import Foreign

# Those that seal nothing on Chat Completions, but only on other wires. Gateways, and Google's models, do seal there.
_CHAT = "openai_chat"
_SILENT_THERE = {OPENAI, MANTLE, DEEPSEEK}


def whose(
    config: Config, adapters: Collection[Adapter]
) -> tuple[Foreign, Mapping[str, str], Collection[tuple[str, str]]]:
    """All three, as `Provenance.become` takes them."""
    return foreign(config, adapters), called(config), silent(config, adapters)


def silent(config: Config, adapters: Collection[Adapter]) -> Collection[tuple[str, str]]:
    """The providers and wires whose answers need not be watched for seals, which costs something for each chunk.

    None where several providers take the wire: only the preset says so, and another host may stand in its place.
    """
    takers = [each.name for each in adapters if _CHAT in each.dialects]
    rows = [config.providers[name] for name in takers if name in config.providers]
    return {
        (row.name, _CHAT) for row in rows if len(takers) == 1 and row.seals is not None and row.seals <= _SILENT_THERE
    }


def called(config: Config) -> Mapping[str, str]:
    """The makers, by provider: a provider's name with its host, as the name may stand for another host tomorrow.

    The key is no part of it: another one is usually of the same account.
    """
    return {name: f"{name} {_origin(row.base_url)}" for name, row in config.providers.items()}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def foreign(config: Config, adapters: Iterable[Adapter]) -> Foreign:
    """The makers whose seals a provider cannot have made, by provider and wire.

    A host that is the preset's own, or that the operator vouches for, makes only its vendor's seals. Any other host may
    be a gateway to all vendors: its seals are foreign only if another provider of the same wire makes such seals.
    """
    asked = [(config.providers[each.name], each.dialects) for each in adapters if each.name in config.providers]
    makers: dict[str, set[str]] = {}
    for row, wires in asked:
        for wire in wires:
            makers.setdefault(wire, set()).update(row.seals or ())
    told = {
        (row.name, wire): (frozenset(MAKERS) if row.seals_vouched else frozenset(makers[wire])) - row.seals
        for row, wires in asked
        if row.seals is not None
        for wire in wires
    }
    return {place: others for place, others in told.items() if others}
