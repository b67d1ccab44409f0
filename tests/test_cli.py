"""Does the command do what was typed, say what is wrong in one line, and end with the right code?"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiohttp
import pytest
from aiohttp import ClientSession

from proxy import __version__
from proxy.cli import main
from proxy.edge.address import Address
from proxy.edge.release import check_aiohttp
from proxy.errors import ConfigError
from proxy.reports.usage_report import as_csv, as_json, as_table
from proxy.store import Query, read_usage
from proxy.store.database import Database
from proxy.store.row import spelled
from tests.client import OPENAI, ask, chat
from tests.crash import row

ROOT = Path(__file__).parent.parent
KEY = "sk-canary-0123"


def environ(**more: str) -> dict[str, str]:
    """This process's own, without what it says of providers, and with a log for people: they are greeted. Providers are
    asked for what a test asks for, and for nothing else.
    """
    theirs = re.compile("pillion_|.*_api_key$|.*_proxy$", re.IGNORECASE)
    kept = {name: value for name, value in os.environ.items() if not theirs.match(name)}
    ours = {"LISTEN": "127.0.0.1:0", "ALLOWED_HOSTS": "pillion", "LOG_FORMAT": "human", "HEALTH_INTERVAL": "0"}
    return {**kept, "PYTHONPATH": str(ROOT), **{f"PILLION_{name}": value for name, value in ours.items()}, **more}


def run(*words: str, **more: str) -> tuple[int, str, str]:
    """Exit code, output and complaints. It is not typed beside our own config.yaml."""
    return run_in(ROOT / "tests", *words, **more)


def run_in(where: Path, *words: str, **more: str) -> tuple[int, str, str]:
    command = [sys.executable, "-W", "error", "-m", "proxy", *words]
    done = subprocess.run(
        command, cwd=where, env=environ(**more), capture_output=True, text=True, timeout=30, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", ["config", "keys", "ledger"])
def test_a_command_that_wants_another_word_says_which_there_are(command: str) -> None:
    code, out, complaint = run(command)
    _, told, _ = run(command, "--help")
    assert (code, out, complaint) == (2, "", told)
    assert re.search(r"^    \w+ +\w+", complaint, re.MULTILINE)


def test_who_reads_no_further_is_no_error() -> None:
    command = [sys.executable, "-m", "proxy", "config", "schema"]
    with subprocess.Popen(command, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.wait(30), process.stderr.read()) == (141, b"")


@asynccontextmanager
async def serving(*words: str, **more: str) -> AsyncIterator[tuple[Process, str]]:
    """pillion as a process, and its greeting."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proxy", *words, env=environ(**more), stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            greeting = b""
            while b"In your app" not in greeting:
                line = await process.stdout.readline()
                assert line, (await process.communicate())[1].decode()
                greeting += line
        yield process, greeting.decode()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def address(greeting: str) -> Address:
    found = re.search(r"listens on http://([\d.]+):(\d+)", greeting)
    assert found
    return Address(found[1], int(found[2]))


@pytest.mark.parametrize("word", ["version", "--version"])
def test_version(word: str) -> None:
    assert run(word) == (0, f"pillion {__version__}\n", "")


def test_the_help_says_of_each_flag_what_its_value_is_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    told = re.sub(r"\s+", " ", capsys.readouterr().out)
    for line in (
        "--client-keep-alive SECONDS How long an app may keep an idle connection open.",
        "(PILLION_CLIENT_KEEP_ALIVE; 75 by default)",
        "--body-limit BYTES The longest body of a request. (PILLION_BODY_LIMIT; 67108864 by default)",
        "(PILLION_LISTEN; 127.0.0.1:7455 by default)",
        "(PILLION_LOG_LEVEL; info by default)",
        "(PILLION_STRICT; false by default)",
        "(PILLION_RETRY_RETRYABLE_ERRORS; rate_limit,server_error,network_error,timeout by default)",
        "(PILLION_ALLOWED_HOSTS)",
        "(PILLION_STATE_DIR)",
        "--log-format auto|human|json The log's format;",
        "--allowed-hosts A,B Additional names",
        "--strict [true|false] Refuse requests",
        "--workers N Number of processes;",
        "--retry-budget N ",
    ):
        assert line in told
    assert "VALUE" not in told


