"""May this client ask this provider for this model?

The target decides, after the model's name was resolved: an alias, or another spelling of a provider, opens no door. In
the patterns of a key's `models`, `*` is any run of characters, slashes included; every other character is itself.
"""

from collections.abc import Callable, Iterator

from proxy.access.allowance import ClientKey, reaches
from proxy.envelope import Envelope
from proxy.errors import GatewayError, excerpt
from proxy.grammar.fields import Object, as_list, as_object
from proxy.ports import Call, Reply, Target

LONGEST_NAME = 200  # characters of a model that are repeated
# The field that names whom OpenRouter is to ask if the model fails, which a client can bring about.
# https://openrouter.ai/docs/guides/routing/model-fallbacks
OTHERS = "models"
# The one that names whom Anthropic is to ask if the model refuses; OpenRouter has it, too, where it speaks that wire.
# https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback
FALLBACKS = "fallbacks"
_CLAUDES = frozenset(("anthropic", "bedrock_invoke"))  # dialects with one and the same body

Whose = Callable[[Call], str | None]  # whose requests may the caller see? A client's name; None: everybody's


def everybodys(call: Call) -> None:
    """What operators may see (`Whose`)."""


def is_restricted(key: ClientKey) -> bool:
    return bool(key.models or key.providers)


def allows(key: ClientKey | None, provider: str, model: str) -> bool:
    """`key`: None where pillion asks clients for none."""
    if key is None:
        return True
    if key.providers and provider not in key.providers:
        return False
    name = f"{provider}/{model}"
    return not key.models or any(_fits(pattern, name) for pattern in key.models)


def may_reach(key: ClientKey | None, provider: str) -> bool:
    """May it ask for any model of the provider's at all?"""
    if key is None:
        return True
    if key.providers and provider not in key.providers:
        return False
    return not key.models or any(reaches(pattern, provider) for pattern in key.models)


def check(call: Call) -> None:
    """May it ask its target? Raises GatewayError, 403."""
    assert call.target is not None  # failover chose it
    provider = call.target.adapter.name
    check_names(call.key, provider, call.target.model)
    for model in (*others(call, call.target), *advisors(call, call.target)):
        check_names(call.key, provider, model)


def check_names(key: ClientKey | None, provider: str, model: str) -> None:
    """Raises GatewayError, 403."""
    if not allows(key, provider, model):
        raise not_allowed(key, provider, model)


def others(call: Call, target: Target) -> list[str]:
    """Which models may answer in the place of the one that is asked, by the client's own words?"""
    names = alternatives(call.envelope)
    if FALLBACKS in call.envelope and _passes(call, target):
        names += _names(call.envelope.get(FALLBACKS))
    return names


def alternatives(envelope: Envelope) -> list[str]:
    """Those of OpenRouter's list."""
    return _names(envelope.get(OTHERS)) if OTHERS in envelope else []


def advisors(call: Call, target: Target) -> list[str]:
    """Which models does the provider run as tools, as Claude's advisor is one?

    https://platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool
    """
    body = call.envelope.body
    if not (b'"advisor_' in body or b"\\u00" in body) or not _passes(call, target):
        return []
    return _names([tool for tool in _tools(call.envelope) if "model" in tool])


def _tools(envelope: Envelope) -> Iterator[Object]:
    """Those of the request, and those that a message of it adds ("inline tools")."""
    yield from map(as_object, as_list(envelope.get("tools")))
    for message in map(as_object, as_list(envelope.get("messages"))):
        for block in map(as_object, as_list(message.get("content"))):
            yield as_object(as_object(block.get("tool")).get("definition"))


def _passes(call: Call, target: Target) -> bool:
    """Does the provider take the client's own words? On another vendor's wire nothing of this reaches it."""
    taken = target.adapter.takes(target.model)
    return call.dialect.name in taken or (call.dialect.name in _CLAUDES and not _CLAUDES.isdisjoint(taken))


def _names(said: object) -> list[str]:
    """The names in the list; what is none is "", which only a key for all models may say."""
    rows = [] if said is None else said if isinstance(said, list) else [said]
    names = [row.get("model") if isinstance(row, dict) else row for row in rows]
    return [name if isinstance(name, str) else "" for name in names]


class Allowed:
    """An account of each attempt (ports.Account): whichever target failover chooses must be an allowed one."""

    async def reserve(self, call: Call) -> None:
        """Raises GatewayError, 403."""
        check(call)

    def begun(self, call: Call, reply: Reply) -> None:
        """Nothing to do: `reserve` has checked it."""

    def settle(self, call: Call, held: None, error: BaseException | None) -> None:
        """Nothing to do: `reserve` has set nothing aside."""


ALLOWED = Allowed()


def not_allowed(key: ClientKey | None, provider: str, model: str) -> GatewayError:
    """The error, 403, which tells all that the key may use."""
    models, providers = (", ".join(names) for names in ((key.models, key.providers) if key else ((), ())))
    at = f", at {providers}" if models and providers else providers
    return GatewayError(
        f"This key may not use {excerpt(model, LONGEST_NAME)!r} at {provider}. It may use: {models}{at}.",
        status=403,
        kind="authentication",
        code="model_not_allowed",
        param="model",
    )


def _fits(pattern: str, name: str) -> bool:
    """Each part is searched for once, behind the one before: clients choose names, and none may take long to judge."""
    first, *rest = pattern.split("*")
    if not rest:
        return name == first
    if not name.startswith(first):
        return False
    at, last = len(first), rest.pop()
    for part in rest:
        found = name.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return name.endswith(last) and at + len(last) <= len(name)
