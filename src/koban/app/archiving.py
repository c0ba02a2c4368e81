"""The archive, wired: what a run needs to know of other rooms, a process of its own for it, and what to say about it."""

import os
import random
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import structlog

import koban.decisions.store as decision_store
import koban.events.store as event_store
from koban.base import DAY, Clock, Instant, child_command, limits, to_rfc3339
from koban.base.settings import Settings
from koban.db import Database, Tx
from koban.events.archive import (
    CHANGES,
    Archive,
    ArchiveReport,
    Archiving,
    Places,
    archived_before,
    count_keys,
    day_name,
    is_due,
    keep_days,
    list_files,
    run,
)
from koban.features import stored_watermark
from koban.labels import LABEL_SET
from koban.lists import ENTRIES_ADDED, ENTRY_REMOVED
from koban.packs import EventType, PackDef, active_at, load_pack, load_version
from koban.rules import PACK_ACTIVATED
from koban.scores import SCORE_RECORDED
from koban.vault import Vault, held_people
from koban.webhooks import raise_alert

_log = structlog.get_logger("koban.archive")

FOLDER: Final = "archive"
# Explanations fold these up to the decision they explain, so they stay at hand for good; there are few of them.
KEPT_CHANGES: Final = frozenset({ENTRIES_ADDED, ENTRY_REMOVED, LABEL_SET, SCORE_RECORDED, PACK_ACTIVATED})
CHILD_MAX_S: Final = 6 * 3600.0
NICENESS: Final = 10


class SetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the archive holds of one event type, or of the changes."""

    type: str
    files: int
    entries: int
    bytes: int
    first_day: str
    last_day: str
    keep_days: int  # 0: for good
    other_normaliser: int  # files written under other text tables than today's


class ArchiveStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far the archive is."""

    sets: tuple[SetStatus, ...]
    in_database: int
    recognised: int  # archived events whose repetition is recognised
    archived_before: str  # what is older than this leaves the database
    due: bool


class Leaving(msgspec.Struct, frozen=True, kw_only=True):
    """When data of one kind goes, and what goes next."""

    type: str
    keep_days: int  # 0: for good
    files_over: int  # past their retention now: gone with the next run, unless a legal hold keeps them
    entries_over: int
    next_day: str  # the oldest day that is still there; empty: nothing is archived
    next_at: str  # when it goes


def archive_of(settings: Settings) -> Archive:
    """Return the archive of a data folder."""
    return Archive(places=Places(folder=settings.data / FOLDER))


def archiving_of(
    settings: Settings,
    database: Database,
    vault: Vault,
    clock: Clock,
    event_types: Mapping[str, EventType],
    *,
    pause: Callable[[float], None] = time.sleep,
) -> Archiving:
    """Gather what a run of the archive works with."""
    return Archiving(
        database=database,
        clock=clock,
        places=archive_of(settings).places,
        event_types=event_types,
        answers=decision_store.read_whole,
        forget_answers=decision_store.delete_decisions,
        derived_seq=stored_watermark,
        is_held=lambda tx: held_people(tx, vault),
        kept_changes=KEPT_CHANGES,
        pause=pause,
        holder=f"process {os.getpid()}",
    )


def run_archive(
    settings: Settings,
    database: Database,
    vault: Vault,
    clock: Clock,
    pack: PackDef,
    *,
    progress: Callable[[int], None] = lambda _entries: None,
) -> ArchiveReport:
    """Archive what is old enough and let go of what is past its retention.

    Refuses: ArchiveBusy.
    """
    return run(archiving_of(settings, database, vault, clock, pack.events), progress=progress)


def pack_in_force(settings: Settings, database: Database) -> PackDef:
    """Return the pack that decides now, or would if a server were started.

    Refuses: PackInvalid.
    """
    with database.read() as tx:
        activation = active_at(tx, event_store.last_seq(tx) + 1)
        return load_pack(settings.pack) if activation is None else load_version(tx, activation.digest)


