"""Does what we send to Bedrock prove whose it is, byte for byte, and do credentials come from where AWS's tools look?

The signature is checked against the raw request that the evil upstream received, by a reading of AWS's specification
that shares nothing with botocore.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import re
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace as changed
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3  # type: ignore[import-untyped]
import pytest
from msgspec.structs import replace

from proxy.adapters.bedrock import Bedrock, credentials
from proxy.canon import Opaque, Text
from proxy.config import Provider, Secret, Timers
from proxy.dialects.bedrock import Bedrock as Wire
from proxy.errors import BadRequest, Down, Refused, UpstreamError, is_unsent
from proxy.ports import Headers, Outgoing, Peek
from proxy.upstream import Upstream
from tests import recordings, replay
from tests.client import OPENAI, ask
from tests.evil import Evil, Received, Scenario
from tests.gateway import pillion

CONFIG = import_module("botocore.config").Config
CLIENT_ERROR = import_module("botocore.exceptions").ClientError

WIRE = Wire()
ID, KEY, TOKEN = "AKIDCANARY", "canary/Secret+Key", "canary//session+token=="
ENVIRON = {"AWS_ACCESS_KEY_ID": ID, "AWS_SECRET_ACCESS_KEY": KEY}
ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0"
APPLICATION = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
FOUNDATION = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0"
ANSWER = Scenario(body=b"{}")

Environ = Callable[..., None]


@pytest.fixture(name="aws", autouse=True)
def an_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environ:
    """No credentials but those of the test, and nobody outside is asked for any."""
    for name in [*ENVIRON, "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION"]:
        monkeypatch.delenv(name, raising=False)
    quiet = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }

    def put(environ: Mapping[str, str] = ENVIRON) -> None:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)

    put(quiet)
    return put


@asynccontextmanager
async def bedrock(url: str, clock: Callable[[], float] = time.time, **changes: Any) -> AsyncIterator[Bedrock]:
    config = Provider(
        name="mine",
        kind="bedrock",
        base_url=url,
        api_key=Secret(""),
        key_names=("AWS_BEARER_TOKEN_BEDROCK",),
        serves=(),
        models=(),
        ask_usage=True,
        headers={},
        timers=Timers(),
        location="us-east-1",
    )._replace(**changes)
    upstream = Upstream()
    try:
        yield Bedrock(config, upstream, clock)
    finally:
        await upstream.close()


def outgoing(model: str = "m", dialect: str = "bedrock", headers: Headers | None = None, **changes: Any) -> Outgoing:
    return replace(Outgoing(dialect, model, b'{"messages":[]}', False, headers or [], ""), **changes)


async def sent(asked: Outgoing, path: str = "", **changes: Any) -> Received:
    async with Evil(ANSWER) as evil, bedrock(evil.url + path, **changes) as adapter:
        await (await adapter.send(asked)).read(1000)
        return evil.requests[0]


# --- Signature Version 4, read from its specification ----------------------------------------------------------------
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html


class Proof:
    """The Authorization of a request, taken apart; and what it should have been."""

    def __init__(self, request: Received) -> None:
        self.request = request
        shown = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=(.+?)/(\d{8}/([\w-]+)/bedrock/aws4_request), "
            r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
            request.header("authorization") or "",
        )
        assert shown is not None, request.header("authorization")
        self.key_id, self.scope, self.region, names, self.signature = shown.groups()
        self.signed = names.split(";")

    def expected(self, key: str) -> str:
        stamp = self.request.header("x-amz-date") or ""
        digest = hashlib.sha256(self._canonical().encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{self.scope}\n{digest}"
        signing = f"AWS4{key}".encode()
        for step in self.scope.split("/"):
            signing = hmac.digest(signing, step.encode(), "sha256")
        assert stamp.startswith(self.scope[:8])
        return hmac.digest(signing, text.encode(), "sha256").hex()

    def _canonical(self) -> str:
        """Every service but S3 encodes each segment of the path twice: the one on the wire is encoded once more."""
        path, _, query = self.request.target.partition("?")
        headers = [f"{name}:{' '.join((self.request.header(name) or '').split())}\n" for name in self.signed]
        return "\n".join(
            [
                self.request.method,
                "/".join(quote(segment, safe="-_.~") for segment in path.split("/")),
                "&".join(sorted(query.split("&"))),
                "".join(headers),
                ";".join(self.signed),
                hashlib.sha256(self.request.body).hexdigest(),
            ]
        )


def verify(request: Received, key: str = KEY) -> Proof:
    """Fails where the signature is not the one of the bytes that came."""
    proof = Proof(request)
    assert proof.signature == proof.expected(key)
    assert {"host", "x-amz-date"} <= set(proof.signed)
    assert proof.signed == sorted(set(proof.signed))
    sent_once = [name.lower() for name, _ in request.headers]
    assert len(sent_once) == len(set(sent_once))
    unsigned = {name for name in sent_once if name.startswith("x-amz-")} - set(proof.signed)
    assert not unsigned
    return proof


def test_the_verifier_knows_a_forgery() -> None:
    """AWS's own example of a derived key, and one byte less."""
    head = [
        ("host", "h"),
        ("x-amz-date", "20150830T123600Z"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=A/20150830/us-east-1/bedrock/aws4_request, "
            f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}",
        ),
    ]
    proof = Proof(Received(0, "POST", "/model/a%3A0/converse", head, b"", b"{}"))
    right = proof.expected(KEY)
    assert right != proof.signature
    proof.request.body = b"{ }"
    assert proof.expected(KEY) != right


