"""Is what is in force shown with its origins, without its secrets, and does the schema know what the file may say?"""

from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.cli import main
from proxy.config import flags, json_schema, layered, load, show
from proxy.config.layers import gathered
from proxy.config.reading import read
from proxy.config.values import Mistakes
from tests.test_config_docs import EXAMPLE, uncommented

KEY = "sk-canary-0123456789"

FILE = f"""\
listen: 127.0.0.1:1
client_key: {KEY}
aliases:
  fast: openai/gpt
  'no': openai/x
providers:
  openai:
    models:
      - a
      - name: o3
        timers:
          idle: 7
    headers: {{X-Key: {KEY}}}
    proxy: http://u:{KEY}@h:1
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(FILE)
    return path


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "key").write_text(KEY)
    return {"OPENAI_API_KEY": KEY, "GROQ_API_KEY_FILE": str(tmp_path / "key"), "PILLION_LOG_LEVEL": "debug"}


# --- config show -----------------------------------------------------------------------------------------------------


def test_each_value_says_where_it_is_from(file: Path, environ: dict[str, str]) -> None:
    shown = show(layered(file, environ, {"PILLION_STRICT": "true"})).replace(str(file), "config.yaml")
    for line in (
        'listen: "127.0.0.1:1"  # config.yaml:1',
        "client_key: '***'  # config.yaml:2",
        "strict: true  # flag --strict",
        "upstream: null  # default",
        "  level: debug  # environment PILLION_LOG_LEVEL",
        "  format: auto  # default",
        "  fast: openai/gpt  # config.yaml:4",
        '  "no": openai/x  # config.yaml:5',
        "    api_key: '***'  # environment OPENAI_API_KEY",
        "    api_key: '***'  # file GROQ_API_KEY_FILE",
        '    base_url: "https://api.groq.com/openai/v1"  # preset',
        "      X-Key: '***'  # config.yaml:13",
        "    proxy: '***'  # config.yaml:14",
        "          first_event: 600  # preset",
        "          idle: 7  # config.yaml:12",
        "          total: 600  # default",
    ):
        assert line in shown.splitlines()


def test_what_is_shown_has_no_secret(file: Path, environ: dict[str, str]) -> None:
    assert KEY not in show(layered(file, environ))


@pytest.mark.parametrize("keys", ["[{0}a, {0}b]", "[{0}a, {{key: {0}b}}]", "[{{key: {0}a, weight: 2}}, {0}b]"])
def test_of_several_keys_none_is_shown(keys: str, tmp_path: Path) -> None:
    """Also where some are rows, and others are not."""
    file = tmp_path / "config.yaml"
    file.write_text(f"providers: {{x: {{base_url: 'http://h', api_keys: {keys.format(KEY)}}}}}")
    shown = show(layered(file, {}))
    assert KEY not in shown
    assert "'***'" in shown


def test_the_query_of_a_key_sets_url_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"jwt: {{jwks: 'https://idp.example/keys?app={KEY}', issuer: i, audience: a}}")
    shown = show(layered(file, {}))
    assert KEY not in shown
    assert '  jwks: "https://idp.example/keys?***"' in shown


def test_a_location_is_shown_in_its_url(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("""
providers:
  bedrock: {location: us-west-2}
  vertex: {location: global}
  own: {base_url: 'https://{location}.example/', location: here}
