"""How may an answer begin that Claude is to go on with?

It ends in no blank, on Anthropic's wire and Bedrock's alike: "final assistant content cannot end with trailing
whitespace". https://platform.claude.com/docs/en/build-with-claude/prompt-engineering/prefill-claudes-response
"""

from collections.abc import Callable
from typing import TypeVar

from proxy.grammar.fields import Object
from proxy.grammar.receipts import Receipt

Said = TypeVar("Said")


def strip(content: list[Said], text_in: Callable[[Said], Object | None], dropped: Receipt) -> None:
    """In place. `text_in`: the block whose `text` it is, where it is one."""
    while content and (block := text_in(content[-1])) is not None:
        solid = block["text"].rstrip()
        if solid == block["text"]:
            return
        dropped.add("turn.trailing_space")
        if solid:
            block["text"] = solid
            return
        content.pop()
