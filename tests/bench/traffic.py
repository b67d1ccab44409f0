"""What is asked, how is it told that the answer is good, and how is it asked a hundred thousand times?"""

import json
import subprocess
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

EVENTS = 50  # text deltas in a stream of upstream.c
SYSTEM = "You explain things to engineers, briefly and without jargon."
QUESTION = "What is a sidecar, and why would somebody run one beside an application? Answer in two or three sentences."
# What was said before, where a conversation is long: as agents do, about code, with quotes and line ends in it.
SAID = 'for name in names:\n    print(f"{name}: {sizes[name]}")  # naïve, but it tells how large each of them is\n'
TURNS, TURN = 40, 75  # so many, of so many times SAID: 300 KiB in all


class NotMeasured(Exception):
    """The run cannot be made, or would measure nothing. The message is for a human."""


class Exchange(NamedTuple):
    """A request, and how often each of some words stands in a good answer to it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str
    wanted: Mapping[bytes, int]

    def once(self, port: int, timeout: float) -> bytes:
        """The body of a good answer. Raises OSError or HTTPException, and NotMeasured where the answer is no good."""
        connection = HTTPConnection("127.0.0.1", port, timeout=timeout)
        try:
            connection.request(self.method, self.path, self.body.encode(), dict(self.headers))
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200 or any(body.count(word) != times for word, times in self.wanted.items()):
            raise NotMeasured(f"{self.method} {self.path} got {answer.status} {body[:1000]!r}")
        return body


READINESS = Exchange("GET", "/readiness", {}, "", {})


Asked = tuple[str, dict[str, object]]  # a path and a body
Turns = list[tuple[str, str]]  # who said what


def _turns(is_long: bool) -> Turns:
    said = [("assistant" if number % 2 else "user", SAID * TURN) for number in range(TURNS)]
    return [*(said if is_long else []), ("user", QUESTION)]


def _messages(turns: Turns) -> list[dict[str, str]]:
    return [{"role": who, "content": text} for who, text in turns]


def _openai(model: str, stream: bool, turns: Turns) -> Asked:
    messages = [{"role": "system", "content": SYSTEM}, *_messages(turns)]
    body: dict[str, object] = {"model": model, "messages": messages, "temperature": 0.7, "max_tokens": 256}
    more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    return "/v1/chat/completions", body | more


def _anthropic(model: str, stream: bool, turns: Turns) -> Asked:
    said = {"system": SYSTEM, "messages": _messages(turns), "temperature": 0.7, "max_tokens": 256}
    return "/v1/messages", {"model": model, **said, "stream": stream}


def _responses(model: str, stream: bool, turns: Turns) -> Asked:
    asked: object = _messages(turns) if len(turns) > 1 else QUESTION
    said = {"instructions": SYSTEM, "input": asked, "temperature": 0.7, "max_output_tokens": 256}
    return "/v1/responses", {"model": model, **said, "stream": stream}


def _gemini(model: str, stream: bool, turns: Turns) -> Asked:
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    contents = [{"role": "user" if who == "user" else "model", "parts": [{"text": text}]} for who, text in turns]
    settings = {"temperature": 0.7, "maxOutputTokens": 256}
    said = {"systemInstruction": {"parts": [{"text": SYSTEM}]}, "contents": contents}
    return f"/v1beta/models/{model}:{verb}", {**said, "generationConfig": settings}


class Wire(NamedTuple):
    ask: Callable[[str, bool, Turns], Asked]
    headers: Mapping[str, str]
    last: bytes  # what only a whole stream ends with
    tells: int = 1  # so often a stream tells its text: Responses does in deltas, and in the end of whatever holds it


WIRES = {
    "openai": Wire(_openai, {"Authorization": "Bearer sk-client"}, b"data: [DONE]\n\n"),
    "anthropic": Wire(
        _anthropic, {"x-api-key": "sk-client", "anthropic-version": "2023-06-01"}, b"event: message_stop\n"
    ),
    "responses": Wire(_responses, {"Authorization": "Bearer sk-client"}, b"event: response.completed\n", 5),
    "gemini": Wire(_gemini, {"x-goog-api-key": "sk-client"}, b'"finishReason":"STOP"'),
}


def exchange(wire: str = "openai", *, stream: bool = False, paced: bool = False, is_long: bool = False) -> Exchange:
    """The same question in the words of each wire. By the end of the model's name upstream.c knows to take its time."""
    ask, headers, last, tells = WIRES[wire]
    path, body = ask("gpt-4o-mini-paced" if paced else "gpt-4o-mini", stream, _turns(is_long))
    # Words of upstream.c. What comes at once may be told at once, so that its deltas are no measure.
    wanted = {b" sidecar": EVENTS * tells, last: 1} if stream else {b'"A sidecar is': 1}
    return Exchange("POST", path, {"Content-Type": "application/json", **headers}, json.dumps(body), wanted)


class Load(NamedTuple):
    requests: int  # answered, and well
    failed: int  # refused, broken off, timed out, or answered with another status
    seconds: float
    p50: float  # milliseconds until the last byte, as p99
    p99: float


# wrk calls `done` last. Its latencies and its duration are in microseconds.
SCRIPT = """
wrk.method = "POST"
wrk.body = [==[{body}]==]
{headers}
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('\\n{{"answered":%.0f,"wrong":%.0f,"broken":%.0f,"us":%.0f,"p50":%.0f,"p99":%.0f}}\\n',
    summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration, latency:percentile(50), latency:percentile(99)))
end
"""


def load(exchange: Exchange, port: int, connections: int, seconds: int, folder: Path) -> Load:
    """Let wrk ask as often as it can. Raises NotMeasured where it fails, or nothing is answered well."""
    script = folder / "wrk.lua"
    headers = "\n".join(
        f"wrk.headers[{json.dumps(name)}] = {json.dumps(each)}" for name, each in exchange.headers.items()
    )
    script.write_text(SCRIPT.format(body=exchange.body, headers=headers))
    url = f"http://127.0.0.1:{port}{exchange.path}"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script), url]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise NotMeasured(f"wrk failed with code {ran.returncode}: {ran.stderr or ran.stdout}")
    told = json.loads(ran.stdout.splitlines()[-1])
    good = told["answered"] - told["wrong"]
    if not good:
        raise NotMeasured(f"not one good answer under load from {url}; wrk says:\n{ran.stdout}")
    return Load(good, told["wrong"] + told["broken"], told["us"] / 1e6, told["p50"] / 1e3, told["p99"] / 1e3)
