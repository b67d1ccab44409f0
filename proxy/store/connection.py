"""How is Redis reached, and why is it not?

redis-py's own retries are off, because a second attempt would come too late. Its error messages are never passed on,
because they may hold the URL with its password. And connections over TLS share one context: redis-py would make one for
each, four times a second while Redis is away, and each takes as long as many requests.
"""

import os
import ssl
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

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

# The first that fits counts: some of these classes are subclasses of others.
REASONS: Mapping[type[BaseException], str] = {
    AuthenticationError: "refuses the password",
    NoPermissionError: "does not permit the commands that pillion needs",
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
        self._place = ""

    def client(self) -> Client:
        """A client with a connection of its own, which is not open yet.

        Raises ConfigError: the URL is not valid, or (for the first client) a file that it names cannot be used.
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
            # This is what first reads the query of the URL. It does not connect.
            connection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, RedisError):  # their messages quote the URL
            raise ConfigError("store: must be the URL of a Redis, redis://[:PASSWORD@]HOST:PORT/DB") from None
        self._place = _place(self._url.reveal())
        if isinstance(connection, SSLConnection):
            self._tls = self._tls or _usable(connection.ssl_context)
            client.connection_pool.connection_class = partial(_over, self._tls)  # type: ignore[assignment]
        return client

    def detail(self, error: BaseException) -> str:
        """Where it was not reached, and what the network says of that, if it says anything."""
        words = next(filter(None, map(_words, _causes(error))), "")
        return ": ".join(filter(None, [self._place, words]))


def _place(url: str) -> str:
    """Host and port, or path. Nothing where a password that was not encoded may have been taken for them."""
    parts = urlsplit(url)
    if "@" in parts.path + parts.query + parts.fragment:
        return ""
    return parts.netloc.rpartition("@")[2] or parts.path


def _words(error: BaseException) -> str:
    match error:
        case ssl.SSLError():
            return ""  # `reason` has them
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number)
        case OSError(strerror=str(words)):  # the resolver has numbers of its own
            return words
        case _:
            return ""


def reason(error: BaseException) -> str:
    """In words that hold nothing of the URL, except the host's name where a certificate is not for it."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"has a certificate that is not trusted ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return "failed the TLS handshake"
    return next((text for kind, text in REASONS.items() if isinstance(error, kind)), type(error).__name__)


def _usable(tls: RedisSSLContext) -> RedisSSLContext:
    """Made now, with the files that the URL names. Raises ConfigError."""
    try:
        tls.get()
    except ssl.SSLError:
        raise ConfigError("store: ssl_ca_certs, or another file in its URL, contains no PEM certificates") from None
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
