"""Due times on calendars: tables of cases, and the truth from SQL against a minute-by-minute replay.

`KOBAN_LONG=1` replays 10,000 histories; both databases see the same histories.
"""

import datetime
import functools
import os
import random
import zoneinfo
from collections.abc import Iterator

import pytest

from koban.base import HOUR, MINUTE, Instant, from_rfc3339
from koban.cases import (
    CloseCase,
    LiveCases,
    Nature,
    PauseCase,
    ResumeCase,
    breach_case,
    claim,
    close_case,
    pause_case,
    resume_case,
    work_store,
    write,
)
from koban.cases.calendars import due_after, is_open, open_between
from koban.db import Database, Tx
from koban.enforcement import ReviewRequest, SubjectRef
from koban.packs import Hours, QueueDef, Source

HISTORIES = 10_000 if os.environ.get("KOBAN_LONG") == "1" else 250
DAY_MINUTES = 1_440
DAYS = 16  # that a replay sees
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
TEXT = {"en": "text", "ja": "文"}
SOURCE = Source(file="queues.yaml", line=1)

NINE_TO_SIX = ((540, 720), (780, 1_080))
OFFICE = Hours(zone="Asia/Tokyo", weekly=(*(NINE_TO_SIX,) * 5, (), ()), days=(("2026-11-03", ()),))
NIGHT = Hours(zone="America/New_York", weekly=(((1_320, 1_800),),) * 7)
SPRING = Hours(zone="America/New_York", weekly=(((90, 240),),) * 7)


def at(text: str) -> Instant:
    found = from_rfc3339(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("hours", "opened", "length_h", "due"),
    [
        (None, "2026-11-02T12:00:00Z", 24, "2026-11-03T12:00:00Z"),
        (OFFICE, "2026-11-02T10:00:00+09:00", 1, "2026-11-02T11:00:00+09:00"),
        (OFFICE, "2026-11-02T11:30:00+09:00", 1, "2026-11-02T13:30:00+09:00"),  # over lunch
        (OFFICE, "2026-11-02T17:30:00+09:00", 1, "2026-11-04T09:30:00+09:00"),  # over a holiday
        (OFFICE, "2026-11-06T17:00:00+09:00", 2, "2026-11-09T10:00:00+09:00"),  # over a weekend
        (OFFICE, "2026-11-07T03:00:00+09:00", 8, "2026-11-09T18:00:00+09:00"),  # ends where the day ends
        (OFFICE, "2026-11-02T10:00:00+09:00", 0, "2026-11-02T10:00:00+09:00"),
        (NIGHT, "2026-11-02T12:00:00-05:00", 9, "2026-11-03T23:00:00-05:00"),  # a shift over midnight
        (NIGHT, "2026-10-31T22:00:00-04:00", 9, "2026-11-01T06:00:00-05:00"),  # the hour that comes twice is open twice
        (SPRING, "2026-03-08T00:00:00-05:00", 1, "2026-03-08T03:30:00-04:00"),  # the hour that does not come is not
    ],
)
def test_a_due_time_is_counted_in_open_time(hours: Hours | None, opened: str, length_h: int, due: str) -> None:
    found = due_after(hours, at(opened), length_h * HOUR)
    assert found == at(due)
    assert open_between(hours, at(opened), found) == length_h * HOUR


def test_an_instant_is_open_or_not() -> None:
    assert [is_open(OFFICE, at(f"2026-11-0{day}T{hour}:00:00+09:00")) for day, hour in
            ((2, "09"), (2, "12"), (2, "13"), (2, "18"), (3, "10"), (7, "10"))] == [True, False, True, False, False, False]  # fmt: skip


def random_hours(randomness: random.Random) -> Hours:
    """Draw a calendar with split shifts, shifts over midnight and holidays, in a zone that changes its clocks."""

    def day() -> Iterator[tuple[int, int]]:
        free = 0
        for _ in range(randomness.randrange(0, 4)):
            start = free + randomness.randrange(0, 500, 15)
            if start >= DAY_MINUTES:
                return
            end = start + randomness.randrange(15, 720, 15)
            yield start, min(end, start + DAY_MINUTES - 1)
            free = end
            if end > DAY_MINUTES:
                return

    weekly = tuple(tuple(day()) for _ in range(7))
    zone = randomness.choice(("Asia/Tokyo", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "UTC"))
    days = tuple((f"2026-{month:02d}-{randomness.randrange(1, 29):02d}", ()) for month in (3, 4, 10, 11))
    return Hours(zone=zone, weekly=weekly if any(weekly) else (*weekly[:6], ((600, 900),)), days=days)


