"""Emergency rules without I/O: what they may be, when they end, when their review is due."""

import datetime
import re
import zoneinfo
from collections.abc import Collection, Iterator
from typing import Final

from koban.base import DAY, HOUR, MINUTE, SECOND, Instant, Problem
from koban.base.characters import says_something
from koban.emergency.types import EmergencyInvalid, EmergencyStarted
from koban.packs import FreezePayout, Hide, Hold, Mode, ModeName, PackDef, Restrict, RuleDef, Source, nearest

PREFIX: Final = "emergency."
LASTS: Final = 60 * MINUTE
LASTS_MIN: Final = MINUTE
LASTS_MAX: Final = 60 * MINUTE
CAP_DEFAULT: Final = 50
CAP_MAX: Final = 200
WHEN_CHARS_MAX: Final = 4_000
STANDING_MAX: Final = 10
MUTE_MAX: Final = DAY
HOLD_MAX: Final = 3 * DAY
MUTED: Final = ("messaging", "commenting", "live")
MORNING_HOUR: Final = 10  # on the next day that is no Saturday or Sunday

_NAME: Final = re.compile(r"emergency\.[a-z0-9][a-z0-9_]{0,39}")
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def rule_of(started: EmergencyStarted) -> RuleDef:
    """Return the rule in the form that rules of a pack have; it is live for everyone."""
    return RuleDef(
        name=started.name,
        policy=started.policy,
        on=started.on,
        when=started.when,
        then=started.then,
        mode=Mode(name=ModeName.LIVE),
        cap_per_hour=started.cap_per_hour,
        because=started.because,
        source=Source(file="condition", line=1),
        when_at=Source(file="condition", line=1),
    )


def check_started(started: EmergencyStarted, pack: PackDef) -> None:
    """Make sure that a rule is one that an emergency allows. Its condition is typed by `compile_overlay`.

    Refuses: EmergencyInvalid.
    """
    problems = tuple(_problems(started, pack))
    if problems:
        raise EmergencyInvalid("Nothing was started.", problems=problems)


def _problems(started: EmergencyStarted, pack: PackDef) -> Iterator[Problem]:
    if not _NAME.fullmatch(started.name):
        yield Problem(path="/name", detail="Lower-case letters, digits and _, at most 40.")
    if started.policy not in pack.policies:
        yield Problem(
            path="/policy", detail="The pack has no such policy.", hint=nearest(started.policy, pack.policies)
        )
    for name in started.on:
        if name not in pack.events:
            yield Problem(path="/on", detail=f"There is no event type {name!r}.", hint=nearest(name, pack.events))
    if not started.on:
        yield Problem(path="/on", detail="Name at least one event type.")
    if not 0 < len(started.when.strip()) <= WHEN_CHARS_MAX:
        yield Problem(path="/when", detail=f"A condition has between 1 and {WHEN_CHARS_MAX:,} characters.")
    if not started.then:
        yield Problem(path="/then", detail="Say what it does: hide, hold, mute or freeze.")
    for measure in started.then:
        yield from _measure(measure)
    if not 1 <= started.cap_per_hour <= CAP_MAX:
        yield Problem(path="/cap_per_hour", detail=f"Between 1 and {CAP_MAX} people an hour.")
    if not LASTS_MIN <= started.lasts_us <= LASTS_MAX:
        yield Problem(path="/minutes", detail=f"Between 1 and {LASTS_MAX // MINUTE} minutes.")
    if not says_something(started.reason):
        yield Problem(path="/reason", detail="Say why, for whoever reviews it in the morning.")


def _measure(measure: Hide | Hold | Restrict | FreezePayout) -> Iterator[Problem]:
    match measure:
        case Hide():
            return
        case Hold(for_us=for_us) | FreezePayout(for_us=for_us):
            if not 0 < for_us <= HOLD_MAX:
                yield Problem(path="/then", detail=f"It holds or freezes for at most {HOLD_MAX // HOUR} hours.")
        case Restrict(scope=scope, for_us=for_us):
            if scope not in MUTED:
                yield Problem(path="/then", detail=f"It mutes {', '.join(MUTED)}, and takes nothing else away.")
            if not 0 < for_us <= MUTE_MAX:
                yield Problem(path="/then", detail=f"It mutes for at most {MUTE_MAX // HOUR} hours.")


def end_of(at: Instant, lasts_us: int) -> Instant:
    """Return when a rule that begins now is over."""
    return Instant(at + lasts_us)


def next_morning(at: Instant, zone: str, holidays: Collection[str] = (), hour: int = MORNING_HOUR) -> Instant:
    """Return the next business morning after a moment: `hour` o'clock in a zone, Monday to Friday, on no holiday.

    Where a change of clocks skips that hour, it is the moment at which the hour would have been.
    """
    place = zoneinfo.ZoneInfo(zone)
    day = (_EPOCH + datetime.timedelta(microseconds=int(at))).astimezone(place).date()
    while True:
        morning = datetime.datetime.combine(day, datetime.time(hour), tzinfo=place)
        moment = Instant(int((morning.astimezone(datetime.UTC) - _EPOCH).total_seconds()) * SECOND)
        if moment > at and day.weekday() < 5 and day.isoformat() not in holidays:
            return moment
        day += datetime.timedelta(days=1)
