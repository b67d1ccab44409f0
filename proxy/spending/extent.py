"""What is the most that a request can cost, before anybody has answered it?

Its wire says how long the answer may be. Some things have no bound, and are reported so: a tool that the provider runs,
state kept at the provider, a file named by URL or id, audio, video and pages. A token is at least a byte, so a text has
no more tokens than bytes; but providers read more than they were sent. They wrap tools, schemas and citations in words
of their own, and an image has as many tokens as it has tiles, however small its file.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from proxy.envelope import Envelope, Lengths
from proxy.grammar.counts import placed
from proxy.grammar.fields import as_text
from proxy.ports import Bounds

# Tokens that a provider adds to the request's own bytes. The most that was recorded of each is 30, 1,600 and 1,500.
TEMPLATE = 128  # the words around turns; gpt-oss and Llama also get the date
WORDING = 2048  # how to use tools, follow a schema, cite: Cohere's are longest
TOOL = 2048  # each tool that the provider defines: a computer, an editor, a memory
# At most for one image: Qwen-VL's 16,384, GPT-5.4's 10,000 patches at 1.62. Only one model has more expensive tiles.
# https://platform.openai.com/docs/guides/images-vision#calculating-costs
IMAGE = 16_384
_DEAR_IMAGE = 48_169
_has_dear_images = re.compile("gpt-4o-mini").search
# Models that search unasked, for a fee each time: OpenAI's, Perplexity's, Groq's, and any with OpenRouter's suffix.
_searching = re.compile(r"-search(?:-|$)|deep-research|^perplexity/|(?:^|/)compound\b|:online$").search

# What to look for in a body, as values and as keys. Quotes within a string have a backslash before them.
_marks = re.compile(
    rb"""["](?<!\\")(?=[a-zA-Z\s])(?:
    (?P<open>
        (?:url|image_url|file_url|uri)"\s*+:\s*+"\s*+[A-Za-z][A-Za-z0-9+.-]*://   # it is stored elsewhere
      | file(?:_u|U)ri"\s*+:\s*+" | file(?:_i|I)d"\s*+:\s*+" | s3(?:_l|L)ocation"\s*:
        # a machine, what was said before, a second answer, more tools
      | type"\s*+:\s*+"(?:(?:container|item)_reference"|container_auto"|compact_|additional_t|tool_definition")
      | \s*+[dD][aA][tT][aA]:(?!image/|text/)[^",\s]{0,100},                    # audio, video and pages, inline
      | (?:audio|video)/ | application/(?!json\b|xml\b)
      | (?:input_audio|audio|video)"\s*+:\s*+\{
      | file(?:_d|D)ata"\s*+:\s*+"(?!data:)
      | format"\s*+:\s*+"(?:pdf|docx?|xlsx?)"
    )
  | (?P<image> \s*+(?:[dD][aA][tT][aA]:)?image/ | image"\s*+:\s*+\{ )
  | (?P<images> images"\s*+:\s*+\[[^\]]*\] )
  | (?P<wording> (?:tools|functions|toolConfig|tool_config|citations|documents|response_?[fF]ormat
      |output_?(?:[fF]ormat|[cC]onfig)|response(?:_json)?_schema|response(?:Json)?Schema|json_schema|schema)"
      \s*+:\s*+[^\sn] | format"\s*+:\s*+(?:\{|"json) )                         # and not null
    )""",
    re.VERBOSE,
)
# How each of these begins: other keys are ruled out by their first letters, which halves the time.
_beginnings_of_marks = re.compile(
    rb"""["](?=[acdDfijorstuv\s])(?<!\\")(?:i(?:mage|nput_audio) | d(?:[aA][tT][aA]: | ocuments) | D[aA][tT][aA]:
    | \s++(?:image|[dD][aA][tT][aA]:) | ur[il] | f(?:ile|ormat|unctions) | s(?:3|chema)
    | t(?:ype"\s*+:\s*+"(?:co|ad|item_r|tool_d) | ool(?:s|_?[cC]on)) | a(?:udio|pplication/) | video | citations
    | response | output | json_schema)""",
    re.VERBOSE,
).finditer
_UNMARKED = dict.fromkeys(_marks.groupindex, 0)
# What was said before may also be an item that has nothing but its id:
# https://platform.openai.com/docs/api-reference/responses/create#responses-create-input
_has_id_alone = re.compile(
    rb"""\{\s*+(?:"type"\s*+:\s*+null\s*+,\s*+)?+"id"\s*+:\s*+"[^"\\]*+"\s*+(?:,\s*+"type"\s*+:\s*+null\s*+)?+\}"""
).search
_PLACE = "inference_geo"  # Anthropic's, but on any wire, as an operator may set it in `body`

# Letters may be written as \u escapes, and slashes with a backslash before them, as PHP does.
_is_disguised = re.compile(rb"\\(?:/|u00[2-7])").search
_escapes = re.compile(rb"\\u00([2-7][0-9a-fA-F])")


class Longest(Struct, frozen=True, gc=False):
    """Tokens of an answer: `unsaid` if the request does not limit them, `ever` whatever it says."""

    unsaid: int | None = None
    ever: int | None = None


class Extent(Struct, frozen=True, gc=False):
    """Tokens: `input` is an upper bound of what is read, `output` of what is written, None if nobody knows."""

    input: int
    output: int | None
    is_open: bool  # something in it has no bound


def extent(envelope: Envelope, bounds: Bounds, longest: Longest, model: str = "") -> Extent:
    """`model`: the provider's name for it. Raises BadRequest."""
    marks = _marked(envelope.body)
    is_open = marks["open"] > 0 or _searches(model)
    tools: int | None = 0
    counts: Sequence[Any] = ()
    if not envelope.lacks(bounds.extras):
        tools, counts = _tools(envelope, bounds), said_choices(envelope, bounds)
        is_open = is_open or tools is None or _says_any(envelope, bounds.state) or _says_any(envelope, bounds.beside)
    is_open = is_open or (bounds.items != "" and _refers(envelope.raw(bounds.items)))
    read = len(envelope.body) + TEMPLATE + (tools or 0) * TOOL + (WORDING if marks["wording"] else 0)
    if marks["image"]:
        read += marks["image"] * image_of(model)
    return Extent(read, _written(said_lengths(envelope, bounds), counts, longest), is_open)


@lru_cache(maxsize=256)
def _searches(model: str) -> bool:
    return _searching(model.lower()) is not None


def image_of(model: str) -> int:
    """Tokens of one image, at most."""
    return _DEAR_IMAGE if _has_dear_images(model.lower()) else IMAGE


def said_lengths(envelope: Envelope, bounds: Bounds) -> Lengths:
    """What the request says about its answer's length. Raises BadRequest.

    Looked for once, as limits, budgets and the ledger all ask, and on some wires it stands beside a schema of many
    kilobytes.
    """
    if envelope.lengths is None:
        said = _found(envelope, bounds.output)
        envelope.lengths = _lengths(said) if said else _NO_LENGTHS
    return envelope.lengths


def _lengths(said: Sequence[Any]) -> Lengths:
    good = [value for value in said if is_length(value)]
    if not good:
        return Lengths(True)
    if len(said) == 1:  # nearly always
        return Lengths(True, good[0], good[0])
    return Lengths(True, min(good), max(good) if len(good) == len(said) else None)


_NO_LENGTHS = Lengths()


def said_choices(envelope: Envelope, bounds: Bounds) -> Sequence[Any]:
    """What the request says of the number of answers, each of which may have that length. Raises BadRequest."""
    return _found(envelope, bounds.choices)


def tier(said: Envelope | Mapping[str, Any], bounds: Bounds) -> str:
    """The service tier that a request asks for, in its wire's word; "" for the standard one.

    Raises BadRequest.
    """
    if not said or (isinstance(said, Envelope) and said.lacks(bounds.tier_keys) and _PLACE not in said):
        return ""
    words = (_at(said, path) for path in bounds.tiers if path[0] in said)
    found = next((word for word in words if isinstance(word, str) and word != "standard"), "")
    return placed(found, as_text(said.get(_PLACE))) if _PLACE in said else found


def own_tier(said: Envelope, headers: Mapping[str, str], bounds: Bounds) -> str:
    """The same where the provider takes the wire itself, and so all that a request may say of it."""
    words = [_at(said, path) for path in bounds.own_tiers if path[0] in said]
    return next((word for word in words if isinstance(word, str) and word != "standard"), "") or named_tier(
        headers, bounds
    )


def named_tier(headers: Mapping[str, str], bounds: Bounds) -> str:
    """That which a request's or an answer's headers name; the one for more money where these are two."""
    there = [headers[name] for name in bounds.tier_headers if name in headers]
    return next((word for word in there if word != "standard"), there[0] if there else "")


def _written(lengths: Lengths, counts: Sequence[Any], longest: Longest) -> int | None:
    """For all choices together. If the length is given twice, hosts differ in which one they use."""
    output = lengths.most or (longest.ever if lengths.is_said else longest.unsaid)
    if output is None or not counts:
        return output
    return output * max(1, *counts) if all(type(count) is int for count in counts) else None  # some read "8" as 8


def is_length(value: object) -> bool:
    """Anything else the provider refuses, or takes for no limit: as Ollama takes -1, and Google 0."""
    return type(value) is int and value > 0


def _found(envelope: Envelope, paths: Sequence[Sequence[str]]) -> list[Any]:
    there = envelope.members
    return [
        said
        for path in paths
        if path[0] in there and _may_hold(there[path[0]], path) and (said := _at(envelope, path)) is not None
    ]


def _may_hold(value: msgspec.Raw, path: Sequence[str]) -> bool:
    """Without decoding it: an object that has no such word, nor an escape that could spell it, has no such key."""
    if len(path) == 1:
        return True
    text = bytes(value)
    return path[1].encode() in text or b"\\" in text


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
    """How many tools the provider defines but the client runs; None where the provider runs one itself."""
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
    """Its type, or its only key; "" where it has neither, so that it counts as run by the provider."""
    if not isinstance(tool, Mapping):
        return ""
    if isinstance(kind := tool.get("type"), str):
        return kind
    if "name" in tool:
        return "custom"
    return next(iter(tool)) if len(tool) == 1 else ""


def _refers(items: bytes | None) -> bool:
    """Is one of them no more than the id of what is kept at the provider?"""
    if items is None or not items.startswith(b"["):
        return False
    said = _undisguised(items)
    return b'"id"' in said and _has_id_alone(said) is not None


def _marked(body: bytes) -> dict[str, int]:
    """How often each kind of mark occurs."""
    body = _undisguised(body)
    found, end = _UNMARKED.copy(), 0
    for beginning in _beginnings_of_marks(body):
        at = beginning.start()
        if at < end or (mark := _marks.match(body, at)) is None:
            continue
        end = mark.end()
        found[mark.lastgroup or ""] += 1
        if mark.lastgroup == "images":  # a list of strings, one for each image
            found["image"] += mark[0].count(b'"', len(b'"images"')) // 2
    return found


def _undisguised(body: bytes) -> bytes:
    if b"\\" not in body or not (b"\\/" in body or b"\\u00" in body) or not _is_disguised(body):
        return body
    # An escaped backslash is no part of a mark, and without it each other backslash begins an escape.
    return _escapes.sub(_plain, body.replace(b"\\\\", b"__").replace(b"\\/", b"/"))


def _plain(escape: re.Match[bytes]) -> bytes:
    """The character that an escape stands for, unless that would change the JSON."""
    char = bytes.fromhex(escape[1].decode())
    return escape[0] if char in (b'"', b"\\") else char
