"""How much of an answer may be thought?

Every wire's limit of the answer counts the thoughts as well: `max_completion_tokens` of OpenAI's, `max_output_tokens`,
`max_tokens` of Anthropic's and Cohere's, `maxOutputTokens` of Google's
(https://ai.google.dev/gemini-api/docs/thinking: thoughts are tokens of the output). So the limit crosses as it is, and
the tokens that stand for an effort are what must fit into it.
"""

from proxy.canon import Reasoning

# Of OpenAI's two wires. Their clients say `none` themselves: whether its model takes that is for the host to say, as it
# is where nothing is translated. In another wire's place it is not said, since many models refuse it.
SAYS_NONE = frozenset({"openai_chat", "openai_responses"})


def is_undecided(reasoning: Reasoning) -> bool:
    """Is it left to the model alone how much it thinks?"""
    return reasoning.adaptive and reasoning.effort is None and reasoning.budget is None


def half_of(limit: int, wanted: int) -> int:
    """The tokens that stand for an effort: of an answer that is limited they leave half to be said."""
    return min(wanted, limit // 2)
