"""How is Ollama reached, and what if it is not running, or lacks the model?

Its base URL is a bare host; a key is sent if there is one (ollama.com). The provider's `body` may add what a request
does not say: {keep_alive: 10m, options: {num_ctx: 8192, num_predict: 1024}}. https://docs.ollama.com/api

If nobody configured one, an instance at 127.0.0.1 is assumed. A request that names it reaches it; for bare model names
it counts once it has answered. Its list is fetched when a name comes that no other provider claims, with a short
timeout. If it does not answer, no request waits for it again: it is tried in the background now and then.

A model that it lacks is a 404 that says what to do, or is pulled if `pull: true`: once, however many wait for it. Only
models that the row names (`model`, `models`) are pulled: clients must neither choose the source nor fill the disk.
"""

import asyncio
import logging
import time
from contextlib import suppress

import msgspec

from proxy.adapters.http import HTTPProvider
from proxy.adapters.keys import Key
from proxy.config import Provider
from proxy.errors import Refused, Timeout, UpstreamError
from proxy.framing import FrameTooLong, NewlineDelimited
from proxy.grammar.fields import UNREADABLE, Object, as_object, as_text, decode_json, dump, is_number, object_in
from proxy.grammar.statuses import says_no_more
from proxy.ports import Answer, Headers, Outgoing
from proxy.upstream import Upstream

ASSUMED_TIMEOUT = 0.5  # seconds for the list of an assumed instance
PULL_TIME = 3600.0  # seconds that a pull may take
PULL_TOLD = 5.0  # seconds between log lines about its progress
ERROR_LIMIT = 64 * 1024  # bytes of an error that are read

log = logging.getLogger("pillion")


class _Named(msgspec.Struct):
    name: str


class _ModelList(msgspec.Struct):
    models: list[_Named] | None = None


