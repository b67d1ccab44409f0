"""What is configured so that it can hardly be meant?

Keys, certificates, prices, budgets, and providers whose requests can only fail. None of it keeps pillion from
starting: it may be meant after all, and the rest is of use.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from msgspec.structs import asdict

from proxy.config.address import is_base, leads_away
from proxy.config.environment import prefix
from proxy.config.schema import File, Presets, ProviderRow
from proxy.config.usable import why_no_certificates
from proxy.config.values import Keys, Origin

# With what the paths of a kind of provider begin, and their SDKs' base URLs do not end.
_ADDED = {"anthropic": "/v1", "gemini": "/v1beta", "ollama": "/api", "cohere": "/v2", "bedrock": "/model"}
# Where their hosts have another API, mostly one that is like OpenAI's: the longer ones first.
_OTHERS = {"gemini": ("/v1beta/openai", "/v1"), "ollama": ("/v1",), "cohere": ("/compatibility/v1", "/v1")}
# The hosts of Azure's resources, in its three clouds, and the path of the API there; hosts that are none of these,
# though an operator may know them better; and where a resource has another API, or nothing.
_AZURES = re.compile(r".+\.(?:openai|cognitiveservices|services\.ai)\.azure\.(?:com|us|cn)").fullmatch
_AZURES_PATH = "/openai/v1"
_NO_RESOURCES = {"portal.azure.com", "ai.azure.com", "oai.azure.com", "openai.azure.com", "api.openai.com"}
_NOT_AZURES = ("/openai/deployments", "/anthropic", "/models", "/v1")
_CHEAPEST = 0.0001  # dollars for a million tokens: in our list, none costs less than 0.0016
_A_VARIABLES = re.compile(r"(\$|os\.environ/)[A-Za-z_][A-Za-z0-9_]*\Z")  # a shell's, and LiteLLM's
_UNFILLED = re.compile(r"\$(?:\{[A-Za-z_][A-Za-z0-9_]*(?::-[^}]*)?\}|\([A-Za-z_][A-Za-z0-9_]*\))\Z")  # (): Kubernetes'
_A_LINE = re.compile(r"(?:export )?([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_(?:KEY|TOKEN)=).")  # of an env file
_A_HEADERS = re.compile(r"((?:Authorization: *)?(?:Bearer|Basic)) ", re.IGNORECASE)
_SHOWING = {"authorization", "x-api-key", "api-key", "x-goog-api-key"}  # headers that may hold the key


def mistaken_keys(file: File) -> Iterator[str]:
    """A sentence for each key that came with the quotes around it, as from an env file of docker's, or with its name or
    its header's word in front, or that is a shell's name for a variable, or LiteLLM's, or one that was to be filled in.
    """
    for whose, key in _held(file):
        if len(key) > 1 and key[0] == key[-1] and key[0] in "\"'":
            yield f"{whose} is in quotes, which are taken for a part of it: leave them out"
        elif found := _A_VARIABLES.match(key):
            how = "for what a variable holds, write ${NAME}"
            yield f"{whose} begins with {found[1]}, and is taken as it stands: {how}"
        elif _UNFILLED.match(key):
            where = "nothing is put in its place in a variable or a key's file"
            yield f"{whose} is {key[:2]}...{key[-1]} as it stands: {where}"
        elif found := _A_HEADERS.match(key):
            yield f"{whose} begins with {found[1]}, which is a header's and taken for a part of it: leave that out"
        elif found := _A_LINE.match(key):
            yield f"{whose} begins with {found[1]}, which is taken for a part of it: leave that out"


def untrusted(environ: Mapping[str, str]) -> Iterator[str]:
    """A sentence if OpenSSL is told to trust a file that holds no certificates, which it passes over in silence."""
    file = environ.get("SSL_CERT_FILE", "")
    if file and (problem := why_no_certificates(file)):
        yield f"SSL_CERT_FILE: {file} {problem}, so no provider is trusted because of it"


def _held(file: File) -> Iterator[tuple[str, str]]:
    """Each key, and a provider's several as a variable holds them; and how to call it. "" where there is none."""
    yield "client_key", file.client_key or ""
    yield from ((f"keys.{name}.key", row.key or "") for name, row in file.keys.items())
    for name, row in file.providers.items():
        if row is not None:
            yield f"the list of keys of {name}", ",".join(_several(row)) if len(row.api_keys) > 1 else ""
            yield from _shown(name, row)


def _shown(name: str, row: ProviderRow) -> Iterator[tuple[str, str]]:
    """The keys that a provider is shown, and how to call each."""
    yield f"the key of {name}", row.api_key or ""
    yield from ((f"providers.{name}.api_keys[{n}]", key) for n, key in enumerate(_several(row)))


def _several(row: ProviderRow) -> list[str]:
    return [each if isinstance(each, str) else each.key for each in row.api_keys]


def mixed_up(file: File, presets: Presets, origins: Mapping[Keys, Origin]) -> Iterator[str]:
    """A sentence for each key that has the form of another vendor's, and would be sent to this one's own address."""
    hosts = {form: host for host, form in _forms(presets)}
    for name, row in file.providers.items():
        url = origins.get(("providers", name, "base_url"))
        if row is None or url is None or url.told:
            continue
        host = _host(row.base_url)
        for whose, key in _shown(name, row):
            form = next((form for form in hosts if key.startswith(form)), "")
            if form and _vendor(hosts[form]) != _vendor(host):
                yield f"{whose} begins with {form}, as those for {hosts[form]} do: {host} will hardly take it"


