"""Queues and the calendars that their due times run on."""

import datetime
import re
import zoneinfo
from collections.abc import Iterator, Mapping
from typing import Final, cast, get_args

from koban.base import MINUTE, SECOND
from koban.packs import reading
from koban.packs.documents import Entries, Node
from koban.packs.faults import Fault, nearest
from koban.packs.types import CalendarDef, HarmClass, Hours, Likeness, QueueDef, Span

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MAX_SPANS: Final = 12  # a day
MAX_HOLIDAYS: Final = 2_000
DAY_MINUTES: Final = 24 * 60

_SPAN: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_calendar(node: Node, faults: list[Fault]) -> CalendarDef | None:
    """Read one business calendar: when the clock of a queue runs."""
    record = reading.open_record(
        node, faults, what="a calendar", required=("calendar", "title", "zone", "hours"), optional=("holidays", "days")
    )
    if record is None:
        return None
    zone = reading.text(record, "zone", "UTC")
    if zone and zone not in zoneinfo.available_timezones():
        record.fault(record.at_of("zone"), f"there is no time zone '{zone[:80]}'", "such as Asia/Tokyo or UTC")
    weekly: dict[str, tuple[Span, ...]] = dict.fromkeys(WEEKDAYS, ())
    for name, value in _pairs(record.value("hours"), faults, "hours"):
        if name not in weekly:
            hint = nearest(name, WEEKDAYS) or f"one of {', '.join(WEEKDAYS)}"
            record.fault(value.at, f"'hours' has no day '{name[:80]}'", hint)
        else:
            weekly[name] = _spans(value, faults)
    days: dict[str, tuple[Span, ...]] = {}
    for holiday in reading.items(record.value("holidays"), faults, what="'holidays'", most=MAX_HOLIDAYS):
        days[_date(holiday, faults)] = ()
    for name, value in _pairs(record.value("days"), faults, "days"):
        if not _is_date(name):
            record.fault(value.at, f"'{name[:40]}' is no date", "written 2026-12-30")
        days[name] = _spans(value, faults)
    if not any(weekly.values()) and "hours" in record.fields:
        record.fault(record.at_of("hours"), "a calendar that is never open would never let anything be due")
    return CalendarDef(
        name=reading.name(record, "calendar"),
        title=reading.texts(record, "title"),
        hours=Hours(zone=zone, weekly=tuple(weekly[day] for day in WEEKDAYS), days=tuple(sorted(days.items()))),
        source=record.at,
    )


def read_queue(node: Node, faults: list[Fault]) -> QueueDef | None:
    """Read one review queue."""
    record = reading.open_record(
        node,
        faults,
        what="a queue",
        required=("queue", "title", "due"),
        optional=("calendar", "harm", "exposure", "two_people", "preserve", "escalates_to", "alike"),
    )
    if record is None:
        return None
    due, exposure = record.value("due"), record.value("exposure")
    harm = reading.one_of(record, "harm", get_args(HarmClass), "none")
    if exposure is not None and harm == "none":
        record.fault(exposure.at, "'exposure' limits a kind of harm", "say which: harm: violence")
    alike = [
        reading.word(item, faults, get_args(Likeness), "text", what="'alike'")
        for item in reading.items(record.value("alike"), faults, what="'alike'", most=len(get_args(Likeness)))
    ]
    return QueueDef(
        name=reading.name(record, "queue"),
        title=reading.texts(record, "title"),
        due_in_s=reading.duration(due, faults, what="'due'") // SECOND if due is not None else 3_600,
        calendar=reading.optional_name(record, "calendar") or "",
        harm=cast("HarmClass", harm),  # cast: one_of has checked it
        exposure_min=reading.duration(exposure, faults, what="'exposure'") // MINUTE if exposure is not None else 0,
        two_people=reading.boolean(record, "two_people", default=harm == "child"),
        preserve=reading.boolean(record, "preserve", default=harm == "child"),
        escalates_to=reading.optional_name(record, "escalates_to") or "",
        alike=cast("tuple[Likeness, ...]", tuple(dict.fromkeys(alike))),  # cast: word has checked each
        source=record.at,
    )


def check_queues(queues: Mapping[str, QueueDef], calendars: Mapping[str, CalendarDef]) -> Iterator[Fault]:
    """Check that calendars and queues that a queue names are declared, and that escalating leads somewhere else."""
    for queue in queues.values():
        if queue.calendar and queue.calendar not in calendars:
            detail = f"there is no calendar '{queue.calendar}'"
            yield Fault(source=queue.source, detail=detail, hint=nearest(queue.calendar, calendars))
        if queue.escalates_to and queue.escalates_to not in queues:
            detail = f"there is no queue '{queue.escalates_to}'"
            yield Fault(source=queue.source, detail=detail, hint=nearest(queue.escalates_to, queues))
        if queue.escalates_to == queue.name:
            yield Fault(source=queue.source, detail="a queue does not escalate to itself")


def _pairs(node: Node | None, faults: list[Fault], key: str) -> Iterator[tuple[str, Node]]:
    if node is None:
        return
    if not isinstance(node, Entries):
        faults.append(Fault(source=node.at, detail=f"'{key}' must be a mapping of days to spans"))
        return
    for name, value in node.pairs:
        yield name.text, value


def _spans(node: Node, faults: list[Fault]) -> tuple[Span, ...]:
    """Read the spans of one day; one that ends at or before its start ends on the next day."""
    found: list[Span] = []
    for item in reading.items(node, faults, what="the spans of a day", most=MAX_SPANS):
        written = reading.scalar_text(item, faults, what="a span")
        match = _SPAN.fullmatch(written)
        if match is None:
            hint = "quoted, such as '09:00-12:00'; '22:00-06:00' ends on the next day; '00:00-24:00' is all day"
            faults.append(Fault(source=item.at, detail=f"'{written[:40]}' is no span of a day", hint=hint))
            continue
        start = int(match[1]) * 60 + int(match[2])
        end = int(match[3]) * 60 + int(match[4])
        if end > DAY_MINUTES:
            faults.append(Fault(source=item.at, detail="a day ends at 24:00"))
            continue
        span = (start, end if end > start else end + DAY_MINUTES)
        if found and span[0] < found[-1][1]:
            faults.append(Fault(source=item.at, detail="the spans of a day are given in order and do not overlap"))
        found.append(span)
    return tuple(found)


def _date(node: Node, faults: list[Fault]) -> str:
    written = reading.scalar_text(node, faults, what="a holiday")
    if not _is_date(written):
        faults.append(Fault(source=node.at, detail=f"'{written[:40]}' is no date", hint="written 2026-12-30"))
    return written


def _is_date(written: str) -> bool:
    if _DATE.fullmatch(written) is None:
        return False
    try:
        datetime.date.fromisoformat(written)
    except ValueError:
        return False
    return True
