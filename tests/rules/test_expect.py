"""Ceilings: exact against tables of the Poisson distribution, and sound in a simulation of what they promise."""

import math
import random

import pytest

from koban.rules import ExpectationInvalid, ceiling_of
from koban.rules.expect import DOUBT, FAR, FLOOR_PEOPLE, least_surprising, upper_bound


@pytest.mark.parametrize(
    ("count", "bound"),
    # Garwood's one-sided 99 % limits: half the chi-squared quantile with 2 (n + 1) degrees of freedom.
    [(0, 4.605170), (1, 6.638352), (5, 13.108481), (10, 20.144685), (100, 125.838653)],
)
def test_the_upper_bound_is_that_of_the_tables(count: int, bound: float) -> None:
    assert upper_bound(count, DOUBT) == pytest.approx(bound, rel=1e-5)


def test_the_bound_of_large_counts_joins_that_of_small_ones() -> None:
    assert upper_bound(1_001, DOUBT) - upper_bound(1_000, DOUBT) == pytest.approx(1.04, abs=0.1)


@pytest.mark.parametrize("mean", [0.5, 3.0, 40.0, 600.0])
@pytest.mark.parametrize("chance", [1e-3, 1e-7])
def test_the_least_surprising_count_is_the_smallest_with_such_a_tail(mean: float, chance: float) -> None:
    found = least_surprising(mean, chance)

    def tail(count: int) -> float:
        return math.fsum(
            math.exp(each * math.log(mean) - mean - math.lgamma(each + 1)) for each in range(count, count + 2_000)
        )

    assert tail(found) <= chance < tail(found - 1)


def test_a_quiet_rule_has_the_floor_and_a_busy_one_far_more_than_it_does() -> None:
    assert ceiling_of(0, 168) == FLOOR_PEOPLE
    assert ceiling_of(24, 24) == FLOOR_PEOPLE
    assert ceiling_of(168 * 200, 168) > FAR * 200 * 2


def test_sliding_hours_at_three_times_the_rate_do_not_reach_the_ceiling() -> None:
    """Two years of hours at 3 times 60 people an hour: not one sliding hour reaches it."""
    ceiling, chance = ceiling_of(60 * 168, 168), random.Random(7)
    highest, window, at = 0, [0.0], 0.0
    for _ in range(300_000):
        at += chance.expovariate(FAR * 60)
        window.append(at)
        while window[0] <= at - 1:
            window.pop(0)
        highest = max(highest, len(window))
    assert highest < ceiling
    assert highest > ceiling // 3


@pytest.mark.parametrize(("people", "hours"), [(-1, 5), (5, 0), (10**9, 5)])
def test_figures_that_mean_nothing_are_refused(people: int, hours: int) -> None:
    with pytest.raises(ExpectationInvalid):
        ceiling_of(people, hours)