# --- the request -----------------------------------------------------------------------------------------------------

MODELS = {
    "amazon.nova-lite-v1:0": "amazon.nova-lite-v1%3A0",
    ARN: quote(ARN, safe=""),
    "odd ~*'()!$&+,;=@%2F/é": "odd%20~%2A%27%28%29%21%24%26%2B%2C%3B%3D%40%252F%2F%C3%A9",
    "bytes\udcff": "bytes%FF",
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("dialect", "stream", "verb"),
    [
        ("bedrock", False, "converse"),
        ("bedrock", True, "converse-stream"),
        ("bedrock_invoke", False, "invoke"),
        ("bedrock_invoke", True, "invoke-with-response-stream"),
    ],
)
async def test_what_is_signed_is_what_goes_out(aws: Environ, model: str, dialect: str, stream: bool, verb: str) -> None:
    aws()
    request = await sent(outgoing(model, dialect, stream=stream))
    assert (request.method, request.target) == ("POST", f"/model/{MODELS[model]}/{verb}")
    assert request.body == b'{"messages":[]}'
    proof = verify(request)
    assert (proof.key_id, proof.region, "content-type" in proof.signed) == (ID, "us-east-1", True)


async def test_a_path_before_the_model_is_signed_as_well(aws: Environ) -> None:
    aws()
    request = await sent(outgoing("a:0"), path="/gate%20way/v1/")
    assert request.target == "/gate%20way/v1/model/a%3A0/converse"
    verify(request)


@pytest.mark.parametrize(
    ("query", "target"),
    [("b=2&a=1", "b=2&a=1"), ("flag", "flag="), ("a=x/y:z+%7e%2f", "a=x%2Fy%3Az%2B~%2F"), ("a=\udcff&", "a=%FF")],
)
async def test_a_query_goes_out_as_it_is_signed(aws: Environ, query: str, target: str) -> None:
    aws()
    request = await sent(outgoing(query=query))
    assert request.target == f"/model/m/converse?{target}"
    verify(request)


async def test_a_sessions_token_is_signed(aws: Environ) -> None:
    aws({**ENVIRON, "AWS_SESSION_TOKEN": TOKEN})
    request = await sent(outgoing())
    assert request.header("x-amz-security-token") == TOKEN
    assert "x-amz-security-token" in verify(request).signed


@pytest.mark.parametrize("key", ["", "bearer-canary"])
async def test_what_the_client_signed_stays_behind(aws: Environ, key: str) -> None:
    """It was for us; and a second date, or another's token, would make ours wrong."""
    aws()
    theirs = [
        ("x-amz-date", "19700101T000000Z"),
        ("x-amz-security-token", "theirs"),
        ("x-amzn-bedrock-trace", "ENABLED"),
    ]
    request = await sent(outgoing(headers=theirs), api_key=Secret(key))
    assert "theirs" not in str(request.headers)
    assert request.header("x-amzn-bedrock-trace") == "ENABLED"
    if not key:
        verify(request)


async def test_the_clock_is_the_one_that_was_given(aws: Environ) -> None:
    aws()
    request = await sent(outgoing(), clock=lambda: 86399.9)
    assert request.header("x-amz-date") == "19700101T235959Z"
    verify(request)


async def test_a_header_of_the_clients_cannot_end_its_line(aws: Environ) -> None:
    aws()
    async with Evil() as evil, bedrock(evil.url) as adapter:
        with pytest.raises(BadRequest):
            await adapter.send(outgoing(headers=[("x-a", "b\r\nx-forged: 1")]))
        assert evil.connections == 0


async def test_a_bearer_token_is_shown_and_nothing_signed(aws: Environ) -> None:
    aws()
    request = await sent(outgoing("a:0"), api_key=Secret("bearer-canary"))
    assert request.target == "/model/a%3A0/converse"
    assert request.header("authorization") == "Bearer bearer-canary"
    assert request.header("x-amz-date") is None


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("bedrock-runtime.eu-central-1.amazonaws.com", "eu-central-1"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("vpce-0a-1b.bedrock-runtime.ap-southeast-2.vpce.amazonaws.com", "ap-southeast-2"),
        ("bedrock.example", "us-east-1"),
    ],
)
async def test_the_hosts_own_region_is_signed_for(aws: Environ, host: str, region: str) -> None:
    """Whatever AWS_REGION says: an app may have it for another of Amazon's services."""
    aws()
    async with Evil(ANSWER) as evil, bedrock(f"http://{host}", proxy=Secret(evil.url)) as adapter:
        await (await adapter.send(outgoing())).read(1000)
        assert evil.requests[0].header("host") == host
        assert Proof(evil.requests[0]).region == region


