"""All SQL of cases."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, Table, Text

from koban.base import Instant
from koban.cases.types import Case, CaseOpened, CaseOutcome, CaseSignal, CaseStatus, CaseStep
from koban.db import Tx, metadata
from koban.enforcement import SubjectRef

_OPEN: Final = "status = 'open'"

cases: Final = Table(
    "cases",
    metadata,
    Column("id", Text, primary_key=True, comment="case_… id, made from the entry that opened it."),
    Column("queue", Text, nullable=False, comment="The review queue."),
    Column("subject_kind", Text, nullable=False, comment="Kind of what is judged."),
    Column("subject_id", Text, nullable=False, comment="Id of what is judged."),
    Column("acting_kind", Text, nullable=True, comment="Kind of who is behind it."),
    Column("acting_id", Text, nullable=True, comment="Id of who is behind it."),
    Column("policy", Text, nullable=False, comment="The policy of the first signal."),
    Column("market", Text, nullable=False, comment="Country or business; empty where the event named none."),
    Column("opened_seq", BigInteger, nullable=False, comment="The log entry that opened it."),
    Column("opened_at", BigInteger, nullable=False, comment="When it was opened, in microseconds of log time."),
    Column("due_at", BigInteger, nullable=False, comment="Until when it is to be closed; fixed when it is opened."),
    Column("signals", BigInteger, nullable=False, comment="Signals that it took up."),
    Column("last_signal_at", BigInteger, nullable=False, comment="When the last of them came."),
    Column("status", Text, nullable=False, comment="open or closed."),
    Column("claimed_by", Text, nullable=True, comment="Who works on it."),
    Column("claimed_until", BigInteger, nullable=True, comment="Until when others leave it to them."),
    Column("fence", BigInteger, nullable=False, comment="Grows with each claim; closing names it."),
    Column("outcome", Text, nullable=True, comment="upheld, honest or unclear."),
    Column("note", Text, nullable=False, comment="What the person who closed it wrote."),
    Column("closed_at", BigInteger, nullable=True, comment="When it was closed."),
    Column("closed_by", Text, nullable=True, comment="Who closed it."),
    # One open case per queue and subject: later signals join it.
    Index("cases_one_open", "queue", "subject_kind", "subject_id", unique=True,
          sqlite_where=sqlalchemy.text(_OPEN), postgresql_where=sqlalchemy.text(_OPEN)),
    Index("cases_due", "queue", "due_at", "id",
          sqlite_where=sqlalchemy.text(_OPEN), postgresql_where=sqlalchemy.text(_OPEN)),
    Index("cases_subject", "subject_kind", "subject_id", "id"),
)  # fmt: skip

case_signals: Final = Table(
    "case_signals",
    metadata,
    Column("case_id", Text, primary_key=True, comment="The case that took it up."),
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="The log entry of the event."),
    Column("rule", Text, primary_key=True, comment="The rule that asked for a judgement."),
    Column("signalled_at", BigInteger, nullable=False, comment="Log time, in microseconds."),
    Column("policy", Text, nullable=False, comment="The policy that it speaks for."),
    Column("because", Text, nullable=False, comment="The rule's reason in both languages, JSON."),
    Column("event_id", Text, nullable=False, comment="The event."),
    Column("event_type", Text, nullable=False, comment="Its type."),
)

_COLUMNS: Final = (
    "id, queue, subject_kind, subject_id, acting_kind, acting_id, policy, market, opened_seq, opened_at, due_at,"
    " signals, last_signal_at, status, claimed_by, claimed_until, fence, outcome, note, closed_at, closed_by"
)
_INSERT_CASE: Final = (
    "INSERT INTO cases (id, queue, subject_kind, subject_id, acting_kind, acting_id, policy, market, opened_seq,"
    " opened_at, due_at, signals, last_signal_at, status, fence, note)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 'open', 0, '')"
)
_INSERT_SIGNAL: Final = (
    "INSERT INTO case_signals (case_id, seq, rule, signalled_at, policy, because, event_id, event_type)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (case_id, seq, rule) DO NOTHING"
)
_COUNT_SIGNAL: Final = "UPDATE cases SET signals = signals + 1, last_signal_at = ? WHERE id = ?"


def write(tx: Tx, steps: Sequence[CaseStep]) -> None:
    """Store steps in the transaction of their entries."""
    tx.many(
        _INSERT_CASE,
        [
            (
                case.id,
                case.queue,
                case.subject.kind,
                case.subject.id,
                None if case.acting is None else case.acting.kind,
                None if case.acting is None else case.acting.id,
                case.policy,
                case.market,
                case.opened_seq,
                case.opened_at,
                case.due_at,
                case.last_signal_at,
            )
            for case in (step.change.case for step in steps if isinstance(step.change, CaseOpened))
        ],
    )
    tx.many(
        _INSERT_SIGNAL,
        [
            (
                step.case_id,
                step.signal.seq,
                step.signal.rule,
                step.signal.at,
                step.signal.policy,
                msgspec.json.encode(step.signal.because).decode(),
                step.signal.event_id,
                step.signal.event_type,
            )
            for step in steps
            if step.keeps_signal
        ],
    )
    tx.many(_COUNT_SIGNAL, [(step.signal.at, step.case_id) for step in steps])


def read_open(tx: Tx) -> list[tuple[str, str, SubjectRef, int]]:
    """Return every open case: id, queue, subject, signals."""
    rows = tx.rows("SELECT id, queue, subject_kind, subject_id, signals FROM cases WHERE status = 'open' ORDER BY id")
    return [(row[0], row[1], SubjectRef(kind=row[2], id=row[3]), int(row[4])) for row in rows]


def read_case(tx: Tx, case_id: str) -> Case | None:
    """Return a case."""
    rows = tx.rows(f"SELECT {_COLUMNS} FROM cases WHERE id = ?", (case_id,))
    return _case(rows[0]) if rows else None


def read_signals(tx: Tx, case_id: str, *, limit: int) -> list[CaseSignal]:
    """Return the signals of a case, newest first."""
    rows = tx.rows(
        "SELECT seq, signalled_at, rule, policy, because, event_id, event_type FROM case_signals WHERE case_id = ?"
        " ORDER BY seq DESC, rule LIMIT ?",
        (case_id, limit),
    )
    return [
        CaseSignal(
            seq=int(row[0]),
            at=Instant(int(row[1])),
            rule=row[2],
            policy=row[3],
            because=msgspec.json.decode(row[4], type=dict[str, str]),
            event_id=row[5],
            event_type=row[6],
        )
        for row in rows
    ]


def search_cases(
    tx: Tx,
    *,
    status: CaseStatus,
    limit: int,
    after: tuple[int, str] | None = None,
    filters: Mapping[str, str] | None = None,
) -> list[Case]:
    """Return cases whose columns have the values given, due first first; `after`: due time and id of the last seen."""
    wanted = {"status": status, **(filters or {})}
    values: list[object] = list(wanted.values())
    where = " AND ".join(f"{cases.c[name].name} = ?" for name in wanted)
    if after is not None:
        where += " AND (due_at > ? OR (due_at = ? AND id > ?))"
        values += [after[0], after[0], after[1]]
    rows = tx.rows(f"SELECT {_COLUMNS} FROM cases WHERE {where} ORDER BY due_at, id LIMIT ?", (*values, limit))
    return [_case(row) for row in rows]


def first_free(tx: Tx, queue: str, at: Instant) -> Case | None:
    """Return the case of a queue that is due first and that nobody holds."""
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM cases WHERE status = 'open' AND queue = ?"
        " AND (claimed_until IS NULL OR claimed_until <= ?) ORDER BY due_at, id LIMIT 1",
        (queue, at),
    )
    return _case(rows[0]) if rows else None


def take(tx: Tx, case: Case, *, by: str, until: Instant) -> bool:
    """Give a case to somebody; False where somebody else was faster."""
    taken = tx.execute(
        sqlalchemy.update(cases)
        .where(cases.c.id == case.id, cases.c.fence == case.fence, cases.c.status == "open")
        .values(claimed_by=by, claimed_until=until, fence=case.fence + 1)
    )
    return taken.rowcount == 1


def give_back(tx: Tx, case: Case) -> None:
    """Let others have a case."""
    tx.execute(
        sqlalchemy.update(cases)
        .where(cases.c.id == case.id, cases.c.fence == case.fence, cases.c.status == "open")
        .values(claimed_by=None, claimed_until=None, fence=case.fence + 1)
    )


def close(tx: Tx, case: Case, at: Instant, *, outcome: CaseOutcome, note: str, by: str) -> bool:
    """Close a case under the fence that was read; False where it changed hands meanwhile."""
    closed = tx.execute(
        sqlalchemy.update(cases)
        .where(cases.c.id == case.id, cases.c.fence == case.fence, cases.c.status == "open")
        .values(status="closed", outcome=outcome, note=note, closed_at=at, closed_by=by, claimed_until=None)
    )
    return closed.rowcount == 1


def count_open(tx: Tx, at: Instant) -> dict[str, tuple[int, int, Instant]]:
    """Return per queue how many cases are open, how many of them overdue, and when the first is due, for the board."""
    rows = tx.rows(
        "SELECT queue, count(*), sum(CASE WHEN due_at <= ? THEN 1 ELSE 0 END), min(due_at) FROM cases"
        " WHERE status = 'open' GROUP BY queue ORDER BY queue",
        (at,),
    )
    return {row[0]: (int(row[1]), int(row[2]), Instant(int(row[3]))) for row in rows}


def _case(row: Sequence[object]) -> Case:
    values = dict(zip(_COLUMNS.replace("\n", " ").split(", "), row, strict=True))
    values["subject"] = SubjectRef(kind=str(values.pop("subject_kind")), id=str(values.pop("subject_id")))
    kind, name = values.pop("acting_kind"), values.pop("acting_id")
    values["acting"] = None if kind is None else SubjectRef(kind=str(kind), id=str(name))
    return msgspec.convert(values, Case)
