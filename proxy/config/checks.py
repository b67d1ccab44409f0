"""Do the values make sense, each for itself and all together?

What a type cannot say: addresses, URLs, names, and what one key means for another. Everything that is wrong is noted,
and nothing is noted that only follows from what was wrong before.
"""

import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from proxy.address import Address, address
from proxy.config.address import is_base, is_proxy, leads_to
from proxy.config.environment import prefix
from proxy.config.layers import Layers, Row
from proxy.config.schema import ProviderRow
from proxy.config.secret import secret_text, sendable, why_unreadable
from proxy.config.values import DEFAULT, Keys

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9._-]+(:[0-9]+)?|\[[0-9a-fA-F:.]+\](:[0-9]+)?")
_OURS = {"host", "content-length", "transfer-encoding", "connection", "accept-encoding"}  # headers of the exchange
_OF_THE_REQUEST = {"model", "stream"}  # what a field of a provider's `body` must not turn into another question
_BASE = "must be http(s)://HOST[:PORT][/PATH] and nothing more"


def check(layers: Layers) -> None:
    """Notes what is wrong in the layers' mistakes."""
    listen = _addresses(layers)
    _server(layers)
    _models(layers)
    prefixes: dict[str, str] = {}
    for name, row in layers.rows.items():
        other = prefixes.setdefault(prefix(name), name)
        if other != name:
            _note(layers, ("providers", name), f"its variables would be called like those of {other}")
        value = layers.file.providers.get(name)
        if value is not None:
            _provider(layers, row, value, listen)


def base_url(value: ProviderRow, row: Row) -> str:
    """With the location in its place."""
    url = value.base_url or ""
    if "{location}" in url and value.location:
        url = row.preset.places.get(value.location, url.replace("{location}", value.location))
    return url.rstrip("/")


def _note(layers: Layers, keys: Keys, problem: str, about: Keys = ()) -> None:
    """At the nearest place that is known: a key that is missing stands nowhere, the table that lacks it does."""
    if layers.mistakes.within(*keys, *about):
        return
    places = [*(keys[:n] for n in range(len(keys), 0, -1)), (*keys, "api_key")]  # the last is why a provider is there
    origins = (layers.origins[place] for place in places if place in layers.origins)
    layers.mistakes.add(next((origin for origin in origins if origin.told), DEFAULT), keys, problem)


def _addresses(layers: Layers) -> Address | None:
    file = layers.file
    said = {
        ("listen",): file.listen,
        ("metrics_address",): file.metrics_address,
        ("admin", "address"): file.admin.address,
    }
    found = {keys: address(text) for keys, text in said.items() if text is not None}
    has_key = bool(file.client_key) or layers.mistakes.within("client_key")
    for keys, where in found.items():
        if where is None:
            _note(layers, keys, "must be HOST:PORT, such as 127.0.0.1:7455, or unix:/path")
        elif keys != ("metrics_address",) and not (where.is_local or file.allow_open or has_key):
            problem = f"{where} can be reached from elsewhere, and there is no client key: set PILLION_CLIENT_KEY"
            _note(layers, keys, f"{problem}, or PILLION_ALLOW_OPEN=1 if everybody may use it")
    listen = found[("listen",)]
    for keys, where in found.items():
        if where is not None and where == listen and (where.port or where.path) and keys != ("listen",):
            _note(layers, keys, f"{where} is where apps find pillion; this needs an address of its own")
    return listen


def _server(layers: Layers) -> None:
    file = layers.file
    if file.client_key is not None and not file.client_key.strip():
        _note(layers, ("client_key",), "is empty; leave it out for none")
    for n, host in enumerate(file.allowed_hosts):
        if not _HOST.fullmatch(host):
            _note(layers, ("allowed_hosts", f"[{n}]"), "must be a host's name, with or without a port")
    if file.min_sigterm_delay > file.max_sigterm_delay:
        _note(layers, ("min_sigterm_delay",), "is longer than max_sigterm_delay")


