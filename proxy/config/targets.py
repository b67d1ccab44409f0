"""Does it make sense whom to ask, and whom next?

Like `checks`, it notes every mistake, except those that only follow from another one.
"""

from collections.abc import Collection
from typing import get_args

from proxy.config.checks import A_MODEL, UNSENDABLE, hint, note
from proxy.config.layers import Layers
from proxy.config.schema import ProviderRow, RouteRow
from proxy.config.secret import sendable
from proxy.errors import Kind

# Kinds of providers that answer anew after a last turn of the assistant's, or need a field of their own to go on.
BEGIN_ANEW = frozenset({"openai", "azure", "gemini", "ollama", "cohere"})


def check(layers: Layers) -> None:
    """Adds what is wrong to the layers' mistakes."""
    there = {*layers.rows, "echo"}
    there |= {word for word, name in layers.presets.synonyms.items() if name in there}
    for name, route in layers.file.routes.items():
        _route(layers, name, route, there)
    for n, said in enumerate(layers.file.failover.fallback_order):
        if said.partition("/")[0] not in there or said.endswith("/"):
            known = ", ".join(sorted(there))
            problem = f"must be PROVIDER or PROVIDER/MODEL{hint(layers, said)}; the configured providers are {known}"
            note(layers, ("failover", "fallback_order", f"[{n}]"), problem)
    for n, kind in enumerate(layers.file.retry.retryable_errors):
        if kind not in get_args(Kind):
            note(layers, ("retry", "retryable_errors", f"[{n}]"), f"must be one of {', '.join(get_args(Kind))}")
    for provider in layers.file.faults.providers.keys() - {*there, "*"}:
        note(layers, ("faults", "providers", provider), "is not a configured provider")
    for name, value in layers.file.providers.items():
        if value is not None and value.api_keys and value.api_key:
            note(layers, ("providers", name, "api_keys"), _one_or_several(layers, name))
        if value is not None:
            _each_key(layers, name, value)
            _each_model(layers, name, value)
        if value is not None and value.kind in BEGIN_ANEW:
            _prefill(layers, name, value)


def _one_or_several(layers: Layers, name: str) -> str:
    """The single key's place is told: it may be in a vendor's variable, which nobody thinks of as `api_key`."""
    where = layers.origins[("providers", name, "api_key")].told
    return f"cannot be combined with api_key ({where}): remove one of the two"


def _each_key(layers: Layers, name: str, value: ProviderRow) -> None:
    """Each of several goes out in a header, as a single one does; an empty one would be a request without any."""
    for n, row in enumerate(value.api_keys):
        key, below = (row, ()) if isinstance(row, str) else (row.key, ("key",))
        keys = ("providers", name, "api_keys", f"[{n}]", *below)
        if not key.strip():
            note(layers, keys, "is empty: leave it out")
        elif not sendable(key.strip()):
            note(layers, keys, f"{UNSENDABLE}. Several are separated by commas" if "\n" in key else UNSENDABLE)


def _each_model(layers: Layers, name: str, value: ProviderRow) -> None:
    """Every name begins with an empty one, so that this provider would get those of all others."""
    said = {("serves", f"[{n}]"): start for n, start in enumerate(value.serves)}
    rows = {n: row if isinstance(row, str) else row.name for n, row in enumerate(value.models)}
    said |= {("models", f"[{n}]"): row for n, row in rows.items()}
    for keys in (keys for keys, text in said.items() if not text.strip()):
        note(layers, ("providers", name, *keys), "is empty: leave it out")


def _route(layers: Layers, name: str, route: RouteRow, there: Collection[str]) -> None:
    keys = ("routes", name)
    if name in layers.file.aliases:
        note(layers, keys, "is also the name of an alias: rename one of the two")
    if "/" in name and name.partition("/")[0] in there:
        note(layers, keys, "looks like a provider's own model: choose a name of your own")
    if not route.targets and not layers.mistakes.within(*keys):
        note(layers, keys, "has no targets")
    seen: set[str] = set()
    for n, row in enumerate(route.targets):
        target = row if isinstance(row, str) else row.target
        provider, _, model = target.partition("/")
        if not model or provider not in there:
            note(layers, (*keys, "targets", f"[{n}]"), A_MODEL + hint(layers, target))
        elif target in seen:
            note(layers, (*keys, "targets", f"[{n}]"), "is listed twice: give it a weight instead")
        seen.add(target)


def _prefill(layers: Layers, name: str, value: ProviderRow) -> None:
    """Only where the operator says it: models.yaml may say it of a name, wherever that model is served."""
    for n, row in enumerate(value.models):
        keys = ("providers", name, "models", f"[{n}]", "prefill")
        if not isinstance(row, str) and row.prefill and layers.origins[keys].told:
            note(layers, keys, f"a provider of kind {value.kind} cannot continue a text: leave it out")
