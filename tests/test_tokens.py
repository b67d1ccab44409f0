"""Is a token let in that the operator's identity provider has signed, for us and for now, and no other?"""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from math import ceil
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from msgspec.structs import replace

from proxy import registry
from proxy.access import tokens
from proxy.access.allowance import ClientKey, Limits
from proxy.access.tokens import LEEWAY, LIFE, PAUSE, STALE, KeySet, Tokens
from proxy.app import App
from proxy.config import JWT, load
from proxy.errors import ConfigError, GatewayError, Unauthorized
from proxy.upstream import Upstream
from tests.client import OPENAI, ask, chat
from tests.evil import Evil, Scenario, trust
from tests.gateway import Gateway, opened
from tests.test_cli import with_python
from tests.test_secrets import Sinks, logged

ISSUER, AUDIENCE = "https://id.example", "pillion"

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
WEAK_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)
EC = ec.generate_private_key(ec.SECP256R1())
SHARED = "0123456789abcdef0123456789abcdef"
DEEP = b'{"alg":' + b"[" * 20_000

SetOfKeys = dict[str, list[dict[str, Any]]]


def public(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, **more: str) -> dict[str, Any]:
    """As a JWK."""
    made: dict[str, Any]
    if isinstance(key, rsa.RSAPrivateKey):
        made = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        made = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return made | more


SHARED_KEY = {"kty": "oct", "k": base64.urlsafe_b64encode(SHARED.encode()).decode().rstrip("="), "kid": "shared"}
SET: SetOfKeys = {
    "keys": [public(RSA, kid="r", use="sig"), public(EC, kid="e"), public(WEAK_RSA, kid="weak"), SHARED_KEY]
}


def now() -> int:
    return int(time.time())


def claims(**more: Any) -> dict[str, Any]:
    """Good ones; None takes one away."""
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": now() + 600, **more}
    return {name: value for name, value in said.items() if value is not None}


def token(key: Any = RSA, algorithm: str = "RS256", kid: str | None = "r", **more: Any) -> str:
    return jwt.encode(claims(**more), key, algorithm, headers={"kid": kid} if kid else None)


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def part(value: object) -> str:
    return encoded(json.dumps(value).encode())


def by_hand(header: object, payload: object, signature: str = "") -> str:
    return f"{part(header)}.{part(payload)}.{signature}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The keys, in a file."""
    publish(tmp_path / "jwks.json", *SET["keys"])
    return tmp_path / "jwks.json"


def publish(file: Path, *keys: dict[str, Any]) -> None:
    file.write_text(json.dumps({"keys": keys}))


class Named:
    """Client keys of ours, by name."""

    def __init__(self, *names: str) -> None:
        self.keys = {name: ClientKey(name=name, models=("echo/*",)) for name in names}

    def __call__(self, name: str) -> ClientKey | None:
        return self.keys.get(name)


def config(place: Path | str, **more: Any) -> JWT:
    return JWT(jwks=str(place), issuer=ISSUER, audience=AUDIENCE, **more)


@asynccontextmanager
async def checking(rules: JWT, *names: str) -> AsyncIterator[Tokens]:
    upstream = Upstream()
    try:
        yield Tokens(rules, upstream, Named(*names), Limits(concurrent=3))
    finally:
        await upstream.close()


# --- good ones -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "algorithm", "kid", "more"),
    [
        (RSA, "RS256", "r", {}),
        (EC, "ES256", "e", {}),
        (RSA, "RS256", "r", {"aud": ["other", AUDIENCE]}),
        (RSA, "RS256", "r", {"nbf": LEEWAY - 10}),
        (RSA, "RS256", "r", {"exp": 10 - LEEWAY}),
        (RSA, "RS256", "r", {"exp": 10**400}),
    ],
)
async def test_a_token_of_the_identity_provider_is_good(
    key: Any, algorithm: str, kid: str, more: dict[str, Any], file: Path
) -> None:
    more = {name: now() + int(value) if name in ("exp", "nbf") else value for name, value in more.items()}
    async with checking(config(file)) as held:
        for _ in range(2):  # seen for the first time, and remembered
            found = await held.client(token(key, algorithm, kid, **more))
            assert found == ClientKey(name="ann", limits=Limits(concurrent=3))


