"""What was meant by a key that there is not?

By its letters `auth` is closest to `health`, and `cached_input` to `cache_write`. So what a table of ours is called
elsewhere is written down here. What is not found there may be a key of another table, or goes by its letters.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct, inspect

from proxy.access.allowance import Limits
from proxy.config import schema
from proxy.config.values import Keys, Node, Scalar, Series
from proxy.late import CLOSE_MATCHES, load

_A_SLIP: Final = 0.9  # how alike an unknown key and the one that is meant are, if it is a slip of the pen
_FEW: Final = 2  # places that are worth naming

# How LiteLLM's config.yaml begins: https://docs.litellm.ai/docs/proxy/config_settings
_LITELLMS: Final = ("model_list", "litellm_settings", "general_settings", "router_settings", "environment_variables")

_COUNTS: Final = {
    "rpm": "requests_per_minute",
    "requests": "requests_per_minute",
    "tpm": "tokens_per_minute",
    "tokens": "tokens_per_minute",
    "max_parallel_requests": "concurrent",
}
_COUNTED: Final = {name: name for name in ("requests_per_minute", "tokens_per_minute", "concurrent")} | _COUNTS
_KEY_BUDGET: Final = {
    "limit": "usd", "amount": "usd", "max": "usd", "max_usd": "usd", "period": "window", "interval": "window",
    "daily": "window: day, with usd", "monthly": "window: month, with usd", "total": "window: total, with usd",
    "threshold": "alert", "alert_threshold": "alert", "strict": "mode: strict", "lenient": "mode: lenient",
    "on_exhausted": "at_end", "on_exceeded": "at_end", "action": "at_end",
    "webhook": "alerts.webhook, at the top of the file",
}  # fmt: skip

# table: {what it is called elsewhere: what it is called here}
_ELSEWHERE: Final[Mapping[type[Struct], Mapping[str, str]]] = {
    schema.File: {
        "auth": "keys, jwt or transparent",
        "authentication": "keys, jwt or transparent",
        "client_keys": "keys",
        "virtual_keys": "keys",
        "oidc": "jwt",
        "queue": "limits.queue",
        "cost": "prices, unknown_price or budgets",
        "cost_limit": "budgets, or, for one request, its header x-pillion-cost-limit",
        "max_budget": "budgets",
        "webhook": "alerts.webhook",
        "redis": "store: redis://HOST:PORT",
        "redis_url": "store: redis://HOST:PORT",
        "database": "state_dir, or store: redis://HOST:PORT for a fleet",
        "single_flight": "cache.single_flight",
        "models": "providers.NAME.models",
        **dict.fromkeys(("address", "bind", "host", "port", "server", "socket", "unix_socket"), "listen"),
        **{name: f"limits.client.{meant}" for name, meant in _COUNTED.items()},
    },
    schema.ProviderRow: {"url": "base_url", "type": "kind", "region": "location", "organization": "org_id"},
    schema.ClientKeyRow: {
        "budgets": "budget",
        "hash": "sha256",
        "valid_until": "expires",
        **{name: f"limits.{meant}" for name, meant in _COUNTED.items()},
    },
    schema.JWT: {"aud": "audience", "iss": "issuer", "mapping": "keys"},
    schema.LimitsRow: {
        **dict.fromkeys(("key", "keys", "per_key", "clients"), "client, or keys.NAME.limits for a key's own"),
        **dict.fromkeys(("provider", "providers"), "providers.NAME.limits"),
        **{name: f"client.{meant}" for name, meant in _COUNTED.items()},
    },
    Limits: _COUNTS,
    schema.Queue: {
        **dict.fromkeys(("timeout", "wait", "max_wait"), "seconds"),
        **dict.fromkeys(("size", "max_size"), "length"),
    },
    schema.Price: {"cached_input": "cache_read"},
    schema.KeyBudget: _KEY_BUDGET,
    schema.Budget: {
        **_KEY_BUDGET,
        **dict.fromkeys(("key", "keys", "client_key", "user"), "client"),
        "scope": "client, provider or model",
    },
    schema.Alerts: {"url": "webhook", "threshold": "budgets.NAME.alert", "alert": "budgets.NAME.alert"},
    schema.Ledger: {
        **dict.fromkeys(("path", "file", "dir", "directory"), "state_dir, at the top of the file"),
        **dict.fromkeys(("retention", "retention_days", "days"), "keep_days"),
    },
    schema.Cache: {
        **dict.fromkeys(("max_bytes", "max_size"), "size, in bytes"),
        **dict.fromkeys(("ttl_seconds", "max_age"), "ttl, in seconds"),
        **dict.fromkeys(("persist", "persistent", "disk"), "stored"),
    },
}


def meant(key: str, table: inspect.StructType, whole: inspect.Type) -> str:
    """The rest of the message. `whole`: all tables, where the key may belong to another one."""
    if key in _LITELLMS:
        return "it is LiteLLM's: docs/migrating.md has what to write in its place"
    if elsewhere := _ELSEWHERE.get(table.cls, {}).get(key):
        return f"did you mean {elsewhere}?"
    known, close_matches = [field.encode_name for field in table.fields], load(CLOSE_MATCHES)
    if not (close := close_matches(key, known, n=1, cutoff=_A_SLIP)):
        places = _places(key, table) or _places(key, whole)
        close = places if 0 < len(places) <= _FEW else close_matches(key, known, n=1)
    return f"did you mean {' or '.join(close)}?" if close else f"the known keys are {', '.join(known)}"


def _places(key: str, within: inspect.Type) -> list[str]:
    """Where a key of this name stands below: `retry.max_retries`. NAME: one that the operator chose."""
    return [".".join(path) for path in _paths(within, ()) if path[-1] == key]


def _paths(kind: inspect.Type, above: Keys) -> Iterator[Keys]:
    match kind:
        case inspect.Metadata():
            yield from _paths(kind.type, above)
        case inspect.UnionType():
            for each in kind.types:
                yield from _paths(each, above)
        case inspect.StructType():
            for field in kind.fields:
                yield (*above, field.encode_name)
                yield from _paths(field.type, (*above, field.encode_name))
        case inspect.DictType():
            yield from _paths(kind.value_type, (*above, "NAME"))
        case _:
            return


def in_place(node: Node, wanted: inspect.Type) -> str:
    """What to write in place of a node that is no mapping, where it is clear enough what was meant."""
    if isinstance(wanted, inspect.DictType):
        is_table = isinstance(wanted.value_type, inspect.StructType)
        return "; write NAME: {...} for each row" if is_table and isinstance(node, Series) else ""
    if not isinstance(wanted, inspect.StructType) or not isinstance(node, Scalar):
        return ""
    names = {field.encode_name for field in wanted.fields}
    if node.kind == "boolean" and "enabled" in names:
        return f"; did you mean {{enabled: {node.text}}}?"
    if node.kind == "number" and "usd" in names:
        return f"; did you mean {{usd: {node.text}}}?"
    return ""
