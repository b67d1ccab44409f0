"""How does all that the operator has said become one configuration?

`load` is the way in: it lays the layers over each other, checks what they say together, and returns the Config that
everybody else reads, or raises all mistakes at once.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from proxy.access.allowance import ClientKey
from proxy.config import checks, spending, targets
from proxy.config.checks import NoAdapter, any_kind
from proxy.config.effective import Config, HeldKey, Provider, Route
from proxy.config.environment import way
from proxy.config.layers import Layers, gathered
from proxy.config.models import Cards, known
from proxy.config.schema import ClientKeyRow, Model, ProviderRow, RouteRow, TargetRow
from proxy.config.secret import SHORTEST_KEY, Secret
from proxy.config.values import Places
from proxy.edge.address import address


def load(
    path: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, str] | None = None,
    no_adapter: NoAdapter = any_kind,
    text: str | None = None,
) -> Config:
    """The configuration in force. Without a path, the file is the one in PILLION_CONFIG, if any.

    `flags`: what was typed, by the names of the variables. `no_adapter`: without it every `kind` is accepted. `text`:
    what the file says, if it has been read. Raises ConfigError, a line for each mistake.
    """
    return _config(layered(path, environ, flags, no_adapter, text))


def located(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration's file; None where there is none."""
    said = environ.get("PILLION_CONFIG")
    return Path(said) if path is None and said else path


def log_format(flags: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> str:
    """The log's format, known before the rest of the configuration, and even if that cannot be used."""
    return flags.get("PILLION_LOG_FORMAT") or environ.get("PILLION_LOG_FORMAT") or "auto"


def layered(
    path: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, str] | None = None,
    no_adapter: NoAdapter = any_kind,
    text: str | None = None,
) -> Layers:
    """What `load` makes its Config from: every value, and its origin. Raises ConfigError likewise."""
    layers = gathered(located(path, environ), environ, flags or {}, text)
    checks.check(layers, no_adapter)
    spending.check(layers)
    targets.check(layers)
    layers.mistakes.raise_any(layers.unheeded)
    return layers


def _config(layers: Layers) -> Config:
    file, presets = layers.file, layers.presets
    providers = {name: _provider(name, layers) for name in layers.rows}
    serves = {name: tuple(row.serves) for name, row in presets.providers.items()}
    listen = address(file.listen)
    assert listen is not None
    known("")  # read the table of models now, and not during the first request
    return Config(
        listen=listen,
        metrics_address=address(file.metrics_address or ""),
        admin_address=address(file.admin.address or ""),
        allowed_hosts=tuple(file.allowed_hosts),
        client_key=_secret(file.client_key, layers, "client_key", shortest=SHORTEST_KEY),
        body_limit=file.body_limit,
        client=file.client,
        max_request_timeout=file.max_request_timeout,
        min_sigterm_delay=file.min_sigterm_delay,
        max_sigterm_delay=file.max_sigterm_delay,
        quitquitquit=file.quitquitquit,
        log=file.log,
        strict=file.strict,
        fetch_images=file.fetch_images,
        upstream=file.upstream,
        default_model=file.default_model,
        aliases=file.aliases,
        providers=providers,
        synonyms=presets.synonyms,
        serves=serves | {name: provider.serves for name, provider in providers.items()},
        ways={name: way(name, row) for name, row in presets.providers.items()},
        unheeded=layers.unheeded,
        doubtful=layers.doubtful,
        keys=tuple(_held(name, row, layers) for name, row in file.keys.items()),
        jwt=file.jwt,
        transparent=file.transparent,
        limits=file.limits,
        prices=file.prices,
        unknown_price=file.unknown_price,
        budgets=spending.budgets(file),
        webhook=_secret(file.alerts.webhook, layers, "alerts", "webhook"),
        state_dir=layers.state_dir,
        ledger=file.ledger,
        store=_secret(file.store, layers, "store"),
        cache=file.cache,
        routes={name: _route(row) for name, row in file.routes.items()},
        failover=file.failover,
        retry=file.retry,
        hedge=file.hedge,
        breaker=file.breaker,
        health=file.health,
        overload=file.overload,
        faults=file.faults,
        workers=file.workers,
        reload=file.reload,
        explain=file.explain,
        places=Places(layers.origins),
    )


