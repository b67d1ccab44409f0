"""Do the values make sense, each by itself and all together?

What a type cannot express: addresses, URLs, names, and what one key means for another. Every mistake is noted, except
those that only follow from another one.
"""

import os
import re
from collections.abc import Callable, Collection, Iterator
from itertools import combinations
from pathlib import Path
from urllib.parse import urlsplit

from proxy.config.address import clash, is_base, is_proxy, leads_to
from proxy.config.environment import prefix, way
from proxy.config.layers import Layers, Row, listeners
from proxy.config.schema import File, ProviderRow
from proxy.config.secret import SHORTEST_KEY, secret_text, sendable, why_unreadable
from proxy.config.usable import why_not, why_not_shown, why_not_trusted
from proxy.config.values import Keys, Places, spelled
from proxy.edge.address import LONGEST, Address, address
from proxy.late import CLOSE_MATCHES, load

MINTED = "keys.json"  # in the state directory: see access.keyring

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9._-]+(:[0-9]+)?|\[[0-9a-fA-F:.]+\](:[0-9]+)?")
# Headers that belong to the exchange, or to the body that we write.
_OURS = {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "content-type", "expect"}
_OF_THE_REQUEST = {"model", "stream"}  # fields that a provider's `body` must not set: they would change the question
_endpoint = re.compile(r"/(?:chat/completions|responses|v1/messages|api/chat|v2/chat)/?$").search
_BASE = "must be http(s)://HOST[:PORT][/PATH], and nothing else"
_ALONE = (  # docs/decisions/0023-reload.md
    "limits, budgets and the ledger are kept in one process. Give a second pillion its own state_dir and address, or a"
    " `store` that both share"
)
_ALIKE = 0.75  # names of providers, of which one may be meant for the other
A_MODEL = "must be PROVIDER/MODEL of a configured provider"
UNSENDABLE = "cannot be sent in a header: must be printable ASCII"

NoAdapter = Callable[[str], str]  # why no adapter serves providers of this kind; "" where one does


def any_kind(kind: str) -> str:
    """A NoAdapter that accepts every kind."""
    return ""


def check(layers: Layers, no_adapter: NoAdapter) -> None:
    """Adds what is wrong to the layers' mistakes."""
    ours = _addresses(layers)
    _server(layers)
    _models(layers)
    prefixes: dict[str, str] = {}
    for name, row in layers.rows.items():
        other = prefixes.setdefault(prefix(name), name)
        if other != name:
            note(
                layers,
                ("providers", name),
                f"would have the same environment variables as {other}: rename one of the two",
            )
        value = layers.file.providers.get(name)
        if value is not None:
            _provider(layers, row, value, ours)
            if value.kind != "echo" and (problem := no_adapter(value.kind)):
                note(layers, ("providers", name, "kind"), problem)


def base_url(value: ProviderRow, row: Row) -> str:
    """The provider's base URL, with its location filled in."""
    url = value.base_url or ""
    if "{location}" in url and value.location:
        url = row.preset.places.get(value.location, url.replace("{location}", value.location))
    return url.rstrip("/")


def note(layers: Layers, keys: Keys, problem: str, about: Keys = ()) -> None:
    """Note a mistake at the nearest known place: a missing key has none, but the table that lacks it has."""
    if layers.mistakes.within(*keys, *about):
        return
    layers.mistakes.add(Places(layers.origins).nearest(keys), keys, problem)


def _addresses(layers: Layers) -> list[Address]:
    """The addresses of all listeners; notes what is wrong with them."""
    file = layers.file
    found = {keys: address(text) for keys, text in listeners(file).items()}
    told = (file.client_key, file.keys, file.jwt.jwks, were_minted(layers.state_dir))
    has_key = any(told) or any(layers.mistakes.within(key) for key in ("client_key", "keys", "jwt"))
    for keys, where in found.items():
        if where is None:
            note(layers, keys, f"must be HOST:PORT, such as 127.0.0.1:7455, or unix:/path of at most {LONGEST} bytes")
        elif not (keys == ("metrics_address",) or where.is_local or file.allow_open):
            _reachable(layers, keys, where, has_key)
    there = [(keys, where) for keys, where in found.items() if where is not None]
    for (first, taken), (keys, where) in combinations(there, 2):
        if clash(taken, where):
            by = spelled(first) if taken == where else f"{spelled(first)}, which is {taken}"
            note(layers, keys, f"{where} is already used by {by}: choose another address")
    return [where for _, where in there]


