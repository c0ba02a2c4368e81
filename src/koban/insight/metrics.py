"""Precision, recall and false alarms with honest intervals."""

import hashlib
import math
import unicodedata
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


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """How something that flags did on labelled rows."""

    name: str
    flagged: int
    true: int
    false: int
    unknown: int  # flagged rows that the file says nothing about
    precision: Share
    recall: Share
    false_alarms: Share  # of all honest rows


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


def measure(name: str, *, true: int, false: int, unknown: int, harmful: int, honest: int) -> Measured:
    """Measure something that flagged `true` harmful and `false` honest rows of `harmful` and `honest` in all."""
    return Measured(
        name=name,
        flagged=true + false + unknown,
        true=true,
        false=false,
        unknown=unknown,
        precision=wilson(true, true + false),
        recall=wilson(true, harmful),
        false_alarms=wilson(false, honest),
    )


def is_test(group: str) -> bool:
    """Tell whether a group belongs to the test part: when the first hex digit of its SHA-1 is d, e or f.

    The group is normalised by NFKC and lower case first, so that copies of a text fall on one side.
    """
    normal = unicodedata.normalize("NFKC", group).lower()
    return hashlib.sha1(normal.encode(), usedforsecurity=False).hexdigest()[0] in "def"
