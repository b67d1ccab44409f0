"""Does pillion tell the truth about itself and its providers?"""

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.client import ANTHROPIC, OPENAI, SPEECHES, Address, Speech, ask, chat, lane_name
from tests.evil import Evil, Scenario
from tests.gateway import pillion

LISTED = Scenario(body=b'{"object":"list","data":[{"id":"gpt-5"},{"id":"gpt-6"}]}')
FAILING = Scenario(status=500, body=b"no")


async def samples(gateway: Address) -> dict[str, float]:
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


async def test_a_providers_health_is_asked_of_the_provider() -> None:
    async with Evil(LISTED, FAILING) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        well, ill = [await ask(gateway, "GET", "/v1/providers/openai/health") for _ in range(2)]
        told = await samples(gateway)
    assert (well.status, json.loads(well.body)["ok"]) == (200, True)
    assert (ill.status, json.loads(ill.body)["ok"]) == (503, False)
    assert json.loads(ill.body)["detail"] == "openai answered 500 for its model list."
    assert told["pillion_health_check_seconds_count" + label(provider="openai")] == 2


async def test_echo_is_always_well() -> None:
    async with pillion() as gateway:
        assert (await ask(gateway, "GET", "/providers/echo/health")).status == 200


@pytest.mark.parametrize("rest", ["nobody/health", "openai", "echo/wealth", "echo/health/more", "%2e%2e/health"])
async def test_what_is_no_provider_is_not_found(rest: str) -> None:
    async with pillion() as gateway:
        got = await ask(gateway, "GET", f"/v1/providers/{rest}")
    assert (got.status, OPENAI.error(got.body)["code"]) == (404, "provider_not_found")
    assert "there are ollama, echo" in OPENAI.error(got.body)["message"]


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


async def test_models_are_listed_in_anthropics_shape_to_who_speaks_it() -> None:
    async with Evil(LISTED) as evil, pillion(**OPENAI.environ(evil.url)) as gateway:
        got = await ask(gateway, "GET", "/v1/models", headers=ANTHROPIC.headers)
    said = json.loads(got.body)
    assert [row["id"] for row in said["data"]][:2] == ["openai/gpt-5", "openai/gpt-6"]
    assert said["has_more"] is False
