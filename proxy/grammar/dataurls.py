"""How is a source written as one URL, its own bytes included?

https://www.rfc-editor.org/rfc/rfc2397
"""

from proxy.canon import Inline, Remote
from proxy.errors import BadRequest
from proxy.grammar.fields import standard_base64


def url_of(source: Inline | Remote) -> str:
    return source.url if isinstance(source, Remote) else f"data:{source.media_type};base64,{source.data}"


def source_of(url: str, at: str) -> Inline | Remote:
    """Of a client's URL, at this path, on a wire that wants base64 in a data: URL. Raises BadRequest."""
    if url[:5].lower() != "data:":
        return Remote(url)
    head, comma, data = url[5:].partition(",")
    if not comma or head[-7:].lower() != ";base64":
        raise BadRequest(f"{at} must be a web URL, or a data: URL in base64.", param=at)
    return Inline(standard_base64(data), head[:-7])
