"""Does every provider get all that a client asked, in the vendor's own words?

Figure (c). Every recorded request is sent as its client's, and encoded for every provider. Right is: what goes upstream
is valid by the vendor's own types, and each leaf of the request stands in it, or the receipt names it; or the client
is told by a 400 that names the field, or by a 501 that the whole body is one vendor's own. A text that vanishes is the
worst there is.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import cache

from tests.conformance.leaves import Held, Leaf, leaves
from tests.conformance.readings import READERS
from tests.conformance.report import Finding, Verdict
from tests.conformance.scene import Scene, is_answer, is_live, played, rows_of
from tests.conformance.sending import Outcome, Request, request_of, send
from tests.conformance.told import CLAUDES, Json, Wire
from tests.conformance.vendor import invalid
from tests.evil import Scenario


async def judge(scene: Scene, client: Wire, provider: Wire, asked: Sequence[Request]) -> AsyncIterator[Finding]:
    plays = canned(provider)
    for request in asked:
        outcome = await send(scene, client, provider, request, plays[request.stream])
        verdict, why = judged(client, provider, request, outcome)
        yield Finding("requests", client, provider, request.id, verdict, why)


@cache
def requests(wire: Wire) -> list[Request]:
    """The recorded requests of a wire, each once."""
    found: dict[str, Request] = {}
    for row in rows_of(wire):
        if isinstance(row["request_json"], dict) and row["request_json"]:
            found.setdefault(json.dumps(row["request_json"], sort_keys=True), request_of(row))
    return list(found.values())


@cache
def canned(wire: Wire) -> dict[bool, Scenario]:
    """An answer to a request that wants a stream, and one to a request that wants none."""
    rows = [row for row in rows_of(wire) if is_answer(row) and READERS[wire](row).text]
    rows = [row for row in rows if not READERS[wire](row).apart]
    return {live: played(next(row for row in rows if is_live(row) is live)) for live in (False, True)}


def judged(client: Wire, provider: Wire, request: Request, outcome: Outcome) -> tuple[Verdict, str]:
    if outcome.status == 400 and outcome.received is None:
        named = names_a_field(request.body, outcome.message)
        return ("refused" if named else "failed"), outcome.message[:400]
    if outcome.status == 501 and outcome.received is None and client.startswith("bedrock_"):
        return ("refused" if "Only Bedrock accepts this body" in outcome.message else "failed"), outcome.message[:400]
    if outcome.received is None or outcome.status != 200:
        return "failed", f"{outcome.status} {outcome.message[:400]}"
    wrong = [f"invalid: {line}" for line in _invalid(client, provider, request, outcome.received)]
    wrong += [f"silently gone: {leaf}" for leaf in gone(request.body, outcome)]
    wrong += unlinked(outcome.received) if not unlinked(request.body) else []
    wrong += foreign_base64(outcome.received) if provider not in ("gemini", client) else []
    return ("failed", "; ".join(wrong[:6])) if wrong else ("ok", "")


def _invalid(client: Wire, provider: Wire, request: Request, received: Json) -> list[str]:
    """What a client says wrong in its vendor's words goes on to that vendor."""
    if client == provider:
        return []
    own = invalid(client, request.body, request.stream) if {client, provider} <= CLAUDES else []
    return [line for line in invalid(provider, received, request.stream) if line not in own]


def names_a_field(body: Json, message: str) -> bool:
    """Does the error say which field it is about?"""
    return any(re.search(rf"\b{re.escape(key)}\b", message) for key in body)


# --- what is gone ----------------------------------------------------------------------------------------------------

