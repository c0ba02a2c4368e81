"""Named logs: somebody's file as a log of its own, and a pack run over it. Nothing that happens here has consequences."""

import contextlib
import dataclasses
import datetime
import decimal
import pathlib
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

import koban.decisions.store as decision_store
import koban.events.store as event_store
import koban.insight.store as insight_store
from koban.audit import Secrets
from koban.base import Clock, Instant, Problem, Refusal
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
from koban.insight import Map, is_test, query_of, reader_of
from koban.packs import PackDef
from koban.pipeline.flow import Arrival, decide
from koban.pipeline.memory import Memory
from koban.pipeline.sealing import open_entries, seal
from koban.vault import Vault

CHUNK: Final = 1_000
UNREADABLE_SHOWN_MAX: Final = 20
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")

Progress = Callable[[int], None]


class LogNameInvalid(Refusal):
    """A name that a named log cannot have."""

    code = "log_name_invalid"
    status = 422
    title = "A named log cannot be called that."


class LogMissing(Refusal):
    """No such named log."""

    code = "log_missing"
    status = 404
    title = "There is no such named log."


class FileUnreadable(Refusal):
    """A file that cannot be read as its map says."""

    code = "file_unreadable"
    status = 422
    title = "The file cannot be read as the map says."


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file."""

    rows: int
    imported: int
    already_there: int
    unreadable: int
    examples: tuple[tuple[int, tuple[Problem, ...]], ...]  # row, what was wrong; the first few
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
        yield NamedLog(name=name, database=database, vault=vault)
    finally:
        database.close()


def import_file(
    log: NamedLog, pack: PackDef, mapping: Map, file: pathlib.Path, *, progress: Progress = lambda _rows: None
) -> ImportReport:
    """Turn a file into entries of a named log. Run again after an interruption it goes on; run twice it changes nothing.

    Refuses: FileUnreadable, MapInvalid. A row that cannot be read is counted and shown, and stops nothing.
    """
    event_type = pack.events.get(mapping.event)
    if event_type is None:
        raise FileUnreadable(f"The pack declares no event type {mapping.event!r}.")
    preparer = make_preparer(event_type)
    unknown = [path for path in mapping.data if path not in event_type.fields]
    if unknown:
        raise FileUnreadable(f"{mapping.event} declares no field {', '.join(unknown)}; the map names it.")
    rows = imported = known = unreadable = harmful = honest = 0
    examples: list[tuple[int, tuple[Problem, ...]]] = []
    total = _count_rows(mapping, file)
    for chunk in _read_file(mapping, file):
        prepared: list[tuple[int, Prepared]] = []
        truths: list[insight_store.Row] = []
        for each in chunk:
            rows += 1
            found = _prepared(log, preparer, mapping, each)
            if isinstance(found, Fault):
                unreadable += 1
                if len(examples) < UNREADABLE_SHOWN_MAX:
                    examples.append((each.row, found.problems))
                continue
            prepared.append((each.row, found))
            if mapping.truth is not None:
                harmful += each.harmful is True
                honest += each.harmful is False
                truths.append((found.id, _bit(each.harmful), each.kind, int(_in_test(mapping, each, rows, total))))
        new = _append(log, prepared, truths)
        imported += new
        known += len(prepared) - new
        progress(rows)
    return ImportReport(
        rows=rows,
        imported=imported,
        already_there=known,
        unreadable=unreadable,
        examples=tuple(examples),
        harmful=harmful,
        honest=honest,
    )


def replay(log: NamedLog, pack: PackDef, clock: Clock, *, progress: Progress = lambda _events: None) -> ReplayReport:
    """Run a pack over a named log, from its first entry, and keep the decisions in place of the last run's."""
    memory = Memory(log.vault, clock, random.Random(0), consequences=False)  # noqa: S311 - nothing is drawn from it
    memory.lists.set_pack({name: each.entries for name, each in pack.lists.items()})
    memory.compiled = memory.compile(pack)
    memory.features = FeatureStore(memory.compiled.features)
    events = skipped = 0
    rules: dict[str, int] = {}
    with log.database.write() as tx:
        insight_store.clear_run(tx)
    after_seq = -1
    while True:
        with log.database.write() as tx:
            entries = event_store.read_entries(tx, after_seq=after_seq, limit=CHUNK)
            if not entries:
                break
            after_seq = entries[-1].seq
            keyed = [(event_store.event_key(entry.source, entry.event_id), entry) for entry in entries]
            for entry, personal in zip(entries, open_entries(tx, log.vault, keyed), strict=True):
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
            memory.rows.clear()
            memory.features.forget()
        progress(events)
    return ReplayReport(
        events=events,
        skipped=skipped,
        verdicts=memory.figures.snapshot(clock.now()).verdicts,
        rules=dict(sorted(rules.items(), key=lambda item: -item[1])),
        pack=pack.digest,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Row:
    row: int
    id: str | None
    at: int | None
    harmful: bool | None
    kind: str | None
    group: str
    data: Mapping[str, object]


def _count_rows(mapping: Map, file: pathlib.Path) -> int:
    if mapping.split != "time":
        return 0
    import duckdb

    with duckdb.connect() as connection:
        query = query_of(mapping, reader_of(mapping, file))
        found = connection.execute(f"SELECT count(*) FROM ({query})", [str(file)]).fetchone()
    return int(found[0]) if found else 0


def _read_file(mapping: Map, file: pathlib.Path) -> Iterator[list[_Row]]:
    import duckdb

    if not file.is_file():
        raise FileUnreadable(f"{file} is no file.")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            result = connection.execute(query_of(mapping, reader_of(mapping, file)), [str(file)])
            while chunk := result.fetchmany(CHUNK):
                yield [_row(mapping, values) for values in chunk]
        except duckdb.Error as error:
            raise FileUnreadable(f"{file.name}: {error}") from error


def _row(mapping: Map, values: Sequence[object]) -> _Row:
    row, event_id, at, harmful, kind, group = values[:6]
    return _Row(
        row=int(str(row)),
        id=None if event_id is None else str(event_id),
        at=None if at is None else int(str(at)),
        harmful=None if harmful is None else bool(harmful),
        kind=None if kind is None else str(kind),
        group=str(group),
        data=dict(zip(mapping.data, values[6:], strict=True)),
    )


def _prepared(log: NamedLog, preparer: Preparer, mapping: Map, row: _Row) -> Prepared | Fault:
    if row.id is None or row.at is None:
        missing = "id" if row.id is None else "time"
        problem = Problem(path=f"row {row.row}", detail=f"The map's {missing!r} gives nothing for this row.")
        return Fault(raw=b"", problems=(problem,))
    data: dict[str, object] = {}
    for path, value in row.data.items():
        if value is None:
            continue
        node = data
        parts = path.split(".")
        for part in parts[:-1]:
            below = node.setdefault(part, {})
            assert isinstance(below, dict), "packs refuses a path below a leaf"
            node = below
        node[parts[-1]] = _plain(value, preparer.event_type.fields[path].type)
    envelope = Envelope(
        id=row.id,
        source=f"koban:import/{log.name}",
        type=mapping.event,
        event_at=Instant(row.at),
        subject=None,
        data=data,
        damaged=False,
    )
    return prepare(preparer, envelope, Instant(row.at), log.vault.pseudonym, log.vault.digest)


def _plain(value: object, kind: str) -> object:
    """Turn what DuckDB gives into what JSON would have given for the declared type."""
    if isinstance(value, datetime.datetime):
        moment = value if value.tzinfo is not None else value.replace(tzinfo=datetime.UTC)
        return moment.isoformat()
    if isinstance(value, float):
        return decimal.Decimal(repr(value))
    if kind == "text" and not isinstance(value, str):
        return str(value)
    if isinstance(value, str):
        return value.replace("\x00", "�")
    return list(value) if isinstance(value, tuple) else value


def _bit(value: bool | None) -> int | None:  # noqa: FBT001 - a truth value is what this is about
    return None if value is None else int(value)


def _in_test(mapping: Map, row: _Row, place: int, total: int) -> bool:
    match mapping.split:
        case "none":
            return True
        case "time":
            return place > total * 4 // 5
        case _:
            return is_test(row.group)


def _append(log: NamedLog, prepared: Sequence[tuple[int, Prepared]], truths: Sequence[insight_store.Row]) -> int:
    """Append what is new of a chunk, in one transaction; return how many that was."""
    with log.database.write() as tx:
        keys = [event_store.event_key(one.source, one.id) for _, one in prepared]
        known = event_store.find_keys(tx, keys)
        last_seq, last_at = event_store.last_entry(tx) or (0, 0)
        log.vault.prepare(tx, Instant(last_at), {person for _, one in prepared for person in one.personal})
        entries: list[Entry] = []
        seen: set[bytes] = set()
        for key, (_, one) in zip(keys, prepared, strict=True):
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
