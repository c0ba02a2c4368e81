"""Why a case is where it is in its queue: a few terms, each worth some time, and nothing else.

A case's rank is its due time moved forward by what its terms are worth. Doubling the expected harm is worth one
half-life of its queue, a sixteenth of the time within which its cases are due, and at most twelve doublings count. So
the order never has to be computed again as time goes by, queues of minutes come before queues of hours, harm outweighs
waiting only so far, and no case waits for ever: a rank lies between a quarter of the due time and a little past it.
"""

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from koban.base import SECOND, Instant
from koban.packs import EventType, QueueDef

HALF_LIVES: Final = 16  # in the time within which a case is due
HALF_LIFE_MIN: Final = SECOND
BOOST_MAX: Final = 12_000  # thousandths of a doubling: a case at most three quarters of its due time ahead
BOOST_MIN: Final = -3_000
SEVERITY: Final[Mapping[str, int]] = {"low": 0, "medium": 1_000, "high": 3_000, "severe": 5_000}
assert BOOST_MAX < HALF_LIVES * 1_000, "no case ranks before the moment at which it was opened"
STAKE_UNIT_MINOR: Final = 10_000  # 10,000 yen at risk doubles the harm of a case without money
REACH_UNIT: Final = 10
PRIOR: Final = (2, 2)  # upheld and honest cases that every rule starts with

MONEY_UNIT: Final = "minor"
PEOPLE_UNITS: Final = frozenset({"people", "viewers"})


class Stake(msgspec.Struct, frozen=True, kw_only=True):
    """What an event puts at risk: money in minor units, people who see it."""

    money_minor: int = 0
    people: int = 0


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a case's rank is made of; the points are thousandths of a doubling of the expected harm."""

    severity: str
    severity_points: int
    probability_bp: int  # that the policy was broken, by how cases of these rules ended; in hundredths of a percent
    probability_points: int
    money_minor: int
    people: int
    stake_points: int  # of the money or the people, whichever is more
    signals: int
    reports: int
    report_points: int
    points: int  # of all, bounded
    half_life_us: int
    boost_us: int  # what the points are worth


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """What terms are made of, as it grows with each signal of a case."""

    severity: str = "medium"
    odds: Mapping[str, tuple[int, int]] = {}  # rule -> cases of it that were upheld and that were honest
    stake: Stake = Stake()
    signals: int = 0
    reports: int = 0


def stake_of(event_type: EventType, row: Mapping[str, object]) -> Stake:
    """Return what an event puts at risk: the largest of its fields in money, and of those that count people."""
    money = people = 0
    for path, field in event_type.fields.items():
        value = row.get(path)
        if field.unit is not None and isinstance(value, int) and not isinstance(value, bool):
            if field.unit == MONEY_UNIT:
                money = max(money, value)
            elif field.unit in PEOPLE_UNITS:
                people = max(people, value)
    return Stake(money_minor=money, people=people)


def weigh(weighed: Weighed, queue: QueueDef) -> Terms:
    """Turn what is known about a case into terms."""
    return weigh_in(weighed, half_life_of(queue))


def weigh_in(weighed: Weighed, half_life_us: int) -> Terms:
    """Turn what is known about a case into terms, with the half-life that it was opened under."""
    probability = probability_bp(weighed.odds)
    severity_points = SEVERITY.get(weighed.severity, SEVERITY["medium"])
    probability_points = round(1_000 * math.log2(probability / 10_000))
    stake_points = max(
        _doublings(weighed.stake.money_minor, STAKE_UNIT_MINOR), _doublings(weighed.stake.people, REACH_UNIT)
    )
    # A report is somebody's word; a further signal of a machine is worth half of it.
    report_points = _doublings(weighed.reports, 1) + _doublings(max(0, weighed.signals - 1 - weighed.reports), 2) // 2
    points = severity_points + probability_points + stake_points + report_points
    points = max(BOOST_MIN, min(BOOST_MAX, points))
    return Terms(
        severity=weighed.severity,
        severity_points=severity_points,
        probability_bp=probability,
        probability_points=probability_points,
        money_minor=weighed.stake.money_minor,
        people=weighed.stake.people,
        stake_points=stake_points,
        signals=weighed.signals,
        reports=weighed.reports,
        report_points=report_points,
        points=points,
        half_life_us=half_life_us,
        boost_us=points * half_life_us // 1_000,
    )


def half_life_of(queue: QueueDef) -> int:
    """Return what a doubling of the harm is worth in a queue, in microseconds."""
    return max(HALF_LIFE_MIN, queue.due_in_s * SECOND // HALF_LIVES)


def rank_at(due_at: Instant, terms: Terms) -> int:
    """Return what a queue is ordered by: the smaller, the sooner."""
    return due_at - terms.boost_us


def probability_bp(odds: Mapping[str, tuple[int, int]]) -> int:
    """Return how likely it is that the policy was broken, in hundredths of a percent, by how cases of its rules ended.

    Rules speak independently: only if all of them are wrong is the person honest. Never 0 or certainty.
    """
    wrong = 1.0
    for upheld, honest in odds.values():
        wrong *= (honest + PRIOR[1]) / (upheld + honest + sum(PRIOR))
    return max(100, min(9_900, round(10_000 * (1.0 - wrong)))) if odds else 5_000


def _doublings(amount: int, unit: int) -> int:
    return round(1_000 * math.log2(1 + max(0, amount) / unit))
