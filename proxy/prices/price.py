"""What does one model cost at one provider?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from proxy.canon import Usage
from proxy.prices.rates import Rates

MOST = 10**18  # nano-dollars: a thousand million dollars, and the ledger's integers hold nine of them

# What providers call the tier that costs what their list says. The last three are paid for in advance, and counted as
# if they were not.
STANDARD = frozenset(
    "standard default auto standard_only on_demand traffic_type_unspecified unspecified"
    " provisioned_throughput scale reserved".split()
)
CHEAPER = frozenset({"batch", "flex"})  # wherever they have a price, it is below the standard one
OTHER = "?"  # no provider's word


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Price:
    """`source`: where the price is from, for the ledger.

    `is_known`: it is no guess. `is_free`: no usage costs anything. `tiers`: the same model's prices by the words for
    its tiers, and OTHER for all other words; empty: one price for all.
    """

    source: str
    rates: Rates
    is_known: bool = True
    tiers: "Mapping[str, Price]" = field(default_factory=dict)

    @property
    def is_free(self) -> bool:
        return self.rates.is_free

    def __repr__(self) -> str:
        return f"<Price {self.source}{'' if self.is_known else ', a guess'}{', free' if self.is_free else ''}>"

    def at(self, tier: str) -> "Price":
        """In another tier, named in the provider's words; a guess where the list has no price for it."""
        if not tier or not self.tiers:
            return self
        return self.tiers.get(tier) or self.tiers.get(_plain(tier)) or self.tiers[OTHER]

    def guessed(self) -> "Price":
        """The same, where it is not certain that it is this one."""
        return Price(self.source, self.rates, False, self.tiers)

    def cost(self, usage: Usage, tier: str = "") -> int:
        """Nano-dollars, rounded half to even; never negative.

        `tier`: the one that served the request; else the one that the answer names counts; else the price's own.
        """
        rates = self.at(tier or usage.tier).rates
        nanos, rest = divmod(rates.total(usage), rates.denominator)
        if rest and (rest * 2 > rates.denominator or (rest * 2 == rates.denominator and nanos & 1)):
            nanos += 1
        return nanos if nanos < MOST else MOST

    def exact(self, usage: Usage) -> Fraction:
        """Nano-dollars before rounding, in the tier that the answer names."""
        rates = self.at(usage.tier).rates
        return Fraction(rates.total(usage), rates.denominator)

    def bound(self, input_tokens: int, output_tokens: int) -> int:
        """Nano-dollars that no usage of so many tokens exceeds, whatever their kinds. A provider's tools are extra."""
        nanos = -(-self.rates.most(input_tokens, output_tokens) // self.rates.denominator)
        return nanos if nanos < MOST else MOST


def _plain(tier: str) -> str:
    """Without the prefix that Google's enums and Vertex's traffic types have: ON_DEMAND_FLEX."""
    return tier.lower().removeprefix("service_tier_").removeprefix("on_demand_")
