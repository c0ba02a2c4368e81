"""Drift: the tests keep their promise on rules that do not drift, and find those that do."""

import math
import random

import pytest

from koban.base import DAY, Instant
from koban.insight.drift import (
    CHANGES,
    DEAD_AFTER,
    Drift,
    Watched,
    dead_lists,
    dead_rules,
    drifts,
    lower_bound,
    name_drifts,
    precision_evidence,
    rate_evidence,
)


def rule(name: str, *, people: int, past: int = 280, events: int = 70_000, **more: tuple[int, int]) -> Watched:
    """A rule that matched `past` people in 280,000 events of four weeks."""
    return Watched(
        rule=name, past_events=280_000, past_people=past, past_hours=672, events=events, people=people, **more
    )


def named(*rules: Watched) -> list[tuple[str, str]]:
    return [(each.rule, each.direction) for each in drifts(rules)]


@pytest.mark.parametrize(
    ("people", "found"),
    [
        (70, []),  # as before
        (110, []),  # within the margin
        (45, []),
        (260, [("r", "more")]),
        (5, [("r", "fewer")]),
        (0, [("r", "fewer")]),
    ],
)
def test_a_week_against_four(people: int, found: list[tuple[str, str]]) -> None:
    assert named(rule("r", people=people)) == found


def test_what_is_named_says_by_which_numbers() -> None:
    found = drifts([rule("r", people=260), rule("s", people=70, judged_before=(90, 100), judged_since=(2, 40))])
    more, fewer_right = sorted(found, key=lambda each: each.rule)
    assert (more.now, more.before) == ((260, 70_000), (280, 280_000))
    assert round(more.limit) == 121  # 1.5 times the upper limit of what 280 in 280,000 can be, over 70,000
    assert (fewer_right.now, fewer_right.before, round(fewer_right.limit, 2)) == ((2, 40), (90, 100), 0.78)
    # Five tests, and both are named: 5 / (0.01 * 2), and each of them speaks louder.
    assert {each.needed for each in found} == {250.0}
    assert all(each.evidence >= each.needed for each in found)


def test_twice_the_traffic_is_no_drift_of_the_rule() -> None:
    assert named(rule("r", people=140, events=140_000)) == []


def test_a_rule_that_is_wrong_more_often_is_named_and_one_of_bad_luck_is_not() -> None:
    right = (90, 100)
    assert named(rule("r", people=70, judged_before=right, judged_since=(10, 40))) == [("r", "less_precise")]
    assert named(rule("r", people=70, judged_before=right, judged_since=(33, 40))) == []
    assert named(rule("r", people=70, judged_before=right, judged_since=(0, 1))) == []


def test_a_rule_without_enough_past_is_left_alone() -> None:
    young = Watched(rule="r", past_events=500, past_people=40, past_hours=20, events=500, people=400)
    assert named(young) == []


@pytest.mark.parametrize("ratio", [1.0, 0.9, 0.5])
def test_nobody_can_expect_to_gain_evidence_while_the_rate_is_not_above(ratio: float) -> None:
    """The expectation of the evidence, summed over the whole Poisson distribution, is at most 1."""
    mean, rate = 40.0 * ratio, 40.0 / 1_000
    expectation = math.fsum(
        math.exp(count * math.log(mean) - mean - math.lgamma(count + 1)) * rate_evidence(1_000, count, rate, CHANGES)
        for count in range(2_000)
    )
    assert expectation <= 1 + 1e-9


@pytest.mark.parametrize("true", [0.8, 0.9, 1.0])
def test_nobody_can_expect_to_gain_evidence_while_the_precision_holds(true: float) -> None:
    of, least = 30, 0.8
    expectation = math.fsum(
        math.comb(of, right) * true**right * (1 - true) ** (of - right) * precision_evidence(right, of - right, least)
        for right in range(of + 1)
    )
    assert expectation <= 1 + 1e-9


def test_over_a_hundred_steady_rules_hardly_any_day_names_one() -> None:
    """FDR control: where nothing drifts, a day on which anything is named comes at most once in a hundred."""
    chance = random.Random(5)

    def poisson(mean: float) -> int:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))

    wrong = sum(
        bool(drifts([rule(f"r{place}", people=poisson(70), past=max(21, poisson(280))) for place in range(100)]))
        for _ in range(200)
    )
    assert wrong <= 2


def test_e_bh_names_the_largest_that_together_are_sure_enough() -> None:
    def test(name: str, evidence: float) -> Drift:
        return Drift(rule=name, direction="more", expected=1, found=2, evidence=evidence)

    found = name_drifts([test("a", 400), test("b", 250), test("c", 120), test("d", 1)])
    assert [each.rule for each in found] == ["a", "b"]  # 4/(0.01*2) = 200 <= 250, and 4/(0.01*3) = 133 > 120
    assert name_drifts([test("a", 399)] + [test(f"n{place}", 0.5) for place in range(9)]) == []
    assert name_drifts([]) == []


def test_the_lower_bound_is_that_of_the_tables() -> None:
    # Half the chi-squared quantile of 0.01 with 2 n degrees of freedom.
    assert lower_bound(1, 0.01) == pytest.approx(0.010050, rel=1e-3)
    assert lower_bound(10, 0.01) == pytest.approx(4.130199, rel=1e-5)
    assert lower_bound(0, 0.01) == 0.0


def test_dead_rules_and_the_lists_that_only_they_read() -> None:
    at = Instant(100 * DAY)
    hits = {"old": at - DEAD_AFTER - 1, "fresh": at - DAY}
    dead = dead_rules(hits, ["old", "fresh", "never"], log_since=Instant(0), at=at)
    assert dead == ["never", "old"]
    assert dead_rules(hits, ["never"], log_since=Instant(at - 10 * DAY), at=at) == []
    assert dead_lists({"a": ["old"], "b": ["old", "fresh"], "c": []}, dead) == ["a", "c"]