@pytest.mark.parametrize("words", [["check"], ["keys", "add"], ["spend"], ["providers"], ["wait"], ["ledger", "init"]])
def test_the_help_of_another_command_is_about_that_command(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    told = capsys.readouterr().out
    assert "--config FILE" in told
    assert "--breaker-ramp" not in told
    assert "`pillion serve`" in told  # whose flags it takes


@pytest.mark.parametrize(
    "words",
    [
        ["fly"],
        ["serve", "--port", "1"],
        ["--port", "1"],
        ["check", "--config"],
        ["config", "hide"],
        ["check", "--list", "x"],
        ["check", "--client-key", "x"],
    ],
)
def test_what_nobody_understands_is_a_usage_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: pillion" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("serve --port 8080", "--port; did you mean --listen?"),
        ("--listn=x", "--listn; did you mean --listen?"),
        ("serve --client-key SECRET", "--client-key; set the variable PILLION_CLIENT_KEY instead"),
        ("serve --api-key=SECRET", "--api-key; set the variable PILLION_CLIENT_KEY instead"),
        ("check --openai-base-url=SECRET", "--openai-base-url; set the variable PILLION_OPENAI_BASE_URL instead"),
        ("--timers-idle 5", "--timers-idle; set the variable PILLION_<PROVIDER>_TIMERS_IDLE instead"),
        ("serve -x SECRET --fly", "-x --fly"),
        ("check config.yaml", "config.yaml; did you mean --config config.yaml?"),
        ("serve now", "now"),
    ],
)
def test_a_flag_that_is_none_is_told_with_what_stands_in_its_place(
    words: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words.split())
    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"pillion: error: unrecognized arguments: {told}"


def test_check_warns_of_a_variable_that_is_none() -> None:
    code, out, complaints = run("check", PILLION_LISTN="127.0.0.1:1")
    assert (code, out) == (0, "ok: echo\n")
    assert complaints.startswith("pillion: warning: PILLION_LISTN is not one of pillion's variables")


def test_a_mistake_is_told_with_the_variables_that_have_no_effect() -> None:
    """One of them may be what is missing."""
    for command in ("check", "serve"):
        code, _, complaints = run(command, PILLION_UPSTREAM="azure", PILLION_AZURE_BASE_ULR="https://a.example")
        mistake, warning = complaints.splitlines()
        assert (code, "AZURE_OPENAI_API_KEY" in mistake) == (2, True)
        assert "PILLION_AZURE_BASE_ULR is not one of pillion's variables" in warning


def test_a_header_that_goes_out_with_the_key_as_well_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("providers: {groq: {api_key: k, headers: {authorization: x, X-Team: y}}}")
    for command in ("check", "serve"):
        code, out, complaints = run(command, "--config", str(tmp_path / "config.yaml"))
        assert (code, out, complaints.count("\n")) == (2, "", 1)
        assert (
            "config.yaml:1: providers.groq.headers.authorization: is already sent along with the API key" in complaints
        )


def test_check_warns_of_a_budget_of_nobody(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("budgets: {b: {usd: 1, mode: lenient, client: ann}}")
    state = {"PILLION_CONFIG": str(tmp_path / "c.yaml"), "PILLION_STATE_DIR": str(tmp_path)}
    told = "pillion: warning: budgets.b.client: there is no client key named ann, so this budget counts nothing\n"
    assert run("check", **state) == (0, "ok: echo\n", told)
    assert run("keys", "add", "ann", **state)[0] == 0
    assert run("check", **state) == (0, "ok: echo\n", "")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--by", "weather"], "--by must be one or more of day, hour, provider, model, client, key, each only once"),
        (["--until", "x"], "--until must be a date from 1970 on, such as 2027-01-31 or 2027-01-31T12:00:00Z"),
    ],
)
def test_what_spend_cannot_read_is_told_by_its_flag(flags: list[str], told: str) -> None:
    """The URL's parameters have other names."""
    assert run("spend", *flags) == (2, "", f"pillion: {told}\n")


def test_a_ledger_is_begun_and_read_by_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "state"
    monkeypatch.setenv("PILLION_STATE_DIR", str(folder))

    def said(*words: str) -> str:
        assert main([*words]) == 0
        return capsys.readouterr().out

    assert said("ledger", "init") == f"the ledger in {folder} was created\n"
    assert said("ledger", "init") == f"the ledger in {folder} is ready\n"
    with closing(Database(folder / "ledger.db")) as database:
        database.open()
        database.insert([spelled(row("r", 1000))])
    groups = read_usage(folder, Query(by=("client",)))
    assert len(groups) == 1
    assert said("spend", "--by", "client") == as_table(groups, ("client",)) + "\n"
    assert said("spend", "--by", "client", "--json") == as_json(groups, ("client",)).decode() + "\n"
    assert said("spend", "--by", "client", "--csv") == as_csv(groups, ("client",))
    assert said("spend", "--by", "client", "--client", "nobody") == "no usage\n"
    assert (
        said("spend", "--by", "provider", "--by", "client") == said("spend", "--by", "provider,client") != "no usage\n"
    )


