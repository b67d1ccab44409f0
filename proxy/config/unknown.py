"""Which variables begin with PILLION_ and mean nothing, and what was meant?"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from msgspec import Struct, inspect

from proxy.config.environment import BESIDE, UNNAMED, leaves, prefix, way
from proxy.config.schema import File, Preset, ProviderRow
from proxy.late import CLOSE_MATCHES, load

# What Kubernetes sets in each container if a service is called pillion, or pillion-something. Its _PORT is a URL
# (tcp://10.0.0.1:7455), which tells it from a number that somebody meant for us.
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_LINK = re.compile(
    r"PILLION_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=.*"
    r"|PILLION_(\w+_)?PORT=\w+://.*",
    re.DOTALL,
)
# What other servers call it; "" where it is nothing of a variable's, whatever its letters are close to.
_ELSEWHERE = {
    **dict.fromkeys(("HOST", "PORT", "ADDRESS", "BIND", "SOCKET", "UNIX_SOCKET"), "LISTEN"),
    **dict.fromkeys(("DRAIN_TIMEOUT", "SHUTDOWN_TIMEOUT"), "MAX_SIGTERM_DELAY"),
    **dict.fromkeys(("API_KEY", "KEY"), "CLIENT_KEY"),
    **dict.fromkeys(("MODEL", "UPSTREAM_MODEL"), "UPSTREAM"),
    **dict.fromkeys(("REDIS", "REDIS_URL", "STORE_URL"), "STORE"),
    "BASE_URL": "<PROVIDER>_BASE_URL",
    "COST_LIMIT": "",
    "DEBUG": "LOG_LEVEL",
    "METRICS_PORT": "METRICS_ADDRESS",
    "RPM": "LIMITS_CLIENT_REQUESTS_PER_MINUTE",
    "TPM": "LIMITS_CLIENT_TOKENS_PER_MINUTE",
    "WEBHOOK": "ALERTS_WEBHOOK",
}
_TIMERS = {  # likewise of a provider's, before _TIMEOUT
    "CONNECT": "CONNECT",
    "FIRST_EVENT": "FIRST_EVENT",
    "FIRST_TOKEN": "FIRST_EVENT",
    "HEADERS": "HEADERS",
    "IDLE": "IDLE",
    "READ": "IDLE",
    "REQUEST": "TOTAL",
    "TOTAL": "TOTAL",
}
_TIMEOUT = re.compile(rf"PILLION_(?:(\w+?)_)??(?:({'|'.join(_TIMERS)})_)?TIMEOUT")
_MAKING = ("_BASE_URL", "_API_KEY", "_API_KEYS")  # what makes a preset a provider, and no other name
_ROW = "give the provider a row in the configuration file"
_ALIKE, _A_SLIP = 0.7, 0.9  # of what follows PILLION_, which all have in common


def unknown(environ: Mapping[str, str], configured: Collection[str], presets: Mapping[str, Preset]) -> Iterator[str]:
    """A sentence for each variable without an effect. `configured`: the names of the providers that there are."""
    ours = [name for name, text in environ.items() if name.startswith("PILLION_") and text]
    odd = {name for name in ours if not _SERVICE_LINK.fullmatch(f"{name}={environ[name]}")} - _of_the_server()
    if not odd:
        return
    absent = presets.keys() - configured
    idle = {each: name for name in absent for each in _spelled(ProviderRow, prefix(name))}
    known = _of_the_server().union(*(_spelled(ProviderRow, prefix(name)) for name in configured))
    for name in sorted(odd - known):
        if name in idle:
            how = way(idle[name], presets[idle[name]])
            yield f"{name} has no effect, because there is no provider {idle[name]}: {how}"
        else:
            yield _sentence(name, known | idle.keys(), [*configured, *absent])


def instead_of_flag(name: str) -> str:
    """What to use in place of a flag that does not exist: a variable, or "" if that is anybody's guess."""
    variable = f"PILLION_{name.strip('-').replace('-', '_').upper()}"
    known = _of_the_server()
    is_certain = variable in known or (variable.endswith(_MAKING) and not _is_elsewhere(variable))
    return variable if is_certain else _meant(variable, known)


