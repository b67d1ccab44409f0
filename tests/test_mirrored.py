"""Does the log keep quiet about what a client has said, where its provider repeats that in an error?"""

import json
from collections.abc import Callable

import pytest

from proxy.grammar.mirrored import HIDDEN, unmirrored
from proxy.logs import Log, as_json
from tests.client import ANTHROPIC, OPENAI, Speech, chat
from tests.evil import Evil, Scenario
from tests.gateway import telling
from tests.test_logs import Kept

PROMPT = 'My PIN is "4711",\nand my name is Zoe Doe.'
MODEL = "gpt-4o-mini-2024-07-18"
JSON = [("Content-Type", "application/json")]


def body(prompt: str = PROMPT, escaped: bool = True) -> bytes:
    said = {"model": MODEL, "messages": [{"role": "user", "content": prompt}]}
    return json.dumps(said, ensure_ascii=escaped).encode()


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("told", ["{0}", "{0}: no such thing", '"{0}"', "<{0}>"])
@pytest.mark.parametrize("spell", [str, json.dumps, lambda prompt: body(prompt).decode()], ids=["text", "JSON", "body"])
def test_what_repeats_the_request_is_left_out(spell: Callable[[str], str], told: str, escaped: bool) -> None:
    said = unmirrored(f"cannot parse {told.format(spell(PROMPT))}", body(escaped=escaped), [MODEL])
    assert said.startswith("cannot parse ")
    assert HIDDEN in said
    assert not any(word in said for word in ("PIN", "4711", "Doe"))


@pytest.mark.parametrize("size", [0, 200_000])
@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("said", ["Müller wohnt in der Straße äöü", r"C:\new\table\report of John Smith"])
def test_letters_and_backslashes_are_known_in_json_too(said: str, escaped: bool, size: int) -> None:
    assert unmirrored(f"no: {said}", body(f"{'x ' * size}{said}", escaped), [MODEL]).startswith(f"no: {HIDDEN}")


@pytest.mark.parametrize("before", [0, 200_000])
@pytest.mark.parametrize("behind", [0, 200_000])
def test_a_long_request_is_looked_through_at_both_ends(before: int, behind: int) -> None:
    said = unmirrored(f"no: {PROMPT}", body(f"{'x ' * before}{PROMPT}{' y' * behind}"), [MODEL])
    assert ("4711" in said) == (before > 0 and behind > 0)


@pytest.mark.parametrize("message", ["a " * 10_000, "a" * 10_000, "a b a c " * 2_000, "aaa" + " a" * 9_000])
def test_no_message_takes_long(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, and not timed: how often the request is searched."""
    searches = 0

    class Counted(str):
        __slots__ = ()

        def __contains__(self, text: object) -> bool:
            nonlocal searches
            searches += 1
            return super().__contains__(text)  # type: ignore[operator]

    monkeypatch.setattr("proxy.grammar.mirrored._said", lambda body: Counted("a " * 1_000 + "a" * 700))
    unmirrored(message, b"")
    assert searches < 3_000


@pytest.mark.parametrize(
    "said",
    [
        "The model `gpt-4o-mini-2024-07-18` does not exist or you do not have access to it.",
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "messages.0.content: Input should be a valid list",
        "Rate limit reached for requests.",
        "",
    ],
)
def test_what_a_provider_says_itself_stays(said: str) -> None:
    assert unmirrored(said, body("Summarize this: the model does not exist."), [MODEL]) == said


@pytest.mark.parametrize(
    ("speech", "shape"),
    [
        (OPENAI, '{"error": {"message": %s}}'),
        (OPENAI, '{"detail": %s}'),
        (OPENAI, "%s"),
        (ANTHROPIC, '{"type": "error", "error": {"type": "invalid_request_error", "message": %s}}'),
    ],
)
async def test_the_client_hears_it_and_the_log_does_not(speech: Speech, shape: str) -> None:
    secret = "PRIVATE John Doe 4711"
    refused = json.dumps(f"bad request, you sent: {secret}")
    scenario = Scenario(status=400, headers=JSON, body=(shape % refused).encode())
    kept, asked = Kept(), [{"role": "user", "content": secret}]
    log = Log("debug", as_json, kept, str)
    async with Evil(answering=lambda _: scenario) as evil, telling(log, speech.environ(evil.url)) as gateway:
        got = await chat(gateway, speech, speech.request(model=f"{speech.provider}/m", messages=asked))
    assert (got.status, secret.encode() in got.body) == (400, True)
    assert b"bad request, you sent: " in kept.data
    assert secret.encode() not in kept.data
