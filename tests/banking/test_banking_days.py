"""Banking days, cut-offs and value days, on the starter pack's own calendar."""

import datetime
import pathlib

import pytest

from koban.banking import calendar
from koban.banking.calendar import BankingCalendarEnds, cut_off, is_open, known_until, open_after, taken_on, value_day
from koban.base import Instant, from_rfc3339
from koban.packs import load_pack

PACK = load_pack(pathlib.Path(__file__).parents[2] / "packs" / "starter")
HOURS = PACK.calendars[calendar.CALENDAR].hours


def moment(text: str) -> Instant:
    at = from_rfc3339(text)
    assert at is not None
    return at


def test_banks_are_closed_on_the_new_year_and_open_on_the_two_days_before_it() -> None:
    days = [datetime.date(2026, 12, 28) + datetime.timedelta(days=each) for each in range(8)]
    assert [day.day for day in days if is_open(HOURS, day)] == [28, 29, 30, 4]
    assert not is_open(PACK.calendars["office"].hours, datetime.date(2026, 12, 29))


def test_both_calendars_know_the_same_national_holidays() -> None:
    ours = {day for day, spans in HOURS.days if not spans}
    offices = {day for day, spans in PACK.calendars["office"].hours.days if not spans}
    assert offices - ours == {"2026-12-29", "2026-12-30", "2027-12-29", "2027-12-30"}
    assert ours <= offices


@pytest.mark.parametrize(
    ("at", "taken", "value"),
    [
        ("2026-11-30T14:59:00+09:00", "2026-11-30", "2026-12-01"),  # Monday, before the cut-off
        ("2026-11-30T15:00:00+09:00", "2026-12-01", "2026-12-02"),  # and at it
        ("2026-11-28T10:00:00+09:00", "2026-11-30", "2026-12-01"),  # Saturday
        ("2026-11-27T23:30:00Z", "2026-11-30", "2026-12-01"),  # Saturday in Tokyo
        ("2026-11-22T10:00:00+09:00", "2026-11-24", "2026-11-25"),  # a holiday on Monday
        ("2026-12-30T10:00:00+09:00", "2026-12-30", "2027-01-04"),
        ("2026-12-30T16:00:00+09:00", "2027-01-04", "2027-01-05"),
        ("2026-05-01T09:00:00+09:00", "2026-05-01", "2026-05-07"),  # Golden Week
    ],
)  # fmt: skip
def test_the_value_day_counts_banking_days_from_the_cut_off(at: str, taken: str, value: str) -> None:
    assert taken_on(HOURS, moment(at)).isoformat() == taken
    assert value_day(HOURS, moment(at), 1).isoformat() == value
    assert value_day(HOURS, moment(at), 0).isoformat() == taken


def test_a_calendar_that_ends_says_so_and_guesses_nothing() -> None:
    assert known_until(HOURS) == datetime.date(2027, 12, 31)
    assert cut_off(HOURS, datetime.date(2026, 12, 31)) is None
    assert cut_off(HOURS, datetime.date(2026, 12, 30)) == 15 * 60
    assert open_after(HOURS, datetime.date(2027, 12, 29), 1) == datetime.date(2027, 12, 30)
    with pytest.raises(BankingCalendarEnds, match="add those of 2028"):
        value_day(HOURS, moment("2027-12-30T10:00:00+09:00"), 1)
