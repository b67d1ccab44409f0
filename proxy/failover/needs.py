"""What must a model be able to do to answer this request, and can it?

Judged by a look at the body, without parsing it: tools, images, documents, and its length. What is not known about a
model lets the request through, and the provider may refuse it.
"""

import re

from proxy.envelope import Envelope
from proxy.ports import Abilities
from proxy.spending.tokens import BYTES_PER_TOKEN

_TOOLS = ("tools", "toolConfig", "functions")
_image = re.compile(
    rb'"type"\s*:\s*"(?:image|image_url|input_image)"|"image"\s*:\s*\{|"images"\s*:\s*\[\s*"|"(?:mime_?type)"\s*:\s*"image/',
    re.IGNORECASE,
).search
_document = re.compile(
    rb'"type"\s*:\s*"(?:document|file|input_file)"|"document"\s*:\s*\{|"(?:mime_?type)"\s*:\s*"application/pdf',
    re.IGNORECASE,
).search


def is_limited(abilities: Abilities) -> bool:
    """Is there anything that `unable` could find?"""
    return False in (abilities.tools, abilities.images, abilities.documents)


def lacking(envelope: Envelope, abilities: Abilities) -> str:
    """What the request needs and the model lacks, in a few words; "" where nothing is known to be missing."""
    return unable(envelope, abilities) or _too_long(envelope, abilities)


def unable(envelope: Envelope, abilities: Abilities) -> str:
    """The same, but for the length, of which the provider itself knows more."""
    if abilities.tools is False and any(envelope.raw(key) not in (None, b"null", b"[]", b"{}") for key in _TOOLS):
        return "no tools"
    if abilities.images is False and _image(envelope.body):
        return "no images"
    if abilities.documents is False and _document(envelope.body):
        return "no documents"
    return ""


def _too_long(envelope: Envelope, abilities: Abilities) -> str:
    """An image's bytes are no text: the length of a body that has one says nothing."""
    if abilities.context is None or len(envelope.body) <= abilities.context * BYTES_PER_TOKEN:
        return ""
    return "" if _image(envelope.body) or _document(envelope.body) else f"context of {abilities.context} tokens"
