"""Does each provider still get, and each client still read, what the golden files say?"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.wire.answered import CLIENTS, answers, rendered
from tests.wire.asked import ASKED, TARGETS, asking, features
from tests.wire.paper import HOW, read, spelled

FEATURES = features()
ANSWERS = answers()


def name(path: Path) -> str:
    return path.stem


def changed(now: Mapping[Path, Mapping[str, str]]) -> Iterator[str]:
    """The files that would be written otherwise, are missing, or are nobody's."""
    for folder, files in now.items():
        kept = {path.name: path.read_text() for path in folder.glob("*.json") if path.name != ASKED}
        yield from (f"{folder.name}/{name}" for name in sorted({*kept, *files}) if kept.get(name) != files.get(name))


async def test_what_providers_get() -> None:
    """One gateway for all of them."""
    async with asking() as stage:
        now = {folder: await stage.files(folder) for folder in FEATURES}
    assert [*changed(now)] == [], HOW


@pytest.mark.parametrize("path", ANSWERS, ids=name)
def test_what_clients_read(path: Path) -> None:
    assert path.read_text() == rendered(path), HOW


MADE_UP = {"tools"}  # Converse takes no result without a tool on offer, so that one is made up, and told


def words(value: object) -> Iterator[str]:
    """The keys in a body, however deep, and what it says that an item is."""
    if isinstance(value, dict):
        yield from (*value, str(value.get("type", "")))
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from words(inner)


@pytest.mark.parametrize("folder", FEATURES, ids=name)
def test_a_receipt_speaks_the_clients_words(folder: Path) -> None:
    said = set(words(read(folder / ASKED)["body"])) | MADE_UP
    for target in TARGETS:
        dropped = read(folder / f"{target}.json").get("dropped", [])
        assert {receipt.rpartition(".")[2] for receipt in dropped} <= said, target


@pytest.mark.parametrize("folder", FEATURES, ids=name)
def test_what_cannot_cross_is_refused_with_its_place(folder: Path) -> None:
    """The client is at fault, and is told where: the message begins with a key of its own body."""
    body = read(folder / ASKED)["body"]
    for target in TARGETS:
        refused = read(folder / f"{target}.json").get("refused")
        if refused is not None:
            assert refused["status"] == 400, target
            assert re.split(r"\W", refused["message"])[0] in body, refused["message"]


def test_every_wire_asks_and_answers() -> None:
    """A folder or a file that nobody finds proves nothing."""
    assert len(FEATURES) >= 80
    asked = [read(folder / ASKED)["path"] for folder in FEATURES]
    ways = ("/v1/chat", "/v1/responses", "/v1/messages", "/v1beta/", "/model/", "/api/chat", "/v2/chat")
    assert all(any(path.startswith(way) for path in asked) for way in ways)
    assert {path.name.partition(".")[0] for path in ANSWERS} == set(CLIENTS) == set(TARGETS)


def test_a_change_is_told(tmp_path: Path) -> None:
    for name, text in {ASKED: "{}", "same.json": "1", "other.json": "2", "stale.json": "3"}.items():
        (tmp_path / name).write_text(text)
    found = changed({tmp_path: {"same.json": "1", "other.json": "4", "missing.json": "5"}})
    assert list(found) == [f"{tmp_path.name}/{name}.json" for name in ("missing", "other", "stale")]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 1, "b": [True, None, "ü"]}, '{"a": 1, "b": [true, null, "ü"]}\n'),
        ({"a": ["x" * 110, []]}, '{\n  "a": [\n    "' + "x" * 110 + '",\n    []\n  ]\n}\n'),
        ({"a": {"b": "x" * 90, "c": "y" * 90}},
         '{\n  "a": {\n    "b": "' + "x" * 90 + '",\n    "c": "' + "y" * 90 + '"\n  }\n}\n'),
    ],
)  # fmt: skip
def test_json_is_broken_only_where_it_is_long(value: dict[str, object], text: str) -> None:
    assert spelled(value) == text