@pytest.mark.parametrize("words", [["spend"], ["ledger", "init"]])
def test_where_there_is_no_home_a_ledger_wants_a_folder(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert main(words) == 2
    assert capsys.readouterr().err == "pillion: there is no folder for the ledger: set PILLION_STATE_DIR\n"


@pytest.mark.parametrize("words", [["healthcheck"], ["wait", "--timeout", "0"]])
def test_who_asks_whether_it_is_up_needs_not_see_its_keys(words: list[str]) -> None:
    """They may be in a folder that is closed to whoever asks; `--strict` makes the question one that is not plain."""
    code, _, complaint = run(*words, "--strict", "--listen", "0.0.0.0:1")
    assert (code, complaint) == (1, "pillion: 0.0.0.0:1: connection refused\n")


@pytest.mark.parametrize("said", ["x", "-1", "nan", "inf"])
def test_how_long_to_wait_is_a_number_of_seconds(said: str) -> None:
    for code, _, complaints in (run("wait", "--timeout", said), run("wait", PILLION_WAIT_TIMEOUT=said)):
        assert code == 2
        assert "must be a number of seconds from 0 to 86400 (as must PILLION_WAIT_TIMEOUT)" in complaints


def test_a_file_beside_the_command_that_nobody_names_is_told_of(tmp_path: Path) -> None:
    """`make run` loads it; whoever types `pillion check` there would think that it was found good."""
    (tmp_path / "config.yaml").write_text("lissten: x\n")
    told = "pillion: warning: config.yaml was not read, since neither --config nor PILLION_CONFIG names it\n"
    assert run_in(tmp_path, "check") == (0, "ok: echo\n", told)
    code, out, complaint = run_in(tmp_path, "config", "show")
    assert (code, out.partition(":")[0], complaint) == (0, "listen", told)
    assert run_in(tmp_path, "config", "schema")[2] == ""
    for how in ({"PILLION_CONFIG": "config.yaml"}, {"PILLION_CONFIG": ""}):
        words = ["check"] if how["PILLION_CONFIG"] else ["check", "--config", "config.yaml"]
        code, _, complaint = run_in(tmp_path, *words, **how)
        assert (code, complaint) == (2, "pillion: config.yaml:1: lissten: unknown key; did you mean listen?\n")


def test_check_tells_of_a_ledger_that_serving_would_miss(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("budgets: {b: {usd: 1}}")
    state = {"PILLION_CONFIG": str(tmp_path / "c.yaml"), "PILLION_STATE_DIR": str(tmp_path / "state")}
    code, out, complaint = run("check", **state)
    assert (code, out) == (0, "ok: echo\n")
    missing = f"the ledger in {tmp_path / 'state'} does not exist, but a strict budget needs it; "
    assert complaint.startswith(f"pillion: warning: pillion does not start here: {missing}")
    assert not (tmp_path / "state").exists()
    assert run("serve", **state)[0] == 2
    assert run("check", **state, PILLION_LEDGER_CREATE="true") == (0, "ok: echo\n", "")
    assert run("ledger", "init", **state)[0] == 0
    assert run("check", **state) == (0, "ok: echo\n", "")
    (tmp_path / "state" / "ledger.db").unlink()
    assert f"{tmp_path / 'state'} was lost, but" in run("check", **state)[2]


def test_check_says_what_would_be_served() -> None:
    assert run("check", OPENAI_API_KEY=KEY) == (0, "ok: openai, echo\n", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lisen: 1", "lisen"),
        ("providers: {x: {kind: echo, base_url: 'http://h'}}", "x.kind: echo is built in and needs no row"),
        ("providers: {x: {base_url: 'http://h', dialects: [zzz]}}", "x.dialects: openai does not take 'zzz', only ope"),
        ("providers: {x: {base_url: 'http://h', dialects: [cohere]}}", "x.dialects: openai does not take 'cohere', o"),
        ("{aliases: {fast: nope/x}}", ":1: aliases.fast: must be PROVIDER/MODEL of a configured provider"),
        ("providers: {x: {kind: smoke, base_url: 'http://h'}}", "there is no adapter 'smoke': must be one of openai"),
        ("client_key: ${NOT_SET_ANYWHERE}", "${NOT_SET_ANYWHERE} is not set"),
    ],
)
@pytest.mark.parametrize("command", ["check", "serve --log-format human", "--log-format human"])
def test_a_mistake_in_the_configuration_is_one_line_and_code_2(
    command: str,
    text: str,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PILLION_SOAK", raising=False)  # which would be told as well, as a variable without an effect
    file = tmp_path / "config.yaml"
    file.write_text(text)
    assert main([*command.split(), "--config", str(file)]) == 2
    out, complaints = capsys.readouterr()
    assert out == ""
    assert complaints.startswith("pillion: ")
    assert said in complaints
    assert complaints.count("\n") == 1


@pytest.mark.parametrize(("words", "number"), [([], signal.SIGTERM), (["serve"], signal.SIGINT)])
async def test_it_serves_until_it_is_told_to_stop(words: list[str], number: signal.Signals) -> None:
    async with serving(*words, OPENAI_API_KEY=KEY) as (process, greeting):
        at = address(greeting)
        assert (await ask(at, "GET", "/readiness")).status == 200
        got = await chat(at, OPENAI, OPENAI.request(model="echo/text"))
        assert json.loads(got.body)["object"] == "chat.completion"
        process.send_signal(number)
        async with asyncio.timeout(20):
            out, complaints = await process.communicate()
        assert process.returncode == 0
        assert b"Traceback" not in complaints
        assert KEY.encode() not in greeting.encode() + out + complaints


async def test_the_greeting_is_all_that_the_app_needs() -> None:
    async with serving(OPENAI_API_KEY=KEY) as (_, greeting):
        base = f"http://127.0.0.1:{address(greeting).port}"
        assert f"export OPENAI_BASE_URL={base}/v1 ANTHROPIC_BASE_URL={base}" in greeting
        assert re.search(r"openai +https://api.openai.com/v1", greeting)
        assert "echo" in greeting


async def test_an_address_that_is_taken_is_code_1() -> None:
    async with serving() as (_, greeting):
        taken = f"127.0.0.1:{address(greeting).port}"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "proxy", env=environ(PILLION_LISTEN=taken), stdout=PIPE, stderr=PIPE
        )
        async with asyncio.timeout(30):
            _, complaints = await process.communicate()
        assert process.returncode == 1
        assert complaints.decode() == f"pillion: cannot listen on {taken}: address already in use\n"
        code, _, complaint = await asyncio.to_thread(run, PILLION_LISTEN=taken, PILLION_LOG_FORMAT="json")
        said = json.loads(complaint)
        assert (code, said["level"], said["event"]) == (1, "error", "failed")
        assert said["message"] == f"cannot listen on {taken}: address already in use"
        told = {"PILLION_LISTEN": taken, "PILLION_LOG_FORMAT": "json", "PILLION_PORT": "8080"}
        _, _, complaint = await asyncio.to_thread(run, **told)
        warning, failed = map(json.loads, complaint.splitlines())
        assert warning["message"].startswith("PILLION_PORT is not one of pillion's variables")
        assert warning["message"].endswith("did you mean PILLION_LISTEN?")
        assert failed["event"] == "failed"


def test_machines_are_told_of_mistakes_in_json() -> None:
    code, out, complaints = run("serve", PILLION_LOG_FORMAT="auto", PILLION_STRICT="maybe", PILLION_LISTEN="x")
    assert (code, out) == (2, "")
    said = [json.loads(line) for line in complaints.splitlines()]
    assert [(line["level"], line["event"]) for line in said] == [("error", "failed")] * 2
    assert "PILLION_LISTEN: listen: must be HOST:PORT" in said[1]["message"] + said[0]["message"]


# --- what it stands on -----------------------------------------------------------------------------------------------


def with_python(script: str, **more: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ(**more), capture_output=True, text=True, timeout=30, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("library", "command"), [("uvloop", "serve"), ("aiohttp", "check"), ("msgspec", "serve"), ("yaml", "version")]
)
def test_a_library_that_is_missing_is_named_with_what_to_do(library: str, command: str) -> None:
    script = f"import sys; sys.modules[{library!r}] = None; from proxy.cli import main; sys.exit(main([{command!r}]))"
    code, _, complaints = with_python(script)
    assert (code, complaints.count("\n")) == (2, 1)
    assert complaints.startswith(f"pillion: {library} cannot be imported")
    assert "pip install" in complaints


def test_a_module_of_ours_that_is_missing_is_a_bug_and_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "proxy.process.serving", None)
    with pytest.raises(ImportError, match=r"proxy\.process\.serving"):
        main(["check"])


