"""What is in a blob, which is base64 text on this wire?

SDKs decode a blob for their user, and encode it again when it goes back: what must come back unchanged has to be base64
as they would write it. Another provider's seal may not be. Then it is wrapped, and unwrapped when the client sends it
back.
"""

from base64 import b64decode, b64encode

from proxy.grammar.filetypes import media_type_of_base64

_WRAPPED = b"pillion:"


def bytes_of(blob: str) -> bytes | None:
    """None where it is not base64."""
    try:
        return b64decode(blob, validate=True)
    except ValueError:
        return None


def blob_of_text(text: str) -> str:
    return b64encode(text.encode()).decode()


def sniff(blob: str) -> str:
    """The format of a file, as its first bytes show it; "" where they do not."""
    return media_type_of_base64(blob).rpartition("/")[2]


def wrap(seal: str) -> str:
    """A seal as a blob that comes back unchanged."""
    held = bytes_of(seal)
    if held is not None and b64encode(held).decode() == seal and not held.startswith(_WRAPPED):
        return seal
    return b64encode(_WRAPPED + seal.encode()).decode()


def unwrap(blob: str) -> str:
    """The seal that a blob stands for."""
    held = bytes_of(blob) or b""
    if not held.startswith(_WRAPPED):
        return blob
    try:
        return held.removeprefix(_WRAPPED).decode()
    except UnicodeDecodeError:
        return blob


def join(blobs: list[str]) -> str:
    """One blob, made of pieces that are base64 each by itself."""
    pieces = [bytes_of(blob) for blob in blobs]
    held = [piece for piece in pieces if piece is not None]
    if len(blobs) == 1 or len(held) < len(blobs):
        return "".join(blobs)
    return b64encode(b"".join(held)).decode()