async def test_without_a_region_it_says_what_to_set(aws: Environ) -> None:
    aws()
    async with bedrock("http://bedrock.example", location="") as adapter:
        with pytest.raises(Refused, match="mine has no region: set AWS_REGION") as caught:
            await adapter.send(outgoing())
        assert (caught.value.kind, caught.value.code) == ("authentication", "no_region")


async def test_tokens_are_counted_for_the_model_behind_a_profile(aws: Environ) -> None:
    aws()
    for model, path in (
        ("us.anthropic.claude-x-v1:0", "anthropic.claude-x-v1%3A0"),
        ("global.amazon.nova-2", "amazon.nova-2"),
        ("us.gov", "us.gov"),
        (ARN, "anthropic.claude-sonnet-4-5-20250929-v1%3A0"),
        (APPLICATION, quote(APPLICATION, safe="")),
        (FOUNDATION, quote(FOUNDATION, safe="")),
    ):
        request = await sent(outgoing(model, operation="count_tokens"))
        assert request.target == f"/model/{path}/count-tokens"
        verify(request)


async def test_it_takes_two_wires_and_knows_an_arn() -> None:
    async with bedrock("http://x", models=("a",)) as adapter:
        assert adapter.takes("whatever") == ("bedrock", "bedrock_invoke")
        adapter.do_without("bedrock")
        assert adapter.takes("whatever") == ("bedrock", "bedrock_invoke")
        assert [adapter.counts(name) for name in ("bedrock", "bedrock_invoke")] == [True, False]
        assert [adapter.has(name) for name in ("a", ARN, ARN.replace("aws", "aws-us-gov", 1), "b")] == [True] * 3 + [
            False
        ]
        assert await adapter.models() == ["a"]


# --- where credentials come from -------------------------------------------------------------------------------------


def issued(expires_in: float, key_id: str = ID) -> Scenario:
    """What a container's agent answers. https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html"""
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + expires_in))
    said = {"AccessKeyId": key_id, "SecretAccessKey": KEY, "Token": TOKEN, "Expiration": until}
    return Scenario(headers=[("content-type", "application/json")], body=json.dumps(said).encode(), then="close")


def agent_at(evil: Evil) -> dict[str, str]:
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{evil.url}/creds"}


@pytest.mark.parametrize("by", ["row", "variable"])
async def test_credentials_come_from_a_profile(aws: Environ, tmp_path: Path, by: str) -> None:
    (tmp_path / "credentials").write_text(
        f"[other]\naws_access_key_id = AKIDOTHER\naws_secret_access_key = {KEY}\naws_session_token = {TOKEN}\n"
    )
    aws({"AWS_PROFILE": "other"} if by == "variable" else {})
    proof = verify(await sent(outgoing(), profile="other" if by == "row" else ""))
    assert (proof.key_id, proof.request.header("x-amz-security-token")) == ("AKIDOTHER", TOKEN)


async def test_credentials_come_from_a_web_identity(aws: Environ, tmp_path: Path) -> None:
    """As a pod's service account has it."""
    said = (
        '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        "<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKIDROLE</AccessKeyId>"
        f"<SecretAccessKey>{KEY}</SecretAccessKey><SessionToken>{TOKEN}</SessionToken>"
        "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>"
        "</AssumeRoleWithWebIdentityResponse>"
    )
    (tmp_path / "token").write_text("a.web.token")
    async with Evil(Scenario(headers=[("content-type", "text/xml")], body=said.encode(), then="close")) as sts:
        aws(
            {
                "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
                "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/pillion",
                "AWS_ENDPOINT_URL_STS": sts.url,
                "AWS_REGION": "us-east-1",
            }
        )
        assert verify(await sent(outgoing())).key_id == "AKIDROLE"
        assert b"WebIdentityToken=a.web.token" in sts.requests[0].body


async def test_a_containers_agent_is_asked_once_for_twenty_requests_and_again_before_the_end(aws: Environ) -> None:
    async with Evil(issued(60, "AKIDFIRST"), issued(9999, "AKIDSECOND")) as agent:
        aws(agent_at(agent))
        async with Evil(answering=lambda _: ANSWER) as evil, bedrock(evil.url) as adapter:
            answers = await asyncio.gather(*(adapter.send(outgoing()) for _ in range(20)))
            for answer in answers:
                await answer.read(1000)
            assert len(agent.requests) == 2  # the first ones were about to end, and were renewed at once
            await (await adapter.send(outgoing())).read(1000)
            assert {verify(request).key_id for request in evil.requests} == {"AKIDSECOND"}
            assert len(agent.requests) == 2


