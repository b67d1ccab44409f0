"""Whose seals may a provider have made, and who is it as their maker?

What is told to provenance.py, once for each configuration.
"""

from collections.abc import Collection, Iterable, Mapping
from urllib.parse import urlsplit

from proxy.config import Config
from proxy.ports import Adapter
from proxy.sealing.forms import MAKERS
from proxy.sealing.provenance import Foreign


def whose(config: Config, adapters: Collection[Adapter]) -> tuple[Foreign, Mapping[str, str]]:
    """Both, as provenance.py wants them."""
    return foreign(config, adapters), called(config)


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
