"""What are Ollama's words for what every wire has, and ours for them?

The tables of this wire, where they can be seen at a glance.
"""

import re

from proxy.canon import Reason
from proxy.grammar.endings import AS_IT_CAME

NAME = "ollama"

# The lines of a stream that say something. The first one may only show that the model is loaded.
_SAYING = rb'"(?:content|response|thinking)"\s*:\s*"[^"]|"(?:tool_calls|images|logprobs)"\s*:\s*\[|"error"\s*:'
SAYS = re.compile(rb'^(?!(?!.*(?:%b)).*"done"\s*:\s*false).*\S.*\n' % _SAYING, re.MULTILINE)

# Without these the answer would be another one, and no other wire can say them: they cross to this wire or not at all.
# All four are of /api/generate. (https://docs.ollama.com/api/generate)
DEMANDS = {
    "raw",  # the prompt is not to be put into the model's template
    "template",
    "suffix",  # what comes after the answer: it fills in the middle
    "context",  # the tokens of an earlier answer, which mean something to its model alone
}

# The canonical fields that stand in `options`: the wire's name, and the type that each must have.
# https://docs.ollama.com/modelfile#valid-parameters-and-values
OPTIONS = {
    "max_tokens": ("num_predict", "integer"),
    "temperature": ("temperature", "number"),
    "top_p": ("top_p", "number"),
    "top_k": ("top_k", "integer"),
    "seed": ("seed", "integer"),
    "presence_penalty": ("presence_penalty", "number"),
    "frequency_penalty": ("frequency_penalty", "number"),
}

# What this wire's clients call what receipts and refusals name, where they do not call it as we do.
# docs/decisions/0010-receipts.md
SPELLED = {name: f"options.{key}" for name, (key, _) in OPTIONS.items()} | {
    "stop": "options.stop",
    "format.schema": "format",
    "turns": "messages",
    "reasoning": "think",
    "reasoning.effort": "think",
    "thinking": "messages.thinking",
    "turn.place": "messages.role",
    "turn.trailing_space": "messages.content",
}

# Canonical knobs that this wire has no word for, and what each may ask for because it is so anyway.
KNOBS_LACKED: dict[str, tuple[object, ...]] = {
    "parallel_tools": (True,),
    "logit_bias": ({},),
    "betas": ([],),
    "user": (),
    "safety_identifier": (),
    "metadata": ({},),
    "store": (False,),
    "prompt_cache_key": (),
    "prompt_cache_retention": (),
    "obfuscation": (False,),
    "verbosity": ("medium",),  # OpenAI's own default
    "service_tier": ("auto", "default"),
}

# What a result calls its tool: the wire's own word, and the one that examples for its SDK had before there was that.
TOOL_NAMES = ("tool_name", "name")

# `think` is a boolean; these models alone know levels, and pass over the boolean.
# https://docs.ollama.com/capabilities/thinking
knows_levels = re.compile(r"(?:.*/)?gpt-oss\b").match
LEVELS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
OWN_EFFORT = "medium"  # stands for `think: true`, which leaves the measure to the model

# The effort that a budget of thinking stands for: up to so many tokens. Beyond, it is "high".
EFFORTS = ((2048, "low"), (8192, "medium"))

# What `done_reason` says. Of "load" and "unload" (the model was asked for nothing else) other wires know nothing.
REASONS: dict[str, Reason] = {"stop": "stop", "length": "length"}

# The mirror. The word is free text, and clients look for `length` alone: so it may say that an answer was withheld.
STOP_WORDS: dict[Reason, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "context": "length",
    "tool_use": "stop",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "pause": "length",  # the answer is not complete, and only `length` says so
    "malformed_tool_call": AS_IT_CAME,
    "other": AS_IT_CAME,  # `load` and `unload` among them
}

# Nanoseconds, told with the last line: of loading the model, of reading the prompt, of writing the answer, and of all.
DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")

# What a line may say of where its model runs (Ollama's cloud): the fields that are kept in a Start.
OF_START = ("remote_model", "remote_host")
