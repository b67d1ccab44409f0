"""Is the operator understood, in what order, and told plainly what is wrong?"""

import re
from pathlib import Path

import pytest

from proxy import registry
from proxy.config import Config, Provider, Secret, Timers, layered, load
from proxy.config.targets import BEGIN_ANEW
from proxy.errors import ConfigError

KEY = "sk-canary-0123456789"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def read(file: Path, text: str, **environ: str) -> Config:
    file.write_text(text, encoding="utf-8")
    return load(file, environ)


def configured(config: Config) -> dict[str, Provider]:
    """Less Ollama, which is there without a word."""
    return {name: row for name, row in config.providers.items() if not row.assumed}


# --- what is in force ------------------------------------------------------------------------------------------------


def test_nothing_set_is_a_gateway_on_loopback_without_providers() -> None:
    config = load(environ={})
    assert (config.listen.host, config.listen.port, configured(config)) == ("127.0.0.1", 7455, {})
    assert not config.client_key


def test_a_key_in_the_environment_makes_its_preset_a_provider() -> None:
    config = load(environ={"OPENAI_API_KEY": KEY, "GROQ_API_KEY": KEY})
    assert list(configured(config)) == ["openai", "groq"]
    openai = config.providers["openai"]
    assert (openai.kind, openai.base_url, openai.api_key.reveal()) == ("openai", "https://api.openai.com/v1", KEY)
    assert openai.timers == Timers()


def test_the_apps_own_variables_never_tell_us_where_to_go() -> None:
    config = load(environ={"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://127.0.0.1:7455/v1"})
    assert config.providers["openai"].base_url == "https://api.openai.com/v1"


def test_either_key_of_a_preset_will_do() -> None:
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        assert load(environ={name: KEY}).providers["gemini"].api_key.reveal() == KEY


def test_the_environment_beats_the_file_and_the_file_beats_the_preset(file: Path) -> None:
    text = "listen: 127.0.0.1:1\nproviders: {openai: {base_url: 'http://file/v1', api_key: filed}}"
    config = read(file, text)
    assert (config.listen.port, config.providers["openai"].base_url) == (1, "http://file/v1")
    assert config.providers["openai"].api_key.reveal() == "filed"
    assert read(file, text, OPENAI_API_KEY="environed").providers["openai"].api_key.reveal() == "environed"
    config = read(file, text, PILLION_LISTEN="127.0.0.1:2", PILLION_OPENAI_BASE_URL="http://environ/v1/")
    assert (config.listen.port, config.providers["openai"].base_url) == (2, "http://environ/v1")


def test_a_base_url_in_the_environment_is_a_provider_without_a_key() -> None:
    provider = load(environ={"PILLION_OPENAI_BASE_URL": "http://h:1/v1"}).providers["openai"]
    assert (provider.base_url, bool(provider.api_key)) == ("http://h:1/v1", False)


def test_the_file_is_found_through_the_environment(file: Path) -> None:
    file.write_text("client_key: abc")
    assert load(environ={"PILLION_CONFIG": str(file)}).client_key.reveal() == "abc"


def test_an_empty_file_is_no_mistake(file: Path) -> None:
    assert configured(read(file, "# nothing yet\n")) == {}


def test_a_preset_named_in_the_file_needs_no_row(file: Path) -> None:
    provider = read(file, "providers: {groq: }").providers["groq"]
    assert provider.base_url == "https://api.groq.com/openai/v1"
    assert not provider.api_key


def test_a_provider_of_ones_own_is_openai_compatible_unless_it_says_otherwise(file: Path) -> None:
    text = "providers: {my-host.v2: {base_url: 'http://h:1', models: [a, b], ask_usage: false, timers: {idle: 3}}}"
    provider = read(file, text).providers["my-host.v2"]
    assert (provider.kind, provider.models, provider.ask_usage) == ("openai", ("a", "b"), False)
    assert provider.timers == Timers(idle=3)
    named = read(file, text, PILLION_MY_HOST_V2_BASE_URL="http://other").providers["my-host.v2"]
    assert named.base_url == "http://other"


def test_a_preset_may_say_that_a_host_refuses_to_be_asked_for_usage() -> None:
    config = load(environ={"MISTRAL_API_KEY": KEY, "OPENAI_API_KEY": KEY})
    assert (config.providers["mistral"].ask_usage, config.providers["openai"].ask_usage) == (False, True)


def test_a_preset_may_say_that_a_host_takes_images_as_bytes_alone(file: Path) -> None:
    environ = {"CEREBRAS_API_KEY": KEY, "OPENAI_API_KEY": KEY}
    rows = ", ".join(f"{name}: {{}}" for name in ("lmstudio", "ollama-openai", "ollama-cloud", "vllm", "llamacpp"))
    file.write_text(f"providers: {{{rows}}}")
    providers = load(file, environ).providers
    assert [name for name, row in providers.items() if not row.takes_urls] == [
        "lmstudio", "ollama-openai", "ollama-cloud", "cerebras"
    ]  # fmt: skip


def test_variables_stand_in_for_values_and_are_never_yaml(file: Path) -> None:
    text = "client_key: ${A}-${B:-two}\naliases: {x: 'echo/${C:-d}'}"
    config = read(file, text, A="[1, 2]: {}")
    assert config.client_key.reveal() == "[1, 2]: {}-two"
    assert config.aliases == {"x": "echo/d"}


def test_the_line_end_of_a_key_file_is_no_part_of_the_key() -> None:
    config = load(environ={"OPENAI_API_KEY": KEY + "\n", "PILLION_CLIENT_KEY": "abc\r\n"})
    assert (config.providers["openai"].api_key.reveal(), config.client_key.reveal()) == (KEY, "abc")