def _of_the_server() -> set[str]:
    return BESIDE | _spelled(File, "PILLION")


def _sentence(name: str, known: Collection[str], providers: Iterable[str]) -> str:
    said = f"{name} is not one of pillion's variables, and has no effect"
    for keys, path in _in_the_file(providers).items():
        if name == keys or name.startswith(f"{keys}_"):
            return f"{said}: {path} can be set in the configuration file alone"
    if name.endswith(_MAKING) and not _is_elsewhere(name) and not _close(name, known, _A_SLIP):
        return f"{said}: {_ROW}"
    meant = _meant(name, known)
    return f"{said}; did you mean {meant}?" if meant else said


def _in_the_file(providers: Iterable[str]) -> dict[str, str]:
    """The tables with names of the operator's, which no variable can set: PILLION_LIMITS_MODELS and `limits.models`."""
    tables = {"_".join(["PILLION", *keys]).upper(): ".".join(keys) for keys in _tables(File)}
    rows = [*_tables(ProviderRow), *((key,) for key in sorted(UNNAMED))]
    of_rows = {
        "_".join([prefix(name), *keys]).upper(): f"providers.{name}.{'.'.join(keys)}"
        for name in providers
        for keys in rows
    }
    return of_rows | tables


def _tables(schema: type[Struct]) -> Iterator[tuple[str, ...]]:
    yield from _dicts(inspect.type_info(schema), ())


def _dicts(kind: inspect.Type, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    match kind:
        case inspect.DictType():
            yield above
        case inspect.Metadata():
            yield from _dicts(kind.type, above)
        case inspect.UnionType():
            for each in kind.types:
                yield from _dicts(each, above)
        case inspect.StructType():
            for field in kind.fields:
                yield from _dicts(field.type, (*above, field.encode_name))
        case _:
            return


def _meant(name: str, known: Collection[str]) -> str:
    """The variable that was meant, or those, as text; "" if that is anybody's guess."""
    if _is_elsewhere(name):
        meant = _ELSEWHERE[name.removeprefix("PILLION_")]
        return f"PILLION_{meant}" if meant else ""
    if timer := _TIMEOUT.fullmatch(name):
        provider, which = timer.groups()
        meant = f"PILLION_{provider or '<PROVIDER>'}_TIMERS_{_TIMERS.get(which, 'TOTAL')}"
        if provider is None or meant in known:
            return meant
    if name in _spelled(ProviderRow, "PILLION"):
        return name.replace("PILLION_", "PILLION_<PROVIDER>_", 1)
    plain = [each for each in sorted(known) if not each.endswith("_FILE")]
    longer = [each for each in plain if each.startswith(f"{name}_")]
    if f"{name}_ENABLED" in plain:
        return f"{name}_ENABLED"
    first, _, last = name.rpartition("_")
    between = [each for each in plain if each.startswith(f"{first}_") and each.endswith(f"_{last}")]
    if 0 < len(longer) < 4:
        return " or ".join(longer)
    if between and first != "PILLION":
        return min(between, key=len)
    return _close(name, plain, _ALIKE)


def _is_elsewhere(name: str) -> bool:
    return name.removeprefix("PILLION_") in _ELSEWHERE


def _close(name: str, known: Collection[str], cutoff: float) -> str:
    rest = {each.removeprefix("PILLION_"): each for each in sorted(known)}
    close = load(CLOSE_MATCHES)(name.removeprefix("PILLION_"), rest, n=1, cutoff=cutoff)
    return rest[close[0]] if close else ""


def _spelled(schema: type[Struct], before: str) -> set[str]:
    """The variables of all keys of a schema."""
    there = [leaf for leaf in leaves(schema) if schema is File or leaf.keys[0] not in UNNAMED]
    plain = {leaf.variable(before) for leaf in there}
    return plain | {f"{leaf.variable(before)}_FILE" for leaf in there if leaf.is_secret}
