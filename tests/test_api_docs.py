"""Does docs/api.md name every route that is served, and every header that is ours?"""

import re
from pathlib import Path

from proxy.headers import READ_BY_US
from tests.gateway import pillion

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "api.md").read_text()


async def test_each_route_is_named() -> None:
    async with pillion(PILLION_QUITQUITQUIT="true") as gateway:
        served = gateway.app.now.for_apps(gateway.app.admin)
    told = [route for route in served if route.operation != "missing"]
    assert [route for route in told if route.path not in PAGE or route.ends not in PAGE] == []


def test_each_header_of_ours_is_named_and_no_other() -> None:
    source = "".join(path.read_text() for path in (ROOT / "proxy").rglob("*.py"))
    ours = set(re.findall(r"x-pillion(?:-[a-z]+)+", source))
    assert set(re.findall(r"x-pillion(?:-[a-z]+)+", PAGE)) == ours


def test_each_header_of_a_request_is_one_that_is_read() -> None:
    """All others of our family are named in the receipt."""
    asked = PAGE.partition("## Headers of a request")[2].partition("## ")[0]
    assert set(re.findall(r"^\| `(x-pillion-[a-z-]+)`", asked, re.MULTILINE)) == READ_BY_US
