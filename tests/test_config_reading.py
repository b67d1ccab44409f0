"""Is a file read as it was meant, and a hostile or malformed one refused with its line?"""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config import Config, load
from proxy.config.conversion import Conversion
from proxy.config.expansion import Expansion
from proxy.config.layers import gathered
from proxy.config.reading import DEEPEST, LARGEST, MOST
from proxy.config.reading import read as read_text
from proxy.config.schema import File
from proxy.config.values import Mistakes
from proxy.errors import ConfigError

KEY = "sk-canary-0123456789"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def read(file: Path, text: str | bytes, **environ: str) -> Config:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(file, environ)


def aliases(file: Path, text: str, **environ: str) -> dict[str, str]:
    """Any text under any name, before somebody asks what it means."""
    file.write_text(text)
    layers = gathered(file, environ, {})
    layers.mistakes.raise_any()
    return layers.file.aliases


def refused(file: Path, text: str | bytes, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(file, text, **environ)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(file))


# --- types -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("no", "boolean"), ("On", "boolean"), ("12:30", "number"), ("0123", "number"), ("1_000", "number"),
        ("1.5", "number"), ("2026-01-01", "date"), ("0x1f", "number"), (".inf", "number"),
    ],
)  # fmt: skip
def test_what_yaml_would_guess_must_stand_in_quotes(file: Path, written: str, kind: str) -> None:
    told = refused(file, f"aliases:\n  x: {written}\n")
    assert told == f":2: aliases.x: expected text, got {written}, which YAML reads as a {kind}: put it in quotes"
    assert aliases(file, f"aliases:\n  x: '{written}'\n") == {"x": written}


@pytest.mark.parametrize("written", ["no", "12", "2026-01-01", "~"])
def test_so_must_a_key(file: Path, written: str) -> None:
    assert "put it in quotes" in refused(file, f"aliases:\n  {written}: x\n")
    assert aliases(file, f"aliases:\n  '{written}': x\n") == {written: "x"}


@pytest.mark.parametrize("written", ["0123", "1_000", "12:30", "0x1f", ".inf", ".nan", "1.", "+5", "2026-01-01"])
def test_a_number_is_plain_digits(file: Path, written: str) -> None:
    told = refused(file, f"max_request_timeout: {written}")
    assert told.startswith(":1: max_request_timeout: expected a number of seconds above 0, got ")
    assert "write plain digits" in told


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("5", 5.0), ("0.5", 0.5), ("${N}", 7.5), ("'${N}'", 7.5), ("${NONE:-3}", 3.0),
        ("1e1", 10.0), ("3e-05", 0.00003), ("1.5E2", 150.0), ("1.5e+2", 150.0),
    ],
)  # fmt: skip
def test_numbers(file: Path, written: str, value: float) -> None:
    """JSON's as well: YAML 1.1 takes some of those with an exponent for text."""
    assert read(file, f"max_request_timeout: {written}", N="7.5").max_request_timeout == value


def test_a_number_with_an_exponent_is_text_only_in_quotes(file: Path) -> None:
    assert 'got "1e1"' in refused(file, "max_request_timeout: '1e1'")
    assert "body_limit: expected a whole number of bytes, at least 1024, got 1e6" in refused(file, "body_limit: 1e6")
    assert "got 1e1, which YAML reads as a number: put it in quotes" in refused(file, "aliases: {x: 1e1}")
    body = "providers: {groq: {api_key: k, body: {a: 1e-1, b: '1e-1'}}}"
    assert read(file, body).providers["groq"].body == {"a": 0.1, "b": "1e-1"}


def test_an_amount_of_money_may_be_in_quotes(file: Path) -> None:
    assert read(file, "budgets: {all: {usd: '5.50'}}").budgets["all"].usd == 5.5
    for written in ("'5,50'", "'$5'", "''"):
        told = refused(file, f"budgets: {{all: {{usd: {written}}}}}")
        assert told.startswith(":1: budgets.all.usd: expected a number of dollars, at least 0, got ")


@pytest.mark.parametrize(
    ("written", "value"), [("${B}", True), ("${NONE:-no}", False), ("yes", True), ("false", False)]
)
def test_booleans(file: Path, written: str, value: bool) -> None:
    assert read(file, f"strict: {written}", B="1").strict is value


@pytest.mark.parametrize("written", ["${N}0", "${N}", "${NONE:-secret}"])
def test_what_stands_for_something_else_is_no_number_and_not_shown(file: Path, written: str) -> None:
    told = refused(file, f"max_request_timeout: {written}", N="-7")
    assert told == ":1: max_request_timeout: expected a number of seconds above 0, got a value that is not shown"


