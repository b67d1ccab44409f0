"""Which provider and model does this name mean, and what names are there?

In order: an alias; `provider/model`; a bare name by the providers' lists, then by its beginning, then by the list of
an assumed provider, then the configured default, then a local provider that answers, then the offline echo. Echo stands
in only while there is no real provider, so that a missing key never passes for an answer.

In transparent mode there is one provider, which knows what its names mean; it cannot be asked for its list without the
app's key. So it gets every name that names no other provider.

An assumed provider is one that nobody configured (an Ollama on this machine). It gets only names that no other claims,
and is asked for its list only when such a name comes.

A list that cannot be fetched decides nothing, so a later rule may choose another provider. The log reports each such
failure once, and a 404 names the providers that could not be asked.

    given    what the configuration has said about names
    unknown  what a client reads whose model is not there
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from proxy.access.allowance import ClientKey
from proxy.access.rights import allows, is_restricted
from proxy.catalog.given import Given
from proxy.catalog.unknown import Guide
from proxy.config.environment import prefix
from proxy.errors import BadRequest, Unauthorized, UnknownModel, UpstreamError
from proxy.ports import Adapter, Target

LONGEST = 2048  # characters of a name: Bedrock's are the longest
REFUSED = (401, 403)  # with which a provider refuses a key
REMEMBERED = 1000  # resolved names that are kept; it is clients who choose names

log = logging.getLogger("pillion")


def bounded(name: str, param: str = "model") -> str:
    """The name of a model, or of a provider, as a client gave it. Raises BadRequest where it is too long to be one.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
    """
    if len(name) > LONGEST:
        raise BadRequest(f"{param} has {len(name)} characters, but at most {LONGEST} are allowed.", param=param)
    return name


class Catalog:
    """`adapters`: those of all providers, by name, the offline echo among them. `given`: what the operator says."""

    def __init__(self, adapters: Mapping[str, Adapter], given: Given) -> None:
        self.adapters = adapters
        self._given = given
        self._upstream = given.upstream
        self._transparent = adapters[given.transparent] if given.transparent is not None else None
        self._local = [adapters[name] for name in given.local]
        self._assumed = [adapters[name] for name in given.assumed]
        self._real = [adapter for adapter in adapters.values() if adapter.real and adapter not in self._assumed]
        self._stand_ins = [adapter for adapter in adapters.values() if not adapter.real]
        self._met: dict[str, Target] = {}  # names that were resolved before
        self._rules: dict[str, str] = {}  # by which rule; also of some names that will be resolved anew
        self._unlisted: dict[str, UpstreamError] = {}  # providers whose list failed, and how
        self._guide = Guide(adapters, given, self._unlisted)

    async def resolve(self, name: str, key: ClientKey | None = None) -> Target:
        """`key`: the caller's. Raises UnknownModel, which lists what there is for that key."""
        if self._upstream is not None:
            return self._chosen(self._upstream, name)
        target = self._met.get(name)
        if target is None:
            meant = self._given.aliases.get(name)
            target = await self._find(name, key) if meant is None else await self._meant(name, meant, key)
            if len(self._met) < REMEMBERED and self._is_certain(meant or name, target):
                self._met[name] = target
        if key is None or allows(key, target.adapter.name, target.model):
            return target
        return await self._instead(name, key) or target

    async def meet(self, target: Target, others: Sequence[Adapter]) -> None:
        """Fetch the lists of those others that may have the target's model too; assumed ones are not asked."""
        asked = [one for one in others if one in self._real and one is not target.adapter and not one.has(target.model)]
        await asyncio.gather(*map(self._models, asked))

    def how(self, name: str) -> str:
        """The rule by which the name was resolved: `upstream`, `alias`, or one of `_claims`; "" where it was not."""
        if self._upstream is not None:
            return "upstream"
        return "alias" if name in self._given.aliases else self._rules.get(name, "")

    def met(self, name: str) -> Target | None:
        """What `resolve` returns for a name that was resolved before and can mean nothing else; else None."""
        return None if self._upstream is not None else self._met.get(name)

    def named(self, provider: str, model: str, key: ClientKey | None = None) -> str:
        """PROVIDER/MODEL, for a client that gives the two separately. Raises BadRequest where they contradict.

        A provider that serves the models of many makers puts the maker's name before them (`openai/gpt-oss-120b`), so
        there another provider's name is part of the model's. A provider with model names of its own has none like that.
        """
        if self._upstream is None and self.adapter(provider) is None:
            raise self._guide.provider(provider, key)
        first, slash, _ = model.partition("/")
        synonyms, ways = self._given.synonyms, self._given.ways
        meant, own = synonyms.get(first, first), synonyms.get(provider, provider)
        if slash and meant == own:
            return model
        if slash and self._given.serves.get(own) and (meant in self.adapters or meant in ways):
            raise BadRequest(
                f"provider is {provider}, but model names {first}: give one of them, or ask for {provider}/{model}.",
                param="provider",
            )
        return f"{provider}/{model}"

    async def names(self, via: str = "", key: ClientKey | None = None, lent: Adapter | None = None) -> list[str]:
        """The routes, the aliases, and every known `provider/model`, less what the key may not ask for. A provider that
        cannot be asked is left out, but for the default model. Where one target gets everything, it is the only one.

        `via`: the request's own `Via`, by which two pillions notice that they list each other's models. `lent`: the
        provider with the app's own key. Raises UnknownModel, and Unauthorized where the provider refuses that key.
        """
        known = await self._listed_by_all(via, lent) if self._upstream is None else await self._served(self._upstream)
        given = self._given
        aliases = {alias: [meant] for alias, meant in given.aliases.items() if self._upstream or self._spelled(meant)}
        meanings = {**given.routes, **aliases, **{name: [name] for name in known}}
        if key is None or not is_restricted(key):
            return list(meanings)
        return [name for name, meant in meanings.items() if any(self._is_allowed(key, each) for each in meant)]

    async def _listed_by_all(self, via: str, lent: Adapter | None) -> list[str]:
        asked = [adapter for adapter in self.adapters.values() if lent is None or adapter.name != lent.name]
        own = [] if lent is None else [self._shown(lent, via)]
        lists = await asyncio.gather(*(self._models(adapter, via) for adapter in asked), *own)
        names = [adapter.name for adapter in [*asked, *([lent] if lent else [])]]
        listed = [f"{name}/{model}" for name, models in zip(names, lists, strict=True) for model in models or ()]
        default = self._default()
        return listed if default is None else [*listed, f"{default.adapter.name}/{default.model}"]

    async def _served(self, upstream: str) -> list[str]:
        """What the operator's choice makes of all names. Raises UnknownModel where that is nothing."""
        adapter = self.adapter(upstream)
        if adapter is not None and not adapter.real:  # it takes any name
            return [f"{adapter.name}/{model}" for model in await adapter.models()]
        target = self._chosen(upstream, "")
        return [f"{target.adapter.name}/{target.model}"]

    async def _shown(self, lent: Adapter, via: str) -> list[str]:
        """What the provider lists for the app's own key. Its failures are the app's, and no news for the operator."""
        try:
            return await lent.models(via)
        except UpstreamError as error:
            if error.upstream_status in REFUSED:
                message = f"{lent.name} refused the app's own key for its list of models."
                raise Unauthorized(message, status=error.upstream_status) from None
            return []

    def _is_allowed(self, key: ClientKey, name: str) -> bool:
        """May the key ask for what this PROVIDER/MODEL leads to? Raises UnknownModel."""
        target = self._spelled(name) if self._upstream is None else self._chosen(self._upstream, name)
        return target is not None and allows(key, target.adapter.name, target.model)

    def _chosen(self, upstream: str, name: str) -> Target:
        """The operator's choice, whatever the app asks for. The offline echo takes any name as its own."""
        provider, _, model = upstream.partition("/")
        adapter = self.adapter(provider)
        assert adapter is not None  # or nothing would have been started
        model = model or self._given.defaults.get(adapter.name, "")
        if not model and not adapter.real:
            model = name.removeprefix(f"{adapter.name}/")
        if not model:
            raise UnknownModel(
                f"PILLION_UPSTREAM={provider} names no model, and {provider} has no default model: "
                f"set PILLION_UPSTREAM={provider}/MODEL, or {prefix(adapter.name)}_MODEL.",
                param="model",
            )
        return Target(adapter, model)

    def _is_certain(self, name: str, target: Target) -> bool:
        """Can no list that is still to be fetched change what the name means? One that failed is fetched again."""
        if "/" in name or target.adapter.has(target.model):
            return True
        return self._real in ([], [target.adapter]) and (not self._assumed or self._by_beginning(name) is not None)

    async def _meant(self, alias: str, meant: str, key: ClientKey | None) -> Target:
        """An alias names a provider and a model, so nothing is guessed."""
        if target := self._spelled(meant):
            return target
        raise await self._unknown(meant, key, f"The model {meant!r}, which {alias!r} stands for,")

    def _spelled(self, name: str) -> Target | None:
        """PROVIDER/MODEL, where there is such a provider."""
        provider, _, model = name.partition("/")
        adapter = self.adapter(provider)
        return Target(adapter, model) if adapter is not None and model else None

    async def _find(self, name: str, key: ClientKey | None) -> Target:
        async with aclosing(self._claims(name)) as claims:
            async for rule, target in claims:
                if target is not None:
                    self._note(name, rule)
                    return target
        raise await self._unknown(name, key)

    async def _claims(self, name: str) -> AsyncGenerator[tuple[str, Target | None]]:
        """What each rule makes of the name, in their order."""
        bare = "/" not in name
        yield "named", self._spelled(name)
        if (only := self._transparent) is not None:
            beginning = self._by_beginning(name)
            if bare and not (only.has(name) or (beginning is not None and beginning.adapter is only)):
                yield "default", self._default()
            yield "transparent", Target(only, name)
        yield "listed", await self._listed(name)
        if bare:
            yield "beginning", self._by_beginning(name)
        yield "listed", await self._listed_by_assumed(name)
        if bare:
            yield "default", self._default()
            yield "local", await self._at_home(name)
            yield "stand_in", self._standing_in(name)

    def _note(self, name: str, rule: str) -> None:
        if len(self._rules) >= 2 * REMEMBERED:
            self._rules = {name: rule for name, rule in self._rules.items() if name in self._met}
        self._rules[name] = rule

    def adapter(self, provider: str) -> Adapter | None:
        """The provider of this name, or of which it is a synonym."""
        return self.adapters.get(provider) or self.adapters.get(self._given.synonyms.get(provider, ""))

    def is_assumed(self, adapter: Adapter) -> bool:
        """Is it there though nobody configured it?"""
        return adapter in self._assumed

    async def _listed(self, name: str) -> Target | None:
        """By what is configured or was listed; else by all lists, unless only one provider comes into question."""
        found = self._having(name)
        if found is None and (len(self._real) > 1 or (self._real and not self._by_beginning(name))):
            await asyncio.gather(*(self._models(adapter) for adapter in self._real))
            found = self._having(name)
        return found

    def _having(self, name: str) -> Target | None:
        return next((Target(adapter, name) for adapter in [*self._real, *self._stand_ins] if adapter.has(name)), None)

    async def _instead(self, name: str, key: ClientKey) -> Target | None:
        """Another provider that lists the name, and that the key may ask."""
        for adapter in self._real if self._rules.get(name) == "listed" else ():
            if allows(key, adapter.name, name) and (adapter.has(name) or name in (await self._models(adapter) or ())):
                return Target(adapter, name)
        return None

    async def _listed_by_assumed(self, name: str) -> Target | None:
        for adapter in self._assumed:
            await self._models(adapter)
            if adapter.has(name):
                return Target(adapter, name)
        return None

    def _by_beginning(self, name: str) -> Target | None:
        serving = self._given.serving(name)
        return next((Target(self.adapters[provider], name) for provider in serving if provider in self.adapters), None)

    def _default(self) -> Target | None:
        provider, _, model = (self._given.default_model or "").partition("/")
        adapter = self.adapter(provider)
        return None if adapter is None else Target(adapter, model)

    async def _at_home(self, name: str) -> Target | None:
        for adapter in self._local:
            if await self._models(adapter) is not None:
                return Target(adapter, name)
        return None

    def _standing_in(self, name: str) -> Target | None:
        return Target(self._stand_ins[0], name) if self._stand_ins and not self._real else None

    async def _models(self, adapter: Adapter, via: str = "") -> list[str] | None:
        """None where it cannot be asked. An adapter raises the same error object until it has asked again."""
        try:
            models = await adapter.models(via)
        except UpstreamError as error:
            if self._unlisted.get(adapter.name) is not error and adapter not in self._assumed:
                self._unlisted[adapter.name] = error
                words = "%s could not list its models, so names that only it lists go to other providers: %s"
                told = {"event": "models_failed", "code": error.code, "detail": error.detail}
                log.warning(words, adapter.name, error.message, extra=told)
            return None
        self._unlisted.pop(adapter.name, None)
        return models

    async def _unknown(self, name: str, key: ClientKey | None, which: str = "") -> UnknownModel:
        return self._guide.model(name, await self.names(key=key), key, which)
