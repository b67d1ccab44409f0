"""How is a provider asked to go on with what was said so far?

By a last turn of the assistant's, which the model continues. Its text has used up some of the tokens that the client
allowed, and a provider counts only what it writes itself.
https://platform.claude.com/docs/en/build-with-claude/prompt-engineering/prefill-claudes-response
"""

from proxy.canon import Request, Text, Turn
from proxy.spending.tokens import tokens_in


def go_on(request: Request, text: str) -> None:
    """Have it ask for the rest of an answer that begins so. A client may have begun that answer itself."""
    said = Text(text=text)
    if request.turns and request.turns[-1].role == "assistant":
        request.turns[-1].parts.append(said)
    else:
        request.turns.append(Turn(role="assistant", parts=[said]))
    if request.max_tokens is not None:
        request.max_tokens = max(1, request.max_tokens - tokens_in(text))
