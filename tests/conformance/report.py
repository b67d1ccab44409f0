"""What did the judge find of one case?"""

from typing import Literal, NamedTuple

from tests.conformance.told import Wire

Figure = Literal["answers", "errors", "requests", "cannot cross"]
FIGURES: tuple[Figure, ...] = ("answers", "errors", "requests", "cannot cross")

Verdict = Literal["ok", "refused", "failed"]
VERDICTS: tuple[Verdict, ...] = ("ok", "refused", "failed")


class Finding(NamedTuple):
    """`verdict`: right; refused, since what cannot be said was refused by name; or failed, and then why."""

    figure: Figure
    client: Wire
    provider: Wire
    case: str
    verdict: Verdict
    why: str = ""

    def line(self) -> str:
        why = " ".join(self.why.split())[:600]
        return f"{self.verdict}\t{self.figure}\t{self.client}\t{self.provider}\t{self.case}\t{why}"
