"""Do the files in deploy/, and the image, say what pillion does?

Nothing here builds an image or asks a cluster; docs/container.md says how that is done.
"""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.client import OPENAI, ask, chat
from tests.evil import Evil, Scenario
from tests.gateway import pillion
from tests.test_metrics_docs import documented

ROOT = Path(__file__).parent.parent
DEPLOY = sorted((ROOT / "deploy").iterdir())
CONTAINERFILE = (ROOT / "Containerfile").read_text()
SOURCES = [*DEPLOY, ROOT / "Containerfile", ROOT / "docs" / "container.md"]
DEFAULTS = yaml.safe_load((ROOT / "config.yaml").read_text())
PORT = int(DEFAULTS["listen"].rpartition(":")[2])
DRAIN = DEFAULTS.get("max_sigterm_delay", 60)  # seconds
UID = 65532
STATE = "/var/lib/pillion"


def _named(name: str) -> str:
    return (ROOT / "deploy" / name).read_text()


def _compose(name: str) -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load(_named(name))["services"]
    return services


def _pod() -> dict[str, Any]:
    documents = list(yaml.safe_load_all(_named("kubernetes.yaml")))
    pod: dict[str, Any] = next(each for each in documents if each["kind"] == "Deployment")["spec"]["template"]["spec"]
    return pod


def _sidecar() -> dict[str, Any]:
    (sidecar,) = _pod()["initContainers"]
    assert isinstance(sidecar, dict)
    return sidecar


def _variables(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["env"]}


def _unit() -> Iterator[tuple[str, str]]:
    for line in _named("pillion.service").splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            yield key, value


def _known_variables() -> set[str]:
    """What the code, or the page that is made from its schema, has by name."""
    files = [*(ROOT / "proxy").rglob("*.py"), *(ROOT / "proxy").rglob("*.yaml"), ROOT / "docs" / "configuration.md"]
    text = " ".join(path.read_text() for path in files if path.exists())
    return set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", text))


def test_there_is_something_for_each_of_three_hosts_and_for_who_watches() -> None:
    assert [path.name for path in DEPLOY] == [
        "compose.shared.yaml", "compose.yaml", "kubernetes.yaml", "pillion.service", "prometheus.rules.yaml"
    ]  # fmt: skip


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_variable_that_is_named_is_one(path: Path) -> None:
    known = _known_variables()
    for name in re.findall(r"\b(?:PILLION_[A-Z0-9_]+|[A-Z0-9_]+_API_KEY(?:_FILE)?)\b", path.read_text()):
        assert {name, name.removesuffix("_FILE")} & known, name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_address_has_the_default_port(path: Path) -> None:
    urls = re.findall(r"http://(?:127\.0\.0\.1|localhost|pillion)[^\s\"'`)}\\]*", path.read_text())
    assert [url for url in urls if urlsplit(url).port not in (PORT, 9090)] == []


def test_an_app_is_sent_where_its_sdk_looks() -> None:
    (app,) = _pod()["containers"]
    for variables in (_variables(app), *(_compose(name)["app"]["environment"] for name in ("compose.yaml",))):
        assert variables["OPENAI_BASE_URL"] == f"http://127.0.0.1:{PORT}/v1"
        assert variables["ANTHROPIC_BASE_URL"] == f"http://127.0.0.1:{PORT}"


# --- Kubernetes ---


def test_pillion_is_a_native_sidecar_that_the_app_waits_for() -> None:
    assert _sidecar()["restartPolicy"] == "Always"
    probe = _sidecar()["startupProbe"]
    assert probe["httpGet"]["path"] == "/startup"
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 30


def test_the_kubelet_probes_where_it_can_reach() -> None:
    address = _variables(_sidecar())["PILLION_METRICS_ADDRESS"]
    (port,) = _sidecar()["ports"]
    assert address == f"0.0.0.0:{port['containerPort']}"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert _sidecar()[probe]["httpGet"]["port"] == port["name"]
    assert f'prometheus.io/port: "{port["containerPort"]}"' in _named("kubernetes.yaml")


