"""A desk over an empty database with the small pack, an archive beside it, and a clock that jumps by weeks."""

import contextlib
import dataclasses
import json
import pathlib
import random
from collections.abc import Callable, Iterator, Sequence

import duckdb
import msgspec
import pytest

import koban.decisions.store as decision_store
from koban.app.archiving import KEPT_CHANGES
from koban.audit import SeededSecrets
from koban.base import DAY, ManualClock, to_rfc3339
from koban.db import Database, Tx
from koban.decisions import DecisionRecord
from koban.events import decode, take_log
from koban.events.archive import Archive, ArchiveReport, Archiving, Places, archive_connection, run
from koban.events.routes import Decided, Result
from koban.features import stored_watermark
from koban.packs import PackDef, active_at, load_pack, load_version
from koban.pipeline.commands import activate
from koban.pipeline.desk import Desk
from koban.pipeline.memory import Memory
from koban.vault import Vault, held_people

SMALL_PACK = pathlib.Path(__file__).parents[1] / "small_pack"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Station:
    """A desk with what tests want to reach behind it."""

    database: Database
    clock: ManualClock
    desk: Desk
    pack: PackDef
    vault: Vault
    archive: Archive

    def event(self, event_id: str, text: str = "こんにちは", **changes: object) -> dict[str, object]:
        data: dict[str, object] = {
            "sender": {"id": "a1"},
            "recipient": {"id": "b1"},
            "message": {"id": f"m-{event_id}"},
            "text": text,
            "device": {"id": "phone-77"},
        }
        event = {"specversion": "1.0", "id": event_id, "source": "shop", "type": "message.sent", "data": data}
        event["time"] = to_rfc3339(self.clock.now())
        return {**event, **changes}

    def payout(self, event_id: str, amount_minor: int, account: str = "a1") -> dict[str, object]:
        return self.event(
            event_id, type="payout.requested", data={"account": {"id": account}, "amount_minor": amount_minor}
        )

    def send(self, *events: dict[str, object]) -> list[Result]:
        items = decode(json.dumps(list(events)).encode(), "application/json")
        self.clock.advance(1_000)
        return self.desk.submit(items, self.clock.now(), asynchronous=False).result(timeout=60)

    def answer(self, event: dict[str, object]) -> bytes:
        result = self.send(event)[0]
        assert isinstance(result, Decided), result
        return bytes(result.body)

    def decide(self, event: dict[str, object]) -> DecisionRecord:
        return msgspec.json.decode(self.answer(event), type=DecisionRecord)

    def days_pass(self, days: int) -> None:
        """Let time go by, and derived state be written back as in an idle second."""
        self.clock.advance(days * DAY)
        self.desk.command(lambda memory, tx: memory.features.write_slice(tx, memory.last_seq, 100_000))

    def archiving(self, pack: PackDef | None = None, **changes: object) -> Archiving:
        archiving = Archiving(
            database=self.database,
            clock=self.clock,
            places=self.archive.places,
            event_types=(pack or self.pack).events,
            answers=decision_store.read_whole,
            forget_answers=decision_store.delete_decisions,
            derived_seq=stored_watermark,
            is_held=lambda tx: held_people(tx, self.vault),
            kept_changes=KEPT_CHANGES,
            pause=lambda _seconds: None,
        )
        return dataclasses.replace(archiving, **changes)  # type: ignore[arg-type]  # fields by name

    def run_archive(self, pack: PackDef | None = None, **changes: object) -> ArchiveReport:
        return run(self.archiving(pack, **changes))

    @contextlib.contextmanager
    def duckdb(self, **options: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        with self.database.read() as tx:
            connection = archive_connection(tx, self.archive, self.vault, self.pack, **options)  # type: ignore[arg-type]  # flags alone
        with connection:
            yield connection

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        with self.database.read() as tx:
            return [tuple(row) for row in tx.rows(sql, parameters)]

    def seqs(self) -> list[int]:
        """Every event of the log, wherever it is, once each: a double shows."""
        with self.database.read() as tx:
            archived = [each.entry.seq for each in self.archive.walk(tx) if each.entry.kind == "event"]
            upto = tx.rows("SELECT value FROM log_state WHERE name = 'archived_seq'")
            hot = tx.rows(
                "SELECT seq FROM log_entries WHERE kind = 'event' AND seq > ? ORDER BY seq",
                (upto[0][0] if upto else 0,),
            )
        return archived + [int(row[0]) for row in hot]


@contextlib.contextmanager
def open_station(
    database: Database, clock: ManualClock, folder: pathlib.Path, *, first: bool, pack: PackDef
) -> Iterator[Station]:
    """Open a desk over a database, as a process does that starts or starts again."""
    with database.write() as tx:
        vault = Vault.open_file(tx, folder / "vault.key", SeededSecrets(7))

    def find(tx: Tx, seq: int) -> PackDef:
        activation = active_at(tx, seq + 1)
        return pack if activation is None else load_version(tx, activation.digest)

    lease = take_log(database, clock, holder="test", is_dead=lambda _holder: True)
    memory = Memory(vault, clock, random.Random(5), consequences=True)
    archive = Archive(places=Places(folder=folder / "archive"))
    with database.write() as tx:
        memory.load(tx, find)
    desk = Desk(database, memory, lease, find, archive=archive)
    desk.decider.start()
    try:
        if first:
            compiled = memory.compile(pack)
            desk.command(lambda live, tx: activate(live, tx, compiled, by="test", reason="first"), alone=True)
        yield Station(database=database, clock=clock, desk=desk, pack=pack, vault=vault, archive=archive)
    finally:
        desk.decider.close()


@pytest.fixture
def station(database: Database, clock: ManualClock, tmp_path: pathlib.Path) -> Iterator[Station]:
    """A desk that has just been opened for the first time."""
    with open_station(database, clock, tmp_path, first=True, pack=load_pack(SMALL_PACK)) as opened:
        yield opened


@pytest.fixture
def reopen(
    database: Database, clock: ManualClock, tmp_path: pathlib.Path
) -> Callable[[], contextlib.AbstractContextManager[Station]]:
    """Open the same database again, as after a restart."""
    return lambda: open_station(database, clock, tmp_path, first=False, pack=load_pack(SMALL_PACK))
