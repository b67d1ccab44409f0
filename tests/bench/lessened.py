"""What would pillion be without some of its chain? It is served here, by the environment, less one or the other part.

    python tests/bench/lessened.py [money] [failover]

`money`: without auth, limits and cost, and so without a row in the ledger. `failover`: whoever the model's name means
is asked, once, and nobody counts how it went. Never to be run for anything but `chain.py`'s figures.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # started by path, not by name

from proxy import assembly
from proxy.app import App
from proxy.assembly import Assembly
from proxy.config import Source
from proxy.failover.attempts import attempt
from proxy.middleware.auth import Auth
from proxy.middleware.cost import Cost
from proxy.middleware.failover import Failover
from proxy.middleware.ratelimit import RateLimit
from proxy.ports import Call, Handler, Reply
from proxy.process import serving
from proxy.reports.active import Active
from proxy.routes import Ways

PARTS = {"money": (Auth, RateLimit, Cost), "failover": (Failover, Active)}


class Lessened(Assembly):
    less: Sequence[str] = ()

    def _make_ways(self) -> Ways:
        ways, gone = super()._make_ways(), tuple(kind for part in self.less for kind in PARTS[part])
        call = [each for each in ways.call if not isinstance(each, gone)]
        return ways._replace(call=[*call, self._straight] if "failover" in self.less else call)

    async def _straight(self, call: Call, handler: Handler) -> Reply:
        plan = self.planner.known_plan(call.model, call.key) or await self.planner.plan(call.model, call.key)
        call.target = plan.targets[0]
        return await attempt(call, handler)


if __name__ == "__main__":
    Lessened.less = sys.argv[1:]
    assembly.Assembly = Lessened  # type: ignore[misc]
    App.__init__.__globals__["Assembly"] = Lessened
    source = Source(environ=os.environ)
    sys.exit(serving.serve(source.load(), source))