@pytest.mark.parametrize("waits", [True, False], ids=["another waits", "nobody waits"])
async def test_a_client_that_leaves_spoils_nothing_for_those_who_wait(aws: Environ, waits: bool) -> None:
    """Nor for those who come later: what was asked for on its behalf is there for them."""
    late = changed(issued(9999), delay_head=0.05)
    async with Evil(late) as agent, Evil(ANSWER) as evil, bedrock(evil.url) as adapter:
        aws(agent_at(agent))
        first = asyncio.create_task(adapter.send(outgoing()))
        second = asyncio.create_task(adapter.send(outgoing())) if waits else None
        await agent.received()
        first.cancel()
        with pytest.raises(asyncio.CancelledError) as left:
            await first
        assert is_unsent(left.value)
        await (await (second or adapter.send(outgoing()))).read(1000)
        assert verify(evil.requests[0]).key_id == ID
        assert len(agent.requests) == 1


async def test_while_credentials_are_good_no_request_waits_for_the_next(aws: Environ) -> None:
    stall = Scenario(cut_at=0, cut_of="wire", how="stall")
    async with (
        Evil(issued(9999), stall) as agent,
        Evil(answering=lambda _: ANSWER) as evil,
        bedrock(evil.url) as adapter,
    ):
        aws(agent_at(agent))
        await (await adapter.send(outgoing())).read(1000)
        adapter._chain._found._expiry_time -= timedelta(seconds=9999 - 800)
        await (await adapter.send(outgoing())).read(1000)
        await agent.received(2)
        assert adapter._chain._asking is not None
        assert [verify(request).key_id for request in evil.requests] == [ID, ID]
        adapter._chain._asking.cancel()


async def refusal(adapter: Bedrock) -> str:
    with pytest.raises(Refused) as caught:
        await adapter.send(outgoing())
    error = caught.value
    assert (error.status, error.kind, error.code, error.provider) == (401, "authentication", "no_credentials", "mine")
    assert not any(secret in repr(error) for secret in (ID, KEY, TOKEN))
    return error.message


SET = "set AWS_BEARER_TOKEN_BEDROCK or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE."


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({}, "AWS's own search found none"),
        ({"AWS_ACCESS_KEY_ID": ID}, "PartialCredentialsError"),
        ({"AWS_PROFILE": "nobody"}, "ProfileNotFound"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://x.invalid"}, "ValueError"),
    ],
)
async def test_without_credentials_it_says_what_to_set(aws: Environ, environ: Mapping[str, str], why: str) -> None:
    aws(environ)
    async with bedrock("http://bedrock.example") as adapter:
        assert await refusal(adapter) == f"mine has no AWS credentials ({why}): {SET}"


async def test_what_fails_is_told_by_name_and_nothing_that_was_said_is_repeated(
    aws: Environ, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("botocore.utils").ContainerMetadataFetcher, "SLEEP_TIME", 0)
    caplog.set_level(logging.INFO)
    bad = Scenario(status=500, body=json.dumps({"SecretAccessKey": KEY, "Token": TOKEN}).encode(), then="close")
    async with Evil(answering=lambda _: bad) as agent:
        aws(agent_at(agent))
        async with bedrock("http://bedrock.example") as adapter:
            assert await refusal(adapter) == f"mine has no AWS credentials (CredentialRetrievalError): {SET}"
    assert KEY not in caplog.text.replace("\\", "")


async def test_what_amazon_refuses_is_told_in_its_word(aws: Environ, tmp_path: Path) -> None:
    said = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized</Message></Error></ErrorResponse>"
    (tmp_path / "token").write_text("a.web.token")
    denied = Scenario(status=403, headers=[("content-type", "text/xml")], body=said.encode(), then="close")
    async with Evil(denied) as sts:
        aws(
            {
                "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
                "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/pillion",
                "AWS_ENDPOINT_URL_STS": sts.url,
                "AWS_REGION": "us-east-1",
            }
        )
        async with bedrock("http://bedrock.example") as adapter:
            assert "(AccessDenied)" in await refusal(adapter)


