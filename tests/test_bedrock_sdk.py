"""Does Amazon's own SDK understand what proxy.dialects.bedrock tells it, and is it understood?

boto3 asks a server on the loopback that parses with the dialect and answers what the dialect renders.
"""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from typing import Any
from urllib.parse import unquote

import boto3  # type: ignore[import-untyped]
import pytest

from proxy.canon import (
    Choice,
    Citation,
    Completion,
    Delta,
    Event,
    Image,
    Inline,
    Open,
    Part,
    Request,
    Start,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Usage,
    unfold,
)
from proxy.dialects.bedrock import Bedrock
from proxy.envelope import Envelope
from proxy.errors import (
    BadRequest,
    Busy,
    Down,
    GatewayError,
    OverLimit,
    Timeout,
    Unauthorized,
    UnknownModel,
)
from proxy.ports import Path
from tests import laws

CONFIG = import_module("botocore.config").Config
EXCEPTIONS = import_module("botocore.exceptions")

WIRE = Bedrock()
MODEL = "openai/gpt-4o:latest"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
HELLO: list[Any] = [{"role": "user", "content": [{"text": "hi"}]}]

Answer = tuple[int, list[tuple[str, str]], bytes]


class Server(HTTPServer):
    """Answers every request with what `answer` makes of it."""

    answer: Callable[[Request], Answer]
    asked: Request


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        rest = unquote(self.path.removeprefix("/model/"))
        self.server.asked = WIRE.parse(body, WIRE.peek(Envelope(body), Path(rest)))
        status, headers, answer = self.server.answer(self.server.asked)
        self.send_response(status)
        for name, value in [*headers, ("content-length", str(len(answer)))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Hush."""


@pytest.fixture(name="server")
def a_server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(name="client")
def a_client(server: Server) -> Iterator[Any]:
    client = boto3.client(
        "bedrock-runtime",
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        region_name="us-east-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="none",
        config=CONFIG(retries={"total_max_attempts": 1}),
    )
    yield client
    client.close()


def rendered(events: list[Event]) -> Callable[[Request], Answer]:
    def answer(request: Request) -> Answer:
        renderer = WIRE.renderer(request)
        return 200, [("content-type", renderer.media_type)], laws.say(renderer, events)

    return answer


def sentence(*parts: Part, stop: Stop | None = None) -> list[Event]:
    usage = Usage(input=3, cache_read=4, cache_write=5, cache_write_1h=6, output=7, reasoning=8)
    choice = Choice(parts=list(parts), stop=stop or Stop())
    return list(unfold(Completion(start=Start(id="x", model="m"), choices=[choice], usage=usage)))


PARTS: list[Part] = [
    Thinking(text="hm", signature="sig"),
    Thinking(redacted="c2VhbGVk"),
    Text(text="say 😀"),
    Text(text="cited", citations=[Citation(wire="x", value={}, url="https://x", title="t", quote="q")]),
    Image(source=Inline("iVBORw0KGgoAAAAAAAAAAAAAAAAAAAAAAAAAAA==", "image/png")),
    ToolCall(id="t1", name="f", arguments='{"x": [1, 2.5]}'),
    ToolCall(id="", name="g"),
]
CITATION = {"title": "t", "sourceContent": [{"text": "q"}], "location": {"web": {"url": "https://x"}}}
USAGE = {
    "inputTokens": 3,
    "outputTokens": 15,
    "totalTokens": 33,
    "cacheReadInputTokens": 4,
    "cacheWriteInputTokens": 11,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 6}, {"ttl": "5m", "inputTokens": 5}],
}


def test_boto3_reads_a_whole_answer(server: Server, client: Any) -> None:
    server.answer = rendered(sentence(*PARTS, stop=Stop(reason="tool_use")))
    answer = client.converse(modelId=MODEL, messages=HELLO)
    assert (server.asked.model, server.asked.stream) == (MODEL, False)
    content = answer["output"]["message"]["content"]
    assert content[:6] == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
        {"reasoningContent": {"redactedContent": b"sealed"}},
        {"text": "say 😀"},
        {"citationsContent": {"content": [{"text": "cited"}], "citations": [CITATION]}},
        {"image": {"format": "png", "source": {"bytes": PNG}}},
        {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"x": [1, 2.5]}}},
    ]
    assert content[6]["toolUse"]["input"] == {}
    assert content[6]["toolUse"]["toolUseId"]
    assert answer["output"]["message"]["role"] == "assistant"
    assert (answer["stopReason"], answer["usage"]) == ("tool_use", USAGE)
    assert answer["metrics"]["latencyMs"] >= 0


def test_boto3_reads_a_stream(server: Server, client: Any) -> None:
    server.answer = rendered(sentence(*PARTS, stop=Stop(reason="tool_use")))
    events = list(client.converse_stream(modelId=MODEL, messages=HELLO)["stream"])
    assert (server.asked.model, server.asked.stream) == (MODEL, True)
    assert events[0] == {"messageStart": {"role": "assistant"}}
    assert events[-2] == {"messageStop": {"stopReason": "tool_use"}}
    assert events[-1]["metadata"]["usage"] == USAGE
    said = [
        (event["contentBlockDelta"]["contentBlockIndex"], event["contentBlockDelta"]["delta"])
        for event in events
        if "contentBlockDelta" in event
    ]
    assert said == [
        (0, {"reasoningContent": {"text": "hm"}}),
        (0, {"reasoningContent": {"signature": "sig"}}),
        (1, {"reasoningContent": {"redactedContent": b"sealed"}}),
        (2, {"text": "say 😀"}),
        (3, {"text": "cited"}),
        (3, {"citation": CITATION}),
        (4, {"image": {"source": {"bytes": PNG}}}),
        (5, {"toolUse": {"input": '{"x": [1, 2.5]}'}}),
    ]
    starts = [event["contentBlockStart"] for event in events if "contentBlockStart" in event]
    assert [start["contentBlockIndex"] for start in starts] == [4, 5, 6]
    assert starts[1]["start"] == {"toolUse": {"toolUseId": "t1", "name": "f"}}
    assert [event["contentBlockStop"]["contentBlockIndex"] for event in events if "contentBlockStop" in event] == [
        *range(7)
    ]


def test_what_boto3_asks_is_understood(server: Server, client: Any) -> None:
    server.answer = rendered(sentence(Text(text="a")))
    client.converse(
        modelId="arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0",
        messages=[{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": PNG}}}]}],
        system=[{"text": "be brief"}, {"cachePoint": {"type": "default"}}],
        inferenceConfig={"maxTokens": 9, "temperature": 0.5},
        additionalModelRequestFields={"top_k": 3},
    )
    request = server.asked
    assert request.model.endswith(":inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0")
    assert request.turns[0].parts == [Text(text="be brief", cache={"type": "ephemeral"})]
    (image,) = request.turns[1].parts
    assert isinstance(image, Image)
    assert image.source == Inline("iVBORw0KGgoAAAAAAAAAAAAAAAAAAAAAAAAAAA==", "image/png")
    assert (request.max_tokens, request.temperature, request.top_k, request.extra) == (9, 0.5, 3, {})


def test_an_answer_goes_back_as_it_came(server: Server, client: Any) -> None:
    """What boto3 decoded it encodes again: seals and all."""
    sealed: list[Part] = [Thinking(redacted="gAAAA_-of-another"), Thinking(text="hm", signature="s"), Text(text="a")]
    server.answer = rendered(sentence(*sealed))
    message = client.converse(modelId=MODEL, messages=HELLO)["output"]["message"]
    client.converse(modelId=MODEL, messages=[*HELLO, message, *HELLO])
    assert server.asked.turns[1].parts == sealed


ERRORS: list[tuple[GatewayError, str]] = [
    (BadRequest("it broke"), "ValidationException"),
    (Unauthorized("it broke"), "UnrecognizedClientException"),
    (GatewayError("it broke", status=403), "AccessDeniedException"),
    (UnknownModel("it broke"), "ResourceNotFoundException"),
    (OverLimit("it broke"), "ThrottlingException"),
    (OverLimit("it broke", kind="quota_exceeded", code="insufficient_quota"), "ServiceQuotaExceededException"),
    (GatewayError("it broke"), "InternalServerException"),
    (Down("it broke"), "ServiceUnavailableException"),
    (Down("it broke", upstream_type="ModelErrorException"), "ModelErrorException"),
    (Timeout("it broke"), "ModelTimeoutException"),
]


@pytest.mark.parametrize(("error", "name"), ERRORS, ids=[name for _, name in ERRORS])
@pytest.mark.parametrize("streamed", [False, True])
def test_boto3_raises_what_an_error_is_named(
    server: Server, client: Any, error: GatewayError, name: str, streamed: bool
) -> None:
    head = [("content-type", "application/json"), *WIRE.error_headers(error)]
    server.answer = lambda _: (error.status, head, WIRE.error(error, "req_1"))
    expected = getattr(client.exceptions, name, EXCEPTIONS.ClientError)
    with pytest.raises(expected) as caught:
        (client.converse_stream if streamed else client.converse)(modelId=MODEL, messages=HELLO)
    assert caught.value.response["Error"] == {"Code": name, "Message": "it broke"}
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == error.status


BREAKS: list[tuple[GatewayError, str]] = [
    (BadRequest("it broke"), "validationException"),
    (Busy("it broke"), "throttlingException"),
    (Down("it broke"), "modelStreamErrorException"),
    (Down("it broke", status=503), "serviceUnavailableException"),
    (GatewayError("it broke"), "internalServerException"),
    (Timeout("it broke"), "modelStreamErrorException"),
]


@pytest.mark.parametrize(("error", "name"), BREAKS, ids=[type(error).__name__ for error, _ in BREAKS])
def test_boto3_raises_where_a_stream_breaks(server: Server, client: Any, error: GatewayError, name: str) -> None:
    def answer(request: Request) -> Answer:
        renderer = WIRE.renderer(request)
        begun: list[Event] = [Start(), Open(index=0, part=Text()), Delta(index=0, text="a")]
        said = laws.say(renderer, begun) + renderer.error(error)
        return 200, [("content-type", renderer.media_type)], said

    server.answer = answer
    heard: list[str] = []
    with pytest.raises(EXCEPTIONS.EventStreamError) as caught:
        heard.extend(next(iter(event)) for event in client.converse_stream(modelId=MODEL, messages=HELLO)["stream"])
    assert heard == ["messageStart", "contentBlockDelta"]
    assert caught.value.response["Error"] == {"Code": name, "Message": "it broke"}


def test_models_read_like_the_control_planes(server: Server) -> None:
    shape = import_module("botocore.loaders").Loader().load_service_model("bedrock", "service-2")
    model = import_module("botocore.model").ServiceModel(shape)
    for operation, body in (
        ("ListFoundationModels", WIRE.model_list(["a/b"])),
        ("GetFoundationModel", WIRE.model_card("a/b")),
    ):
        parser = import_module("botocore.parsers").create_parser("rest-json")
        answer = {"status_code": 200, "headers": {}, "body": body}
        read = parser.parse(answer, model.operation_model(operation).output_shape)
        read.pop("ResponseMetadata")
        assert read == json.loads(body)
