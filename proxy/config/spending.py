"""Does it make sense what clients may do, and what may be spent?

Like `checks`, it notes every mistake, except those that only follow from another one.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from proxy.access.allowance import reaches
from proxy.config.address import is_base, is_here, is_store, scheme_of
from proxy.config.checks import A_MODEL, UNSENDABLE, note
from proxy.config.layers import Layers
from proxy.config.schema import Budget, ClientKeyRow, File, KeyBudget
from proxy.config.secret import digest_of, secret_text, sendable, why_unreadable
from proxy.config.values import Keys
from proxy.spending.names import plain_path

DEFAULT_CLIENT = "default"  # whose key is `client_key`

CLIENT_NAME = re.compile(r"[A-Za-z0-9._@+-]{1,64}")
_NO_NAME = "the name must be 1 to 64 characters: letters, digits or any of .-_@+"
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
LARGEST_SHARED = 9_000_000  # dollars: Redis scripts count in doubles, which are exact for nano-dollars below 2**53
_ALGORITHM = re.compile("(?:RS|PS|ES)(?:256|384|512)|ES256K|EdDSA")  # RFC 7518, 3.1; RFC 8812; RFC 8037
LARGEST_KEY_SET = 1024 * 1024  # bytes, in a file
_NO_MODEL = "matches no model: must be PROVIDER/MODEL, where * matches anything"
_EMPTY = "is empty: must name at least one; leave it out for all"
# A pattern would be taken for the name of a model that nobody asks for, so that the row would have no effect.
_ONE_MODEL = "must be the whole name of one model: * is not a wildcard here"


def check(layers: Layers) -> None:
    """Adds what is wrong to the layers' mistakes."""
    there = {*layers.rows, "echo"}
    _keys(layers, there)
    _tokens(layers)
    _budgets(layers, there)
    _limits_and_prices(layers, there)
    file = layers.file
    if file.transparent is not None and file.transparent not in there:
        note(
            layers,
            ("transparent",),
            f"is not a configured provider; the configured ones are {', '.join(sorted(there))}",
        )
    elif file.transparent is not None and (file.keys or file.client_key or file.jwt.jwks):
        note(
            layers,
            ("transparent",),
            "apps send their provider's key, so they cannot send a client key: remove this, or the client keys and jwt",
        )
    if file.transparent is not None and file.cache.shared:
        note(
            layers,
            ("cache", "shared"),
            "must be false with transparent: only the provider knows whether an app's key is good, and a cached answer"
            " asks no provider",
        )
    if file.store is not None and not is_store(file.store):
        note(layers, ("store",), "must be redis://HOST:PORT/DB, or rediss://HOST:PORT/DB for TLS")
    if file.cache.stored and layers.state_dir is None:
        note(layers, ("cache", "stored"), "needs a folder for the answers: set state_dir (PILLION_STATE_DIR)")
    if file.alerts.webhook is not None and scheme_of(file.alerts.webhook) not in ("http", "https"):
        note(layers, ("alerts", "webhook"), "must be an http(s) URL")


def moment(text: str) -> float:
    """Seconds since 1970; of a day without a time, its last moment. Raises ValueError."""
    when = datetime.fromisoformat(text)
    if "T" not in text and " " not in text:
        when = datetime.combine(when, time.max)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _keys(layers: Layers, there: Collection[str]) -> None:
    known = {*there, *layers.presets.providers}  # a preset becomes a provider as soon as its key is set
    shared = _digest(layers.file.client_key, None)
    whose = {} if shared is None else {shared: "client_key"}
    for name, row in layers.file.keys.items():
        keys = ("keys", name)
        if not CLIENT_NAME.fullmatch(name):
            note(layers, keys, _NO_NAME)
        elif name == DEFAULT_CLIENT and layers.file.client_key:
            note(layers, keys, "is the name of the key in client_key: choose another name")
        _key_itself(layers, keys, row)
        if (digest := _digest(row.key, row.sha256)) is not None and (same := whose.setdefault(digest, name)) != name:
            note(layers, keys, f"has the same key as {same}")
        for list_name in ("models", "providers"):  # without one all are allowed, which nobody means by an empty one
            if not getattr(row, list_name) and _is_said(layers, (*keys, list_name)):
                note(layers, (*keys, list_name), _EMPTY)
        for n, provider in enumerate(row.providers):
            if provider not in there:
                note(layers, (*keys, "providers", f"[{n}]"), "is not a configured provider")
        for n, pattern in enumerate(row.models):
            if not any(reaches(pattern, provider) for provider in known):
                note(layers, (*keys, "models", f"[{n}]"), _NO_MODEL)
        if row.expires is not None and not _is_moment(row.expires):
            note(layers, (*keys, "expires"), 'must be a date, such as "2027-01-31" or "2027-01-31T12:00:00Z"')


