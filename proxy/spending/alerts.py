"""Who is told that a budget is nearly spent?

The log, a counter that the metrics read, and the operator's webhook, which gets a POST of JSON. Nobody waits for that:
alerts stand in a short queue, and a task that lasts only as long as the queue sends them. The webhook's URL is a
secret, so log lines name only the setting.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable

import msgspec

from proxy.budgets import Alert
from proxy.budgets.windows import SPANS, rfc3339
from proxy.config import Secret
from proxy.errors import UpstreamError
from proxy.spending.money import dollars

PAUSES = (1.0, 5.0, 25.0)  # seconds before each of the three further tries
PATIENCE = 10.0  # seconds for an answer
HELD = 100  # alerts that wait; more are lost, and counted
FAREWELL = 2.0  # seconds that the last ones have when pillion ends
LATER = frozenset({408, 425, 429})  # statuses after which it is tried again, besides 5xx

Post = Callable[[str, bytes], Awaitable[int]]  # a URL and JSON; the status of the answer
Sleep = Callable[[float], Awaitable[None]]

log = logging.getLogger("pillion")

SENTENCES = {
    "threshold": "has spent {spent} of {limit} dollars {span}",
    "exhausted": "is used up: it has spent {spent} of {limit} dollars {span}",
    "refused": "has too little left for a request: it has spent {spent} of {limit} dollars {span}",  # exhausted as well
    "overrun": "paid more for a request than was reserved for it: it has spent {spent} of {limit} dollars {span}",
}


class Alerts:
    """`tell` is what budgets call. `counts` is by kind and budget; `lost`: those that the webhook never took.

    `hurry`: once it is set, no webhook is waited for when we end.
    """

    def __init__(
        self, webhook: Secret, post: Post, sleep: Sleep = asyncio.sleep, hurry: asyncio.Event | None = None
    ) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.lost = 0
        self._webhook = webhook
        self._post = post
        self._sleep = sleep
        self._hurry = hurry or asyncio.Event()
        self._waiting: deque[Alert] = deque()
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Alerts {self.counts.total()} told, {len(self._waiting)} waiting, {self.lost} lost>"

    def become(self, webhook: Secret) -> None:
        """Tell this webhook from now on."""
        self._webhook = webhook

    def tell(self, alert: Alert) -> None:
        """Never waits, never raises."""
        self.counts[alert.kind, alert.budget] += 1
        log.warning("%s", sentence(alert), extra={"event": "budget_alert"})
        if not self._webhook:
            return
        if len(self._waiting) >= HELD:
            self._lose(alert, f"{HELD} others are waiting")
            return
        self._waiting.append(alert)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._deliver(), name="alerts")

    async def close(self) -> None:
        """What still waits has a moment, unless somebody is in a hurry; the rest is counted as lost."""
        if (task := self._task) is not None:
            hurried = asyncio.create_task(self._hurry.wait())
            await asyncio.wait({task, hurried}, timeout=FAREWELL, return_when=asyncio.FIRST_COMPLETED)
            hurried.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        while self._waiting:
            self._lose(self._waiting.popleft(), "pillion stopped")

    async def _deliver(self) -> None:
        try:
            while self._waiting:
                if problem := await self._delivered(body_of(self._waiting[0])):
                    self._lose(self._waiting[0], problem)
                self._waiting.popleft()
        finally:
            self._task = None

    async def _delivered(self, body: bytes) -> str:
        """Empty, or why not."""
        problem, passes = await self._tried(body)
        for pause in PAUSES:
            if not passes:
                break
            await self._sleep(pause)
            problem, passes = await self._tried(body)
        return problem

    async def _tried(self, body: bytes) -> tuple[str, bool]:
        """What went wrong, in words without the URL; and is it worth another try?"""
        try:
            async with asyncio.timeout(PATIENCE):
                status = await self._post(self._webhook.reveal(), body)
        except UpstreamError as error:
            return error.message, True
        except TimeoutError:
            return f"it did not answer within {PATIENCE:g} s", True
        except Exception as error:  # of any kind, as the next alert must still be sent; its text may name the URL
            return type(error).__name__, True
        return "" if 200 <= status < 300 else f"it answered with status {status}", status >= 500 or status in LATER

    def _lose(self, alert: Alert, why: str) -> None:
        self.lost += 1
        log.warning(
            "alerts.webhook: the alert of budget %s (%s) could not be delivered: %s", alert.budget, alert.kind, why,
            extra={"event": "webhook_failed"},
        )  # fmt: skip


def sentence(alert: Alert) -> str:
    whose = f" of client {alert.client}" if alert.client else ""
    kind = "refused" if alert.kind == "exhausted" and alert.spent < alert.limit else alert.kind
    said = SENTENCES[kind].format(spent=dollars(alert.spent), limit=dollars(alert.limit), span=SPANS[alert.window])
    return f"Budget {alert.budget}{whose} {said}."


def body_of(alert: Alert) -> bytes:
    """`text` is what Slack, Mattermost and Google Chat show; the rest is for programs."""
    return msgspec.json.encode(
        {
            "text": sentence(alert),
            "event": "budget_alert",
            "kind": alert.kind,
            "budget": alert.budget,
            "client": alert.client,
            "window": alert.window,
            "spent_usd": dollars(alert.spent),
            "limit_usd": dollars(alert.limit),
            "resets_at": None if alert.resets_at is None else rfc3339(alert.resets_at),
        }
    )
