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


def wilson(hits: int, of: int, *, sigma: float = Z95) -> Share:
    """Return hits of a count with its Wilson score interval: of 95 %, or so many standard deviations wide.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if of == 0:
        return Share(hits=0, of=0, value=None, low=None, high=None)
    share = hits / of
    centre = share + sigma * sigma / (2 * of)
    spread = sigma * math.sqrt(share * (1 - share) / of + sigma * sigma / (4 * of * of))
    scale = 1 + sigma * sigma / of
    return Share(
        hits=hits, of=of, value=share, low=max(0.0, (centre - spread) / scale), high=min(1.0, (centre + spread) / scale)
    )
