"""Does the live suite do what it says, before echo, which costs nothing?

`make live` is for those who have keys. What is tested here is the suite: each SDK and each check, who is asked, how
often at most, and that a check can fail.
"""

import pytest

from tests.gateway import pillion
from tests.live.checks import CHECKS
from tests.live.providers import CHECKS as NAMES
from tests.live.providers import ROWS, cases, worst_case
from tests.live.purse import ALLOWED, MAX_TOKENS, READ, Purse, Spent
from tests.live.sdks import open_sdk
from tests.live.sdks.talk import Question, Refused, Said

ALONE = cases({})


@pytest.mark.filterwarnings("ignore")  # what an SDK is warned of is its own affair
@pytest.mark.parametrize("sdk", ROWS["echo"].sdks)
async def test_every_sdk_passes_before_echo(sdk: str) -> None:
    async with pillion() as gateway, open_sdk(sdk, gateway.url) as talk:
        for case in (case for case in ALONE if case.sdk == sdk):
            await CHECKS[case.check](talk, case.model)


def test_every_check_is_made_with_every_sdk() -> None:
    assert set(CHECKS) == set(NAMES) == {case.check for case in ALONE}
    assert {case.sdk for case in ALONE} == set(ROWS["echo"].sdks) >= {sdk for row in ROWS.values() for sdk in row.sdks}


def test_without_a_key_nobody_else_is_asked() -> None:
    assert {case.provider for case in ALONE} == {"echo"}
    assert list(worst_case({})) == ["no vendor's key is in the environment: echo alone is asked"]


def test_a_key_makes_a_provider() -> None:
    asked = [case for case in cases({"ANTHROPIC_API_KEY": "x"}) if case.provider != "echo"]
    assert {(case.sdk, case.check) for case in asked if case.check in ("chat", "count_tokens")} == {
        ("anthropic", "chat"),
        ("anthropic", "count_tokens"),
        ("openai_chat", "chat"),
    }
    assert {case.model for case in asked} == {"anthropic/claude-haiku-4-5", "anthropic/no-such-model"}


def test_it_is_said_before_what_it_may_cost() -> None:
    [line] = worst_case({"ANTHROPIC_API_KEY": "x"})
    most = f"at most {11 * READ} tokens read, {11 * MAX_TOKENS} written"
    assert line == f"anthropic, claude-haiku-4-5: 11 calls, {most}"


def test_a_provider_without_a_row_is_asked_for_the_model_that_is_named() -> None:
    assert list(worst_case({"CEREBRAS_API_KEY": "x"})) == [
        "cerebras has a key and no model: set PILLION_LIVE_CEREBRAS_MODEL"
    ]
    named = cases({"CEREBRAS_API_KEY": "x", "PILLION_LIVE_CEREBRAS_MODEL": "m"})
    assert {"cerebras/m", "cerebras/no-such-model"} == {case.model for case in named if case.provider != "echo"}


def test_what_a_model_cannot_do_is_not_asked() -> None:
    asked = cases({"DEEPSEEK_API_KEY": "x"})
    assert "image" not in {case.check for case in asked if case.provider == "deepseek"}


def test_the_environment_of_a_running_pillion_does_not_leak_in() -> None:
    assert cases({"PILLION_UPSTREAM": "nobody", "PILLION_LISTEN": "0.0.0.0:1", "PILLION_CONFIG": "/none"}) == ALONE


def test_a_purse_is_empty_some_day() -> None:
    assert ALLOWED >= 100
    purse = Purse(2)
    purse.take()
    purse.take()
    with pytest.raises(Spent):
        purse.take()


class Parrot:
    """Says whatever it was given, whatever it is asked."""

    def __init__(self, *calls: tuple[str, object], text: str = "", tokens: int = 0) -> None:
        self._said = Said(text, list(calls), tokens)

    async def ask(self, model: str, question: Question, stream: bool) -> Said:
        if self._said.text == "400":
            raise Refused(400, "")
        return self._said

    async def count(self, model: str, question: Question) -> int:
        return self._said.tokens


@pytest.mark.parametrize(
    ("check", "parrot"),
    [
        ("chat", Parrot(tokens=5)),
        ("chat", Parrot(text="Hello")),
        ("stream", Parrot(tokens=5)),
        ("tools", Parrot(("weather", {"city": 1}))),
        ("tools", Parrot(("time", {"city": "Paris"}))),
        ("image", Parrot(text="Blue")),
        ("error", Parrot(text="400")),
        ("count_tokens", Parrot(tokens=0)),
    ],
)
async def test_a_check_can_fail(check: str, parrot: Parrot) -> None:
    with pytest.raises(AssertionError):
        await CHECKS[check](parrot, "m")
