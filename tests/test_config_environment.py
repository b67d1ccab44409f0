"""Do variables, their files and their suffixes mean what docs/configuration.md says, and nothing else?"""

import os
from pathlib import Path
from typing import Any

import pytest
import trustme

from proxy.config import Config, Secret, layered, load
from proxy.config.environment import leaves
from proxy.config.schema import File
from proxy.config.secret import LIMIT, LOOK_AGAIN, SHORTEST_KEY, WRITTEN_IN, Item, items
from proxy.errors import ConfigError
from proxy.process.greeting import warn
from tests.test_config import configured

KEY = "sk-canary-0123456789"


def given(**environ: str) -> Config:
    return load(environ=environ)


def refused(**environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(environ=environ)
    return str(caught.value)


# --- every key has its variable --------------------------------------------------------------------------------------

VALUES = {
    "listen": "127.0.0.1:1", "metrics_address": "h:2", "admin.address": "127.0.0.1:3", "allowed_hosts": "a, b",
    "allow_open": "yes", "client_key": "k", "body_limit": "2048", "client.header": "1", "client.body": "8",
    "client.body_stall": "2", "client.keep_alive": "3", "client.write_stall": "4.5",
    "max_request_timeout": "5", "min_sigterm_delay": "6",
    "max_sigterm_delay": "7", "quitquitquit": "1", "log.format": "json", "log.level": "debug", "strict": "on",
    "fetch_images": "true", "upstream": "echo/text", "default_model": "echo/json",
}  # fmt: skip


# And what File says then, where that is no text.
MORE: dict[str, Any] = {
    "failover.fallback_order": ["echo"], "failover.others": False, "failover.deadline": 9.0, "failover.resume": False,
    "retry.max_retries": 4, "retry.initial_delay": 0.25, "retry.max_delay": 3.0, "retry.backoff_factor": 1.5,
    "retry.retryable_errors": ["timeout", "unknown"], "retry.budget": 0.1,
    "hedge.enabled": True, "hedge.after": 1.0, "hedge.share": 0.5,
    "breaker.failures": 7, "breaker.cooldown": 1.0, "breaker.longest": 2.0, "breaker.ramp": 3.0,
    "health.interval": 0.0, "health.timeout": 4.0,
    "overload.max_connections": 5, "overload.max_requests": 6, "overload.max_queue": 0, "overload.wait": 8.0,
    "faults.enabled": True, "reload": False, "explain": 0,
    "jwt.jwks": "https://i/keys", "jwt.issuer": "i", "jwt.audience": "a", "jwt.algorithms": ["ES256"], "jwt.claim": "c",
    "limits.client.requests_per_minute": 1, "limits.client.tokens_per_minute": 2, "limits.client.concurrent": 3,
    "limits.queue.seconds": 4.5, "limits.queue.length": 5, "unknown_price": "refuse", "state_dir": "/s",
    "alerts.webhook": "https://w.example", "ledger.synchronous": "full", "ledger.create": True, "ledger.keep_days": 9,
    "store": "redis://h", "cache.enabled": True, "cache.ttl": 1.5, "cache.size": 0, "cache.shared": True,
    "cache.stored": True, "cache.single_flight": True,
}  # fmt: skip


@pytest.mark.parametrize("key", MORE)
def test_a_key_has_its_variable(key: str) -> None:
    text = ",".join(MORE[key]) if isinstance(MORE[key], list) else str(MORE[key])
    variables = {".".join(leaf.keys): leaf.variable() for leaf in leaves(File)}
    of_tokens = {"PILLION_JWT_JWKS": "https://i/keys", "PILLION_JWT_ISSUER": "i", "PILLION_JWT_AUDIENCE": "a"}
    others = of_tokens if key.startswith("jwt") else {"PILLION_STATE_DIR": "/s"}
    environ = others | {variables[key]: text}
    found: Any = layered(environ=environ).file
    for part in key.split("."):
        found = getattr(found, part)
    assert found == MORE[key]


def test_transparent_has_its_variable() -> None:
    assert given(PILLION_TRANSPARENT="echo").transparent == "echo"


def test_the_provider_that_gets_the_apps_key_needs_none_here() -> None:
    config = given(PILLION_TRANSPARENT="openai")
    assert list(configured(config)) == ["openai"]
    assert configured(config)["openai"].base_url == "https://api.openai.com/v1"


def test_every_key_has_its_variable() -> None:
    by_key = {".".join(leaf.keys): leaf.variable() for leaf in leaves(File)}
    assert set(by_key) == {*VALUES, *MORE, "transparent", "workers"}
    config = given(**{by_key[key]: value for key, value in VALUES.items()})
    assert (str(config.listen), str(config.metrics_address), str(config.admin_address)) == (
        "127.0.0.1:1", "h:2", "127.0.0.1:3",
    )  # fmt: skip
    assert (config.allowed_hosts, config.client_key.reveal(), config.body_limit) == (("a", "b"), "k", 2048)
    client = config.client
    assert (client.header, client.body, client.body_stall, client.keep_alive, client.write_stall) == (1, 8, 2, 3, 4.5)
    assert (config.max_request_timeout, config.min_sigterm_delay, config.max_sigterm_delay) == (5, 6, 7)
    assert (config.quitquitquit, config.log.format, config.log.level) == (True, "json", "debug")
    assert (config.strict, config.fetch_images) == (True, True)
    assert (config.upstream, config.default_model) == ("echo/text", "echo/json")


def test_a_providers_keys_have_theirs() -> None:
    row = given(
        OPENAI_API_KEY=KEY, PILLION_OPENAI_MODEL="m", PILLION_OPENAI_TIMERS_IDLE="7", PILLION_OPENAI_MODELS="a,b",
        PILLION_OPENAI_ASK_USAGE="no", PILLION_OPENAI_TEMPERATURE="0",
    ).providers["openai"]  # fmt: skip
    assert (row.model, row.timers.idle, row.models, row.ask_usage, row.temperature) == ("m", 7, ("a", "b"), False, 0)


def test_an_empty_variable_is_none() -> None:
    assert configured(given(PILLION_LISTEN="", OPENAI_API_KEY="", OPENAI_API_KEY_FILE="")) == {}


def test_a_variables_mistake_names_it_and_shows_its_value() -> None:
    assert refused(PILLION_STRICT="perhaps") == (
        'environment PILLION_STRICT: strict: expected true or false, got "perhaps"'
    )


def test_a_long_value_of_a_variable_may_be_a_key_and_is_not_shown() -> None:
    assert refused(PILLION_STRICT=KEY) == (
        "environment PILLION_STRICT: strict: expected true or false, got a value that is not shown"
    )


@pytest.mark.parametrize(
    ("said", "level"), [("INFO", "info"), ("Error", "error"), ("warn", "warning"), ("WARN", "warning")]
)
def test_the_words_of_a_list_may_be_written_in_any_case(said: str, level: str) -> None:
    assert given(PILLION_LOG_LEVEL=said).log.level == level
    assert load(environ={}, flags={"PILLION_LOG_LEVEL": said}).log.level == level


def test_another_word_for_one_of_a_list_is_not_one_of_another_lists() -> None:
    assert refused(PILLION_LOG_FORMAT="warn") == (
        'environment PILLION_LOG_FORMAT: log.format: expected one of auto, human, json, got "warn"'
    )


def test_a_flag_wins_over_its_variable() -> None:
    config = load(environ={"PILLION_LOG_LEVEL": "debug"}, flags={"PILLION_LOG_LEVEL": "error"})
    assert config.log.level == "error"
    with pytest.raises(ConfigError, match=r"flag --log-level: log\.level: expected one of"):
        load(environ={}, flags={"PILLION_LOG_LEVEL": "loud"})


@pytest.mark.parametrize("name", ["PILLION_PORT", "PILLION_SERVICE_HOST", "PILLION_PORT_7455_TCP"])
def test_what_kubernetes_sets_for_a_service_called_pillion_is_no_mistake(name: str) -> None:
    assert configured(given(**{name: "tcp://10.0.0.1:7455"})) == {}


# --- keys ------------------------------------------------------------------------------------------------------------


def test_our_own_name_for_a_key_wins_over_the_vendors() -> None:
    """An app and its sidecar may share their variables, and the app's OPENAI_API_KEY be what it shows to us."""
    config = given(PILLION_OPENAI_API_KEY="real", OPENAI_API_KEY="shown")
    assert config.providers["openai"].api_key.reveal() == "real"
    assert list(configured(given(PILLION_GROQ_API_KEY=KEY))) == ["groq"]


def test_of_several_names_the_first_counts() -> None:
    assert given(GOOGLE_API_KEY="2", GEMINI_API_KEY="1").providers["gemini"].api_key.reveal() == "1"


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY_FILE", "PILLION_OPENAI_API_KEY_FILE"])
def test_a_key_may_stand_in_a_file(tmp_path: Path, variable: str) -> None:
    (tmp_path / "key").write_bytes(KEY.encode() + b"\r\n")
    assert given(**{variable: str(tmp_path / "key")}).providers["openai"].api_key.reveal() == KEY


def test_the_client_key_and_a_proxy_may_too_and_what_is_no_secret_may_not(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("http://h:1\n")
    path = str(tmp_path / "key")
    config = given(PILLION_CLIENT_KEY_FILE=path, OPENAI_API_KEY=KEY, PILLION_OPENAI_PROXY_FILE=path)
    assert config.client_key.reveal() == config.providers["openai"].proxy.reveal() == "http://h:1"
    assert given(PILLION_DEFAULT_MODEL_FILE=path).default_model is None


def test_a_name_wins_over_its_file() -> None:
    assert given(OPENAI_API_KEY=KEY, OPENAI_API_KEY_FILE="/nowhere").providers["openai"].api_key.reveal() == KEY


def test_a_file_that_cannot_be_a_key_is_told(tmp_path: Path) -> None:
    pipe, empty, long, odd = (tmp_path / name for name in ("pipe", "empty", "long", "odd"))
    os.mkfifo(pipe)
    empty.write_text("\n")
    long.write_text("x" * (LIMIT + 1))
    odd.write_bytes(b"\xff")
    told = {
        "/nowhere": "no such file or directory", tmp_path: "is a directory", pipe: "not a regular file",
        long: f"longer than {LIMIT} bytes", odd: "not UTF-8",
    }  # fmt: skip
    for path, problem in told.items():
        said = refused(OPENAI_API_KEY_FILE=str(path))
        assert said == f"file OPENAI_API_KEY_FILE: providers.openai.api_key: {path}: {problem}"
    assert refused(OPENAI_API_KEY_FILE=str(empty)).endswith(f"{empty} is empty")


# --- a key that changes ----------------------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text("first")
    return path


def test_a_key_is_read_again_when_its_file_changes(key: Path, clock: Clock) -> None:
    secret = Secret("first", key, clock)
    assert secret.reveal() == "first"
    key.write_text("second\n")
    assert secret.reveal() == "first"  # looked at a moment ago
    clock.now += 0.1  # row K1 of the reliability table
    assert secret.reveal() == "second"


def test_a_file_that_is_put_in_its_place_is_another(key: Path, clock: Clock, tmp_path: Path) -> None:
    secret = Secret("first", key, clock)
    assert secret.reveal() == "first"
    new, old = tmp_path / "new", key.stat()
    new.write_text("other")  # as long as the first, and as old
    os.utime(new, ns=(old.st_atime_ns, old.st_mtime_ns))
    new.rename(key)
    clock.now += LOOK_AGAIN
    assert secret.reveal() == "other"


def test_a_file_of_the_same_length_with_another_date_is_another(key: Path, clock: Clock) -> None:
    secret = Secret("first", key, clock)
    assert secret.reveal() == "first"
    key.write_text("other")
    os.utime(key, (1, 1))
    clock.now += LOOK_AGAIN
    assert secret.reveal() == "other"


@pytest.mark.parametrize("broken", [None, b"", b"\n", b"\xff", b"a\nb", b"\xc3\xa9"])
def test_the_last_good_key_stays_while_the_file_is_broken(key: Path, clock: Clock, broken: bytes | None) -> None:
    secret = Secret("first", key, clock)
    assert secret.reveal() == "first"
    key.unlink()
    if broken is not None:
        key.write_bytes(broken)
    clock.now += LOOK_AGAIN
    assert (secret.reveal(), bool(secret)) == ("first", True)
    key.write_text("second")
    clock.now += LOOK_AGAIN
    assert secret.reveal() == "second"


@pytest.mark.parametrize(("text", "value"), [("a" * 15, "k" * 16), ("a" * 16, "a" * 16), ("kkk", "k" * 16)])
def test_a_key_that_strangers_could_guess_takes_no_longer_ones_place(
    key: Path, clock: Clock, text: str, value: str
) -> None:
    """Most likely it is half of one."""
    key.write_text("k" * 16)
    secret, other = Secret("k" * 16, key, clock, shortest=SHORTEST_KEY), Secret("k" * 16, key, clock)
    key.write_text(text)
    clock.now += LOOK_AGAIN
    assert (secret.reveal(), other.reveal()) == (value, text)


def test_a_file_of_several_keys_with_another_number_of_them_says_so(
    key: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """None of them is lost, and what is missing is that the configuration is read again."""
    key.write_text("one, two")
    first, second = Secret("one", key, clock, Item(0, 2)), Secret("two", key, clock, Item(1, 2))
    for text, values in [("one, two", "one two"), ("a", "a two"), ("b, c, d", "b c"), ("e, f", "e f"), ("", "e f")]:
        key.write_text(text)
        for _ in range(3):
            clock.now += WRITTEN_IN
            assert f"{first.reveal()} {second.reveal()}" == values
        told = [(getattr(record, "event", ""), record.message) for record in caplog.records]
        match len(items(text)):
            case 2:
                assert told == []
            case 0:
                assert {event for event, _ in told} == {"key_file_lost"}
            case count:
                ((event, message),) = told
                assert event == "key_count_changed"
                assert f"{key} holds {count} keys now and not 2" in message
        caplog.clear()


def test_another_number_of_keys_is_told_of_once(key: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Not at each rotation: the key of the configuration before a SIGHUP is still looked at, so as to be hidden."""
    key.write_text("one, two")
    first = Secret("one", key, clock, Item(0, 2))
    for text in ("a, b, c", "d, e, f", "g, h", "i, j, k"):
        key.write_text(text)
        clock.now += LOOK_AGAIN
        assert first.reveal() == text[0]
    assert [record.message.partition(": ")[0] for record in caplog.records] == 2 * [f"{key} holds 3 keys now and not 2"]


@pytest.mark.parametrize("variable", ["PILLION_GEMINI_MODEL", "GEMINI_API_KEY", "PILLION_STATE_DIR", "PILLION_STRICT"])
def test_a_variable_with_other_bytes_than_utf_8_is_a_mistake(variable: str) -> None:
    """Its bytes are lone surrogates, which nothing could be written with."""
    said = refused(**{"GEMINI_API_KEY": KEY, variable: "m\udcff"})
    assert said.startswith(f"environment {variable}: ")
    assert said.endswith("got a value that is not UTF-8")


def test_a_file_that_has_lost_its_key_for_long_is_told_of_once(
    key: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    secret = Secret("first", key, clock)
    for _ in range(2):
        assert secret.reveal() == "first"
        key.write_text("")
        for later in (LOOK_AGAIN, WRITTEN_IN - LOOK_AGAIN):
            clock.now += later
            assert secret.reveal() == "first"
        assert not caplog.records  # it may be being written
        for _ in range(3):
            clock.now += LOOK_AGAIN * 2
            assert secret.reveal() == "first"
        (told,) = caplog.records
        assert (getattr(told, "event", ""), str(key) in told.message) == ("key_file_lost", True)
        caplog.clear()
        key.write_text("first")
        clock.now += LOOK_AGAIN


def test_a_file_that_did_not_change_is_not_read_again(key: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret("first", key, clock)
    assert secret.reveal() == "first"
    monkeypatch.setattr("proxy.config.secret.secret_text", None)
    clock.now += LOOK_AGAIN
    assert secret.reveal() == "first"


def test_a_configured_key_file_is_live(key: Path) -> None:
    secret = given(OPENAI_API_KEY_FILE=str(key)).providers["openai"].api_key
    key.write_text("second")
    assert secret.reveal() == "second"


# --- instances -------------------------------------------------------------------------------------------------------


def test_a_suffix_makes_an_instance() -> None:
    config = given(OPENAI_API_KEY="1", OPENAI_EAST_API_KEY="2", PILLION_OPENAI_EAST_BASE_URL="http://east/v1")
    found = {name: (row.kind, row.base_url, row.api_key.reveal()) for name, row in configured(config).items()}
    assert found == {
        "openai": ("openai", "https://api.openai.com/v1", "1"),
        "openai-east": ("openai", "http://east/v1", "2"),
    }
    assert config.serves["openai-east"] == config.serves["openai"]


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("OPENAI_EU_WEST_API_KEY", "openai-eu-west"), ("ANTHROPIC_2_API_KEY", "anthropic-2"),
        ("PILLION_OPENAI_ADMIN_API_KEY", "openai-admin"), ("MISTRAL_TEAM_API_KEY", "mistral-team"),
    ],
)  # fmt: skip
def test_names_of_instances(variable: str, name: str) -> None:
    row = given(**{variable: KEY}).providers[name]
    assert row.api_key.reveal() == KEY


def test_an_instance_may_have_its_key_in_a_file_or_none(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    config = given(GROQ_B_API_KEY_FILE=str(tmp_path / "key"), PILLION_VLLM_BIG_BASE_URL="http://big:1/v1")
    assert {name: row.api_key.reveal() for name, row in configured(config).items()} == {"groq-b": KEY, "vllm-big": ""}


def test_azures_instances_are_called_as_its_key_is() -> None:
    config = given(AZURE_OPENAI_EAST_API_KEY=KEY, PILLION_AZURE_EAST_BASE_URL="https://east")
    assert {name: (row.kind, row.base_url) for name, row in configured(config).items()} == {
        "azure-east": ("azure", "https://east")
    }


@pytest.mark.parametrize(
    "variable",
    [
        "OPENAI_ADMIN_API_KEY", "ANTHROPIC_FOUNDRY_API_KEY", "ANTHROPIC_AWS_API_KEY", "GOOGLE_MAPS_API_KEY",
        "AZURE_SEARCH_API_KEY", "OPENROUTER_PROVISIONING_API_KEY", "XAI_MANAGEMENT_API_KEY", "MY_OPENAI_API_KEY",
        "OPENAI_COMPATIBLE_API_KEY", "OPENAI_RESPONSES_API_KEY", "OPENAI_EAST_BASE_URL",
        "OPENAI__API_KEY", "OPENAI_EAST_KEY",
        "openai_east_api_key", "PILLION_NOBODY_BASE_URL", "TOGETHER_AI_API_KEY", "COHERE_TRIAL_KEY", "VLLM_API_KEY",
    ],
)  # fmt: skip
def test_what_means_something_else_makes_none(variable: str) -> None:
    assert configured(given(**{variable: "http://h"})) == {}


@pytest.mark.parametrize("variable", ["FIREWORKS_AI_API_KEY", "NVIDIA_NIM_API_KEY", "TOGETHERAI_API_KEY", "CO_API_KEY"])
def test_a_key_by_another_of_its_names_makes_the_preset(variable: str) -> None:
    assert list(configured(given(**{variable: KEY}))) in (["fireworks"], ["nvidia"], ["together"], ["cohere"])


def test_a_row_that_has_the_variable_already_is_no_instance(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("providers: {east: {preset: openai, keys: [OPENAI_EAST_API_KEY]}, openai_eu: {preset: openai}}")
    environ = {"OPENAI_EAST_API_KEY": KEY, "PILLION_OPENAI_EU_BASE_URL": "http://eu/v1"}
    providers = configured(load(file, environ))
    assert list(providers) == ["east", "openai_eu"]
    assert (providers["east"].api_key.reveal(), providers["openai_eu"].base_url) == (KEY, "http://eu/v1")


# --- the vendors' own variables --------------------------------------------------------------------------------------


def test_the_vendors_variables_stand_below_the_file_and_ours_above(tmp_path: Path) -> None:
    environ = {"OPENAI_API_KEY": KEY, "OPENAI_ORG_ID": "vendor", "OPENAI_PROJECT_ID": "p"}
    row = load(environ=environ).providers["openai"]
    assert (row.org_id, row.project) == ("vendor", "p")
    file = tmp_path / "config.yaml"
    file.write_text("providers: {openai: {org_id: filed}}")
    assert load(file, environ).providers["openai"].org_id == "filed"
    assert load(file, {**environ, "PILLION_OPENAI_ORG_ID": "ours"}).providers["openai"].org_id == "ours"


def test_an_instance_is_of_another_organisation() -> None:
    assert given(OPENAI_EAST_API_KEY=KEY, OPENAI_ORG_ID="o").providers["openai-east"].org_id == ""


@pytest.mark.parametrize(
    "variable", ["OPENAI_BASE_URL", "OPENAI_API_BASE", "ANTHROPIC_BASE_URL", "OLLAMA_HOST", "AZURE_OPENAI_ENDPOINT"]
)
def test_no_variable_of_the_apps_says_where_to_go(variable: str) -> None:
    config = given(**{variable: "http://127.0.0.1:7455", "OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY})
    assert [row.base_url for row in configured(config).values()] == [
        "https://api.openai.com/v1",
        "https://api.anthropic.com",
    ]


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("PILLION_LISTN", "PILLION_LISTEN"),
        ("PILLION_OPENAI_MODLE", "PILLION_OPENAI_MODEL"),
        ("PILLION_DEFAULT_MODEL_FILE", "PILLION_DEFAULT_MODEL"),
        ("PILLION_LOG", "PILLION_LOG_FORMAT or PILLION_LOG_LEVEL"),
        ("PILLION_METRICS", "PILLION_METRICS_ADDRESS"),
        ("PILLION_FALLBACK_ORDER", "PILLION_FAILOVER_FALLBACK_ORDER"),
        ("PILLION_OPENAI_URL", "PILLION_OPENAI_BASE_URL"),
        ("PILLION_OPENIA_BASE_URL", "PILLION_OPENAI_BASE_URL"),
        ("PILLION_TIMERS_TOTAL", "PILLION_<PROVIDER>_TIMERS_TOTAL"),
        ("PILLION_PORT", "PILLION_LISTEN"),
        ("PILLION_HOST", "PILLION_LISTEN"),
        ("PILLION_METRICS_PORT", "PILLION_METRICS_ADDRESS"),
        ("PILLION_UPSTREAM_MODEL", "PILLION_UPSTREAM"),
        ("PILLION_API_KEY", "PILLION_CLIENT_KEY"),
        ("PILLION_BASE_URL", "PILLION_<PROVIDER>_BASE_URL"),
        ("PILLION_DRAIN_TIMEOUT", "PILLION_MAX_SIGTERM_DELAY"),
        ("PILLION_TIMEOUT", "PILLION_<PROVIDER>_TIMERS_TOTAL"),
        ("PILLION_CONNECT_TIMEOUT", "PILLION_<PROVIDER>_TIMERS_CONNECT"),
        ("PILLION_OPENAI_TIMEOUT", "PILLION_OPENAI_TIMERS_TOTAL"),
        ("PILLION_OPENAI_FIRST_TOKEN_TIMEOUT", "PILLION_OPENAI_TIMERS_FIRST_EVENT"),
        ("PILLION_HELTH_TIMEOUT", "PILLION_HEALTH_TIMEOUT"),
        ("PILLION_CACHE", "PILLION_CACHE_ENABLED"),
        ("PILLION_HEDGE", "PILLION_HEDGE_ENABLED"),
        ("PILLION_REDIS_URL", "PILLION_STORE"),
        ("PILLION_RPM", "PILLION_LIMITS_CLIENT_REQUESTS_PER_MINUTE"),
        ("PILLION_WEBHOOK", "PILLION_ALERTS_WEBHOOK"),
    ],
)
def test_a_variable_that_is_none_is_told_of(variable: str, meant: str) -> None:
    assert given(**{variable: "x"}).warnings == (
        f"{variable} is not one of pillion's variables, and has no effect; did you mean {meant}?",
    )


@pytest.mark.parametrize(
    ("variable", "why"),
    [
        ("PILLION_ROUTES", ": routes can be set in the configuration file alone"),
        ("PILLION_BUDGETS_ALL_USD", ": budgets can be set in the configuration file alone"),
        ("PILLION_LIMITS_MODELS", ": limits.models can be set in the configuration file alone"),
        ("PILLION_OPENAI_HEADERS", ": providers.openai.headers can be set in the configuration file alone"),
        ("PILLION_OPENAI_KEYS", ": providers.openai.keys can be set in the configuration file alone"),
        ("PILLION_MY_HOST_BASE_URL", ": give the provider a row in the configuration file"),
        ("PILLION_MY_HOST_API_KEYS", ": give the provider a row in the configuration file"),
        ("PILLION_HTTPS_PROXY", ""),
        ("PILLION_METRICS_COLOUR", ""),
        ("PILLION_COST_LIMIT", ""),
    ],
)
def test_one_that_no_variable_could_be_is_told_of_without_a_guess(variable: str, why: str) -> None:
    assert given(**{variable: "1"}).warnings == (
        f"{variable} is not one of pillion's variables, and has no effect{why}",
    )


@pytest.mark.parametrize(
    ("variable", "how"),
    [
        ("PILLION_OPENAI_MODEL", "set OPENAI_API_KEY"),
        ("PILLION_VLLM_MODEL", "set PILLION_VLLM_BASE_URL"),
        ("PILLION_OLLAMA_CLOUD_MODEL", "set PILLION_OLLAMA_CLOUD_API_KEY"),
        ("PILLION_BEDROCK_MODEL", "set AWS_BEARER_TOKEN_BEDROCK, or name it under `providers`"),
        ("PILLION_VERTEX_PROJECT", "name it under `providers`"),
    ],
)
def test_a_setting_of_a_provider_that_is_not_there_is_told_of(variable: str, how: str) -> None:
    name = "-".join(variable.split("_")[1:-1]).lower()
    assert given(**{variable: "x"}).warnings == (
        f"{variable} has no effect, because there is no provider {name}: {how}",
    )
    assert given(**{variable: "x", "PILLION_UPSTREAM": "vllm/m", "OPENAI_API_KEY": KEY, "PILLION_VERTEX_BASE_URL": "http://v",
                    "AWS_BEARER_TOKEN_BEDROCK": KEY, "AWS_REGION": "us-east-1", "PILLION_OLLAMA_CLOUD_API_KEY": KEY,
                    "GOOGLE_CLOUD_LOCATION": "l", "GOOGLE_CLOUD_PROJECT": "p"}).warnings == ()  # fmt: skip


def test_several_keys_in_a_variable_make_a_provider_as_one_does(tmp_path: Path) -> None:
    [row] = configured(given(PILLION_OPENAI_API_KEYS="a,b")).values()
    assert (row.name, [key.reveal() for key, _ in row.api_keys]) == ("openai", ["a", "b"])
    held = tmp_path / "keys"
    held.write_text("a,b")
    assert list(configured(given(PILLION_VLLM_API_KEYS_FILE=str(held), PILLION_OPENAI_EAST_API_KEYS="c"))) == [
        "vllm",
        "openai-east",
    ]
    assert configured(given(OPENAI_EAST_API_KEYS="a,b")) == {}
    assert "api_keys: cannot be combined with api_key (environment OPENAI_API_KEY): remove one" in refused(
        PILLION_OPENAI_API_KEYS="a,b", OPENAI_API_KEY=KEY
    )


def test_a_key_of_an_instance_that_nobody_can_find_is_told_of() -> None:
    said = "VLLM_D_API_KEY alone does not configure a provider: set PILLION_VLLM_D_BASE_URL as well"
    assert given(VLLM_D_API_KEY=KEY).warnings == (said,)
    assert given(VLLM_D_API_KEY=KEY, PILLION_VLLM_D_BASE_URL="http://127.0.0.1:1/v1").warnings == ()
    assert given(VLLM_API_KEY=KEY, LMSTUDIO_API_KEY=KEY, OLLAMA_D_API_KEY=KEY, VLLM_D_API_KEY="").warnings == ()


def test_a_key_that_is_called_as_the_vendors_own_is_told_where_it_makes_no_instance() -> None:
    """HF_TOKEN is Hugging Face's; HF_API_TOKEN is what some tools call the same."""
    own = "PILLION_HUGGINGFACE_EAST_API_KEY"
    for variable in ("HF_EAST_TOKEN", "HF_EAST_TOKEN_FILE"):
        said = f"{variable} does not configure a provider: set the key of huggingface-east as {own}"
        assert given(**{variable: KEY}).warnings == (said,)
    assert given(HF_EAST_TOKEN=KEY, PILLION_HUGGINGFACE_EAST_API_KEY=KEY).warnings == ()
    assert given(HF_TOKEN=KEY, HF_API_TOKEN=KEY, HF_EAST_TOKEN="").warnings == ()


@pytest.mark.parametrize(
    ("name", "end"), [("ANTHROPIC", "/v1/"), ("GEMINI", "/v1beta"), ("OLLAMA", "/api"), ("COHERE", "/v2")]
)
def test_a_base_url_that_ends_as_openais_does_is_warned_of(name: str, end: str) -> None:
    """Their SDKs have bare hosts."""
    (warning,) = given(**{f"PILLION_{name}_BASE_URL": f"http://127.0.0.1:1{end}", "OPENAI_API_KEY": KEY}).warnings
    assert warning.startswith(f"the base URL of {name.lower()} ends in {end.rstrip('/')}, which pillion adds itself")
    assert given(**{f"PILLION_{name}_BASE_URL": "http://127.0.0.1:1/gateway"}).warnings == ()


@pytest.mark.parametrize(
    ("name", "url", "said"),
    [
        ("OLLAMA", "http://gpu:11434/v1", "ends in /v1, where its host has another API: leave that out"),
        (
            "GEMINI",
            "https://g/v1beta/openai/",
            "ends in /v1beta/openai, where its host has another API: leave",
        ),
        (
            "COHERE",
            "https://c/compatibility/v1",
            "ends in /compatibility/v1, where its host has another API: leave",
        ),
        ("VLLM", "http://gpu:8000", "has no path, but the usual one ends in /v1: is that missing?"),
        ("OPENAI", "https://api.openai.com/", "has no path, but the usual one ends in /v1: is that missing?"),
        ("OPENAI", "https://r.openai.azure.com", "does not end in /openai/v1, where Azure has that API: is that"),
        ("OPENAI", "https://r.openai.azure.com/v1", "does not end in /openai/v1, where Azure has that API: is that"),
        ("AZURE_OPENAI", "https://r.openai.azure.com/v1/", "ends in /v1, where Azure does not have that API: leave"),
        ("AZURE_OPENAI", "https://r.openai.azure.com/openai/deployments", "ends in /openai/deployments, where Azure"),
        ("AZURE_OPENAI", "https://r.services.ai.azure.com/models", "ends in /models, where Azure does not have"),
        ("AZURE_OPENAI", "https://r.services.ai.azure.com/anthropic", "ends in /anthropic, where Azure does not have"),
        ("AZURE_OPENAI", "https://portal.azure.com", "is not a resource's: portal.azure.com in place of RESOURCE.op"),
        ("AZURE_OPENAI", "https://api.openai.com/v1", "is not a resource's: api.openai.com in place of RESOURCE.op"),
        ("AZURE_OPENAI", "http://r.openai.azure.com", "begins with http, so that its key can be read on the way"),
        ("ANTHROPIC", "https://r.services.ai.azure.com/anthropic/v1", "ends in /v1, which pillion adds itself: leave"),
        ("OPENAI", "http://api.openai.com/v1", "begins with http, so that its key can be read on the way: write https"),
        ("ANTHROPIC", "http://api.anthropic.com", "begins with http, so that its key can be read on the way: write"),
    ],
)
def test_a_base_url_where_its_api_can_hardly_be_is_warned_of(name: str, url: str, said: str) -> None:
    """Each answered with a 404 to every call, or redirected it once the key had been sent."""
    keys, provider = {f"{name}_API_KEY": KEY}, name.removesuffix("_OPENAI")
    (warning,) = given(**keys, **{f"PILLION_{provider}_BASE_URL": url}).warnings
    assert warning.startswith(f"the base URL of {provider.lower()} {said}")


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("OPENAI", "http://127.0.0.1:8000/v1"),
        ("DEEPSEEK", "https://api.deepseek.com"),
        ("OLLAMA", "http://gpu"),
        ("GEMINI", "https://gateway/google-ai-studio"),
        ("OPENAI", "https://r.openai.azure.com/openai/v1/"),
        ("ANTHROPIC", "https://r.services.ai.azure.com/anthropic"),
        ("AZURE_OPENAI", "https://r.openai.azure.com"),
        ("AZURE_OPENAI", "https://r.openai.azure.us/openai"),
        ("AZURE_OPENAI", "https://r.cognitiveservices.azure.com/openai/v1"),
        ("AZURE_OPENAI", "https://r.openai.azure.com/openai/deployments/gpt-4o"),
        ("AZURE_OPENAI", "https://r.services.ai.azure.com/api/projects/p/openai/v1"),
        ("AZURE_OPENAI", "https://gateway.azure-api.net/gpt"),
        ("AZURE_OPENAI", "http://127.0.0.1:1"),
    ],
)
def test_a_base_url_that_may_well_be_meant_is_not_warned_of(name: str, url: str) -> None:
    provider = name.removesuffix("_OPENAI")
    assert given(**{f"{name}_API_KEY": KEY, f"PILLION_{provider}_BASE_URL": url}).warnings == ()


@pytest.mark.parametrize("word", ["Bearer", "bearer", "Authorization: Bearer"])
def test_a_key_with_its_headers_word_in_front_is_warned_of(word: str) -> None:
    """As it stands in an example of curl: providers were shown `Bearer Bearer sk-...`."""
    (warning,) = given(OPENAI_API_KEY=f"{word} {KEY}").warnings
    assert warning.startswith(f"the key of openai begins with {word}, which is a header's")
    assert KEY not in warning


@pytest.mark.parametrize(
    ("variable", "key", "said"),
    [
        ("OPENAI_API_KEY", "sk-ant-api03-canary", "the key of openai begins with sk-ant-, as those for api.anthropic"),
        (
            "ANTHROPIC_API_KEY",
            "sk-proj-canary",
            "the key of anthropic begins with sk-proj-, as those for api.openai.com",
        ),
        ("OPENAI_EAST_API_KEY", "gsk_canary", "the key of openai-east begins with gsk_, as those for api.groq.com do"),
        (
            "PILLION_OPENAI_API_KEYS",
            "sk-a,sk-or-v1-canary",
            "providers.openai.api_keys[1] begins with sk-or-, as those",
        ),
    ],
)
def test_a_key_of_another_vendors_is_warned_of(variable: str, key: str, said: str) -> None:
    (warning,) = given(**{variable: key}).warnings
    assert warning.startswith(said)
    assert "canary" not in warning


def test_a_vendors_own_key_is_not_warned_of_nor_any_behind_a_gateway() -> None:
    own = {"OPENAI_API_KEY": "sk-proj-a", "GEMINI_API_KEY": "AIza", "PILLION_GEMINI_OPENAI_API_KEY": "AIza"}
    assert given(**own, GROQ_API_KEY="gsk_a", HF_TOKEN="hf_a", DEEPSEEK_API_KEY="sk-a").warnings == ()
    assert given(OPENAI_API_KEY="sk-ant-a", PILLION_OPENAI_BASE_URL="https://gateway.example/v1").warnings == ()
    express = {"PILLION_VERTEX_API_KEY": "AIza", "GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "us-central1"}
    assert given(**express).warnings == ()  # Vertex takes the same vendor's


@pytest.mark.parametrize("quote", ["'", '"'])
def test_what_is_no_key_and_in_quotes_is_a_mistake_that_says_so(quote: str) -> None:
    written = {"PILLION_UPSTREAM": "echo/text", "PILLION_STRICT": "true", "PILLION_OPENAI_BASE_URL": "http://h/v1"}
    with pytest.raises(ConfigError) as caught:
        given(**{name: f"{quote}{text}{quote}" for name, text in written.items()})
    told = str(caught.value).splitlines()
    assert {line.split(": ")[0] for line in told} == {f"environment {name}" for name in written}
    assert len(told) == len(written)
    assert all(line.endswith("is in quotes, which are taken for a part of it: leave them out") for line in told)


def test_blanks_around_a_variable_are_no_part_of_it() -> None:
    config = given(PILLION_UPSTREAM=" echo/text\n", PILLION_OPENAI_BASE_URL="http://h/v1 ", PILLION_LISTEN=" ")
    assert (config.upstream, config.providers["openai"].base_url) == ("echo/text", "http://h/v1")
    assert str(config.listen) == "127.0.0.1:7455"


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_key_in_quotes_is_sent_as_it_is_and_warned_of(quote: str) -> None:
    """An env file of docker's keeps them, and a provider's 401 shows the key to nobody."""
    config = given(
        OPENAI_API_KEY=f"{quote}{KEY}{quote}", PILLION_CLIENT_KEY=f"{quote}app-{KEY}{quote}", GROQ_API_KEY=KEY
    )
    assert config.providers["openai"].api_key.reveal() == f"{quote}{KEY}{quote}"
    assert config.warnings == tuple(
        f"{whose} is in quotes, which are taken for a part of it: leave them out"
        for whose in ("client_key", "the key of openai")
    )
    assert given(OPENAI_API_KEY=f"{quote}{KEY}", GROQ_API_KEY=quote).warnings == ()


def test_so_are_several_keys_and_those_of_clients(tmp_path: Path) -> None:
    assert given(PILLION_OPENAI_API_KEYS=f'"{KEY}a,{KEY}b"').warnings == (
        "the list of keys of openai is in quotes, which are taken for a part of it: leave them out",
    )
    file = tmp_path / "config.yaml"
    file.write_text("keys: {ann: {key: $ANN}}\nproviders: {openai: {api_keys: [{key: $A}, b]}}\n")
    assert [warning.partition(" begins with $")[0] for warning in load(file, {}).warnings] == [
        "keys.ann.key",
        "providers.openai.api_keys[0]",
    ]


@pytest.mark.parametrize("line", ["OPENAI_API_KEY=", "export GITHUB_TOKEN="])
def test_a_key_with_its_name_in_front_is_sent_as_it_is_and_warned_of(line: str, tmp_path: Path) -> None:
    """As where an env file is made a secret."""
    (tmp_path / "key").write_text(f"{line}{KEY}\n")
    name = line.removeprefix("export ")
    config = given(OPENAI_API_KEY_FILE=str(tmp_path / "key"), GROQ_API_KEY="A_KEY=", COHERE_API_KEY="QUJD_RA==")
    assert config.providers["openai"].api_key.reveal() == f"{line}{KEY}"
    assert config.warnings == (
        f"the key of openai begins with {name}, which is taken for a part of it: leave that out",
    )


def test_a_file_of_certificates_that_nobody_can_trust_is_warned_of(tmp_path: Path) -> None:
    """OpenSSL says nothing of it, and each provider's certificate is one that nobody knows."""
    told, empty = "so no provider is trusted because of it", tmp_path / "empty.pem"
    empty.write_text("")
    assert given(SSL_CERT_FILE="/nowhere.pem").warnings == (
        f"SSL_CERT_FILE: /nowhere.pem cannot be read: no such file or directory, {told}",
    )
    assert given(SSL_CERT_FILE=str(empty)).warnings == (f"SSL_CERT_FILE: {empty} contains no PEM certificates, {told}",)
    assert given(SSL_CERT_FILE=str(tmp_path)).warnings == (
        f"SSL_CERT_FILE: {tmp_path} cannot be read: is a directory, {told}",
    )
    os.mkfifo(tmp_path / "pipe")  # which would be empty for OpenSSL, or keep us waiting
    assert given(SSL_CERT_FILE=str(tmp_path / "pipe")).warnings == ()
    good = tmp_path / "good.pem"
    trustme.CA().cert_pem.write_to_path(str(good))
    assert given(SSL_CERT_FILE=str(good)).warnings == given(SSL_CERT_FILE="").warnings == ()


def test_a_variable_as_a_shell_writes_it_is_sent_as_it_is_and_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("client_key: $APP_KEY\nproviders: {openai: {api_key: $OPENAI_KEY}, groq: {api_key: a$b}}\n")
    config = load(file, {"OPENAI_KEY": KEY})
    assert config.providers["openai"].api_key.reveal() == "$OPENAI_KEY"
    assert config.warnings == (
        "client_key begins with $, and is taken as it stands: for what a variable holds, write ${NAME}",
        "the key of openai begins with $, and is taken as it stands: for what a variable holds, write ${NAME}",
    )


@pytest.mark.parametrize("key", ["${OPENAI_KEY}", "${OPENAI_KEY:-none}", "$(OPENAI_KEY)"])
def test_what_nobody_has_put_a_key_in_for_is_warned_of(key: str, tmp_path: Path) -> None:
    """As a unit of systemd's or an env file leaves it, and Kubernetes where there is no such variable."""
    (tmp_path / "key").write_text(f"{key}\n")
    told = f"is {key[:2]}...{key[-1]} as it stands: nothing is put in its place in a variable or a key's file"
    assert given(OPENAI_API_KEY=key).warnings == (f"the key of openai {told}",)
    assert given(PILLION_CLIENT_KEY_FILE=str(tmp_path / "key")).warnings == (f"client_key {told}",)
    assert given(OPENAI_API_KEY=f"a{key}", GROQ_API_KEY="$(date)}", PILLION_CLIENT_KEY="${").warnings == ()


def test_a_price_for_a_single_token_is_told_of(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "prices: {echo/a: {input: 0.0000025, output: 0.4, request: 0.000001}, echo/b: {input: 0, output: 1}}"
    )
    said = "prices.echo/a.input is 2.5e-06 dollars for a million tokens, not for one: is it 2.5?"
    assert load(file, {}).warnings == (said,)


def test_what_a_strict_budget_can_never_set_aside_is_told_of(tmp_path: Path) -> None:
    """One that is lenient lets such a request in as long as anything is left."""
    file = tmp_path / "config.yaml"
    file.write_text(
        "budgets: {a: {usd: 5, unbounded_usd: 5.5}, b: {usd: 5, unbounded_usd: 5, window: day},"
        " c: {usd: 5, unbounded_usd: 9, window: total, mode: lenient}}\n"
        "keys: {k: {key: x, budget: {usd: 1, unbounded_usd: 2}}}\n"
    )
    said = "is more than the whole budget of {} dollars, so that it refuses all requests without a bound"
    assert load(file, {}).warnings == (
        f"budgets.a.unbounded_usd {said.format(5)}",
        f"keys.k.budget.unbounded_usd {said.format(1)}",
    )


def test_an_upstream_without_a_model_is_told_of() -> None:
    said = "upstream: openai has no default model, so every request is refused: make it openai/MODEL, or set"
    assert given(PILLION_UPSTREAM="openai", OPENAI_API_KEY=KEY).warnings == (f"{said} PILLION_OPENAI_MODEL",)
    for more in ({"PILLION_OPENAI_MODEL": "m"}, {"PILLION_UPSTREAM": "openai/m"}, {"PILLION_UPSTREAM": "echo"}):
        assert given(**{"PILLION_UPSTREAM": "openai", "OPENAI_API_KEY": KEY, **more}).warnings == ()


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("openai: {model: m}", "the provider openai has no key: set OPENAI_API_KEY"),
        ("gemini: ", "the provider gemini has no key: set GEMINI_API_KEY or GOOGLE_API_KEY"),
        ("openai-east: {model: m}", "the provider openai-east has no key: set OPENAI_EAST_API_KEY"),
        ("openai: {api_keys: [a, b]}", ""),
        ("openai: {headers: {Authorization: Bearer x}}", ""),
        ("openai: {base_url: 'https://gateway.example/v1'}", ""),
        ("openai: {model: m}\ntransparent: openai", ""),
        ("openai: {model: m}\nupstream: echo", ""),
        ("gemini: \nupstream: google/m", "the provider gemini has no key: set GEMINI_API_KEY or GOOGLE_API_KEY"),
        ("bedrock: {location: us-east-1}", ""),
        ("vertex: {project: p, location: l}", ""),
        ("vllm: ", ""),
    ],
)
def test_a_vendor_without_a_key_is_told_of(row: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"providers:\n  {row}\n")
    assert load(file, {}).warnings == ((told,) if told else ())


EGRESS = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]


