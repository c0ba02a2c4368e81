"""A desk with a pack that has every kind of queue, people who work, and a marketplace that is told things."""

import contextlib
import dataclasses
import json
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec
import pytest
from tests.pipeline.conftest import Station, open_station

from koban.base import Instant, ManualClock
from koban.cases import Case, claim, claim_next, read_case, search_cases
from koban.cases import actions as case_actions
from koban.cases.types import DecideCase, Judged
from koban.db import Database, Tx
from koban.enforcement import Sanction, link_token
from koban.enforcement import store as sanction_store
from koban.pipeline import Memory, casework
from koban.webhooks import WebhookEndpoint
from koban.webhooks import store as webhook_store

PACK = pathlib.Path(__file__).parent / "pack"
LURE = "手数料分お安くしますので、直取引しませんか。よろしくお願いいたします"
KEY = b"k" * 32
T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bench:
    """A station seen by those who work on cases."""

    station: Station

    @property
    def database(self) -> Database:
        return self.station.database

    @property
    def clock(self) -> ManualClock:
        return self.station.clock

    def lure(self, event_id: str, text: str = LURE, *, sender: str = "a1", recipient: str = "b1") -> Case:
        """Send a message that a rule takes, and return the case that it opened or joined."""
        data = {
            "sender": {"id": sender},
            "recipient": {"id": recipient},
            "message": {"id": f"m-{event_id}"},
            "text": text,
        }
        record = self.station.decide(self.station.event(event_id, data=data))
        return self.case(record.cases[0])

    def report(self, event_id: str, message: str, *, reporter: str = "r1", reported: str = "a1") -> Case:
        data = {"reporter": {"id": reporter}, "reported": {"id": reported}, "message": {"id": message}}
        record = self.station.decide(self.station.event(event_id, type="report.filed", data=data))
        return self.case(record.cases[0])

    def case(self, case_id: str) -> Case:
        with self.database.read() as tx:
            found = read_case(tx, case_id)
        assert found is not None
        return found

    def open_cases(self) -> list[Case]:
        with self.database.read() as tx:
            return search_cases(tx, status="open", limit=200)

    def claim(self, case_id: str, by: str = "staff_1") -> Case:
        with self.database.write() as tx:
            return claim(tx, self.clock.now(), case_id, by=by)

    def next(self, *queues: str, by: str = "staff_1") -> Case:
        guarded = self.station.desk.memory.compiled.pack.queues
        with self.database.write() as tx:
            return claim_next(tx, self.clock.now(), queues or tuple(guarded), by=by, guarded=guarded)

    def opened(self, case: Case, by: str = "staff_1") -> None:
        with self.database.write() as tx:
            case_actions.opened(tx, self.clock.now(), case, by=by)

    def decide(self, case: Case, by: str = "staff_1", **judgement: Any) -> Judged:  # Any: fields of DecideCase
        fields: dict[str, object] = {"outcome": "upheld", **judgement}
        command = msgspec.convert({**fields, "case_id": case.id, "fence": case.fence, "by": by}, DecideCase)
        return self.run(lambda memory, tx: casework.decide(memory, tx, command))

    def run(self, command: Callable[[Memory, Tx], T]) -> T:
        return self.station.desk.command(command)

    def sanctions(self, kind: str, subject: str) -> list[Sanction]:
        from koban.enforcement import SubjectRef

        with self.database.read() as tx:
            return sanction_store.read_of_subject(tx, SubjectRef(kind=kind, id=subject))

    def told(self) -> list[dict[str, Any]]:  # Any: JSON
        """Return the bodies of everything that the marketplace was asked, oldest first."""
        with self.database.read() as tx:
            rows = tx.rows("SELECT body FROM actions ORDER BY state_version, ordinal")
        return [json.loads(bytes(row[0])) for row in rows]

    def notices(self, kind: str = "notice.requested", purpose: str = "") -> list[dict[str, Any]]:  # Any: JSON
        found = [each["data"]["notice"] for each in self.told() if each["type"] == kind]
        return [each for each in found if not purpose or each["purpose"] == purpose]

    def wait(self, kind: str, count: int = 1) -> None:
        """Wait until the decider has entered that many changes of a kind: timers fire by themselves."""
        deadline = time.monotonic() + 60
        while self.station.rows("SELECT count(*) FROM log_entries WHERE type = ?", (kind,))[0][0] < count:  # type: ignore[operator]
            assert time.monotonic() < deadline, f"no {kind}"
            self.station.send(self.station.event(f"tick-{time.monotonic_ns()}"))


def with_endpoint(tx: Tx, bench_clock: ManualClock) -> None:
    webhook_store.insert_endpoint(
        tx,
        WebhookEndpoint(
            id="endpoint_1", url="https://shop.example/koban", kinds=(), enabled=True, allow_private=False,
            created_at=bench_clock.now(), secret=b"sealed",
        ),
        by="test",
    )  # fmt: skip


@contextlib.contextmanager
def open_bench(database: Database, clock: ManualClock, folder: pathlib.Path, *, first: bool) -> Iterator[Bench]:
    if first:
        with database.write() as tx:
            with_endpoint(tx, clock)
    with open_station(database, clock, folder, first=first, pack_folder=PACK) as station:
        station.desk.memory.appeal_link = lambda one: f"https://koban.test/appeal/{link_token(KEY, one.id, Instant(1))}"
        yield Bench(station=station)


@pytest.fixture
def bench(database: Database, clock: ManualClock, tmp_path: pathlib.Path) -> Iterator[Bench]:
    with open_bench(database, clock, tmp_path, first=True) as opened:
        yield opened
