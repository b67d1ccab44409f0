"""How does a request to AWS prove whose it is?

By Signature Version 4: a keyed hash over its method, its path, these of its headers and its body, good for five
minutes. https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html

botocore knows how to spell what is hashed (it encodes a path once more than it stands on the wire, as all services but
S3 want it). Its `add_auth` is not called: it reads the clock itself, and walks the headers three times.
"""

import time
from collections.abc import Callable
from hashlib import sha256

from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import ReadOnlyCredentials  # type: ignore[import-untyped]

from proxy.ports import Headers

SERVICE = "bedrock"  # Bedrock's runtime signs by the name of the whole service, not by that of its host

Clock = Callable[[], float]  # seconds since 1970


class _Auth(SigV4Auth):  # type: ignore[misc]  # botocore has no types
    def payload(self, request: AWSRequest) -> str:
        """The body's hash. botocore's own prepares the whole request for that, at a fourth of the signing's time."""
        return sha256(request.data).hexdigest()


class Signer:
    """Signs with these credentials, in one region, as often as it is asked."""

    def __init__(self, credentials: ReadOnlyCredentials, region: str, clock: Clock = time.time) -> None:
        self.credentials = credentials
        self._region = region
        self._clock = clock
        self._auth = _Auth(credentials, SERVICE, region)
        self._token = [("x-amz-security-token", credentials.token)] if credentials.token else []

    def __repr__(self) -> str:
        return f"<Signer {self._region}>"

    def sign(self, method: str, url: str, headers: Headers, body: bytes) -> Headers:
        """The headers to send beside these `headers`, which are signed as well. `url`: as it stands on the wire."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
        added = [("x-amz-date", stamp), *self._token]
        signed = dict([*headers, *added])
        request, auth = AWSRequest(method, url, signed, body), self._auth
        request.context["timestamp"] = stamp
        signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
        names = ";".join(sorted(signed))
        proof = f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={names}, Signature={signature}"
        return [*added, ("authorization", proof)]
