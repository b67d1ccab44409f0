"""Who is asking?

One key, PILLION_CLIENT_KEY, shown in any of the places where the vendors' SDKs put theirs. One that stands in a file
may be another from one request to the next. Without a client key nobody is asked, and start-up says so.
"""

import hmac
from collections.abc import Mapping
from hashlib import sha256

from proxy.config import Secret
from proxy.errors import Unauthorized
from proxy.ports import Call, Handler, Reply

_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")


class Auth:
    def __init__(self, key: Secret) -> None:
        self._key = key
        self._known = ("", b"")  # the key as it was last, and its digest

    async def __call__(self, call: Call, handler: Handler) -> Reply:
        """Raises Unauthorized."""
        if self._key:
            shown = _shown(call.headers, call.query)
            if not shown:
                raise Unauthorized("No API key was shown; pillion wants its client key.", code="missing_api_key")
            # Digests, so that the time it takes says nothing of the key, its length included.
            if not hmac.compare_digest(_digest(shown), self._expected()):
                raise Unauthorized("The API key that was shown is not pillion's client key.")
            call.client = "default"
        return await handler(call)

    def _expected(self) -> bytes:
        key = self._key.reveal()
        if key != self._known[0]:
            self._known = (key, _digest(key))
        return self._known[1]


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def _shown(headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    """The key, from the first place that has one."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return next((headers[name] for name in _HEADERS if headers.get(name)), query.get("key", ""))
