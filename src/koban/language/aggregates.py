"""Formulas over exact totals and kept values that features and DuckDB share, so that both give the same to the last digit."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

from koban.language.types import DECIMAL_MAX, SCALE

T = TypeVar("T")

SQUARES_CUT: Final = 1 << 62  # DuckDB adds up squares in two parts, since their sum may not fit into 128 bits


def deviation(total: int, squares: int, count: int, *, scaled: bool) -> int | None:
    """Return the standard deviation of a sample as a decimal, cut at six digits; NULL below two values or beyond the type.

    Units: `scaled` says that the values are decimals already, scaled by 10^6; the answer always is.
    """
    if count < 2:
        return None
    spread = (count * squares - total * total) * (1 if scaled else SCALE * SCALE)
    root = math.isqrt(spread // (count * (count - 1)))
    return root if root <= DECIMAL_MAX else None


def most_frequent(values: Sequence[T]) -> T | None:
    """Return the value that stands most often among some; of several, the one that was seen last."""
    if not values:
        return None
    counts = Counter(values)
    most = max(counts.values())
    return next(value for value in reversed(values) if counts[value] == most)


def last_distinct(values: Iterable[T], bound: int) -> list[T]:
    """Return the different values that were seen last, at most `bound`, the newest at the end."""
    kept: dict[T, None] = {}
    for value in values:
        kept.pop(value, None)
        kept[value] = None
    return list(kept)[-bound:]