# --- references ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${A}", "one"), ("${A}-${B:-two}", "one-two"), ("${EMPTY:-two}", "two"), ("echo/${EMPTY}", "echo/"),
        ("$${A}", "${A}"), ("$$${A}", "$${A}"), ("$A", "$A"), ("$${${A}", "${one"), ("a$", "a$"),
    ],
)  # fmt: skip
def test_references(file: Path, written: str, value: str) -> None:
    assert aliases(file, f"aliases: {{x: '{written}'}}", A="one", EMPTY="") == {"x": value}


SETTINGS = """
upstream: @
metrics_address: @
client: {header: "@"}
strict: @
allowed_hosts: @
log: {level: "@"}
aliases: {a: "@", b: echo/text}
providers:
  groq: {api_key: "@", model: "@", headers: {A: "@", B: b}, timers: "@", body: {user: "@", a: {b: "@"}}}
"""


@pytest.mark.parametrize("written", ["${EMPTY}", "${UNSET:-}", "${EMPTY:-}", "${BLANK}", "${EMPTY}${UNSET:-}"])
def test_a_key_whose_variables_hold_nothing_counts_as_unset(file: Path, written: str) -> None:
    config = read(file, SETTINGS.replace("@", written), EMPTY="", BLANK=" ")
    unset = "aliases: {b: echo/text}\nproviders: {groq: {headers: {B: b}, body: {a: {}}}}"
    assert repr(config) == repr(read(file, unset))


@pytest.mark.parametrize("written", ["${EMPTY}", "${UNSET:-}"])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("client_key: {}", ":1: client_key: is empty: leave it out to have no client key"),
        ("keys: {{a: {{key: '{}'}}}}", ":1: keys.a.key: is empty"),
        ("keys: {{a: {{key: k, models: ['{}']}}}}", ":1: keys.a.models[0]: matches no model"),
        ("budgets: {{a: {{usd: '{}'}}}}", ":1: budgets.a.usd: expected a number of dollars"),
        ("limits: {{client: {{concurrent: '{}'}}}}", ":1: limits.client.concurrent: expected a whole number"),
        ("overload: {{max_requests: '{}'}}", ":1: overload.max_requests: expected a whole number"),
        ("budgets: {}", ":1: budgets: expected a mapping"),
        ("upstrem: {}", ":1: upstrem: unknown key; did you mean upstream?"),
    ],
)
def test_what_an_empty_variable_must_not_take_away_is_told(file: Path, text: str, says: str, written: str) -> None:
    assert refused(file, text.format(written), EMPTY="").startswith(says)


def test_a_key_that_is_empty_text_is_not_unset(file: Path) -> None:
    assert aliases(file, "aliases: {x: ''}") == {"x": ""}


def test_what_a_reference_holds_is_not_looked_into(file: Path) -> None:
    assert aliases(file, "aliases: {x: '${A}'}", A="${B}", B="no") == {"x": "${B}"}


@pytest.mark.parametrize("written", ["${", "${1}", "${A", "${A-b}", "${file:relative}", "${A:-${B}}", "${}"])
def test_what_is_no_reference_is_told(file: Path, written: str) -> None:
    told = refused(file, f"aliases: {{x: '{written}'}}", A="one", B="two")
    assert told.startswith(":1: aliases.x: ${ must begin ${NAME}")


