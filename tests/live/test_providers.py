"""Does every provider that can be asked do what is asked of it?"""

import os
from collections.abc import AsyncIterator

import pytest

from proxy.logs import SILENT
from tests.gateway import Gateway, telling
from tests.live.checks import CHECKS
from tests.live.providers import Case, cases, environment
from tests.live.purse import Purse
from tests.live.sdks import open_sdk

PURSE = Purse()


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with telling(SILENT, environment(os.environ)) as there:
        yield there


@pytest.mark.filterwarnings("ignore")  # what an SDK is warned of is its own affair
@pytest.mark.parametrize("case", cases(os.environ), ids=str)
async def test_live_provider(gateway: Gateway, case: Case) -> None:
    if case.provider != "echo":
        PURSE.take()
    async with open_sdk(case.sdk, gateway.url) as talk:
        await CHECKS[case.check](talk, case.model)
