"""How does this wire carry the bytes of an image, a sound, a film or a document, or say where they are?

`inlineData` holds them; `fileData` has their URI. A URL on the web can be fetched by any provider (Google does so since
the end of 2025: https://ai.google.dev/gemini-api/docs/file-input-methods). Google's own URIs, `gs://` or those of its
Files API, are stored files, and mean nothing anywhere else.
"""

import re
from mimetypes import guess_type

from proxy.canon import Audio, Document, Image, Inline, Remote, Source, Stored, Video
from proxy.dialects.gemini.words import AUDIO, DOCUMENT, IMAGE, RESOLUTIONS, VIDEO
from proxy.grammar.fields import Fields, Object, as_object, as_text, standard_base64

Medium = Image | Audio | Video | Document

_of_the_web = re.compile(r"https?://(?!generativelanguage\.googleapis\.com/)", re.IGNORECASE).match
_of_youtube = re.compile(r"https?://(?:www\.|m\.)?(?:youtube\.com|youtu\.be)/", re.IGNORECASE).match


def medium(media_type: str, source: Source) -> Medium:
    kinds: dict[str, type[Image | Audio | Video]] = {"image": Image, "audio": Audio, "video": Video}
    return kinds.get(media_type.partition("/")[0].lower(), Document)(source=source)


def read_inline(fields: Fields) -> Medium:
    """The `inlineData` of a client's part. What is left over of it stays in `fields`."""
    inner = fields.need_inner("inlineData")
    data, media_type = standard_base64(inner.need_text("data")), inner.text("mimeType") or ""
    part = medium(media_type, Inline(data, media_type))
    if isinstance(part, Image):
        part.source = Inline(data, media_type.lower())
    return _named(part, fields, "inlineData", inner)


def read_file(fields: Fields) -> Medium:
    inner = fields.need_inner("fileData")
    uri, media_type = inner.need_name("fileUri"), inner.text("mimeType") or ""
    if _of_the_web(uri):
        source: Source = Remote(uri, media_type)
    else:
        source = Stored(uri)
        if media_type:
            inner.rest["mimeType"] = media_type
    part = medium(media_type or _guess(uri), source)
    return _named(part, fields, "fileData", inner)


def _named(part: Medium, fields: Fields, key: str, inner: Fields) -> Medium:
    if isinstance(part, Document):
        part.name = inner.text("displayName")
    if isinstance(part, Image) and (detail := _detail(fields.rest.get("mediaResolution"))):
        part.detail = detail
        del fields.rest["mediaResolution"]
    fields.keep(key, inner)
    return part


def _detail(said: object) -> str | None:
    """How closely an image is to be looked at, where other wires have that level too; any other stays."""
    return next((word for word, level in RESOLUTIONS.items() if said == {"level": level}), None)


def heard(part: Object) -> Medium | None:
    """The medium in a part of a provider's answer, if it has one."""
    inline, file = as_object(part.get("inlineData")), as_object(part.get("fileData"))
    media_type = as_text(inline.get("mimeType")) or as_text(file.get("mimeType"))
    if data := as_text(inline.get("data")):
        return medium(media_type, Inline(data, media_type))
    if uri := as_text(file.get("fileUri")):
        return medium(media_type or _guess(uri), Remote(uri, media_type) if _of_the_web(uri) else Stored(uri))
    return None


def said(part: Medium, source: Source, known: bool = False) -> Object:
    """The part on this wire. `known`: it came in this wire, so that a missing media type was left out on purpose."""
    match source:
        case Inline(data=data, media_type=media_type):
            return {"inlineData": {**_typed(media_type or ("" if known else _default(part))), "data": data}}
        case Remote(url=url, media_type=media_type):
            guessed = "" if known or _of_youtube(url) else _guess(url) or _default(part)
            return {"fileData": {**_typed(media_type or guessed), "fileUri": url}}
        case Stored(id=uri):
            return {"fileData": {"fileUri": uri}}


def _typed(media_type: str) -> Object:
    return {"mimeType": media_type} if media_type else {}


def _guess(uri: str) -> str:
    return VIDEO if _of_youtube(uri) else guess_type(uri.partition("?")[0])[0] or ""


def _default(part: Medium) -> str:
    return {Image: IMAGE, Audio: AUDIO, Video: VIDEO, Document: DOCUMENT}[type(part)]
