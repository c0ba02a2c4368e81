"""Open time: when a case is due on its queue's calendar, and how much of its time is left.

Pure. A moment of the wall clock that does not exist, or exists twice, because of daylight saving, is read so: a span
begins at the first moment at which the clock shows its start or later, and ends after the last moment at which the
clock shows less than its end. An hour that comes twice is open twice, and one that is skipped is not open.
"""

import datetime
import functools
import zoneinfo
from collections.abc import Iterator
from typing import Final

from koban.base import MINUTE, Instant
from koban.packs import Hours

SEARCH_DAYS_MAX: Final = 3_660  # a clock that stands for ten years never runs again

_DAY: Final = datetime.timedelta(days=1)
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

Open = tuple[int, int]  # from and until, in microseconds


def due_after(hours: Hours | None, at: Instant, length_us: int) -> Instant:
    """Return the first moment at which that much open time has gone by since `at`; without hours, time is all open.

    A length of no time or less is due at once.
    """
    if hours is None or length_us <= 0:
        return Instant(at + max(0, length_us))
    left = length_us
    for start, end in _spans_from(hours, at):
        start = max(start, at)
        if end - start >= left:
            return Instant(start + left)
        left -= end - start
    return Instant(at + SEARCH_DAYS_MAX * 24 * 60 * MINUTE)


def open_between(hours: Hours | None, since: Instant, until: Instant) -> int:
    """Return how much open time lies between two moments, in microseconds; none where the second is not later."""
    if until <= since:
        return 0
    if hours is None:
        return until - since
    total = 0
    for start, end in _spans_from(hours, since):
        if start >= until:
            break
        total += min(end, until) - max(start, since)
    return total


def is_open(hours: Hours | None, at: Instant) -> bool:
    """Return whether the clock runs at a moment."""
    return open_between(hours, at, Instant(at + 1)) > 0


def _spans_from(hours: Hours, at: Instant) -> Iterator[Open]:
    """Walk the open spans that end after a moment, in order; spans that touch or overlap are one."""
    zone = zoneinfo.ZoneInfo(hours.zone)
    # Why from two days before: a span of the day before may still run, in any zone.
    day = (_EPOCH + datetime.timedelta(microseconds=at)).astimezone(zone).date() - 2 * _DAY
    pending: Open | None = None
    for _ in range(SEARCH_DAYS_MAX):
        for start, end in _spans_of(hours, day):
            if end <= at:
                continue
            if pending is not None and start <= pending[1]:
                pending = (pending[0], max(pending[1], end))
                continue
            if pending is not None:
                yield pending
            pending = (start, end)
        day += _DAY
    if pending is not None:
        yield pending


@functools.lru_cache(maxsize=4_096)
def _spans_of(hours: Hours, day: datetime.date) -> tuple[Open, ...]:
    special = dict(hours.days).get(day.isoformat())
    zone = zoneinfo.ZoneInfo(hours.zone)
    spans = hours.weekly[day.weekday()] if special is None else special
    found = ((_moment(zone, day, start, last=False), _moment(zone, day, end, last=True)) for start, end in spans)
    return tuple((start, end) for start, end in found if end > start)


def _moment(zone: zoneinfo.ZoneInfo, day: datetime.date, minute: int, *, last: bool) -> int:
    """Return when the wall clock shows a minute of a day, counted from its midnight: the first time or the last."""
    shown = datetime.datetime.combine(day, datetime.time()) + datetime.timedelta(minutes=minute)
    moment = shown.replace(tzinfo=zone, fold=int(last)).astimezone(datetime.UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != shown:
        moment = _jump(zone, shown)
    return (moment - _EPOCH) // datetime.timedelta(microseconds=1)


def _jump(zone: zoneinfo.ZoneInfo, skipped: datetime.datetime) -> datetime.datetime:
    """Return when the clock jumped over a moment that it never showed."""
    high = skipped.replace(tzinfo=zone, fold=0).astimezone(datetime.UTC)  # by the offset before: after the jump
    low = skipped.replace(tzinfo=zone, fold=1).astimezone(datetime.UTC)  # by the offset after: before the jump
    before = low.astimezone(zone).utcoffset()
    while high - low > datetime.timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)
