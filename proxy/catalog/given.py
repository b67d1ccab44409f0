"""What has the configuration said about the names of models?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple


class Given(NamedTuple):
    """`serves`: by provider, the beginnings of its models' names. `ways`: by provider, how to configure it.

    `upstream`: PROVIDER or PROVIDER/MODEL that gets everything. `defaults`: the default models of providers.
    `local`: providers that may have any model. `assumed`: those that nobody configured. `routes`: model names of
    the operator's, and the targets of each. `transparent`: the provider that the apps' own keys are for.
    """

    aliases: Mapping[str, str] = {}
    synonyms: Mapping[str, str] = {}
    serves: Mapping[str, Sequence[str]] = {}
    default_model: str | None = None
    ways: Mapping[str, str] = {}
    upstream: str | None = None
    defaults: Mapping[str, str] = {}
    local: Sequence[str] = ()
    assumed: Sequence[str] = ()
    routes: Mapping[str, Sequence[str]] = {}
    transparent: str | None = None

    def serving(self, name: str) -> Iterator[str]:
        """The providers whose models' names begin as this one does."""
        return (provider for provider, starts in self.serves.items() if name.startswith(tuple(starts)))
