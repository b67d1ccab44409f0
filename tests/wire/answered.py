"""What do the clients of each wire read of a provider's answer?

Whole answers: that a stream says the same is a law of its own (tests/laws.py). The clock stands still.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proxy import registry
from proxy.canon import Event, Reasoning, Request, Text, Turn
from proxy.errors import Unrepresentable
from proxy.lanes.sieve import Sieve
from proxy.ports import Dialect
from proxy.sealing.seals import Sealer
from tests.wire.paper import HERE, Json, read, spelled

CLIENTS = ("openai_chat", "openai_responses", "anthropic", "gemini", "bedrock", "ollama", "cohere")
CREATED = 1735689600  # seconds since 1970

_CLOCKED = {"openai_chat", "openai_responses", "bedrock", "ollama"}


def answers() -> list[Path]:
    return sorted((HERE / "answers").glob("*.json"))


def rendered(path: Path) -> str:
    """The file, with what the clients read written anew. Its name begins with the provider's wire."""
    provider, _, _ = path.name.partition(".")
    said = read(path)["answered"]
    events = _events(provider, said)
    return spelled({"answered": said, "clients": {client: _read(client, events) for client in CLIENTS}})


def _events(provider: str, said: Json) -> list[Event]:
    decoder, sealer = registry.dialect(provider).decoder(stream=False), Sealer(provider)
    body = json.dumps(said, ensure_ascii=False).encode()
    return sealer.feed([*decoder.feed(body), *decoder.close()])


def _read(client: str, events: list[Event]) -> Json:
    dialect = _dialect(client)
    renderer, sieve = dialect.renderer(_request(client)), Sieve(client, dialect.cites, dialect.declines)
    try:
        body: Json = json.loads(b"".join(map(renderer.feed, sieve.feed(events))))
    except Unrepresentable as error:
        return {"refused": error.message}
    return {"dropped": sieve.dropped, "body": body} if sieve.dropped else body


def _dialect(name: str) -> Dialect:
    clock: Mapping[str, Any] = {"clock": lambda: float(CREATED)} if name in _CLOCKED else {}
    made: Dialect = type(registry.dialect(name))(**clock)
    return made


def _request(client: str) -> Request:
    """One that wants to see thoughts, where a wire lets a client say so."""
    asked = Turn(role="user", parts=[Text(text="Hi")])
    return Request(wire=client, model="MODEL", turns=[asked], reasoning=Reasoning(summary="auto"))
