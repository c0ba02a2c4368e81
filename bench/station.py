"""A decider to drive by hand, over real files, without a thread: what a server's decider does, call by call."""

import concurrent.futures
import contextlib
import dataclasses
import json
import pathlib
import random
import uuid
from collections.abc import Iterator, Sequence

from bench.workload import make_events, with_people_talk
from koban.app.garbage import short_collections
from koban.audit import SystemSecrets
from koban.base import HOUR, Instant, SystemClock, to_rfc3339
from koban.db import Database, drop_lease
from koban.events import decode_pieces, take_log
from koban.events.archive import Archive
from koban.events.decider import Decider, _Job
from koban.packs import PackDef, load_pack
from koban.pipeline.desk import Desk
from koban.pipeline.memory import Memory
from koban.schema import METADATA
from koban.sim import Settings, plan
from koban.vault import Vault


@dataclasses.dataclass(frozen=True, kw_only=True)
class Station:
    """A desk whose batches are handled when `take` is called."""

    database: Database
    desk: Desk
    clock: SystemClock

    def take(self, body: bytes) -> int:
        """Decode, decide and store one batch; return how many answers came."""
        units = [
            unit
            for piece in decode_pieces(body, "application/json")
            for unit in self.desk.prepare(piece, self.clock.now(), asynchronous=False)
        ]
        future: concurrent.futures.Future[list[object]] = concurrent.futures.Future()
        decider: Decider[object, object] = self.desk.decider  # type: ignore[assignment]  # any units will do
        decider._process([_Job(units=units, future=future, alone=False)])  # noqa: SLF001
        return len(future.result())


@contextlib.contextmanager
def open_station(folder: pathlib.Path, pack: PackDef, *, archive: Archive | None = None) -> Iterator[Station]:
    """Open a durable SQLite database in `folder` and a decider over it."""
    database = Database.open(f"sqlite:///{folder}/koban.db")
    try:
        with database.write() as tx:
            METADATA.create_all(tx.connection)
            vault = Vault.open_file(tx, folder / "vault.key", SystemSecrets())
        clock = SystemClock()
        lease = take_log(database, clock, holder="bench", is_dead=lambda _holder: True)
        memory = Memory(vault, clock, random.Random(1), consequences=True)
        with database.write() as tx:
            memory.load(tx, lambda _tx, _seq: pack)
        with short_collections():
            desk = Desk(database, memory, lease, lambda _tx, _seq: pack, archive=archive)
            yield Station(database=database, clock=clock, desk=desk)
        with database.write() as tx:
            drop_lease(tx, lease)  # features are left as they are: whoever opens the folder next catches up
    finally:
        database.close()


def bench_bodies(count: int, batch: int, *, seed: int = 11, prefix: str = "e", random_ids: bool = False) -> list[bytes]:
    """Write the workload's events as batches of CloudEvents, with texts as people write them.

    Their ids rise, as those of a sequence, a ULID or a UUID 7 do; or they are drawn, as a UUID 4 is.
    """
    randomness, ids = random.Random(seed), random.Random(seed)
    events = [
        _cloudevent(
            str(uuid.UUID(int=ids.getrandbits(128), version=4)) if random_ids else f"{prefix}-{number}",
            "bench",
            event_type,
            dict(with_people_talk(event, randomness)),
        )
        for number, (event_type, event) in enumerate(make_events(seed, count))
    ]
    return _batches(events, batch)


def market_bodies(count: int, batch: int, *, seed: int = 3) -> list[bytes]:
    """Write events of the simulated marketplace as batches of CloudEvents."""
    settings = Settings(seed=seed, start_at=Instant(SystemClock().now()), duration=HOUR)
    events = []
    for each in plan(settings):
        if hasattr(each, "type"):
            event = _cloudevent(each.id, each.source, each.type, dict(each.data))
            events.append({**event, "subject": each.subject, "time": to_rfc3339(each.at)})
            if len(events) >= count:
                break
    return _batches(events, batch)


def starter_pack() -> PackDef:
    """Load the starter pack."""
    return load_pack(pathlib.Path(__file__).resolve().parent.parent / "packs" / "starter")


def _cloudevent(event_id: str, source: str, event_type: str, data: dict[str, object]) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": event_type,
        "subject": data.get("item_id"),
        "data": data,
    }


def _batches(events: Sequence[dict[str, object]], batch: int) -> list[bytes]:
    return [
        json.dumps(events[start : start + batch], ensure_ascii=False).encode() for start in range(0, len(events), batch)
    ]
