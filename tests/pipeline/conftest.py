"""A desk over an empty database with the small pack, its clock moved by hand."""

import contextlib
import dataclasses
import json
import logging
import pathlib
import random
from collections.abc import Callable, Iterator, Sequence

import msgspec
import pytest
import structlog

from koban.audit import SeededSecrets
from koban.base import Instant, ManualClock, to_rfc3339
from koban.db import Database, Tx
from koban.decisions import DecisionRecord
from koban.events import decode, take_log
from koban.events.routes import Decided, Result
from koban.packs import PackDef, active_at, load_pack, load_version
from koban.pipeline.commands import activate
from koban.pipeline.desk import Desk
from koban.pipeline.memory import Memory
from koban.vault import Vault

SMALL_PACK = pathlib.Path(__file__).parents[1] / "small_pack"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Log nothing below critical: drawing a traceback with everything in it takes longer than the tests wait."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Station:
    """A desk with what tests want to reach behind it."""

    database: Database
    clock: ManualClock
    desk: Desk

    def event(self, event_id: str, text: str = "こんにちは", **changes: object) -> dict[str, object]:
        data: dict[str, object] = {
            "sender": {"id": "a1"},
            "recipient": {"id": "b1"},
            "message": {"id": f"m-{event_id}"},
            "text": text,
        }
        event = {"specversion": "1.0", "id": event_id, "source": "shop", "type": "message.sent", "data": data}
        event["time"] = to_rfc3339(self.clock.now())
        return {**event, **changes}

    def payout(self, event_id: str, amount_minor: int, account: str = "a1") -> dict[str, object]:
        return self.event(
            event_id, type="payout.requested", data={"account": {"id": account}, "amount_minor": amount_minor}
        )

    def send(self, *events: dict[str, object], asynchronous: bool = False) -> list[Result]:
        items = decode(json.dumps(list(events)).encode(), "application/json")
        self.clock.advance(1_000)
        return self.desk.submit(items, self.clock.now(), asynchronous).result(timeout=60)

    def decide(self, event: dict[str, object]) -> DecisionRecord:
        result = self.send(event)[0]
        assert isinstance(result, Decided), result
        return msgspec.json.decode(bytes(result.body), type=DecisionRecord)

    def run(self, command: Callable[[Memory, Tx], object], *, alone: bool = False) -> object:
        return self.desk.command(command, alone=alone)

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        with self.database.read() as tx:
            return [tuple(row) for row in tx.rows(sql, parameters)]


@contextlib.contextmanager
def open_station(
    database: Database,
    clock: ManualClock,
    folder: pathlib.Path,
    *,
    first: bool,
    pack_folder: pathlib.Path = SMALL_PACK,
    pack: PackDef | None = None,
) -> Iterator[Station]:
    """Open a desk over a database, as a process does that starts or starts again. `pack`: one that was read before."""
    pack = pack or load_pack(pack_folder)
    with database.write() as tx:
        vault = Vault.open_file(tx, folder / "vault.key", SeededSecrets(7))

    def find(tx: Tx, seq: int) -> PackDef:
        activation = active_at(tx, seq + 1)
        is_given = activation is None or activation.digest == pack.digest
        return pack if is_given or activation is None else load_version(tx, activation.digest)

    lease = take_log(database, clock, holder="test", is_dead=lambda _holder: True)
    memory = Memory(vault, clock, random.Random(5), consequences=True)
    with database.write() as tx:
        memory.load(tx, find)
    desk = Desk(database, memory, lease, find)
    desk.decider.start()
    try:
        if first:
            compiled = memory.compile(pack)
            desk.command(lambda live, tx: activate(live, tx, compiled, by="test", reason="first"), alone=True)
        yield Station(database=database, clock=clock, desk=desk)
    finally:
        desk.decider.close()


@pytest.fixture
def station(database: Database, clock: ManualClock, tmp_path: pathlib.Path) -> Iterator[Station]:
    """A desk that has just been opened for the first time."""
    with open_station(database, clock, tmp_path, first=True) as opened:
        yield opened


@pytest.fixture
def reopen(
    database: Database, clock: ManualClock, tmp_path: pathlib.Path
) -> Callable[[], contextlib.AbstractContextManager[Station]]:
    """Open the same database again, as after a restart."""
    return lambda: open_station(database, clock, tmp_path, first=False)


def at_of(text: str) -> Instant:
    from koban.base import from_rfc3339

    at = from_rfc3339(text)
    assert at is not None
    return at