def _reachable(layers: Layers, keys: Keys, where: Address, has_key: bool) -> None:
    """Strangers can reach this address: are there client keys, and none that they could guess?"""
    if not has_key and layers.file.transparent is not None:  # beside which client keys are a mistake
        problem = f"{where} can be reached from outside this host"
        note(layers, keys, f"{problem}: set PILLION_ALLOW_OPEN=1 if anybody may use it")
        return
    if not has_key and (closed := _closed(layers.state_dir)):
        note(layers, keys, f"{where} can be reached from outside this host, and minted keys cannot be read: {closed}")
        return
    if not has_key:
        problem = (
            f"{where} can be reached from outside this host, but there is no client key: set PILLION_CLIENT_KEY,"
            " make one by `pillion keys add NAME`"
        )
        note(layers, keys, f"{problem}, or set PILLION_ALLOW_OPEN=1 if anybody may use it")
        return
    problem = f"must have at least {SHORTEST_KEY} characters"
    for held in _short_keys(layers.file):
        note(layers, held, f"{problem}, because {where} can be reached from outside this host")


def were_minted(folder: Path | None) -> bool:
    """Are there minted keys, or were there any? Either way clients must show one."""
    return folder is not None and os.path.exists(folder / MINTED)  # False also where nobody may look


def _closed(folder: Path | None) -> str:
    """Why nobody can tell whether keys were minted; "" where one can: it would be no help to be told to make some."""
    if folder is None:
        return ""
    try:
        (folder / MINTED).stat()
    except PermissionError as error:
        return f"{folder / MINTED}: {why_unreadable(error)}"
    except OSError:
        return ""
    return ""


def _short_keys(file: File) -> Iterator[Keys]:
    """The places of client keys that strangers could guess."""
    held: dict[Keys, str | None] = {("client_key",): file.client_key}
    held |= {("keys", name, "key"): row.key for name, row in file.keys.items()}
    return (keys for keys, key in held.items() if key and len(key.strip()) < SHORTEST_KEY)


def _server(layers: Layers) -> None:
    file = layers.file
    if file.client_key is not None and not file.client_key.strip():
        note(layers, ("client_key",), "is empty: leave it out to have no client key")
    if not sendable((file.client_key or "").strip()):
        note(layers, ("client_key",), UNSENDABLE)
    if file.state_dir and (file.state_dir[0] in "~$" or "://" in file.state_dir):
        note(layers, ("state_dir",), "must be a path, in which ~ and $ stand for nothing: write ${HOME} or all of it")
    for n, host in enumerate(file.allowed_hosts):
        if not _HOST.fullmatch(host):
            note(layers, ("allowed_hosts", f"[{n}]"), "must be a host name, with or without a port")
    if file.workers > 1:
        note(layers, ("workers",), f"must be 1, but is {file.workers}: {_ALONE}")
    if file.min_sigterm_delay > file.max_sigterm_delay:
        note(layers, ("min_sigterm_delay",), "must not be longer than max_sigterm_delay")


def _models(layers: Layers) -> None:
    """Where all traffic goes to one provider (`upstream`), the others that are named need not be configured."""
    file, known = layers.file, _names(layers, layers.rows)
    named = known if file.upstream is None else known | _names(layers, layers.presets.providers)
    for keys, model in _named_models(layers.file):
        if model in file.aliases:
            note(layers, keys, f"is another alias: {A_MODEL}")
        elif not _is_model(model, named):
            note(layers, keys, A_MODEL + hint(layers, model))
    provider, slash, model = (file.upstream or "").partition("/")
    if file.upstream is not None and (slash and not model):
        note(layers, ("upstream",), "must be PROVIDER or PROVIDER/MODEL")
    elif file.upstream is not None and provider not in known:
        there = ", ".join(dict.fromkeys([*layers.rows, "echo"]))
        note(
            layers,
            ("upstream",),
            f"is not a configured provider{hint(layers, provider)}; the configured ones are {there}",
        )


def _names(layers: Layers, providers: Collection[str]) -> set[str]:
    """What may stand before a model's slash: these providers, echo, and their synonyms."""
    names = {*providers, "echo"}
    return names | {word for word, name in layers.presets.synonyms.items() if name in names}


def _named_models(file: File) -> Iterator[tuple[Keys, str]]:
    if file.default_model is not None:
        yield ("default_model",), file.default_model
    for alias, model in file.aliases.items():
        yield ("aliases", alias), model


def _is_model(name: str, known: Collection[str]) -> bool:
    """Does it name one of these providers, and a model?"""
    provider, _, model = name.partition("/")
    return bool(model) and provider in known


