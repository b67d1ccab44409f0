"""Which headers cross, which do not, and can one smuggle another in?"""

import pytest

from proxy.errors import BadRequest
from proxy.headers import outgoing, query_out, returning, returning_translated, spell, translated

HOP_BY_HOP = [
    "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer",
    "Transfer-Encoding", "Upgrade",
]  # fmt: skip
CREDENTIALS = ["Authorization", "X-API-Key", "api-key", "X-Goog-Api-Key", "Cookie", "Ocp-Apim-Subscription-Key"]
OURS_TO_SAY = ["Host", "Content-Length", "Content-Type", "Content-Encoding", "Accept-Encoding", "Expect"]
OF_THE_PAGE = [
    "Origin",
    "Referer",
    "Sec-Fetch-Site",
    "Sec-Fetch-Mode",
    "Sec-CH-UA",
    "Sec-GPC",
    "Access-Control-Request-Method",
]
OF_THE_WAY = [
    "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Client-Cert", "X-Real-IP",
]  # fmt: skip
OURS = ["X-Pillion-Anything"]

# Keys by their own word, whoever it is that calls them so.
SECRETS = [
    "X-Client-Key", "Ocp-Apim-Subscription-Key", "X-LiteLLM-API-Key", "X-Goog-IAM-Authorization-Token", "X-Auth-Token",
    "X-Amz-Security-Token", "Client-Secret", "X_Password", "X-Credentials", "ApiKey", "X-Forwarded-Authorization",
    "X-Session-Tokens", "X-JWT", "X-Key2",
]  # fmt: skip
TRAVELS = ["anthropic-version", "anthropic-beta", "openai-organization", "user-agent", "traceparent", "x-stainless-os",
           "via", "idempotency-key", "x-stainless-retry-count", "x-monkey", "x-author", "x-keyboard",
           "x-goog-api-client", "helicone-user-id"]  # fmt: skip
COMES_BACK = [
    "content-type", "cache-control", "retry-after", "retry-after-ms", "date", "server-timing", "cf-ray", "x-anything",
    "x-ratelimit-remaining-tokens", "anthropic-ratelimit-requests-remaining", "anthropic-organization-id",
    "openai-processing-ms", "openai-version", "apim-request-id", "x-amzn-bedrock-input-token-count", "x-should-retry",
    "x-goog-request-id", "etag", "vary", "x-content-type-options",
]  # fmt: skip
ACTING = [
    "clear-site-data", "refresh", "location", "content-location", "link", "service-worker-allowed", "www-authenticate",
    "content-security-policy", "content-security-policy-report-only", "permissions-policy", "speculation-rules",
    "sourcemap", "set-login", "accept-ch", "critical-ch", "nel", "report-to", "reporting-endpoints", "public-key-pins",
    "public-key-pins-report-only",
]  # fmt: skip
STAYS_BEHIND = [
    "content-length", "content-encoding", "set-cookie", "set-cookie2", "server", "alt-svc",
    "strict-transport-security", "via", "x-request-id", "request-id", "access-control-allow-origin",
    "access-control-allow-credentials", "x-pillion-provider", *ACTING,
]  # fmt: skip


def heard(*lines: tuple[str, str]) -> dict[str, str]:
    """Headers as both our connections hand them out: names in lower case, lines of one name joined."""
    headers: dict[str, str] = {}
    for name, value in lines:
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


@pytest.mark.parametrize("name", HOP_BY_HOP + CREDENTIALS + SECRETS + OURS_TO_SAY + OF_THE_PAGE + OF_THE_WAY + OURS)
def test_what_is_not_for_the_provider_never_goes_out(name: str) -> None:
    assert outgoing(heard((name, "x"), ("kept", "y"))) == [("kept", "y")]
    assert translated(heard((name, "x"))) == []


@pytest.mark.parametrize("name", TRAVELS)
def test_what_is_for_the_provider_travels(name: str) -> None:
    assert outgoing(heard((name.title(), "x"))) == [(name, "x")]


def test_a_header_that_stands_twice_travels_as_one() -> None:
    assert outgoing(heard(("Beta", "a"), ("beta", "b"))) == [("beta", "a, b")]


@pytest.mark.parametrize(
    "lines",
    [
        [("Connection", "X-Hop"), ("X-Hop", "1")],
        [("connection", "close, x-HOP ,"), ("x-hop", "1")],
        [("Connection", "close"), ("Connection", "x-hop"), ("X-Hop", "1"), ("x-hop", "2")],
    ],
)
def test_what_connection_names_stays_on_its_connection(lines: list[tuple[str, str]]) -> None:
    headers = heard(*lines, ("kept", "y"))
    assert outgoing(headers) == [("kept", "y")]
    assert returning(headers) == [("kept", "y")]


def test_what_connection_names_reaches_no_other_wire_either() -> None:
    client = heard(("Connection", "Traceparent, user-agent"), ("traceparent", "x"), ("User-Agent", "y"), ("via", "z"))
    assert translated(client) == [("via", "z")]


def test_another_wire_gets_only_what_it_understands() -> None:
    client = heard(("User-Agent", "app/1"), ("traceparent", "00-1-2-01"), ("anthropic-beta", "x"))
    assert translated(client) == [("user-agent", "app/1"), ("traceparent", "00-1-2-01")]


@pytest.mark.parametrize("name", [*HOP_BY_HOP, *CREDENTIALS, *STAYS_BEHIND])
def test_what_is_not_for_the_client_never_comes_back(name: str) -> None:
    assert returning({name.lower(): "x", "kept": "y"}) == [("kept", "y")]


@pytest.mark.parametrize("name", COMES_BACK)
def test_what_is_for_the_client_comes_back(name: str) -> None:
    assert returning({name: "x"}) == [(name, "x")]


def test_an_answer_written_anew_has_its_own_type() -> None:
    provider = {"content-type": "text/event-stream", "cache-control": "no-store", "retry-after": "1"}
    assert returning_translated(provider) == [("retry-after", "1")]


def test_headers_are_spelled_a_line_each_and_odd_bytes_as_they_came() -> None:
    name = b"caf\xe9 \xf0\x9f\x91\x8b".decode("utf-8", "surrogateescape")
    assert spell([("a", "b"), ("c", name)]) == b"a: b\r\nc: caf\xe9 \xf0\x9f\x91\x8b\r\n"


@pytest.mark.parametrize("evil", ["x\r\ny: z", "x\ny: z", "x\ry", "x\0y", "x\r\n\r\nPOST / HTTP/1.1"])
def test_a_header_cannot_end_its_line_or_the_head(evil: str) -> None:
    for pair in (("name", evil), (evil, "value")):
        with pytest.raises(BadRequest, match="line break or a NUL") as caught:
            spell([("a", "b"), pair])
        assert evil not in caught.value.message


@pytest.mark.parametrize(
    "name",
    [
        "key", "%6Bey", "KEY", "api_key", "api-key", "access_token", "oauth_token", "subscription-key", "api-version",
        "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "x-amz-date",
    ],
)  # fmt: skip
def test_of_a_query_what_was_said_to_us_stays_here(name: str) -> None:
    assert query_out(f"alt=sse&{name}=canary&%24fields=a%26b") == "alt=sse&%24fields=a%26b"
    assert query_out(f"{name}=canary") == query_out(f"{name}") == query_out("") == ""


@pytest.mark.parametrize("query", ["alt=sse", "beta=true", "keyword=1&monkey=2&tokens=3", "a", "a=b=c&&d"])
def test_the_rest_of_a_query_travels_as_it_stands(query: str) -> None:
    assert query_out(query) == query
