"""Does docs/operations.md list every event that a line of the log may name, and no other?"""

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
