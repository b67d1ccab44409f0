"""Which models has a host sent on to its Responses API, and with what?

OpenAI's newer models call tools there alone, and think beside it: GPT-5.4 with an effort, later ones whatever the
request says; its Codex, pro and deep-research models have never been anywhere else. Chat Completions refuses them, and
names the other endpoint. No list of names says it better than that refusal: it costs nothing, comes at once, and knows
the deployments of an Azure and the models to come. It is believed for an hour.
https://developers.openai.com/api/docs/guides/latest-model
"""

import re
import time
from collections.abc import Sequence

from proxy.errors import UpstreamError
from proxy.ports import Call, Target

HERE, ELSEWHERE = "openai_chat", "openai_responses"
LIFE = 3600.0  # seconds
REMEMBERED = 256  # models; clients choose their names

_TOOLS = ("tools", "functions", "toolConfig")
_is_named = re.compile(r"\bchat/completions\b").search
_is_refused = re.compile(r"\b(?:not|only) (?:supported|accessible)\b").search


class Elsewhere:
    def __init__(self) -> None:
        self.met: dict[tuple[str, str, bool], float] = {}  # until when, by provider, model, and whether tools do it

    def left(self, taken: Sequence[str], call: Call, target: Target) -> Sequence[str]:
        """The dialects in which this may be asked, of those that the provider takes."""
        place, now = (target.adapter.name, target.model), time.monotonic()
        if self.met.get((*place, False), 0.0) <= now and not (
            self.met.get((*place, True), 0.0) > now and _has_tools(call)
        ):
            return taken
        return _others(taken)

    def heard(self, error: UpstreamError, taken: Sequence[str], call: Call, target: Target) -> Sequence[str]:
        """Those that are left where this sends it on, which is noted; none where it does not."""
        if call.wire != HERE or ELSEWHERE not in taken or not _sends_on(error):
            return ()
        if len(self.met) >= REMEMBERED:
            self.met.clear()
        is_for_tools = error.upstream_status == 400 and _has_tools(call)
        self.met[target.adapter.name, target.model, is_for_tools] = time.monotonic() + LIFE
        return _others(taken)


def _others(taken: Sequence[str]) -> Sequence[str]:
    return [dialect for dialect in taken if dialect != HERE] or taken  # which may have shrunk since


def _has_tools(call: Call) -> bool:
    return not call.envelope.lacks(_TOOLS)


def _sends_on(error: UpstreamError) -> bool:
    """It says of the endpoint, and not of a word of the request alone, that this is not for it."""
    if error.upstream_status not in (400, 404):
        return False
    return _is_named(error.message) is not None and _is_refused(error.message) is not None
