"""What is told of a configuration beside what its loading finds: of time that has passed, and of a fleet's keys."""

from pathlib import Path

import pytest

from proxy.config import Config, load
from proxy.process.greeting import overlooked, warn
from proxy.process.serving import check

LONG, SHORT = "sk-0123456789abcdef0123456789", "mine"


def configured(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return load(file, {"PILLION_STATE_DIR": str(tmp_path)})


@pytest.mark.parametrize(
    ("expires", "told"),
    [
        ("2020-01-31", "2020-01-31 23:59 UTC"),
        ("2020-01-31T12:00:00+02:00", "2020-01-31 10:00 UTC"),
        ("2999-01-31", ""),
    ],
)
def test_a_key_that_has_expired_is_told_of(expires: str, told: str, tmp_path: Path) -> None:
    config = configured(tmp_path, f"keys: {{app: {{key: {LONG}, expires: '{expires}'}}, other: {{key: {LONG}2}}}}")
    said = f"keys.app.expires: the key expired at {told}, and is refused: remove it, or give it a later date"
    assert list(overlooked(config)) == ([said] if told else [])


@pytest.mark.parametrize(
    ("providers", "told"),
    [
        (f"openai: {{api_keys: [{LONG}, {SHORT}]}}", "openai"),
        (f"openai: {{api_keys: [{SHORT}, {LONG}]}}, groq: {{api_keys: [{SHORT}, {SHORT}2]}}", "openai, groq"),
        (f"openai: {{api_keys: [{LONG}, {LONG}2]}}", ""),
        (f"openai: {{api_key: {SHORT}}}", ""),  # there is no other that could be asked in its place
    ],
)
def test_keys_that_a_fleet_is_not_told_of_are_told_of(providers: str, told: str, tmp_path: Path) -> None:
    said = (
        "store: a key with fewer than 20 characters could be guessed from what Redis is told of it, so each sidecar"
        f" finds out by itself which keys are refused: see {told}"
    )
    alone = configured(tmp_path, f"providers: {{{providers}}}")
    fleet = configured(tmp_path, f"providers: {{{providers}}}\nstore: redis://127.0.0.1:1")
    assert list(overlooked(alone)) == []
    assert list(overlooked(fleet)) == ([said] if told else [])


def test_the_log_and_the_check_tell_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(tmp_path, f"keys: {{app: {{key: {LONG}, expires: '2020-01-31'}}}}")
    warn(config, ())
    assert [vars(record)["event"] for record in caplog.records] == ["doubtful_setting"]
    warn(config, (), before=config)
    assert len(caplog.records) == 1
    assert check(config) == 0
    assert "pillion: warning: keys.app.expires: the key expired at 2020-01-31" in capsys.readouterr().err
