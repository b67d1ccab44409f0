"""What would the golden files be now? This writes them."""

import uvloop

from tests.wire.answered import answers, rendered
from tests.wire.asked import ASKED, asking, features


async def write() -> None:
    async with asking() as stage:
        for folder in features():
            files = await stage.files(folder)
            for stale in folder.glob("*.json"):
                if stale.name != ASKED and stale.name not in files:
                    stale.unlink()
            for name, text in files.items():
                (folder / name).write_text(text)
    for path in answers():
        path.write_text(rendered(path))


uvloop.run(write())
