"""In what order do the turns of another wire stand on this one?

User and assistant take turns here, and the user begins. Results of tools stand first in the turn after their calls.
https://platform.claude.com/docs/en/api/messages and .../docs/en/agents-and-tools/tool-use/implement-tool-use
"""

from proxy.canon import Role, Turn
from proxy.dialects.anthropic.blocks import Blocks
from proxy.errors import Unrepresentable
from proxy.grammar.claude.models import Takes, no_prefill
from proxy.grammar.claude.prefill import strip
from proxy.grammar.fields import Object

_SYSTEM: tuple[Role, ...] = ("system", "developer")


def parted(turns: list[Turn], own: bool) -> tuple[list[Turn], list[Turn]]:
    """What goes to `system`, and the messages."""
    count = 0
    while count < len(turns) and (turns[count].at == "system" if own else turns[count].role in _SYSTEM):
        count += 1
    return turns[:count], turns[count:]


def as_they_came(turns: list[Turn], blocks: Blocks) -> list[Object]:
    """Less an answer of which nothing is left, as it was another provider's thought alone: it would be refused."""
    said = [(turn, blocks.of(turn)) for turn in turns]
    return [
        {**turn.extra, "role": turn.role, "content": content}
        for turn, content in said
        if content or turn.role != "assistant" or turn is turns[-1]
    ]


def in_order(turns: list[Turn], blocks: Blocks, takes: Takes) -> list[Object]:
    """None where nothing is said. Raises Unrepresentable: the assistant's first, or its last, where it may not be."""
    said = [(turn, content) for turn in turns if (content := blocks.of(turn))]
    messages: list[Object] = []
    for number, (turn, content) in enumerate(said):
        role = "assistant" if turn.role == "assistant" else "user"
        if turn.role in _SYSTEM:
            if takes.system and _may_be_told(messages, [later.role for later, _ in said[number + 1 :]]):
                role = "system"
            else:
                _quote(content, blocks)
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += content
        elif messages or role == "user":
            messages.append({"role": role, "content": content})
        else:
            raise Unrepresentable(f"{turn.at} is the assistant's: on Anthropic's wire the user begins.", param=turn.at)
    for message in messages:
        message["content"].sort(key=lambda block: block.get("type") != "tool_result")
    _end(messages, said[-1][0].at if said else "", blocks, takes)
    return messages


def _may_be_told(messages: list[Object], following: list[Role]) -> bool:
    """A system turn in mid-chat stands behind the user's, and before the assistant's or at the end.

    https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
    """
    after = next((role for role in following if role not in _SYSTEM), "assistant")
    return bool(messages) and messages[-1]["role"] != "assistant" and after == "assistant"


def _quote(content: list[Object], blocks: Blocks) -> None:
    """A system turn where the wire, or the model, has no place for one: the user's turn carries it."""
    blocks.dropped.add("turn.place")
    for block in content:
        block["text"] = f"<system>\n{block['text']}\n</system>"


def _end(messages: list[Object], at: str, blocks: Blocks, takes: Takes) -> None:
    """A last turn of the assistant's is one to be continued, and may not end in a blank."""
    if messages and messages[-1]["role"] == "assistant":
        if not takes.prefill:
            raise no_prefill(at)
        strip(messages[-1]["content"], lambda block: block if block.get("type") == "text" else None, blocks.dropped)
        if not messages[-1]["content"]:
            messages.pop()
