"""Which route does a path lead to?

A table made once: whole paths are one look-up in a dict, and those that name something behind the route's own part
(`/models/{id}`) are tried from the longest beginning on. What is served wins over what is not yet. A version that both
the base URL and the SDK put into a path counts once, and a slash at its end does not count.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct

from proxy.errors import GatewayError
from proxy.ports import Handler

ANY = "*"  # a route for any method
SERVED = frozenset(("chat", "count_tokens", "generate", "models"))  # operations that a base URL is for
DEEPEST = 8  # parts that a base URL may have too many, for which a 404 still names the route that was meant
PATHS = 128  # remembered, of those that name something behind a route's own part: an app asks for few models


class Route(Struct, frozen=True):
    """Where a path leads. `tail`: it goes on behind the route's own part (`/models/{id}`). `ends`: how it must end."""

    method: str
    path: str  # without its version
    operation: str
    handler: Handler
    dialect: str = ""  # empty: the caller's headers tell
    tail: bool = False
    ends: str = ""
    versions: Sequence[str] = ("", "/v1")


Methods = dict[str, Route]

# What stands here for the routes of other gateways (LiteLLM, OpenRouter, one-api), by how those begin.
_INSTEAD = {
    " The probes are /liveness, /readiness and /startup.": ("/health", "/healthz", "/livez", "/readyz", "/ping"),
    " The models are at /v1/models.": ("/model/info", "/model_group/info"),
    " Client keys are made by `pillion keys add`.": ("/key", "/keys", "/auth/key", "/user", "/team"),
    " What was spent is at /v1/usage.": ("/spend", "/global/spend", "/credits", "/generation", "/dashboard/billing"),
    " pillion's base URL ends in /v1.": ("/api/v1", "/api/paas", "/api/chat/completions", "/openai/chat/completions"),
    " Chats are at /v1/chat/completions.": ("/completions", "/engines"),
}

# Of `//v1/messages`, `/v1//messages` and `/v1/v1/messages`: the base URL ends in a slash or a version, and the SDK adds
# its own. (Others end a path in a slash.)
_SLASHES = re.compile(r"^(/v1(?:beta1?|alpha)?)?//(?!/)")
_VERSIONS = re.compile(r"^/v1(?:beta1?|alpha)?(?=/(?:v[12][^/]*|api|model)/)")


def _methods(route: Route) -> Sequence[str]:
    """A HEAD is a GET whose answer has no body, and a server must take both (RFC 9110, 9.1)."""
    return ("GET", "HEAD") if route.method == "GET" else (route.method,)


def instead(path: str) -> str:
    """A sentence, with a blank before it, on what stands here for a route of another gateway's; "" if nobody knows."""
    path = f"{path.removeprefix('/v1')}/"
    return next((said for said, starts in _INSTEAD.items() if path.startswith(tuple(f"{s}/" for s in starts))), "")


class _Table:
    """Where the paths lead. A later route of the same path and method replaces an earlier one."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.exact: dict[str, Methods] = {}
        self.tails: dict[str, list[tuple[str, Methods]]] = {}  # by their beginning, the longest end first
        tails: dict[tuple[str, str], Methods] = {}
        for route in routes:
            for path in (version + route.path for version in route.versions):
                methods = (
                    tails.setdefault((path + "/", route.ends), {}) if route.tail else self.exact.setdefault(path, {})
                )
                for method in _methods(route):
                    methods[method] = route
        for start, end in sorted(tails, key=lambda key: -len(key[1])):
            self.tails.setdefault(start, []).append((end, tails[start, end]))
        self._depth = max((start.count("/") for start in self.tails), default=0)

    def places(self, path: str) -> list[tuple[Methods, str]]:
        """Where a path may lead that is not itself a route, the best first."""
        if not _is_text(path):
            return []
        path = _VERSIONS.sub("", _SLASHES.sub(r"\1/", path))
        if (plain := path.removesuffix("/")) in self.exact:
            return [(self.exact[plain], "")]
        return [
            (methods, path[len(start) :])
            for start in reversed(self._beginnings(path))
            for end, methods in self.tails.get(start, ())
            if path.endswith(end) and len(path) > len(start) + len(end)
        ]

    def _beginnings(self, path: str) -> list[str]:
        """The path up to each of its slashes, as far as any route's own part goes."""
        found, at = list[str](), 0
        while len(found) < self._depth and (at := path.find("/", at) + 1):
            found.append(path[:at])
        return found


class Routing:
    """The routes of one listener, and where the last paths led.

    That is remembered of the table, not of this: what points at itself waits for the collector, and with it, after a
    reload, all that the routes lead to.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self.table = _Table(routes)
        self._places = lru_cache(PATHS)(self.table.places)

    def find(self, method: str, path: str) -> tuple[Route, str]:
        """The route, and what the path says behind its own part.

        Raises GatewayError: 404, or 405 with the methods that there are.
        """
        found = self._found(method, path)
        if found is None:
            said = f"There is no route {path}.{self._beside(method, path) or instead(path)}"
            raise GatewayError(said, status=404, kind="invalid_request", code="unknown_url")
        methods, rest = found
        route = methods.get(method) or methods.get(ANY)
        if route is None:
            raise GatewayError(
                f"{path} does not take {method}, only {', '.join(methods)}.",
                status=405,
                kind="invalid_request",
                code="method_not_allowed",
                headers=[("allow", ", ".join(methods))],
            )
        return route, rest

    def dialect(self, path: str) -> str:
        """Whose path it is, whatever the method; "" where it is nobody's."""
        methods, _ = self._found("", path) or ({}, "")
        return next((route.dialect for route in methods.values() if route.dialect), "")

    def _beside(self, method: str, path: str) -> str:
        """A sentence on the route that is left where a base URL is one of another gateway's, as in
        /anthropic/v1/messages; "" if there is none.
        """
        at = 0
        for _ in range(DEEPEST):
            if (at := path.find("/", at + 1)) < 0:
                break
            base, rest = path[:at], path[at:]
            methods = self.table.exact.get(rest) or next((methods for methods, _ in self.table.places(rest)), {})
            if (route := methods.get(method)) is not None and route.operation in SERVED:
                return f" There is {rest}: leave {base} out of the base URL."
        return ""

    def _found(self, method: str, path: str) -> tuple[Methods, str] | None:
        """The longest beginning wins, then the longest end; routes that take the method go before all others."""
        if path in self.table.exact:
            return self.table.exact[path], ""
        found = self._places(path)
        for methods, rest in found:
            if method in methods:
                return methods, rest
        return found[0] if found else None


def _is_text(path: str) -> bool:
    """Was it UTF-8? Other bytes are lone surrogates here, and a model's name that has one cannot be sent or written."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