def _key_itself(layers: Layers, keys: Keys, row: ClientKeyRow) -> None:
    if (row.key is None) == (row.sha256 is None) and not layers.mistakes.within(*keys):
        note(layers, keys, "needs either key or sha256")
    if row.key is not None and not row.key.strip():
        note(layers, (*keys, "key"), "is empty")
    elif row.key is not None and not sendable(row.key.strip()):
        note(layers, (*keys, "key"), UNSENDABLE)
    if row.sha256 is not None and not _DIGEST.fullmatch(row.sha256):
        note(layers, (*keys, "sha256"), "must be 64 hexadecimal digits")


def _digest(key: str | None, sha256: str | None) -> bytes | None:
    """The digest of a key that is given in either form; None where no client could ever show it."""
    if key is not None:
        return digest_of(key.strip()) if key.strip() and sendable(key.strip()) else None
    return bytes.fromhex(sha256) if sha256 is not None and _DIGEST.fullmatch(sha256) else None


def _is_said(layers: Layers, keys: Keys) -> bool:
    return keys in layers.origins or keys in layers.nulls


def _is_moment(text: str) -> bool:
    try:
        moment(text)
    except (ValueError, OverflowError):
        return False
    return True


def _tokens(layers: Layers) -> None:
    jwt = layers.file.jwt
    if jwt.jwks is None:
        if jwt.issuer or jwt.audience or jwt.keys:
            note(layers, ("jwt", "jwks"), "is missing: without it, no token is accepted or asked for", about=("jwks",))
        return
    for key in ("issuer", "audience"):
        if not getattr(jwt, key):
            note(
                layers, ("jwt", key), "is missing: without it, tokens meant for others would be accepted", about=(key,)
            )
    scheme = scheme_of(jwt.jwks)
    if scheme == "http" and not is_here(jwt.jwks):
        note(
            layers, ("jwt", "jwks"), "must be an https URL or a file: over http, the keys could be replaced on the way"
        )
    elif scheme not in ("http", "https") and (problem := _why_no_key_set(jwt.jwks)):
        note(layers, ("jwt", "jwks"), problem)
    elif scheme and not is_base(jwt.jwks.partition("?")[0]):
        note(layers, ("jwt", "jwks"), "must be https://HOST[:PORT][/PATH][?QUERY], without a user or a password")
    if not jwt.algorithms:
        note(layers, ("jwt", "algorithms"), "is empty: no token would be accepted")
    if not jwt.keys and _is_said(layers, ("jwt", "keys")):
        note(layers, ("jwt", "keys"), "is empty: leave it out to let in every valid token")
    if weak := [name for name in jwt.algorithms if name.lower() == "none" or name.startswith("HS")]:
        note(layers, ("jwt", "algorithms"), f"must not contain {', '.join(weak)}: with it, anybody could sign tokens")
    elif odd := [name for name in jwt.algorithms if not _ALGORITHM.fullmatch(name)]:
        problem = f"{odd[0]} is no algorithm by which tokens are signed, as RS256, PS256, ES256 and EdDSA are"
        note(layers, ("jwt", "algorithms"), problem)


class _KeySet(Struct):
    """As much of a key set as can be checked without a library for keys. RFC 7517, section 5."""

    keys: list[dict[str, Any]]


def _why_no_key_set(file: str) -> str:
    """Why the file cannot be used; "" where it can."""
    try:
        msgspec.json.decode(secret_text(Path(file), LARGEST_KEY_SET), type=_KeySet)
    except (msgspec.DecodeError, RecursionError):
        return "is not a JSON Web Key Set: must be a JSON object with a list `keys` (RFC 7517)"
    except (OSError, ValueError) as error:
        return f"cannot be read: {why_unreadable(error)}"
    return ""