async def test_a_chain_that_had_nothing_is_walked_again_after_a_while(
    aws: Environ, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Evil(ANSWER) as evil, bedrock(evil.url) as adapter:
        await refusal(adapter)
        aws()
        await refusal(adapter)  # not yet
        monkeypatch.setattr(credentials, "monotonic", lambda: time.monotonic() + credentials.RETRY)
        await (await adapter.send(outgoing())).read(1000)
        verify(evil.requests[0])


async def test_an_agent_that_does_not_answer_is_left(aws: Environ, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "PATIENCE", 0.05)
    stall = Scenario(cut_at=0, cut_of="wire", how="stall")
    async with Evil(answering=lambda _: stall) as agent, bedrock("http://bedrock.example") as adapter:
        aws(agent_at(agent))
        assert "(TimeoutError)" in await refusal(adapter)


async def test_no_secret_is_shown(aws: Environ) -> None:
    aws({**ENVIRON, "AWS_SESSION_TOKEN": TOKEN})
    async with Evil(ANSWER) as evil, bedrock(evil.url) as adapter:
        assert adapter.hide("nothing yet") == "nothing yet"
        await (await adapter.send(outgoing())).read(1000)
        assert adapter.hide(f"{ID} {KEY} {TOKEN}") == "*** *** ***"
        shown = repr([adapter, adapter._chain, adapter._signer])
        assert shown == f"[<Bedrock mine at {evil.url}>, <Chain mine: found>, <Signer us-east-1>]"


# --- health ----------------------------------------------------------------------------------------------------------

DENIED = b'{"message":"User: arn:aws:iam::1:user/x is not authorized to perform: bedrock:ListAsyncInvokes"}'
UNKNOWN = b'{"message":"The security token included in the request is invalid."}'


@pytest.mark.parametrize("key", ["", "bearer-canary"])
@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (Scenario(body=b'{"asyncInvokeSummaries":[]}'), ""),
        (Scenario(status=403, body=DENIED), ""),
        (Scenario(status=403, body=UNKNOWN), "mine answered the request for its list of jobs with status 403."),
        (
            Scenario(status=302, headers=[("location", "/x")]),
            "mine answered the request for its list of jobs with status 302.",
        ),
        (Scenario(status=500), "mine answered the request for its list of jobs with status 500."),
    ],
)
async def test_health_is_that_the_host_knows_who_asks(aws: Environ, key: str, answer: Scenario, detail: str) -> None:
    aws()
    async with Evil(answer) as evil, bedrock(evil.url + "/gate", api_key=Secret(key)) as adapter:
        health = await adapter.health()
        request = evil.requests[0]
    assert (health.ok, health.detail) == (not detail, detail)
    assert (request.method, request.target) == ("GET", "/gate/async-invoke")
    if key:
        assert request.header("authorization") == f"Bearer {key}"
    else:
        verify(request)


async def test_without_credentials_nobody_is_healthy() -> None:
    async with bedrock("http://bedrock.example") as adapter:
        health = await adapter.health()
        assert not health.ok
        assert "has no AWS credentials" in health.detail


async def test_a_host_that_is_gone_is_not_healthy(aws: Environ) -> None:
    aws()
    async with Evil(welcome="fin") as evil, bedrock(evil.url) as adapter:
        assert not (await adapter.health()).ok
        with pytest.raises(Down) as caught:
            await adapter.send(outgoing())
        assert caught.value.provider == "mine"


def plain(value: Any) -> Any:
    """As JSON has it: boto3 decodes bytes."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


# --- through pillion -------------------------------------------------------------------------------------------------

HELLO: list[Any] = [{"role": "user", "content": [{"text": "hi"}]}]
CLAUDE = "us.anthropic.claude-3-haiku-20240307-v1:0"


@asynccontextmanager
async def sdk(url: str, **environ: str) -> AsyncIterator[Any]:
    """boto3, with credentials of its own, against a pillion whose Bedrock is at the URL. Its calls block: a thread."""
    environ = {"PILLION_BEDROCK_BASE_URL": url, "AWS_REGION": "us-east-1", **environ} if url else environ
    async with pillion(**environ) as gateway:
        client = boto3.client(
            "bedrock-runtime",
            endpoint_url=gateway.url,
            region_name="eu-west-1",
            aws_access_key_id="AKIDAPP",
            aws_secret_access_key="app-secret",
            aws_session_token="app-token",
            config=CONFIG(retries={"total_max_attempts": 1}),
        )
        try:
            yield client
        finally:
            client.close()


async def converse(client: Any, model: str = CLAUDE, **asked: Any) -> Any:
    return await asyncio.to_thread(client.converse, modelId=model, messages=HELLO, **asked)


async def streamed(client: Any, model: str = CLAUDE) -> list[Any]:
    return await asyncio.to_thread(lambda: list(client.converse_stream(modelId=model, messages=HELLO)["stream"]))


async def refused(asking: Awaitable[Any]) -> Any:
    """What boto3's error says. The error itself would hold on to the connection by its traceback."""
    try:
        await asking
    except CLIENT_ERROR as error:
        return error.response
    raise AssertionError("boto3 raised no error")


GOOD = Scenario(
    headers=[("content-type", "application/json"), ("x-amzn-requestid", "aws-1")],
    body=b'{"output":{"message":{"role":"assistant","content":[{"text":"Hello"}]}},"stopReason":"end_turn",'
    b'"usage":{"inputTokens":5,"outputTokens":2,"totalTokens":7},"metrics":{"latencyMs":9}}',
)


