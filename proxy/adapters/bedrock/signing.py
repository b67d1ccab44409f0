"""How does a request to AWS prove whose it is?

By Signature Version 4: a keyed hash of its method, its path, some of its headers and its body, valid for five minutes.
https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html

botocore builds the string that is hashed (it encodes the path once more than it is on the wire, as all services but S3
require). Its `add_auth` is not used: it reads the clock itself, and walks the headers three times.
"""

import time
from collections.abc import Callable
from hashlib import sha256

from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import ReadOnlyCredentials  # type: ignore[import-untyped]

from proxy.ports import Headers

SERVICE = "bedrock"  # the service's name, which is not that of the runtime's host

Clock = Callable[[], float]  # seconds since 1970


class _Auth(SigV4Auth):  # type: ignore[misc]  # botocore has no types
    def payload(self, request: AWSRequest) -> str:
        """The body's hash. botocore's own method prepares the whole request first, a fourth of the signing's time."""
        return sha256(request.data).hexdigest()


class Signer:
    """Signs with fixed credentials in one region."""

    def __init__(self, credentials: ReadOnlyCredentials, region: str, clock: Clock = time.time) -> None:
        self.credentials = credentials
        self._region = region
        self._clock = clock
        self._auth = _Auth(credentials, SERVICE, region)
        self._token = [("x-amz-security-token", credentials.token)] if credentials.token else []

    def __repr__(self) -> str:
        return f"<Signer {self._region}>"

    def sign(self, method: str, url: str, headers: Headers, body: bytes) -> Headers:
        """The headers to add to `headers`, which are signed as well. `url`: exactly as on the wire."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
        added = [("x-amz-date", stamp), *self._token]
        signed = dict([*headers, *added])
        request, auth = AWSRequest(method, url, signed, body), self._auth
        request.context["timestamp"] = stamp
        signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
        names = ";".join(sorted(signed))
        proof = f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={names}, Signature={signature}"
        return [*added, ("authorization", proof)]
