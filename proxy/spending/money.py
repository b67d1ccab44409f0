"""How is money counted, and how is it written?

In whole nano-dollars, so that sums are exact; it is written in dollars, with all digits.
"""

from decimal import Decimal, InvalidOperation

NANOS = 10**9  # in a dollar
MOST = 10**9  # dollars that anybody may speak of


def dollars(nanos: int) -> str:
    """Such as "0.000123456", without trailing zeros."""
    whole, rest = divmod(abs(nanos), NANOS)
    text = f"{whole}.{rest:09d}".rstrip("0").rstrip(".")
    return f"-{text}" if nanos < 0 else text


def nanos_of(text: str) -> int:
    """Of a number of dollars, rounded down. Raises ValueError: no number, negative, too large."""
    try:
        said = Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None
    if not said.is_finite() or not 0 <= said <= MOST:
        raise ValueError(text)
    return int(said * NANOS)
