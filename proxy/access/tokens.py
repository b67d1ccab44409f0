"""Whose is this token, and is it good?

JSON Web Tokens (RFC 7519) that the operator's identity provider signs, for clients that have no key of ours. Its public
keys come from a file, or over https (on this machine also http) through the same pool as requests to providers; they
are good for five minutes, and renewed while nobody waits. A token whose key is not among them has them fetched anew, at
most twice a minute. A token that was found good is remembered as long as the keys are, since checking a signature costs
more than all else that happens to a request.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from math import ceil
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from proxy.access.allowance import ClientKey, Limits
from proxy.config import JWT
from proxy.config.address import scheme_of, without_query
from proxy.config.secret import secret_text, why_unreadable
from proxy.config.spending import LARGEST_KEY_SET
from proxy.errors import ConfigError, GatewayError, Unauthorized, UpstreamError
from proxy.upstream import Upstream

try:
    import jwt
    from jwt.exceptions import (
        ExpiredSignatureError,
        ImmatureSignatureError,
        InvalidAlgorithmError,
        InvalidAudienceError,
        InvalidIssuerError,
        InvalidKeyError,
        InvalidSignatureError,
        MissingRequiredClaimError,
    )
except ImportError:
    raise ConfigError("`jwt` needs PyJWT: pip install 'pillion[jwt]'") from None

LEEWAY = 30.0  # seconds by which the identity provider's clock and ours may differ
LIFE = 300.0  # seconds for which its keys are used without another look ...
STALE = 3600.0  # ... and at most, while it cannot be asked
PAUSE = 30.0  # seconds between two fetches; those for an unknown key have a pause of their own
PATIENCE = 5.0  # seconds for one fetch
REMEMBERED = 1024  # tokens
WEB = ("https", "http")  # where its keys may be, besides a file; http on this machine only
NEVER = 2**40  # seconds since 1970: some issuers say an end that is beyond all dates

_NO_KID = ""  # of a token, or a key, that names none
_REQUIRED = ["exp", "iss", "aud"]

_is_token = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*", re.ASCII).fullmatch
_is_name = re.compile(r"[!-~]{1,200}").fullmatch  # of a client, in logs and sums

# What may be wrong with a token: the code, and what the client reads.
_FAULTS: tuple[tuple[type[Exception], str, str], ...] = (
    (ExpiredSignatureError, "expired_token", "The token has expired."),
    (ImmatureSignatureError, "immature_token", "The token is not valid yet."),
    (InvalidAudienceError, "invalid_token_audience", "The token is for a different audience."),
    (InvalidIssuerError, "invalid_token_issuer", "The token is from a different issuer."),
    (InvalidAlgorithmError, "invalid_token_algorithm", "The token is signed with an algorithm that is not allowed."),
    (InvalidSignatureError, "invalid_token_signature", "The token's signature is not valid."),
    (InvalidKeyError, "invalid_token_key", "The token is signed with a key that is too weak."),
    (MissingRequiredClaimError, "invalid_token_claim", f"The token lacks one of the claims {', '.join(_REQUIRED)}."),
    (Exception, "invalid_token", "The token cannot be read."),
)

log = logging.getLogger("pillion")

Key = Any  # a jwt.PyJWK, which knows its algorithm, or an RSA key that is for several
Keys = Mapping[str, Key]


class KeySet:
    """The identity provider's public keys, by their `kid`."""

    def __init__(self, place: str, upstream: Upstream) -> None:
        self._place = place
        self._upstream = upstream
        self._keys: Keys = {}
        self._got = self._tried = self._sought = -STALE  # seconds, as monotonic counts
        self._failed = False
        self._asking: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<KeySet of {len(self._keys)} keys from {without_query(self._place)}>"

    def current(self) -> Keys:
        """Those that are good now; there may be none. Another object once they were fetched anew."""
        now = monotonic()
        if now >= self._got + LIFE and now >= self._tried + PAUSE:
            self._ask()
        if self._keys and now >= self._got + STALE:
            self._keys = {}
        return self._keys

    async def of(self, kid: str) -> Key | None:
        """The key of that name. Raises GatewayError where there are no keys."""
        if (found := _named(self.current(), kid)) is not None:
            return found
        if self._asking is None and self._may_seek(now := monotonic()):
            self._sought = now
            self._ask()
        if self._asking is not None:
            await asyncio.shield(self._asking)  # others may wait for it when this client leaves
        if not self._keys:
            wait = max(1, ceil(self._tried + PAUSE - monotonic()))  # seconds, until they are asked for again
            raise GatewayError(
                "The identity provider's keys are not available.",
                status=503,
                code="jwks_unavailable",
                headers=[("retry-after", str(wait))],
            )
        return _named(self._keys, kid)

    def _may_seek(self, now: float) -> bool:
        """May an unknown key have them fetched? Each may be new, or made up."""
        return now >= (self._tried if self._failed else self._sought) + PAUSE

    def _ask(self) -> None:
        if self._asking is None:
            self._asking = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        self._failed = True
        try:
            self._keys = _keys_in(await self._read())
            self._got, self._failed = monotonic(), False
        except Exception as error:  # PyJWT may raise anything at what others wrote: then there are no new keys
            words = "cannot read the identity provider's keys from %s: %s"
            log.warning(words, without_query(self._place), _why(error), extra={"event": "jwks_failed"})
        finally:
            self._tried = monotonic()
            self._asking = None

    async def _read(self) -> str | bytes:
        """Raises OSError, ValueError, UpstreamError."""
        url = urlsplit(self._place)
        if url.scheme not in WEB:
            return secret_text(Path(self._place), LARGEST_KEY_SET)
        origin = self._upstream.origin(f"{url.scheme}://{url.netloc}")
        path = f"{url.path}?{url.query}" if url.query else url.path
        asked = {"accept": "application/json", "accept-encoding": "identity"}
        status, body = await self._upstream.get(origin, path, asked, PATIENCE)
        if status != 200:
            raise ValueError(f"it answered with status {status}")
        return body