@pytest.mark.parametrize("version", ["3.14.3", "3.9.5", "2.0", "3.13.99rc1"])
def test_an_old_aiohttp_is_refused(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiohttp, "__version__", version)
    with pytest.raises(ConfigError, match=f"aiohttp {version} is too old: pip install --upgrade 'aiohttp>=3.14.4'"):
        check_aiohttp()


@pytest.mark.parametrize("version", ["3.14.4", "3.14.10", "3.15.0a1", "4.0"])
def test_a_newer_aiohttp_is_not(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiohttp, "__version__", version)
    check_aiohttp()


def test_a_parser_in_pure_python_is_refused() -> None:
    code, out, complaints = run("serve", AIOHTTP_NO_EXTENSIONS="1")
    assert (code, out) == (2, "")
    assert complaints.startswith("pillion: aiohttp's parser in C is not in use: unset AIOHTTP_NO_EXTENSIONS")


@pytest.mark.parametrize("by", [{"PYTHONASYNCIODEBUG": "1"}, {"PYTHONDEVMODE": "1"}], ids=lambda by: next(iter(by)))
def test_a_loop_that_would_log_prompts_is_refused(by: dict[str, str]) -> None:
    code, out, complaints = run("serve", **by)
    assert (code, out) == (2, "")
    assert "pillion: asyncio is in debug mode, which would log prompts: unset PYTHONASYNCIODEBUG" in complaints


