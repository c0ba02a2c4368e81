"""Named logs: somebody's file as a log of its own, and a pack run over it. Nothing that happens here has consequences."""

import contextlib
import dataclasses
import decimal
import difflib
import math
import pathlib
import random
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

import koban.decisions.store as decision_store
import koban.events.store as event_store
import koban.insight.store as insight_store
from koban.audit import Secrets
from koban.base import Instant, ManualClock, Problem, Refusal, to_rfc3339
from koban.db import Database, upgrade
from koban.events import (
    Entry,
    Envelope,
    Fault,
    Kind,
    Prepared,
    Preparer,
    decode_document,
    make_preparer,
    prepare,
    read_row,
)
from koban.features import FeatureStore
from koban.insight import Map, MapInvalid, MappedRow, Unreadable, open_mapped
from koban.insight.types import LogMissing, PreviewRow
from koban.packs import PackDef
from koban.pipeline.flow import Arrival, decide
from koban.pipeline.memory import Memory
from koban.pipeline.sealing import open_entries, seal
from koban.pipeline.urgent import follow_emergency
from koban.vault import Vault

CHUNK: Final = 1_000
PREVIEW_ROWS: Final = 6
PREVIEW_CHARS: Final = 240
UNREADABLE_SHOWN_MAX: Final = 20
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")

Progress = Callable[[int, int], None]  # how many are done, of how many


class LogNameInvalid(Refusal):
    """A name that a named log cannot have."""

    code = "log_name_invalid"
    status = 422
    title = "A named log cannot be called that."


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file."""

    rows: int
    imported: int
    already_there: int
    unreadable: int
    examples: tuple[Unreadable, ...]  # the first few
    harmful: int
    honest: int


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a run over a log came to."""

    events: int
    skipped: int  # of types that the pack does not declare
    verdicts: Mapping[str, int]
    rules: Mapping[str, int]
    pack: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class NamedLog:
    """A named log that is open."""

    name: str
    folder: pathlib.Path
    database: Database
    vault: Vault