class Ollama(HTTPProvider):
    paths = {"ollama": "/api/chat"}  # noqa: RUF012  the base declares it a ClassVar
    models_path = "/api/tags"

    def __init__(self, config: Provider, upstream: Upstream) -> None:
        super().__init__(config, upstream)
        self._looking: asyncio.Task[None] | None = None
        self._pulls: dict[str, asyncio.Task[str]] = {}  # under way, by model

    def credentials(self, key: str) -> Headers:
        return [("authorization", f"Bearer {key}")] if key else []

    def target(self, outgoing: Outgoing) -> str:
        target = super().target(outgoing)
        return target.replace("/api/chat", "/api/generate", 1) if outgoing.operation == "generate" else target

    def ids_in(self, body: bytes) -> list[str]:
        return [row.name for row in msgspec.json.decode(body, type=_ModelList).models or ()]

    def has(self, model: str) -> bool:
        """A name without a tag means the latest."""
        return super().has(model) or super().has(_tagged(model))

    # --- an assumed instance ---

    async def models(self, via: str = "") -> list[str]:
        if self._config.assumed and self._listed.error is not None and not self._listed.ids:
            self._look_again()
            self._listed.raise_error()
        return await super().models(via)

    def _look_again(self) -> None:
        """It may have been started since."""
        if self._looking is None and self._listed.is_old:
            self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        try:
            with suppress(UpstreamError, RuntimeError):  # it is still not running, or we have shut down meanwhile
                await super().models()
        finally:
            self._looking = None

    async def _ask_models(self, via: str = "", key: Key | None = None) -> list[str]:
        if not self._config.assumed:
            return await super()._ask_models(via, key)
        try:
            async with asyncio.timeout(ASSUMED_TIMEOUT):
                return await super()._ask_models(via, key)
        except TimeoutError:
            raise Timeout(f"{self.name} did not list its models within {ASSUMED_TIMEOUT:g} s.") from None

    # --- a missing model ---

    async def send(self, outgoing: Outgoing) -> Answer:
        answer = await super().send(outgoing)
        if answer.status != 404:
            return answer
        message, is_ollamas = await _reason(answer)
        if not (message and is_ollamas):  # another server, or an unknown path
            raise self._strange(message)
        if not self._may_pull(outgoing.model):
            ours = "; pillion does so itself for those in the provider's `models`" if self._config.pull else ""
            raise self._missing(f"{message.rstrip('.')}: `ollama pull {outgoing.model}` fetches it{ours}.")
        if failed := await self._pulled(outgoing):
            raise self._missing(f"{message.rstrip('.')}; pulling it failed: {failed}")
        return await super().send(outgoing)

    def _strange(self, message: str) -> Refused:
        if says_no_more(404, message, ""):
            message = f"{self.name} answered with status 404 and no reason: check base_url."
        return Refused(self.hide(message), status=404, provider=self.name, upstream_status=404)

    def _missing(self, message: str) -> Refused:
        return Refused(self.hide(message), status=404, code="model_not_found", provider=self.name, upstream_status=404)

    def _may_pull(self, model: str) -> bool:
        named = filter(None, (self._config.model, *self._config.models))
        return self._config.pull and _tagged(model) in map(_tagged, named)

    async def _pulled(self, outgoing: Outgoing) -> str:
        """Wait until the model is pulled, and return why that failed, or "". Raises Timeout at the client's timeout.

        A client that leaves does not end the pull: the next one may find the model there.
        """
        model = outgoing.model
        if model not in self._pulls:
            self._pulls[model] = asyncio.create_task(self._pull(model))
            self._pulls[model].add_done_callback(lambda _: self._pulls.pop(model))
        try:
            async with asyncio.timeout(outgoing.timeout):  # wait_for, up to Python 3.11, may lose a cancellation
                return await asyncio.shield(self._pulls[model])
        except TimeoutError:
            raise Timeout(f"{model} is still being pulled.", code="pull_timeout", provider=self.name) from None

    async def _pull(self, model: str) -> str:
        log.info("%s is pulling %s", self.name, model)
        body = dump({"model": model})
        # Not `stream`: verifying a large model is silent for longer than its timers allow, so only the total is timed.
        order = Outgoing("ollama", model, body, stream=False, headers=[], query="", timeout=PULL_TIME)
        try:
            answer = await self.post(order, "/api/pull", body)
            failed = await self._follow(answer, model)
        except UpstreamError as error:
            failed = error.message
        failed = self._one_line(failed)
        log.log(logging.WARNING if failed else logging.INFO, "%s pulled %s: %s", self.name, model, failed or "done")
        return failed

    def _one_line(self, text: str) -> str:
        return self.hide(" ".join(text.split()))

    async def _follow(self, answer: Answer, model: str) -> str:
        """Read the progress to its end, and return why the pull failed, or "". Raises UpstreamError."""
        if answer.status != 200:
            message, _ = await _reason(answer)
            return message or f"the provider answered with status {answer.status} and no reason."
        lines, told = NewlineDelimited(), time.monotonic()
        try:
            while chunk := await answer.chunk():
                for step in (as_object(decode_json(line)) for line in lines.feed(chunk)):
                    if step.get("status") == "success" or "error" in step:
                        return as_text(step.get("error"))
                    if time.monotonic() >= told + PULL_TOLD:
                        told = time.monotonic()
                        log.info("%s is pulling %s: %s", self.name, model, self._one_line(_progress(step)))
        except (*UNREADABLE, FrameTooLong):
            return "its progress report could not be read."
        finally:
            answer.abort()
        return "it ended early."


def _tagged(model: str) -> str:
    """The full name, [[HOST/]NAMESPACE/]MODEL:TAG."""
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


async def _reason(answer: Answer) -> tuple[str, bool]:
    """What an error says, and is it Ollama's, a plain sentence? Its dialect would know too, but is large."""
    error = object_in(await _read(answer)).get("error")
    return as_text(error) or as_text(as_object(error).get("message")), isinstance(error, str)


async def _read(answer: Answer) -> bytes:
    """An error; empty where it is cut, or too long."""
    try:
        return await answer.read(ERROR_LIMIT)
    except UpstreamError:
        return b""
    finally:
        answer.abort()


def _progress(step: Object) -> str:
    status, done, total = as_text(step.get("status")), step.get("completed"), step.get("total")
    return f"{status}, {done / total:.0%}" if is_number(done) and is_number(total) and total > 0 else status
