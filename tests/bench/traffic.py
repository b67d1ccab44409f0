"""What is asked, how is it told that the answer is good, and how is it asked a hundred thousand times?"""

import json
import subprocess
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

EVENTS = 50  # text deltas in a stream of upstream.c
SYSTEM = "You explain things to engineers, briefly and without jargon."
QUESTION = "What is a sidecar, and why would somebody run one beside an application? Answer in two or three sentences."


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


def openai(*, stream: bool = False, paced: bool = False) -> Exchange:
    turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    body: dict[str, object] = {"model": _model(paced), "messages": turns, "temperature": 0.7, "max_tokens": 256}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    headers = {"Content-Type": "application/json", "Authorization": "Bearer sk-client"}
    return Exchange("POST", "/v1/chat/completions", headers, json.dumps(body), _wanted(stream, b"data: [DONE]\n\n"))


def anthropic(*, stream: bool = False) -> Exchange:
    turns = [{"role": "user", "content": QUESTION}]
    body = {"model": _model(), "system": SYSTEM, "messages": turns, "temperature": 0.7, "max_tokens": 256}
    headers = {"Content-Type": "application/json", "x-api-key": "sk-client", "anthropic-version": "2023-06-01"}
    wanted = _wanted(stream, b"event: message_stop\n")
    return Exchange("POST", "/v1/messages", headers, json.dumps(body | {"stream": stream}), wanted)


def _model(paced: bool = False) -> str:
    """By the end of the name upstream.c knows that it is to take its time."""
    return "gpt-4o-mini-paced" if paced else "gpt-4o-mini"


def _wanted(stream: bool, last: bytes) -> Mapping[bytes, int]:
    """Words of upstream.c, which every wire spells alike, and what only a whole stream ends with."""
    return {b'" sidecar"': EVENTS, last: 1} if stream else {b'"A sidecar is': 1}


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
