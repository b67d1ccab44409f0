"""Does pillion tell the truth about itself and its providers?"""

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.access.keyring import Minted, change
from proxy.failover.health import Checked
from proxy.reports.roster import Roster
from tests.client import ANTHROPIC, OPENAI, SPEECHES, Place, Speech, ask, chat, lane_name
from tests.evil import Evil, Scenario
from tests.gateway import config_file, pillion
from tests.test_middleware import call

LISTED = Scenario(body=b'{"object":"list","data":[{"id":"gpt-5"},{"id":"gpt-6"}]}')
FAILING = Scenario(status=500, body=b"no")


async def samples(gateway: Place) -> dict[str, float]:
    """What /metrics says, by name and labels."""
    got = await ask(gateway, "GET", "/metrics")
    assert (got.status, (got.header("content-type") or "").split(";")[0]) == (200, "text/plain")
    families = list(text_string_to_metric_families(got.body.decode()))
    found = [sample for family in families for sample in family.samples]
    return {f"{one.name}{json.dumps(one.labels, sort_keys=True)}": one.value for one in found}


def label(**labels: str) -> str:
    return json.dumps(labels, sort_keys=True)


# --- metrics ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("speech", SPEECHES, ids=lane_name)
async def test_metrics_count_what_happened(speech: Speech, stream: bool) -> None:
    media = "text/event-stream" if stream else "application/json"
    answer = Scenario(body=speech.stream if stream else speech.whole, headers=[("Content-Type", media)])
    async with Evil(answer, answer, FAILING) as evil, pillion(**speech.environ(evil.url)) as gateway:
        for _ in range(3):
            await chat(gateway, speech, speech.request(stream, f"{speech.provider}/m"))
        await chat(gateway, speech, b"{")
        told = await samples(gateway)
    place = {"provider": speech.provider, "model": "m"}
    assert told["pillion_requests_total" + label(operation="chat", status="200", **place)] == 2
    assert told["pillion_requests_total" + label(operation="chat", status="500", **place)] == 1
    nowhere = {"provider": "", "model": ""}
    assert told["pillion_requests_total" + label(operation="chat", status="400", **nowhere)] == 1
    assert told["pillion_request_duration_seconds_count" + label(**place)] == 3
    assert told["pillion_requests_in_flight{}"] == 0
    assert told["pillion_errors_total" + label(kind="invalid_request", code="invalid_json")] == 1
    if not (stream and speech is OPENAI):  # that stream says no usage
        assert told["pillion_tokens_total" + label(kind="input", **place)] == 10
        assert told["pillion_tokens_total" + label(kind="output", **place)] == 4


async def test_metrics_tell_of_the_process_too() -> None:
    async with pillion() as gateway:
        told = await samples(gateway)
    assert told["process_open_fds{}"] > 0


async def test_a_dropped_field_is_counted() -> None:
    answer = Scenario(body=ANTHROPIC.whole, headers=[("Content-Type", "application/json")])
    async with Evil(answer) as evil, pillion(**ANTHROPIC.environ(evil.url)) as gateway:
        await chat(gateway, OPENAI, OPENAI.request(model="claude", seed=1))
        assert (await samples(gateway))["pillion_dropped_fields_total" + label(field="seed")] == 1


async def test_open_metrics_are_there_for_who_asks() -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "GET", "/metrics", headers=[("Accept", "application/openmetrics-text; version=1.0.0")])
    assert (got.header("content-type") or "").startswith("application/openmetrics-text")
    assert got.body.endswith(b"# EOF\n")


# --- probes ----------------------------------------------------------------------------------------------------------


async def test_it_is_ready_once_it_listens_and_alive_always() -> None:
    async with pillion() as gateway:
        statuses = {path: (await ask(gateway, "GET", path)).status for path in ("/startup", "/readiness", "/liveness")}
        assert statuses == {"/startup": 200, "/readiness": 200, "/liveness": 200}
        gateway.app.admin.ready = False
        got = await ask(gateway, "GET", "/readiness")
        assert (got.status, got.body) == (503, b"not ready\n")
        assert (await ask(gateway, "GET", "/startup")).status == 503
        assert (await ask(gateway, "GET", "/liveness")).status == 200