@pytest.mark.parametrize("variable", EGRESS)
def test_a_proxy_that_pillion_does_not_take_is_told_of_without_its_password(variable: str) -> None:
    [told] = given(**{variable: f"http://u:{KEY}@proxy:3128"}, OPENAI_API_KEY=KEY).warnings
    assert told.startswith(f"{variable} has no effect: pillion calls providers without a proxy")
    assert "PILLION_OPENAI_PROXY" in told
    assert KEY not in told


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"OPENAI_API_KEY": KEY, "PILLION_OPENAI_PROXY": "http://proxy:3128"},
        {"OPENAI_API_KEY": KEY, "GROQ_API_KEY": KEY, "PILLION_GROQ_PROXY": "http://proxy:3128"},
        {"OPENAI_API_KEY": KEY, "PILLION_OPENAI_BASE_URL": "http://127.0.0.1:8000/v1"},
        {"PILLION_UPSTREAM": "echo"},
    ],
    ids=["nobody is asked", "taken", "taken by one", "on this machine", "echo"],
)
def test_one_that_nobody_is_missed_by_is_not(more: dict[str, str]) -> None:
    assert given(**dict.fromkeys(EGRESS, "http://proxy:3128"), **more).warnings == ()


def test_what_others_say_of_us_and_what_is_ours_is_not_told_of() -> None:
    kubernetes = [
        "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_7455_TCP", "PORT_7455_TCP_ADDR",
        "PORT_7455_TCP_PROTO", "METRICS_SERVICE_HOST", "METRICS_PORT_9455_TCP_PORT",
    ]  # fmt: skip
    ours = {"STRICT": "1", "GROQ_MODEL": "m", "GROQ_API_KEY": "k", "WAIT_TIMEOUT": "1", "EMPTY": ""}
    said = {**dict.fromkeys(kubernetes, "tcp://10.0.0.1:7455"), **ours}
    assert given(**{f"PILLION_{name}": text for name, text in said.items()}).warnings == ()


# --- what the log calls it -------------------------------------------------------------------------------------------


def test_a_variable_without_an_effect_is_told_apart_from_what_is_doubtful(caplog: pytest.LogCaptureFixture) -> None:
    said = {"PILLION_LISTN": "x", "HOSTED_VLLM_API_BASE": "http://gpu:8000", "HTTPS_PROXY": "http://proxy:3128"}
    config = given(
        OPENAI_API_KEY=f'"{KEY}"', PILLION_UPSTREAM="openai", PILLION_ANTHROPIC_BASE_URL="http://h/v1", **said
    )
    warn(config, ())
    assert [vars(record)["event"] for record in caplog.records] == ["unknown_variable"] * 3 + ["doubtful_setting"] * 3
    assert [record.getMessage() for record in caplog.records] == list(config.warnings)
    assert [next(word for word in said if word in told) for told in config.unheeded] == [
        "PILLION_LISTN",
        "HTTPS_PROXY",
        "HOSTED_VLLM_API_BASE",
    ]
