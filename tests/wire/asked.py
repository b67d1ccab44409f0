"""What does each provider get of a client's request?

Seen where a provider would see it: a pillion with a provider for each wire stands before an upstream that is all of
them. So the files show both lanes, and what adapters do to path and envelope.
"""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import quote

from tests.client import Got, ask
from tests.evil import Evil, Received, Scenario
from tests.gateway import Gateway, pillion
from tests.wire.paper import HERE, Json, read, spelled

ASKED = "asked.json"


class Target(NamedTuple):
    """A provider's model, and the provider's row in config.yaml."""

    model: str
    row: Json


_CLAUDE = "claude-sonnet-4-5"
_CLAUDE_ON_BEDROCK = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"

TARGETS: Mapping[str, Target] = {
    "openai_chat": Target("gpt-5.1", {"kind": "openai", "dialects": ["openai_chat"]}),
    "openai_responses": Target("gpt-5.1", {"kind": "openai", "dialects": ["openai_responses"]}),
    "anthropic": Target(_CLAUDE, {"kind": "anthropic"}),
    "gemini": Target("gemini-2.5-flash", {"kind": "gemini"}),
    "bedrock": Target(_CLAUDE_ON_BEDROCK, {"kind": "bedrock", "location": "us-east-1"}),
    "ollama": Target("qwen3:8b", {"kind": "ollama"}),
    "cohere": Target("command-a-03-2025", {"kind": "cohere"}),
}

# The same wires in other envelopes, for the features whose `also` names them.
HOSTS: Mapping[str, Target] = {
    "azure": Target("my-gpt", {"kind": "azure", "api_version": "2024-10-21", "dialects": ["openai_chat"]}),
    "bedrock_invoke": Target(
        _CLAUDE_ON_BEDROCK, {"kind": "bedrock", "location": "us-east-1", "dialects": ["bedrock_invoke"]}
    ),
    "vertex_claude": Target(_CLAUDE, {"kind": "vertex", "project": "p", "location": "us-east5"}),
}

_KEY = "ya29.golden"  # begins as a token of Google's does, which Vertex AI needs


class Asked(NamedTuple):
    """A client's request: `path` and `body` as they are sent, but for the model's name."""

    path: str
    body: Json
    headers: Sequence[tuple[str, str]] = ()
    also: Sequence[str] = ()

    @classmethod
    def at(cls, folder: Path) -> "Asked":
        said = read(folder / ASKED)
        return cls(said["path"], said["body"], tuple(said.get("headers", {}).items()), said.get("also", ()))


def features() -> list[Path]:
    return sorted(path.parent for path in HERE.glob(f"*/{ASKED}"))


class Asking:
    """One gateway before one upstream."""

    def __init__(self, gateway: Gateway, evil: Evil) -> None:
        self._gateway = gateway
        self._evil = evil

    async def files(self, folder: Path) -> dict[str, str]:
        """The files of a feature, by their names."""
        asked = Asked.at(folder)
        targets = {**TARGETS, **{host: HOSTS[host] for host in asked.also}}
        return {f"{name}.json": spelled(await self._gets(name, to.model, asked)) for name, to in targets.items()}

    async def _gets(self, provider: str, model: str, asked: Asked) -> Json:
        """Whatever is refused upstream was sent there; what is refused here was not."""
        self._evil.requests.clear()
        self._evil.answers.clear()
        path, body = _named(asked, f"{provider}/{model}")
        got = await ask(self._gateway, "POST", path, body, asked.headers)
        dropped = {"dropped": names.split(", ")} if (names := got.header("x-pillion-dropped")) else {}
        if not self._evil.requests:
            return {"refused": _refusal(got), **dropped}
        received = self._evil.requests[-1]
        return {"path": received.target, **dropped, "body": json.loads(received.body)}


@asynccontextmanager
async def asking() -> AsyncIterator[Asking]:
    """Every request ends with an error of the upstream's: only the way there matters."""

    def refuse(request: Received) -> Scenario:
        return Scenario(status=400, headers=[("content-type", "application/json")], body=b"{}")

    with TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        async with Evil(answering=refuse) as evil:
            config.write_text(json.dumps({"providers": dict(_rows(evil.url))}))  # JSON is YAML
            async with pillion(PILLION_CONFIG=str(config)) as gateway:
                yield Asking(gateway, evil)


def _rows(url: str) -> Iterator[tuple[str, Json]]:
    for name, target in {**TARGETS, **HOSTS}.items():
        path = "/v1" if target.row["kind"] == "openai" else ""
        yield name, {"base_url": url + path, "api_key": _KEY, **target.row}


def _named(asked: Asked, model: str) -> tuple[str, bytes]:
    """Path and body with the model's name. In Bedrock's paths a name is one segment, and in Gemini's it may be more."""
    quoted = quote(model, safe="" if asked.path.startswith("/model/") else "/:")
    body = {**asked.body, "model": model} if "model" in asked.body else asked.body
    return asked.path.replace("MODEL", quoted), json.dumps(body, ensure_ascii=False).encode()


def _refusal(got: Got) -> Json:
    said: Json = json.loads(got.body)
    error: Any = said.get("error", said)
    if isinstance(error, str):
        return {"status": got.status, "message": error}
    param = {"param": error["param"]} if error.get("param") else {}
    return {"status": got.status, **param, "message": error["message"]}
