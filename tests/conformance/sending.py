"""How is a recorded request sent to pillion as its client's, and what came of it?"""

import json
from typing import NamedTuple
from urllib.parse import quote

from tests.client import Headers, ask
from tests.conformance.scene import Scene
from tests.conformance.told import Json, Wire
from tests.evil import Scenario
from tests.recordings import Row

_PATHS: dict[Wire, str] = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "ollama": "/api/chat",
    "ollama_generate": "/api/generate",
    "cohere": "/v2/chat",
}


class Request(NamedTuple):
    id: str
    body: Json
    stream: bool
    headers: Headers = ()


class Outcome(NamedTuple):
    """What the upstream received, if anything; and what the client was told: status, message, receipt."""

    status: int
    message: str
    dropped: list[str]
    received: Json | None


def request_of(row: Row) -> Request:
    """The recorded request. One that says of itself that it wants a stream does, and so does one whose path did."""
    kept = [(name, value) for name, value in row["request_headers"].items() if name.lower() == "anthropic-beta"]
    return Request(row["id"], row["request_json"], bool(row["streamed"]), kept)


async def send(scene: Scene, client: Wire, provider: Wire, request: Request, plays: Scenario) -> Outcome:
    scene.play(plays)
    path, body = addressed(client, scene.model(provider), request)
    said = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
    headers = [*request.headers, *([("anthropic-version", "2023-06-01")] if client == "anthropic" else [])]
    got = await ask(scene.gateway, "POST", path, said, headers)
    dropped = [name.strip() for name in (got.header("x-pillion-dropped") or "").split(",") if name.strip()]
    received = json.loads(scene.evil.requests[-1].body) if scene.evil.requests else None
    return Outcome(got.status, got.body.decode("utf-8", "replace") if got.status != 200 else "", dropped, received)


def addressed(client: Wire, model: str, request: Request) -> tuple[str, Json]:
    """Path and body: some wires name the model, and ask for a stream, in the path."""
    body = {key: value for key, value in request.body.items() if key not in ("model", "stream", "modelId")}
    match client:
        case "gemini":
            verb = "streamGenerateContent?alt=sse" if request.stream else "generateContent"
            return f"/v1beta/models/{model}:{verb}", body
        case "bedrock":
            return f"/model/{quote(model, safe='')}/converse{'-stream' if request.stream else ''}", body
        case "bedrock_invoke" | "bedrock_native":
            return f"/model/{quote(model, safe='')}/invoke{'-with-response-stream' if request.stream else ''}", body
        case _:
            wants = {"stream": request.stream} if request.stream or client.startswith("ollama") else {}
            return _PATHS[client], {"model": model, **body, **wants}
