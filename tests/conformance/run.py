"""How well does pillion stand between every client and every provider?

    python -m tests.conformance.run --failures failures.txt

Prints what the four figures mean, a line of counts for each pair, and the totals; ends with status 1 where a figure is
below its bar. The failures and refusals go to a file, a line each.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import uvloop

from tests import recordings
from tests.conformance.pairs import DEFINITIONS, below, judge, skipped, table
from tests.conformance.report import FIGURES, Figure, Finding
from tests.conformance.scene import providers, scene
from tests.conformance.told import WIRES, Wire, meet

Pair = tuple[Wire, Wire]


def main(argv: Sequence[str]) -> int:
    options = _options(argv)
    if not recordings.present():
        print(f"no recordings: {recordings.why_absent()}")
        return 1
    pairs = [(client, wire) for wire in options.providers for client in options.clients if meet(client, wire)]
    shares = [pairs[number :: options.workers] for number in range(options.workers)]
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(_judged, share, options.figures, options.sample) for share in shares if share]
        findings = sorted(
            (each for job in jobs for each in job.result()), key=lambda f: pairs.index((f.client, f.provider))
        )
    _tell(findings, options.failures)
    return 1 if below(findings) else 0


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="conformance", description="Every client to every provider, as recorded.")
    parser.add_argument("--clients", nargs="*", choices=WIRES, default=WIRES, help="clients' wires")
    parser.add_argument("--providers", nargs="*", choices=WIRES, default=providers(), help="providers' wires")
    parser.add_argument("--figures", nargs="*", choices=FIGURES, default=FIGURES)
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="so many cases of each figure and pair")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes")
    parser.add_argument("--failures", type=Path, default=Path("build/conformance.txt"), metavar="FILE")
    return parser.parse_args(argv)


def _judged(pairs: Sequence[Pair], figures: Sequence[Figure], sample: int) -> list[Finding]:
    logging.disable(logging.CRITICAL)  # thousands of errors are meant
    return uvloop.run(_all(pairs, figures, sample))


async def _all(pairs: Sequence[Pair], figures: Sequence[Figure], sample: int) -> list[Finding]:
    async with scene() as acting:
        return [each for pair in pairs async for each in judge(acting, *pair, figures, sample)]


def _tell(findings: Sequence[Finding], path: Path) -> None:
    for figure, meaning in DEFINITIONS.items():
        print(f"{figure}: {meaning}")
    print("Each as right/all, and in brackets those that were refused by name.\n")
    print("\n".join(table(findings)))
    print("\nnot judged:", *skipped(providers()), sep="\n  ")
    wrong = [each for each in findings if each.verdict != "ok"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{each.line()}\n" for each in wrong))
    failed = sum(each.verdict == "failed" for each in wrong)
    print(f"\n{failed} failures and {len(wrong) - failed} refusals are in {path}")
    print("below the bar:", *below(findings) or ["nothing"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