def test_the_pod_is_restricted() -> None:
    pod, sidecar = _pod()["securityContext"], _sidecar()["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (sidecar["runAsUser"], pod["fsGroup"]) == (UID, UID)
    assert sidecar["readOnlyRootFilesystem"] is True
    assert sidecar["allowPrivilegeEscalation"] is False
    assert sidecar["capabilities"] == {"drop": ["ALL"]}


def test_the_app_has_none_of_the_keys() -> None:
    (app,) = _pod()["containers"]
    assert "volumeMounts" not in app
    assert {value for name, value in _variables(app).items() if name.endswith("_KEY")} == {"unused"}


def test_the_grace_period_covers_app_and_drain() -> None:
    delay = int(_variables(_sidecar())["PILLION_MAX_SIGTERM_DELAY"])
    assert delay == DRAIN
    assert _pod()["terminationGracePeriodSeconds"] >= 25 + delay + 5


def test_each_volume_of_the_sidecar_is_there() -> None:
    volumes = {each["name"] for each in _pod()["volumes"]}
    mounts = {each["name"]: each["mountPath"] for each in _sidecar()["volumeMounts"]}
    assert set(mounts) == volumes
    assert mounts["pillion-state"] == STATE
    (key,) = [value for name, value in _variables(_sidecar()).items() if name.endswith("_KEY_FILE")]
    assert Path(key).parent == Path(mounts["pillion-keys"])


# --- compose ---


@pytest.mark.parametrize("name", ["compose.yaml", "compose.shared.yaml"])
def test_compose_confines_pillion_and_lets_it_drain(name: str) -> None:
    pillion = _compose(name)["pillion"]
    assert pillion["read_only"] is True
    assert pillion["cap_drop"] == ["ALL"]
    assert pillion["security_opt"] == ["no-new-privileges:true"]
    assert f"pillion-state:{STATE}" in pillion["volumes"]
    assert int(pillion["stop_grace_period"].removesuffix("s")) > DRAIN
    secrets = {value for key, value in pillion["environment"].items() if key.endswith("_FILE")}
    assert secrets == {f"/run/secrets/{name}" for name in pillion["secrets"]}


def test_the_app_joins_the_network_of_a_pillion_that_is_well() -> None:
    app = _compose("compose.yaml")["app"]
    assert app["network_mode"] == "service:pillion"
    assert app["depends_on"]["pillion"]["condition"] == "service_healthy"
    assert "PILLION_LISTEN" not in _compose("compose.yaml")["pillion"]["environment"]


def test_a_pillion_that_listens_further_wants_a_key_and_knows_its_name() -> None:
    services = _compose("compose.shared.yaml")
    variables = services["pillion"]["environment"]
    assert variables["PILLION_LISTEN"] == f"0.0.0.0:{PORT}"
    assert variables["PILLION_CLIENT_KEY_FILE"]
    host = urlsplit(services["app"]["environment"]["OPENAI_BASE_URL"]).hostname
    assert variables["PILLION_ALLOWED_HOSTS"] == host == "pillion"
    assert "ports" not in services["pillion"]


# --- systemd ---


def test_the_unit_hands_over_the_keys_it_loads() -> None:
    lines = list(_unit())
    loaded = {value.partition(":")[0] for key, value in lines if key == "LoadCredential"}
    read = {value.rpartition("=%d/")[2] for key, value in lines if key == "Environment" and "=%d/" in value}
    assert loaded == read != set()


def test_the_unit_confines_pillion_and_lets_it_drain() -> None:
    unit = dict(_unit())
    assert unit["DynamicUser"] == "yes"
    assert f"/var/lib/{unit['StateDirectory']}" == STATE
    assert int(unit["TimeoutStopSec"]) > DRAIN
    assert "notify" not in unit["Type"]  # pillion does not speak sd_notify


# --- the image ---


def test_what_the_containerfile_copies_is_not_ignored() -> None:
    ignored = [line for line in (ROOT / ".containerignore").read_text().splitlines() if line and line[0] != "#"]
    assert ignored[0] == "*"
    copied = [shlex.split(line)[1:-1] for line in CONTAINERFILE.splitlines() if line.startswith("COPY ")]
    for name in [name for names in copied if "--from=build" not in names for name in names]:
        assert (ROOT / name).exists(), name
        assert any(fnmatch(name, rule[1:]) for rule in ignored if rule[0] == "!"), name


def test_the_image_runs_as_nobody_in_particular() -> None:
    runs = CONTAINERFILE.rpartition("FROM ")[2]
    assert runs.startswith("scratch\n")
    assert f"\nUSER {UID}:{UID}\n" in runs
    assert f"\nVOLUME {STATE}\n" in runs
    assert f"\nEXPOSE {PORT}\n" in runs
    assert "PILLION_LISTEN=" not in runs  # loopback is the default, and enough for a sidecar
    # In this form, since there is no shell that could run another.
    assert re.findall(r"^HEALTHCHECK .* CMD (\[.*)$", runs, re.MULTILINE) == ['["pillion", "healthcheck"]']


@pytest.mark.parametrize("script", sorted((ROOT / "tools").glob("image*.sh")), ids=lambda path: path.name)
def test_the_scripts_are_scripts(script: Path) -> None:
    subprocess.run(["sh", "-n", script], check=True)


# --- Prometheus ---


def _alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(_named("prometheus.rules.yaml"))["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def _asked_for(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each family of ours, as docs/operations.md calls it, and the labels that its samples are picked by."""
    for name, picked in re.findall(r"\bpillion_(\w+)(\{[^}]*\})?", expression):
        yield re.sub(r"_(bucket|sum|count)$", "", name), set(re.findall(r"(\w+)=", picked))


@pytest.mark.parametrize("rule", _alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_a_scrape_has(rule: dict[str, Any]) -> None:
    """What operations.md documents is what a scrape has: test_metrics_docs.py."""
    families = documented()
    asked = list(_asked_for(rule["expr"]))
    assert {name for name, _ in asked} <= families.keys()
    assert [(name, labels) for name, labels in asked if labels - families[name]] == []
    known = {"job", "instance"}.union(*(families[name] for name, _ in asked))
    summed = {label for labels in re.findall(r"\bby \(([^)]*)\)", rule["expr"]) for label in labels.split(", ")}
    assert summed - known <= {"le"}
    told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert told <= known
    assert told <= summed or not summed


def test_what_is_reserved_for_a_moment_brings_no_budget_near_its_end() -> None:
    """One request may reserve all that is left, and cost next to nothing."""
    (rule,) = [rule["expr"] for rule in _alerts() if rule["alert"] == "PillionBudgetNearEnd"]
    assert {name for name, _ in _asked_for(rule)} == {"budget_spent_usd", "budget_limit_usd"}


def test_each_alert_has_its_heading_and_each_heading_its_alert() -> None:
    page, operations = ((ROOT / "docs" / name).read_text() for name in ("alerts.md", "operations.md"))
    names = [rule["alert"] for rule in _alerts()]
    assert re.findall(r"^### (Pillion\w+)$", page, re.MULTILINE) == names
    assert {*re.findall(r"\bPillion[A-Z]\w+", operations), "PillionDown"} == set(names)
    for rule in _alerts():
        assert rule["annotations"]["runbook"] == f"docs/alerts.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("page", "ticket")


@pytest.mark.parametrize(
    ("status", "word"),
    [(403, "permission_error"), (404, "model_not_found"), (400, "invalid_request_error"), (429, "rate_limit_exceeded")],
)
async def test_a_provider_that_refuses_everything_is_seen_by_an_alert(status: int, word: str) -> None:
    """Also where its keys are in order, and no 5xx comes of it: a model that is gone, a right that is missing."""
    (rule,) = [rule["expr"] for rule in _alerts() if rule["alert"] == "PillionProviderRefusing"]
    kinds = re.findall(r'kind=~"([^"]*)"', rule)[0].split("|")
    refusal = json.dumps({"error": {"message": "no", "type": word, "code": word, "param": None}}).encode()
    async with (
        Evil(answering=lambda request: Scenario(status=status, body=refusal)) as evil,
        pillion(**OPENAI.environ(evil.url)) as gateway,
    ):
        for _ in range(4):
            assert (await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))).status == status
        text = (await ask(gateway, "GET", "/metrics")).body.decode()
    seen = re.findall(
        r'^pillion_upstream_errors_total\{.*kind="(\w+)",provider="openai"\} ([\d.]+)$', text, re.MULTILINE
    )
    assert sum(float(count) for kind, count in seen if kind in kinds) == 4
    assert 'pillion_upstream_attempts_total{provider="openai"} 4.0' in text


@pytest.mark.parametrize("code", ["internal_error", "overloaded", "too_many_connections", "shutting_down"])
@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_provider_says_of_itself_is_not_taken_for_ours(code: str, stream: bool) -> None:
    """Else its error 500 would be a bug of pillion's, and page whoever looks after that."""
    refusal = json.dumps({"error": {"message": "no", "type": "server_error", "code": code, "param": None}}).encode()
    broken = Scenario(body=b"data: " + refusal + b"\n\n", headers=[("Content-Type", "text/event-stream")])
    answer = broken if stream else Scenario(status=503, body=refusal)
    async with Evil(answering=lambda request: answer) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await chat(gateway, OPENAI, OPENAI.request(stream, "openai/m"))
        text = (await ask(gateway, "GET", "/metrics")).body.decode()
    assert code.encode() in got.body
    counted = re.findall(r'^pillion_errors_total\{code="(\w+)"', text, re.MULTILINE)
    assert counted == ["upstream_error"]


async def test_a_stream_that_breaks_is_seen_by_the_alert_that_pages() -> None:
    """Its status is 200, so that no other alert tells it from one that ended well."""
    (rule,) = [rule for rule in _alerts() if rule["alert"] == "PillionStreamsBreaking"]
    assert rule["labels"]["severity"] == "page"
    event_stream = [("Content-Type", "text/event-stream")]
    begun = Scenario(headers=event_stream, body=OPENAI.stream, framing="chunked", cut_at=len(OPENAI.stream) - 100)
    async with Evil(begun) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        assert (await chat(gateway, OPENAI, OPENAI.request(stream=True, model="openai/m"))).status == 200
        text = (await ask(gateway, "GET", "/metrics")).body.decode()
    assert 'pillion_broken_answers_total{code="upstream_cut",provider="openai"} 1.0' in text
