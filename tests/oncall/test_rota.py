"""Who is on call when: tables of cases over nights, weeks, stand-ins, gaps and changes of clocks."""

import pytest
from tests.oncall.conftest import at

from koban.base import HOUR, to_rfc3339
from koban.oncall import Contact, Override, Shift, on_call, spans
from koban.oncall import logic as oncall_logic
from koban.oncall.types import Severity


def shift(
    who: str, days: tuple[int, ...], from_hour: int, until_hour: int, *, zone: str = "Asia/Tokyo", level: int = 1
) -> Shift:
    return Shift(
        id=who, level=level, staff_id=who, weekdays=days, from_minute=from_hour * 60, until_minute=until_hour * 60,
        zone=zone,
    )  # fmt: skip


WEEKDAYS = (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("moment", "who"),
    [
        ("2026-10-21T12:00:00Z", ("night",)),  # Wednesday 21:00
        ("2026-10-21T00:00:00Z", ("day",)),  # Wednesday 9:00
        ("2026-10-20T23:59:59Z", ("night",)),  # Wednesday 8:59, the night that began on Tuesday
        ("2026-10-23T20:00:00Z", ("night",)),  # Saturday 5:00, the night that began on Friday
        ("2026-10-24T00:00:00Z", ()),  # Saturday 9:00
        ("2026-10-25T12:00:00Z", ()),  # Sunday 21:00
    ],
)
def test_a_weekly_pattern_with_nights(moment: str, who: tuple[str, ...]) -> None:
    pattern = [shift("day", WEEKDAYS, 9, 18), shift("night", WEEKDAYS, 18, 9)]
    assert on_call(pattern, [], 1, at(moment)) == who
    assert on_call(pattern, [], 2, at(moment)) == ()


def test_whoever_stands_in_takes_the_place_of_the_pattern() -> None:
    pattern = [shift("day", WEEKDAYS, 9, 18)]
    stand_in = Override(
        id="o", level=1, staff_id="other", from_at=at("2026-10-21T03:00:00Z"), until_at=at("2026-10-21T05:00:00Z"),
        reason="dentist",
    )  # fmt: skip
    assert on_call(pattern, [stand_in], 1, at("2026-10-21T02:59:59Z")) == ("day",)
    assert on_call(pattern, [stand_in], 1, at("2026-10-21T03:00:00Z")) == ("other",)
    assert on_call(pattern, [stand_in], 1, at("2026-10-21T05:00:00Z")) == ("day",)


def test_a_week_is_cut_where_people_change_and_gaps_are_named() -> None:
    pattern = [shift("day", (2,), 9, 18), shift("night", (2,), 18, 9)]
    cut = spans(pattern, [], 1, from_at=at("2026-10-21T03:00:00Z"), until_at=at("2026-10-22T03:00:00Z"))
    assert [(to_rfc3339(each.from_at)[:16], to_rfc3339(each.until_at)[:16], each.staff) for each in cut] == [
        ("2026-10-21T03:00", "2026-10-21T09:00", ("day",)),
        ("2026-10-21T09:00", "2026-10-22T00:00", ("night",)),
        ("2026-10-22T00:00", "2026-10-22T03:00", ()),
    ]


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2026-03-28T20:00:00Z", 11), ("2026-10-24T19:00:00Z", 13), ("2026-06-06T19:00:00Z", 12)],
)
def test_a_night_over_a_change_of_clocks_is_as_long_as_that_night(day: str, hours: int) -> None:
    """Berlin, 21:00 to 9:00: eleven hours in spring, thirteen in autumn."""
    night = [shift("night", tuple(range(7)), 21, 9, zone="Europe/Berlin")]
    begins = at(day)
    cut = spans(night, [], 1, from_at=begins, until_at=at(day.replace("T20", "T23").replace("T19", "T23")))
    assert cut[0].staff == ("night",)
    whole = [each for each in spans(night, [], 1, from_at=begins, until_at=begins + 20 * HOUR) if each.staff]  # type: ignore[arg-type]  # an Instant
    assert whole[0].until_at - whole[0].from_at == hours * HOUR


@pytest.mark.parametrize(
    ("moment", "severity", "until"),
    [
        ("2026-10-21T14:00:00Z", "medium", "2026-10-21T22:00:00.000000Z"),  # 23:00, quiet until 7:00
        ("2026-10-21T20:00:00Z", "low", "2026-10-21T22:00:00.000000Z"),  # 5:00
        ("2026-10-21T14:00:00Z", "high", None),  # severe enough to wake somebody
        ("2026-10-21T12:00:00Z", "low", None),  # 21:00
    ],
)
def test_quiet_hours_hold_back_what_is_not_severe(moment: str, severity: Severity, until: str | None) -> None:
    contact = Contact(
        id="c", staff_id="s", kind="mail", address="a@b", allow_private=False, zone="Asia/Tokyo", quiet_from=22 * 60,
        quiet_until=7 * 60, quiet_least="high",
    )  # fmt: skip
    found = oncall_logic.quiet_ends_at(contact, severity, at(moment))
    assert (None if found is None else to_rfc3339(found)) == until


def test_a_receipt_opens_only_its_own_page_and_person() -> None:
    made = oncall_logic.receipt(b"key", "page_1", "staff_1")
    assert oncall_logic.read_receipt(b"key", made) == ("page_1", "staff_1")
    assert oncall_logic.read_receipt(b"other", made) is None
    assert oncall_logic.read_receipt(b"key", made.replace("staff_1", "staff_2")) is None
    assert oncall_logic.read_receipt(b"key", "page_1.staff_1") is None
    assert oncall_logic.read_receipt(b"key", "ぺーじ.a.b") is None
