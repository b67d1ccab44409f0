"""What has another gateway left in the environment that pillion calls differently?

A variable is told of only while what it says is missing here. One that holds pillion's own address is the app's, and as
it should be: LiteLLM's library, too, reads OLLAMA_API_BASE.
"""

from collections.abc import Collection, Iterator, Mapping

from proxy.config.address import is_base, leads_to
from proxy.config.schema import File, Preset
from proxy.edge.address import Address


def left_behind(
    environ: Mapping[str, str], file: File, absent: Mapping[str, Preset], ours: Collection[Address]
) -> Iterator[str]:
    """A sentence for each. `absent`: the presets that nobody has made a provider; `ours`: where pillion listens."""
    for preset in absent.values():
        for name, own in preset.elsewhere.items():
            text = environ.get(name, "")
            if text and not (is_base(text) and any(leads_to(text, where) for where in ours)):
                yield f"{name} has no effect: pillion reads {own} (docs/migrating.md)"
    if environ.get("LITELLM_MASTER_KEY") and not (file.client_key or file.keys or file.jwt.jwks):
        yield "LITELLM_MASTER_KEY has no effect: the key that apps must send is PILLION_CLIENT_KEY (docs/migrating.md)"
