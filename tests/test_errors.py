"""Does each error have what operators and programs rely on, and can each say more than its class does?"""

import pytest

from proxy import errors
from proxy.errors import (
    BadRequest,
    Busy,
    ConfigError,
    Down,
    GatewayError,
    Kind,
    LedgerUnavailable,
    OverBudget,
    OverLimit,
    Refused,
    Resting,
    Timeout,
    Unauthorized,
    UnknownModel,
    Unrepresentable,
    Unsupported,
    UpstreamError,
    excerpt,
)

# error, status, kind, code, may another target answer
TREE: list[tuple[type[GatewayError], int, Kind, str, bool]] = [
    (GatewayError, 500, "server_error", "internal_error", False),
    (BadRequest, 400, "invalid_request", "invalid_request", False),
    (Unrepresentable, 400, "invalid_request", "unrepresentable", False),
    (UnknownModel, 404, "invalid_request", "model_not_found", False),
    (Unsupported, 501, "invalid_request", "not_implemented", False),
    (Unauthorized, 401, "authentication", "invalid_api_key", False),
    (OverLimit, 429, "rate_limit", "rate_limit_exceeded", False),
    (UpstreamError, 502, "server_error", "upstream_error", True),
    (Refused, 400, "invalid_request", "upstream_refused", False),
    (Busy, 429, "rate_limit", "rate_limit_exceeded", True),
    (OverBudget, 429, "quota_exceeded", "insufficient_quota", False),
    (LedgerUnavailable, 503, "server_error", "ledger_unavailable", False),
    (Down, 502, "server_error", "upstream_error", True),
    (Resting, 503, "server_error", "target_resting", True),
    (Timeout, 504, "timeout", "upstream_timeout", True),
]


@pytest.mark.parametrize(("error", "status", "kind", "code", "elsewhere"), TREE)
def test_an_error_says_what_it_is(
    error: type[GatewayError], status: int, kind: Kind, code: str, elsewhere: bool
) -> None:
    raised = error("It broke.")
    assert (raised.status, raised.kind, raised.code, raised.elsewhere) == (status, kind, code, elsewhere)
    assert (str(raised), raised.message, raised.param, list(raised.headers)) == ("It broke.", "It broke.", None, [])


@pytest.mark.parametrize("error", [row[0] for row in TREE])
def test_any_error_may_be_told_more_and_its_class_stays_as_it_was(error: type[GatewayError]) -> None:
    was = (error.status, error.kind, error.code)
    more = error(
        "It broke.", status=418, kind="unknown", code="teapot", param="messages[2]", headers=[("Retry-After", "3")]
    )
    assert (more.status, more.kind, more.code, more.param) == (418, "unknown", "teapot", "messages[2]")
    assert list(more.headers) == [("Retry-After", "3")]
    assert (error.status, error.kind, error.code) == was


def test_none_is_left_out() -> None:
    found = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, GatewayError)}
    assert found == {row[0] for row in TREE}


def test_the_tree_is_as_failover_and_server_catch_it() -> None:
    assert {row[0] for row in TREE if issubclass(row[0], UpstreamError)} == {
        UpstreamError,
        Refused,
        Busy,
        Down,
        Resting,
        Timeout,
    }
    assert {row[0] for row in TREE if issubclass(row[0], BadRequest)} == {
        BadRequest,
        Unrepresentable,
        UnknownModel,
        Unsupported,
    }


def test_a_mistake_in_the_configuration_is_none_of_a_calls_errors() -> None:
    assert not issubclass(ConfigError, GatewayError)


def test_an_error_of_a_provider_says_whose_it_is() -> None:
    error = Busy("Try later.", provider="groq", upstream_status=529, upstream_type="overloaded_error", body=b"{}")
    assert (error.provider, error.upstream_status, error.upstream_type) == ("groq", 529, "overloaded_error")
    assert (error.body, error.status) == (b"{}", 429)
    silent = Down("It broke.")
    assert (silent.provider, silent.upstream_status, silent.upstream_type, silent.body) == ("", None, "", None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("short", "short"),
        ("x" * 10, "x" * 10),
        ("x" * 11, "…"),
        ("one two three", "one two …"),
        ("word" + " " * 9, "word …"),
        ("one two thre", "one two …"),
        ("one  two three", "one  two …"),
        (" " + "x" * 20, "…"),
        ("one two 34 x", "one two 34 …"),
    ],
)
def test_an_excerpt_cuts_no_word(text: str, said: str) -> None:
    assert excerpt(text, 10) == said