def log_names(data: pathlib.Path) -> list[str]:
    """Return the named logs of an installation that keeps them in its data folder."""
    folder = data / "logs"
    return sorted(each.name for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []


@contextlib.contextmanager
def open_log(data: pathlib.Path, url: str, name: str, secrets: Secrets, *, make: bool) -> Iterator[NamedLog]:
    """Open a named log: a database file of its own in the data folder, or a schema of its own on PostgreSQL.

    Refuses: LogNameInvalid, LogMissing.
    """
    if not _NAME.fullmatch(name):
        raise LogNameInvalid(f"{name!r}: lower-case letters, digits and _, beginning with a letter, at most 40.")
    folder = data / "logs" / name
    if not make and not folder.is_dir():
        known = ", ".join(log_names(data)) or "none yet"
        raise LogMissing(f"There is no log {name!r}; there are: {known}.")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if url.startswith("sqlite:///"):
        database = Database.open(f"sqlite:///{folder}/koban.db")
    else:
        database = Database.open_schema(url, f"log_{name}")
    try:
        upgrade(database)
        with database.write() as tx:
            vault = Vault.open_file(tx, data / "vault.key", secrets)
        yield NamedLog(name=name, folder=folder, database=database, vault=vault)
    finally:
        database.close()


def import_files(
    log: NamedLog,
    pack: PackDef,
    mapping: Map,
    files: Sequence[pathlib.Path],
    *,
    progress: Progress = lambda _done, _of: None,
) -> ImportReport:
    """Turn files into entries of a named log. Run again after a kill it goes on; run twice it changes nothing.

    Refuses: FileUnreadable, MapInvalid. A row that cannot be read is counted and shown, and stops nothing.
    """
    preparers, types = _fields(pack, mapping)
    _sweep(log.folder)
    imported = known = harmful = honest = 0
    with open_mapped(mapping, files, types, log.folder) as mapped:
        unreadable = mapped.rejected
        examples = list(mapped.rejects)
        done = 0
        for chunk in mapped.chunks():
            prepared: list[Prepared] = []
            truths: list[insight_store.Row] = []
            for row in chunk:
                found = _prepared(log.name, preparers, row, log.vault.pseudonym, log.vault.digest)
                if isinstance(found, Fault):
                    unreadable += 1
                    if len(examples) < UNREADABLE_SHOWN_MAX:
                        examples.append(Unreadable(place=f"row {row.row}", problems=found.problems))
                    continue
                prepared.append(found)
                if mapping.truth is not None:
                    harmful += row.harmful is True
                    honest += row.harmful is False
                    truths.append((found.id, _bit(row.harmful), row.kind, int(row.is_test)))
            new = _append(log, prepared, truths)
            imported += new
            known += len(prepared) - new
            done += len(chunk)
            progress(done, mapped.total)
        return ImportReport(
            rows=mapped.total + mapped.rejected,
            imported=imported,
            already_there=known,
            unreadable=unreadable,
            examples=tuple(examples),
            harmful=harmful,
            honest=honest,
        )


def preview(file: pathlib.Path, pack: PackDef, mapping: Map, *, rows: int = PREVIEW_ROWS) -> tuple[PreviewRow, ...]:
    """Return the first rows of a file as the events that they would become. Nothing is kept.

    Refuses: FileUnreadable, MapInvalid.
    """
    preparers, types = _fields(pack, mapping)
    shown: list[PreviewRow] = []
    few = msgspec.structs.replace(mapping, where=f"row <= {rows}", split="none")
    with open_mapped(few, [file], types, file.parent) as mapped:
        shown.extend(
            PreviewRow(place=each.place, at=None, harmful=None, fields=(), problems=each.problems)
            for each in mapped.rejects[:rows]
        )
        for row in (each for chunk in mapped.chunks() for each in chunk):
            found = _prepared("preview", preparers, row, lambda _kind, value: value, lambda _raw: b"")
            shown.append(
                PreviewRow(
                    place=str(row.row),
                    at=row.at,
                    harmful=row.harmful,
                    fields=tuple(
                        (path, str(value)[:PREVIEW_CHARS]) for path, value in row.data.items() if value is not None
                    ),
                    problems=found.problems if isinstance(found, Fault) else (),
                )
            )
    return tuple(shown)


def drop_log(data: pathlib.Path, url: str, name: str) -> None:
    """Delete a named log with everything in it; nothing may have it open.

    Refuses: LogMissing.
    """
    folder = data / "logs" / name
    if not _NAME.fullmatch(name) or not folder.is_dir():
        raise LogMissing(f"There is no log {name[:60]!r}.")
    if not url.startswith("sqlite:///"):
        Database.drop_schema(url, f"log_{name}")
    shutil.rmtree(folder)


def _fields(pack: PackDef, mapping: Map) -> tuple[dict[str, Preparer], dict[str, str]]:
    """Return how events of a map's types are read, and the type of every field that it fills.

    Refuses: MapInvalid, when the pack declares no such type or field.
    """
    problems = []
    preparers = {}
    for name in mapping.events:
        if name in pack.events:
            preparers[name] = make_preparer(pack.events[name])
        else:
            near = ", ".join(difflib.get_close_matches(name, pack.events, n=3)) or ", ".join(pack.events)
            detail = f"The pack declares no event type {name!r}."
            problems.append(Problem(path="event", detail=detail, hint=f"Near to it: {near}."))
    types: dict[str, str] = {}
    for path in mapping.data:
        kinds = [each.event_type.fields[path].type for each in preparers.values() if path in each.event_type.fields]
        if kinds:
            types[path] = kinds[0]
        elif preparers:
            declared = [field for each in preparers.values() for field in each.event_type.fields]
            detail = f"{', '.join(preparers)} declares no such field."
            problems.append(Problem(path=f"data.{path}", detail=detail, hint=f"Fields: {', '.join(declared)}."))
    if problems:
        raise MapInvalid("It does not fit the pack.", problems=tuple(problems))
    return preparers, types


def _sweep(folder: pathlib.Path) -> None:
    """Remove what an import that was killed left behind."""
    for left in folder.glob("import-*"):
        shutil.rmtree(left, ignore_errors=True)


def replay(log: NamedLog, pack: PackDef, *, progress: Progress = lambda _done, _of: None) -> ReplayReport:
    """Run a pack over a named log, from its first entry, and keep the decisions in place of the last run's.

    The clock stands still and nothing is drawn: two runs of one pack give the same decisions, byte for byte.
    """
    still = ManualClock(Instant(0))
    memory = Memory(log.vault, still, random.Random(0), consequences=False)  # noqa: S311 - nothing is drawn from it
    memory.lists.set_pack({name: each.entries for name, each in pack.lists.items()})
    memory.compiled = memory.compile(pack)
    memory.features = FeatureStore(memory.compiled.features)
    memory.features.standing = memory.is_sanctioned
    events = skipped = 0
    rules: dict[str, int] = {}
    with log.database.write() as tx:
        insight_store.clear_run(tx)
        of = insight_store.count_entries(tx)
    after_seq = -1
    while True:
        with log.database.write() as tx:
            entries = event_store.read_entries(tx, after_seq=after_seq, limit=CHUNK)
            if not entries:
                break
            after_seq = entries[-1].seq
            keyed = [(event_store.event_key(entry.source, entry.event_id), entry) for entry in entries]
            for entry, personal in zip(entries, open_entries(tx, log.vault, keyed), strict=True):
                follow_emergency(memory, entry)
                preparer = memory.compiled.preparers.get(entry.type)
                if entry.kind is not Kind.EVENT or preparer is None:
                    skipped += entry.kind is Kind.EVENT
                    continue
                row = read_row(preparer, decode_document(entry.data), personal)
                decide(memory, Arrival(entry=entry, row=row, unread=(), since_at=None, replayed=True))
                events += 1
            for signal in memory.rows.signals:
                rules[signal[1]] = rules.get(signal[1], 0) + 1
            decision_store.insert_decisions(tx, memory.rows.decisions)
            decision_store.insert_signals(tx, memory.rows.signals)
            memory.figures.decided(memory.rows.decisions)
            memory.rows.clear()
            memory.undo.clear()
            memory.features.forget()
        progress(events + skipped, of)
    return ReplayReport(
        events=events,
        skipped=skipped,
        verdicts=memory.figures.snapshot(still.now()).verdicts,
        rules=dict(sorted(rules.items(), key=lambda item: -item[1])),
        pack=pack.digest,
    )


def _prepared(
    log: str,
    preparers: Mapping[str, Preparer],
    row: MappedRow,
    pseudonym: Callable[[str, str], str],
    digest: Callable[[bytes], bytes],
) -> Prepared | Fault:
    problems = list(row.problems)
    preparer = preparers.get(row.event)
    if not problems and (row.id is None or row.at is None):
        missing = "id" if row.id is None else "time"
        problems.append(Problem(path=missing, detail="The map gives nothing for this row."))
    if not problems and preparer is None:
        problems.append(Problem(path="event_of", detail=f"{row.event!r} is none of the map's event types."))
    if problems or preparer is None or row.id is None or row.at is None:
        return Fault(raw=b"", problems=tuple(problems))
    data: dict[str, object] = {}
    for path, value in row.data.items():
        field = preparer.event_type.fields.get(path)
        if value is None or field is None:
            continue
        node = data
        *above, last = path.split(".")
        for part in above:
            below = node.setdefault(part, {})
            assert isinstance(below, dict), "packs refuses a path below a leaf"
            node = below
        node[last] = _plain(value, field.type)
    envelope = Envelope(
        id=row.id,
        source=f"koban:import/{log}",
        type=row.event,
        event_at=row.at,
        subject=None,
        data=data,
        damaged=False,
    )
    return prepare(preparer, envelope, row.at, pseudonym, digest)


def _plain(value: object, kind: str) -> object:
    """Turn what DuckDB gives for a field into what JSON would have given for its declared type."""
    if kind == "timestamp" and isinstance(value, int):
        return to_rfc3339(Instant(value))
    if isinstance(value, float):
        return decimal.Decimal(repr(value)) if math.isfinite(value) else None
    return value.replace("\x00", "�") if isinstance(value, str) else value


def _bit(value: bool | None) -> int | None:  # noqa: FBT001 - a truth value is what this is about
    return None if value is None else int(value)


def _append(log: NamedLog, prepared: Sequence[Prepared], truths: Sequence[insight_store.Row]) -> int:
    """Append what is new of a chunk, in one transaction; return how many that was."""
    with log.database.write() as tx:
        keys = [event_store.event_key(one.source, one.id) for one in prepared]
        known = event_store.find_known(tx, {key: (one.source, one.id) for key, one in zip(keys, prepared, strict=True)})
        last_seq, last_at = event_store.last_entry(tx) or (0, 0)
        log.vault.prepare(tx, Instant(last_at), {person for one in prepared for person in one.personal})
        entries: list[Entry] = []
        seen: set[bytes] = set()
        for key, one in zip(keys, prepared, strict=True):
            if key in known or key in seen:
                continue
            seen.add(key)
            last_seq, last_at = last_seq + 1, max(one.event_at, last_at + 1)
            entries.append(_entry(one, last_seq, Instant(last_at), seal(log.vault, key, one.personal)))
        log.vault.save(tx)
        event_store.insert_entries(tx, entries)
        insight_store.insert_truth(tx, truths)
    log.vault.settle()
    return len(entries)


def _entry(prepared: Prepared, seq: int, log_at: Instant, sealed: bytes | None) -> Entry:
    return Entry(
        seq=seq,
        log_at=log_at,
        received_at=prepared.received_at,
        kind=Kind.EVENT,
        type=prepared.type,
        source=prepared.source,
        event_id=prepared.id,
        event_at=prepared.event_at,
        subject=prepared.subject,
        data=prepared.data,
        sealed=sealed,
        digest=prepared.digest,
        flags=prepared.flags,
        cause_seq=None,
    )
