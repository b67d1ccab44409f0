"""What does Ollama call what every wire has, and what do we call it?

All tables of this wire, at a glance.
"""

import re

from proxy.canon import Reason
from proxy.grammar.endings import AS_IT_CAME
from proxy.grammar.knobs import knobs
from proxy.grammar.nouns import api_of

NAME = "ollama"
API = api_of(NAME)

# The lines of a stream that say something. The first line may only show that the model is loaded.
_SAYING = rb'"(?:content|response|thinking)"\s*:\s*"[^"]|"(?:tool_calls|images|logprobs)"\s*:\s*\[|"error"\s*:'
SAYS = re.compile(rb'^(?!(?!.*(?:%b)).*"done"\s*:\s*false).*\S.*\n' % _SAYING, re.MULTILINE)

# Without these the answer would be a different one, and no other wire can say them, so a request for another wire is
# refused. All four belong to /api/generate. (https://docs.ollama.com/api/generate)
DEMANDS = {
    "raw",  # the prompt skips the model's template
    "template",
    "suffix",  # what comes after the answer, which fills in the middle
    "context",  # the tokens of an earlier answer, which only its model understands
}

# The canonical fields that are in `options`: the wire's name, and the type that each must have.
# https://docs.ollama.com/modelfile#valid-parameters-and-values
OPTIONS: dict[str, tuple[str, type]] = {
    "max_tokens": ("num_predict", int),
    "temperature": ("temperature", float),
    "top_p": ("top_p", float),
    "top_k": ("top_k", int),
    "seed": ("seed", int),
    "presence_penalty": ("presence_penalty", float),
    "frequency_penalty": ("frequency_penalty", float),
}

# For receipts and refusals: our name for a field, and the one that this wire's clients use, if it is another.
# docs/decisions/0010-receipts.md
SPELLED = {name: f"options.{key}" for name, (key, _) in OPTIONS.items()} | {
    "stop": "options.stop",
    "format.schema": "format",
    "turns": "messages",
    "reasoning": "think",
    "reasoning.effort": "think",
    "thinking": "messages.thinking",
    "turn.place": "messages.role",
    "tool.schema": "tools.function.parameters",
    "turn.trailing_space": "messages.content",
}

# Canonical knobs that this wire lacks.
KNOBS_LACKED = knobs(
    "parallel_tools logit_bias betas user safety_identifier metadata store prompt_cache_key"
    " prompt_cache_retention obfuscation verbosity service_tier"
)

# The fields of a result for its tool's name: the wire's own, and the one that older examples for its SDK used.
TOOL_NAMES = ("tool_name", "name")

# `think` is a boolean; only these models know levels, and they ignore the boolean.
# https://docs.ollama.com/capabilities/thinking
knows_levels = re.compile(r"(?:.*/)?gpt-oss\b").match
LEVELS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
OWN_EFFORT = "medium"  # stands for `think: true`, which leaves the effort to the model

# The words of `done_reason`. Other wires have none for "load" and "unload", which answer a request for nothing else.
REASONS: dict[str, Reason] = {"stop": "stop", "length": "length"}

# The mirror. The word is free text, and clients only look for `length`, so others may say that an answer was withheld.
STOP_WORDS: dict[Reason, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "context": "length",
    "tool_use": "stop",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "pause": "length",  # only `length` says that the answer is not complete
    "malformed_tool_call": AS_IT_CAME,
    "other": AS_IT_CAME,  # `load` and `unload` among them
}

# In nanoseconds, in the last line: of everything, of loading the model, reading the prompt and writing the answer.
DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")

# The fields of a line that say where its model runs (Ollama's cloud); a Start keeps them.
OF_START = ("remote_model", "remote_host")
