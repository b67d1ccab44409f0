"""Who is asking?

A client shows a key of ours, or a token of the operator's identity provider, in any of the places where the vendors'
SDKs put theirs. Where there are no keys nobody is asked, and start-up says so.
"""

import time
from collections.abc import Awaitable, Callable

from proxy.access.allowance import ClientKey
from proxy.access.clients import Clients
from proxy.access.rights import ALLOWED, is_restricted
from proxy.access.shown import shown_key
from proxy.errors import Unauthorized
from proxy.ports import Call, Handler, Reply

ByToken = Callable[[str], Awaitable[ClientKey | None]]


class Auth:
    def __init__(
        self, clients: Clients, by_token: ByToken | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        """`by_token`: whose token it is, where the operator takes tokens; None for what is no token at all."""
        self._clients = clients
        self._by_token = by_token
        self._clock = clock

    def __call__(self, call: Call, handler: Handler) -> Awaitable[Reply]:
        """Raises Unauthorized."""
        if self._clients.are_asked():
            key = shown_key(call.headers, call.query, call.raw_query)
            client = self._clients.find(key)
            if client is None:
                return self._look_further(key, call, handler)
            self._let_in(call, client)
        return handler(call)

    async def _look_further(self, key: str, call: Call, handler: Handler) -> Reply:
        """Raises Unauthorized, and GatewayError where the identity provider is needed and out of reach."""
        client = await self._clients.awaited(key)
        if client is None and self._by_token is not None:
            client = await self._by_token(key)
        if client is None:
            raise Unauthorized("The API key is not a client key of pillion.")
        self._let_in(call, client)
        return await handler(call)

    def _let_in(self, call: Call, client: ClientKey) -> None:
        """Raises Unauthorized."""
        if client.expires is not None and self._clock() >= client.expires:
            call.client = client.name  # so that operators read in the log whose key it is
            raise Unauthorized("The API key has expired.", code="expired_api_key")
        call.key, call.client = client, client.name
        if is_restricted(client):
            call.accounts.append(ALLOWED)