def test_a_file_may_hold_a_value(file: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    config = read(file, f"client_key: ${{file:{tmp_path}/key}}\naliases: {{x: 'echo/${{file:{tmp_path}/key}}'}}")
    assert config.aliases == {"x": f"echo/{KEY}"}
    (tmp_path / "key").write_text("another, which is longer")
    assert config.client_key.reveal() == "another, which is longer"


def test_a_file_that_is_not_there_is_told(file: Path) -> None:
    told = refused(file, "client_key: ${file:/nowhere/key}")
    assert told == ":1: client_key: ${file:/nowhere/key}: no such file or directory"


# --- duplicates, aliases, merges -------------------------------------------------------------------------------------


def test_a_duplicate_is_told_with_both_lines(file: Path) -> None:
    told = refused(file, "providers:\n  openai:\n    model: a\n\n    model: b\n")
    assert told == ":5: providers.openai.model: duplicate key; the first is on line 3"


def test_an_alias_is_what_it_names(file: Path) -> None:
    text = "providers:\n  openai: {timers: &slow {idle: 9}}\n  groq: {timers: *slow}\n"
    assert read(file, text).providers["groq"].timers.idle == 9


def test_a_mistake_in_an_alias_is_told_where_it_is_used(file: Path) -> None:
    told = refused(
        file, "aliases: {x: &n no}\nstrict: *n\nlisten: &l [1]\n".replace("&n no", "&n y").replace("*n", "*l")
    )
    assert told.startswith(":2: a YAML alias must refer to a value that is complete before it")


def test_merges_and_tags_and_second_documents_are_refused(file: Path) -> None:
    assert refused(file, "client: &c {header: 1}\nlog:\n  <<: *c\n").startswith(
        ":3: YAML merge keys (<<) are not supported"
    )
    assert refused(file, "listen: !!python/name:os.system x").startswith(":1: YAML tags")
    assert refused(file, "aliases: {!!str x: y}").startswith(":1: a key must be a plain word")
    assert refused(file, "strict: true\n---\nstrict: false\n").startswith(":2: begins a second YAML document")


# --- ill will --------------------------------------------------------------------------------------------------------


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


HOSTILE = [
    (bomb(9), f":5: more than {MOST} values"),
    ("x: " + "[" * 10_000, f":1: nested more than {DEEPEST} levels deep"),
    ("x: " + "{a: " * 10_000, f":1: nested more than {DEEPEST} levels deep"),
    ("\n".join(" " * n + "a:" for n in range(400)), f":{DEEPEST + 2}: nested more than {DEEPEST} levels deep"),
    ("x: [" + "a, " * (MOST + 1) + "]", f":1: more than {MOST} values"),
    (b"#" * (LARGEST + 1), f": longer than {LARGEST} bytes"),
    (b"listen: \x00", ":1: contains a control character (U+0000)"),
    (b"\n\nlisten: '\x1b[2J'", ":3: contains a control character (U+001B)"),
    ("listen: x\n# \x80", ":2: contains a control character (U+0080)"),
    ("listen: \uffff", ":1: contains a control character (U+FFFF)"),
    (b"listen: \xff", ": not UTF-8"),
    ("listen: x".encode("utf-16"), ": not UTF-8"),
    (b"listen:\n\t- x", ":2: a tab where YAML requires spaces"),
    (b"keys:\n  ann: {key: ${KEY}}", ":2: a value with ${ must be in quotes between { } or [ ]"),
    (b"allowed_hosts: [a, ${HOST:-b}]", ":1: a value with ${ must be in quotes between { } or [ ]"),
    (b"a: *nothing", ":1: a YAML alias must refer"),
    (b'"\\ud800": x', ":1: "),
    (b"listen: 'x", ":1: "),
    (b"just words", ":1: expected a mapping (key: value), got text"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_file_is_refused(file: Path, text: str | bytes, said: str) -> None:
    assert refused(file, text).startswith(said)


YAML = st.text(st.sampled_from("ab:{}[]-#&*!|>'\"%@`\n\t ${}01,?=<.~\\é"), max_size=60)
ROWS = st.sampled_from(
    ["", "listen: ", "aliases: ", "providers: {x: ", "providers:\n  openai:\n    models: ", "client: "]
)


@given(ROWS, YAML)
@settings(max_examples=1000, deadline=None)
def test_whatever_it_says_it_is_read_or_refused(start: str, text: str) -> None:
    mistakes = Mistakes()
    with contextlib.suppress(ConfigError):
        Conversion(mistakes).struct(Expansion({}, mistakes).of(read_text(start + text, "config.yaml", mistakes)), File)
    assert [line for line in mistakes.lines() if "\n" in line] == []


def test_a_file_of_100_mb_is_not_read(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(100_000_000)  # sparse
    with pytest.raises(ConfigError, match=f"longer than {LARGEST} bytes"):
        load(file, {})


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{tmp_path}: is a directory"):
        load(tmp_path, {})


@pytest.mark.parametrize("text", [b"\xef\xbb\xbfstrict: true\n", b"strict: true\r\n", b"---\nstrict: true\n...\n"])
def test_marks_and_line_ends_of_other_systems_do_no_harm(file: Path, text: bytes) -> None:
    assert read(file, text).strict


@pytest.mark.parametrize("text", ["", "# strict: true", "---", "--- # nothing\n...", "~", "null"])
def test_a_file_may_say_nothing(file: Path, text: str) -> None:
    assert (read(file, text).strict, read_text(text, "config.yaml", Mistakes()).entries) == (False, {})


@pytest.mark.parametrize("text", ["{a: 'Gr\u00fc\u00dfe'}", "{a: '\U0001f642'}", "{a: '\u2028'}", "{a: '\ufeff'}"])
def test_letters_of_all_scripts_do_no_harm(file: Path, text: str) -> None:
    assert aliases(file, f"aliases: {text}") == {"a": text[5:-2]}


def test_a_file_cut_anywhere_is_read_or_refused_in_our_words(file: Path) -> None:
    whole = Path(__file__).parent.parent.joinpath("config.yaml").read_bytes()
    cuts = range(0, len(whole), 23)
    told = {at: _told(file, whole[:at]) for at in cuts}
    assert [said for said in told.values() if said and not said.startswith(f"{file}:")] == []
    assert {"", *told.values()} != {""}


def _told(file: Path, text: bytes) -> str:
    try:
        read(file, text)
    except ConfigError as error:
        return str(error)
    return ""