""")
    shown = show(layered(file, {})).replace(str(file), "config.yaml")
    for url in (
        'https://bedrock-runtime.us-west-2.amazonaws.com"  # preset',
        'https://aiplatform.googleapis.com"  # preset',
        'https://here.example"  # config.yaml:5',
    ):
        assert f'    base_url: "{url}' in shown.splitlines()


def test_what_is_shown_is_a_file_that_says_the_same(file: Path, environ: dict[str, str], tmp_path: Path) -> None:
    again = tmp_path / "again.yaml"
    again.write_text(show(layered(file, environ)).replace("proxy: '***'", "proxy: null"))
    first, second = load(file, environ), load(again, {})
    assert (second.listen, second.aliases, second.log) == (first.listen, first.aliases, first.log)
    for name, row in first.providers.items():
        other = second.providers[name]
        assert (other.base_url, other.models, other.timers) == (row.base_url, row.models, row.timers)
        assert [other.timers_for(model) for model in row.models] == [row.timers_for(model) for model in row.models]


def test_a_body_is_shown_as_it_is_and_read_again(tmp_path: Path) -> None:
    file, again = tmp_path / "config.yaml", tmp_path / "again.yaml"
    body = '{keep_alive: 10m, options: {num_ctx: "${CTX}"}, safetySettings: [{threshold: "on"}], stop: null}'
    file.write_text(f"providers:\n  ollama:\n    body: {body}\n")
    shown = show(layered(file, {"CTX": "8192"})).replace(str(file), "config.yaml")
    for line in (
        '      keep_alive: "10m"  # config.yaml:3',
        "        num_ctx: 8192  # config.yaml:3",
        '      safetySettings: [{"threshold":"on"}]  # config.yaml:3',
    ):
        assert line in shown.splitlines()
    again.write_text(shown)
    expected = {
        "keep_alive": "10m",
        "options": {"num_ctx": 8192},
        "safetySettings": [{"threshold": "on"}],
        "stop": None,
    }
    assert load(again, {}).providers["ollama"].body == expected


def test_what_is_assumed_says_that_nobody_decided_it() -> None:
    shown = show(layered(None, {}))
    lines = shown[shown.index("  ollama:") :].splitlines()[1:]
    assert {line.rpartition("  # ")[2] for line in lines if "  # " in line} == {"preset", "default"}
    assert '    base_url: "http://127.0.0.1:11434"  # preset' in lines


# --- config schema ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def validator() -> Any:
    kind: Any = import_module("jsonschema").Draft202012Validator  # it comes without types
    schema = msgspec.json.decode(json_schema())
    kind.check_schema(schema)
    return kind(schema)


def plain(text: str) -> Any:
    """As an editor reads it: YAML with nothing expanded."""
    read(text, "config.yaml", mistakes := Mistakes())
    assert mistakes.lines() == []
    return msgspec.yaml.decode(text)


def test_the_schema_is_of_draft_2020_12() -> None:
    assert msgspec.json.decode(json_schema())["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_example_is_valid_with_and_without_what_is_commented_out(validator: Any) -> None:
    assert list(validator.iter_errors(plain(EXAMPLE.read_text()))) == []
    assert list(validator.iter_errors(plain(uncommented()))) == []


@pytest.mark.parametrize(
    "text",
    ["lisen: x", "strict: perhaps", "log: {level: loud}", "client: {header: 0}", "aliases: {x: 1}", "listen: 1",
     "providers: {x: {timers: {idel: 1}}}", "providers: {x: {models: [{context: 1}]}}", "body_limit: 1.5"],
)  # fmt: skip
def test_the_schema_finds_mistakes(validator: Any, text: str) -> None:
    assert list(validator.iter_errors(plain(text))) != []


def test_a_body_is_an_object_of_anything(validator: Any) -> None:
    assert list(validator.iter_errors(plain("providers: {groq: {body: {a: [{b: 1}, x, true, null]}}}"))) == []
    assert list(validator.iter_errors(plain("providers: {groq: {body: [a]}}"))) != []


def test_an_empty_value_is_none_for_an_editor_as_well(validator: Any, tmp_path: Path) -> None:
    tables = msgspec.json.decode(json_schema())["$defs"]
    text = "".join(f"{key}:\n" for key in tables["File"]["properties"])
    (tmp_path / "config.yaml").write_text(text)
    assert load(tmp_path / "config.yaml", {}).providers.keys() == load(environ={}).providers.keys()
    assert list(validator.iter_errors(plain(text))) == []
    inner = "client: {header: }\nproviders: {groq: {timers: , models: , body: , api_key: , headers: }}"
    assert list(validator.iter_errors(plain(inner))) == []
    assert list(validator.iter_errors(plain("budgets: {a: {usd: }}"))) != []  # which has to be said


def test_a_variable_may_stand_for_a_number_or_a_boolean(validator: Any) -> None:
    assert list(validator.iter_errors(plain("strict: ${S:-no}\nclient: {header: '${H}'}\nproviders: {groq: }"))) == []


def test_a_variable_may_stand_for_a_word_or_a_list(validator: Any, tmp_path: Path) -> None:
    text = "log: {level: '${L}'}\nallowed_hosts: ${H}\nproviders: {groq: {api_key: k, models: '${M}', keys: '${K}'}}"
    assert list(validator.iter_errors(plain(text))) == []
    (tmp_path / "config.yaml").write_text(text)
    config = load(tmp_path / "config.yaml", {"L": "debug", "H": "a, b", "M": "m,n", "K": "X,Y", "Y": "of Y"})
    groq = config.providers["groq"]
    assert (config.log.level, config.allowed_hosts, groq.models) == ("debug", ("a", "b"), ("m", "n"))
    assert groq.api_key.reveal() == "of Y"


def test_every_key_of_the_schema_says_what_it_is() -> None:
    tables = msgspec.json.decode(json_schema())["$defs"]
    silent = [
        (name, key)
        for name, row in tables.items()
        for key, item in row["properties"].items()
        if "description" not in item
    ]
    assert silent == []


# --- the commands ----------------------------------------------------------------------------------------------------


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without providers; os.environ is read when a command runs."""
    for name in load_names():
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def load_names() -> list[str]:
    keys = [key for preset in gathered(None, {}, {}).presets.providers.values() for key in preset.keys]
    return [name for key in keys for name in (key, f"{key}_FILE")] + ["PILLION_CONFIG"]