# --- providers -------------------------------------------------------------------------------------------------------


async def test_providers_are_listed_with_what_they_speak() -> None:
    async with pillion(OPENAI_API_KEY="canary", ANTHROPIC_API_KEY="canary") as gateway:
        got = await ask(gateway, "GET", "/v1/providers")
    rows = {row["id"]: row for row in json.loads(got.body)["data"]}
    assert list(rows) == ["openai", "anthropic", "ollama", "echo"]
    assert [row["dialects"] for row in rows.values()][:2] == [["openai_chat", "openai_responses"], ["anthropic"]]
    assert [row["offline"] for row in rows.values()] == [False, False, False, True]
    assert b"canary" not in got.body


async def test_a_providers_row_says_where_it_is_and_how_it_stands(tmp_path: Path) -> None:
    async with Evil(LISTED, FAILING) as evil:
        models = "[{name: ours, context: 9, tools: false}]"
        keys = f"base_url: {evil.url}/canary/v1, api_keys: [canary-1, canary-2]"
        config = config_file(f"providers: {{openai: {{{keys}, models: {models}}}}}", tmp_path)
        async with pillion(**config, PILLION_BREAKER_FAILURES="1") as gateway:
            await ask(gateway, "GET", "/v1/models")
            await chat(gateway, OPENAI, OPENAI.request(model="openai/gpt-6"))
            got = await ask(gateway, "GET", "/v1/providers")
    row = json.loads(got.body)["data"][0]
    assert row["host"] == evil.url.removeprefix("http://")
    assert row["keys"]["count"] == 2
    assert row["models"] == [{"id": "ours", "context": 9, "tools": False}]
    assert row["capabilities"] == {"count_tokens": False, "fetches_urls": True, "usage_in_streams": True}
    (target,) = row["targets"]
    assert (target["model"], target["state"], target["in_flight"]) == ("gpt-6", "open", 0)
    assert b"canary" not in got.body


class Checks:
    """Of one provider."""

    def __init__(self, openai: Checked | None) -> None:
        self.openai = openai

    def of(self, provider: str) -> Checked | None:
        return self.openai if provider == "openai" else None

    async def first(self) -> None: ...


@pytest.mark.parametrize(
    ("checked", "said"),
    [
        (Checked(True, 0.0421, 86400.0, ""), ("well", 42.1, "1970-01-02T00:00:00Z", None)),
        (Checked(False, 5.0, 0.0, "no answer"), ("unwell", 5000.0, "1970-01-01T00:00:00Z", "no answer")),
        (None, ("unknown", None, None, None)),
    ],
)
async def test_what_the_last_check_found_is_told(checked: Checked | None, said: tuple[object, ...]) -> None:
    async with pillion(OPENAI_API_KEY="x") as gateway:
        adapters = gateway.app.catalog.adapters
        rows = gateway.app.config.providers
        reply = await Roster(adapters, rows, (), Checks(checked), str).tell(call())
    assert isinstance(reply.body, bytes)
    openai, ollama, echo = json.loads(reply.body)["data"]
    assert tuple(openai[name] for name in ("status", "latency_ms", "checked_at", "error")) == said
    assert (ollama["status"], echo["status"]) == ("assumed", "well")


async def test_the_first_key_that_is_minted_closes_what_is_about_all_clients(tmp_path: Path) -> None:
    minted = Minted(name="ann", sha256=sha256(b"hers").hexdigest(), created=datetime.now(UTC))
    async with pillion(PILLION_STATE_DIR=str(tmp_path), PILLION_ADMIN_ADDRESS="127.0.0.1:0") as gateway:
        operators = gateway.app.addresses[1]
        for path in ("/v1/providers", "/v1/providers/echo/health"):
            assert (await ask(gateway, "GET", path)).status == 200
        change(tmp_path, lambda rows: (*rows, minted))
        gateway.app.clients._look_at = 0.0  # a second has passed
        for path in ("/v1/providers", "/v1/providers/echo/health"):
            assert (await ask(gateway, "GET", path)).status == 401
            got = await ask(gateway, "GET", path, headers=[("x-api-key", "hers")])
            assert (got.status, OPENAI.error(got.body)["code"]) == (404, "admin_listener_only")
            assert (await ask(operators, "GET", path, headers=[("x-api-key", "hers")])).status == 200


