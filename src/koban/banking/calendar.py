"""Days on which banks are open, until when a file is taken on them, and on which day the money then is there. Pure."""

import datetime
import zoneinfo
from typing import Final

from koban.base import Instant, Refusal
from koban.packs import Hours

CALENDAR: Final = "banking"  # the pack's calendar of this name
_DAY: Final = datetime.timedelta(days=1)
_SEARCH_DAYS_MAX: Final = 400


class BankingCalendarEnds(Refusal):
    """The pack's banking calendar says nothing of the days that are asked about."""

    code = "banking_calendar_ends"
    status = 409
    title = "The banking calendar does not reach that far."


def is_open(hours: Hours, day: datetime.date) -> bool:
    """Tell whether banks are open on a day."""
    return bool(_spans(hours, day))


def cut_off(hours: Hours, day: datetime.date) -> int | None:
    """Return the minute of a day until which files are taken on it; None: banks are closed."""
    spans = _spans(hours, day)
    return max(end for _, end in spans) if spans else None


def taken_on(hours: Hours, at: Instant) -> datetime.date:
    """Return the day on which banks take a file that is given to them at a moment: today until the cut-off.

    Refuses: BankingCalendarEnds.
    """
    local = _local(hours, at)
    until = cut_off(hours, local.date())
    if until is not None and local.hour * 60 + local.minute < until:
        return _reached(hours, local.date())
    return open_after(hours, local.date(), 1)


def open_after(hours: Hours, day: datetime.date, days: int) -> datetime.date:
    """Return the so-manieth banking day after a day; 0: the day itself, or the next one that is open.

    Refuses: BankingCalendarEnds.
    """
    left = days
    if days == 0 and is_open(hours, day):
        return _reached(hours, day)
    left = max(1, days)
    for _ in range(_SEARCH_DAYS_MAX):
        day += _DAY
        if is_open(hours, _reached(hours, day)):
            left -= 1
            if left == 0:
                return day
    raise BankingCalendarEnds(f"no banking day within {_SEARCH_DAYS_MAX} days")


def value_day(hours: Hours, at: Instant, lead_days: int) -> datetime.date:
    """Return the day on which payees have the money of a file that leaves at a moment.

    `lead_days` is how many banking days before it the bank wants the file.
    Refuses: BankingCalendarEnds.
    """
    return open_after(hours, taken_on(hours, at), lead_days)


def known_until(hours: Hours) -> datetime.date:
    """Return the last day of which the calendar says whether it is a holiday: the end of its last listed year."""
    last = max((day for day, _ in hours.days), default="9999-12-31")
    return datetime.date(int(last[:4]), 12, 31)


def local_day(hours: Hours, at: Instant) -> datetime.date:
    """Return the day that it is where the banks are."""
    return _local(hours, at).date()


def _reached(hours: Hours, day: datetime.date) -> datetime.date:
    if day > known_until(hours):
        raise BankingCalendarEnds(
            f"the calendar '{CALENDAR}' lists holidays until {known_until(hours)}; add those of {day.year} to the pack"
        )
    return day


def _spans(hours: Hours, day: datetime.date) -> tuple[tuple[int, int], ...]:
    special = dict(hours.days).get(day.isoformat())
    return hours.weekly[day.weekday()] if special is None else special


def _local(hours: Hours, at: Instant) -> datetime.datetime:
    moment = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(microseconds=at)
    return moment.astimezone(zoneinfo.ZoneInfo(hours.zone))
