"""What has the operator decided?

The schema of config.yaml and of the environment, and the only place that reads either. Precedence: environment, file,
preset. Upstream URLs never come from `OPENAI_BASE_URL` and its like: those are the app's own variables, they point at
us, and we would call ourselves.
"""

import os
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec
import yaml
from msgspec import Meta, Struct, field

from proxy.errors import ConfigError

T = TypeVar("T", bound=Struct)
Seconds = Annotated[float, Meta(gt=0, le=86400)]

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class Secret:
    """A value that must not be seen: only `reveal` shows it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "***" if self._value else "(none)"

    def __bool__(self) -> bool:
        return bool(self._value)

    def reveal(self) -> str:
        return self._value


class Timers(Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds; docs/decisions/0004-timers.md says why these. `total` is for whole answers, a live stream has none."""

    connect: Seconds = 10.0
    headers: Seconds = 30.0
    first_event: Seconds = 120.0
    idle: Seconds = 60.0
    total: Seconds = 600.0


class ProviderRow(Struct, kw_only=True, forbid_unknown_fields=True):
    """A provider as the file or a preset writes it."""

    kind: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    keys: list[str] = field(default_factory=list)  # environment variables that may hold the key
    serves: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    ask_usage: bool | None = None
    headers: dict[str, str] = field(default_factory=dict)
    timers: Timers = Timers()


class File(Struct, kw_only=True, forbid_unknown_fields=True):
    """config.yaml."""

    listen: str | None = None
    client_key: str | None = None
    aliases: dict[str, str] = field(default_factory=dict)
    default_model: str | None = None
    providers: dict[str, ProviderRow | None] = field(default_factory=dict)


class Presets(Struct, kw_only=True, forbid_unknown_fields=True):
    """presets.yaml."""

    providers: dict[str, ProviderRow]
    synonyms: dict[str, str]


class Provider(NamedTuple):
    """A provider in force. Credentials are in `api_key` and nowhere else."""

    name: str
    kind: str
    base_url: str
    api_key: Secret
    key_names: tuple[str, ...]  # where the key may come from, for messages
    serves: tuple[str, ...]
    models: tuple[str, ...]
    ask_usage: bool
    headers: dict[str, str]
    timers: Timers


