"""With whose key is the provider asked, where the app brings its own?

In transparent mode pillion holds no key of that provider's, and asks for none of its own: the key that the app shows
goes to that one provider, and a call that would go to any other is refused. Each key has an adapter of its own, as if
it had been configured, so that it is taken out of the provider's words like a key of ours.
"""

import hmac
from collections.abc import Callable

from msgspec.structs import replace

from proxy.access.allowance import ClientKey, Limits
from proxy.access.rights import check
from proxy.access.salt import Salt
from proxy.access.shown import shown_key
from proxy.adapters.http import HTTPProvider
from proxy.config import Provider, Secret
from proxy.config.effective import NO_SECRET
from proxy.config.secret import digest_of
from proxy.headers import CREDENTIALS
from proxy.ports import Adapter, Call, Handler, Reply
from proxy.upstream import Upstream

KEPT = 64  # adapters
LISTS = frozenset({"models", "model"})  # operations that show what the provider lists


class Transparent:
    """The middleware at the head of the chain, and `lend`, which stands behind failover."""

    def __init__(
        self, provider: str, make: Callable[[Secret], Adapter] | None, limits: Limits, salt: Salt | None = None
    ) -> None:
        """`make`: the provider's adapter with this key; None for one that takes none. `salt`: of the clients' names."""
        self._provider = provider
        self._wanted = f"the app's own key for {provider}"
        self._make = make
        self._limits = limits
        self._salt = salt or Salt(None)
        self._adapters: dict[bytes, Adapter] = {}  # by the key's digest, the oldest first

    async def __call__(self, call: Call, handler: Handler) -> Reply:
        """Raises Unauthorized."""
        key = shown_key(call.headers, call.query, call.raw_query, self._wanted)
        call.client = self._alias(key)
        call.key = ClientKey(name=call.client, providers=(self._provider,), limits=self._limits)
        if self._make is not None and call.operation in LISTS:
            call.lent = self._with(key, self._make)
        return await handler(call)

    async def lend(self, call: Call, handler: Handler) -> Reply:
        """The target is asked with the app's own key. Raises GatewayError, 403, where that is for another provider."""
        check(call)
        if self._make is not None and call.target is not None:
            adapter = self._with(shown_key(call.headers, call.query, call.raw_query), self._make)
            call.target = replace(call.target, adapter=adapter)
        return await handler(call)

    def _with(self, key: str, make: Callable[[Secret], Adapter]) -> Adapter:
        digest = digest_of(key)
        adapter = self._adapters.get(digest)
        if adapter is None:
            if len(self._adapters) >= KEPT:
                del self._adapters[next(iter(self._adapters))]
            adapter = self._adapters[digest] = make(Secret(key))
        return adapter

    def _alias(self, key: str) -> str:
        """A client's name, made of its key: no other key has it, and it tells nothing of the key without our salt."""
        return f"app-{hmac.digest(self._salt.value(), digest_of(key), 'sha256').hex()[:12]}"


def lent(make: type[HTTPProvider], provider: Provider, upstream: Upstream, key: Secret) -> Adapter:
    """The provider's adapter, with a client's key."""
    adapter = make(keyless(provider)._replace(api_key=key), upstream)
    adapter.hold_clients_key()
    return adapter


def keyless(provider: Provider) -> Provider:
    """The same, less what shows a key."""
    headers = {name: value for name, value in provider.headers.items() if name.lower() not in CREDENTIALS}
    return provider._replace(api_key=NO_SECRET, api_keys=(), headers=headers)
