"""The review queue: how long a claim takes with 100,000 open cases, alone and with fifty people at once."""

import pathlib
import tempfile
import threading
import time
from collections.abc import Sequence

from bench.measure import Row, Size
from koban.base import Instant
from koban.cases import CloseCase, LiveCases, claim_next, close_case, write
from koban.cases.types import CaseClaimed
from koban.db import Database, upgrade
from koban.enforcement import ReviewRequest, SubjectRef
from koban.packs import QueueDef, Source

QUEUES = tuple(f"queue_{index}" for index in range(12))
WORKERS = 50
EACH_S = 18.0  # 200 cases an hour and person
FASTER = 5  # than people are: so many times more claims fall upon each other
TEXT = {"en": "text", "ja": "文"}


def measure_queue(size: Size) -> list[Row]:
    """Measure claims on SQLite with every commit on the disk."""
    tiny = size.stored_events == 0
    count, alone, each = (2_000, 50, 2) if tiny else (100_000, 2_000, 10)
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(f"sqlite:///{pathlib.Path(folder)}/koban.db")
        try:
            upgrade(database)
            _fill(database, count)
            single = [_claim_and_close(database, "staff_0") for _ in range(alone)]
            crowd = _crowd(database, each, EACH_S / FASTER if not tiny else 0.0)
        finally:
            database.close()
    note = f"{count:,} open in {len(QUEUES)} queues, SQLite, fsync on"
    return [
        Row(bench="queue", what="claim, one person: p50", value=_percentile(single, 50), unit="ms", note=note),
        Row(bench="queue", what="claim, one person: p99", value=_percentile(single, 99), unit="ms", target=20.0, note=note),
        Row(
            bench="queue", what=f"claim, {WORKERS} people: p99", value=_percentile(crowd, 99), unit="ms", target=20.0,
            note=f"each {FASTER} times as fast as 200 cases an hour, closing every case; {note}",
        ),
    ]  # fmt: skip


def _fill(database: Database, count: int) -> None:
    live = LiveCases()
    at = _now()
    source = Source(file="queues.yaml", line=1)
    for start in range(0, count, 1_000):
        steps = []
        for seq in range(start, min(start + 1_000, count)):
            queue = QueueDef(name=QUEUES[seq % len(QUEUES)], title=TEXT, due_in_s=3_600 + seq % 86_400, source=source)
            request = ReviewRequest(
                queue=queue.name, subject=SubjectRef(kind="message", id=f"m{seq}"), acting=None, rule="r", policy="p",
                because=TEXT, event_id=f"e{seq}", event_type="message.sent",
            )  # fmt: skip
            steps.append(live.open(request, queue, at=at, seq=seq)[0])
        with database.write() as tx:
            write(tx, steps)


def _crowd(database: Database, each: int, pause_s: float) -> list[float]:
    took: list[float] = []

    def person(name: str, place: int) -> None:
        time.sleep(pause_s * place / WORKERS)
        for _ in range(each):
            took.append(_claim_and_close(database, name))
            time.sleep(pause_s)

    threads = [threading.Thread(target=person, args=(f"staff_{place}", place)) for place in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def _claim_and_close(database: Database, person: str) -> float:
    """Claim the next case of all queues and close it; return how long the claim took, in milliseconds."""
    while True:
        began = time.perf_counter()
        try:
            with database.write() as tx:
                case = claim_next(tx, _now(), QUEUES, by=person)
        except CaseClaimed:
            continue
        took = (time.perf_counter() - began) * 1_000
        with database.write() as tx:
            close_case(tx, _now(), CloseCase(case_id=case.id, outcome="unclear", by=person, fence=case.fence))
        return took


def _percentile(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _now() -> Instant:
    return Instant(time.time_ns() // 1_000)