def hint(layers: Layers, name: str) -> str:
    """What to do about a provider that is known and not configured, or which one may be meant."""
    provider = name.partition("/")[0]
    provider = layers.presets.synonyms.get(provider, provider)
    if provider in layers.rows:
        return ""
    preset = layers.presets.providers.get(provider)
    return f": {way(provider, preset)}" if preset else _meant(layers, provider)


def _meant(layers: Layers, provider: str) -> str:
    """The known provider whose name is much like this one, in words."""
    known = {"echo", *layers.rows, *layers.presets.providers, *layers.presets.synonyms} - {provider}
    close = load(CLOSE_MATCHES)(provider, sorted(known), n=1, cutoff=_ALIKE)
    return f" (did you mean {close[0]}?)" if close else ""


def _provider(layers: Layers, row: Row, value: ProviderRow, ours: Collection[Address]) -> None:
    keys = ("providers", row.name)
    if row.name == "echo" or not _NAME.fullmatch(row.name):
        note(
            layers, keys, "the name must consist of letters, digits, dots, dashes and underscores, and must not be echo"
        )
    if layers.mistakes.within(*keys, "preset"):
        return
    if value.kind == "echo":
        note(layers, (*keys, "kind"), "echo is built in and needs no row: use the model echo/MODEL (docs/echo.md)")
    if missing := _missing(row, value):
        other = "" if row.name in layers.presets.providers else _meant(layers, row.name)
        note(layers, keys, f"{missing[0]} is missing: set it here, or as {missing[1]}{other}", about=missing[:1])
    else:
        for key, problem in _of_urls(value, base_url(value, row), ours):
            note(layers, (*keys, key), problem)
    for key, problem in _of_files(value):
        note(layers, (*keys, key), problem)
    _sent(layers, keys, value)


def _sent(layers: Layers, keys: Keys, value: ProviderRow) -> None:
    """What is sent to the provider with each request: its key and who pays, headers, fields of the body, and the
    version, which is a segment of some providers' paths.
    """
    for n, variable in enumerate(value.keys):
        if not _VARIABLE.fullmatch(variable):  # a key in its place would be shown by `config show`
            note(layers, (*keys, "keys", f"[{n}]"), "must be a variable's name; a key itself belongs in api_key")
    for key in value.body.keys() & _OF_THE_REQUEST:
        note(layers, (*keys, "body", key), "can be set only by the request")
    for header, text in value.headers.items():
        if not _HEADER.fullmatch(header) or not sendable(text):
            note(layers, (*keys, "headers", header), UNSENDABLE)
        elif header.lower() in _OURS:
            note(layers, (*keys, "headers", header), "is set by pillion itself: leave it out")
    shown = {"api_key": (value.api_key or "").strip(), "org_id": value.org_id or "", "project": value.project or ""}
    for key in (key for key, text in shown.items() if not sendable(text)):
        note(layers, (*keys, key), UNSENDABLE)
    if value.api_version and not _NAME.fullmatch(value.api_version):
        note(layers, (*keys, "api_version"), "must consist of letters, digits, dots, dashes and underscores")


def _missing(row: Row, value: ProviderRow) -> tuple[str, str] | None:
    """A key that the provider needs and lacks, and the variables that can set it."""
    if not value.base_url:
        return "base_url", f"{prefix(row.name)}_BASE_URL"
    if "{location}" in base_url(value, row):
        return "location", " or ".join([f"{prefix(row.name)}_LOCATION", *row.preset.variables.get("location", [])])
    return None


def _of_urls(value: ProviderRow, url: str, ours: Collection[Address]) -> Iterator[tuple[str, str]]:
    if not is_base(url):
        yield "base_url", _BASE
    elif found := _endpoint(url):
        yield "base_url", f"must end before {found[0]}, which pillion adds itself"
    elif any(leads_to(url, where) for where in ours):
        yield "base_url", f"{urlsplit(url).netloc} is pillion's own address: it would call itself"
    if value.proxy and not is_proxy(value.proxy):
        special = "with %XX for special characters in user and password"
        yield "proxy", f"must be http(s)://[USER:PASSWORD@]HOST:PORT, {special}, and nothing else"
    elif value.proxy and any(leads_to(value.proxy, where) for where in ours):
        yield "proxy", "is pillion's own address: it would call itself"


def _of_files(value: ProviderRow) -> Iterator[tuple[str, str]]:
    if value.ca and (problem := why_not_trusted(value.ca)):
        yield "ca", problem
    if value.cert and (problem := why_not_shown(value.cert, value.cert_key)):
        yield "cert", problem
    if value.cert_key and not value.cert:
        yield "cert_key", "needs `cert`, the certificate that it belongs to"
    if value.credentials and (problem := why_not(value.credentials, secret_text)):
        yield "credentials", problem
