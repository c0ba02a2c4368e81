"""Many workers, killed at random points: no case is lost, and none is held by two at once.

`KOBAN_LONG=1` is the long form: 50 workers and 100,000 claims.
"""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest
from tests.conftest import _load_all_tables

from koban.base import MINUTE, Instant
from koban.cases import LiveCases, claim_next, write
from koban.cases.types import QueueEmpty
from koban.db import Database, metadata
from koban.enforcement import ReviewRequest, SubjectRef
from koban.packs import QueueDef, Source

LONG = os.environ.get("KOBAN_LONG") == "1"
WORKERS, CASES, KILLS = (50, 100_000, 25) if LONG else (3, 300, 2)
TEXT = {"en": "text", "ja": "文"}
SOURCE = Source(file="queues.yaml", line=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> tuple[str, str]:
    """Where the workers find the database: address and schema."""
    _load_all_tables()
    if request.param == "sqlite":
        url, schema = f"sqlite:///{tmp_path}/koban.db", ""
    else:
        url, schema = request.getfixturevalue("postgres_url"), f"race_{os.getpid()}_{random.getrandbits(30):x}"
        Database.open_schema(url, schema).close()
    database = Database.open(url, durable=False, schema=schema or None)
    with database.write() as tx:
        metadata.create_all(tx.connection)
    fill(database, CASES)
    database.close()
    return url, schema


def fill(database: Database, count: int) -> None:
    live = LiveCases()
    at = Instant(time.time_ns() // 1_000)
    for start in range(0, count, 1_000):
        steps = []
        for seq in range(start, min(start + 1_000, count)):
            queue = QueueDef(name="scams" if seq % 3 else "money", title=TEXT, due_in_s=3_600 + seq, source=SOURCE)
            request = ReviewRequest(
                queue=queue.name, subject=SubjectRef(kind="message", id=f"m{seq}"), acting=None, rule="r", policy="p",
                because=TEXT, event_id=f"e{seq}", event_type="message.sent",
            )  # fmt: skip
            steps.append(live.open(request, queue, at=at, seq=seq)[0])
        with database.write() as tx:
            write(tx, steps)


def test_no_case_is_lost_and_none_is_held_by_two_though_workers_are_killed(place: tuple[str, str]) -> None:
    url, schema = place
    randomness = random.Random(20261129)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def start(name: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.casework.claimer", url, schema, name, str(CASES)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    running = [start(f"staff_{index}") for index in range(WORKERS)]
    for kill in range(KILLS):
        time.sleep(randomness.uniform(0.5, 1.5))
        place_of = randomness.randrange(len(running))
        victim = running[place_of]
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
        running[place_of] = start(f"staff_again_{kill}")
    said = [worker.communicate(timeout=10_800 if LONG else 600)[0] for worker in running]
    assert [worker.returncode for worker in running] == [0] * WORKERS, "whoever was not killed worked to the end"
    assert "lost" not in "".join(said), "a claim in force was taken away"
    database = Database.open(url, durable=False, schema=schema or None)
    try:
        with database.write() as tx:
            late = Instant(time.time_ns() // 1_000 + 21 * MINUTE)
            left = 0
            while True:
                try:
                    claim_next(tx, late, ("scams", "money"), by="staff_last")
                except QueueEmpty:
                    break
                left += 1
            closed = int(tx.rows("SELECT count(*) FROM cases WHERE status = 'closed'")[0][0])
            twice = tx.rows(
                "SELECT count(*) FROM case_timeline WHERE kind = 'closed' GROUP BY case_id HAVING count(*) > 1"
            )
            overlaps = tx.rows(
                "SELECT count(*) FROM case_touches a JOIN case_touches b ON b.case_id = a.case_id AND b.fence > a.fence"
                " WHERE b.claimed_at < COALESCE(a.ended_at, a.claimed_at + ?)",
                (20 * MINUTE,),
            )
    finally:
        database.close()
    assert closed + left == CASES, "no case is lost: each was closed, or is given out again when its claim has lapsed"
    assert left <= KILLS, "only what the killed held was left"
    assert twice == []
    assert int(overlaps[0][0]) == 0, "no case was held by two at once"