class _Good(NamedTuple):
    """A token that was found good."""

    subject: str
    until: float  # seconds since 1970


class Tokens:
    """`named` finds a client key by its name; `limits` are for clients that are none."""

    def __init__(
        self, config: JWT, upstream: Upstream, named: Callable[[str], ClientKey | None], limits: Limits
    ) -> None:
        self._config = config
        self._named = named
        self._limits = limits
        self._keys = KeySet(config.jwks or "", upstream)
        self._good: dict[bytes, _Good] = {}  # by digest
        self._good_by: Keys = {}  # the keys that they were checked with

    def follow(self, before: "Tokens") -> None:
        """Go on with the keys that are known, if they are from the same URL: the provider may be away just now.

        A file is read anew, as whoever reloads the configuration may have put other keys there.
        """
        if before._config.jwks == self._config.jwks and scheme_of(self._config.jwks or "") in WEB:
            self._keys = before._keys

    async def client(self, token: str) -> ClientKey | None:
        """The client; None where this is no token. Raises Unauthorized, and GatewayError where it cannot be checked."""
        if not _is_token(token):
            return None
        digest = sha256(token.encode()).digest()
        if self._keys.current() is not self._good_by:
            self._good, self._good_by = {}, self._keys.current()
        good = self._good.get(digest)
        if good is None or time.time() >= good.until:
            good = await self._checked(token)
            if len(self._good) >= REMEMBERED:
                self._good.clear()
            self._good[digest] = good
        return self._client(good.subject)

    async def _checked(self, token: str) -> _Good:
        """Raises Unauthorized, GatewayError."""
        key = await self._keys.of(_kid(token))
        if key is None:
            raise Unauthorized("The token is signed with an unknown key.", code="unknown_token_key")
        claims = _claims(token, key, self._config)
        return _Good(_subject(claims, self._config.claim), min(int(claims["exp"]), NEVER) + LEEWAY)

    def _client(self, subject: str) -> ClientKey:
        """Raises Unauthorized."""
        if self._config.keys:
            key = self._named(self._config.keys.get(subject, ""))
            if key is None:
                raise Unauthorized("The token is valid, but its client is unknown here.", code="unknown_client")
            return key
        if self._named(subject) is not None:
            message = f"The token's claim {self._config.claim} must not be the name of a client key."
            raise Unauthorized(message, code="invalid_token_claim")
        return ClientKey(name=subject, limits=self._limits)


def _named(keys: Keys, kid: str) -> Key | None:
    """A token that names no key is checked with the only one that there is."""
    if kid == _NO_KID and len(keys) == 1:
        return next(iter(keys.values()))
    return keys.get(kid)


def _keys_in(text: str | bytes) -> Keys:
    """The public keys. Whoever holds a shared secret (`oct`) could sign as well. Raises PyJWTError, ValueError.

    PyJWT takes an RSA key that names no algorithm (RFC 7517, 4.4) for one of RS256, whatever the operator allows.
    """
    said = msgspec.json.decode(text, type=dict[str, Any])
    found = jwt.PyJWKSet.from_dict(said)
    free = [each.get("kid") for each in said["keys"] if isinstance(each, dict) and not each.get("alg")]
    public = [key for key in found if key.key_type != "oct" and key.public_key_use in (None, "sig")]
    return {key.key_id or _NO_KID: key.key if key.key_type == "RSA" and key.key_id in free else key for key in public}


def _kid(token: str) -> str:
    """Raises Unauthorized."""
    try:
        return str(jwt.get_unverified_header(token).get("kid", _NO_KID))
    except Exception as error:  # what strangers wrote
        raise _fault(error) from None


def _claims(token: str, key: Key, config: JWT) -> Mapping[str, Any]:
    """Raises Unauthorized."""
    try:
        claims: Mapping[str, Any] = jwt.decode(
            token,
            key,
            algorithms=config.algorithms,
            audience=config.audience,
            issuer=config.issuer,
            leeway=LEEWAY,
            options={"require": _REQUIRED, "enforce_minimum_key_length": True},
        )
    except Exception as error:  # what strangers wrote
        raise _fault(error) from None
    return claims


def _subject(claims: Mapping[str, Any], claim: str) -> str:
    """Raises Unauthorized."""
    said = claims.get(claim)
    if not isinstance(said, str) or not _is_name(said):
        raise Unauthorized(
            f"The token's claim {claim} does not name a client.", code="invalid_token_claim", param=claim
        )
    return said


def _fault(error: Exception) -> Unauthorized:
    code, message = next((code, message) for kind, code, message in _FAULTS if isinstance(error, kind))
    return Unauthorized(message, code=code)


def _why(error: Exception) -> str:
    """For the log, without the contents of the keys."""
    match error:
        case UpstreamError():
            return f"{error.message} {error.detail}".strip()
        case OSError() | UnicodeDecodeError():
            return why_unreadable(error)
        case ValueError() if not isinstance(error, msgspec.DecodeError):
            return str(error)
        case _:
            return "not a JSON Web Key Set (RFC 7517)"
