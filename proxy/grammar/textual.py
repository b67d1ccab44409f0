"""What does a document say whose bytes are text, for a wire without a place for such a file?

It becomes text in a frame with its name, so that the model can tell it from what the user says.
"""

import re
from base64 import b64decode
from collections.abc import Callable
from mimetypes import guess_type

from msgspec.structs import replace

from proxy.canon import Document, Inline, Part, Text, ToolResult
from proxy.late import ESCAPE, load

# text/*, and what else people read and write in an editor.
_is_text = re.compile(
    r"text/.|application/(?:(?:[\w.-]+\+)?(?:json|xml|yaml)|(?:x-)?(?:yaml|javascript|sh|ndjson|toml|sql))$", re.ASCII
).match


CLOSING = "</document>"


def is_text(media_type: str) -> bool:
    return _is_text(media_type.partition(";")[0].strip().lower()) is not None


def text_of(data: str) -> str | None:
    """None where it is not base64, or not UTF-8."""
    try:
        return b64decode(data, validate=True).decode()
    except ValueError:
        return None


def document_as_text(part: Part, unquoted: Callable[[Document], None] = lambda document: None) -> Part:
    """The part itself, or its text if it is such a document, or a result that holds some.

    `unquoted` gets each document that becomes text, as no answer can cite places in it.
    """
    if isinstance(part, Document):
        return _framed(part, unquoted)
    if isinstance(part, ToolResult) and any(isinstance(inner, Document) for inner in part.parts):
        return replace(part, parts=[document_as_text(inner, unquoted) for inner in part.parts])
    return part


def found_as_text(part: Part, unquoted: Callable[[Document], None]) -> Part:
    """The same for what a search has found, on a wire that takes files: a search result is none."""
    return _framed(part, unquoted) if isinstance(part, Document) and part.origin is not None else part


def _framed(part: Document, unquoted: Callable[[Document], None]) -> Document | Text:
    if not isinstance(part.source, Inline):
        return part
    media_type = part.source.media_type or guess_type(part.name or "")[0] or ""
    text = text_of(part.source.data) if is_text(media_type) else None
    if text is None:
        return part
    said = f"{opening(part.name, part.origin, part.context)}\n{text}\n{CLOSING}"
    unquoted(part)
    return Text(text=said, cache=part.cache, at=part.at, extra=part.extra)


def opening(name: str | None, source: str | None, context: str | None) -> str:
    """How the frame begins."""
    told = {"name": name, "source": source, "context": context}
    escape = load(ESCAPE)
    named = "".join(f' {key}="{escape(value)}"' for key, value in told.items() if value)
    return f"<document{named}>"
