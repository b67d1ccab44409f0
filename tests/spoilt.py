"""How is a valid request spoilt, in its bytes or in what they mean?

Requests of every wire and route that pillion has, each of which is answered well; and seeded dice that change one: in
the bytes of its head, in the bytes of its body, or in the values of its JSON, where the head stays true and the change
gets past the door.
"""

import json
import random
from typing import Any

from tests.client import spell

# --- what is asked ---------------------------------------------------------------------------------------------------

TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße"}]
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
TOOL = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
PIXEL = "data:image/png;base64,iVBORw0KGgo="
CHAT = {
    "messages": [
        *TURNS, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c1", "content": "2"},
        {"role": "user", "content": [
            {"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": PIXEL}},
        ]},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": TOOL}}], "tool_choice": "auto", "n": 1,
    "temperature": 0.5, "max_tokens": 9, "stop": ["x"], "stream_options": {"include_usage": True}, "seed": 7,
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": TOOL}}, "logit_bias": {"1": -1},
}  # fmt: skip
MESSAGES = {
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}], "max_tokens": 2000,
    "messages": [
        {"role": "user", "content": "Grüße"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "2"}]},
        ]},
    ],
    "tools": [{"name": "f", "input_schema": TOOL}], "thinking": {"type": "enabled", "budget_tokens": 1024}, "top_k": 3,
}  # fmt: skip
RESPONSES = {
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Grüße"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "2"},
    ],
    "tools": [{"type": "function", "name": "f", "parameters": TOOL}], "text": {"format": {"type": "json_object"}},
    "reasoning": {"effort": "low"}, "store": False, "max_output_tokens": 99,
}  # fmt: skip
CONTENTS = {
    "contents": [
        {"role": "user", "parts": [
            {"text": "Grüße"}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
        ]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"b": 2}}}]},
    ],
    "systemInstruction": {"parts": [{"text": "Be brief."}]}, "tools": [{"functionDeclarations": [{"name": "f"}]}],
    "generationConfig": {"temperature": 0.5, "stopSequences": ["x"], "thinkingConfig": {"thinkingBudget": 100}},
}  # fmt: skip
CONVERSE = {
    "messages": [
        {"role": "user", "content": [{"text": "Grüße"}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"json": {"b": 2}}]}}]},
    ],
    "system": [{"text": "Be brief."}], "inferenceConfig": {"maxTokens": 9, "stopSequences": ["x"]},
    "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": TOOL}}}]},
}  # fmt: skip
OLLAMA = {
    "messages": TURNS,
    "stream": False,
    "options": {"num_predict": 9, "stop": ["x"]},
    "format": TOOL,
    "think": True,
}
COHERE = {"messages": TURNS, "p": 0.5, "safety_mode": "NONE"}
SEEDS: list[tuple[str, dict[str, Any]]] = [
    *(
        (path, {"model": model, **body, "stream": stream})
        for model in ("echo/text", "echo/tool", "openai/m", "anthropic/m")
        for path, body in (("/v1/chat/completions", CHAT), ("/v1/messages", MESSAGES), ("/v1/responses", RESPONSES))
        for stream in (False, True)
    ),
    ("/v1beta/models/echo:generateContent", CONTENTS),
    ("/v1beta/models/openai/m:streamGenerateContent?alt=sse", CONTENTS),
    ("/v1beta/models/anthropic/m:countTokens", {"contents": CONTENTS["contents"]}), ("/model/echo/converse", CONVERSE),
    ("/model/openai%2Fm/converse-stream", CONVERSE),
    ("/model/anthropic%2Fm/invoke", MESSAGES | {"anthropic_version": "bedrock-2023-05-31"}),
    ("/api/chat", {"model": "echo", **OLLAMA}),
    ("/api/generate", {"model": "openai/m", "prompt": "Hi", "stream": False}),
    ("/v2/chat", {"model": "echo/text", **COHERE}), ("/v2/chat", {"model": "anthropic/m", **COHERE}),
    ("/v1/messages/count_tokens", {"model": "openai/m", "messages": MESSAGES["messages"]}),
    ("/openai/deployments/echo/chat/completions?api-version=1", CHAT), ("/api/show", {"model": "echo"}),
]  # fmt: skip
ASKED = ["/v1/models", "/v1/models/echo", "/liveness", "/readiness", "/v1/providers", "/api/tags", "/v1beta/models"]


# --- how it is spoilt ------------------------------------------------------------------------------------------------