def _models(layers: Layers) -> None:
    file, synonyms = layers.file, layers.presets.synonyms
    known = {*layers.rows, "echo"}
    known |= {word for word, name in synonyms.items() if name in known}
    provider, _, model = (file.default_model or "").partition("/")
    if file.default_model is not None and (not model or provider not in known):
        _note(layers, ("default_model",), "must be PROVIDER/MODEL of a configured provider")
    provider, slash, model = (file.upstream or "").partition("/")
    if file.upstream is not None and (slash and not model):
        _note(layers, ("upstream",), "must be PROVIDER or PROVIDER/MODEL")
    elif file.upstream is not None and provider not in known:
        preset = layers.presets.providers.get(synonyms.get(provider, provider))
        hint = f": set {' or '.join(preset.keys)}" if preset and preset.keys else ""
        there = ", ".join([*layers.rows, "echo"])
        _note(layers, ("upstream",), f"is no configured provider{hint}; there are {there}")


def _provider(layers: Layers, row: Row, value: ProviderRow, listen: Address | None) -> None:
    keys = ("providers", row.name)
    if row.name == "echo" or not _NAME.fullmatch(row.name):
        _note(layers, keys, "a name has letters, digits, dots, dashes and underscores; echo is taken")
    if layers.mistakes.within(*keys, "preset"):
        return
    if missing := _missing(row, value):
        _note(layers, keys, f"{missing[0]} is missing (in the file, or as {missing[1]})", about=missing[:1])
    else:
        for key, problem in _of_urls(value, base_url(value, row), listen):
            _note(layers, (*keys, key), problem)
    for key, problem in _of_files(value):
        _note(layers, (*keys, key), problem)
    for key in value.body.keys() & _OF_THE_REQUEST:
        _note(layers, (*keys, "body", key), "is for the request to say")
    for header, text in value.headers.items():
        if not _HEADER.fullmatch(header) or not sendable(text):
            _note(layers, (*keys, "headers", header), "cannot be sent in a header: it is not printable ASCII")
        elif header.lower() in _OURS:
            _note(layers, (*keys, "headers", header), "is for pillion to say")
    if not sendable((value.api_key or "").strip()):
        _note(layers, (*keys, "api_key"), "cannot be sent in a header: it is not printable ASCII")


def _missing(row: Row, value: ProviderRow) -> tuple[str, str] | None:
    """A key that the provider cannot do without, and the variables that can say it."""
    if not value.base_url:
        return "base_url", f"{prefix(row.name)}_BASE_URL"
    if "{location}" in base_url(value, row):
        return "location", " or ".join([f"{prefix(row.name)}_LOCATION", *row.preset.variables.get("location", [])])
    return None


def _of_urls(value: ProviderRow, url: str, listen: Address | None) -> Iterator[tuple[str, str]]:
    if not is_base(url):
        yield "base_url", _BASE
    elif listen and leads_to(url, listen):
        yield "base_url", f"{urlsplit(url).netloc} is where pillion itself listens: it would call itself"
    if value.proxy and not is_proxy(value.proxy):
        yield "proxy", "must be http(s)://[USER:PASSWORD@]HOST:PORT and nothing more"
    elif value.proxy and listen and leads_to(value.proxy, listen):
        yield "proxy", "is where pillion itself listens: it would call itself"


def _of_files(value: ProviderRow) -> Iterator[tuple[str, str]]:
    if value.ca and (problem := _why_not(value.ca, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations)):
        yield "ca", problem
    if value.credentials and (problem := _why_not(value.credentials, secret_text)):
        yield "credentials", problem


def _why_not(file: str, read: Callable[[Path], object]) -> str:
    """Why the file cannot be used; "" where it can."""
    try:
        read(Path(file))
    except ssl.SSLError:
        return "holds no certificates in PEM"
    except (OSError, ValueError) as error:
        return f"cannot be read: {why_unreadable(error)}"
    return ""
