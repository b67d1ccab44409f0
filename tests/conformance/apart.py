"""What can one wire ask that others cannot, and is it ever left out in silence?

Figure (d). Server tools, state at a provider, sound, several answers, and whatever else is one vendor's own: as it was
recorded, and as apart.yaml has it. Each is carried (its marks stand in what goes upstream, or another vendor's word for
the same), or refused by a 400 that names the field, or named in the receipt.
"""

import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import msgspec

from tests.conformance.asked import canned, judged, nodes, plain, receipted, requests
from tests.conformance.leaves import leaves
from tests.conformance.report import Finding, Verdict
from tests.conformance.scene import Scene, is_native
from tests.conformance.sending import Outcome, Request, send
from tests.conformance.told import Json, Wire


class Feature(msgspec.Struct, frozen=True):
    """`marks`: patterns, of which one in the upstream's body, as `bare` has it, says that this was carried."""

    name: str
    field: str
    marks: list[str]
    asks: Json


@cache
def made() -> Mapping[Wire, list[Feature]]:
    text = (Path(__file__).parent / "apart.yaml").read_bytes()
    return msgspec.yaml.decode(text, type=dict[Wire, list[Feature]])


Case = tuple[Request, list[Feature]]

_MADE = "made: "  # so begin the names of cases that nobody recorded


async def judge(scene: Scene, client: Wire, provider: Wire, cases: Iterable[Case]) -> AsyncIterator[Finding]:
    plays = canned(provider)
    for request, features in cases:
        outcome = await send(scene, client, provider, request, plays[request.stream])
        verdict, why = _judged(client, provider, request, features, outcome)
        yield Finding("cannot cross", client, provider, request.id, verdict, why)


@cache
def cases(client: Wire) -> list[Case]:
    """What was made by hand, and what was recorded."""
    hand = [
        (Request(f"{_MADE}{each.name}", _PLAIN[client] | each.asks, stream=False), [each])
        for each in made().get(client, ())
    ]
    recorded = [(each, features_of(client, each.body)) for each in requests(client)]
    return [*hand, *(case for case in recorded if case[1])]


def _judged(
    client: Wire, provider: Wire, request: Request, features: Sequence[Feature], outcome: Outcome
) -> tuple[Verdict, str]:
    verdict, why = judged(client, provider, request, outcome)
    if verdict == "refused" and request.id.startswith(_MADE) and not re.search(rf"\b(?:{features[0].field})\b", why):
        return "failed", f"{features[0].field} is not named: {why}"
    if outcome.received is None or client == provider:
        return verdict, why
    silent = [each.name for each in features if not _carried(each, outcome) and not _named(each, outcome)]
    if silent:
        return "failed", f"silently gone: {', '.join(silent)}; {why}"
    return ("ok", "") if request.id.startswith(_MADE) and "invalid" not in why else (verdict, why)


def _carried(feature: Feature, outcome: Outcome) -> bool:
    body = bare(json.dumps(outcome.received, ensure_ascii=False))
    return any(re.search(mark, body) for mark in feature.marks)


def _named(feature: Feature, outcome: Outcome) -> bool:
    return any(receipted(leaf, outcome.dropped) for leaf in leaves(feature.asks))


def bare(text: str) -> str:
    return re.sub(r'[\s"_:-]', "", text).lower()


# --- as recorded -----------------------------------------------------------------------------------------------------

_PLAIN: Mapping[Wire, Json] = {
    "openai_chat": {"messages": [{"role": "user", "content": "Hi"}]},
    "openai_responses": {"input": "Hi"},
    "anthropic": {"max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
    "bedrock": {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]},
    "bedrock_invoke": {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Hi"}],
    },
    "ollama": {"messages": [{"role": "user", "content": "Hi"}]},
    "ollama_generate": {"prompt": "Hi"},
    "cohere": {"messages": [{"role": "user", "content": "Hi"}]},
}

# Fields at the top that no other vendor has.
_FIELDS = (
    "previous_response_id conversation prompt background context_management container mcp_servers web_search_options"
    " modalities cachedContent guardrailConfig promptVariables".split()
)
_PLAIN_TOOLS = {"function", "custom", None}
_SERVED = re.compile(
    r"server_tool_use|.+_tool_result$|mcp_|compaction|(?:search|interpreter|computer|shell|generation)_call(?:_output)?$"
    r"|tool_search|item_reference|container_upload|executableCode|codeExecutionResult"
)
# One vendor's word for what another has as well.
_SAME = {"websearch": ["websearch", "googlesearch"], "codeexecution": ["codeexecution", "codeinterpreter"]}


def features_of(client: Wire, body: Json) -> list[Feature]:
    """What of a recorded request is one vendor's own."""
    if client.startswith("bedrock_") and is_native(body):
        return [Feature("a body of its own", "anthropic_version", [], body)]
    own = [key for key in _FIELDS if body.get(key) and (client, key) != ("ollama_generate", "prompt")]
    found = [_field(key, body[key]) for key in own]
    tools = [tool for tool in body.get("tools") or [] if isinstance(tool, dict)]
    found += [_tool(tool) for tool in tools if _is_served(client, tool)]
    if (body.get("n") or 1) > 1:
        found.append(Feature("n", "n", [f"[{{,]n{body['n']}[,}}]", f"candidatecount{body['n']}"], {"n": body["n"]}))
    for key in ("messages", "input", "contents"):
        found += [_part(key, node) for node in nodes(body.get(key)) if _SERVED.search(_kind(node))]
    return found


def _field(key: str, value: object) -> Feature:
    return Feature(key, key, [re.escape(bare(json.dumps(value))[:60])], {key: value})


def _is_served(client: Wire, tool: Json) -> bool:
    if client == "gemini":
        return not {"functionDeclarations", "function_declarations"} & tool.keys()
    return tool.get("type") not in _PLAIN_TOOLS


def _tool(tool: Json) -> Feature:
    kind = re.sub(r"_\d{8}$", "", str(tool.get("type") or next(iter(tool))))
    word = plain(kind)
    return Feature(kind, "tools", _SAME.get(word, [re.escape(bare(word))]), {"tools": [tool]})


def _part(key: str, node: Json) -> Feature:
    return Feature(_kind(node), key, [re.escape(bare(_kind(node)))], {key: [node]})


def _kind(node: Json) -> str:
    kind = node.get("type")
    return kind if isinstance(kind, str) else " ".join(sorted(node.keys() & {"executableCode", "codeExecutionResult"}))
