"""Which models does a host refer to its Responses API, and for which requests?

OpenAI's newer models call tools only there while they think: GPT-5.4 if an effort is given, later ones always; its
Codex, pro and deep-research models have never been anywhere else. Chat Completions refuses them, and names the other
endpoint. No list of names is better than that refusal: it costs nothing, comes at once, and knows Azure deployments and
models to come. It is remembered for an hour. https://developers.openai.com/api/docs/guides/latest-model
"""

import re
import time
from collections.abc import Sequence

from proxy.errors import UpstreamError
from proxy.ports import Call, Target

CHAT, RESPONSES = "openai_chat", "openai_responses"
LIFE = 3600.0  # seconds
REMEMBERED = 256  # models; clients choose their names

_TOOLS = ("tools", "functions", "toolConfig")
_is_named = re.compile(r"\bchat/completions\b").search
_is_refused = re.compile(r"\b(?:not|only) (?:supported|accessible)\b").search


class Elsewhere:
    """The models that hosts have referred to their Responses API in the last hour."""

    def __init__(self) -> None:
        self.met: dict[tuple[str, str, bool], float] = {}  # until when, by provider, model, and whether only with tools

    def left(self, taken: Sequence[str], call: Call, target: Target) -> Sequence[str]:
        """The dialects in which this request may be sent, among those that the provider takes."""
        provider, model, now = target.adapter.name, target.model, time.monotonic()
        always = self.met.get((provider, model, False), 0.0) > now
        with_tools = self.met.get((provider, model, True), 0.0) > now
        return _others(taken) if always or (with_tools and _has_tools(call)) else taken

    def heard(self, error: UpstreamError, taken: Sequence[str], call: Call, target: Target) -> Sequence[str]:
        """The dialects left where this error refers to another endpoint, which is remembered; else none."""
        if call.wire != CHAT or RESPONSES not in taken or not _sends_on(error):
            return ()
        if len(self.met) >= REMEMBERED:
            self.met.clear()
        is_for_tools = error.upstream_status == 400 and _has_tools(call)
        self.met[target.adapter.name, target.model, is_for_tools] = time.monotonic() + LIFE
        return _others(taken)


def _others(taken: Sequence[str]) -> Sequence[str]:
    return [dialect for dialect in taken if dialect != CHAT] or taken  # the provider may take fewer by now


def _has_tools(call: Call) -> bool:
    return not call.envelope.lacks(_TOOLS)


def _sends_on(error: UpstreamError) -> bool:
    """Is it about the endpoint as such, and not only about a field of the request?"""
    if error.upstream_status not in (400, 404):
        return False
    return _is_named(error.message) is not None and _is_refused(error.message) is not None
