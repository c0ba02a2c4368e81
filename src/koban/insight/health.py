"""Rule health: what each rule does in each hour, what is expected of it, who drifted, which rules and lists are dead."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from koban.base import DAY, HOUR, Clock, Instant, to_rfc3339
from koban.db import Database, Tx
from koban.insight import drift, health_store
from koban.insight.drift import Drift, Watched
from koban.packs import PackDef, readers_of_lists
from koban.rules import LiveCeilings, LiveModes, RuleExpected, ceiling_of
from koban.webhooks import raise_alert

HOURS_AT_ONCE: Final = 48  # counted in one run of the job
KEPT_FOR: Final = 60 * DAY
OWN_PAST: Final = 7 * DAY
OWN_PAST_MIN: Final = 24  # hours
CHANGED_BY: Final = 4  # an expectation moves when its ceiling does by more than a quarter
DAYS_SHOWN: Final = 28


class RuleHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How one rule does."""

    rule: str
    mode: str
    tripped: bool
    basis: str  # of what is expected: none, backtest, past; empty: nothing is expected
    expected_people: int
    expected_hours: int
    ceiling: int | None
    counts: str
    hits_7d: int
    acted_7d: int
    people_7d: int
    daily_hits: tuple[int, ...]  # of the last 28 days, oldest first
    last_hit_at: str | None
    right: int  # judged cases that were upheld
    judged: int
    drifts: tuple[Drift, ...]
    dead: bool


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How all rules do, those that want a look first."""

    at: str
    measured_until: str | None
    rules: list[RuleHealth]
    dead_lists: list[str]
    false_share: float  # at most this share of the drifts named is wrong, in expectation


def measure_hours(database: Database, clock: Clock, pack: PackDef) -> int:
    """Count what rules did in the hours that are over; return how many hours were counted. Safe to run twice."""
    now = clock.now()
    with database.read() as tx:
        last, first = health_store.last_hour(tx), health_store.first_event_at(tx)
        if first is None:
            return 0
        hour = Instant(last + HOUR) if last is not None else health_store.hour_of(first)
        rows: list[health_store.RuleHour] = []
        counted = 0
        while hour + HOUR <= now and counted < HOURS_AT_ONCE:
            rows.extend(_hour(tx, pack, hour))
            hour = Instant(hour + HOUR)
            counted += 1
    if rows:
        with database.write() as tx:
            health_store.save_hours(tx, rows)
            health_store.delete_hours(tx, before=Instant(now - KEPT_FOR))
    return counted


def _hour(tx: Tx, pack: PackDef, hour: Instant) -> list[health_store.RuleHour]:
    from_seq, until_seq = health_store.seq_at(tx, hour), health_store.seq_at(tx, hour + HOUR)
    events = health_store.count_events(tx, from_seq=from_seq, until_seq=until_seq)
    signals = health_store.count_signals(tx, from_seq=from_seq, until_seq=until_seq)
    return [
        health_store.RuleHour(
            rule=name,
            hour_at=hour,
            events=sum(events.get(each, 0) for each in rule.on),
            hits=signals.get(name, (0, 0, 0))[0],
            acted=signals.get(name, (0, 0, 0))[1],
            people=signals.get(name, (0, 0, 0))[2],
        )
        for name, rule in pack.rules.items()
    ]


def rule_health(tx: Tx, pack: PackDef, at: Instant) -> Health:
    """Return how the rules of a pack do.

    Why modes and ceilings are read from their tables: this runs beside the decider.
    """
    modes, ceilings = LiveModes(), LiveCeilings()
    modes.load(tx)
    ceilings.load(tx)
    hours = health_store.read_hours(tx, since=Instant(drift.cut_at(at) - drift.PAST))
    judged = health_store.judged_cases(tx, since=Instant(drift.cut_at(at) - drift.PAST))
    hits = health_store.last_hits(tx)
    asked = [name for name, rule in pack.rules.items() if modes.mode(rule).name.is_asked]
    found = drift.drifts([_watched(name, hours.get(name, ()), judged.get(name, ()), at) for name in asked])
    since = health_store.asked_since(tx)
    old = [name for name in asked if at - since.get(name, at) >= drift.DEAD_AFTER - DAY]  # one that is new is not dead
    dead = drift.dead_rules(hits, old, log_since=health_store.first_event_at(tx), at=at)
    rules = [
        _one(
            name,
            mode=modes.mode(rule).name.value,
            tripped=modes.tripped(name),
            expected=ceilings.of(name),
            hours=hours.get(name, ()),
            judged=judged.get(name, ()),
            last=hits.get(name),
            drifts=tuple(each for each in found if each.rule == name),
            dead=name in dead,
            at=at,
        )
        for name, rule in pack.rules.items()
    ]
    rules.sort(key=lambda each: (not each.tripped, not each.drifts, not each.dead, -each.hits_7d, each.rule))
    last_hour = health_store.last_hour(tx)
    return Health(
        at=to_rfc3339(at),
        measured_until=None if last_hour is None else to_rfc3339(Instant(last_hour + HOUR)),
        rules=rules,
        dead_lists=drift.dead_lists(_readers(pack), dead) if dead or not asked else _unread(pack),
        false_share=drift.FALSE_SHARE,
    )


def _unread(pack: PackDef) -> list[str]:
    return sorted(name for name, rules in _readers(pack).items() if not rules)


def _readers(pack: PackDef) -> Mapping[str, Sequence[str]]:
    return {name: [rule.name for rule in rules] for name, rules in readers_of_lists(pack).items()}


def _watched(
    name: str, hours: Sequence[health_store.RuleHour], judged: Sequence[tuple[Instant, bool]], at: Instant
) -> Watched:
    cut = drift.cut_at(at)
    past = [each for each in hours if each.hour_at < cut]
    since = [each for each in hours if each.hour_at >= cut]
    return Watched(
        rule=name,
        past_events=sum(each.events for each in past),
        past_people=sum(each.people for each in past),
        past_hours=len(past),
        events=sum(each.events for each in since),
        people=sum(each.people for each in since),
        judged_before=_counted([right for when, right in judged if when < cut]),
        judged_since=_counted([right for when, right in judged if when >= cut]),
    )


def _counted(judged: Sequence[bool]) -> tuple[int, int]:
    return sum(judged), len(judged)


def _one(
    name: str,
    *,
    mode: str,
    tripped: bool,
    expected: RuleExpected | None,
    hours: Sequence[health_store.RuleHour],
    judged: Sequence[tuple[Instant, bool]],
    last: Instant | None,
    drifts: tuple[Drift, ...],
    dead: bool,
    at: Instant,
) -> RuleHealth:
    week = [each for each in hours if each.hour_at >= at - 7 * DAY]
    daily = [0] * DAYS_SHOWN
    for each in hours:
        place = DAYS_SHOWN - 1 - (at - each.hour_at) // DAY
        if 0 <= place < DAYS_SHOWN:
            daily[place] += each.hits
    right, of = _counted([each for _, each in judged])
    return RuleHealth(
        rule=name,
        mode=mode,
        tripped=tripped,
        basis="" if expected is None else expected.basis,
        expected_people=0 if expected is None else expected.people,
        expected_hours=0 if expected is None else expected.hours,
        ceiling=None if expected is None else expected.ceiling,
        counts="" if expected is None else expected.counts,
        hits_7d=sum(each.hits for each in week),
        acted_7d=sum(each.acted for each in week),
        people_7d=sum(each.people for each in week),
        daily_hits=tuple(daily),
        last_hit_at=None if last is None else to_rfc3339(last),
        right=right,
        judged=of,
        drifts=drifts,
        dead=dead,
    )


def expectations_of(tx: Tx, pack: PackDef, at: Instant) -> list[RuleExpected]:
    """Return what the rules' own last week says is to be expected, where that is new or has moved.

    A rule that is tripped keeps what was expected of it: what tripped it must not become the usual. What a backtest or a
    person said stands until there is a whole week of the rule's own since: what it did before, under another condition
    perhaps, says nothing against that.
    """
    modes, ceilings = LiveModes(), LiveCeilings()
    modes.load(tx)
    ceilings.load(tx)
    found, set_at = [], health_store.expected_at(tx)
    for name, hours in health_store.read_hours(tx, since=Instant(at - OWN_PAST)).items():
        rule, before = pack.rules.get(name), ceilings.of(name)
        said = before is not None and before.basis == "backtest"
        enough = OWN_PAST // HOUR - 24 if said else OWN_PAST_MIN
        # A rule that came back under its name is new: what one of that name did before says nothing of it.
        new_at = set_at.get(name, at) if before is not None and before.basis == "none" else Instant(0)
        lived = [each for each in hours if each.events and each.hour_at >= new_at]
        if said and set_at.get(name, at) > at - OWN_PAST:
            continue
        if rule is None or modes.tripped(name) or len(lived) < enough or not modes.mode(rule).name.is_asked:
            continue
        people = sum(each.people for each in lived)
        ceiling = ceiling_of(people, len(lived))
        if before is None or before.basis == "none" or abs(before.ceiling - ceiling) * CHANGED_BY > before.ceiling:
            found.append(
                RuleExpected(
                    rule=name,
                    basis="past",
                    people=people,
                    hours=len(lived),
                    ceiling=ceiling,
                    counts="people",
                    by="koban",
                    reason=f"its own last {len(lived)} hours",
                )
            )
    return found


def watch_health(
    database: Database,
    clock: Clock,
    randomness: random.Random,
    pack: PackDef,
    expect: Callable[[RuleExpected], object],
) -> None:
    """Count hours, expect what the past says, and raise alerts about drift and about what is dead."""
    if not measure_hours(database, clock, pack):
        return
    at = clock.now()
    with database.read() as tx:
        expected = expectations_of(tx, pack, at)
        health = rule_health(tx, pack, at)
    for change in expected:
        expect(change)
    drifted = [each for rule in health.rules for each in rule.drifts]
    dead = [rule.rule for rule in health.rules if rule.dead]
    if not (drifted or dead):
        return
    with database.write() as tx:
        for each in drifted:
            raise_alert(tx, at, randomness, kind="rule.drift", about=f"rule:{each.rule}", detail=_said(each))
        if dead:
            detail = f"Nothing matched for 30 days: {', '.join(dead[:20])}"
            raise_alert(tx, at, randomness, kind="rule.dead", about="rules", detail=detail)


def _said(each: Drift) -> str:
    evidence = f"evidence {min(each.evidence, 1e9):,.0f}"
    match each.direction:
        case "less_precise":
            return f"{each.found:.0%} of the judged cases were right, {each.expected:.0%} before ({evidence})."
        case "more":
            return f"It matched {each.found:,.0f} people where {each.expected:,.0f} were expected ({evidence})."
        case "fewer":
            return f"It matched only {each.found:,.0f} people where {each.expected:,.0f} were expected ({evidence})."
