"""A backtest of 50 rules and 24 features over an archive, as its own process: time, memory, and where they go."""

import json
import os
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time
from typing import Final

from bench.measure import Row, Size
from bench.pack import write_pack
from bench.workload import make_events, with_people_talk
from koban.audit import SystemSecrets
from koban.base import DAY, Instant
from koban.db import Database, upgrade
from koban.events import Entry, Envelope, Kind, Prepared, make_preparer, prepare
from koban.events import store as event_store
from koban.events.archive import Places
from koban.events.archive import store as archive_store
from koban.events.archive.export import write_pair
from koban.packs import load_pack
from koban.pipeline.sealing import seal
from koban.vault import Vault

DAYS: Final = 90
START: Final = Instant(1_780_000_000_000_000 // DAY * DAY)
DIFFERENT: Final = 5_000  # events that are made; the log repeats them under other ids and times
MEMORY_MAX: Final = 4 * 1024**3


def measure_backtest(size: Size) -> list[Row]:
    """Measure a backtest of 50 rules over 90 days of events, by SQL, and by the live engine over a tenth of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        pack = write_pack(folder / "pack", rules=50)
        fill_archive(folder / "data", pack, size.backtest_events)
        took, peak, found = _run(folder, pack, "sql")
        few = max(1, size.backtest_events // 10)
        live_took, _, live = _run(folder, pack, "live", "--newest", str(few))
    count = f"{size.backtest_events:,}"
    full = size.backtest_events >= 1_000_000
    return [
        Row(bench="backtest", what=f"{count} events × 50 rules × 24 features, SQL", value=took, unit="s",
            target=60 if full else None, note=f"{found['total']['hits']:,} events hit; wall clock, start of the process included"),
        Row(bench="backtest", what=f"{count} events, the most memory", value=peak / 1024**2, unit="MiB",
            target=MEMORY_MAX / 1024**2 if full else None, note="resident, of the child process"),
        Row(bench="backtest", what=f"newest {few:,} events judged by the live engine", value=live_took, unit="s",
            note=f"all {count} events feed its features; {live['total']['hits']:,} events hit"),
    ]  # fmt: skip


def fill_archive(data: pathlib.Path, pack_folder: pathlib.Path, count: int) -> None:
    """Write events of 90 days into an archive beside an empty database, as an archive run does."""
    pack = load_pack(pack_folder)
    data.mkdir(parents=True)
    database = Database.open(f"sqlite:///{data}/koban.db")
    upgrade(database)
    randomness = random.Random(5)
    made = [(kind, with_people_talk(event, randomness)) for kind, event in make_events(17, min(count, DIFFERENT))]
    preparers = {name: make_preparer(event) for name, event in pack.events.items()}
    step = DAYS * DAY // count
    places = Places(folder=data / "archive")
    with database.write() as tx:
        vault = Vault.open_file(tx, data / "vault.key", SystemSecrets())
        seq = 0
        files = []
        for day in range(DAYS):
            entries: dict[str, list[Entry]] = {name: [] for name in pack.events}
            while seq < count and (seq * step) // DAY == day:
                kind, event = made[seq % len(made)]
                at = Instant(START + seq * step)
                envelope = Envelope(id=f"e{seq}", source="bench", type=kind, event_at=at, subject=None, data=dict(event),
                                    damaged=False)  # fmt: skip
                prepared = prepare(preparers[kind], envelope, at, vault.pseudonym, vault.digest)
                assert isinstance(prepared, Prepared)
                vault.prepare(tx, at, prepared.personal)
                key = event_store.event_key("bench", envelope.id)
                seq += 1
                entries[kind].append(_entry(prepared, seq, at, seal(vault, key, prepared.personal)))
            for name, those in entries.items():
                if those:
                    files.append(
                        write_pair(places, START, those, day=START // DAY + day, answers={}, preparer=preparers[name])
                    )
        archive_store.insert_files(tx, files)
        vault.save(tx)
        event_store.write_state(tx, "archived_seq", seq)
        event_store.write_state(tx, "last_seq", seq)
    database.close()


def _entry(prepared: Prepared, seq: int, at: Instant, sealed: bytes | None) -> Entry:
    return Entry(seq=seq, log_at=at, received_at=at, kind=Kind.EVENT, type=prepared.type, source=prepared.source,
                 event_id=prepared.id, event_at=at, subject=None, data=prepared.data, sealed=sealed,
                 digest=prepared.digest, flags=prepared.flags, cause_seq=None)  # fmt: skip


def _run(
    folder: pathlib.Path, pack: pathlib.Path, engine: str, *further: str
) -> tuple[float, int, dict[str, dict[str, int]]]:
    environment = {**os.environ, "KOBAN_DATA": str(folder / "data"), "KOBAN_PACK": str(pack)}
    koban = pathlib.Path(sys.executable).with_name("koban")
    started = time.perf_counter()
    done = subprocess.run(
        [koban, "backtest", "--pack", pack, "--against", "none", "--engine", engine, "--json", *further],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    took = time.perf_counter() - started
    return took, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, json.loads(done.stdout)