@functools.cache
def open_minutes(hours: Hours | None, start: datetime.datetime) -> bytes:
    """Return for each minute whether the clock runs, by looking at the wall clock and nothing else."""
    total = (DAYS + 3) * DAY_MINUTES
    if hours is None:
        return b"\1" * total
    zone = zoneinfo.ZoneInfo(hours.zone)
    before = 3 * DAY_MINUTES
    walls = [
        (start + datetime.timedelta(minutes=minute)).astimezone(zone).replace(tzinfo=None)
        for minute in range(-before, total)
    ]
    flags = bytearray(len(walls))
    special = dict(hours.days)
    day = walls[0].date() + datetime.timedelta(days=1)
    while day <= walls[-1].date():
        midnight = datetime.datetime.combine(day, datetime.time())
        near = range(
            max(0, (midnight - walls[0]) // datetime.timedelta(minutes=1) - 180),
            min(len(walls), (midnight - walls[0]) // datetime.timedelta(minutes=1) + 2 * DAY_MINUTES + 180),
        )
        for first, last in special.get(day.isoformat(), hours.weekly[day.weekday()]):
            begins, ends = midnight + datetime.timedelta(minutes=first), midnight + datetime.timedelta(minutes=last)
            on = next((minute for minute in near if walls[minute] >= begins), None)
            off = next((minute for minute in reversed(near) if walls[minute] < ends), None)
            if on is not None and off is not None:
                flags[on : off + 1] = b"\1" * max(0, off + 1 - on)
        day += datetime.timedelta(days=1)
    return bytes(flags[before:])


class History:
    """A random life of a case in whole minutes from a start, and what a replay of it says."""

    def __init__(self, randomness: random.Random) -> None:
        self.hours = None if randomness.random() < 0.1 else random_hours(randomness)
        month, day = randomness.choice(((3, 6), (3, 26), (4, 2), (10, 22), (10, 29), (11, 1)))
        self.start = datetime.datetime(2026, month, day, tzinfo=datetime.UTC)
        self.opened = randomness.randrange(0, 2 * DAY_MINUTES)
        self.due_min = randomness.choice((5, 60, 240, 600, 1_440))
        self.pauses: list[tuple[int, int | None]] = []
        minute = self.opened
        for _ in range(randomness.randrange(0, 4)):
            paused = minute + randomness.randrange(1, 900)
            resumed = paused + randomness.randrange(1, 2_000)
            minute = resumed
            self.pauses.append((paused, resumed))
        self.closed: int | None = minute + randomness.randrange(1, 3_000) if randomness.random() < 0.7 else None
        self.closes_paused = bool(self.pauses) and randomness.random() < 0.2
        if self.closes_paused:
            self.closed = self.pauses[-1][1]
            self.pauses[-1] = (self.pauses[-1][0], None)
        elif self.pauses and self.closed is None and randomness.random() < 0.4:
            self.pauses[-1] = (self.pauses[-1][0], None)
        self.now = DAYS * DAY_MINUTES

    def instant(self, minute: int) -> Instant:
        return Instant((self.start - EPOCH) // datetime.timedelta(microseconds=1) + minute * MINUTE)

    def replay(self) -> bool:
        """Walk minute by minute: was the case still not decided after its time was over?"""
        flags = open_minutes(self.hours, self.start)
        stands = [False] * (self.now + 1)
        for paused, resumed in self.pauses:
            end = self.now if resumed is None else resumed
            stands[paused:end] = [True] * (end - paused)
        over: int | None = None
        used = 0
        for minute in range(self.opened, self.now):
            if flags[minute] and not stands[minute]:
                used += 1
                if used == self.due_min:
                    over = minute + 1
                    break
        judged = self.closed
        if judged is None:
            judged = self.pauses[-1][0] if self.pauses and self.pauses[-1][1] is None else self.now
        return over is not None and judged > over


def live_through(tx: Tx, live: LiveCases, history: History, place: int) -> str:
    """Let a case live through a history, by the same verbs as people do."""
    queue = QueueDef(name=f"q{place % 7}", title=TEXT, due_in_s=history.due_min * 60, source=SOURCE)
    subject = SubjectRef(kind="message", id=f"m{place}")
    request = ReviewRequest(
        queue=queue.name, subject=subject, acting=None, rule="r", policy="p", because=TEXT, event_id=f"e{place}",
        event_type="message.sent",
    )  # fmt: skip
    step, _ = live.open(
        request, queue, at=history.instant(history.opened), seq=place, nature=Nature(hours=history.hours)
    )
    write(tx, [step])
    for paused, resumed in history.pauses:
        at = history.instant(paused)
        held = claim(tx, at, step.case_id, by="staff_1")
        command = PauseCase(
            case_id=held.id, fence=held.fence, reason="person", note="", by="staff_1", for_us=30 * 24 * HOUR
        )
        pause_case(tx, at, command)
        if resumed is not None:
            resume_case(tx, history.instant(resumed), ResumeCase(case_id=held.id, by="staff_1"), hours=history.hours)
    if history.closed is not None:
        at = history.instant(history.closed)
        held = claim(tx, at, step.case_id, by="staff_1")
        command_close = CloseCase(case_id=held.id, fence=held.fence, outcome="honest", by="staff_1")
        live.apply(close_case(tx, at, command_close, hours=history.hours).change)
    return step.case_id


def test_the_truth_about_due_times_from_sql_equals_a_replay_minute_by_minute(database: Database) -> None:
    randomness = random.Random(20261129)
    live = LiveCases()
    wrong: list[tuple[int, bool]] = []
    lates = breaches = 0
    for place in range(HISTORIES):
        history = History(randomness)
        expected = history.replay()
        now = history.instant(history.now)
        with database.write() as tx:
            case_id = live_through(tx, live, history, place)
            late = case_id in work_store.late_cases(tx, now, case_id)
            breached = breach_case(tx, now, case_id) is not None
        lates += expected
        breaches += breached
        is_waiting = history.closed is None and not (history.pauses and history.pauses[-1][1] is None)
        if late != expected or breached != (expected and is_waiting):
            wrong.append((place, expected))
    assert wrong == []
    assert 0.15 < lates / HISTORIES < 0.85, "the histories are of both kinds"
    assert breaches > 0
