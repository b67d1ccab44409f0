"""Does whoever must know of a budget hear of it, and nobody wait for that?"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.budgets import Alert
from proxy.config import Secret
from proxy.errors import Down
from proxy.spending import alerts
from proxy.spending.alerts import Alerts
from proxy.spending.money import NANOS
from tests.client import OPENAI, chat
from tests.evil import Evil, Scenario
from tests.gateway import config_file, pillion

URL = "https://hooks.example.com/services/T0/kept-very-secret?token=also-kept"
NEARLY = Alert("threshold", "team", "ci", "day", 8 * NANOS, 10 * NANOS, 1_792_108_800.0)

Answer = int | Exception


class Webhook:
    """Answers in turn, the last one for ever; and how long was slept between."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.got: list[tuple[str, bytes]] = []
        self.slept: list[float] = []

    async def post(self, url: str, body: bytes) -> int:
        self.got.append((url, body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def alerts(self) -> Alerts:
        return Alerts(Secret(URL), self.post, self.sleep)


def made(webhook: str, post: Callable[[str, bytes], Awaitable[int]]) -> Alerts:
    return Alerts(Secret(webhook), post)


@pytest.mark.parametrize(
    ("alert", "line"),
    [
        (NEARLY, "Budget team of client ci has spent 8 of 10 dollars today."),
        (
            Alert("exhausted", "all", "", "month", 11, 11),
            "Budget all is used up: it has spent 0.000000011 of 0.000000011 dollars this month.",
        ),
        (
            Alert("exhausted", "all", "", "month", 10, 11),
            "Budget all has too little left for a request: it has spent 0.00000001 of 0.000000011 dollars this month.",
        ),
        (
            Alert("overrun", "all", "", "total", 2 * NANOS, NANOS),
            "Budget all paid more for a request than was reserved for it: it has spent 2 of 1 dollars in total.",
        ),
    ],
)
def test_the_log_and_the_counter_hear_of_it(alert: Alert, line: str, caplog: pytest.LogCaptureFixture) -> None:
    told = made("", Webhook(200).post)
    told.tell(alert)
    told.tell(alert)
    assert [
        (record.name, record.levelname, record.getMessage(), vars(record)["event"]) for record in caplog.records
    ] == [("pillion", "WARNING", line, "budget_alert")] * 2
    assert told.counts == {(alert.kind, alert.budget): 2}


async def test_the_webhook_gets_it_in_words_and_in_figures() -> None:
    webhook = Webhook(204)
    told = webhook.alerts()
    told.tell(NEARLY)
    told.tell(Alert("exhausted", "all", "", "total", NANOS, NANOS))
    assert webhook.got == []  # nobody has waited
    await told.close()
    assert [url for url, _ in webhook.got] == [URL] * 2
    first, second = (json.loads(body) for _, body in webhook.got)
    assert first == {
        "text": "Budget team of client ci has spent 8 of 10 dollars today.",
        "event": "budget_alert",
        "kind": "threshold",
        "budget": "team",
        "client": "ci",
        "window": "day",
        "spent_usd": "8",
        "limit_usd": "10",
        "resets_at": "2026-10-16T00:00:00Z",
    }
    assert (second["kind"], second["resets_at"]) == ("exhausted", None)
    assert (told.lost, webhook.slept) == (0, [])


@pytest.mark.parametrize(
    ("answers", "times", "lost", "why"),
    [
        ([503, 429, 200], 3, 0, None),
        ([Down("No."), OSError(URL), TimeoutError(), 200], 4, 0, None),
        ([500], 4, 1, "it answered with status 500"),
        ([Down("The webhook cannot be reached.", detail=URL)], 4, 1, "The webhook cannot be reached."),
        ([TimeoutError(URL)], 4, 1, "it did not answer within 10 s"),
        ([ValueError(URL)], 4, 1, "ValueError"),
        ([404], 1, 1, "it answered with status 404"),
        ([302], 1, 1, "it answered with status 302"),
    ],
)
async def test_it_is_tried_again_three_times_and_nothing_tells_the_url(
    answers: list[Answer], times: int, lost: int, why: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    webhook = Webhook(*answers)
    told = webhook.alerts()
    told.tell(NEARLY)
    await told.close()
    assert (len(webhook.got), told.lost) == (times, lost)
    assert webhook.slept == [1, 5, 25][: times - 1]
    problems = [record.getMessage() for record in caplog.records if vars(record)["event"] == "webhook_failed"]
    assert problems == (
        [f"alerts.webhook: the alert of budget team (threshold) could not be delivered: {why}"] if why else []
    )
    for hidden in ("kept", "hooks.example.com"):
        assert hidden not in caplog.text + repr(told)


async def test_a_budget_that_is_used_up_is_told_to_the_operators_webhook(tmp_path: Path) -> None:
    """From a request to the webhook, over the connections that pillion makes."""
    text = "budgets: {all: {usd: 0.00001, mode: lenient}}\nprices: {openai/m: {input: 1, output: 3}}\n"
    whole = Scenario(body=OPENAI.whole, headers=[("content-type", "application/json")])
    async with Evil(Scenario(status=204), Scenario(status=204)) as hook, Evil(whole) as evil:
        environ = config_file(text + f"alerts: {{webhook: '{hook.url}/hook?key=k'}}", tmp_path)
        async with pillion(**environ, **OPENAI.environ(evil.url)) as gateway:
            assert (await chat(gateway, OPENAI, OPENAI.request(model="openai/m"))).status == 200
            await hook.received(2)
    assert {(asked.method, asked.target) for asked in hook.requests} == {("POST", "/hook?key=k")}
    said = [json.loads(asked.body) for asked in hook.requests]
    assert [(one["budget"], one["kind"]) for one in said] == [("all", "threshold"), ("all", "exhausted")]


async def test_one_that_fails_does_not_keep_the_next_from_being_told() -> None:
    webhook = Webhook(400, 200)
    told = webhook.alerts()
    told.tell(NEARLY)
    told.tell(NEARLY)
    await told.close()
    assert (len(webhook.got), told.lost) == (2, 1)
    told.tell(NEARLY)  # and one that comes later is told as well
    await told.close()
    assert len(webhook.got) == 3


async def test_a_webhook_that_never_answers_holds_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alerts, "FAREWELL", 0.01)
    monkeypatch.setattr(alerts, "HELD", 5)
    never = asyncio.Event()

    async def post(_url: str, _body: bytes) -> int:
        await never.wait()
        return 200

    told = made(URL, post)
    for _ in range(8):
        told.tell(NEARLY)
    assert (told.counts.total(), told.lost) == (8, 3)
    assert repr(told) == "<Alerts 8 told, 5 waiting, 3 lost>"
    await told.close()
    assert told.lost == 8
    assert "5 others are waiting" in caplog.text
    assert "pillion stopped" in caplog.text


@pytest.mark.parametrize("before", [True, False], ids=["before", "meanwhile"])
async def test_who_is_in_a_hurry_waits_for_no_webhook(before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "FAREWELL", 3600.0)
    never, hurry = asyncio.Event(), asyncio.Event()

    async def post(_url: str, _body: bytes) -> int:
        await never.wait()
        return 200

    told = Alerts(Secret(URL), post, hurry=hurry)
    told.tell(NEARLY)
    if before:
        hurry.set()
    closing = asyncio.create_task(told.close())
    for _ in range(3):
        await asyncio.sleep(0)
    hurry.set()
    async with asyncio.timeout(10):
        await closing
    assert told.lost == 1


async def test_a_webhook_that_is_too_slow_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "PATIENCE", 0.001)
    never = asyncio.Event()
    webhook = Webhook(200)

    async def post(url: str, body: bytes) -> int:
        if await webhook.post(url, body) and len(webhook.got) < 3:
            await never.wait()
        return 200

    told = Alerts(Secret(URL), post, webhook.sleep)
    told.tell(NEARLY)
    await told.close()
    assert (len(webhook.got), told.lost) == (3, 0)


async def test_without_a_webhook_there_is_no_task(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "pillion")
    before = asyncio.all_tasks()
    told = made("", Webhook(200).post)
    told.tell(NEARLY)
    assert asyncio.all_tasks() == before
    await told.close()
