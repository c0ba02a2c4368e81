"""What the demonstration's evening costs at story speed: the simulator's own share of a core, and the truth page's report."""

import tempfile
from collections.abc import Callable

import msgspec

from bench.measure import Row, Size, cpu_us
from koban.base import MINUTE, SECOND, Instant
from koban.sim import Settings, plan, wire
from koban.sim.evening import SPEED, evening_of, past_of
from koban.sim.report import Decision, Signal, report
from koban.sim.types import EventTruth, TruthRow

START = Instant(1_795_000_000_000_000)
TINY_EVENTS = 1_000
BATCH = 6  # events that are due within a fifth of a second at thirty a second


def measure_story(size: Size) -> list[Row]:
    """Plan, write down and encode an evening as the runner does; set its CPU time against the five minutes it plays."""
    minutes = 60 if size.events > TINY_EVENTS else 3
    evening = evening_of(1, START, minutes=minutes)
    truth: list[TruthRow] = []
    events = _played(evening, truth.append)
    played_s = minutes * MINUTE / SPEED / SECOND
    told_s = cpu_us(lambda: _played(evening, lambda _row: None), 1) / SECOND
    past_s = cpu_us(lambda: _played(past_of(evening), lambda _row: None), 1) / SECOND
    decisions = [_decided(row) for row in truth if isinstance(row, EventTruth)]
    report_ms = cpu_us(lambda: report(truth, decisions), 1) / 1_000
    return [
        Row(bench="story", what="events a second of arrival", value=events / played_s, unit="events/s"),
        Row(
            bench="story",
            what="planning and encoding the evening, share of a core at story speed",
            value=100 * told_s / played_s,
            unit="%",
            target=2.0,
            note="what the simulator takes from the server's core, without the HTTP client",
        ),
        Row(bench="story", what="planning the day before", value=past_s, unit="s", target=1.0),
        Row(
            bench="story",
            what=f"the truth page's report over {events:,} events",
            value=report_ms,
            unit="ms",
            target=200.0,
        ),
    ]


def _played(settings: Settings, note: Callable[[TruthRow], None]) -> int:
    encode = msgspec.json.Encoder().encode
    batch: list[object] = []
    count = 0
    with tempfile.TemporaryFile() as file:
        for event in plan(settings, note):
            batch.append(wire(event))
            count += 1
            if len(batch) == BATCH:
                file.write(encode(batch))
                batch.clear()
    return count


def _decided(row: EventTruth) -> Decision:
    signals = (Signal(rule="bench", policy="bench", applied=True, actions=("hide",)),) if row.harm else ()
    return Decision(id=row.event_id, verdict="block" if row.harm else "allow", signals=signals, seq=1)