def _route(row: RouteRow) -> Route:
    rows = [TargetRow(target=row) if isinstance(row, str) else row for row in row.targets]
    return Route(tuple((row.target, row.weight) for row in rows), row.strategy, row.cache)


def _held(name: str, row: ClientKeyRow, layers: Layers) -> HeldKey:
    client = ClientKey(
        name=name,
        models=tuple(row.models),
        providers=tuple(row.providers),
        limits=row.limits or layers.file.limits.client,
        expires=spending.moment(row.expires) if row.expires else None,
    )
    held = _secret(row.key, layers, "keys", name, "key", shortest=SHORTEST_KEY)
    return HeldKey(client, held, bytes.fromhex(row.sha256 or ""), row.budget)


def _provider(name: str, layers: Layers) -> Provider:
    value, row = layers.file.providers[name] or ProviderRow(), layers.rows[name]
    return Provider(
        name=name,
        kind=value.kind,
        base_url=checks.base_url(value, row),
        api_key=_secret(value.api_key, layers, "providers", name, "api_key"),
        key_names=row.key_names,
        serves=tuple(value.serves),
        models=tuple(model if isinstance(model, str) else model.name for model in value.models),
        ask_usage=value.ask_usage,
        headers={
            header: _secret(text, layers, "providers", name, "headers", header)
            for header, text in value.headers.items()
        },
        timers=value.timers,
        cards=Cards((model for model in value.models if isinstance(model, Model)), row.timers),
        model=value.model or "",
        max_tokens=value.max_tokens,
        temperature=value.temperature,
        org_id=value.org_id or "",
        project=value.project or "",
        location=value.location or "",
        proxy=Secret((value.proxy or "").strip()),  # not read again from a file: connections are made with it
        ca=Path(value.ca) if value.ca else None,
        cert=Path(value.cert) if value.cert else None,
        cert_key=Path(value.cert_key) if value.cert_key else None,
        dialects=tuple(value.dialects),
        body=value.body,
        api_version=value.api_version or "",
        credentials=Path(value.credentials) if value.credentials else None,
        profile=value.profile or "",
        free=value.free,
        assumed=row.assumed,
        pull=value.pull,
        takes_urls=value.takes_urls,
        call_id_length=value.call_id_length,
        thoughts=value.thoughts,
        cache_points=value.cache_points,
        searches=value.searches,
        seals=None if value.seals is None else frozenset(value.seals),
        seals_vouched=_is_vouched(name, "seals", layers),
        vouched=_is_vouched(name, "dialects", layers),
        counts_tokens=value.counts_tokens and _is_vouched(name, "counts_tokens", layers),
        api_keys=tuple(_api_keys(name, value, layers)),
        limits=value.limits,
        prices=value.prices or "",
    )


def _api_keys(name: str, value: ProviderRow, layers: Layers) -> Iterator[tuple[Secret, float]]:
    for n, row in enumerate(value.api_keys):
        place = ("providers", name, "api_keys", f"[{n}]")
        if isinstance(row, str):
            yield _secret(row, layers, *place), 1
        else:
            yield _secret(row.key, layers, *place, "key"), row.weight


def _is_vouched(name: str, key: str, layers: Layers) -> bool:
    """Is the value of this key a statement about the host that is used?

    A preset speaks about its own host, and not about one that the operator puts in its place.
    """
    url, said = (layers.origins.get(("providers", name, each)) for each in ("base_url", key))
    return bool(said and (said.told or (url and not url.told)))


def _secret(value: str | None, layers: Layers, *keys: str, shortest: int = 0) -> Secret:
    origin = layers.origins.get(keys)
    said = (value or "").strip()
    return Secret(said, origin.file, item=origin.item, shortest=shortest) if origin else Secret(said)
