"""What does a client read that has named a model, or a provider, which is not there?"""

from collections.abc import Collection, Mapping, Sequence

from proxy.access.allowance import ClientKey
from proxy.access.rights import may_reach
from proxy.catalog.given import Given
from proxy.errors import UnknownModel
from proxy.ports import Adapter

LISTED = 20  # names in a 404


class Guide:
    """`unlisted`: the providers whose list failed, as it is at each time."""

    def __init__(self, adapters: Mapping[str, Adapter], given: Given, unlisted: Collection[str]) -> None:
        self._adapters = adapters
        self._given = given
        self._unlisted = unlisted

    def provider(self, provider: str, key: ClientKey | None) -> UnknownModel:
        there = ", ".join(name for name in self._adapters if may_reach(key, name))
        message = f"provider: {provider!r} is not known.{self._way(provider)} Providers: {there}."
        return UnknownModel(message, param="provider")

    def model(self, name: str, names: Sequence[str], key: ClientKey | None, which: str = "") -> UnknownModel:
        """`names`: those that the key may ask for. `which`: other words for the model than its name."""
        provider, slash, _ = name.partition("/")
        provider = self._given.synonyms.get(provider, provider) if slash else next(self._given.serving(name), "")
        more = f" and {len(names) - LISTED} more (GET /v1/models)" if len(names) > LISTED else ""
        hints = self._way(provider) + self._near(name, names, key)
        return UnknownModel(
            f"{which or f'The model {name!r}'} is not known.{hints} Providers:"
            f" {', '.join(self._there(names, key))}. Models: {', '.join(names[:LISTED])}{more}.",
            param="model",
        )

    def _way(self, provider: str) -> str:
        """What to do about a provider that is known and not configured."""
        way = self._given.ways.get(provider) if provider not in self._adapters else None
        return f" {provider} is not configured: {way}." if way else ""

    def _near(self, name: str, names: Sequence[str], key: ClientKey | None) -> str:
        """What was meant by @PROVIDER/MODEL (Portkey's spelling), MODEL/PROVIDER (Helicone's), one in capitals, or a
        listed model's variant (OpenRouter's `:nitro`, `:online`), which no list has.
        """
        listed, colon, _ = name.rpartition(":")
        for known in names if colon else ():
            provider, _, model = known.partition("/")
            if model == listed and provider in self._adapters:
                return f" Did you mean {provider}/{name}?"
        first, _, rest = name.removeprefix("@").partition("/")
        model, _, last = name.rpartition("/")
        for provider, named in ((first.lower(), rest), (last.lower(), model)):
            reached = provider if provider in self._adapters else self._given.synonyms.get(provider, "")
            if named and reached in self._adapters and may_reach(key, reached):
                return f" Did you mean {provider}/{named}?"
        return ""

    def _there(self, names: Sequence[str], key: ClientKey | None) -> list[str]:
        """The providers, less the assumed ones that list nothing."""
        listing = {name.partition("/")[0] for name in names}
        there = [
            name
            for name in self._adapters
            if may_reach(key, name) and (name not in self._given.assumed or name in listing)
        ]
        return [f"{name} (could not be asked)" if name in self._unlisted else name for name in there]