async def test_where_apps_bring_their_own_keys_each_sees_its_own_spending(tmp_path: Path) -> None:
    text = "budgets: {each: {usd: 9, client: '*', mode: lenient}}\ntransparent: echo"
    async with pillion(**config_file(text, tmp_path)) as gateway:
        one, other = [("x-api-key", "sk-theirs-0123456789")], [("x-api-key", "sk-others-0123456789")]
        for _ in range(2):
            assert (await chat(gateway, OPENAI, OPENAI.request(model="echo/text"), one)).status == 200
        for who, requests, budgets in ((one, 2, 1), (other, 0, 0)):
            usage = json.loads((await ask(gateway, "GET", "/v1/usage", headers=who)).body)
            assert usage["total"]["requests"] == requests
            standing = json.loads((await ask(gateway, "GET", "/v1/budgets", headers=who)).body)
            assert len(standing["data"]) == budgets
        got = await ask(gateway, "GET", "/v1/usage?group_by=client", headers=one)
        (row,) = json.loads(got.body)["data"]
        assert row["client"].startswith("app-")
        same = await ask(gateway, "GET", f"/v1/usage?group_by=client&client={row['client']}", headers=one)
        assert json.loads(same.body)["data"] == [row]
        got = await ask(gateway, "GET", f"/v1/usage?client={row['client']}", headers=other)
        error = OPENAI.error(got.body)
        assert (got.status, error["code"], error["param"]) == (403, "usage_not_allowed", "client")
        assert (await ask(gateway, "GET", "/v1/providers", headers=one)).status == 404


async def test_a_providers_health_is_asked_of_the_provider() -> None:
    async with Evil(LISTED, FAILING) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        well, ill = [await ask(gateway, "GET", "/v1/providers/openai/health") for _ in range(2)]
        told = await samples(gateway)
    assert (well.status, json.loads(well.body)["ok"]) == (200, True)
    assert (ill.status, json.loads(ill.body)["ok"]) == (503, False)
    assert json.loads(ill.body)["detail"] == "openai answered the request for its list of models with status 500."
    assert told["pillion_health_check_seconds_count" + label(provider="openai")] == 2


async def test_echo_is_always_well() -> None:
    async with pillion() as gateway:
        assert (await ask(gateway, "GET", "/providers/echo/health")).status == 200


@pytest.mark.parametrize("rest", ["nobody/health", "openai", "echo/wealth", "echo/health/more", "%2e%2e/health"])
async def test_what_is_no_provider_is_not_found(rest: str) -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "GET", f"/v1/providers/{rest}")
    assert (got.status, OPENAI.error(got.body)["code"]) == (404, "provider_not_found")
    assert "The providers are: ollama, echo" in OPENAI.error(got.body)["message"]


async def test_a_provider_without_a_word_of_what_about_it_is_told_where_that_is() -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "GET", "/v1/providers/echo")
    assert got.status == 404
    assert "/v1/providers/echo/health" in OPENAI.error(got.body)["message"]


# --- models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_models_are_listed_in_openais_shape(prefix: str) -> None:
    async with Evil(LISTED) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await ask(gateway, "GET", f"{prefix}/models")
    said = json.loads(got.body)
    assert (got.status, said["object"]) == (200, "list")
    assert [row["id"] for row in said["data"]][:2] == ["openai/gpt-5", "openai/gpt-6"]
    assert {row["object"] for row in said["data"]} == {"model"}


@pytest.mark.parametrize(("name", "status"), [("openai/gpt-5", 200), ("gpt-6", 200), ("openai/gpt-7", 404), ("x", 404)])
async def test_one_model_is_described_where_it_is_known(name: str, status: int) -> None:
    async with Evil(LISTED) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await ask(gateway, "GET", f"/v1/models/{name}")
    assert got.status == status
    if status == 200:
        assert (json.loads(got.body)["id"], json.loads(got.body)["object"]) == (name, "model")
    else:
        assert OPENAI.error(got.body)["code"] == "model_not_found"