def _forms(presets: Presets) -> Iterator[tuple[str, str]]:
    """A vendor's host, and with what its keys begin."""
    for preset in presets.providers.values():
        yield from ((_host(preset.base_url), form) for form in preset.key_forms)


def _host(url: str | None) -> str:
    return urlsplit(url or "").hostname or ""


def _vendor(host: str) -> str:
    """Its domain: Google's keys are good for Vertex, too."""
    return ".".join(host.split(".")[-2:])


def misled(file: File, usual: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each base URL at which the API that is meant is hardly to be found: it ends as another SDK's does,
    so that it would be asked for /v1/v1/messages, or it lacks what its preset's has. `usual`: those of the presets.
    """
    for name, row in file.providers.items():
        if row is None or not row.base_url or not is_base(row.base_url):
            continue
        url, parts, known = row.base_url.rstrip("/"), urlsplit(row.base_url), urlsplit(usual.get(name, ""))
        if row.kind == "azure" or (row.kind == "openai" and _AZURES(parts.hostname or "")):
            yield from (f"the base URL of {name} {said}" for said in _of_azure(url, row.kind))
            continue
        end = _ADDED.get(row.kind, "")
        other = next((each for each in _OTHERS.get(row.kind, ()) if url.endswith(each)), "")
        if end and url.endswith(end):
            yield f"the base URL of {name} ends in {end}, which pillion adds itself: leave it out"
        elif other:
            yield f"the base URL of {name} ends in {other}, where its host has another API: leave that out"
        elif row.kind == "openai" and not parts.path.strip("/") and known.path:
            yield f"the base URL of {name} has no path, but the usual one ends in {known.path}: is that missing?"
        if (parts.scheme, known.scheme) == ("http", "https") and parts.hostname == known.hostname:
            yield f"the base URL of {name} begins with http, so that its key can be read on the way: write https"


def _of_azure(url: str, kind: str) -> Iterator[str]:
    """What is wrong with a base URL of Azure's: of its own kind it may be a host, and goes on as Azure shows it."""
    parts = urlsplit(url)
    end = next((each for each in _NOT_AZURES if url.endswith(each)), "")
    if parts.hostname in _NO_RESOURCES:
        yield f"is not a resource's: {parts.hostname} in place of RESOURCE.openai.azure.com"
    elif url.endswith(_AZURES_PATH):
        pass
    elif kind == "openai":
        yield f"does not end in {_AZURES_PATH}, where Azure has that API: is that missing?"
    elif end:
        yield f"ends in {end}, where Azure does not have that API: leave that out"
    if parts.scheme == "http" and _AZURES(parts.hostname or ""):
        yield "begins with http, so that its key can be read on the way: write https"


def without_model(file: File, presets: Presets) -> Iterator[str]:
    """A sentence if all traffic goes to a provider whose model nobody has said."""
    name, model = _chosen(file, presets)
    row = file.providers.get(name)
    if row is not None and not (model or row.model):
        how = f"make it {file.upstream}/MODEL, or set {prefix(name)}_MODEL"
        yield f"upstream: {name} has no default model, so every request is refused: {how}"


def per_token(file: File) -> Iterator[str]:
    """A sentence for each price that would be one for a single token, which makes every budget endless."""
    for model, price in file.prices.items():
        for name, dollars in asdict(price).items():
            if name != "request" and dollars and dollars < _CHEAPEST:
                said = f"prices.{model}.{name} is {dollars:g} dollars for a million tokens, not for one"
                yield f"{said}: is it {dollars * 1e6:g}?"


def too_much(file: File) -> Iterator[str]:
    """A sentence for each strict budget that is to set aside more for a request than it has."""
    rows = {f"budgets.{name}": row for name, row in file.budgets.items()}
    keys = {f"keys.{name}.budget": row.budget for name, row in file.keys.items() if row.budget is not None}
    for place, row in (rows | keys).items():
        if row.mode == "strict" and row.usd and (row.unbounded_usd or 0) > row.usd:
            how = (
                f"is more than the whole budget of {row.usd:g} dollars, so that it refuses all requests without a bound"
            )
            yield f"{place}.unbounded_usd {how}"


def without_key(
    file: File, presets: Presets, key_names: Mapping[str, Sequence[str]], origins: Mapping[Keys, Origin]
) -> Iterator[str]:
    """A sentence for each provider that is asked at its vendor's own address without a key."""
    need_none = {preset.kind for preset in presets.providers.values() if preset.finds_credentials}
    asked = {*file.providers} if file.upstream is None else {_chosen(file, presets)[0]}
    for name, row in file.providers.items():
        url = origins.get(("providers", name, "base_url"))
        is_vendors = url is not None and not url.told
        if row is None or name not in asked or name == file.transparent or not is_vendors:
            continue
        if not _has_key(row) and row.kind not in need_none and leads_away(row.base_url or ""):
            yield f"the provider {name} has no key: set {' or '.join(key_names[name])}"


def _chosen(file: File, presets: Presets) -> tuple[str, str]:
    """Provider and model of `upstream`, each "" where it names none."""
    name, _, model = (file.upstream or "").partition("/")
    return name if name in file.providers else presets.synonyms.get(name, name), model


def _has_key(row: ProviderRow) -> bool:
    return bool(row.api_key or row.api_keys or _SHOWING & {header.lower() for header in row.headers})
