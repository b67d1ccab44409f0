"""What does a chat request ask of echo, and how many tokens is it?

It reads the part of an OpenAI request that changes what echo says: an unknown field is ignored, a known one of the
wrong type is refused. https://platform.openai.com/docs/api-reference/chat/create documents all of them.
"""

import re
from itertools import islice
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from proxy.errors import BadRequest

_TOKEN = re.compile(r"\s*(?:\w{1,8}|[^\w\s])|\s+")
_MISSING = re.compile("Object missing required field `(.*)`")
_WRONG = re.compile("Expected `(.*?)`(.*?)(?:, got `(.*)`)?")
_TYPES = {  # msgspec's words, and ours
    "str": "a string", "bool": "a boolean", "int": "an integer", "float": "a decimal number", "array": "an array",
    "object": "an object", "null": "nothing",
}  # fmt: skip
_WANTED = _TYPES | {"float": "a number"}

Count = Annotated[int, Meta(ge=1)]
StopString = Annotated[str, Meta(min_length=1)]


class Function(Struct, omit_defaults=True):
    """A function or a custom tool: its definition, a call of it, or only its name."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    arguments: str = ""
    input: str = ""


class Tool(Struct, omit_defaults=True):
    """A tool that is offered, called or chosen."""

    type: str = "function"
    function: Function | None = None
    custom: Function | None = None

    @property
    def named(self) -> Function | None:
        """None for a server tool, which the model does not call."""
        return self.function or self.custom


class Allowed(Struct):
    tools: list[Tool] = []


class Choice(Tool):
    allowed_tools: Allowed | None = None


class Part(Struct):
    type: str = "text"
    text: str | None = None


class Message(Struct):
    role: str
    content: str | list[str | Part] | None = None
    tool_calls: list[Tool] | None = None


class JsonSchema(Struct):
    schema: dict[str, Any] | None = None


class Format(Struct):
    type: str = "text"
    json_schema: JsonSchema | None = None


class StreamOptions(Struct):
    include_usage: bool | None = None


class Ask(Struct):
    model: str
    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[Tool] | None = None
    tool_choice: str | Choice | None = None
    parallel_tool_calls: bool | None = None
    response_format: Format | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: StopString | Annotated[list[StopString], Meta(max_length=1000)] | None = None


_decode = msgspec.json.Decoder(Ask).decode


def read(body: bytes) -> Ask:
    """Raises BadRequest, with the field's path; RecursionError where the body is nested too deeply."""
    try:
        return _decode(body)
    except msgspec.ValidationError as error:
        why, _, path = str(error).partition(" - at `$")
        path = path.removeprefix(".").removesuffix("`")
        if missing := _MISSING.fullmatch(why):
            path = f"{path}.{missing[1]}".removeprefix(".")
        raise BadRequest(f"{path or 'The request body'} {_plain(why)}.", param=path or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The request body is not valid JSON: {error}.", code="invalid_json") from None


def _plain(why: str) -> str:
    """What msgspec complains of, in the words of the dialects' errors."""
    wrong = _WRONG.fullmatch(why)
    if wrong is None:
        return "is missing" if _MISSING.fullmatch(why) else f"is not valid: {why[:1].lower()}{why[1:]}"
    wanted = " or ".join(_WANTED.get(each, each) for each in wrong[1].split(" | ") if each != "null")
    came = f", not {_TYPES.get(wrong[3], wrong[3])}" if wrong[3] else ""
    return f"must be {wanted}{wrong[2]}{came}"


def tokens(text: str, most: int | None = None) -> list[str]:
    """The text in pieces that join to it: at most 8 letters or digits, or another character, with the space before.

    `most`: no more of them than that.
    """
    return [found[0] for found in islice(_TOKEN.finditer(text), most)]


def _count(text: str) -> int:
    return sum(1 for _ in _TOKEN.finditer(text))


def prompt_tokens(ask: Ask) -> int:
    """Those of all texts in the messages and of the tools' definitions; anything else (an image, say) counts one."""
    count = sum(_count(msgspec.json.encode(tool).decode()) for tool in ask.tools or [])
    for message in ask.messages:
        for part in [message.content] if isinstance(message.content, str) else message.content or []:
            text = part if isinstance(part, str) else part.text
            count += 1 if text is None else _count(text)
        for call in filter(None, (tool.named for tool in message.tool_calls or [])):
            count += _count(call.name) + _count(call.arguments + call.input)
    return count
