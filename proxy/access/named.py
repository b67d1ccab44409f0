"""Which other models does a request name, besides the one that it asks?

Some answer in its place, some work for it: in a tool, on a part of the answer. A client brings either about by a field
of its body, and pays for them with the operator's key. So they are looked for wherever a provider's API has such a
field, whichever provider is asked.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from proxy.envelope import Envelope
from proxy.grammar.fields import Object, as_list, as_object, as_text
from proxy.ports import Call, Target

Path = tuple[str, ...]  # keys, in small letters; lists on the way are looked through, and * is any key

# The models that may answer in the place of the one that is asked.
_ALTERNATIVES: Sequence[Path] = (
    ("models",),  # https://openrouter.ai/docs/guides/routing/model-fallbacks
    ("provideroptions", "gateway", "models"),  # https://vercel.com/docs/ai-gateway/models-and-providers/model-fallbacks
    # https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1beta1/GenerationConfig#ManualRoutingMode
    ("generationconfig", "routingconfig", "manualmode", "modelname"),
    ("generation_config", "routing_config", "manual_mode", "model_name"),
    # Anthropic's, where the model refuses; OpenRouter has it, too, where it speaks that wire.
    # https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback
    ("fallbacks",),
)
_FIRST = frozenset(path[0] for path in _ALTERNATIVES)
_DEEP = frozenset(path[0] for path in _ALTERNATIVES if len(path) > 1)
# The models that work for the one that is asked.
_WORKERS: Sequence[Path] = (
    ("compound_custom", "models", "*"),  # https://console.groq.com/docs/compound/systems
    ("plugins", "model"),  # https://openrouter.ai/docs/guides/features/plugins/fusion
    ("plugins", "analysis_models"),
)
# A request's setup that lies at OpenRouter. It has a model of its own, and can be asked for by this name of it.
# https://openrouter.ai/docs/guides/features/presets
_PRESET = "preset"
# And those that a tool runs which the provider runs: Claude's advisor, OpenAI's picture painter, OpenRouter's tools.
# https://platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool,
# https://openrouter.ai/docs/guides/features/server-tools
_IN_TOOLS: Sequence[Path] = (
    ("model",),
    ("svg", "model"),
    ("parameters", "model"),
    ("parameters", "analysis_models"),
)
_PLAIN = frozenset(("function", "custom"))  # tools that the client runs; their `parameters` are a schema

_CLAUDES = frozenset(("anthropic", "bedrock_invoke"))  # dialects with one and the same body
_GPTS = frozenset(("openai_chat", "openai_responses"))  # dialects that carry fields of hosts to each other


def others(call: Call, target: Target) -> list[str]:
    """All of them; "" for what is no name, or for one that the provider chooses."""
    return [*alternatives(call, target), *_workers(call, target)]


def alternatives(call: Call, target: Target) -> Sequence[str]:
    """Which models may answer in the place of the one that is asked?

    Looked for once, as rights, budgets, bounds and costs all ask.
    """
    names = call.envelope.alternatives
    if names is None:
        names = call.envelope.alternatives = _alternatives(call.envelope)
    return names if names and _passes(call, target) else ()


def _alternatives(envelope: Envelope) -> Sequence[str]:
    if envelope.is_plain and envelope.lacks(_FIRST):  # as hardly any request has one
        return ()
    keys = dict(zip(map(str.casefold, envelope.members), envelope.members, strict=True))
    words = sorted(keys.keys() & _FIRST)
    there = [keys[word] for word in words if word not in _DEEP or _may_name(envelope, keys[word])]
    return _found(envelope, there, _ALTERNATIVES) if there else ()


def _may_name(envelope: Envelope, key: str) -> bool:
    """Does an object in it have a key with `model`, in letters of any size, or with an escape that could spell it?"""
    text = bytes(envelope.members[key]).lower()
    return b"model" in text or b"\\u" in text


def _workers(call: Call, target: Target) -> list[str]:
    if not _passes(call, target):
        return []
    names = _found(call.envelope, call.envelope.members, _WORKERS)
    if call.envelope.raw(_PRESET) not in (None, b"null"):
        names.append(f"@preset/{as_text(call.envelope.get(_PRESET))}")
    return [*names, *(name for tool in _tools(call.envelope) for path in _IN_TOOLS for name in _at(tool, path))]


def _passes(call: Call, target: Target) -> bool:
    """Does the provider take the client's own words? On another vendor's wire nothing of this reaches it."""
    taken, wire = target.adapter.takes(target.model), call.dialect.name
    return wire in taken or any(wire in alike and not alike.isdisjoint(taken) for alike in (_CLAUDES, _GPTS))


def _tools(envelope: Envelope) -> Iterator[Object]:
    """Those that the provider runs: of the request, and those that a message or an item of it adds."""
    tools = list(map(as_object, _read(envelope, "tools")))
    for message in map(as_object, _read(envelope, "messages")):  # Anthropic's "inline tools"
        blocks = map(as_object, as_list(message.get("content")))
        tools += (as_object(as_object(block.get("tool")).get("definition")) for block in blocks)
    for item in map(as_object, _read(envelope, "input")):  # of the Responses API
        tools += map(as_object, as_list(item.get("tools")))
    return (tool for tool in tools if tool.get("type") not in _PLAIN)


def _read(envelope: Envelope, key: str) -> list[Any]:
    """A list of the body; nothing where no object in it has a key that ends so, which spares reading it."""
    text = envelope.raw(key) or b""
    return as_list(envelope.get(key)) if b'model"' in text or b'models"' in text or b"\\u00" in text else []


def _found(envelope: Envelope, keys: Iterable[str], paths: Sequence[Path]) -> list[str]:
    return [
        name
        for key in keys
        for path in paths
        if path[0] == key.casefold() and envelope.raw(key) != b"null"
        for name in _at(envelope.get(key), path[1:])
    ]


def _at(value: object, path: Path) -> Iterator[str]:
    """The names at this path. Go's parsers ignore case, so keys match in any."""
    if isinstance(value, list):
        for each in value:
            yield from _at(each, path)
    elif path and isinstance(value, dict):
        for key, each in value.items():
            if path[0] in ("*", key.casefold()):
                yield from _at(each, path[1:])
    elif not path:
        name = value.get("model") if isinstance(value, dict) else value
        yield name if isinstance(name, str) else ""
