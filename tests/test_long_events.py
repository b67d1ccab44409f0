"""How much memory does one long event of a stream take, or a line that never ends, and what if it is too long?"""

import tracemalloc
from collections.abc import Iterator

import pytest

from proxy import registry
from proxy.dialects.ollama.meter import MAX_LINE
from proxy.errors import UpstreamError
from proxy.framing import MAX_EVENT, MAX_FRAME, Unframed
from proxy.framing.bounds import MAX_PASSED

HEADS = {
    "openai_chat": b'data: {"id":"a","model":"m","choices":[{"index":0,"delta":{"content":"',
    "openai_responses": b'data: {"type":"response.output_text.delta","item_id":"i","output_index":0,"delta":"',
    "gemini": b'data: {"candidates":[{"content":{"parts":[{"text":"',
    "anthropic": b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"',
    "cohere": b'data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"',
    "ollama": b'{"model":"m","message":{"role":"assistant","content":"',
}


def chunks(name: str, size: int) -> Iterator[bytes]:
    """An event of so many bytes that never ends: a new object each, as they come from a socket."""
    yield HEADS[name]
    for at in range(len(HEADS[name]), size, 65536):
        yield b"%d" % (at % 10) * min(65536, size - at)


# Bytes of an event that is kept together: as much as the meter may have to read at once.
WHOLE = dict.fromkeys(HEADS, MAX_EVENT) | {"gemini": MAX_FRAME, "openai_responses": MAX_FRAME, "ollama": MAX_LINE}


@pytest.mark.parametrize("name", HEADS)
def test_a_long_event_that_passes_through_is_there_thrice_at_most(name: str) -> None:
    """As it came, in one piece, and for the meter; and of one that is longer than what a meter reads, no more is."""
    wire = registry.dialect(name)
    meter, gate, size = wire.meter(True), wire.gate(), 64 * 1024 * 1024
    came = 0
    tracemalloc.start()
    try:
        for chunk in chunks(name, size):
            meter.feed(chunk)
            came += len(gate.feed(chunk))
        meter.feed(b"\n\n")
        assert came + len(gate.feed(b"\n\n")) == size + 2
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 3.3 * WHOLE[name]


@pytest.mark.parametrize("name", HEADS)
def test_an_event_that_is_too_long_ends_the_stream_and_says_how_long_one_may_be(name: str) -> None:
    wire = registry.dialect(name)
    gate, decoder = wire.gate(), wire.decoder(True)
    with pytest.raises(Unframed, match=f"an event is longer than {MAX_PASSED} bytes"):
        all(gate.feed(chunk) is not None for chunk in chunks(name, 2 * MAX_PASSED))
    with pytest.raises(UpstreamError, match=f"is longer than {MAX_FRAME} bytes"):
        all(not [*decoder.feed(chunk)] for chunk in chunks(name, 2 * MAX_FRAME))


@pytest.mark.parametrize("opening", [b"data: ", b"["])
def test_the_tokens_of_a_large_picture_are_counted(opening: bytes) -> None:
    """Google tells of them in the event that brings the picture: of the largest one base64 is some 20 MiB."""
    meter = registry.dialect("gemini").meter(True)
    meter.feed(opening + b'{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"')
    for _ in range(20 * 16):
        meter.feed(b"A" * 65536)
    meter.feed(b'"}}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":2000}}')
    meter.feed(b"]" if opening == b"[" else b"\r\n\r\n")
    assert meter.usage is not None
    assert (meter.usage.input, meter.usage.total_output, meter.finished) == (9, 2000, True)
