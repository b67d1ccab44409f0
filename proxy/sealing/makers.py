"""Whose seals may a provider have made, and on which wires is there another?

What is told to provenance.py, once for each configuration.
"""

from collections import Counter
from collections.abc import Collection, Iterable

from proxy.config import Config
from proxy.ports import Adapter
from proxy.sealing.forms import MAKERS
from proxy.sealing.provenance import Foreign


def whose(config: Config, adapters: Collection[Adapter]) -> tuple[set[str], Foreign]:
    """Both, as provenance.py wants them."""
    return shared(adapters), foreign(config, adapters)


def shared(adapters: Iterable[Adapter]) -> set[str]:
    """The wires that more than one of them takes."""
    wires = Counter(wire for adapter in adapters for wire in adapter.dialects)
    return {wire for wire, takers in wires.items() if takers > 1}


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