def run_when_due(
    settings: Settings,
    database: Database,
    clock: Clock,
    randomness: random.Random,
    event_types: Callable[[], Mapping[str, EventType]],
) -> None:
    """Start a process that archives, if there is anything to do, and wait for it; alert of files that cannot go.

    Why a process: writing files takes seconds of computing, which the decider's process has not got.
    """
    with database.read() as tx:
        if not is_due(tx, clock.now(), event_types()):
            return
    environment = {
        **os.environ,
        "KOBAN_DATA": str(settings.data),
        "KOBAN_DATABASE_URL": settings.database_url,
        "KOBAN_PACK": str(settings.pack),
    }
    done = subprocess.run(  # noqa: S603 - our own command with our own arguments
        child_command("koban.cli", "archive", "run", "--json", "--quietly"),
        env=environment,
        capture_output=True,
        timeout=CHILD_MAX_S,
        check=False,
    )
    if done.returncode != 0:
        _log.error("archive_failed", said=done.stderr.decode("utf-8", "replace")[-2_000:])
        return
    report = msgspec.json.decode(done.stdout)
    _log.info("archived", report=report)
    for name in report["unreadable_files"]:
        said = (
            f"archive/entries/{name} is past its retention and cannot be read. It stays, because only the file says whose"
            " data is in it. Put it back from a backup: then it goes by itself."
        )
        with database.write() as tx:
            raise_alert(tx, clock.now(), randomness, kind="archive.damaged", about=name, detail=said)


def step_back() -> None:
    """Give this process's place to others."""
    os.nice(NICENESS)


def status(tx: Tx, at: Instant, pack: PackDef) -> ArchiveStatus:
    """Say what is archived."""
    from koban.text import VERSION

    groups: dict[str, list[int]] = {}
    files = list_files(tx)
    for place, file in enumerate(files):
        groups.setdefault(file.type, []).append(place)
    sets = [
        SetStatus(
            type=name,
            files=len(places),
            entries=sum(files[place].entries for place in places),
            bytes=sum(files[place].bytes + files[place].sealed_bytes for place in places),
            first_day=day_name(files[places[0]].day),
            last_day=day_name(files[places[-1]].day),
            keep_days=keep_days(files[places[-1]], pack.events),
            other_normaliser=sum(files[place].normaliser != VERSION for place in places),
        )
        for name, places in sorted(groups.items())
    ]
    return ArchiveStatus(
        sets=tuple(sets),
        in_database=event_store.count_entries(tx),
        recognised=count_keys(tx),
        archived_before=to_rfc3339(archived_before(at)),
        due=is_due(tx, at, pack.events),
    )


def retention(tx: Tx, at: Instant, pack: PackDef) -> tuple[Leaving, ...]:
    """Say for every event type when its data goes, and what goes next."""
    files = list_files(tx)
    named = {file.type: keep_days(file, pack.events) for file in files}
    days_of = {**{name: each.retention_days for name, each in pack.events.items()}, **named, CHANGES: 0}
    found = []
    for name, days in sorted(days_of.items()):
        own = [file for file in files if file.type == name]
        over = [file for file in own if days and file.ends_at + days * DAY <= at]
        left = [file for file in own if file not in over]
        found.append(
            Leaving(
                type=name,
                keep_days=days,
                files_over=len(over),
                entries_over=sum(file.entries for file in over),
                next_day=day_name(left[0].day) if left else "",
                next_at=to_rfc3339(Instant(left[0].ends_at + days * DAY)) if left and days else "",
            )
        )
    return tuple(found)


def render_status(found: ArchiveStatus) -> str:
    """Write the status for people."""
    lines = [
        f"{found.in_database:,} entries in the database; what is older than {found.archived_before} leaves it",
        f"{found.recognised:,} archived events are recognised when they come again",
    ]
    for each in found.sets:
        kept = f"{each.keep_days} days" if each.keep_days else "for good"
        older = f"; {each.other_normaliser} written under other text tables" if each.other_normaliser else ""
        lines.append(
            f"  {each.type}: {each.entries:,} entries, {each.files} files, {each.bytes / 1_000_000:,.1f} MB, "
            f"{each.first_day} to {each.last_day}, kept {kept}{older}"
        )
    lines.append("a run is due: 'koban archive run', or wait for the server" if found.due else "nothing is due")
    return "\n".join(lines)


def render_retention(found: tuple[Leaving, ...]) -> str:
    """Write the retention for people."""
    lines = [f"entries leave the database for the archive after {limits.DATABASE_DAYS} days"]
    for each in found:
        kept = f"{each.keep_days} days" if each.keep_days else "for good"
        lines.append(f"  {each.type}: kept {kept}")
        if each.files_over:
            lines.append(f"    {each.entries_over:,} entries in {each.files_over} files go with the next run")
        if each.next_at:
            lines.append(f"    {each.next_day} goes at {each.next_at}")
    return "\n".join(lines)