@pytest.mark.parametrize("model", [CLAUDE, ARN, f"bedrock/{ARN}", "bedrock/mistral.mistral-7b-instruct-v0:2"])
async def test_boto3s_request_passes_and_is_signed_anew(aws: Environ, model: str) -> None:
    aws({**ENVIRON, "AWS_SESSION_TOKEN": TOKEN})
    async with Evil(GOOD) as evil, sdk(evil.url) as client:
        answer = await converse(client, model)
        request = evil.requests[0]
    assert answer["output"]["message"]["content"] == [{"text": "Hello"}]
    assert request.target == f"/model/{quote(model.removeprefix('bedrock/'), safe='')}/converse"
    assert (verify(request).key_id, verify(request).region) == (ID, "us-east-1")
    assert not re.search(r"AKIDAPP|app-secret|app-token|eu-west-1", str(request.headers))


async def test_a_call_without_credentials_is_refused_in_words_that_help(aws: Environ) -> None:
    async with Evil() as evil, sdk(evil.url) as client:
        said = await refused(converse(client))
    assert said["ResponseMetadata"]["HTTPStatusCode"] == 401
    assert said["Error"]["Code"] == "UnrecognizedClientException"
    assert said["Error"]["Message"] == f"bedrock has no AWS credentials (AWS's own search found none): {SET}"


async def test_an_error_that_repeats_our_credentials_is_told_without_them(
    aws: Environ, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "pillion")
    aws({**ENVIRON, "AWS_SESSION_TOKEN": TOKEN})
    words = json.dumps({"message": f"The token {TOKEN} of {ID} is bad ({KEY})."}).encode()
    kind = ("x-amzn-errortype", "ExpiredTokenException:http://internal.amazon.com/coral/")
    async with Evil(Scenario(status=403, headers=[kind], body=words)) as evil, sdk(evil.url) as client:
        said = await refused(converse(client))
    assert said["Error"] == {
        "Code": "ExpiredTokenException",
        "Message": "bedrock does not allow pillion's key to do this: The token *** of *** is bad (***).",
    }
    assert not any(secret in caplog.text for secret in (ID, KEY, TOKEN))


async def test_a_client_of_another_wire_asks_converse(aws: Environ) -> None:
    aws()
    body = {"model": f"bedrock/{CLAUDE}", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
    async with Evil(GOOD) as evil, pillion(PILLION_BEDROCK_BASE_URL=evil.url, AWS_REGION="us-east-1") as gateway:
        got = await ask(gateway, "POST", "/v1/chat/completions", json.dumps(body).encode())
        request = evil.requests[0]
    assert json.loads(got.body)["choices"][0]["message"]["content"] == "Hello"
    verify(request)
    assert json.loads(request.body) == {"messages": HELLO, "inferenceConfig": {"maxTokens": 9}}


@pytest.mark.parametrize("status", [200, 429])
async def test_boto3_finds_its_request_id_whoever_answers(status: int) -> None:
    told = {
        200: {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}
    }
    body = json.dumps(told.get(status, {"error": {"message": "slow down"}})).encode()
    head = [("content-type", "application/json"), ("x-request-id", "up-1")]
    async with (
        Evil(Scenario(status=status, headers=head, body=body)) as evil,
        sdk("", **OPENAI.environ(evil.url)) as client,
    ):
        asking = converse(client, "openai/gpt-x")
        said = await asking if status == 200 else await refused(asking)
    assert said["ResponseMetadata"]["RequestId"] == "up-1"


async def test_the_request_id_that_aws_gave_is_told_once(aws: Environ) -> None:
    aws()
    async with Evil(GOOD) as evil, pillion(PILLION_BEDROCK_BASE_URL=evil.url, AWS_REGION="us-east-1") as gateway:
        got = await ask(gateway, "POST", f"/model/{quote(CLAUDE)}/converse", json.dumps({"messages": HELLO}).encode())
    assert [value for name, value in got.headers if name.lower() == "x-amzn-requestid"] == ["aws-1"]


async def test_a_model_that_is_not_there_is_asked_for_once(aws: Environ) -> None:
    """The provider takes two wires, and a 404 is no reason to try the other."""
    aws()
    gone = Scenario(
        status=404, headers=[("x-amzn-errortype", "ResourceNotFoundException")], body=b'{"message":"No such model."}'
    )
    async with Evil(gone) as evil, sdk(evil.url) as client:
        said = await refused(converse(client))
    assert said["Error"] == {"Code": "ResourceNotFoundException", "Message": "No such model."}


# --- counting tokens -------------------------------------------------------------------------------------------------

CONVERSE: Any = {"converse": {"messages": HELLO, "system": [{"text": "Be brief."}]}}
CLAUDES: Any = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "hi"}],
}


def invoking(body: Any) -> Any:
    return {"invokeModel": {"body": json.dumps(body).encode()}}


