"""The process that makes the index while much happens: the server's own interpreter then only takes events and decides.

It is told where the data is in one line of JSON on standard input, and ends when that is closed, so with the server that
started it. It also ends by itself after a quiet minute: the little that happens then needs no process.
"""

import functools
import os
import pathlib
import sys
import threading
from typing import Final

import msgspec

from koban.db import Database, Tx
from koban.events import archive as archives
from koban.finding.actions import follow
from koban.finding.types import ReadArchived
from koban.packs import PackDef, active_at, load_version

NICENESS: Final = 5  # whoever waits for a decision goes first
ROUND_S: Final = 0.1
ROUNDS_LOOKED_BACK: Final = 600
QUIET_EVENTS: Final = 3_000  # in as many rounds: with fewer it ends
CHUNK: Final = 200  # events in one transaction, which on SQLite keeps nobody, and on PostgreSQL only another index
_NEWEST: Final = 1 << 62


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Where the data is, and how long to rest between two looks at it."""

    database_url: str
    archive: str
    round_s: float = ROUND_S


def main() -> int:
    """Follow the log until nobody needs it. Raises Unavailable where the data cannot be opened."""
    os.nice(NICENESS)
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    ended = threading.Event()
    threading.Thread(target=_wait_for_end, args=(ended,), name="koban-end", daemon=True).start()
    database = Database.open_beside(job.database_url)
    try:
        archive = archives.Archive(places=archives.Places(folder=pathlib.Path(job.archive)))
        follow_along(database, archive.next_entries, ended, round_s=job.round_s)
    finally:
        database.close()
    return 0


def follow_along(
    database: Database, archived: ReadArchived, ended: threading.Event, *, round_s: float = ROUND_S
) -> None:
    """Follow the log in rounds until told to end, or until little happened for a while; by the pack in force."""
    pack: PackDef | None = None
    while True:
        done = 0
        for _ in range(ROUNDS_LOOKED_BACK):
            if ended.wait(round_s):
                return
            pack = _in_force(database, pack)
            if pack is not None:
                done += follow(
                    database,
                    pack.events,
                    archived,
                    chunk=CHUNK,
                    goes_on=lambda: not ended.is_set(),
                    is_current=functools.partial(_is_in_force, pack),
                )
        if done < QUIET_EVENTS:
            return


def _wait_for_end(ended: threading.Event) -> None:
    # Why not by `sys.stdin`: an interpreter that ends while a thread waits there aborts, for it cannot take its lock.
    while os.read(sys.stdin.fileno(), 1):
        pass
    ended.set()


def _in_force(database: Database, known: PackDef | None) -> PackDef | None:
    """Return the pack in force; None before the first."""
    with database.read() as tx:
        active = active_at(tx, _NEWEST)
        if active is None or (known is not None and known.digest == active.digest):
            return known
        return load_version(tx, active.digest)


def _is_in_force(pack: PackDef, tx: Tx) -> bool:
    active = active_at(tx, _NEWEST)
    return active is not None and active.digest == pack.digest


if __name__ == "__main__":
    sys.exit(main())
