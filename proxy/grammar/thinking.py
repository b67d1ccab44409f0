"""How much of an answer may be thoughts?

Every wire's limit of the answer includes the thoughts: OpenAI's `max_completion_tokens` and `max_output_tokens`,
Anthropic's and Cohere's `max_tokens`, Google's `maxOutputTokens` (https://ai.google.dev/gemini-api/docs/thinking:
thoughts are output tokens). So the limit crosses unchanged, and the tokens that stand for an effort must fit into it.
"""

from proxy.canon import Reasoning

# OpenAI's two wires. Their clients may send `none`, and the host decides whether its model takes that, as it does where
# nothing is translated. Translations from other wires do not write it, since many models refuse it.
SAYS_NONE = frozenset({"openai_chat", "openai_responses"})

# Wires whose clients have no word for showing the thoughts, or one that few know: who makes the model think there is
# shown them.
SHOWS_UNASKED = frozenset({"openai_chat", "ollama", "cohere"})

# The effort that a budget of up to so many tokens stands for. A larger budget is "high".
_EFFORTS = ((2048, "low"), (8192, "medium"))


def effort_of(budget: int) -> str:
    """For a wire, or a model, that takes no budget."""
    return next((effort for most, effort in _EFFORTS if budget <= most), "high")


def is_undecided(reasoning: Reasoning) -> bool:
    """Does the model alone decide how much it thinks?"""
    return reasoning.adaptive and reasoning.effort is None and reasoning.budget is None


def moot(reasoning: Reasoning) -> list[str]:
    """The fields that say how much a model is to think that is not to: most wires have one word for both."""
    if not reasoning.off:
        return []
    effort = ["reasoning.effort"] if reasoning.effort not in (None, "none") else []
    return [*effort, "reasoning.budget"] if reasoning.budget else effort


def half_of(limit: int, wanted: int) -> int:
    """The tokens that stand for an effort: at most half of a limited answer, so that there is room to say something."""
    return min(wanted, limit // 2)