def own(name: str, row: KeyBudget) -> Budget:
    """A client key's own budget, as a budget of that client."""
    return Budget(**asdict(row), client=name)


def budgets(file: File) -> dict[str, Budget]:
    """All budgets of the configuration, by name."""
    return file.budgets | {name: own(name, row.budget) for name, row in file.keys.items() if row.budget is not None}


class Beside:
    """Can a budget stand beside those before it? They are known by what they cover: there may be as many as clients."""

    def __init__(self, budgets: Mapping[str, Budget]) -> None:
        self._names = set[str]()
        self._covering = dict[tuple[str | None, ...], str]()
        for name, budget in budgets.items():
            self._add(name, budget)

    def contradiction(self, name: str, budget: Budget) -> str:
        """Why this budget, which now is among them, cannot stand beside them; "" where it can."""
        if name in self._names:
            return f"has the same name as a row of `budgets`, {name}: remove one of the two"
        same = self._covering.get(_scope(budget))
        self._add(name, budget)
        return "" if same is None else f"covers the same as {same}: remove one of the two"

    def _add(self, name: str, budget: Budget) -> None:
        self._names.add(name)
        self._covering.setdefault(_scope(budget), name)


def too_large(budget: Budget, is_shared: bool) -> str:
    """Why it cannot be counted; "" where it can."""
    if is_shared and budget.usd > LARGEST_SHARED:
        return f"must not exceed {LARGEST_SHARED:,} dollars, because it is shared through `store`"
    return ""


def _scope(budget: Budget) -> tuple[str | None, ...]:
    return budget.window, budget.client, budget.provider, budget.model and plain_path(budget.model)


def _budgets(layers: Layers, there: Collection[str]) -> None:
    file, known = layers.file, Beside({})
    names_are_ours = bool(file.keys) and not (file.jwt.jwks and not file.jwt.keys)  # a token may say any name
    for name, budget in file.budgets.items():
        keys = ("budgets", name)
        if not CLIENT_NAME.fullmatch(name):
            note(layers, keys, _NO_NAME)
        for key, problem in _of_scope(budget, there, names_are_ours):
            note(layers, (*keys, key), problem)
        _beside(layers, keys, name, budget, known)
    for name, row in file.keys.items():
        if row.budget is not None:
            _beside(layers, ("keys", name, "budget"), name, own(name, row.budget), known)


def _beside(layers: Layers, keys: Keys, name: str, budget: Budget, known: Beside) -> None:
    """Note whether this budget can stand beside those before it (`known`), to which it is added."""
    if problem := too_large(budget, layers.file.store is not None):
        note(layers, (*keys, "usd"), problem)
    if problem := known.contradiction(name, budget):
        note(layers, keys, problem)


def _of_scope(budget: Budget, there: Collection[str], names_are_ours: bool) -> Iterator[tuple[str, str]]:
    if budget.provider is not None and budget.provider not in there:
        yield "provider", "is not a configured provider"
    provider, _, model = (budget.model or "").partition("/")
    if budget.model is not None and (not model or provider not in there):
        yield "model", A_MODEL
    elif "*" in model:
        yield "model", _ONE_MODEL
    elif budget.model is not None and budget.provider not in (None, provider):
        yield "model", f"is not a model of {budget.provider}'s"
    if names_are_ours and budget.client not in (None, "*") and not CLIENT_NAME.fullmatch(budget.client or ""):
        yield "client", "is not a valid name of a client key"


def _limits_and_prices(layers: Layers, there: Collection[str]) -> None:
    named: list[Keys] = [("limits", "models", name) for name in layers.file.limits.models]
    named += [("prices", name) for name in layers.file.prices]
    met: dict[str, str] = {}
    for keys in named:
        provider, _, model = keys[-1].partition("/")
        if not model or provider not in there:
            note(layers, keys, A_MODEL)
        elif "*" in model:
            note(layers, keys, _ONE_MODEL)
        elif keys[0] == "limits" and (first := met.setdefault(plain_path(keys[-1]), keys[-1])) != keys[-1]:
            note(layers, keys, f"is another name of {first}: remove one of the two")
