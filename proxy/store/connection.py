"""How is Redis reached, and why is it not?

redis-py's own repetitions are off, as a second attempt would come too late; and no word of its errors is passed on, as
they may hold the URL with its password. Nor does each connection over TLS make a context of its own, as redis-py would
have it: that takes as long as many requests, and four times a second while Redis is away.
"""

import ssl
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from proxy.config import Secret
from proxy.config.secret import why_unreadable
from proxy.errors import ConfigError

try:
    from redis.asyncio import Redis as Client
    from redis.asyncio import SSLConnection
    from redis.asyncio.connection import RedisSSLContext
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import (
        AuthenticationError,
        BusyLoadingError,
        NoPermissionError,
        NoScriptError,
        OutOfMemoryError,
        ReadOnlyError,
        RedisError,
        ResponseError,
    )
    from redis.exceptions import ConnectionError as NoConnection
    from redis.exceptions import TimeoutError as TooLate
except ImportError:
    raise ConfigError("`store` needs redis-py: pip install 'pillion[redis]'") from None

__all__ = ["CONNECT", "Client", "NoScriptError", "RedisError", "ResponseError", "Way", "reason"]

CONNECT = 1.0  # seconds; nobody waits for it

# The first that fits is said: some are kinds of others.
REASONS: Mapping[type[BaseException], str] = {
    AuthenticationError: "refuses our password",
    NoPermissionError: "does not allow us what we need",
    BusyLoadingError: "is loading its data",
    ReadOnlyError: "is read-only",
    OutOfMemoryError: "is out of memory",
    TimeoutError: "does not answer in time",
    TooLate: "does not answer in time",
    NoConnection: "cannot be reached",
    OSError: "cannot be reached",
    RedisError: "answers with an error",
}


class Way:
    """`url`: redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], or rediss:// for TLS, with `?ssl_ca_certs=FILE` where the
    system does not know whom to trust.
    """

    def __init__(self, url: Secret) -> None:
        self._url = url
        self._tls: RedisSSLContext | None = None

    def client(self) -> Client:
        """With a connection of its own, which is not yet there.

        Raises ConfigError: the URL is none; or, of the first, a file that it names cannot be used.
        """
        try:
            client = Client.from_url(
                self._url.reveal(),
                single_connection_client=True,
                retry=Retry(NoBackoff(), 0),
                socket_timeout=CONNECT,
                socket_connect_timeout=CONNECT,
                protocol=2,
                decode_responses=False,
            )
            # The first to read what stands behind the `?`; it connects to nobody.
            connection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, RedisError):  # whose words hold what stands there
            raise ConfigError("store: is no URL of a Redis; write redis://[:PASSWORD@]HOST:PORT/DB") from None
        if isinstance(connection, SSLConnection):
            self._tls = self._tls or _usable(connection.ssl_context)
            client.connection_pool.connection_class = partial(_over, self._tls)  # type: ignore[assignment]
        return client


def reason(error: BaseException) -> str:
    """In words that hold nothing of the URL but its host's name, which a certificate may not be for."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"shows a certificate that is not trusted ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return "does not speak TLS as we do"
    return next((text for kind, text in REASONS.items() if isinstance(error, kind)), type(error).__name__)


def _usable(tls: RedisSSLContext) -> RedisSSLContext:
    """Made now, with the files that the URL names. Raises ConfigError."""
    try:
        tls.get()
    except ssl.SSLError:
        raise ConfigError("store: ssl_ca_certs, or another file in its URL, holds no certificates in PEM") from None
    except OSError as error:
        why = why_unreadable(error)
        raise ConfigError(f"store: ssl_ca_certs, or another file in its URL, cannot be read: {why}") from None
    return tls


def _over(tls: RedisSSLContext, **said: Any) -> SSLConnection:
    connection = SSLConnection(**said)
    connection.ssl_context = tls
    return connection


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
