"""Does an app notice that its operator has swapped the upstream?

The app is OpenAI's SDK, with one base URL and one model's name for good. What changes is PILLION_UPSTREAM.
"""

import json
import random
from pathlib import Path

import pytest

from tests import recordings
from tests.conformance.clients.openai_chat import client
from tests.conformance.readings import READERS
from tests.conformance.scene import KEY, PROVIDERS, is_answer, is_live, played, rows_of
from tests.conformance.told import CROSSING, Wire, differences
from tests.evil import Evil, Received, Scenario
from tests.gateway import pillion
from tests.recordings import Row, needs_recordings

EACH = 8  # whole answers of a provider, and streams


def plain(wire: Wire) -> list[Row]:
    """Answers of text alone, which every wire can tell."""
    found = [row for row in rows_of(wire) if is_answer(row) and not row["request_elided"]]
    texts = [row for row in found if (told := READERS[wire](row)).text and not (told.calls or told.apart)]
    chosen = random.Random(wire)
    by_kind = ([row for row in texts if is_live(row) is live] for live in (False, True))
    return [row for rows in by_kind for row in chosen.sample(rows, min(EACH, len(rows)))]


@needs_recordings
@pytest.mark.parametrize("wire", CROSSING)
async def test_the_same_app_reads_whoever_answers(wire: Wire, tmp_path: Path) -> None:
    name, row = PROVIDERS[wire]
    plays = Scenario()

    def answer(request: Received) -> Scenario:
        return plays

    async with Evil(answering=answer) as evil:
        config = tmp_path / "config.yaml"
        config.write_text(json.dumps({"providers": {name: {"base_url": evil.url, "api_key": KEY, **row}}}))
        environ = {"PILLION_CONFIG": str(config), "PILLION_UPSTREAM": f"{name}/its-own-name"}
        async with pillion(**environ) as gateway, client(gateway.url) as app:
            rows = plain(wire)
            assert {is_live(said) for said in rows} == {False, True}
            for said in rows:
                plays = played(said)
                heard = await app.ask("gpt-4o", is_live(said))
                assert differences(wire, READERS[wire](said), "openai_chat", heard) == [], said["id"]
                recordings.replayed(said)
            assert not any(b"gpt-4o" in each.body for each in evil.requests)
