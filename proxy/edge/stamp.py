"""What do we say of an answer in its head, besides what the provider says?"""

from functools import lru_cache
from time import monotonic
from urllib.parse import quote

from proxy.grammar.receipts import in_header
from proxy.headers import request_ids
from proxy.ports import Call
from proxy.spending.money import dollars

_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))


def our_lines(call: Call | None, request_id: str, is_whole: bool) -> bytes:
    """The header lines that we add to an answer. Only of a whole one is the cost known before its head goes out."""
    upstream_id = (call.upstream_id if call is not None else "") or request_id
    dialect = call.dialect.name if call is not None else ""
    lines = f"{request_ids(upstream_id, dialect)}x-pillion-request-id: {request_id}\r\nserver: pillion\r\n"
    if call is not None:
        if (target := call.target) is not None:
            lines += f"{_target_lines(target.adapter.name, target.model)}x-pillion-attempts: {call.attempts}\r\n"
        ours = monotonic() - call.started - call.waited - call.delayed
        lines += f"x-pillion-overhead-ms: {ours * 1000:.2f}\r\n"
        if is_whole and call.bill is not None and call.attempts:
            lines += f"x-pillion-cost-usd: {dollars(call.spent)}\r\n"
            if call.is_guess:
                lines += "x-pillion-cost-estimated: true\r\n"
        if call.dropped:
            lines += f"x-pillion-dropped: {', '.join(map(_visible, in_header(call.dropped)))}\r\n"
    return lines.encode("utf-8", "surrogateescape")


@lru_cache(maxsize=128)
def _target_lines(provider: str, model: str) -> str:
    return f"x-pillion-provider: {provider}\r\nx-pillion-model: {_visible(model)}\r\n"


def _visible(text: str) -> str:
    """A client's text, fit for a header: what is not printable ASCII is percent-encoded."""
    if text.isascii() and text.isprintable():
        return text
    return quote(text, safe=_PRINTABLE, errors="backslashreplace")
