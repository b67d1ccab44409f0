"""What is in force, when all layers are put together?

The configuration that all other modules read; loading.py makes it.
"""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from proxy.access.allowance import ClientKey, Limits
from proxy.config.models import Cards
from proxy.config.schema import (
    JWT,
    Breaker,
    Budget,
    Cache,
    Client,
    Failover,
    Faults,
    Health,
    Hedge,
    KeyBudget,
    Ledger,
    LimitsRow,
    Log,
    Model,
    Overload,
    Price,
    Retry,
    Timers,
)
from proxy.config.secret import Secret
from proxy.config.values import NOWHERE, Places
from proxy.edge.address import Address

NO_SECRET = Secret("")


class Provider(NamedTuple):
    """A provider in force. Its credentials are in `api_key`, `headers` and `proxy`, none of which shows them."""

    name: str
    kind: str
    base_url: str
    api_key: Secret
    key_names: tuple[str, ...]  # where the key may come from, for messages
    serves: tuple[str, ...]
    models: tuple[str, ...]
    ask_usage: bool
    headers: Mapping[str, Secret]
    timers: Timers
    cards: Cards = Cards()
    model: str = ""  # its default one
    max_tokens: int | None = None
    temperature: float | None = None
    org_id: str = ""
    project: str = ""
    location: str = ""
    proxy: Secret = NO_SECRET  # a URL, which may carry a password
    ca: Path | None = None
    cert: Path | None = None  # which we show the host
    cert_key: Path | None = None  # unless `cert` holds it
    dialects: tuple[str, ...] = ()  # in place of the adapter's
    body: Mapping[str, Any] = {}  # fields of its wire, for requests that lack them
    api_version: str = ""
    credentials: Path | None = None  # a file of Google's
    profile: str = ""  # AWS's
    free: bool = False
    assumed: bool = False  # nobody configured it, but it may be there
    pull: bool = False  # a model that it lacks is fetched (Ollama)
    takes_urls: bool = True  # it fetches URLs in a request
    call_id_length: int | None = None  # if set, a call's id must have so many characters, all letters and digits
    cache_points: bool = False  # it takes `cache_control` in the messages of Chat Completions
    searches: bool = False  # it runs the web search of its wire
    thoughts: str = "refused"  # or taken, or demanded, in the `reasoning_content` of messages that are sent back
    seals: frozenset[str] | None = None  # the makers whose seals its models make; None: not known
    seals_vouched: bool = False  # the operator, or the preset of this host, says that it makes no others
    counts_tokens: bool = False  # at the Responses API's own endpoint
    api_keys: tuple[tuple[Secret, float], ...] = ()  # where there are several: each with its weight
    limits: Limits = Limits()
    prices: str = ""  # the name of its price list
    vouched: bool = False  # the operator, or the preset of this host, says that it has all of its dialects

    def card(self, model: str) -> Model | None:
        """What is known of the model; None where nothing is."""
        return self.cards.of(model)

    def timers_for(self, model: str) -> Timers:
        card = self.cards.of(model)
        return self.timers if card is None or card.timers is None else card.timers


class Route(NamedTuple):
    """A model name of the operator's. Its targets: each a PROVIDER/MODEL and a weight."""

    targets: tuple[tuple[str, float], ...]
    strategy: str
    cache: bool | None  # None: the cache's own setting


class HeldKey(NamedTuple):
    """A client's key: itself, or its SHA-256."""

    client: ClientKey
    key: Secret
    digest: bytes = b""  # where the key itself is not configured
    budget: KeyBudget | None = None  # its own


class Config(NamedTuple):
    """The configuration in force."""

    listen: Address
    metrics_address: Address | None
    admin_address: Address | None
    allowed_hosts: tuple[str, ...]
    client_key: Secret
    body_limit: int
    client: Client
    max_request_timeout: float
    min_sigterm_delay: float
    max_sigterm_delay: float
    quitquitquit: bool
    log: Log
    strict: bool
    fetch_images: bool
    upstream: str | None  # PROVIDER or PROVIDER/MODEL of a configured provider
    default_model: str | None
    aliases: dict[str, str]
    providers: dict[str, Provider]  # echo is not among them: it is always there
    synonyms: dict[str, str]
    serves: dict[str, tuple[str, ...]]  # by provider, with or without a key: the beginnings of its models' names
    ways: dict[str, str]  # by provider that has a preset: how it becomes one that is configured
    unheeded: tuple[str, ...]  # variables without an effect, a sentence each
    doubtful: tuple[str, ...]  # likewise settings that can hardly be meant
    keys: tuple[HeldKey, ...]  # of clients
    jwt: JWT
    transparent: str | None  # the provider that gets the app's own key
    limits: LimitsRow
    prices: dict[str, Price]  # by PROVIDER/MODEL
    unknown_price: str  # dearest, refuse or free
    budgets: dict[str, Budget]  # those of client keys among them
    webhook: Secret  # a URL
    state_dir: Path | None  # None: nothing can be kept on disk
    ledger: Ledger
    store: Secret  # a URL
    cache: Cache
    routes: dict[str, Route]  # by model name
    failover: Failover
    retry: Retry
    hedge: Hedge
    breaker: Breaker
    health: Health
    overload: Overload
    faults: Faults
    workers: int
    reload: bool
    explain: int
    places: Places = NOWHERE  # for mistakes that are found later, when it is put to use

    @property
    def warnings(self) -> tuple[str, ...]:
        return *self.unheeded, *self.doubtful

    @property
    def has_keys(self) -> bool:
        """Does the configuration make clients show a key?"""
        return bool(self.client_key or self.keys or self.jwt.jwks)

    @property
    def fingerprint(self) -> str:
        """The same for the same configuration. Secrets are left out: a guess at one could be tested on it."""
        return sha256(repr(self).encode("utf-8", "surrogateescape")).hexdigest()[:12]

    def named_models(self) -> dict[str, set[str]]:
        """The models that the operator names, by provider."""
        names = [*self.aliases.values(), self.default_model or "", self.upstream or "", *self.failover.fallback_order]
        names += [target for route in self.routes.values() for target, _ in route.targets]
        models = {name: {*row.models, row.model} for name, row in self.providers.items()}
        for provider, _, model in (name.partition("/") for name in names):
            own = provider if provider in models else self.synonyms.get(provider, "")
            if own in models:
                models[own].add(model)
        return models