class Config(NamedTuple):
    host: str
    port: int
    client_key: Secret
    aliases: dict[str, str]
    default_model: str | None
    providers: dict[str, Provider]  # echo is not among them: it is always there
    synonyms: dict[str, str]
    serves: dict[str, tuple[str, ...]]  # the beginnings of a provider's model names, of those without a key as well
    presets: dict[str, tuple[str, ...]]  # every provider there is a preset for, and what its key is called


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration in force; without a path, that of PILLION_CONFIG or none. Raises ConfigError."""
    if path is None and environ.get("PILLION_CONFIG"):
        path = Path(environ["PILLION_CONFIG"])
    presets = _read(files("proxy").joinpath("presets.yaml").read_text(), Presets, "presets.yaml", {})
    file = File() if path is None else _read(_text(path), File, str(path), environ)
    host, port = _address(environ.get("PILLION_LISTEN") or file.listen or "127.0.0.1:7455")
    providers = _providers(presets.providers, file.providers, environ)
    default_model = environ.get("PILLION_DEFAULT_MODEL") or file.default_model
    if default_model:
        known = {*providers, "echo"}
        _check_default(default_model, known | {word for word, name in presets.synonyms.items() if name in known})
    serves = {name: tuple(row.serves) for name, row in presets.providers.items()}
    return Config(
        host=host,
        port=port,
        client_key=Secret((environ.get("PILLION_CLIENT_KEY") or file.client_key or "").strip()),
        aliases=file.aliases,
        default_model=default_model,
        providers=providers,
        synonyms=presets.synonyms,
        serves=serves | {name: provider.serves for name, provider in providers.items()},
        presets={name: tuple(row.keys) for name, row in presets.providers.items()},
    )


def _providers(
    presets: Mapping[str, ProviderRow], rows: Mapping[str, ProviderRow | None], environ: Mapping[str, str]
) -> dict[str, Provider]:
    """Those that the file names, and those of the presets whose key or base URL is set."""
    keyed = [
        name for name, row in presets.items() if any(environ.get(key) for key in [*row.keys, _base_url_variable(name)])
    ]
    names = dict.fromkeys([*rows, *keyed])
    empty = ProviderRow()
    return {name: _provider(name, rows.get(name) or empty, presets.get(name, empty), environ) for name in names}


def _provider(name: str, row: ProviderRow, preset: ProviderRow, environ: Mapping[str, str]) -> Provider:
    if name == "echo" or not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise ConfigError(f"providers.{name}: a name has letters, digits, dots, dashes and underscores; echo is taken")
    keys = tuple(row.keys or preset.keys)
    api_key = (next((environ[key] for key in keys if environ.get(key)), "") or row.api_key or "").strip()
    for header, value in [("api_key", api_key), *row.headers.items()]:
        if not re.fullmatch(r"[!#-'*+.^-z|~-]+", header) or not re.fullmatch(r"[\t -~]*", value):
            raise ConfigError(f"providers.{name}: {header} cannot be sent in a header: it is not printable ASCII")
    variable = _base_url_variable(name)
    base_url = environ.get(variable) or row.base_url or preset.base_url
    if not base_url:
        raise ConfigError(f"providers.{name}: base_url is missing (in the file, or as {variable})")
    if not _is_base(base_url):
        raise ConfigError(f"providers.{name}: base_url must be http(s)://HOST[:PORT][/PATH] and nothing more")
    ask = row.ask_usage if row.ask_usage is not None else preset.ask_usage
    return Provider(
        name=name,
        kind=row.kind or preset.kind or "openai",
        base_url=base_url.rstrip("/"),
        api_key=Secret(api_key),
        key_names=keys,
        serves=tuple(row.serves or preset.serves),
        models=tuple(row.models),
        ask_usage=ask is not False,
        headers=row.headers,
        timers=row.timers,
    )


def _base_url_variable(provider: str) -> str:
    return f"PILLION_{re.sub('[^A-Z0-9]', '_', provider.upper())}_BASE_URL"


def _is_base(url: str) -> bool:
    """A user, a query or a fragment would be dropped in silence; a key may stand in them, so no message quotes it."""
    try:
        parts = urlsplit(url)
        extra = parts.query or parts.fragment or "@" in parts.netloc or parts.port == 0
    except ValueError:  # a port that is no number, a bracket that does not close
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not extra


def _check_default(name: str, providers: set[str]) -> None:
    provider, _, model = name.partition("/")
    if not model or provider not in providers:
        raise ConfigError(f"default_model must be PROVIDER/MODEL of a configured provider, not {name!r}")


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise ConfigError(f"listen must be HOST:PORT, such as 127.0.0.1:7455, not {text!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None


def _read(text: str, schema: type[T], source: str, environ: Mapping[str, str]) -> T:
    try:
        value = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  both are safe
        return msgspec.convert(_expand({} if value is None else value, environ), schema)
    except yaml.MarkedYAMLError as error:  # not its str(), which quotes the line: a key may stand in it
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{source}{line}: {error.problem or error.context or 'not valid YAML'}") from None
    except RecursionError:
        raise ConfigError(f"{source}: an alias stands inside of what it names") from None
    except (yaml.YAMLError, ValueError) as error:  # msgspec's is one, and so is that of a date such as 2026-99-99
        raise ConfigError(f"{source}: {' '.join(str(error).split())}") from None


def _expand(value: Any, environ: Mapping[str, str]) -> Any:
    """`${NAME}` in every string, after parsing: what a variable holds is never YAML."""
    match value:
        case str():
            return _VARIABLE.sub(lambda found: _variable(found, environ), value)
        case dict():
            return {key: _expand(item, environ) for key, item in value.items()}
        case list():
            return [_expand(item, environ) for item in value]
        case _:
            return value


def _variable(found: re.Match[str], environ: Mapping[str, str]) -> str:
    value = environ.get(found[1], found[2])
    if value is None:
        raise ConfigError(f"${{{found[1]}}} is not set in the environment, and has no default")
    return value
