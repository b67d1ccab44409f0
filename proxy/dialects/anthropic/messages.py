"""How are another wire's turns put into this wire's order?

User and assistant alternate here, and either may begin. Tool results come first in the turn after their calls.
https://platform.claude.com/docs/en/api/messages and .../docs/en/agents-and-tools/tool-use/implement-tool-use
and https://github.com/anthropics/anthropic-sdk-typescript/issues/622
"""

from proxy.canon import Role, Turn
from proxy.dialects.anthropic.blocks import Blocks
from proxy.grammar.claude.models import Takes, no_prefill
from proxy.grammar.claude.prefill import strip
from proxy.grammar.fields import Object

_SYSTEM: tuple[Role, ...] = ("system", "developer")


def parted(turns: list[Turn], own: bool) -> tuple[list[Turn], list[Turn]]:
    """The turns that go into `system`, and those that become messages."""
    count = 0
    while count < len(turns) and (turns[count].at == "system" if own else turns[count].role in _SYSTEM):
        count += 1
    return turns[:count], turns[count:]


def as_they_came(turns: list[Turn], blocks: Blocks) -> list[Object]:
    """The messages of a request that came in this wire. An assistant's turn may be empty now, as it held nothing but
    another provider's thoughts: it is left out, since it would be refused.
    """
    said = [(turn, blocks.of(turn)) for turn in turns]
    return [
        {**turn.extra, "role": turn.role} | ({} if turn.is_order else {"content": content})
        for turn, content in said
        if content or turn.role != "assistant" or turn is turns[-1]
    ]


def in_order(turns: list[Turn], blocks: Blocks, takes: Takes) -> list[Object]:
    """The messages of a request from another wire; empty turns are left out. Raises Unrepresentable where the assistant
    has the last turn and the model allows no prefill.
    """
    said = [(turn, content) for turn in turns if (content := blocks.of(turn))]
    messages: list[Object] = []
    for number, (turn, content) in enumerate(said):
        role = "assistant" if turn.role == "assistant" else "user"
        if turn.role in _SYSTEM:
            if takes.system and _may_stay_system(messages, [later.role for later, _ in said[number + 1 :]]):
                role = "system"
            else:
                _quote(content, blocks)
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += content
        else:
            messages.append({"role": role, "content": content})
    for message in messages:
        message["content"].sort(key=lambda block: block.get("type") != "tool_result")
    _end(messages, said[-1][0].at if said else "", blocks, takes)
    return messages


def _may_stay_system(messages: list[Object], following: list[Role]) -> bool:
    """A system turn in mid-chat must follow the user's, and come before the assistant's or at the end.

    https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
    """
    after = next((role for role in following if role not in _SYSTEM), "assistant")
    return bool(messages) and messages[-1]["role"] != "assistant" and after == "assistant"


def _quote(content: list[Object], blocks: Blocks) -> None:
    """Mark a system turn that the user's turn carries, as the wire or the model has no place for it."""
    blocks.dropped.add("turn.place")
    for block in content:
        block["text"] = f"<system>\n{block['text']}\n</system>"


def _end(messages: list[Object], at: str, blocks: Blocks, takes: Takes) -> None:
    """A last turn of the assistant's is a prefill, which not every model takes, and may not end in whitespace."""
    if messages and messages[-1]["role"] == "assistant":
        if not takes.prefill:
            raise no_prefill(at)
        strip(messages[-1]["content"], lambda block: block if block.get("type") == "text" else None, blocks.dropped)
