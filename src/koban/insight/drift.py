"""Whether rules still do what they did: sequential tests that may be looked at every hour, over all rules at once.

A test here is an e-process: a number that starts at 1 and that nobody can expect to be above 1, whenever they choose to
look, while all is as before; its chance of ever reaching 1/a is at most a (Ville's inequality). It is the mean of
likelihood ratios against several changes, so it finds small ones in the long run and large ones at once.

What counts as "as before" is wide on purpose: a rate within `MARGIN` times the 99 % limits of the rule's own past, and
a precision no more than `LOSS` below the lower limit of the past one. So what is named is large as well as sure.

Over all rules and tests, e-values are combined by the e-Benjamini-Hochberg procedure, which needs no independence: of
the drifts named on a day, at most `FALSE_SHARE` are wrong in expectation.

Sources: Ville (1939); Wald (1945) for mixtures of ratios; Wang and Ramdas (2022), "False discovery rate control with
e-values"; Garwood (1936) and Wilson (1927) for the limits of the past.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from koban.base import DAY, Instant, wilson
from koban.rules import upper_bound

Direction = Literal["more", "fewer", "less_precise"]

PAST: Final = 28 * DAY  # what is compared with
WATCHED: Final = 7 * DAY  # what is compared
PAST_HOURS_MIN: Final = 72
PAST_PEOPLE_MIN: Final = 20
JUDGED_MIN: Final = 20
MARGIN: Final = 1.5
LOSS: Final = 0.05
DOUBT: Final = 0.01
FALSE_SHARE: Final = 0.01
CHANGES: Final = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)  # times as many, or as few
DEAD_AFTER: Final = 30 * DAY
LOG_MAX: Final = 600.0


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that no longer does what it did, with the numbers of the test that says so.

    `evidence` is the e-value: 1,000 means a chance of 1 in 1,000 at most, whenever one looks. `needed` is what named it
    among all tests of the day.
    Units: people and events for `more` and `fewer`, cases that were right and judged cases for `less_precise`.
    """

    rule: str
    direction: Direction
    expected: float  # people, or the precision before
    found: float
    evidence: float
    limit: float = 0.0  # people, or the precision, up to which nothing would have been wrong
    now: tuple[int, int] = (0, 0)  # people of events, or right of judged, in the watched week
    before: tuple[int, int] = (0, 0)  # the same in the four weeks before
    needed: float = 0.0


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one rule: its past, and what came since; people count once in each hour."""

    rule: str
    past_events: int
    past_people: int
    past_hours: int
    events: int
    people: int
    judged_before: tuple[int, int] = (0, 0)  # right, of
    judged_since: tuple[int, int] = (0, 0)


def drifts(rules: Sequence[Watched]) -> list[Drift]:
    """Return the rules that drifted, the surest first."""
    found = [each for rule in rules for each in tests_of(rule)]
    return name_drifts(found)


def tests_of(rule: Watched) -> list[Drift]:
    """Return every test of a rule with its evidence, whether it says anything or not."""
    tests: list[Drift] = []
    if rule.past_hours >= PAST_HOURS_MIN and rule.past_people >= PAST_PEOPLE_MIN and rule.past_events:
        high = upper_bound(rule.past_people, DOUBT) / rule.past_events * MARGIN
        low = lower_bound(rule.past_people, DOUBT) / rule.past_events / MARGIN
        events, people = rule.events, rule.people
        expected = rule.past_people / rule.past_events * events
        more = rate_evidence(events, people, high, CHANGES)
        fewer = rate_evidence(events, people, low, tuple(1 / each for each in CHANGES))
        sides: tuple[tuple[Direction, float, float], ...] = (("more", more, high), ("fewer", fewer, low))
        tests += [
            Drift(
                rule=rule.rule, direction=direction, expected=expected, found=people, evidence=evidence,
                limit=rate * events, now=(people, events), before=(rule.past_people, rule.past_events),
            )
            for direction, evidence, rate in sides
        ]  # fmt: skip
    right, of = rule.judged_before
    right_since, of_since = rule.judged_since
    if of >= JUDGED_MIN and of_since:
        least = min(0.99, max(0.01, (wilson(right, of).low or 0.0) - LOSS))
        tests.append(
            Drift(
                rule=rule.rule,
                direction="less_precise",
                expected=right / of,
                found=right_since / of_since,
                evidence=precision_evidence(right_since, of_since - right_since, least),
                limit=least,
                now=rule.judged_since,
                before=rule.judged_before,
            )
        )
    return tests


def rate_evidence(events: int, people: int, rate: float, changes: Sequence[float]) -> float:
    """Return the evidence that people come at another rate per event.

    With changes above 1 it speaks against every rate up to `rate`, with changes below 1 against every rate from it on.
    """
    mean = rate * events
    return _mixture([people * math.log(each) - (each - 1) * mean for each in changes])


def precision_evidence(right: int, wrong: int, least: float) -> float:
    """Return the evidence that fewer than `least` of what is judged is right."""
    worse = [least / each for each in CHANGES]
    return _mixture([right * math.log(one / least) + wrong * math.log((1 - one) / (1 - least)) for one in worse])


def name_drifts(tests: Sequence[Drift], *, share: float = FALSE_SHARE) -> list[Drift]:
    """Return the tests that e-BH rejects: the k largest, for the largest k whose k-th is at least n / (share * k)."""
    ordered = sorted(tests, key=lambda each: -each.evidence)
    named = 0
    for place, each in enumerate(ordered, 1):
        if each.evidence * place * share >= len(ordered):
            named = place
    needed = len(ordered) / (share * named) if named else 0.0
    return [msgspec.structs.replace(each, needed=needed) for each in ordered[:named]]


@functools.lru_cache(maxsize=4_096)  # the pasts of many rules are few numbers, and the exact limit is a long sum
def lower_bound(count: int, doubt: float) -> float:
    """Return the mean below which a count this large would have a chance below `doubt` (Garwood's lower limit)."""
    if count == 0:
        return 0.0
    if count > 1_000:
        z = 2.3263478740408408
        degrees = 2 * count
        return 0.5 * degrees * (1 - 2 / (9 * degrees) - z * math.sqrt(2 / (9 * degrees))) ** 3
    low, high = 0.0, float(count)
    for _ in range(80):
        middle = (low + high) / 2
        below = math.fsum(math.exp(each * math.log(middle) - middle - math.lgamma(each + 1)) for each in range(count))
        if 1 - below > doubt:
            high = middle
        else:
            low = middle
    return low


def dead_rules(
    last_hits: Mapping[str, int], watched: Sequence[str], *, log_since: Instant | None, at: Instant
) -> list[str]:
    """Return rules that are asked and matched nothing for `DEAD_AFTER`; none while the log is younger than that."""
    if log_since is None or at - log_since < DEAD_AFTER:
        return []
    return sorted(name for name in watched if last_hits.get(name, 0) < at - DEAD_AFTER)


def dead_lists(read_by: Mapping[str, Sequence[str]], dead: Sequence[str]) -> list[str]:
    """Return lists that no rule reads, or only rules that are dead."""
    gone = frozenset(dead)
    return sorted(name for name, rules in read_by.items() if all(rule in gone for rule in rules))


def cut_at(at: Instant) -> Instant:
    """Return the moment that parts a rule's past from what is watched.

    It moves at midnight UTC: within a day the watched span only grows, as a sequential test wants.
    """
    return Instant(at - at % DAY - WATCHED)


def _mixture(logs: Sequence[float]) -> float:
    top = max(logs)
    return math.exp(min(LOG_MAX, top + math.log(math.fsum(math.exp(each - top) for each in logs) / len(logs))))
