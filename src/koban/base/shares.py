"""Shares of a count with honest intervals."""

import math
from typing import Final

import msgspec

Z95: Final = 1.959963984540054


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A share of a count, with its 95 % interval; None where there is nothing to divide by."""

    hits: int
    of: int
    value: float | None
    low: float | None
    high: float | None


def wilson(hits: int, of: int) -> Share:
    """Return hits of a count with its 95 % Wilson score interval.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if of == 0:
        return Share(hits=0, of=0, value=None, low=None, high=None)
    share = hits / of
    centre = share + Z95 * Z95 / (2 * of)
    spread = Z95 * math.sqrt(share * (1 - share) / of + Z95 * Z95 / (4 * of * of))
    scale = 1 + Z95 * Z95 / of
    return Share(
        hits=hits, of=of, value=share, low=max(0.0, (centre - spread) / scale), high=min(1.0, (centre + spread) / scale)
    )
