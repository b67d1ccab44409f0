"""What is this file, going by its first bytes?

Only types that some wire takes as an image or a document. A media type from outside may be wrong, and some wires give
none; the first bytes are more reliable.
"""

import re
from base64 import b64decode

from proxy.canon import Audio, Document, Image, Inline, Source, Video

_BEGINNINGS = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"%PDF-"), "application/pdf"),
)
_HEAD = 16  # characters of base64 that cover the longest of these


def media_type_of(data: bytes) -> str:
    """The media type that the first bytes show; "" where they show none."""
    return next((media_type for begins, media_type in _BEGINNINGS if begins.match(data)), "")


def media_type_of_base64(text: str) -> str:
    """The same for a file in base64; "" as well where its beginning is not base64."""
    head = text[:_HEAD]
    try:
        return media_type_of(b64decode(head[: len(head) // 4 * 4], validate=True))
    except ValueError:
        return ""


# By what the name of a file ends in, for hosts that go by that: https://developers.openai.com/api/docs/guides/file-inputs
_ENDS = {
    "application/pdf": ".pdf",
    "application/msword": ".doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/json": ".json",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/markdown": ".md",
}
_ends_in_one = re.compile(r"(?s).*\.[A-Za-z]\w{0,5}").fullmatch


def filename_of(name: str | None, media_type: str) -> str:
    """A name that ends as those of such files do. Titles do not, nor do names on Bedrock's wire, which has no dots."""
    media, named = media_type.partition(";")[0].strip().lower(), name or "document"
    is_text = media.startswith("text/")
    end = _ENDS.get(media, ".txt" if is_text else "")
    is_meant = _ends_in_one(named) if is_text else named.lower().endswith(end)
    return named if is_meant else named + end


Medium = Image | Audio | Video | Document
_MEDIA: dict[str, type[Medium]] = {"image": Image, "audio": Audio, "video": Video, "text": Document}
_UNTYPED = ("", "application/octet-stream")


def medium_of(source: Source, otherwise: type[Medium]) -> type[Medium]:
    """What a file is that is carried in the request, whatever the client has called it."""
    if not isinstance(source, Inline) or source.media_type in _UNTYPED:
        return otherwise
    return _MEDIA.get(source.media_type.partition("/")[0].lower(), Document)


def seen(source: Source) -> Source:
    """The source of an image or a document, with the media type that its bytes show.

    OpenAI looks at the bytes, so its clients get away with a wrong type, with `image/jpg`, or with none. Anthropic and
    Google go by the stated type, and refuse all three.
    """
    if not isinstance(source, Inline):
        return source
    told = media_type_of_base64(source.data) or source.media_type
    if told.lower().startswith("image/"):
        told = told.partition(";")[0].strip().lower()
    return Inline(source.data, "image/jpeg" if told == "image/jpg" else told)
