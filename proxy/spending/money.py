"""How is money counted, and how is it written?

In whole nano-dollars, so that sums are exact; and as dollars, in decimal text that says every one of them.
"""

from decimal import Decimal, InvalidOperation

NANOS = 10**9  # in a dollar
MOST = 10**9  # dollars that anybody may speak of


def dollars(nanos: int) -> str:
    """ "0.000123456", without a nought too many."""
    whole, rest = divmod(abs(nanos), NANOS)
    text = f"{whole}.{rest:09d}".rstrip("0").rstrip(".")
    return f"-{text}" if nanos < 0 else text


def nanos_of(text: str) -> int:
    """Of a number of dollars, rounded down to what can be counted. Raises ValueError: none, negative, too many."""
    try:
        said = Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None
    if not said.is_finite() or not 0 <= said <= MOST:
        raise ValueError(text)
    return int(said * NANOS)