async def test_another_claim_may_name_the_client(file: Path) -> None:
    async with checking(config(file, claim="email")) as held:
        found = await held.client(token(email="ann@example.com"))
        assert found is not None
        assert found.name == "ann@example.com"


async def test_a_token_without_a_kid_is_checked_by_the_only_key_that_there_is(file: Path) -> None:
    publish(file, public(RSA, kid="r"), SHARED_KEY)
    async with checking(config(file)) as held:
        assert await held.client(token(kid=None))
    publish(file, *SET["keys"])
    async with checking(config(file)) as held:
        with pytest.raises(Unauthorized) as caught:
            await held.client(token(kid=None))
        assert caught.value.code == "unknown_token_key"


async def test_a_client_that_is_mapped_has_the_rights_of_that_key_and_no_other_is_let_in(file: Path) -> None:
    async with checking(config(file, keys={"ann": "team", "eve": "revoked"}), "team", "bob") as held:
        assert await held.client(token()) == ClientKey(name="team", models=("echo/*",))
        for subject in ("bob", "eve", "team", "zoe"):
            with pytest.raises(Unauthorized) as caught:
                await held.client(token(sub=subject))
            assert (caught.value.status, caught.value.code) == (401, "unknown_client")


async def test_nobody_passes_for_a_client_that_has_a_key(file: Path) -> None:
    async with checking(config(file), "ann") as held:
        with pytest.raises(Unauthorized) as caught:
            await held.client(token())
        assert caught.value.code == "invalid_token_claim"


# --- and others ------------------------------------------------------------------------------------------------------


def signed_by_the_public_key() -> str:
    """HS256, with what everybody knows for a secret: the oldest trick there is."""
    text = f"{part({'alg': 'HS256', 'kid': 'r'})}.{part(claims())}"
    secret = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    mac = hmac.digest(secret, text.encode(), hashlib.sha256)
    return f"{text}.{encoded(mac)}"


def swapped() -> str:
    """The claims of one token under the signature of another."""
    head, _, signature = token().split(".")
    return f"{head}.{part(claims(sub='root'))}.{signature}"


BAD: Mapping[str, tuple[Callable[[], str], str]] = {
    "expired": (lambda: token(exp=now() - LEEWAY - 5), "expired_token"),
    "not valid yet": (lambda: token(nbf=now() + LEEWAY + 60), "immature_token"),
    "for another": (lambda: token(aud="other"), "invalid_token_audience"),
    "for nobody": (lambda: token(aud=None), "invalid_token_claim"),
    "of another": (lambda: token(iss="https://evil.example"), "invalid_token_issuer"),
    "of nobody": (lambda: token(iss=None), "invalid_token_claim"),
    "for ever": (lambda: token(exp=None), "invalid_token_claim"),
    "for an odd time": (lambda: token(exp="soon"), "invalid_token"),
    "nobody's": (lambda: token(sub=None), "invalid_token_claim"),
    "of a client without a name": (lambda: token(sub=""), "invalid_token_claim"),
    "of a client with an odd name": (lambda: token(sub="a b\n"), "invalid_token_claim"),
    "of a client with a long name": (lambda: token(sub="a" * 201), "invalid_token_claim"),
    "signed by a stranger": (lambda: token(OTHER_RSA), "invalid_token_signature"),
    "signed by a key that is not there": (lambda: token(kid="zzz"), "unknown_token_key"),
    "signed by a weak key": (lambda: by_hand({"alg": "RS256", "kid": "weak"}, claims(), "AAAA"), "invalid_token_key"),
    "signed by a shared secret": (lambda: token(SHARED, "HS256", "shared"), "unknown_token_key"),
    "signed by the public key": (signed_by_the_public_key, "invalid_token_algorithm"),
    "signed in a way that is not allowed": (lambda: token(RSA, "PS256"), "invalid_token_algorithm"),
    "not signed": (lambda: by_hand({"alg": "none", "kid": "r"}, claims()), "invalid_token_algorithm"),
    "not signed at all": (lambda: by_hand({"kid": "r"}, claims()), "invalid_token_algorithm"),
    "with other claims": (swapped, "invalid_token_signature"),
    "cut": (lambda: token()[:-22], "invalid_token_signature"),
    "with an odd kid": (lambda: by_hand({"alg": "RS256", "kid": 7}, claims(), "AAAA"), "invalid_token"),
    "with a critical extension": (
        lambda: by_hand({"alg": "RS256", "kid": "r", "crit": ["x"]}, {}, "AAAA"),
        "invalid_token",
    ),
    "whose header is no object": (lambda: "eyJ.e30.AAAA", "invalid_token"),
    "whose header is long": (lambda: f"eyJ{'b' * 40_000}.e30.AAAA", "invalid_token"),
    "whose header is deep": (lambda: f"{encoded(DEEP)}.e30.AAAA", "invalid_token"),
}