@pytest.mark.usefixtures("no_keys")
def test_config_schema_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    assert capsys.readouterr().out == json_schema() + "\n"


@pytest.mark.usefixtures("no_keys")
def test_config_show_prints_what_is_in_force(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--config", str(file), "--log-format", "json", "--quitquitquit"]) == 0
    out = capsys.readouterr().out
    assert "  format: json  # flag --log-format\n" in out
    assert "quitquitquit: true  # flag --quitquitquit\n" in out
    assert KEY not in out


@pytest.mark.usefixtures("no_keys")
@pytest.mark.parametrize("command", [["check"], ["config", "show"], ["serve", "--log-format", "human"]])
def test_every_mistake_is_a_line_of_its_own(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("lisen: 1\nstrict: perhaps\n")
    assert main([*command, "--config", str(file), "--log-level", "loud"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.removeprefix(f"pillion: {file}") for line in lines[:2]] == [
        ":1: lisen: unknown key; did you mean listen?",
        ':2: strict: expected true or false, got "perhaps"',
    ]
    assert lines[2].startswith("pillion: flag --log-level: log.level: expected one of")


@pytest.mark.usefixtures("no_keys")
@pytest.mark.parametrize("command", [["check"], ["config", "show"]])
def test_a_kind_that_there_is_none_of_is_refused_by_each_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("providers:\n  a: {kind: smoke, base_url: 'http://h'}\n")
    assert main([*command, "--config", str(file)]) == 2
    assert "there is no adapter 'smoke'" in capsys.readouterr().err


@pytest.mark.usefixtures("no_keys")
def test_check_tells_of_every_kind_that_there_is_none_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "explain: no\nproviders:\n  a: {kind: smoke, base_url: 'http://h'}\n  b: {kind: fire, base_url: h}\n"
    )
    assert main(["check", "--config", str(file)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith(f"pillion: {file}:1: explain: ")
    assert told[1].startswith(f"pillion: {file}:3: providers.a.kind: there is no adapter 'smoke': must be one of")
    assert told[2].startswith(f"pillion: {file}:4: providers.b.base_url: must be http(s)://")
    assert told[3].startswith(f"pillion: {file}:4: providers.b.kind: there is no adapter 'fire': must be one of")


@pytest.mark.usefixtures("no_keys")
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("dialects: [zzz]", "dialects: openai does not take 'zzz'"),
        ("prices: zzz", "prices: there is no price list zzz"),
        ("headers: {authorization: x}", "headers.authorization: is already sent along with the API key"),
    ],
)
def test_what_only_those_find_who_put_it_to_use_has_its_line_too(
    line: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"explain: 5\nproviders:\n  groq:\n    api_key: k\n    {line}\n")
    assert main(["check", "--config", str(file)]) == 2
    assert capsys.readouterr().err.startswith(f"pillion: {file}:5: providers.groq.{said}")


@pytest.mark.usefixtures("no_keys")
@pytest.mark.parametrize("key", ["a key with a\nline end", "ein Schlüssel"])
def test_a_client_key_that_no_header_can_show_is_refused(
    key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PILLION_CLIENT_KEY", key)
    assert main(["check"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("pillion: environment PILLION_CLIENT_KEY: client_key: cannot be sent in a header")
    assert key not in told


def test_a_secret_has_no_flag() -> None:
    names = {flag.name for flag in flags()}
    assert "listen" in names
    assert [name for name in names if "key" in name] == []