@pytest.mark.parametrize("path", ["/openai/models", "/openai/v1/models"])
async def test_azures_clients_find_the_models_and_each_of_them(path: str) -> None:
    async with Evil(LISTED) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        for name in ("gpt-6", "openai/gpt-6"):
            got = await ask(gateway, "GET", f"{path}/{name}?api-version=2024-10-21", headers=[("api-key", "k")])
            assert (got.status, json.loads(got.body)["id"]) == (200, name)
        missing = await ask(gateway, "GET", f"{path}/gpt-7?api-version=2024-10-21", headers=[("api-key", "k")])
        known = json.loads((await ask(gateway, "GET", path)).body)["data"]
    assert OPENAI.error(missing.body)["code"] == "model_not_found"
    assert [row["id"] for row in known][:2] == ["openai/gpt-5", "openai/gpt-6"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"model": "echo"}, 200, "echo"),
        ({"name": "echo"}, 200, "echo"),  # as older clients of Ollama have it
        ({"model": "", "name": "echo"}, 200, "echo"),
        ({"model": "echo", "name": "other"}, 200, "echo"),
        ({}, 400, "model must be a non-empty string"),
        ({"model": 1, "name": ""}, 400, "model must be a string"),
        ({"name": 1}, 400, "name must be a string"),
    ],
)
async def test_ollamas_show_takes_a_name_under_either_key(body: dict[str, object], status: int, said: str) -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "POST", "/api/show", json.dumps(body).encode())
    told = json.loads(got.body)
    assert got.status == status
    assert said in (told["model_info"]["general.basename"] if status == 200 else told["error"])


@pytest.mark.parametrize("name", ["openai/gpt-7", "gpt-7"])
async def test_a_model_is_described_where_its_provider_has_no_list(name: str) -> None:
    """LlamaIndex's GoogleGenAI asks for the model before all else, and a chat with it would be sent on."""
    async with Evil(FAILING) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await ask(gateway, "GET", f"/v1beta/models/{name}")
    assert (got.status, json.loads(got.body)["name"]) == (200, f"models/{name}")


async def test_a_model_is_described_that_no_list_could_have() -> None:
    azure = {"AZURE_OPENAI_API_KEY": "a"}
    async with Evil(LISTED) as evil, pillion(**azure, PILLION_AZURE_BASE_URL=evil.url) as gateway:
        deployed = await ask(gateway, "GET", "/v1/models/azure/prod")
    assert deployed.status == 200
    async with pillion(AWS_BEARER_TOKEN_BEDROCK="b", AWS_REGION="us-east-1") as gateway:
        got = await ask(gateway, "GET", "/v1beta/models/bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0")
    assert (got.status, json.loads(got.body)["inputTokenLimit"]) == (200, 200_000)


async def test_the_upstreams_model_is_described_by_whatever_name_the_app_knows_it() -> None:
    swapped = {"PILLION_UPSTREAM": "openai/gpt-7"}  # which the provider does not list
    async with Evil(LISTED) as evil, pillion(**OPENAI.environ(evil.url), **swapped) as gateway:
        got = await ask(gateway, "GET", "/v1/models/claude-x")
        listed = await ask(gateway, "GET", "/v1/models")
    assert (got.status, json.loads(got.body)["id"]) == (200, "claude-x")
    assert "openai/gpt-7" in [row["id"] for row in json.loads(listed.body)["data"]]


@pytest.mark.parametrize(
    ("name", "upstream", "status"),
    [("gpt-5", "", 200), ("gpt-5", "echo", 200), ("openai/gpt-5", "echo", 200), ("echo/nothing", "", 404)],
)
async def test_what_echo_stands_in_for_is_described(name: str, upstream: str, status: int) -> None:
    """An app that looks its model up before it asks has to find it."""
    async with pillion(PILLION_UPSTREAM=upstream) as gateway:
        got = await ask(gateway, "GET", f"/v1/models/{name}")
    assert got.status == status