def test_what_a_provider_without_a_key_would_serve_is_known_too() -> None:
    config = load(environ={})
    assert config.serves["anthropic"] == ("claude",)
    assert config.ways["gemini"] == "set GEMINI_API_KEY or GOOGLE_API_KEY"


def test_the_defaults_model_may_be_any_providers(file: Path) -> None:
    assert read(file, "default_model: echo/text").default_model == "echo/text"
    given = {"PILLION_DEFAULT_MODEL": "claude/claude-x", "ANTHROPIC_API_KEY": KEY}
    assert load(environ=given).default_model == "claude/claude-x"


@pytest.mark.parametrize(
    ("text", "address"),
    [("0.0.0.0:0", ("0.0.0.0", 0)), ("[::1]:80", ("::1", 80)), ("localhost:65535", ("localhost", 65535))],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    config = load(environ={"PILLION_LISTEN": text, "PILLION_CLIENT_KEY": KEY})
    assert (config.listen.host, config.listen.port) == address


# --- mistakes --------------------------------------------------------------------------------------------------------

MISTAKES = [
    ("listen: 127.0.0.1", "HOST:PORT"),
    ("listen: ':80'", "HOST:PORT"),
    ("listen: h:70000", "HOST:PORT"),
    ("lisen: h:1", "lisen"),
    ("listen: [1]", ":1: listen: expected text, got a list"),
    ("- a", ":1: expected a mapping (key: value), got a list"),
    ("a: b: c", ":1: mapping values are not allowed"),
    ("providers: {x: {}}", "providers.x: base_url is missing"),
    ("providers: {x: {base_url: 'ftp://h'}}", "providers.x.base_url: must be http"),
    ("providers: {x: {base_url: 'http://'}}", "providers.x.base_url: must be http"),
    ("providers: {x: {base_url: 'http://h:99999'}}", "providers.x.base_url: must be http"),
    ("providers: {x: {base_url: 'http://[::1'}}", "providers.x.base_url: must be http"),
    ("providers: {x: {base_url: 'http://h/v1?a=b'}}", "providers.x.base_url: must be http"),
    ("providers: {x: {base_url: 'http://h/v1#a'}}", "providers.x.base_url: must be http"),
    ("providers: {x: {base_url: 'http://u:p@h'}}", "providers.x.base_url: must be http"),
    ("providers: {x: {base_url: 'http://h', api_key: \"a\\nb\"}}", "providers.x.api_key: cannot be sent"),
    ("providers: {x: {base_url: 'http://h', headers: {a: 'b\u00e9'}}}", "providers.x.headers.a: cannot be sent"),
    ("providers: {x: {base_url: 'http://h', headers: {'a b': c}}}", "providers.x.headers.a b: cannot be sent"),
    ("providers: {x: {base_url: 'http://h', org_id: \"org\\n\"}}", "providers.x.org_id: cannot be sent"),
    ("providers: {x: {base_url: 'http://h', project: 'proj\u00e9'}}", "providers.x.project: cannot be sent"),
    ("providers: {gemini: {api_version: \"v1\\r\\nX: y\"}}", "providers.gemini.api_version: must consist of"),
    ("providers: {vertex: {project: p, location: l, api_version: v1/x}}", "providers.vertex.api_version: must consist"),
    ("providers: {x/y: {base_url: 'http://h'}}", "providers.x/y: the name must consist"),
    ("providers: {echo: {base_url: 'http://h'}}", "and must not be echo"),
    ("providers: {x: {base_url: 'http://h', timers: {idle: 0}}}", "providers.x.timers.idle: expected a number of s"),
    ("providers: {x: {base_url: 'http://h', timers: {idle: -1}}}", "providers.x.timers.idle: expected a number of s"),
    ("providers: {x: {base_url: 'http://h', timers: {total: .inf}}}", "providers.x.timers.total: expected a number of"),
    ("providers: {x: {base_url: 'http://h', timers: {total: .nan}}}", "providers.x.timers.total: expected a number of"),
    ("providers: {x: {base_url: 'http://h', timers: {tottal: 1}}}", "tottal"),
    ("default_model: gpt", "default_model: must be PROVIDER/MODEL"),
    ("default_model: openai/gpt", "default_model: must be PROVIDER/MODEL"),
    ("default_model: claude/x", "default_model: must be PROVIDER/MODEL"),
    ("client_key: ${NOT_SET}", "${NOT_SET} is not set"),
    ("listen: 2026-99-99", "listen: expected text, got 2026-99-99, which YAML reads as a date: put it in quotes"),
    ("a: &b [*b]", "config.yaml:1: a YAML alias must refer"),
    ("{[a]: b}", "config.yaml:1: a key must be a plain word"),
    ("\x07", "config.yaml:1: contains a control character"),
    ("metrics_address: x", "metrics_address: must be HOST:PORT"),
    ("admin: {address: '127.0.0.1:7455'}", "admin.address: 127.0.0.1:7455 is already used by listen: choose"),
    ("{metrics_address: 'h:1', admin: {address: 'h:1'}, allow_open: true}", "admin.address: h:1 is already used by m"),
    ("metrics_address: '0.0.0.0:7455'", "0.0.0.0:7455 is already used by listen, which is 127.0.0.1:7455: choose"),
    ("metrics_address: 'localhost:7455'", "localhost:7455 is already used by listen, which is 127.0.0.1:7455: choose"),
    ("{metrics_address: '0.0.0.0:1', admin: {address: '127.0.0.1:1'}}", "127.0.0.1:1 is already used by metrics_addr"),
    ("{listen: '0.0.0.0:1', client_key: short}", "client_key: must have at least 16 characters, because 0.0.0.0:1 ca"),
    ("{admin: {address: '0.0.0.0:1'}, client_key: 15-characters--}", "client_key: must have at least 16 characters"),
    ("aliases: {fast: nope/x}", ":1: aliases.fast: must be PROVIDER/MODEL of a configured provider"),
    (
        "routes: {fast: {targets: [openai/x]}}",
        ":1: routes.fast.targets[0]: must be PROVIDER/MODEL of a configured provider: set OPENAI_API_KEY",
    ),
    (
        "failover: {fallback_order: [openai]}",
        ":1: failover.fallback_order[0]: must be PROVIDER or PROVIDER/MODEL: set OPENAI_API_KEY; the configured",
    ),
    ("aliases: {fast: openai/x}", ":1: aliases.fast: must be PROVIDER/MODEL of a configured provider: set OPENAI"),
    ("aliases: {fast: gpt-5}", ":1: aliases.fast: must be PROVIDER/MODEL"),
    ("aliases: {fast: opnai/x}", ":1: aliases.fast: must be PROVIDER/MODEL of a configured provider (did you mean op"),
    ("routes: {r: {targets: [antropic/x]}}", "of a configured provider (did you mean anthropic?)"),
    ("failover: {fallback_order: [groqq]}", "PROVIDER or PROVIDER/MODEL (did you mean groq?); the configured"),
    ("upstream: bedrok/x", "upstream: is not a configured provider (did you mean bedrock?); the configured ones are"),
    ("providers: {opnai: {api_key: k}}", "set it here, or as PILLION_OPNAI_BASE_URL (did you mean openai?)"),
    ("aliases: {fast: echo/}", ":1: aliases.fast: must be PROVIDER/MODEL"),
    ("aliases: {fast: fast}", ":1: aliases.fast: is another alias"),
    ("{upstream: echo, aliases: {fast: nope/x}}", ":1: aliases.fast: must be PROVIDER/MODEL"),
    ("providers: {x: {kind: echo, base_url: 'http://h'}}", "providers.x.kind: echo is built in and needs no row"),
    ("listen: unix:relative", "listen: must be HOST:PORT"),
    ("client_key: ''", "client_key: is empty"),
    ("allowed_hosts: [ok.example, 'a b']", "allowed_hosts[1]: must be a host name"),
    ("min_sigterm_delay: 61", "min_sigterm_delay: must not be longer than max_sigterm_delay"),
    ("max_request_timeout: 86401", "max_request_timeout: expected a number of seconds, at most 86400, got 86401"),
    ("body_limit: 1.5", "body_limit: expected a whole number of bytes, at least 1024, got 1.5"),
    ("log: {level: loud}", "log.level: expected one of debug, error, info, warning, got \"loud\""),
    ("upstream: groq/x", "upstream: is not a configured provider: set GROQ_API_KEY; the configured ones are"),
    ("upstream: echo/", "upstream: must be PROVIDER or PROVIDER/MODEL"),
    ("providers: {x: {preset: opnai}}", "providers.x.preset: is not a preset; the presets are openai"),
    ("providers: {x: {base_url: 'http://h', ca: /nowhere.pem}}", "providers.x.ca: cannot be read: no such file"),
    ("providers: {x: {base_url: 'http://h', proxy: 'h:1'}}", "providers.x.proxy: must be http"),
    ("providers: {x: {base_url: 'http://h', proxy: 'http://u@h:1/path'}}", "providers.x.proxy: must be http"),
    ("providers: {x: {base_url: 'http://h', proxy: 'http://127.0.0.1:7455'}}", "providers.x.proxy: is pillion's own"),
    ("providers: {x: {base_url: 'http://h', headers: {Host: b}}}", "x.headers.Host: is set by pillion itself"),
    ("providers: {vertex: {location: l, credentials: /nowhere}}", "vertex.credentials: cannot be read: no such file"),
    ("providers: {vertex: {location: l, credentials: /}}", "providers.vertex.credentials: cannot be read: "),
    ("providers: {groq: {body: [a]}}", ":1: providers.groq.body: expected a mapping (key: value), got a list"),
    ("providers: {groq: {body: {model: m}}}", ":1: providers.groq.body.model: can be set only by the request"),
    ("providers: {groq: {body: {stream: true}}}", ":1: providers.groq.body.stream: can be set only by the request"),
    ("providers: {groq: {body: {a: {b: [no]}}}}", "groq.body.a.b[0]: expected JSON, got no, which YAML 1.1 reads"),
    ("providers: {groq: {body: {a: 12:30}}}", "groq.body.a: expected JSON, got 12:30, which is not plain JSON"),
    ("providers: {groq: {body: {a: 2026-01-01}}}", "groq.body.a: expected JSON, got 2026-01-01, which is not plain"),
    ("providers: {groq: {body: {a: .inf}}}", "groq.body.a: expected JSON, got .inf, which is not plain JSON"),
    ("providers: {groq: {body: {a: 1.0e+999}}}", "groq.body.a: expected JSON, got 1.0e+999, which is not plain"),
    ("providers: {groq: {body: {a: 1234567890123456789}}}", "groq.body.a: expected JSON, got a value, which is not"),
    ("providers: {groq: {body: {a: '${NOT_SET}'}}}", "groq.body.a: ${NOT_SET} is not set in the environment"),
    ("fetch_images: perhaps", "fetch_images: expected true or false"),
    ("providers: {bedrock: }", ":1: providers.bedrock: location is missing"),
    ("providers: {x: {base_url: 'http://h', models: [{context: 5}]}}", "providers.x.models[0]: name is missing"),
    ("providers: {x: {base_url: 'http://h', models: [{name: b, like: [c]}]}}", "x.models[0].like: expected text, got"),
    ("providers: {x: {base_url: 'http://h', models: [{name: b, timers: 5}]}}", "models[0].timers: expected a mapping"),
    ("providers: {x: {base_url: 'http://h', models: [[a]]}}", "providers.x.models[0]: expected text, got a list"),
    ("providers: {x: {base_url: 'http://h', models: [{name: b, prefill: true}]}}", "x.models[0].prefill: a provider"),
    ("providers: {ollama: {models: [{name: claude-3, prefill: true}]}}", "of kind ollama cannot continue a text"),
    ("providers: {x: 5}", "providers.x: expected a mapping (key: value), got a number"),
    ("providers: [x]", "providers: expected a mapping (key: value), got a list"),
    ("providers: {a-b: {base_url: 'http://h'}, a_b: {base_url: 'http://h'}}", "providers.a_b: would have the same env"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), MISTAKES)
def test_a_mistake_is_told_in_one_line(file: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(file, text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_aliases_of_aliases_are_each_told(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(file, "aliases:\n  a: b\n  b: a\n  c: echo/text\n  d: c\n")
    told = [line.removeprefix(str(file)) for line in str(caught.value).splitlines()]
    assert told == [
        f":{line}: aliases.{name}: is another alias: must be PROVIDER/MODEL of a configured provider"
        for line, name in ((2, "a"), (3, "b"), (5, "d"))
    ]


def test_where_echo_gets_everything_no_other_needs_its_key(file: Path) -> None:
    text = "aliases: {fast: openai/gpt-5}\ndefault_model: claude/claude-x\n"
    assert read(file, f"{text}upstream: echo").upstream == "echo"
    with pytest.raises(ConfigError):
        read(file, text)


@pytest.mark.parametrize("listener", ["listen", "metrics_address", "admin_address"])
def test_a_provider_is_none_of_our_own_listeners(listener: str) -> None:
    given = {"PILLION_VLLM_BASE_URL": "http://localhost:9455/v1", f"PILLION_{listener.upper()}": "127.0.0.1:9455"}
    with pytest.raises(ConfigError, match=r"providers.vllm.base_url: localhost:9455 is pillion's own address"):
        load(environ=given)


@pytest.mark.parametrize("listener", ["listen", "metrics_address", "admin_address"])
def test_what_is_assumed_where_we_listen_ourselves_is_left_out(listener: str) -> None:
    assert list(load(environ={}).providers) == ["ollama"]
    assert list(load(environ={f"PILLION_{listener.upper()}": "127.0.0.1:11434"}).providers) == []


def test_a_file_that_is_not_there_or_no_text_is_told_by_its_name(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        load(file, {})
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        load(file, {})


@pytest.mark.parametrize(
    "text",
    [
        f"client_key: {KEY}: x",
        f"providers: {{x: {{api_key: '{KEY}'}}}}",
        f"providers: {{x: {{api_key: ['{KEY}']}}}}",
        f"providers: {{x: {{base_url: 'http://{KEY}@h', api_key: '{KEY}'}}}}",
        f"providers: {{x: {{base_url: 'http://h?key={KEY}'}}}}",
        f'providers: {{x: {{base_url: "http://h", api_key: "{KEY}\\u00e9"}}}}',
        f"{KEY}{KEY}{KEY}: x",
        f"strict: {KEY}",
        f"listen: {KEY}",
        f"upstream: {KEY}",
        f"default_model: {KEY}",
        f"client_key:{KEY}",
        f"providers: {{x: {{base_url: 'http://h', headers: {{a: [{KEY}]}}, max_tokens: {KEY}}}}}",
        f"providers: {{x: {{base_url: 'http://h', proxy: 'ftp://u:{KEY}@h'}}}}",
    ],
)
def test_no_mistake_shows_a_key(file: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(file, text)
    assert KEY not in str(caught.value)


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_a_secret_shows_itself_to_nobody() -> None:
    config = load(environ={"OPENAI_API_KEY": KEY, "PILLION_CLIENT_KEY": KEY})
    assert KEY not in repr(config)
    assert KEY not in f"{config.client_key} {config.providers}"
    assert [repr(Secret(KEY)), repr(Secret(""))] == ["***", "(none)"]


def test_what_a_configuration_is_made_of_shows_no_secret(file: Path) -> None:
    file.write_text(f"""
client_key: {KEY}
store: redis://:{KEY}@h
alerts: {{webhook: 'https://h/{KEY}'}}
keys: {{ann: {{key: {KEY}-of-ann}}}}
providers:
  x: {{base_url: 'http://h', api_key: {KEY}, headers: {{X-Key: {KEY}}}, proxy: 'http://u:{KEY}@h:1'}}
  y: {{base_url: 'http://h', api_keys: [{KEY}, {{key: '{KEY}2', weight: 2}}]}}
""")
    layers = layered(file, {"OPENAI_API_KEY": KEY})
    there, y = layers.file, layers.file.providers["y"]
    assert y is not None
    held = [layers, there, there.alerts, *there.keys.values(), *there.providers.values(), *y.api_keys[1:]]
    for one in (*held, *layers.rows.values(), *(row.node for row in layers.rows.values())):
        assert KEY not in f"{one!r} {one}"


def test_headers_and_proxies_show_their_values_to_nobody(file: Path) -> None:
    text = f"providers: {{x: {{base_url: 'http://h', headers: {{X-Key: {KEY}}}, proxy: 'http://u:{KEY}@h:1'}}}}"
    config = read(file, text)
    assert KEY not in repr(config)
    provider = config.providers["x"]
    shown = {name: value.reveal() for name, value in provider.headers.items()}
    assert (shown, provider.proxy.reveal()) == ({"X-Key": KEY}, f"http://u:{KEY}@h:1")


# --- all of it at once ---------------------------------------------------------------------------------------------


def test_all_mistakes_are_told_at_once_a_line_each_in_their_order(file: Path) -> None:
    text = f"""\
lisen: 1
providers:
  openai:
    timers:
      idle: "fast"
      idle: 5
  azure:
    api_key: [{KEY}]
strict: perhaps
client_key: ${{NOPE}}
listen: 0.0.0.0:80
"""
    with pytest.raises(ConfigError) as caught:
        read(file, text, PILLION_LOG_LEVEL="loud")
    assert str(caught.value).replace(f"{file}", "config.yaml").splitlines() == [
        "config.yaml:1: lisen: unknown key; did you mean listen?",
        'config.yaml:5: providers.openai.timers.idle: expected a number of seconds above 0, got "fast"',
        "config.yaml:6: providers.openai.timers.idle: duplicate key; the first is on line 5",
        "config.yaml:7: providers.azure: base_url is missing: set it here, or as PILLION_AZURE_BASE_URL",
        "config.yaml:8: providers.azure.api_key: expected text, got a list",
        'config.yaml:9: strict: expected true or false, got "perhaps"',
        "config.yaml:10: client_key: ${NOPE} is not set in the environment, and has no default",
        'environment PILLION_LOG_LEVEL: log.level: expected one of debug, error, info, warning, got "loud"',
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("max_retries: 1", "retry.max_retries"),
        ("retryable_errors: []", "retry.retryable_errors"),
        ("fallback_order: []", "failover.fallback_order"),
        ("max_requests: 1", "overload.max_requests"),
        ("failover: {max_retries: 1}", "retry.max_retries"),
        ("providers: {openai: {connect: 2}}", "timers.connect"),
        ("providers: {openai: {max_retries: 2}}", "retry.max_retries"),
        ("budget: {}", "budgets"),
        ("clientkey: x", "client_key"),
        ("port: 8080", "listen"),
        ("timers: {idle: 5}", "providers.NAME.timers"),
        ("models: [m]", "providers.NAME.models"),
        ("targets: []", "routes.NAME.targets"),
        ("providers: {x: {url: y}}", "base_url"),
    ],
)
def test_an_unknown_key_that_another_table_has_is_told_where(file: Path, written: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown key; did you mean {meant}\\?"):
        read(file, written)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("routes: {fast: [echo/a, echo/b]}", "routes.fast: expected a mapping (targets: ...), got a list"),
        ("routes: {fast: echo/a}", "routes.fast: expected a mapping (targets: ...), got text"),
        ("prices: {echo/a: 3}", "prices.echo/a: expected a mapping (input: ..., output: ...), got a number"),
    ],
)
def test_what_a_mapping_must_have_is_named_where_there_is_none(file: Path, written: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(file, written)
    assert str(caught.value) == f"{file}:1: {told}"


def test_what_follows_from_a_mistake_is_no_second_one(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(file, "providers: {x: {base_url: [1]}}")
    assert str(caught.value) == f"{file}:1: providers.x.base_url: expected text, got a list"


# --- an open door ----------------------------------------------------------------------------------------------------

DOORS = [("listen", "0.0.0.0:1"), ("listen", "[::]:1"), ("listen", "192.0.2.1:1"), ("admin", "{address: '0.0.0.0:1'}")]


@pytest.mark.parametrize(("key", "address"), DOORS)
def test_without_a_key_only_this_machine_may_come(file: Path, key: str, address: str) -> None:
    text = f"{key}: {address if key == 'admin' else repr(address)}\n"
    with pytest.raises(ConfigError, match=r"PILLION_CLIENT_KEY, .* PILLION_ALLOW_OPEN=1"):
        read(file, text)
    assert read(file, text, PILLION_ALLOW_OPEN="1")
    assert read(file, text, PILLION_CLIENT_KEY=KEY)
    assert read(file, text, PILLION_CLIENT_KEY="short", PILLION_ALLOW_OPEN="1")


def test_where_apps_bring_their_own_keys_nobody_is_told_to_make_one(file: Path) -> None:
    """Beside `transparent` a client key is a mistake."""
    text = "listen: 0.0.0.0:1\ntransparent: echo\n"
    with pytest.raises(ConfigError, match=r"outside this host: set PILLION_ALLOW_OPEN=1") as caught:
        read(file, text)
    assert "PILLION_CLIENT_KEY" not in str(caught.value)
    assert read(file, text, PILLION_ALLOW_OPEN="1")


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.3.2.1:1", "[::1]:1", "localhost:1", "unix:/run/pillion.sock"])
def test_loopback_needs_no_key(listen: str) -> None:
    assert str(load(environ={"PILLION_LISTEN": listen}).listen) == listen


def test_metrics_may_be_open() -> None:
    assert str(load(environ={"PILLION_METRICS_ADDRESS": "0.0.0.0:9090"}).metrics_address) == "0.0.0.0:9090"


# --- one upstream for everything -------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["anthropic", "anthropic/claude-x", "claude", "claude/claude-x", "echo", "echo/json"])
def test_the_upstream_is_swapped_by_a_variable(named: str) -> None:
    assert load(environ={"PILLION_UPSTREAM": named, "ANTHROPIC_API_KEY": KEY}).upstream == named


@pytest.mark.parametrize("named", ["vllm", "vllm/llama", "lmstudio/x", "ollama", "bedrock/amazon.nova-pro", "vertex"])
def test_an_upstream_that_needs_no_key_needs_only_its_name(named: str) -> None:
    """AWS and Google have ways of their own to say who somebody is."""
    config = load(environ={"PILLION_UPSTREAM": named, "AWS_REGION": "us-east-1", "GOOGLE_CLOUD_LOCATION": "us"})
    assert list(configured(config)) == [named.partition("/")[0]]


def test_an_upstream_without_its_key_is_a_mistake_that_names_the_key() -> None:
    with pytest.raises(
        ConfigError,
        match="upstream: is not a configured provider: set OPENAI_API_KEY; the configured ones are ollama, echo",
    ):
        load(environ={"PILLION_UPSTREAM": "openai"})


@pytest.mark.parametrize(
    ("named", "told", "given"),
    [
        ("vllm/x", "set PILLION_VLLM_BASE_URL", {"PILLION_VLLM_BASE_URL": "http://h"}),
        ("gemini-openai/x", "set PILLION_GEMINI_OPENAI_API_KEY", {"PILLION_GEMINI_OPENAI_API_KEY": KEY}),
        ("gemini/x", "set GEMINI_API_KEY or GOOGLE_API_KEY", {"GOOGLE_API_KEY": KEY}),
        (
            "bedrock/x",
            "set AWS_BEARER_TOKEN_BEDROCK, or name it under `providers`",
            {"AWS_BEARER_TOKEN_BEDROCK": KEY, "AWS_REGION": "r"},
        ),
        ("vertex/x", "name it under `providers`", None),
    ],
)
def test_who_is_missing_is_there_after_what_is_said(named: str, told: str, given: dict[str, str] | None) -> None:
    asked = {"PILLION_DEFAULT_MODEL": named}
    with pytest.raises(ConfigError, match=f"of a configured provider: {re.escape(told)}$"):
        load(environ=asked)
    assert load(environ={}).ways[named.partition("/")[0]] == told
    if given is not None:
        assert load(environ=asked | given).default_model == named


def test_echo_is_among_what_there_is_once(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("{upstream: nobody, providers: {echo: {model: m}}}")
    with pytest.raises(ConfigError, match=r"the configured ones are echo, ollama\n"):
        load(path, environ={})


# --- timers and models -----------------------------------------------------------------------------------------------


def test_the_timers_are_these() -> None:
    timers = load(environ={"OPENAI_API_KEY": KEY}).providers["openai"].timers
    assert (timers.connect, timers.headers, timers.first_event, timers.idle, timers.total) == (10, 30, 120, 60, 600)


@pytest.mark.parametrize(
    ("provider", "model", "seconds"),
    [
        ("openai", "gpt-4o", 120),
        ("openai", "o3-mini", 600),
        ("openai", "GPT-5", 600),
        ("openrouter", "openai/o3", 600),
        ("openrouter", "meta/llama-3", 120),
        ("ollama", "llama3", 300),
        ("ollama-openai", "llama3", 300),
        ("ollama", "deepseek-r1:8b", 600),
    ],
)
def test_models_that_think_first_have_longer_by_the_presets(provider: str, model: str, seconds: float) -> None:
    given = {"OPENAI_API_KEY": KEY, "OPENROUTER_API_KEY": KEY, "OLLAMA_API_KEY": KEY}
    given["PILLION_UPSTREAM"] = provider
    assert load(environ=given).providers[provider].timers_for(model).first_event == seconds


def test_a_row_of_ones_own_has_the_timers_of_its_kind(file: Path) -> None:
    rows = """
  gpu: {kind: ollama, base_url: 'http://gpu:11434'}
  odd: {preset: openai, kind: ollama, base_url: 'http://odd:11434', timers: {headers: 7}}
  host: {base_url: 'http://host'}
  said: {base_url: 'http://said'}
"""
    providers = configured(read(file, f"providers: {rows}", PILLION_SAID_KIND="ollama"))
    timers = {name: (row.timers.headers, row.timers.first_event) for name, row in providers.items()}
    assert timers == {"gpu": (300, 300), "odd": (7, 300), "host": (30, 120), "said": (300, 300)}
    assert providers["gpu"].timers_for("deepseek-r1:8b").first_event == 600


def test_what_is_said_of_a_provider_wins_over_the_presets_and_of_a_model_over_all(file: Path) -> None:
    models = "[plain, o1, {name: o3, timers: {idle: 7}}, {name: o4, timers: {first_event: 9}}]"
    text = f"providers: {{openai: {{timers: {{idle: 5}}, models: {models}}}}}"
    openai = read(file, text, OPENAI_API_KEY=KEY).providers["openai"]
    assert openai.models == ("plain", "o1", "o3", "o4")
    found = {name: openai.timers_for(name) for name in [*openai.models, "other"]}
    assert {name: (timers.first_event, timers.idle) for name, timers in found.items()} == {
        "plain": (120, 5), "o1": (600, 5), "o3": (600, 7), "o4": (9, 5), "other": (120, 5),
    }  # fmt: skip
    openai = read(file, text, OPENAI_API_KEY=KEY, PILLION_OPENAI_TIMERS_FIRST_EVENT="50").providers["openai"]
    assert [openai.timers_for(name).first_event for name in openai.models] == [50, 50, 50, 9]


def test_a_models_row_says_what_is_known_of_it(file: Path) -> None:
    row = "{name: m, context: 1000, max_output: 100, tools: true, images: false, documents: no, thinking: yes}"
    card = read(file, f"providers: {{x: {{base_url: 'http://h', models: [a, {row}]}}}}").providers["x"].card("m")
    assert card is not None
    assert (card.context, card.max_output, card.tools, card.images) == (1000, 100, True, False)
    assert (card.documents, card.thinking, card.timers) == (False, True, None)


def test_a_model_may_go_on_with_a_text_where_its_provider_lets_it(file: Path) -> None:
    row = "{name: n, prefill: true}"
    text = f"providers: {{anthropic: {{models: [{row}]}}, bedrock: {{location: l, models: [{row}]}},"
    config = read(file, f"{text} x: {{base_url: 'http://h', models: [claude-sonnet-4-5]}}}}")
    cards = [config.providers[name].card(model) for name, model in (("anthropic", "n"), ("x", "claude-sonnet-4-5"))]
    assert [card is not None and card.prefill for card in cards] == [True, True]  # x is known by the model's name alone
    assert {kind for kind in registry.ADAPTERS if not registry.adapter(kind).prefills} == BEGIN_ANEW


def test_a_row_has_all_that_others_want_of_it(file: Path) -> None:
    text = """
providers:
  openai:
    model: gpt-4o
    max_tokens: 100
    temperature: 0.5
    org_id: o
    project: p
    location: l
    dialects: [openai_chat]
    free: true
"""
    row = read(file, text).providers["openai"]
    assert (row.model, row.max_tokens, row.temperature) == ("gpt-4o", 100, 0.5)
    assert (row.org_id, row.project, row.location, row.dialects, row.free) == ("o", "p", "l", ("openai_chat",), True)


# --- fields of a provider's own wire ---------------------------------------------------------------------------------


def test_a_body_is_json_of_any_shape(file: Path) -> None:
    text = """
providers:
  groq:
    body:
      keep_alive: 10m
      options: {num_ctx: 8192, temperature: 0.5, seed: -1, low_vram: true, stop: null, "on": "no"}
      safetySettings: [{category: HARM, threshold: 1.0e+2}, [], {}]
      given: ["${TEXT}", "${NUMBER}", "${SWITCH}", "${NUMBER}!", "${UNSET:-2.50}", "$${NUMBER}", "${ID}"]
"""
    row = read(file, text, TEXT="10m", NUMBER="8192", SWITCH="true", ID="9" * 20).providers["groq"]
    assert row.body == {
        "keep_alive": "10m",
        "options": {"num_ctx": 8192, "temperature": 0.5, "seed": -1, "low_vram": True, "stop": None, "on": "no"},
        "safetySettings": [{"category": "HARM", "threshold": 100.0}, [], {}],
        "given": ["10m", 8192, True, "8192!", 2.5, "${NUMBER}", "9" * 20],
    }


def test_a_body_that_cannot_be_written_is_a_mistake(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"groq\.body\.a: expected JSON, got a value that is not UTF-8"):
        read(file, "providers: {groq: {body: {a: '${BYTES}'}}}", BYTES="\udcff")


def test_a_row_has_what_single_vendors_want_of_it(file: Path, tmp_path: Path) -> None:
    credentials = tmp_path / "vertex.json"
    credentials.write_text("{}")
    text = f"""
providers:
  vertex: {{location: global, credentials: {credentials}}}
  bedrock: {{location: us-east-1, profile: work}}
  azure: {{base_url: 'http://h', api_version: '2024-10-21'}}
  ollama: {{pull: true}}
"""
    providers = read(file, text).providers
    assert (providers["vertex"].credentials, providers["bedrock"].profile) == (credentials, "work")
    assert (providers["azure"].api_version, providers["ollama"].pull) == ("2024-10-21", True)
    bare = load(environ={"OPENAI_API_KEY": KEY}).providers["openai"]
    assert (bare.credentials, bare.profile, bare.api_version, bare.pull, bare.body) == (None, "", "", False, {})


def test_azures_version_has_its_vendors_variables() -> None:
    given = {"AZURE_OPENAI_API_KEY": KEY, "PILLION_AZURE_BASE_URL": "http://h", "OPENAI_API_VERSION": "1"}
    for name, version in (
        ("OPENAI_API_VERSION", "1"),
        ("AZURE_OPENAI_API_VERSION", "2"),
        ("PILLION_AZURE_API_VERSION", "3"),
    ):
        given[name] = version
        assert load(environ=given).providers["azure"].api_version == version


def test_what_the_libraries_of_a_vendor_read_themselves_is_left_to_them() -> None:
    given = {"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere", "AWS_PROFILE": "p", "AWS_BEARER_TOKEN_BEDROCK": KEY}
    given |= {"PILLION_VERTEX_BASE_URL": "http://h", "AWS_REGION": "us-east-1"}
    providers = load(environ=given).providers
    assert (providers["vertex"].credentials, providers["bedrock"].profile) == (None, "")


def test_images_are_fetched_only_where_it_is_said(file: Path) -> None:
    assert not load(environ={}).fetch_images
    assert read(file, "fetch_images: true").fetch_images


# --- the one that is always there ------------------------------------------------------------------------------------


def test_ollama_is_there_without_a_word() -> None:
    for given in ({}, {"OPENAI_API_KEY": KEY}):
        ollama = load(environ=given).providers["ollama"]
        assert (ollama.assumed, ollama.kind, ollama.base_url) == (True, "ollama", "http://127.0.0.1:11434")
        assert ollama.timers.first_event == 300


@pytest.mark.parametrize(
    "given",
    [{"PILLION_OLLAMA_BASE_URL": "http://h:1"}, {"PILLION_UPSTREAM": "ollama/x"}, {"OLLAMA_API_KEY": KEY}],
)
def test_a_word_makes_ollama_the_operators(given: dict[str, str]) -> None:
    assert not load(environ=given).providers["ollama"].assumed


@pytest.mark.parametrize("row", ["{ollama: }", "{ollama: {model: m}}", "{Ollama: {base_url: 'http://h'}}"])
def test_a_row_makes_ollama_the_operators(file: Path, row: str) -> None:
    assert [provider.assumed for provider in read(file, f"providers: {row}").providers.values()] == [False]


@pytest.mark.parametrize("listen", ["127.0.0.1:11434", "0.0.0.0:11434", "localhost:11434"])
def test_where_pillion_stands_in_ollamas_place_none_is_assumed(listen: str) -> None:
    given = {"PILLION_LISTEN": listen, "PILLION_ALLOW_OPEN": "1"}
    assert load(environ=given).providers == {}
    with pytest.raises(ConfigError, match="it would call itself"):
        load(environ={**given, "PILLION_UPSTREAM": "ollama"})


# --- presets ---------------------------------------------------------------------------------------------------------


def test_a_location_stands_in_the_url(file: Path) -> None:
    given = {"AWS_BEARER_TOKEN_BEDROCK": KEY, "AWS_DEFAULT_REGION": "eu-central-1"}
    assert load(environ=given).providers["bedrock"].base_url == "https://bedrock-runtime.eu-central-1.amazonaws.com"
    bedrock = load(environ={**given, "AWS_REGION": "us-east-1"}).providers["bedrock"]
    assert bedrock.base_url == "https://bedrock-runtime.us-east-1.amazonaws.com"
    text = "providers: {bedrock: {location: us-west-2}, vertex: {location: global}, vertex-eu: {location: eu-west1}}"
    providers = read(file, text, **given).providers
    assert {name: row.base_url for name, row in providers.items() if not row.assumed} == {
        "bedrock": "https://bedrock-runtime.us-west-2.amazonaws.com",
        "vertex": "https://aiplatform.googleapis.com",
        "vertex-eu": "https://eu-west1-aiplatform.googleapis.com",
    }


@pytest.mark.parametrize(
    ("variable", "name", "url"),
    [
        ("DEEPINFRA_API_KEY", "deepinfra", "https://api.deepinfra.com/v1/openai"),
        ("DEEPINFRA_TOKEN", "deepinfra", "https://api.deepinfra.com/v1/openai"),
        ("SAMBANOVA_API_KEY", "sambanova", "https://api.sambanova.ai/v1"),
        ("NEBIUS_API_KEY", "nebius", "https://api.tokenfactory.nebius.com/v1"),
        ("NOVITA_API_KEY", "novita", "https://api.novita.ai/openai/v1"),
        ("HYPERBOLIC_API_KEY", "hyperbolic", "https://api.hyperbolic.xyz/v1"),
        ("BASETEN_API_KEY", "baseten", "https://inference.baseten.co/v1"),
        ("MINIMAX_API_KEY", "minimax", "https://api.minimax.io/v1"),
    ],
)
def test_a_vendors_own_variable_is_all_that_its_host_needs(variable: str, name: str, url: str) -> None:
    config = load(environ={variable: KEY})
    (row,) = configured(config).values()
    assert (row.name, row.base_url, row.api_key.reveal(), config.warnings) == (name, url, KEY, ())


def test_a_key_that_two_presets_share_makes_the_first() -> None:
    assert list(configured(load(environ={"GEMINI_API_KEY": KEY}))) == ["gemini"]
    named = configured(load(environ={"GEMINI_API_KEY": KEY, "PILLION_UPSTREAM": "gemini-openai/x"}))
    assert {name: row.kind for name, row in named.items()} == {"gemini": "gemini", "gemini-openai": "openai"}


def test_a_row_may_begin_with_any_preset_and_never_has_its_key(file: Path) -> None:
    text = "providers: {cheap: {preset: groq}, openai-east: {org_id: x}, openai-mine: {base_url: 'http://h'}}"
    providers = read(file, text, GROQ_API_KEY=KEY, OPENAI_API_KEY=KEY, CHEAP_API_KEY="own").providers
    assert providers["cheap"].base_url == "https://api.groq.com/openai/v1"
    assert providers["cheap"].api_key.reveal() == "own"
    east, mine = providers["openai-east"], providers["openai-mine"]
    assert (east.base_url, east.serves[:1], bool(east.api_key)) == ("https://api.openai.com/v1", ("gpt",), False)
    assert (mine.base_url, mine.serves, bool(mine.api_key)) == ("http://h", (), False)


def test_a_null_says_nothing(file: Path) -> None:
    providers = read(file, "listen:\naliases:\nproviders: {openai: {base_url: , timers: {idle: }}}").providers
    assert (providers["openai"].base_url, providers["openai"].timers) == ("https://api.openai.com/v1", Timers())


HOSTS = (
    "azure groq deepseek mistral xai together fireworks openrouter perplexity cerebras nvidia huggingface moonshot "
    "vllm lmstudio llamacpp gemini-openai ollama-openai zai alibaba avian crusoe vercel-gateway ollama-cloud "
    "bedrock-mantle"
)


@pytest.mark.parametrize("name", HOSTS.split())
def test_a_compatible_host_is_a_name_and_a_key(file: Path, name: str) -> None:
    given = {"PILLION_AZURE_BASE_URL": "http://h", "AWS_REGION": "us-east-1"}
    row = read(file, f"providers: {{{name}: {{api_key: {KEY}}}}}", **given).providers[name]
    assert row.kind == ("azure" if name == "azure" else "openai")
    assert row.base_url.startswith("http")


def test_hosts_that_speak_both_of_openais_wires_say_so(file: Path) -> None:
    both = "openai deepseek xai openrouter lmstudio bedrock-mantle"
    text = f"providers: {{openai-responses: , groq: , {' , '.join(f'{name}: ' for name in both.split())}}}"
    providers = configured(read(file, text, AWS_REGION="us-east-1"))
    assert {name: row.dialects for name, row in providers.items()} == {
        "openai-responses": ("openai_responses",),
        "groq": (),
        **dict.fromkeys(both.split(), ("openai_chat", "openai_responses")),
    }
    assert providers["bedrock-mantle"].base_url == "https://bedrock-mantle.us-east-1.api.aws/v1"


def test_any_host_may_be_asked_by_the_responses_api_alone(file: Path) -> None:
    text = "providers: {mine: {preset: openai-responses, base_url: 'http://h/v1', api_key: k}}"
    row = read(file, text).providers["mine"]
    assert (row.dialects, row.base_url, row.serves) == (("openai_responses",), "http://h/v1", ())


def test_a_stream_that_stalls_leaves_time_to_ask_another_target() -> None:
    assert load(environ={}).failover.deadline > 2 * Timers().first_event