@pytest.mark.parametrize(("made", "code"), BAD.values(), ids=BAD)
async def test_a_token_that_is_not_good_is_refused(made: Callable[[], str], code: str, file: Path) -> None:
    text = made()
    async with checking(config(file)) as held:
        await held.client(token())
        for _ in range(2):
            with pytest.raises(Unauthorized) as caught:
                await held.client(text)
            assert (caught.value.status, caught.value.code) == (401, code)
            said = (*filter(None, text.split(".")), "evil.example", "root")
            assert not [piece for piece in said if piece in caught.value.message]


@pytest.mark.parametrize(
    "text", ["", "pil_abc", "eyJ", "eyJ.e30", "eyJ.e30.a.b", "eyJé.e30.x", "eyJ\udce9.e30.x", "x.y.z"]
)
async def test_what_is_no_token_is_left_to_others(text: str, file: Path) -> None:
    async with checking(config(file)) as held:
        assert await held.client(text) is None


async def test_a_token_that_was_good_ends_all_the_same(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    check = tokens._claims

    def counted(text: str, *more: Any) -> Any:
        checked.append(text)
        return check(text, *more)

    monkeypatch.setattr(tokens, "_claims", counted)
    async with checking(config(file)) as held:
        other, shown = token(sub="other"), token(exp=now() - LEEWAY + 60)
        for text in (other, shown, shown):
            assert await held.client(text)
        assert checked == [other, shown]
        monkeypatch.setattr(tokens, "time", Late(60))
        await held.client(shown)
        assert checked == [other, shown, shown]


async def test_of_those_that_were_found_good_only_so_many_are_remembered(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "REMEMBERED", 2)
    async with checking(config(file)) as held:
        many = [token(sub=name) for name in "abc"]
        for text in (*many, many[0]):
            found = await held.client(text)
            assert found is not None
            assert found.name == "abc"[many.index(text)]
            assert len(held._good) <= 2


class Late:
    """In place of the module `time`: it is that many seconds later."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def time(self) -> float:
        return time.time() + self._seconds


async def test_a_key_to_encrypt_with_signs_nothing(file: Path) -> None:
    publish(file, public(RSA, kid="r", use="enc"), public(EC, kid="e", use="sig"))
    async with checking(config(file)) as held:
        assert await held.client(token(EC, "ES256", "e"))
        with pytest.raises(Unauthorized) as caught:
            await held.client(token())
        assert caught.value.code == "unknown_token_key"


async def test_only_what_the_operator_allows_may_sign(file: Path) -> None:
    async with checking(config(file, algorithms=["RS256"])) as held:
        assert await held.client(token())
        with pytest.raises(Unauthorized) as caught:
            await held.client(token(EC, "ES256", "e"))
        assert caught.value.code == "invalid_token_algorithm"


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS512"])
async def test_a_key_that_names_no_algorithm_may_sign_with_any_that_the_operator_allows(
    algorithm: str, file: Path
) -> None:
    async with checking(config(file, algorithms=[algorithm])) as held:
        assert await held.client(token(algorithm=algorithm))
    async with checking(config(file, algorithms=["ES256"])) as held:
        with pytest.raises(Unauthorized) as caught:
            await held.client(token(algorithm=algorithm))
        assert caught.value.code == "invalid_token_algorithm"


async def test_a_key_that_names_its_algorithm_signs_with_no_other(file: Path) -> None:
    publish(file, public(RSA, kid="r", alg="RS512"))
    async with checking(config(file, algorithms=["RS256", "RS512"])) as held:
        assert await held.client(token(algorithm="RS512"))
        with pytest.raises(Unauthorized) as caught:
            await held.client(token(algorithm="RS256"))
        assert caught.value.code == "invalid_token_algorithm"


# --- where the keys are from -----------------------------------------------------------------------------------------


class Clock:
    """In place of the monotonic one that the keys are timed by."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("proxy.access.tokens.monotonic", made)
    return made


class Source(KeySet):
    """Keys from nowhere: counts how often they were asked for."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__("https://id.example/keys", upstream)
        self.said: SetOfKeys | Exception = SET
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def _read(self) -> bytes:
        self.asked += 1
        await self.gate.wait()
        if isinstance(self.said, Exception):
            raise self.said
        return json.dumps(self.said).encode()

    async def settled(self) -> None:
        if self._asking is not None:
            await self._asking


@pytest.fixture
async def source() -> AsyncIterator[Source]:
    upstream = Upstream()
    yield Source(upstream)
    await upstream.close()


async def test_keys_are_believed_for_a_while_and_renewed_behind_the_backs(clock: Clock, source: Source) -> None:
    assert await source.of("r")
    clock.now += LIFE - 1
    assert await source.of("r")
    assert source.asked == 1
    clock.now += 1
    source.gate.clear()  # the identity provider takes its time, and nobody waits
    assert await source.of("r")
    assert await source.of("e")
    await asyncio.sleep(0)
    assert source.asked == 2
    source.said = {"keys": [public(EC, kid="e")]}
    source.gate.set()
    await source.settled()
    assert await source.of("r") is None
    assert source.asked == 3


async def test_an_unknown_key_has_them_fetched_anew_and_not_too_often(clock: Clock, source: Source) -> None:
    assert await source.of("r")
    clock.now += PAUSE
    source.said = {"keys": [*SET["keys"], public(OTHER_RSA, kid="new")]}
    found = await asyncio.gather(*(source.of("new") for _ in range(50)))
    assert all(found)
    assert source.asked == 2
    for n in range(100):
        assert await source.of(f"nonsense {n}") is None
    assert source.asked == 2
    clock.now += PAUSE
    assert await source.of("nonsense") is None
    assert source.asked == 3


async def test_a_key_that_comes_right_after_a_fetch_is_found_at_once(clock: Clock, source: Source) -> None:
    assert await source.of("r")
    source.said = {"keys": [public(OTHER_RSA, kid="new")]}
    assert await source.of("new")
    assert source.asked == 2
    source.said = {"keys": [public(OTHER_RSA, kid="newer")]}
    clock.now += PAUSE - 1
    assert await source.of("newer") is None
    clock.now += 1
    assert await source.of("newer")
    assert source.asked == 3


async def test_while_the_identity_provider_is_away_its_keys_are_good_for_an_hour(clock: Clock, source: Source) -> None:
    assert await source.of("r")
    source.said = OSError(0, "away")
    clock.now += STALE - 1
    assert await source.of("r")
    await source.settled()
    clock.now += 1
    for waited in (0, 10.5):
        clock.now += waited
        with pytest.raises(GatewayError) as caught:
            await source.of("r")
        assert (caught.value.status, caught.value.code) == (503, "jwks_unavailable")
        assert caught.value.headers == [("retry-after", str(ceil(PAUSE - 1 - waited)))]
    clock.now += PAUSE
    source.said = SET
    assert await source.of("r")


async def test_what_was_found_good_is_forgotten_with_the_keys(clock: Clock, file: Path) -> None:
    async with checking(config(file)) as held:
        shown = token()
        assert await held.client(shown)
        publish(file, public(OTHER_RSA, kid="r"))
        clock.now += LIFE
        assert await held.client(shown)  # and behind its back the keys are another's
        await asyncio.sleep(0)
        with pytest.raises(Unauthorized) as caught:
            await held.client(shown)
        assert caught.value.code == "invalid_token_signature"


async def test_who_leaves_while_the_keys_are_fetched_takes_them_from_nobody(source: Source) -> None:
    source.gate.clear()
    leaving, staying = (asyncio.create_task(source.of("r")) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    source.gate.set()
    assert await staying
    assert source.asked == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "no such file or directory"),
        ("", "not a JSON Web Key Set"),
        ("[]", "not a JSON Web Key Set"),
        ("{}", "not a JSON Web Key Set"),
        ('{"keys": {}}', "not a JSON Web Key Set"),
        ('{"keys": [1, {}, {"kty": "RSA"}, {"kty": 7}]}', "not a JSON Web Key Set"),
        ('{"keys": ' + "[" * 5000, "not a JSON Web Key Set"),
        ("\xff", "not a JSON Web Key Set"),
    ],
)
async def test_keys_that_cannot_be_read_let_nobody_in_and_are_told_of(
    text: str | None, why: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if text is not None:
        (tmp_path / "keys").write_text(text)
    with caplog.at_level(logging.WARNING, "pillion"):
        async with checking(config(tmp_path / "keys")) as held:
            for _ in range(3):
                with pytest.raises(GatewayError) as caught:
                    await held.client(token())
                assert (caught.value.status, caught.value.code) == (503, "jwks_unavailable")
    (told,) = caplog.records
    assert why in told.getMessage()


# --- through the whole house -----------------------------------------------------------------------------------------


@asynccontextmanager
async def trusting(folder: Path, jwks: str) -> AsyncIterator[tuple[Gateway, Sinks]]:
    """A gateway that trusts the authority of these tests, and all that it logs."""
    (folder / "config.yaml").write_text(
        f"jwt: {{jwks: {jwks}, issuer: {ISSUER}, audience: {AUDIENCE}, keys: {{ann: team}}}}\n"
        "keys: {team: {key: the-key-of-the-team, models: [echo/text]}}\nlog: {level: debug}"
    )
    made = load(folder / "config.yaml", {"PILLION_LISTEN": "127.0.0.1:0", "PILLION_ALLOWED_HOSTS": "pillion"})
    sinks = Sinks()
    log, handler = logged(sinks, made, words=False)
    logging.getLogger("pillion").addHandler(handler)
    try:
        async with opened(App(made, tls=trust(), log=log)) as gateway:
            yield gateway, sinks
    finally:
        logging.getLogger("pillion").removeHandler(handler)


@pytest.mark.parametrize("tls", [True, False], ids=["https", "http on this machine"])
async def test_a_token_opens_the_door_and_is_told_to_nobody(tls: bool, tmp_path: Path) -> None:
    answer = Scenario(body=json.dumps(SET).encode(), headers=[("Content-Type", "application/json")])
    async with Evil(answer, tls=tls) as evil, trusting(tmp_path, f"{evil.url}/a/keys.json?v=1") as (gateway, sinks):

        async def asked(shown: str, model: str = "echo/text") -> int:
            body = OPENAI.request(model=model)
            got = await chat(gateway, OPENAI, body, [("Authorization", f"Bearer {shown}")])
            sinks.add("an answer", got.raw_headers.encode() + got.body)
            return got.status

        good, bad = token(), token(exp=now() - 3600)
        assert [await asked(each) for each in (good, "the-key-of-the-team", bad, "nonsense")] == [200, 200, 401, 401]
        assert await asked(good, "echo/tool") == 403
        assert await asked(token(sub="eve")) == 401
        (request,) = evil.requests
        assert (request.target, request.header("accept-encoding")) == ("/a/keys.json?v=1", "identity")
        sinks.add("metrics", (await ask(gateway, "GET", "/metrics", headers=[("api-key", good)])).body)
        everything = b"".join(sinks.said.values()).decode()
        assert '"client":"team"' in everything
        assert not [piece for piece in (*good.split(".")[1:], *bad.split(".")[1:]) if piece in everything]


@pytest.mark.parametrize(
    "answer",
    [
        Scenario(status=500, body=b"no"),
        Scenario(status=302, headers=[("Location", "https://evil.example")]),
        Scenario(body=b"<html>"),
        Scenario(body=b"{}", cut_at=1),
    ],
)
async def test_where_the_identity_provider_fails_tokens_are_not_checked_and_keys_are(
    answer: Scenario, tmp_path: Path
) -> None:
    async with Evil(answer, tls=True) as evil, trusting(tmp_path, f"{evil.url}/keys?app=canary") as (gateway, sinks):
        for shown, status in ((token(), 503), (token(), 503), ("the-key-of-the-team", 200)):
            body = OPENAI.request(model="echo/text")
            got = await chat(gateway, OPENAI, body, [("Authorization", f"Bearer {shown}")])
            assert got.status == status
        told = [json.loads(line) for line in sinks.said["the log"].splitlines()]
        assert [line["level"] for line in told if line["event"] == "jwks_failed"] == ["warning"]
        assert b"canary" not in sinks.said["the log"]


async def test_the_keys_outlive_another_configuration_and_what_was_found_good_does_not(tmp_path: Path) -> None:
    """The identity provider is away after its first answer: whoever asked it again would let nobody in."""
    answer = Scenario(body=json.dumps(SET).encode(), headers=[("Content-Type", "application/json")])
    gone = [Scenario(status=500, body=b"no")] * 9
    async with Evil(answer, *gone, tls=True) as evil, trusting(tmp_path, f"{evil.url}/keys") as (gateway, _):

        async def asked() -> int:
            shown = [("Authorization", f"Bearer {token()}")]
            return (await chat(gateway, OPENAI, OPENAI.request(model="echo/text"), shown)).status

        async def become(**more: Any) -> int:
            jwt = replace(gateway.app.config.jwt, **more)
            await gateway.app.become(gateway.app.config._replace(jwt=jwt, strict=not gateway.app.config.strict))
            return await asked()

        assert [await asked(), await become(), await become()] == [200, 200, 200]
        assert await become(audience="somebody else") == 401
        assert len(evil.requests) == 1
        assert await become(audience=AUDIENCE, jwks=f"{evil.url}/others") == 503
        assert [request.target for request in evil.requests] == ["/keys", "/others"]


async def test_a_file_of_keys_is_read_again_with_another_configuration(tmp_path: Path, file: Path) -> None:
    async with trusting(tmp_path, str(file)) as (gateway, _):
        shown = [("Authorization", f"Bearer {token()}")]

        async def asked() -> int:
            return (await chat(gateway, OPENAI, OPENAI.request(model="echo/text"), shown)).status

        assert await asked() == 200
        publish(file, public(RSA, kid="another"))
        assert await asked() == 200
        await gateway.app.become(gateway.app.config)
        assert await asked() == 401


def test_whoever_takes_no_tokens_loads_nothing_for_them() -> None:
    script = (
        "import asyncio, sys; from proxy.app import App; from proxy.config import load\n"
        "async def made(): await App(load()).close()\n"
        "asyncio.run(made()); print({'jwt', 'cryptography'} & {*sys.modules})"
    )
    assert with_python(script)[:2] == (0, "set()\n")


def test_whoever_takes_them_and_has_not_what_it_needs_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    monkeypatch.delitem(sys.modules, "proxy.access.tokens")
    with pytest.raises(ConfigError, match=r"`jwt` needs PyJWT: pip install 'pillion\[jwt\]'"):
        registry.tokens()
