"""Does docs/operations.md list every event that a line of the log may name, and no other? And are errors explained?"""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_each_event_is_told_of_once() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    section = page.partition("\n| event | it means | what to do |\n")[2].partition("\n\n")[0]
    told = [name for names in re.findall(r"^\| (`[^|]*`) \|", section, re.MULTILINE) for name in names.split("`")[1::2]]
    source = "".join(path.read_text() for path in (ROOT / "proxy").rglob("*.py"))
    said = set(re.findall(r"""["']?event["']?(?:: |=)"([a-z_]+)\"""", source))
    assert len(said) > 30
    assert sorted(told) == sorted(said - {"request"})  # whose line has a table of its own


# What pillion does to itself, and a client never reads.
INNER = {"upstream_aborted"}


def test_each_code_of_an_error_is_on_a_page() -> None:
    pages = "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    told = {word for quoted in re.findall(r"`([^`\n]+)`", pages) for word in re.findall(r"\w+", quoted)}
    source = "".join(path.read_text() for path in (ROOT / "proxy").rglob("*.py"))
    codes = set(re.findall(r"\bcode=\"([a-z_]+)\"", source))
    assert len(codes) > 50
    assert codes - told == INNER
