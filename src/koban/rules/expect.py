"""What a rule is expected to do, from its backtest or its own past, and the ceiling that follows (law 8).

A rule has a budget of people whom it may harm in an hour whatever happens, and a ceiling relative to what is known of
it. A new rule of which nothing is known may act a few times; then a person decides.

Source: Garwood (1936), "Fiducial limits for the Poisson distribution", for the upper bound of the rate.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from koban.db import Tx
from koban.rules import store
from koban.rules.types import ExpectationInvalid, RuleExpected

Undo: TypeAlias = Callable[[], None]

UNPROVEN_ACTIONS: Final = (
    50  # what a new rule may do before a person, a backtest or a day of its own past speaks for it
)
FLOOR_PEOPLE: Final = 100  # a raid is dozens of people within minutes, and no mistake of the rule that stops it
FAR: Final = 3  # times the expected rate that is still no surprise: evenings, campaigns, Mondays
DOUBT: Final = 0.01  # chance that the true rate lies above the bound that is taken for it
FALSE_ALARM: Final = 1e-7  # of one rule in one hour, at FAR times the rate: with 500 rules, once in two years
PEOPLE_MAX: Final = 10**7
EXACT_MAX: Final = 1_000


def ceiling_of(people: int, hours: int) -> int:
    """Return how many people an hour are too many for a rule that touched some people in some hours.

    Sound: if people come at no more than `FAR` times the rate's upper bound, any sliding hour that reaches the ceiling
    lies within two whole hours, so the chance of an alarm in an hour is at most P(Poisson(2 * FAR * bound) >= ceiling),
    which is at most `FALSE_ALARM`.
    """
    if not 0 <= people <= PEOPLE_MAX or hours < 1:
        raise ExpectationInvalid(f"{people} people in {hours} hours cannot be an expectation.")
    bound = upper_bound(people, DOUBT) / hours
    return max(FLOOR_PEOPLE, least_surprising(2 * FAR * bound, FALSE_ALARM))


@functools.lru_cache(maxsize=4_096)
def upper_bound(count: int, doubt: float) -> float:
    """Return the mean above which a count this small would have a chance below `doubt` (Garwood's upper limit)."""
    if count > EXACT_MAX:
        # Wilson and Hilferty's approximation of the chi-squared quantile; its error here is far below one event.
        degrees = 2 * (count + 1)
        z = 2.3263478740408408  # the normal quantile of 0.99
        return 0.5 * degrees * (1 - 2 / (9 * degrees) + z * math.sqrt(2 / (9 * degrees))) ** 3
    low, high = float(count), 2.0 * count + 20
    for _ in range(80):
        middle = (low + high) / 2
        if _at_most(count, middle) > doubt:
            low = middle
        else:
            high = middle
    return high


def least_surprising(mean: float, chance: float) -> int:
    """Return the smallest count that Poisson(mean) reaches with no more than a chance."""
    count = int(mean + 14 * math.sqrt(mean) + 60)
    tail = 0.0
    while count > 0:
        tail += math.exp(count * math.log(mean) - mean - math.lgamma(count + 1)) if mean > 0 else 0.0
        if tail > chance:
            return count + 1
        count -= 1
    return 1


def _at_most(count: int, mean: float) -> float:
    return (
        sum(math.exp(each * math.log(mean) - mean - math.lgamma(each + 1)) for each in range(count + 1))
        if mean
        else 1.0
    )


class LiveCeilings:
    """What is expected of each rule, as the decider knows it. Invariant: equal to folding `apply` over the log."""

    __slots__ = ("_expected",)

    def __init__(self) -> None:
        """Expect nothing."""
        self._expected: dict[str, RuleExpected] = {}

    def load(self, tx: Tx) -> None:
        """Read what holds from the table."""
        self._expected = {each.rule: each for each in store.expectations(tx)}

    def apply(self, change: RuleExpected) -> Undo:
        """Follow one log entry and return what takes it back; undo in reverse order."""
        before = self._expected.get(change.rule)
        self._expected[change.rule] = change

        def undo() -> None:
            self._expected.pop(change.rule, None)
            if before is not None:
                self._expected[change.rule] = before

        return undo

    def of(self, rule: str) -> RuleExpected | None:
        """Return what is expected of a rule; None where nobody has said."""
        return self._expected.get(rule)

    @property
    def all(self) -> Mapping[str, RuleExpected]:
        """Return every expectation."""
        return self._expected
