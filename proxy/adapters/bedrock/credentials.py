"""In whose name is AWS asked?

AWS's chain, as all of its tools have it: the environment, a profile, a web identity, the container, the machine.
botocore knows the chain, and aiobotocore walks it without blocking the loop. It is walked at the first request, since
a pillion may be up before its credentials are; those that end are renewed by botocore ahead of time, once for all who
wait. https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
"""

import asyncio
from collections.abc import Awaitable
from time import monotonic
from typing import Any, TypeVar

from aiobotocore.session import AioSession  # type: ignore[import-untyped]
from botocore.credentials import ReadOnlyCredentials  # type: ignore[import-untyped]
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from proxy.config import Secret
from proxy.errors import Refused

T = TypeVar("T")

PATIENCE = 10.0  # seconds for one walk along the chain, or one renewal
RETRY = 5.0  # seconds before a chain that had nothing is walked again: its end, a machine's metadata, is slow to refuse


class Chain:
    """`profile`: the operator's choice, where AWS_PROFILE is not to say it. `key_names`: what else may be set."""

    def __init__(self, name: str, profile: str = "", key_names: tuple[str, ...] = ()) -> None:
        self.secrets = (Secret(""), Secret(""), Secret(""))  # those last in use: the key's id, it, the session's token
        self._name = name
        self._ways = " or ".join([*key_names, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"])
        self._session = AioSession(profile=profile or None)
        self._found: Any = None  # botocore's own, which know when they end
        self._walking = asyncio.Lock()
        self._why = ""
        self._retry_at = 0.0

    def __repr__(self) -> str:
        return f"<Chain {self._name}: {'found' if self._found else 'nothing yet'}>"

    async def credentials(self) -> ReadOnlyCredentials:
        """Those of now. Raises Refused, which says what to set."""
        if self._found is None:
            async with self._walking:  # who comes second has what the first one found
                await self._walk()
        if self._found is not None:
            frozen: ReadOnlyCredentials | None = await self._patiently(self._found.get_frozen_credentials())
            if frozen is not None:
                for secret, value in zip(self.secrets, frozen, strict=False):  # what follows is an account
                    secret.become(value or "")
                return frozen
        raise Refused(
            f"{self._name} has no AWS credentials ({self._why}): set {self._ways}.",
            status=401,
            kind="authentication",
            code="no_credentials",
            provider=self._name,
        )

    async def _walk(self) -> None:
        if self._found is not None or monotonic() < self._retry_at:
            return
        self._why = "the chain has none"
        self._found = await self._patiently(self._session.get_credentials())
        self._retry_at = 0.0 if self._found else monotonic() + RETRY

    async def _patiently(self, asking: Awaitable[T]) -> T | None:
        """None where it fails. It reads files, runs programs and asks hosts, and so fails in as many ways as they do.

        Of what failed only the name is told: the text of it may repeat what a program or a host had said.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                return await asking
        except Exception as error:
            self._why = _name_of(error)
            return None


def _name_of(error: Exception) -> str:
    """`ProfileNotFound`; of what AWS itself refused its own word, such as `AccessDenied`."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "")) or "ClientError"
    return type(error).__name__
