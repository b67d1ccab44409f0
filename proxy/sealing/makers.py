"""Whose seals may a provider have made, and who is it as their maker?

What is told to provenance.py, once for each configuration.
"""

from collections.abc import Collection, Iterable, Mapping
from urllib.parse import urlsplit

from proxy.config import Config
from proxy.ports import Adapter
from proxy.sealing.forms import DEEPSEEK, MAKERS, MANTLE, OPENAI
from proxy.sealing.provenance import Foreign

# Who seals nothing on OpenAI's older wire, and on others alone. Gateways, and Google's models, do.
_CHAT = "openai_chat"
_SILENT_THERE = {OPENAI, MANTLE, DEEPSEEK}


def whose(
    config: Config, adapters: Collection[Adapter]
) -> tuple[Foreign, Mapping[str, str], Collection[tuple[str, str]]]:
    """All of it, as provenance.py wants it."""
    return foreign(config, adapters), called(config), silent(config, adapters)


def silent(config: Config, adapters: Collection[Adapter]) -> Collection[tuple[str, str]]:
    """Whose answers need not be watched, and on which wire: to watch each piece of a stream costs something.

    It is the preset's word alone where another host may stand in its place: where several take the wire nobody is.
    """
    takers = [each.name for each in adapters if _CHAT in each.dialects]
    rows = [config.providers[name] for name in takers if name in config.providers]
    return {
        (row.name, _CHAT) for row in rows if len(takers) == 1 and row.seals is not None and row.seals <= _SILENT_THERE
    }


def called(config: Config) -> Mapping[str, str]:
    """The makers, by the providers' names: a name may stand for one host today, and for another one tomorrow.

    Of a host the account is told by no more than the name: a key that was rotated is of the same one, as a rule.
    """
    return {name: f"{name} {_origin(row.base_url)}" for name, row in config.providers.items()}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def foreign(config: Config, adapters: Iterable[Adapter]) -> Foreign:
    """Whose seals a provider cannot have made, by its name and wire.

    A host that is the preset's own, or of which the operator says so, makes its vendor's alone. Any other may be a
    gateway to all of them, and there a seal is another's where a provider of the same wire makes such ones.
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
