"""Is a stream that ends too early the same error on every wire, so that one alert is enough?"""

import json
import re

import pytest

from proxy import registry
from proxy.errors import Down
from proxy.framing.eventstream import EventStream, encode_message
from tests import laws
from tests.test_depth import WIRES, head_of, whole
from tests.test_words import said


def events_of(wire: str, stream: bytes) -> list[bytes]:
    if wire == "bedrock":
        return [encode_message(head_of(each), each.payload) for each in EventStream().feed(stream)]
    end = rb"\n" if wire == "ollama" else rb"\r?\n\r?\n"
    return re.findall(rb"(?s).+?" + end, stream)


@pytest.mark.parametrize("wire", WIRES)
def test_a_stream_that_ends_before_its_answer_says_so_in_the_same_words(wire: str) -> None:
    events, _ = laws.listen(registry.dialect(wire).decoder(False), [json.dumps(whole(wire)).encode()])
    stream = events_of(wire, said(wire, events, True))
    _, error = laws.listen(registry.dialect(wire).decoder(True), stream[: len(stream) // 2])
    assert isinstance(error, Down)
    told = "The provider's answer ended before it was complete."
    assert (error.kind, error.code, error.message) == ("server_error", "upstream_cut", told)