HEAVY = {"aiohttp", "uvloop", "asyncio", "http.client", "prometheus_client", "proxy.app"}
NEEDED_BY_MOST = {"argparse", "msgspec", "yaml", "proxy.config", "proxy.ports", "encodings.idna"}


@pytest.mark.parametrize(
    ("commands", "codes", "heavy"),
    [
        (["healthcheck", "wait --timeout 0"], [1, 1], HEAVY | NEEDED_BY_MOST),
        (["version", "config show"], [0, 0], HEAVY),
    ],
)
def test_what_asks_and_does_not_serve_is_light(commands: list[str], codes: list[int], heavy: set[str]) -> None:
    script = (
        f"import sys; from proxy.cli import main; codes = [main(words.split()) for words in {commands!r}];"
        f"print(codes, {heavy!r} & {{*sys.modules}}, file=sys.stderr)"
    )
    ended = with_python(script, PILLION_LISTEN="127.0.0.1:1", PILLION_CONFIG=str(ROOT / "config.yaml"))
    assert ended[2].endswith(f"{codes} set()\n")


def test_the_first_process_of_a_container_can_be_stopped_while_it_starts() -> None:
    script = (
        "import os, signal, sys; from proxy import cli, registry; ours = os.getpid(); os.getpid = lambda: 1;"
        "registry.command = lambda name: lambda words: os.kill(ours, signal.SIGTERM); sys.exit(cli.main(['serve']))"
    )
    assert with_python(script)[0] == 143


def test_who_is_told_to_reload_while_it_starts_goes_on() -> None:
    script = (
        "import os, signal, sys; from proxy import cli, registry;"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL);"  # whoever runs the tests may ignore it
        "registry.command = lambda name: lambda words: os.kill(os.getpid(), signal.SIGHUP); sys.exit(cli.main({}))"
    )
    for words in ([], ["serve"], ["--strict"]):
        assert with_python(script.format(words))[0] == 0
    assert with_python(script.format(["check"]))[0] == -signal.SIGHUP


# --- the greeting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "[::]"])
async def test_what_the_greeting_says_to_export_is_let_in(everywhere: str) -> None:
    """No Host header may have the address that stands for all."""
    async with serving(PILLION_LISTEN=f"{everywhere}:0", PILLION_ALLOW_OPEN="1") as (_, greeting):
        found = re.search(r"export OPENAI_BASE_URL=(.+)/v1 ", greeting)
        assert found is not None
        async with ClientSession() as session, session.get(f"{found[1]}/v1/models") as got:
            assert got.status == 200


async def test_the_greeting_names_every_listener(tmp_path: Path) -> None:
    places = {"LISTEN": f"unix:{tmp_path}/s", "ADMIN_ADDRESS": "127.0.0.1:0", "METRICS_ADDRESS": f"unix:{tmp_path}/m"}
    environment = {f"PILLION_{name}": place for name, place in places.items()}
    async with serving(**environment, PILLION_CLIENT_KEY=KEY) as (_, greeting):
        assert f"listens on unix:{tmp_path}/s\n" in greeting
        assert re.search(r"  admin on http://127.0.0.1:\d+\n", greeting)
        assert f"  metrics and probes on unix:{tmp_path}/m\n" in greeting
        assert f"In your app: an HTTP client over {tmp_path}/s, base URL http://localhost/v1\n" in greeting