# How each wire has it to spell, and what is checked by the types: which kind of thing, whose turn, which id.
_STRUCTURE = set(
    "type role object status model modelid id callid toolcallid tooluseid index stream streamoptions format"
    " mimetype mediatype itemid phase willcontinue thought iserror anthropicversion".split()
)
# A provider's seals go to no other provider.
_SEALS = set("signature encryptedcontent thoughtsignature redactedcontent".split())
# What changes nothing where it is not said: the vendors' own defaults.
_DEFAULTS: dict[str, list[object]] = {
    "n": [1],
    "candidatecount": [1],
    "frequencypenalty": [0],
    "presencepenalty": [0],
    "store": [False],
    "strict": [False],
    "toolchoice": ["auto"],
    "functioncall": ["auto"],
    "mode": ["AUTO"],
    "paralleltoolcalls": [True],
    "disableparalleltooluse": [False],
    "responsemodalities": ["TEXT"],
    "responsemimetype": ["text/plain"],
    "servicetier": ["auto", "default"],
    "truncation": ["disabled"],
    "detail": ["auto"],
    "include": ["reasoning.encrypted_content"],  # pillion asks for it itself
    "includethoughts": [False],
    "logprobs": [False],
}
# Knobs that one wire turns in steps, and another by a number: that there is one of them is enough.
_TURNED = {
    "thinking": "thinking thinkingconfig reasoning reasoningeffort effort budgettokens think thinkinglevel"
    " thinkingbudget reasoningconfig enablethinking reasoningformat clearthinking".split(),
    "choice": "toolchoice functioncall functioncallingconfig toolconfig".split(),
    "logprobs": "logprobs toplogprobs responselogprobs include".split(),
    "shape": "responseformat textformat outputconfig outputformat responseschema responsejsonschema responsemimetype"
    " format jsonschema".split(),
}
# Words for one thing: the receipt may name it as the client does, or as pillion does.
_ALIKE = [
    [*_TURNED["thinking"], *"reasoningcontent reasoningdetails reasoningtext summary reasoningbudget".split()],
    [*"reasoningsummary includethoughts".split()],
    [*_TURNED["choice"], "mode"],
    _TURNED["shape"],
    "paralleltools paralleltoolcalls disableparalleltooluse".split(),
    "stop stopsequences".split(),
    "maxtokens maxcompletiontokens maxoutputtokens numpredict".split(),
    _TURNED["logprobs"],
    "filename name title".split(),
    "user userid".split(),
    "modalities responsemodalities".split(),
    "metadata labels requestmetadata".split(),
    "cachecontrol cachepoint cache".split(),
    "topk k".split(),
    "strict stricttools".split(),
]
# Without tools there is nothing to choose among.
_IMPLIED = {"tools": ["toolchoice"]}
_POINTS = {"cachecontrol", "cachepoint"}  # Claude's two spellings of a cache point
_CONTENT = set("messages input contents system systeminstruction instructions documents tools functions prompt".split())


def gone(body: Json, outcome: Outcome) -> Iterator[Leaf]:
    """The leaves that neither the upstream's body has nor the receipt."""
    held = Held(outcome.received)
    points = any(not _POINTS.isdisjoint(map(plain, leaf.path)) for leaf in held.leaves)
    turned = {knob for leaf in held.leaves if plain(leaf.path[0]) not in _CONTENT for knob in _knobs(leaf)}
    for leaf in leaves(body):
        last = plain(leaf.path[-1])
        if last in _STRUCTURE | _SEALS or plain(leaf.path[0]) in _STRUCTURE or leaf.value in _DEFAULTS.get(last, ()):
            continue
        if points and "promptcachebreakpoint" in map(plain, leaf.path):
            continue
        if held.has(leaf.value) or receipted(leaf, outcome.dropped):
            continue
        if plain(leaf.path[0]) in _CONTENT or not _knobs(leaf) & turned:
            yield leaf


def plain(key: str) -> str:
    """The vendors write camelCase or snake_case, and Google's SDKs both."""
    return key.replace("_", "").lower()


def _knobs(leaf: Leaf) -> set[str]:
    steps = set(map(plain, leaf.path))
    return {knob for knob, words in _TURNED.items() if not steps.isdisjoint(words)}


def receipted(leaf: Leaf, dropped: Sequence[str]) -> bool:
    """A name in the receipt stands for all that is below it: its last word must be on the leaf's way."""
    steps = set(map(plain, leaf.path))
    for name in dropped:
        word = plain(re.findall(r"\w+", re.sub(r"\[\d*\]", "", name))[-1])
        alike = [word, *_IMPLIED.get(word, ()), *(other for words in _ALIKE if word in words for other in words)]
        if not steps.isdisjoint(alike) or ("thinking" in steps and re.search("thinking|thought|reason", name)):
            return True
    return False


def foreign_base64(body: Json) -> Iterator[str]:
    """Google's SDK writes base64 for URLs, and takes both; nobody else does."""
    for leaf in leaves(body):
        text = str(leaf.value)
        is_data = leaf.path[-1] in ("data", "bytes", "url", "file_data", "images") and "thinking" not in leaf.path
        if is_data and re.fullmatch(r"[\w-]{64,}=*", text) and re.search(r"[_-]", text):
            yield f"URL-safe base64: {leaf}"


# --- calls and their results -----------------------------------------------------------------------------------------


def unlinked(body: Json) -> list[str]:
    """Results that no call in the same body has asked for, by their ids."""
    calls, results = set(), set()
    for node in nodes(body):
        kind = node.get("type")
        if "toolUse" in node:
            calls.add(node["toolUse"].get("toolUseId"))
        elif "toolResult" in node:
            results.add(node["toolResult"].get("toolUseId"))
        elif kind in ("function_call", "custom_tool_call"):
            calls.add(node.get("call_id"))
        elif kind in ("function_call_output", "custom_tool_call_output"):
            results.add(node.get("call_id"))
        elif kind == "tool_result":
            results.add(node.get("tool_use_id"))
        elif node.get("role") == "tool" and "tool_call_id" in node:
            results.add(node["tool_call_id"])
        elif kind == "tool_use" or "function" in node or "custom" in node:
            calls.add(node.get("id"))
    return [f"a result without its call: {name}" for name in sorted(results - calls, key=str)]


def nodes(value: object) -> Iterator[Json]:
    """Every object in a body."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)
