"""What does a URL say that may hold its own bytes?

https://www.rfc-editor.org/rfc/rfc2397
"""

from proxy.canon import Inline, Remote


def url_of(source: Inline | Remote) -> str:
    return source.url if isinstance(source, Remote) else f"data:{source.media_type};base64,{source.data}"