async def counted(client: Any, given: Any, model: str = CLAUDE) -> Any:
    return (await asyncio.to_thread(client.count_tokens, modelId=model, input=given))["inputTokens"]


def plain_body(body: Any) -> Any:
    return plain(invoking(body))


def count_parsed(body: Any) -> Any:
    return WIRE.count_parse(json.dumps(body).encode(), Peek("m", False))


def test_what_is_to_be_counted_is_read_from_either_body() -> None:
    converse = count_parsed({"input": CONVERSE})
    assert (converse.wire, converse.model) == ("bedrock", "m")
    assert [turn.parts for turn in converse.turns] == [[Text(text="Be brief.")], [Text(text="hi")]]
    claudes = count_parsed({"input": plain_body(CLAUDES)})
    assert (claudes.wire, claudes.model, claudes.extra) == ("anthropic", "m", {"max_tokens": 9})
    assert [turn.parts for turn in claudes.turns] == [[Text(text="hi")]]
    (whole,) = count_parsed({"input": plain_body({"inputText": "Once"})}).turns[0].parts
    assert whole == Opaque(wire="bedrock", value={"invokeModel": {"inputText": "Once"}})


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": {}}, "input"),
        ({"input": {"converse": {"messages": []}, "invokeModel": {}}}, "input"),
        ({"input": {"other": 1}}, "input"),
        ({"input": {"converse": []}}, "input.converse"),
        ({"input": {"converse": {"messages": [{"role": "user"}]}}}, "input.converse.messages[0].content"),
        ({"input": {"invokeModel": {}}}, "input.invokeModel.body"),
        ({"input": {"invokeModel": {"body": "?"}}}, "input.invokeModel.body"),
        ({"input": {"invokeModel": {"body": "W10="}}}, "input.invokeModel.body"),
        ({"input": plain_body({**CLAUDES, "messages": [1]})}, "input.invokeModel.body.messages[0]"),
    ],
)
def test_what_cannot_be_counted_is_refused_with_its_path(body: Any, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        count_parsed(body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "has no valid inputTokens"),
        (b"[]", "has no valid inputTokens"),
        (b'{"inputTokens":true}', "has no valid inputTokens"),
        (b'{"inputTokens":-1}', "has no valid inputTokens"),
        (b'{"message":"not today"}', "not today"),
    ],
)
def test_what_is_no_count_is_the_providers_fault(body: bytes, said: str) -> None:
    with pytest.raises(UpstreamError, match=said):
        WIRE.count_read(body)


@recordings.needs_recordings
async def test_recorded_counts_are_read_by_boto3(aws: Environ) -> None:
    async with stage() as (client, plays):

        async def check(row: recordings.Row) -> None:
            asked, said = row["request_json"]["input"], json.loads(recordings.body(row))
            given = (
                asked if "converse" in asked else invoking(json.loads(base64.b64decode(asked["invokeModel"]["body"])))
            )
            plays(row)
            if row["status"] == 200:
                assert await counted(client, given, row["model"]) == said["inputTokens"]
            else:
                assert (await refused(counted(client, given, row["model"])))["Error"]["Message"] == said["message"]

        await replay.each(recordings.load("bedrock.count-tokens"), check)


async def test_an_anthropic_client_counts_at_bedrock(aws: Environ) -> None:
    aws()
    asked = {"model": f"bedrock/{CLAUDE}", "system": "Be brief.", "messages": CLAUDES["messages"]}
    async with (
        Evil(Scenario(body=b'{"inputTokens":19}')) as evil,
        pillion(PILLION_BEDROCK_BASE_URL=evil.url, AWS_REGION="us-east-1") as gateway,
    ):
        got = await ask(gateway, "POST", "/v1/messages/count_tokens", json.dumps(asked).encode())
        request = evil.requests[0]
    assert json.loads(got.body) == {"input_tokens": 19}
    assert request.target == "/model/anthropic.claude-3-haiku-20240307-v1%3A0/count-tokens"
    assert json.loads(request.body) == {"input": CONVERSE}
    verify(request)


async def test_an_error_in_place_of_a_count_repeats_no_key() -> None:
    environ = {"AWS_REGION": "us-east-1", "AWS_BEARER_TOKEN_BEDROCK": "canary-bearer"}
    asked = {"model": f"bedrock/{CLAUDE}", "messages": CLAUDES["messages"]}
    async with (
        Evil(Scenario(body=b'{"message":"canary-bearer is not good, nor is sk-****1234"}')) as evil,
        pillion(PILLION_BEDROCK_BASE_URL=evil.url, **environ) as gateway,
    ):
        got = await ask(gateway, "POST", "/v1/messages/count_tokens", json.dumps(asked).encode())
    assert got.status == 502
    assert json.loads(got.body)["error"]["message"] == "*** is not good, nor is ***"


