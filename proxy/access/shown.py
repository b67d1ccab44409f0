"""Which key does a request show?

Each vendor's SDK has its own place for it, and pillion reads all of them. Two different keys are refused: a proxy in
front of us may have checked the one, and we would check the other.
"""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from proxy.errors import Unauthorized

_HEADERS = frozenset(("x-api-key", "api-key", "x-goog-api-key"))
_SIGNED = "aws4-"  # AWS4-HMAC-SHA256, and AWS4-ECDSA-P256-SHA256
_PRESIGNED = "X-Amz-Signature"  # the same, in the query
# https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html
_NO_SIGNATURE = (
    "pillion cannot verify a SigV4 signature, because it does not have the AWS secret key: set AWS_BEARER_TOKEN_BEDROCK"
    " to {wanted}, which the AWS SDK then sends instead (boto3 only over TLS), or send that key as x-api-key in"
    " addition to the signature."
)


def shown_key(
    headers: Mapping[str, str], query: Mapping[str, str], raw_query: str, wanted: str = "pillion's client key"
) -> str:
    """The key. Raises Unauthorized where there is none, or more than one.

    `headers`: names in small letters; `query` has the last value of each name, `raw_query` all of them; `wanted`: which
    key it should be.
    """
    said = headers.get("authorization", "")
    keys = [token] if said[:7].lower() == "bearer " and (token := said[7:].strip()) else []
    if not _HEADERS.isdisjoint(headers):
        keys += [key for name in _HEADERS if (key := headers.get(name))]
    if query and "key" in query:
        keys += [value for name, value in parse_qsl(raw_query) if name == "key"]  # without the empty ones
    if len(keys) == 1 or len(set(keys)) == 1:
        return keys[0]
    if keys:
        raise Unauthorized("The request has two different API keys: send only one.", code="conflicting_api_keys")
    if said.lower().startswith(_SIGNED) or _PRESIGNED in query:
        raise Unauthorized(_NO_SIGNATURE.format(wanted=wanted), code="signature_not_supported")
    if said and said[:6].lower() != "bearer":
        raise Unauthorized(f"The Authorization header must be `Bearer` and {wanted}.", code="missing_api_key")
    raise Unauthorized(f"No API key was sent: send {wanted} as your API key.", code="missing_api_key")