async def test_models_are_listed_in_anthropics_shape_to_who_speaks_it() -> None:
    async with Evil(LISTED) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await ask(gateway, "GET", "/v1/models", headers=ANTHROPIC.headers)
    said = json.loads(got.body)
    assert [row["id"] for row in said["data"]][:2] == ["openai/gpt-5", "openai/gpt-6"]
    assert said["has_more"] is False


RESTRICTED = """
providers:
  openai: {base_url: http://127.0.0.1:9/v1, api_key: k, models: [gpt-5, gpt-6]}
  groq: {base_url: http://127.0.0.1:9/v1, api_key: k, models: [llama]}
aliases: {fast: openai/gpt-5, slow: groq/llama}
routes: {mixed: {targets: [groq/llama, openai/gpt-5]}, other: {targets: [groq/llama]}}
keys:
  all: {key: all}
  one: {key: one, models: [openai/gpt-5]}
  own: {key: own, providers: [openai]}
  any: {key: any, models: ["*/gpt-*"]}
"""
EVERYTHING = ["mixed", "other", "fast", "slow", "openai/gpt-5", "openai/gpt-6", "groq/llama"]


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("all", EVERYTHING),
        ("one", ["mixed", "fast", "openai/gpt-5"]),
        ("own", ["mixed", "fast", "openai/gpt-5", "openai/gpt-6"]),
        ("any", ["mixed", "fast", "openai/gpt-5", "openai/gpt-6"]),
    ],
)
async def test_a_key_sees_the_models_that_it_may_use(key: str, names: list[str], tmp_path: Path) -> None:
    async with pillion(**config_file(RESTRICTED, tmp_path)) as gateway:
        got = await ask(gateway, "GET", "/v1/models", headers=[("x-api-key", key)])
        there = [row["id"] for row in json.loads(got.body)["data"]]
        assert [name for name in there if not name.startswith("echo/")] == names
        for name in EVERYTHING:
            got = await ask(gateway, "GET", f"/v1/models/{name}", headers=[("x-api-key", key)])
            assert got.status == (200 if name in names else 403), name
            shown = await ask(gateway, "POST", "/api/show", b'{"model":"%b"}' % name.encode(), [("x-api-key", key)])
            assert shown.status == got.status


async def test_a_404_lists_to_a_key_what_it_may_use(tmp_path: Path) -> None:
    asked = OPENAI.request(model="nobody/m")
    apart = json.dumps({"model": "m", "provider": "nobody", "messages": []}).encode()
    async with pillion(**config_file(RESTRICTED, tmp_path)) as gateway:
        for method, path, body in (
            ("POST", "/v1/chat/completions", asked),
            ("GET", "/v1/models/nobody/m", b""),
            ("POST", "/v1/explain", asked),
            ("POST", "/v1/chat", apart),
        ):
            whole, own = [await ask(gateway, method, path, body, [("x-api-key", key)]) for key in ("all", "one")]
            assert (whole.status, own.status) == (404, 404)
            assert "groq" in OPENAI.error(whole.body)["message"]
            said = OPENAI.error(own.body)["message"]
            assert "openai" in said
            assert [name for name in ("groq", "gpt-6", "slow", "other", "echo") if name in said] == []


async def test_all_names_mean_the_one_that_gets_everything(tmp_path: Path) -> None:
    text = """
providers: {openai: {base_url: http://127.0.0.1:9/v1, api_key: k, models: [gpt-5]}}
upstream: openai/gpt-5
routes: {mixed: {targets: [openai/gpt-5]}}
keys: {one: {key: one, models: [openai/gpt-5]}, two: {key: two, models: [echo/*]}}
"""
    async with pillion(**config_file(text, tmp_path)) as gateway:
        for key, count in (("one", 1), ("two", 0)):
            got = await ask(gateway, "GET", "/v1/models", headers=[("x-api-key", key)])
            names = [row["id"] for row in json.loads(got.body)["data"]]
            assert names.count("openai/gpt-5") == count
            assert "mixed" not in names
            assert bool(names) == bool(count)
