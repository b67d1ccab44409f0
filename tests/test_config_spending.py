"""Are clients' rights, limits and budgets that make no sense refused, with their place?"""

from hashlib import sha256
from pathlib import Path

import pytest

from proxy.access.allowance import ClientKey, Limits
from proxy.config import Config, load
from proxy.config.spending import moment
from proxy.errors import ConfigError

ISSUED = "jwt: {jwks: 'https://k/', issuer: i, audience: a"


def loaded(text: str, folder: Path, **environ: str) -> Config:
    file = folder / "config.yaml"
    file.write_text(text)
    return load(file, environ)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("keys: {a b: {key: x}}", "keys.a b: the name must be"),
        ("keys: {a: {}}", "keys.a: needs either key or sha256"),
        (f"keys: {{a: {{key: x, sha256: '{'0' * 64}'}}}}", "keys.a: needs either key or sha256"),
        ("keys: {a: {key: ' '}}", "keys.a.key: is empty"),
        ("keys: {a: {key: é}}", "keys.a.key: cannot be sent"),
        ("keys: {a: {sha256: abc}}", "keys.a.sha256: must be 64"),
        ("keys: {a: {key: x}, b: {key: x}}", "keys.b: has the same key as a"),
        ("keys: {a: {key: x}, b: {key: ' x '}}", "keys.b: has the same key as a"),
        (
            f"keys: {{a: {{key: x}}, b: {{sha256: {sha256(b'x').hexdigest().upper()}}}}}",
            "keys.b: has the same key as a",
        ),
        ("client_key: x\nkeys: {a: {key: x}}", "keys.a: has the same key as client_key"),
        ("keys: {a: {key: x, providers: [nobody]}}", "keys.a.providers[0]: is not a configured provider"),
        ("keys: {a: {key: x, models: [gpt-4o]}}", "keys.a.models[0]: matches no model: must be PROVIDER/MODEL"),
        (
            "keys: {a: {key: x, models: [echo/*, 'gpt-*']}}",
            "keys.a.models[1]: matches no model: must be PROVIDER/MODEL",
        ),
        ("keys: {a: {key: x, models: [nobody/*]}}", "keys.a.models[0]: matches no model: must be PROVIDER/MODEL"),
        ("keys: {a: {key: x, models: [echo/]}}", "keys.a.models[0]: matches no model: must be PROVIDER/MODEL"),
        ("keys: {a: {key: x, models: []}}", "keys.a.models: is empty: must name at least one; leave it out for all"),
        ("keys: {a: {key: x, models: }}", "keys.a.models: is empty: must name at least one; leave it out for all"),
        ("keys: {a: {key: x, providers: ~}}", "keys.a.providers: is empty: must name at least one"),
        ("keys: {a: {key: x, models: '${NOTHING:-}'}}", "keys.a.models: is empty: must name at least one"),
        ("keys: {a: {key: x, providers: []}}", "keys.a.providers: is empty: must name at least one"),
        ("keys: {a: {key: x, expires: soon}}", "keys.a.expires: must be a date"),
        ("keys: {default: {key: x}}\nclient_key: y", "keys.default: is the name of the key in client_key"),
        ("jwt: {jwks: 'https://k/', audience: a}", "jwt.issuer: is missing"),
        ("jwt: {jwks: /nowhere/k, issuer: i, audience: a}", "jwt.jwks: cannot be read: no such file or directory"),
        ("jwt: {jwks: /dev/null, issuer: i, audience: a}", "jwt.jwks: cannot be read: not a regular file"),
        ("jwt: {jwks: /proc/version, issuer: i, audience: a}", "jwt.jwks: is not a JSON Web Key Set"),
        ("jwt: {jwks: 'ftp://k/', issuer: i, audience: a}", "jwt.jwks: cannot be read"),
        ("jwt: {jwks: 'https://[', issuer: i, audience: a}", "jwt.jwks: cannot be read"),
        ("jwt: {jwks: 'https://k:x/', issuer: i, audience: a}", "jwt.jwks: cannot be read"),
        ("jwt: {jwks: 'http://k', issuer: i, audience: a}", "jwt.jwks: must be an https URL or a file"),
        ("jwt: {jwks: 'http://k/?on=127.0.0.1', issuer: i, audience: a}", "jwt.jwks: must be an https URL or a file"),
        ("jwt: {jwks: 'https://u:p@k/', issuer: i, audience: a}", "jwt.jwks: must be https://HOST[:PORT][/PATH]"),
        ("jwt: {jwks: 'https://u@k/?v=1', issuer: i, audience: a}", "jwt.jwks: must be https://HOST[:PORT][/PATH]"),
        ("jwt: {jwks: 'https://k/#f', issuer: i, audience: a}", "jwt.jwks: must be https://HOST[:PORT][/PATH]"),
        ("jwt: {issuer: i, audience: a}", "jwt.jwks: is missing"),
        ("jwt: {keys: {a: b}}\nkeys: {b: {key: x}}", "jwt.jwks: is missing"),
        (ISSUED + ", algorithms: [RS256, none]}", "jwt.algorithms: must not contain none"),
        (ISSUED + ", algorithms: [HS256]}", "jwt.algorithms: must not contain HS256"),
        (ISSUED + ", algorithms: [rs256]}", "jwt.algorithms: rs256 is no algorithm by which tokens are signed"),
        (ISSUED + ", algorithms: [RS256, RS257]}", "jwt.algorithms: RS257 is no algorithm"),
        (ISSUED + ", algorithms: []}", "jwt.algorithms: is empty: no token would be accepted"),
        (ISSUED + ", keys: {}}", "jwt.keys: is empty: leave it out to let in every valid token"),
        (ISSUED + ", keys: null}", "jwt.keys: is empty: leave it out to let in every valid token"),
        ("transparent: nobody", "transparent: is not a configured provider"),
        ("transparent: echo\nclient_key: x", "transparent: apps send their provider's key"),
        ("transparent: echo\ncache: {shared: true}", "cache.shared: must be false with transparent"),
        ("cache: {stored: true}", "cache.stored: needs a folder for the answers: set state_dir"),
        ("state_dir: ~/pillion", "state_dir: must be a path, in which ~ and $ stand for nothing: write ${HOME}"),
        ("state_dir: $HOME/pillion", "state_dir: must be a path, in which ~ and $ stand for nothing"),
        ("state_dir: 'file:///s'", "state_dir: must be a path"),
        ("store: 'mysql://h'", "store: must be redis://"),
        ("store: 'redis://:secret@h\u2100/0'", "store: must be redis://"),
        ("store: 'rediss:secret@h/0'", "store: must be redis://"),
        ("store: 'redis://'", "store: must be redis://"),
        ("store: 'redis://h/secret'", "store: must be redis://"),
        ("store: 'redis://h/1/2'", "store: must be redis://"),
        ("alerts: {webhook: 'file:///x'}", "alerts.webhook: must be an http(s) URL"),
        ("alerts: {webhook: 'https:hooks.example/x'}", "alerts.webhook: must be an http(s) URL"),
        ("alerts: {webhook: 'https://secret['}", "alerts.webhook: must be an http(s) URL"),
        ("budgets: {a: {window: day}}", "budgets.a: usd is missing"),
        ("budgets: {a: {usd: -1}}", "budgets.a.usd: expected a number of dollars, at least 0"),
        ("budgets: {a: {usd: 1, provider: nobody}}", "budgets.a.provider: is not a configured provider"),
        ("budgets: {a: {usd: 1, model: echo}}", "budgets.a.model: must be PROVIDER/MODEL"),
        (
            "keys: {k: {key: x}}\nbudgets: {a: {usd: 1, client: a|b}}",
            "budgets.a.client: is not a valid name of a client key",
        ),
        ("budgets: {a b: {usd: 1}}", "budgets.a b: the name must be 1 to 64 characters"),
        (
            "providers: {openai: {api_key: x}}\nbudgets: {a: {usd: 1, provider: openai, model: echo/x}}",
            "budgets.a.model: is not a model of openai's",
        ),
        ("budgets: {a: {usd: 1}, b: {usd: 2}}", "budgets.b: covers the same as a"),
        ("limits: {models: {echo: {concurrent: 1}}}", "limits.models.echo: must be PROVIDER/MODEL"),
        ("limits: {client: {concurrent: 0}}", "limits.client.concurrent: expected a whole number, at least 1"),
        ("limits: {models: {'echo/*': {concurrent: 1}}}", "limits.models.echo/*: must be the whole name of one model"),
        ("prices: {'echo/a*': {input: 1, output: 1}}", "prices.echo/a*: must be the whole name of one model"),
        ("budgets: {a: {usd: 1, model: 'echo/*'}}", "budgets.a.model: must be the whole name of one model"),
        ("prices: {echo/x: {input: 1}}", "prices.echo/x: output is missing"),
        ("prices: {nobody/x: {input: 1, output: 1}}", "prices.nobody/x: must be PROVIDER/MODEL"),
        (
            "limits: {models: {echo/m: {concurrent: 1}, 'echo/M-2025-01-31': {concurrent: 2}}}",
            "limits.models.echo/M-2025-01-31: is another name of echo/m: remove one of the two",
        ),
        (
            "budgets: {a: {usd: 1, model: echo/m}, b: {usd: 2, model: 'echo/m:latest'}}",
            "budgets.b: covers the same as a: remove one of the two",
        ),
        ("unknown_price: cheap", "unknown_price: expected one of"),
        ("routes: {r: {targets: []}}", "routes.r: has no targets"),
        ("routes: {r: {targets: [x]}}", "routes.r.targets[0]: must be PROVIDER/MODEL"),
        ("routes: {r: {targets: [echo/a, {target: echo/a}]}}", "routes.r.targets[1]: is listed twice"),
        ("routes: {echo/a: {targets: [echo/b]}}", "routes.echo/a: looks like a provider's own model"),
        ("aliases: {r: echo/a}\nroutes: {r: {targets: [echo/b]}}", "routes.r: is also the name of an alias"),
        ("failover: {fallback_order: [nobody/x]}", "failover.fallback_order[0]: must be PROVIDER"),
        ("retry: {retryable_errors: [bad]}", "retry.retryable_errors[0]: must be one of"),
        ("faults: {providers: {nobody: {status: 500}}}", "faults.providers.nobody: is not a configured provider"),
        (
            "providers: {openai: {api_key: x, api_keys: [y]}}",
            "config.yaml:1): remove one of the two",
        ),
        ("providers: {openai: {keys: [sk-secret]}}", "providers.openai.keys[0]: must be a variable's name"),
        ("providers: {openai: {serves: [gpt, '${E:-}']}}", "providers.openai.serves[1]: is empty: leave it out"),
        ("providers: {openai: {serves: [' ']}}", "providers.openai.serves[0]: is empty: leave it out"),
        ("providers: {openai: {models: ['']}}", "providers.openai.models[0]: is empty: leave it out"),
        ("providers: {openai: {models: [{name: ''}]}}", "providers.openai.models[0]: is empty: leave it out"),
        ("providers: {openai: {api_keys: [k, '']}}", "providers.openai.api_keys[1]: is empty: leave it out"),
        ("providers: {openai: {api_keys: ['${E:-}']}}", "providers.openai.api_keys[0]: is empty: leave it out"),
        ("providers: {openai: {api_keys: [{key: ' '}]}}", "providers.openai.api_keys[0].key: is empty: leave it out"),
        (
            'providers: {openai: {api_keys: ["a\\nsecret"]}}',
            "openai.api_keys[0]: cannot be sent in a header: must be printable ASCII",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(text, tmp_path)
    assert problem in str(caught.value)
    assert "secret" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_keys_on_lines_of_their_own_are_told_what_parts_them(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("secret-a\nsecret-b\n")
    with pytest.raises(ConfigError) as caught:
        loaded("", tmp_path, PILLION_OPENAI_API_KEYS_FILE=str(tmp_path / "keys"))
    assert str(caught.value).endswith("printable ASCII. Several are separated by commas")
    assert "secret" not in str(caught.value)


def test_a_key_and_what_it_may(tmp_path: Path) -> None:
    text = """
keys:
  mobile: {key: k1, models: [echo/*], providers: [echo], expires: "2027-01-31"}
  backend: {key: k2, limits: {concurrent: 2}}
limits: {client: {requests_per_minute: 5}}
"""
    config = loaded(text, tmp_path)
    mobile, backend = config.keys
    until = moment("2027-01-31T23:59:59.999999")
    assert mobile.client == ClientKey(
        name="mobile", models=("echo/*",), providers=("echo",), limits=Limits(requests_per_minute=5), expires=until
    )
    assert backend.client == ClientKey(name="backend", limits=Limits(concurrent=2))
    assert (mobile.key.reveal(), "k1" in repr(config), config.has_keys) == ("k1", False, True)


def test_a_route_may_have_a_slash_where_no_provider_has_that_name(tmp_path: Path) -> None:
    config = loaded("routes: {team/fast: {targets: [echo/a]}, echo: {targets: [echo/b]}}", tmp_path)
    assert list(config.routes) == ["team/fast", "echo"]


def test_keys_that_are_none_are_not_told_to_be_the_same(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded("keys: {a: {}, b: {}, c: {key: ' '}, d: {key: ''}}", tmp_path)
    assert "the same" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 4


def test_a_weight_may_be_any_number_above_0(tmp_path: Path) -> None:
    text = "providers: {openai: {api_keys: [{key: a, weight: 0.7}, {key: b, weight: 0.3}]}}\n"
    text += "routes: {r: {targets: [{target: echo/a, weight: 2}, {target: echo/b, weight: 0.5}]}}"
    config = loaded(text, tmp_path)
    assert [weight for _, weight in config.providers["openai"].api_keys] == [0.7, 0.3]
    assert config.routes["r"].targets == (("echo/a", 2), ("echo/b", 0.5))
    for weight in ("0", "-1", ".5", ".inf", "1e400"):
        with pytest.raises(ConfigError, match=r"routes.r.targets\[0\].weight: expected a number"):
            loaded(f"routes: {{r: {{targets: [{{target: echo/a, weight: {weight}}}]}}}}", tmp_path)


def test_a_budget_may_be_of_whomever_a_token_names(tmp_path: Path) -> None:
    text = "keys: {a: {key: x}}\nbudgets: {b: {usd: 1, client: 'auth0|7'}}\n" + ISSUED + "}"
    assert loaded(text, tmp_path).budgets["b"].client == "auth0|7"


def test_several_keys_of_a_provider(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("two\n")
    text = f"providers: {{openai: {{api_keys: [one, {{key: '${{file:{tmp_path}/key}}', weight: 3}}]}}}}"
    provider = loaded(text, tmp_path).providers["openai"]
    assert [(key.reveal(), weight) for key, weight in provider.api_keys] == [("one", 1), ("two", 3)]
    by_variable = load(environ={"PILLION_OPENAI_API_KEYS": "a, b", "PILLION_OPENAI_BASE_URL": "http://h/v1"})
    assert [key.reveal() for key, _ in by_variable.providers["openai"].api_keys] == ["a", "b"]
    assert "two" not in repr(provider)


@pytest.mark.parametrize("by_variable", [True, False])
def test_several_keys_of_a_provider_in_one_file(by_variable: bool, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("one, two\n")
    text = "" if by_variable else f"providers: {{openai: {{api_keys: '${{file:{file}}}'}}}}"
    environ = {"PILLION_OPENAI_API_KEYS_FILE": str(file)} if by_variable else {}
    environ["PILLION_OPENAI_BASE_URL"] = "http://h/v1"
    keys = [key for key, _ in loaded(text, tmp_path, **environ).providers["openai"].api_keys]
    assert [key.reveal() for key in keys] == ["one", "two"]
    file.write_text("another, second, third")
    assert [key.look() for key in keys] == ["another", "second"]  # how many there are the configuration says
    file.write_text("last")
    assert [key.look() for key in keys] == ["last", "second"]


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"PILLION_STATE_DIR": "/s", "HOME": "/h"}, "/s"),
        ({"PILLION_STATE_DIR": "s"}, str(Path.cwd() / "s")),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/pillion"),
        ({"XDG_STATE_HOME": "x", "HOME": "/h"}, "/h/.local/state/pillion"),
        ({}, None),
    ],
)
def test_where_the_state_is(environ: dict[str, str], folder: str | None) -> None:
    assert load(environ=environ).state_dir == (folder and Path(folder))


@pytest.mark.parametrize(
    "pattern", ["*", "*/gpt-4o", "*gpt-4o", "e*", "echo/*", "echo/a*b", "openai/gpt-4o", "openai/*"]
)
def test_a_key_may_be_kept_to_whatever_could_be_there(pattern: str, tmp_path: Path) -> None:
    config = loaded(f"keys: {{a: {{key: x, models: ['{pattern}']}}}}", tmp_path)
    assert config.keys[0].client.models == (pattern,)
