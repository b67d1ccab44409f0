"""Whom do we trust that shows a certificate?

Whom the machine trusts, unless the configuration says otherwise. The machine's certificates take 0.75 MiB and 20 ms,
and many a sidecar speaks to nobody with TLS: they are loaded for the first connection that needs them, in a thread.
"""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from proxy.config.usable import show

_kept: list[ssl.SSLContext] = []  # one, as soon as it is made: all connectors share it


class Connector(aiohttp.TCPConnector):
    """aiohttp's. `tls`: whom to trust, in place of the machine's choice, where a request does not say."""

    def __init__(self, tls: ssl.SSLContext | None, **more: Any) -> None:
        super().__init__(ssl=tls or True, **more)
        self._is_told = tls is not None
        self._turn = asyncio.Lock()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """Were aiohttp to look elsewhere than in `_ssl`, it would trust nobody: see `lean`."""
        if not self._is_told and req.ssl is True and _with_tls(req):
            async with asyncio.timeout(timeout.connect), self._turn:
                self._ssl = _kept[0] if _kept else await asyncio.to_thread(machines)
        return await super().connect(req, traces, timeout)


def _with_tls(req: aiohttp.ClientRequest) -> bool:
    return req.is_ssl() or (req.proxy is not None and req.proxy.scheme == "https")


def machines() -> ssl.SSLContext:
    """Trust whom the machine trusts, or SSL_CERT_FILE and SSL_CERT_DIR say. Loads files. Raises OSError.

    OpenSSL passes over a file that it cannot read. What came of that, as when there were no descriptors left, is not
    kept: the next connection looks again.
    """
    context = _over_http_1(ssl.create_default_context())
    if context.cert_store_stats()["x509"] or ssl.get_default_verify_paths().cafile is None:
        _kept[:] = [context]
    return context


def trusting(ca: Path | None, cert: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Trust only what the certificates in `ca` vouch for, in place of the machine's; and show `cert`, whose key is in
    `key` or beside it. Raises OSError, and SSLError or ValueError where they hold no such thing.
    """
    context = _over_http_1(ssl.create_default_context(cafile=ca))
    if cert is not None:
        show(context, cert, key)
    return context


def _over_http_1(context: ssl.SSLContext) -> ssl.SSLContext:
    """As aiohttp's own."""
    context.set_alpn_protocols(["http/1.1"])
    return context
