"""How dear may a request become, before anybody has answered it?

By what its wire says of the answer's length. What has no bound is said so: a tool that the provider runs, state that
lies at the provider, a file that is named by its URL or id, sound, film and pages. A token is a byte at least, so no
text has more of the one than of the other; but what providers read is more than what they were sent. They put words of
their own around tools, schemas and citations, and a picture is as many tokens as it has tiles, however small its file.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from msgspec import Struct

from proxy.envelope import Envelope
from proxy.grammar.fields import as_text, placed
from proxy.ports import Bounds

# Tokens that no byte of the request is, above all that was recorded, which is 30, 1,600 and 1,500.
TEMPLATE = 128  # the words around turns; gpt-oss and Llama are told the date as well
WORDING = 2048  # how to use tools, keep to a schema, cite: Cohere's say most
TOOL = 2048  # each tool that the provider knows by its name: a computer, an editor, a memory
# Most of one picture: Qwen-VL's 16,384, and GPT-5.4's 10,000 patches at 1.62. Only one model counts dearer tiles.
# https://platform.openai.com/docs/guides/images-vision#calculating-costs
IMAGE = 16_384
_DEAR_IMAGES, _DEAR_IMAGE = re.compile("gpt-4o-mini"), 48_169
# Models that search unasked, with a fee for each time: OpenAI's, Perplexity's, Groq's, and OpenRouter's of any.
_searching = re.compile(r"-search(?:-|$)|deep-research|^perplexity/|(?:^|/)compound\b|:online$").search

# What stands in a body, in the order of its bytes: values, and keys. Within a text a backslash stands before a quote.
_marks = re.compile(
    rb"""["](?<!\\")(?=[a-zA-Z\s])(?:
    (?P<open>
        (?:url|image_url|file_url|uri)"\s*:\s*"\s*[A-Za-z][A-Za-z0-9+.-]*://   # it lies elsewhere
      | file(?:_u|U)ri"\s*:\s*" | file(?:_i|I)d"\s*:\s*" | s3(?:_l|L)ocation"\s*:
      | type"\s*:\s*"(?:container_(?:auto|reference)"|compact_|additional_t)   # a machine, a second answer, any tools
      | \s*[dD][aA][tT][aA]:(?!image/|text/)[^",\s]{0,100},                    # sound, film and pages, inline
      | (?:audio|video)/ | application/(?!json\b|xml\b)
      | (?:input_audio|audio|video)"\s*:\s*\{
      | file(?:_d|D)ata"\s*:\s*"(?!data:)
      | format"\s*:\s*"(?:pdf|docx?|xlsx?)"
    )
  | (?P<image> \s*(?:[dD][aA][tT][aA]:)?image/ | image"\s*:\s*\{ )
  | (?P<images> images"\s*:\s*\[[^\]]*\] )
  | (?P<wording> (?:tools|functions|toolConfig|tool_config|citations|documents|response_?[fF]ormat
      |output_?(?:[fF]ormat|[cC]onfig)|response(?:_json)?_schema|response(?:Json)?Schema|json_schema|schema)"
      \s*:\s*[^\sn] | format"\s*:\s*(?:\{|"json) )                             # and not null
    )""",
    re.VERBOSE,
)
# What each of these begins with: a key that is none is found out by its first letter, in half the time.
_beginnings_of_marks = re.compile(
    rb"""["](?<!\\")(?:i(?:mage|nput_audio) | d(?:[aA][tT][aA]: | ocuments) | D[aA][tT][aA]:
    | \s\s*(?:image|[dD][aA][tT][aA]:) | ur[il] | f(?:ile|ormat|unctions) | s(?:3|chema)
    | t(?:ype"\s*:\s*"(?:co|ad) | ool(?:s|_?[cC]on)) | a(?:udio|pplication/) | video | citations | response | output
    | json_schema)""",
    re.VERBOSE,
).finditer
_UNMARKED = dict.fromkeys(_marks.groupindex, 0)
_PLACE = "inference_geo"  # Anthropic's, whoever the client is: an operator may say it in `body`

# Letters may be spelled by their numbers, and slashes with a backslash before them, as PHP does.
_is_disguised = re.compile(rb"\\(?:/|u00[2-7])").search
_escapes = re.compile(rb"\\(?:u00([2-7][0-9a-fA-F])|.)", re.DOTALL)


class Longest(Struct, frozen=True, gc=False):
    """Tokens of an answer: `unsaid`, where the request says nothing of it; `ever`, whatever it says."""

    unsaid: int | None = None
    ever: int | None = None


class Extent(Struct, frozen=True, gc=False):
    """Tokens: `input` is never less than what is read, `output` what is written at most, None where nobody knows."""

    input: int
    output: int | None
    is_open: bool  # something in it costs what it will


def extent(envelope: Envelope, bounds: Bounds, longest: Longest, model: str = "") -> Extent:
    """`model`: as its provider knows it. Raises BadRequest."""
    marks, tools = _marked(envelope.body), _tools(envelope, bounds)
    is_open = tools is None or marks["open"] > 0 or _searches(model)
    is_open = is_open or _says_any(envelope, bounds.state) or _says_any(envelope, bounds.beside)
    read = len(envelope.body) + TEMPLATE + (tools or 0) * TOOL + (WORDING if marks["wording"] else 0)
    if marks["image"]:
        read += marks["image"] * image_of(model)
    return Extent(read, _written(envelope, bounds, longest), is_open)


@lru_cache(maxsize=256)
def _searches(model: str) -> bool:
    return _searching(model.lower()) is not None


def image_of(model: str) -> int:
    """Tokens of one picture, at most."""
    return _DEAR_IMAGE if _DEAR_IMAGES.search(model.lower()) else IMAGE


def said_length(envelope: Envelope, bounds: Bounds) -> Sequence[Any]:
    """What the request says of its answer's length, wherever its wire lets it. Raises BadRequest.

    Limits, budgets and the ledger ask, and on some wires it stands beside a schema of many kilobytes.
    """
    if envelope.lengths is None:
        envelope.lengths = _found(envelope, bounds.output)
    return envelope.lengths


def tier(said: Envelope | Mapping[str, Any], bounds: Bounds) -> str:
    """In which a request asks to be served, in the words of its wire; "" in none but the standard one.

    Raises BadRequest.
    """
    if not said or (isinstance(said, Envelope) and said.lacks(_beginnings(bounds.tiers))):
        return ""
    words = (_at(said, path) for path in bounds.tiers if path[0] in said)
    found = next((word for word in words if isinstance(word, str) and word != "standard"), "")
    return placed(found, as_text(said.get(_PLACE))) if _PLACE in said else found


@lru_cache(maxsize=16)  # one for each dialect
def _beginnings(paths: Sequence[Sequence[str]]) -> frozenset[str]:
    return frozenset(path[0] for path in paths) | {_PLACE}


def _written(envelope: Envelope, bounds: Bounds, longest: Longest) -> int | None:
    """Of all answers. Where the length is said twice, some hosts hear the one and some the other."""
    lengths, counts = said_length(envelope, bounds), _found(envelope, bounds.choices)
    output = longest.ever if lengths else longest.unsaid
    if lengths and all(map(is_length, lengths)):
        output = lengths[0] if len(lengths) == 1 else max(lengths)
    if output is None or not counts:
        return output
    return output * max(1, *counts) if all(type(count) is int for count in counts) else None  # "8" is 8 to some


def is_length(value: object) -> bool:
    """Else it is the provider's to refuse, or to take for none: as Ollama does -1, and Google 0."""
    return type(value) is int and value > 0


def _found(envelope: Envelope, paths: Sequence[Sequence[str]]) -> list[Any]:
    there = envelope.members
    return [said for path in paths if path[0] in there and (said := _at(envelope, path)) is not None]


def _at(said: Envelope | Mapping[str, Any], path: Sequence[str]) -> Any:
    value = said.get(path[0])
    for key in path[1:]:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _says_any(envelope: Envelope, keys: Sequence[str]) -> bool:
    if envelope.lacks(keys):
        return False
    return any(envelope.raw(key) not in (None, b"null", b"[]", b'""', b"false") for key in keys)


def _tools(envelope: Envelope, bounds: Bounds) -> int | None:
    """How many are the client's to run that the provider has words of its own for; None where it runs one itself."""
    if not bounds.tools or bounds.tools[0] not in envelope:
        return 0
    tools = _at(envelope, bounds.tools) or ()
    if not isinstance(tools, list | tuple):
        return None
    kinds = [_kind(tool) for tool in tools]
    if not all(bounds.own_tools.fullmatch(kind) for kind in kinds):
        return None
    return sum(kind not in _PLAIN for kind in kinds)


_PLAIN = {"function", "custom", "toolSpec", "cachePoint", "functionDeclarations", "function_declarations"}


def _kind(tool: Any) -> str:
    """Its type, or its only key; "" where it has neither, so that it counts as the provider's."""
    if not isinstance(tool, Mapping):
        return ""
    if isinstance(kind := tool.get("type"), str):
        return kind
    if "name" in tool:
        return "custom"
    return next(iter(tool)) if len(tool) == 1 else ""


def _marked(body: bytes) -> dict[str, int]:
    """How often each kind stands there."""
    if (b"\\/" in body or b"\\u00" in body) and _is_disguised(body):
        body = _escapes.sub(_plain, body)
    found, end = _UNMARKED.copy(), 0
    for beginning in _beginnings_of_marks(body):
        at = beginning.start()
        if at < end or (mark := _marks.match(body, at)) is None:
            continue
        end = mark.end()
        found[mark.lastgroup or ""] += 1
        if mark.lastgroup == "images":  # a list of them, each a string
            found["image"] += mark[0].count(b'"', len(b'"images"')) // 2
    return found


def _plain(escape: re.Match[bytes]) -> bytes:
    """What it stands for, where that says the same without it."""
    char = b"/" if escape[0] == b"\\/" else bytes.fromhex((escape[1] or b"").decode())
    return escape[0] if char in (b"", b'"', b"\\") else char