async def test_boto3_counts_at_other_providers() -> None:
    """Anthropic counts what it can be told; nobody counts what is Bedrock's own; an estimate is no nought."""
    environ = {"ANTHROPIC_API_KEY": "x", "OPENAI_API_KEY": "x", "PILLION_OPENAI_BASE_URL": "http://x.invalid/v1"}
    counts = Scenario(headers=[("content-type", "application/json")], body=b'{"input_tokens":8}')
    async with Evil(counts, counts) as evil, sdk("", PILLION_ANTHROPIC_BASE_URL=evil.url, **environ) as client:
        for given in (CONVERSE, invoking(CLAUDES)):
            assert await counted(client, given, "anthropic/claude") == 8
        assert [json.loads(request.body)["messages"] for request in evil.requests] == [
            [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
        ] * 2
        said = await refused(counted(client, invoking({"inputText": "Once upon"}), "anthropic/claude"))
        assert said["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert "input.invokeModel.body" in said["Error"]["Message"]
        assert await counted(client, invoking({"inputText": "Once upon a time " * 40}), "openai/m") > 100


# --- recorded answers, read by boto3 through pillion -----------------------------------------------------------------

WHOLES = [row for row in recordings.load("bedrock.converse", "fixture.bedrock.converse") if row["status"] == 200]
STREAMS = [row for row in recordings.load("bedrock.converse-stream") if row["framing"] == "aws-eventstream"]
ERRORS = [row for row in recordings.load("bedrock.converse*") if row["status"] != 200]


def payloads(row: recordings.Row) -> Iterator[tuple[str, Any]]:
    """The event type and the JSON of each message of a stream, read by their lengths alone."""
    data, at = recordings.body(row), 0
    while at < len(data):
        size, headers = struct.unpack_from(">II", data, at)
        kind = re.search(rb":event-type\x07..(\w+)", data[at + 12 : at + 12 + headers], re.DOTALL)
        assert kind is not None
        yield kind[1].decode(), json.loads(data[at + 12 + headers : at + size - 4])
        at += size


def told(said: Any, seen: Any) -> bool:
    """Is all that boto3 shows what was said? It passes over the members that its model does not know."""
    if isinstance(seen, dict):
        return isinstance(said, dict) and all(key in said and told(said[key], inner) for key, inner in seen.items())
    if isinstance(seen, list):
        return len(said) == len(seen) and all(map(told, said, seen))
    return bool(said == seen)


KNOWN = set("output stopReason usage metrics additionalModelResponseFields trace performanceConfig serviceTier".split())


@recordings.needs_recordings
async def test_recorded_answers_are_read_by_boto3() -> None:
    async with stage() as (client, plays):

        async def check(row: recordings.Row) -> None:
            plays(row)
            said, seen = json.loads(recordings.body(row)), plain(await converse(client))
            del seen["ResponseMetadata"]
            assert told(said, seen)
            assert said.keys() == seen.keys() | (said.keys() - KNOWN)

        await replay.each(WHOLES, check)


@recordings.needs_recordings
async def test_recorded_streams_are_read_by_boto3() -> None:
    async with stage() as (client, plays):

        async def check(row: recordings.Row) -> None:
            plays(row)
            said, seen = list(payloads(row)), plain(await streamed(client))
            assert [next(iter(event)) for event in seen] == [kind for kind, _ in said]
            assert all(told(one, event[kind]) for (kind, one), event in zip(said, seen, strict=True))

        await replay.each(STREAMS, check)


@recordings.needs_recordings
async def test_recorded_errors_are_raised_by_boto3() -> None:
    async with stage() as (client, plays):

        async def check(row: recordings.Row) -> None:
            plays(row)
            seen = await refused(streamed(client) if row["streamed"] else converse(client))
            said = json.loads(recordings.body(row))
            assert seen["ResponseMetadata"]["HTTPStatusCode"] == row["status"]
            assert seen["Error"]["Message"] == (said.get("message") or said["Message"])

        await replay.each(ERRORS, check)


@asynccontextmanager
async def stage() -> AsyncIterator[tuple[Any, Callable[[recordings.Row], None]]]:
    """boto3 before a pillion whose Bedrock answers with the recording that was named last."""
    plays: list[Scenario] = []
    async with (
        Evil(answering=lambda _: plays[-1]) as evil,
        sdk(evil.url, AWS_BEARER_TOKEN_BEDROCK="bearer-canary") as client,
    ):
        yield client, lambda row: plays.append(Scenario.from_recording(row))


# --- what it costs who does not use it -------------------------------------------------------------------------------


def test_nobody_pays_for_botocore_who_has_no_bedrock() -> None:
    look = (
        "import asyncio, sys\n"
        "from proxy.app import App\n"
        "from proxy.config import load\n"
        "async def main():\n"
        "    await App(load(environ={'OPENAI_API_KEY': 'x', 'AWS_ACCESS_KEY_ID': 'y'})).close()\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('botocore', 'aiobotocore', 'boto3')])\n"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
