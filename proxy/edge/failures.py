"""How can a connection fail, and what do the client and the log hear of it?

The client gets a sentence and a code of ours, the log what the network says: never a URL, nor any bytes that came.
"""

import os
import ssl
from collections.abc import Sequence

import aiohttp
from yarl import URL

from proxy.edge.address import Address
from proxy.errors import Down, Timeout, UpstreamError
from proxy.headers import TIMEOUT

# Why there may be no connection, the specific errors first: what the client reads, and the code.
_WAYS: Sequence[tuple[type[Exception], str, str]] = (
    (aiohttp.ClientConnectorDNSError, "The {whom}'s host name cannot be resolved.", "dns_error"),
    (aiohttp.ClientSSLError, "The TLS connection to the {whom} failed.", "tls_error"),
    (aiohttp.ClientConnectorError, "The {whom} cannot be reached.", "connect_error"),
    (aiohttp.ClientResponseError, "The {whom}'s answer is not valid HTTP.", "network_error"),
    (aiohttp.ServerDisconnectedError, "The {whom} closed the connection without an answer.", "network_error"),
    (Exception, "The connection to the {whom} failed.", "network_error"),
)


def mapped(
    error: Exception,
    seconds: float | None,
    whom: str = "provider",
    proxy: URL | None = None,
    is_connecting: bool = False,
) -> UpstreamError:
    """An error of aiohttp's or the system's as one of ours.

    `whom`: who was asked; `seconds`: how long they had, if that is known; `proxy`: the egress proxy on the way;
    `is_connecting`: nothing has been asked of them yet.
    """
    if isinstance(error, TimeoutError):
        within = "" if seconds is None else f" within {seconds:g} s"
        return Timeout(f"The {whom} did not answer{within}.", code="total_timeout")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return turned_back(error.status)
    message, code = next((message, code) for kind, message, code in _WAYS if isinstance(error, kind))
    detail = _detail(error)
    if proxy is not None and (is_its := _is_of(proxy, error, is_connecting)) is not False:
        where = _place(proxy.host, proxy.port)
        detail = detail if detail.startswith(where) else f"{where}: {detail}" if detail else where
        whom, code = ("egress proxy", "proxy_error") if is_its else (f"{whom} (or the egress proxy)", code)
    return Down(message.format(whom=whom), kind="network_error", code=code, detail=detail)


def _is_of(proxy: URL, error: Exception, is_connecting: bool) -> bool | None:
    """Is it the egress proxy that failed, rather than whoever is behind it? None: nobody can say."""
    match error:
        case aiohttp.ClientConnectorError():  # the TLS handshake through the proxy's tunnel has the provider's name
            return (error.host, error.port) == (proxy.host, proxy.port)
        case aiohttp.ClientResponseError(request_info=info) if info.method == "CONNECT":
            return True
        case _:
            return is_connecting or None


def turned_back(status: int) -> Down:
    return Down(f"The egress proxy answered with status {status}.", kind="network_error", code="proxy_error")


def _detail(error: Exception) -> str:
    """Where it failed, and why. aiohttp's own text is never shown: it may hold a URL, or lines of a head."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"{_place(error.host, error.port)}: {why(error.certificate_error)}"
        case aiohttp.ClientConnectorError():
            return f"{_place(error.host, error.port)}: {why(error.os_error)}"
        case aiohttp.ClientResponseError() | aiohttp.ServerDisconnectedError():
            return ""  # the message says it all
        case _:
            return why(error)


def _place(host: str | None, port: int | None) -> str:
    return str(Address(host or "", port or 0))


def too_slow(url: URL, seconds: float, made: int, proxy: URL | None, allowed: float) -> Timeout:
    """One timer covers TCP and TLS, but each has a code of its own. `made`: how many TCP connections were, of which
    with a proxy the first is to that.

    `allowed`: as in `within`.
    """
    where, time, is_reached = _place(url.host, url.port), within(seconds, allowed), made > (proxy is not None)
    if url.scheme == "https" and is_reached:
        return Timeout(f"The TLS handshake with the provider did not end {time}.", code="tls_timeout", detail=where)
    whom = "provider"
    if proxy is not None:
        by = _place(proxy.host, proxy.port)
        whom, where = ("provider", f"{where} through {by}") if made else ("egress proxy", by)
    return Timeout(f"The connection to the {whom} was not made {time}.", code="connect_timeout", detail=where)


def within(seconds: float, allowed: float | None) -> str:
    """For a sentence about a time that is over. `allowed`: of how many seconds, which the client has set, it was the
    rest; 0 or None: of none.
    """
    said = f"within {seconds:g} s"
    return f"{said}: {TIMEOUT} allows {allowed:g} s in all" if allowed else said


def why(error: BaseException | None) -> str:
    """What the network says, for the log: never a URL, nor any bytes that came."""
    match error:
        case None:
            return ""
        case ssl.SSLCertVerificationError(verify_message=str(message)):
            return message
        case ssl.SSLError(reason=str(reason)):
            return reason.lower().replace("_", " ")
        case OSError(__cause__=ssl.SSLError() as cause):  # aiohttp's own has OpenSSL's number for the system's
            return why(cause)
        case OSError(errno=int(number)) if number > 0 and not isinstance(error, ssl.SSLError):
            return os.strerror(number)
        case OSError(strerror=str(words)):  # the resolver and OpenSSL have numbers of their own
            return words
        case _:
            return type(error).__name__
