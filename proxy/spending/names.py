"""When do two names mean one model?

Vendors serve a model under several: with the day it is from and without, with Bedrock's region in front, with a word
behind a colon that says how OpenRouter is to route it, or whom Hugging Face is to ask. Whoever limits a model, or sets
a budget for it, means all of them; otherwise a client gets round it by another spelling.
"""

import re
from functools import lru_cache

# What stands before the name: an ARN, or a path up to its collection; then regions and makers, as `us.anthropic.`. (A
# dot in a version follows a digit.)
_before = re.compile(
    r"(?:arn:aws[a-z-]*:bedrock:[^/]*/|(?:(?:accounts|projects|publishers|locations)/[^/]+/)*models/)?"
    r"(?:[a-z]+(?:-[a-z]+)*\.)*"
).match
# Whom Hugging Face may ask: https://huggingface.co/docs/inference-providers/index#partners
_HOSTS = (
    "baseten|cerebras|clarifai|cohere|deepinfra|fal-ai|featherless-ai|fireworks-ai|groq|hf-inference|hyperbolic|nebius"
    "|novita|nscale|openai|ovhcloud|publicai|replicate|sambanova|scaleway|together|wavespeed|zai-org"
)
# What stands behind it: a day, or its parts, in any vendor's form; a version of the same weights; `latest`; a route.
_behind = re.compile(
    r"(?:[-@](?:20\d{6}|20\d\d-\d\d-\d\d|\d\d-\d\d(?:\d\d)?|\d{4}|00\d|latest|default)"
    r"|-v\d+:\d+|:\d+k?|:(?:latest|nitro|floor|online|exacto|free|fastest|cheapest|preferred|auto|" + _HOSTS + "))$"
).search


@lru_cache(maxsize=1024)
def plain(model: str) -> str:
    """What all names of one model have in common."""
    name = model.casefold()
    name = name[_end(name) :]
    while (found := _behind(name)) and found.start():
        name = name[: found.start()]
    return name


def plain_path(name: str) -> str:
    """The same of PROVIDER/MODEL."""
    provider, slash, model = name.partition("/")
    return f"{provider}{slash}{plain(model)}"


def _end(name: str) -> int:
    """Of what stands before it."""
    found = _before(name)
    return found.end() if found is not None and found.end() < len(name) else 0