Dice = random.Random
WORDS = [
    b"\r\n", b"\n", b"\r", b"\0", b"\t", b" ", b":", b",", b'"', b"\\", b"{", b"}", b"[", b"]", b"\xff",
    b"\xed\xa0\x80", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n",
    b"Host: evil\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"Expect: 100-continue\r\n", b"HTTP/1.0", b"Content-Type: text/plain\r\n", b"Content-Encoding: gzip\r\n",
    b"x-pillion-timeout: 1e999\r\n", b"0\r\n\r\n", b"..", b"%00", b"%2e%2e%2f", b"%ff", b"//", b"?", b"#", b"@",
    b"http://evil.example/", b"\\ud800", b"\\u0000", b"1e999", b"-0", b"9" * 400, b"[" * 500, b'{"a":' * 300, b"NaN",
    b"null", b"true", b"data:", b"GET / HTTP/1.1\r\n", b"A" * 9000,
]  # fmt: skip
NAMES = ["type", "role", "content", "id", "name", "\0", "x" * 2000]
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 0.5, -0.0, 1e308, 5e-324, "", " ", "x",
    "\0", "auto", "none", "user", "assistant", "system", "tool", "text", "image_url", "\U0001f30d", "\ud800",
    "a" * 3000, "..", "http://evil.example", "data:;base64,", "data:image/png;base64,!", "{", "[]", "{}", "null",
    '{"a": 1, "a": 2}', [], {}, [None], [[]], [{}], {"": None}, {"type": "x"}, {"type": None}, {"a": {"b": []}},
    ["a", 1, None], [0] * 50, {"text": 1},
]  # fmt: skip


def bytes_changed(data: bytes, dice: Dice) -> bytes:
    """Somewhere else, more, or less than it was."""
    out = bytearray(data)
    for _ in range(dice.choice([1, 1, 1, 2, 3, 8])):
        at = dice.randrange(len(out) + 1)
        until = min(len(out), at + dice.choice([0, 1, 1, 2, 5, 30, 500]))
        match dice.randrange(5):
            case 0:
                out[at:until] = dice.choice(WORDS)
            case 1:
                out[at:at] = dice.choice(WORDS)
            case 2:
                del out[at:until]
            case 3:
                out[at:at] = out[at:until] * dice.choice([1, 2, 20])
            case _:
                out[at : at + 1] = bytes([dice.randrange(256)])
    return bytes(out)


def value_changed(value: Any, dice: Dice) -> Any:
    """The value with another in the place of one that is in it, or one more, or one less."""
    if dice.random() < 0.05 or not isinstance(value, dict | list) or not value:
        return dice.choice(VALUES)
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = dice.choice(keys)
    changed: Any = value.copy()
    match dice.randrange(12):
        case 0:
            del changed[key]
        case 1 if isinstance(changed, dict):
            changed[dice.choice(NAMES)] = changed[key]
        case 1:
            changed.insert(key, changed[key])
        case 2:
            changed[key] = [changed[key]] * dice.choice([1, 2, 40])
        case _:
            changed[key] = value_changed(changed[key], dice)
    return changed


def body_of(request: dict[str, Any], dice: Dice) -> bytes:
    for _ in range(dice.choice([1, 1, 2, 4])):
        changed = value_changed(request, dice)
        request = changed if isinstance(changed, dict) else request
    return json.dumps(request).encode()


def chunked(path: str, body: bytes, dice: Dice) -> bytes:
    cut = dice.randrange(len(body) + 1)
    parts = [part for part in (body[:cut], body[cut:]) if part]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    return (
        spell("POST", path, headers=[("Transfer-Encoding", "chunked"), ("Content-Type", "application/json")]) + framed
    )


def spoilt(dice: Dice) -> bytes:
    """One request, or two that come at once."""
    path, request = dice.choice(SEEDS)
    match dice.randrange(8):
        case 0:
            return bytes_changed(spell("GET", dice.choice(ASKED)), dice)
        case 1:
            return bytes_changed(chunked(path, json.dumps(request).encode(), dice), dice)
        case 2:
            head, _, body = spell("POST", path, json.dumps(request).encode()).partition(b"\r\n\r\n")
            return bytes_changed(head, dice) + b"\r\n\r\n" + body
        case 3:
            return spell("POST", path, bytes_changed(json.dumps(request).encode(), dice))
        case 4:
            return spell("POST", path, body_of(request, dice)) + bytes_changed(spell("GET", "/liveness"), dice)
        case _:
            return spell("POST", path, body_of(request, dice))
