"""How is a source written as one URL, its own bytes included?

https://www.rfc-editor.org/rfc/rfc2397
"""

from proxy.canon import Inline, Remote


def url_of(source: Inline | Remote) -> str:
    return source.url if isinstance(source, Remote) else f"data:{source.media_type};base64,{source.data}"
