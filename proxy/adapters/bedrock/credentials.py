"""With which credentials is AWS asked?

With those of AWS's default chain, as in all of its tools: the environment, a profile, a web identity, the container,
the machine. botocore knows the chain, and aiobotocore walks it without blocking the loop. It is walked at the first
request, since pillion may start before its credentials exist. Those that expire are renewed ahead of time. Either is
done once for all requests, in a task of its own: a client that leaves would break it off for the others, and have
aiobotocore forget to close a connection.
https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
"""

import asyncio
from collections.abc import Awaitable
from time import monotonic
from typing import Any, TypeVar

from aiobotocore.session import AioSession  # type: ignore[import-untyped]
from botocore.credentials import ReadOnlyCredentials, RefreshableCredentials  # type: ignore[import-untyped]
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from proxy.config import Secret
from proxy.errors import Refused

T = TypeVar("T")

PATIENCE = 10.0  # seconds for one walk of the chain, or one renewal
EXPIRING = 600.0  # seconds before they expire from which a request waits for others
RETRY = 5.0  # seconds until an empty chain is walked again: its last step, machine metadata, fails slowly


class Chain:
    """`profile`: the operator's, in place of AWS_PROFILE. `key_names`: other variables that may be set."""

    def __init__(self, name: str, profile: str = "", key_names: tuple[str, ...] = ()) -> None:
        self.secrets = (Secret(""), Secret(""), Secret(""))  # those last in use: key id, secret key, session token
        self._name = name
        self._ways = " or ".join([*key_names, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"])
        self._session = AioSession(profile=profile or None)
        self._found: Any = None  # botocore's object, which knows when to renew itself
        self._frozen: ReadOnlyCredentials | None = None  # what it had last
        self._asking: asyncio.Task[ReadOnlyCredentials | None] | None = None
        self._why = ""
        self._retry_at = 0.0

    def __repr__(self) -> str:
        return f"<Chain {self._name}: {'found' if self._found else 'nothing yet'}>"

    async def credentials(self) -> ReadOnlyCredentials:
        """The current ones. Raises Refused, which says what to set."""
        frozen = self._frozen
        if self._found is None or self._expire_within(None):
            if self._asking is None:
                self._asking = asyncio.create_task(self._asked(), name=f"credentials of {self._name}")
            if frozen is None or self._expire_within(EXPIRING):
                frozen = await asyncio.shield(self._asking)
        if frozen is not None:
            return frozen
        raise Refused(
            f"{self._name} has no AWS credentials ({self._why}): set {self._ways}.",
            status=401,
            kind="authentication",
            code="no_credentials",
            provider=self._name,
        )

    def _expire_within(self, seconds: float | None) -> bool:
        """None: as many as botocore likes best, 15 minutes."""
        return isinstance(self._found, RefreshableCredentials) and self._found.refresh_needed(seconds)

    async def _asked(self) -> ReadOnlyCredentials | None:
        try:
            if self._found is None and monotonic() >= self._retry_at:
                await self._walk()
            if self._found is None:
                return None
            frozen: ReadOnlyCredentials | None = await self._patiently(self._found.get_frozen_credentials())
            if frozen is not None:
                self._frozen = frozen
                for secret, value in zip(self.secrets, frozen, strict=False):  # a fourth value would be the account
                    secret.become(value or "")
            return frozen
        finally:
            self._asking = None

    async def _walk(self) -> None:
        self._why = "AWS's own search found none"
        self._found = await self._patiently(self._session.get_credentials())
        self._retry_at = 0.0 if self._found else monotonic() + RETRY

    async def _patiently(self, asking: Awaitable[T]) -> T | None:
        """None where it fails. It reads files, runs programs and asks hosts, and fails in as many ways as they do.

        Only the error's name is kept: its text may repeat what a program or a host has said.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                return await asking
        except Exception as error:
            self._why = _name_of(error)
            return None


def _name_of(error: Exception) -> str:
    """`ProfileNotFound`, or AWS's own code if AWS refused, such as `AccessDenied`."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "")) or "ClientError"
    return type(error).__name__
