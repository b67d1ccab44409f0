"""Is the operator understood, in what order, and told plainly what is wrong?"""

from pathlib import Path

import pytest

from proxy.config import Config, Secret, Timers, load
from proxy.errors import ConfigError

KEY = "sk-canary-0123456789"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def read(file: Path, text: str, **environ: str) -> Config:
    file.write_text(text, encoding="utf-8")
    return load(file, environ)


# --- what is in force ------------------------------------------------------------------------------------------------


def test_nothing_set_is_a_gateway_on_loopback_without_providers() -> None:
    config = load(environ={})
    assert (config.host, config.port, config.providers) == ("127.0.0.1", 7455, {})
    assert not config.client_key


def test_a_key_in_the_environment_makes_its_preset_a_provider() -> None:
    config = load(environ={"OPENAI_API_KEY": KEY, "GROQ_API_KEY": KEY})
    assert list(config.providers) == ["openai", "groq"]
    openai = config.providers["openai"]
    assert (openai.kind, openai.base_url, openai.api_key.reveal()) == ("openai", "https://api.openai.com/v1", KEY)
    assert openai.timers == Timers()


def test_the_apps_own_variables_never_tell_us_where_to_go() -> None:
    config = load(environ={"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://127.0.0.1:7455/v1"})
    assert config.providers["openai"].base_url == "https://api.openai.com/v1"


def test_either_key_of_a_preset_will_do() -> None:
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        assert load(environ={name: KEY}).providers["google"].api_key.reveal() == KEY


def test_the_environment_beats_the_file_and_the_file_beats_the_preset(file: Path) -> None:
    text = "listen: 127.0.0.1:1\nproviders: {openai: {base_url: 'http://file/v1', api_key: filed}}"
    config = read(file, text)
    assert (config.port, config.providers["openai"].base_url) == (1, "http://file/v1")
    assert config.providers["openai"].api_key.reveal() == "filed"
    assert read(file, text, OPENAI_API_KEY="environed").providers["openai"].api_key.reveal() == "environed"
    config = read(file, text, PILLION_LISTEN="127.0.0.1:2", PILLION_OPENAI_BASE_URL="http://environ/v1/")
    assert (config.port, config.providers["openai"].base_url) == (2, "http://environ/v1")


def test_a_base_url_in_the_environment_is_a_provider_without_a_key() -> None:
    provider = load(environ={"PILLION_OPENAI_BASE_URL": "http://h:1/v1"}).providers["openai"]
    assert (provider.base_url, bool(provider.api_key)) == ("http://h:1/v1", False)


def test_the_file_is_found_through_the_environment(file: Path) -> None:
    file.write_text("client_key: abc")
    assert load(environ={"PILLION_CONFIG": str(file)}).client_key.reveal() == "abc"


def test_an_empty_file_is_no_mistake(file: Path) -> None:
    assert read(file, "# nothing yet\n").providers == {}


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


def test_variables_stand_in_for_values_and_are_never_yaml(file: Path) -> None:
    text = "client_key: ${A}-${B:-two}\naliases: {x: '${C:-}'}"
    config = read(file, text, A="[1, 2]: {}")
    assert config.client_key.reveal() == "[1, 2]: {}-two"
    assert config.aliases == {"x": ""}


def test_the_line_end_of_a_key_file_is_no_part_of_the_key() -> None:
    config = load(environ={"OPENAI_API_KEY": KEY + "\n", "PILLION_CLIENT_KEY": "abc\r\n"})
    assert (config.providers["openai"].api_key.reveal(), config.client_key.reveal()) == (KEY, "abc")


def test_what_a_provider_without_a_key_would_serve_is_known_too() -> None:
    config = load(environ={})
    assert config.serves["anthropic"] == ("claude",)
    assert config.presets["google"] == ("GEMINI_API_KEY", "GOOGLE_API_KEY")


def test_the_defaults_model_may_be_any_providers(file: Path) -> None:
    assert read(file, "default_model: echo/text").default_model == "echo/text"
    given = {"PILLION_DEFAULT_MODEL": "claude/claude-x", "ANTHROPIC_API_KEY": KEY}
    assert load(environ=given).default_model == "claude/claude-x"


@pytest.mark.parametrize(
    ("text", "address"),
    [("0.0.0.0:0", ("0.0.0.0", 0)), ("[::1]:80", ("::1", 80)), ("localhost:65535", ("localhost", 65535))],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    config = load(environ={"PILLION_LISTEN": text})
    assert (config.host, config.port) == address


# --- mistakes --------------------------------------------------------------------------------------------------------

MISTAKES = [
    ("listen: 127.0.0.1", "HOST:PORT"),
    ("listen: ':80'", "HOST:PORT"),
    ("listen: h:70000", "HOST:PORT"),
    ("lisen: h:1", "lisen"),
    ("listen: [1]", "Expected `str | null`"),
    ("- a", "Expected `object`"),
    ("a: b: c", ":1: mapping values are not allowed"),
    ("providers: {x: {}}", "providers.x: base_url is missing"),
    ("providers: {x: {base_url: 'ftp://h'}}", "providers.x: base_url must be http"),
    ("providers: {x: {base_url: 'http://'}}", "providers.x: base_url must be http"),
    ("providers: {x: {base_url: 'http://h:99999'}}", "providers.x: base_url must be http"),
    ("providers: {x: {base_url: 'http://[::1'}}", "providers.x: base_url must be http"),
    ("providers: {x: {base_url: 'http://h/v1?a=b'}}", "providers.x: base_url must be http"),
    ("providers: {x: {base_url: 'http://h/v1#a'}}", "providers.x: base_url must be http"),
    ("providers: {x: {base_url: 'http://u:p@h'}}", "providers.x: base_url must be http"),
    ("providers: {x: {base_url: 'http://h', api_key: \"a\\nb\"}}", "providers.x: api_key cannot be sent"),
    ("providers: {x: {base_url: 'http://h', headers: {a: 'b\u00e9'}}}", "providers.x: a cannot be sent"),
    ("providers: {x: {base_url: 'http://h', headers: {'a b': c}}}", "providers.x: a b cannot be sent"),
    ("providers: {x/y: {base_url: 'http://h'}}", "providers.x/y: a name has"),
    ("providers: {echo: {base_url: 'http://h'}}", "echo is taken"),
    ("providers: {x: {base_url: 'http://h', timers: {idle: 0}}}", "$.providers[...].timers.idle"),
    ("providers: {x: {base_url: 'http://h', timers: {idle: -1}}}", "$.providers[...].timers.idle"),
    ("providers: {x: {base_url: 'http://h', timers: {total: .inf}}}", "$.providers[...].timers.total"),
    ("providers: {x: {base_url: 'http://h', timers: {total: .nan}}}", "$.providers[...].timers.total"),
    ("providers: {x: {base_url: 'http://h', timers: {tottal: 1}}}", "tottal"),
    ("default_model: gpt", "default_model must be PROVIDER/MODEL"),
    ("default_model: openai/gpt", "default_model must be PROVIDER/MODEL"),
    ("default_model: claude/x", "default_model must be PROVIDER/MODEL"),
    ("client_key: ${NOT_SET}", "${NOT_SET} is not set"),
    ("listen: 2026-99-99", "month must be in 1..12"),
    ("a: &b [*b]", "config.yaml"),
    ("{[a]: b}", "config.yaml:1"),
    ("\x07", "config.yaml"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), MISTAKES)
def test_a_mistake_is_told_in_one_line(file: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(file, text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


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
