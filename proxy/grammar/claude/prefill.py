"""How may an answer begin that Claude is asked to continue?

Not with a blank at its end, on Anthropic's wire and on Bedrock's: "final assistant content cannot end with trailing
whitespace". https://platform.claude.com/docs/en/build-with-claude/prompt-engineering/prefill-claudes-response
"""

from collections.abc import Callable
from typing import TypeVar

from proxy.grammar.fields import Object
from proxy.grammar.receipts import Receipt

Said = TypeVar("Said")


def strip(content: list[Said], text_in: Callable[[Said], Object | None], dropped: Receipt) -> None:
    """Remove trailing blanks in place. `text_in`: the block that holds `text`; None for other content."""
    while content and (block := text_in(content[-1])) is not None:
        solid = block["text"].rstrip()
        if solid == block["text"]:
            return
        dropped.add("turn.trailing_space")
        if solid:
            block["text"] = solid
            return
        content.pop()
