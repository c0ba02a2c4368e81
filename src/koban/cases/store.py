"""All SQL of cases."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, Table, Text

from koban.base import Instant
from koban.cases.priority import Terms
from koban.cases.types import (
    Case,
    CaseMember,
    CaseOpened,
    CaseOutcome,
    CaseSignal,
    CaseStatus,
    CaseStep,
    OpenCase,
    Standing,
)
from koban.db import Tx, metadata
from koban.enforcement import SubjectRef

_OPEN: Final = "status = 'open'"
_WAITING: Final = "status = 'open' AND paused_at IS NULL"
_HONEST: Final = "outcome = 'honest'"

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
    Column("closed_seq", BigInteger, nullable=True, comment="The log entry of the judgement."),
    Column("rank_at", BigInteger, nullable=False, comment="What its queue is ordered by: due_at less boost_us."),
    Column("boost_us", BigInteger, nullable=False, comment="What its terms are worth, in microseconds."),
    Column("terms", Text, nullable=False, comment="Why it is first: every term of its rank, JSON."),
    Column("standing", Text, nullable=False, comment="What the decider weighs it and finds it again by, JSON."),
    Column("members", BigInteger, nullable=False, comment="Subjects that it is about."),
    Column("harm", Text, nullable=False, comment="What looking at it does to people: none, child, violence, …"),
    Column("paused_at", BigInteger, nullable=True, comment="Since when its clock stands."),
    Column("pause_ends_at", BigInteger, nullable=True, comment="When the clock runs again at the latest."),
    Column("breached_at", BigInteger, nullable=True, comment="When its time was over without a judgement."),
    Column("assigned_to", Text, nullable=True, comment="To whom it was handed."),
    Column("assigned_until", BigInteger, nullable=True, comment="Until when others leave it to them; null: for good."),
    Column("escalated", BigInteger, nullable=False, comment="1 after somebody sent it up."),
    Column("proposal", Text, nullable=True, comment="The proposal that waits for a second person."),
    Column("appeal", Text, nullable=True, comment="The appeal that it is about."),
    # One open case per queue and subject: later signals join it.
    Index("cases_one_open", "queue", "subject_kind", "subject_id", unique=True,
          sqlite_where=sqlalchemy.text(_OPEN), postgresql_where=sqlalchemy.text(_OPEN)),
    # What is counted of a queue stands in it too, so that counting 100,000 open cases reads none of them.
    Index("cases_due", "queue", "due_at", "id", "paused_at", "opened_at", "status",
          sqlite_where=sqlalchemy.text(_OPEN), postgresql_where=sqlalchemy.text(_OPEN)),
    Index("cases_next", "queue", "rank_at", "id",
          sqlite_where=sqlalchemy.text(_WAITING), postgresql_where=sqlalchemy.text(_WAITING)),
    Index("cases_rank", "rank_at", "id",
          sqlite_where=sqlalchemy.text(_OPEN), postgresql_where=sqlalchemy.text(_OPEN)),
    Index("cases_holder", "claimed_by",
          sqlite_where=sqlalchemy.text(_OPEN), postgresql_where=sqlalchemy.text(_OPEN)),
    Index("cases_assigned", "assigned_to",
          sqlite_where=sqlalchemy.text(_OPEN), postgresql_where=sqlalchemy.text(_OPEN)),
    Index("cases_closed", "closed_at"),
    Index("cases_policy", "policy", "closed_at"),
    Index("cases_acting", "acting_kind", "acting_id", "status"),
    Index("cases_subject", "subject_kind", "subject_id", "id"),
    Index("cases_opened", "opened_at", sqlite_where=sqlalchemy.text(_OPEN), postgresql_where=sqlalchemy.text(_OPEN)),
    Index("cases_honest", "closed_at", sqlite_where=sqlalchemy.text(_HONEST), postgresql_where=sqlalchemy.text(_HONEST)),
)  # fmt: skip

case_members: Final = Table(
    "case_members",
    metadata,
    Column("case_id", Text, primary_key=True, comment="The case."),
    Column("subject_kind", Text, primary_key=True, comment="Kind of a subject that it is about."),
    Column("subject_id", Text, primary_key=True, comment="Its id."),
    Column("acting_kind", Text, nullable=True, comment="Kind of who is behind it."),
    Column("acting_id", Text, nullable=True, comment="Id of who is behind it."),
    Column("seq", BigInteger, nullable=False, comment="The log entry that brought it in."),
    Column("joined_at", BigInteger, nullable=False, comment="Log time of that entry, in microseconds."),
    Column("event_id", Text, nullable=False, comment="The event."),
    Index("case_members_subject", "subject_kind", "subject_id"),
)

rule_outcomes: Final = Table(
    "rule_outcomes",
    metadata,
    Column("rule", Text, primary_key=True, comment="The rule."),
    Column("upheld", BigInteger, nullable=False, comment="Cases with a signal of it that were upheld."),
    Column("honest", BigInteger, nullable=False, comment="Cases with a signal of it that were found honest."),
)

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
    Column("reporter", Text, nullable=True, comment="The account that reported, where the event is a report."),
    Index("case_signals_seq", "seq"),
)

COLUMNS: Final = (
    "id, queue, subject_kind, subject_id, acting_kind, acting_id, policy, market, opened_seq, opened_at, due_at,"
    " signals, last_signal_at, status, claimed_by, claimed_until, fence, outcome, note, closed_at, closed_by,"
    " closed_seq, rank_at, boost_us, terms, members, harm, paused_at, pause_ends_at, breached_at, assigned_to,"
    " assigned_until, escalated, proposal, appeal"
)
_INSERT_CASE: Final = (
    "INSERT INTO cases (id, queue, subject_kind, subject_id, acting_kind, acting_id, policy, market, opened_seq,"
    " opened_at, due_at, signals, last_signal_at, status, fence, note, rank_at, boost_us, terms, standing, members,"
    " harm, escalated, appeal)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 'open', 0, '', ?, ?, ?, ?, 0, ?, 0, ?)"
)
_INSERT_SIGNAL: Final = (
    "INSERT INTO case_signals (case_id, seq, rule, signalled_at, policy, because, event_id, event_type, reporter)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (case_id, seq, rule) DO NOTHING"
)
_INSERT_MEMBER: Final = (
    "INSERT INTO case_members (case_id, subject_kind, subject_id, acting_kind, acting_id, seq, joined_at, event_id)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (case_id, subject_kind, subject_id) DO NOTHING"
)
# Why due_at is read here and not brought along: a pause or a move of the same batch may have changed it.
_WEIGH: Final = (
    "UPDATE cases SET signals = signals + 1, last_signal_at = ?, members = members + ?, terms = ?, standing = ?,"
    " boost_us = ?, rank_at = due_at - ? WHERE id = ?"
)
_ENCODER: Final = msgspec.json.Encoder()
_STANDING: Final = msgspec.json.Decoder(Standing)
_TERMS: Final = msgspec.json.Decoder(Terms)


def write(tx: Tx, steps: Sequence[CaseStep]) -> None:
    """Store steps in the transaction of their entries."""
    if not steps:
        return
    tx.many(_INSERT_CASE, [_case_row(step, step.change.case) for step in steps if isinstance(step.change, CaseOpened)])
    tx.many(_INSERT_SIGNAL, [_signal_row(step) for step in steps if step.keeps_signal])
    tx.many(_INSERT_MEMBER, [_member_row(step.case_id, step.member) for step in steps if step.member is not None])
    tx.many(
        _WEIGH,
        [
            (
                step.signal.at,
                int(step.member is not None),
                _ENCODER.encode(step.terms).decode(),
                _ENCODER.encode(step.standing).decode(),
                step.terms.boost_us,
                step.terms.boost_us,
                step.case_id,
            )
            for step in steps
        ],
    )


def write_opened(tx: Tx, case: Case, standing: Standing, member: CaseMember) -> None:
    """Store a case that no signal opened: an appeal's."""
    step_row = _opened_row(case, standing)
    tx.many(_INSERT_CASE, [step_row])
    tx.many(_INSERT_MEMBER, [_member_row(case.id, member)])
    tx.change("UPDATE cases SET members = 1 WHERE id = ?", (case.id,))


def _case_row(step: CaseStep, case: Case) -> tuple[object, ...]:
    return _opened_row(case, step.standing)


def _opened_row(case: Case, standing: Standing) -> tuple[object, ...]:
    return (
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
        case.rank_at,
        case.boost_us,
        "" if case.terms is None else _ENCODER.encode(case.terms).decode(),
        _ENCODER.encode(standing).decode(),
        case.harm,
        case.appeal,
    )


def _signal_row(step: CaseStep) -> tuple[object, ...]:
    signal = step.signal
    return (
        step.case_id,
        signal.seq,
        signal.rule,
        signal.at,
        signal.policy,
        _ENCODER.encode(signal.because).decode(),
        signal.event_id,
        signal.event_type,
        signal.reporter,
    )


def _member_row(case_id: str, member: CaseMember) -> tuple[object, ...]:
    return (
        case_id,
        member.subject.kind,
        member.subject.id,
        None if member.acting is None else member.acting.kind,
        None if member.acting is None else member.acting.id,
        member.seq,
        member.at,
        member.event_id,
    )


def read_open(tx: Tx, case_id: str | None = None) -> list[OpenCase]:
    """Return what the decider keeps of every open case, or of one whatever its status, oldest first."""
    where, values = ("c.status = 'open'", ()) if case_id is None else ("c.id = ?", (case_id,))
    members: dict[str, list[SubjectRef]] = {}
    for row in tx.rows(
        "SELECT m.case_id, m.subject_kind, m.subject_id FROM case_members m JOIN cases c ON c.id = m.case_id"
        f" WHERE {where} ORDER BY m.case_id, m.seq",
        values,
    ):
        members.setdefault(row[0], []).append(SubjectRef(kind=row[1], id=row[2]))
    rows = tx.rows(
        "SELECT id, queue, policy, subject_kind, subject_id, acting_kind, acting_id, standing FROM cases c"
        f" WHERE {where} ORDER BY id",
        values,
    )
    found = []
    for row in rows:
        first = SubjectRef(kind=row[3], id=row[4])
        others = [each for each in members.get(row[0], []) if each != first]
        found.append(
            OpenCase(
                id=row[0],
                queue=row[1],
                policy=row[2],
                account=None if row[5] is None else SubjectRef(kind=row[5], id=row[6]),
                subjects=(first, *others),
                standing=_STANDING.decode(row[7]),
            )
        )
    return found


def read_odds(tx: Tx) -> dict[str, tuple[int, int]]:
    """Return for each rule how many cases with a signal of it were upheld and found honest."""
    return {row[0]: (int(row[1]), int(row[2])) for row in tx.rows("SELECT rule, upheld, honest FROM rule_outcomes")}


def count_outcome(tx: Tx, rules: Sequence[str], outcome: CaseOutcome, *, by: int = 1) -> None:
    """Count how a case ended for the rules whose signals it was about; `by` -1 takes it back."""
    if outcome != "unclear":
        upheld, honest = (by, 0) if outcome == "upheld" else (0, by)
        tx.many(
            "INSERT INTO rule_outcomes (rule, upheld, honest) VALUES (?, ?, ?) ON CONFLICT (rule) DO UPDATE SET"
            " upheld = rule_outcomes.upheld + excluded.upheld, honest = rule_outcomes.honest + excluded.honest",
            [(rule, upheld, honest) for rule in rules],
        )


def rules_of(tx: Tx, case_id: str) -> tuple[str, ...]:
    """Return the rules whose signals a case took up."""
    rows = tx.rows("SELECT DISTINCT rule FROM case_signals WHERE case_id = ? ORDER BY rule", (case_id,))
    return tuple(str(row[0]) for row in rows)


def read_members(tx: Tx, case_id: str, *, limit: int) -> list[CaseMember]:
    """Return the subjects of a case, in the order in which they came in."""
    rows = tx.rows(
        "SELECT subject_kind, subject_id, acting_kind, acting_id, seq, joined_at, event_id FROM case_members"
        " WHERE case_id = ? ORDER BY seq, subject_kind, subject_id LIMIT ?",
        (case_id, limit),
    )
    return [
        CaseMember(
            subject=SubjectRef(kind=row[0], id=row[1]),
            acting=None if row[2] is None else SubjectRef(kind=row[2], id=row[3]),
            seq=int(row[4]),
            at=Instant(int(row[5])),
            event_id=row[6],
        )
        for row in rows
    ]


def read_case(tx: Tx, case_id: str) -> Case | None:
    """Return a case."""
    rows = tx.rows(f"SELECT {COLUMNS} FROM cases WHERE id = ?", (case_id,))
    return as_case(rows[0]) if rows else None


def read_signals(tx: Tx, case_id: str, *, limit: int) -> list[CaseSignal]:
    """Return the signals of a case, newest first."""
    rows = tx.rows(
        "SELECT seq, signalled_at, rule, policy, because, event_id, event_type, reporter FROM case_signals"
        " WHERE case_id = ?"
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
            reporter=row[7],
        )
        for row in rows
    ]


def reporters_of(tx: Tx, case_id: str, *, limit: int) -> list[str]:
    """Return the accounts that reported what a case is about, in order of their ids."""
    rows = tx.rows(
        "SELECT DISTINCT reporter FROM case_signals WHERE case_id = ? AND reporter IS NOT NULL ORDER BY reporter"
        " LIMIT ?",
        (case_id, limit),
    )
    return [str(row[0]) for row in rows]


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
    rows = tx.rows(f"SELECT {COLUMNS} FROM cases WHERE {where} ORDER BY due_at, id LIMIT ?", (*values, limit))
    return [as_case(row) for row in rows]


def search_ranked(
    tx: Tx,
    *,
    closed: bool,
    limit: int,
    after: tuple[int, str] | None,
    filters: Mapping[str, str],
    due_by: Instant | None = None,
) -> list[Case]:
    """Return open cases in the order in which they come, or closed ones, the last first; `due_by`: those late by then."""
    wanted = {"status": "closed" if closed else "open", **filters}
    values: list[object] = list(wanted.values())
    where = " AND ".join(f"{cases.c[name].name} = ?" for name in wanted)
    order, beyond = ("closed_at DESC, id DESC", "<") if closed else ("rank_at, id", ">")
    if "claimed_by" in filters and not closed:
        order = "rank_at + 0, id"  # a person holds few: their index is to be walked, not that of the order
    place = "closed_at" if closed else "rank_at"
    if due_by is not None:
        where += " AND due_at < COALESCE(paused_at, ?)"
        values.append(due_by)
    if after is not None:
        where += f" AND ({place} {beyond} ? OR ({place} = ? AND id {beyond} ?))"
        values += [after[0], after[0], after[1]]
    rows = tx.rows(f"SELECT {COLUMNS} FROM cases WHERE {where} ORDER BY {order} LIMIT ?", (*values, limit))
    return [as_case(row) for row in rows]


def cases_of(tx: Tx, account: str, *, limit: int) -> list[Case]:
    """Return the newest cases about what an account did."""
    rows = tx.rows(
        f"SELECT {COLUMNS} FROM cases WHERE acting_id = ? AND acting_kind = 'account' ORDER BY opened_seq DESC LIMIT ?",
        (account, limit),
    )
    return [as_case(row) for row in rows]


def held_by(tx: Tx, person: str, at: Instant) -> list[Case]:
    """Return the cases that a person holds, or that were handed to them, those that come first first."""
    rows = tx.rows(
        f"SELECT {COLUMNS} FROM cases WHERE paused_at IS NULL AND id IN ("
        "SELECT id FROM cases WHERE status = 'open' AND claimed_by = ? AND claimed_until > ?"
        " UNION SELECT id FROM cases WHERE status = 'open' AND assigned_to = ?) ORDER BY rank_at + 0, id LIMIT 50",
        (person, at, person),
    )
    return [as_case(row) for row in rows]


def similar(tx: Tx, case: Case, *, limit: int) -> list[Case]:
    """Return the last judgements under the same policy, the newest first."""
    rows = tx.rows(
        f"SELECT {COLUMNS} FROM cases WHERE policy = ? AND status = 'closed' AND appeal IS NULL AND id <> ?"
        " ORDER BY closed_at DESC LIMIT ?",
        (case.policy, case.id, limit),
    )
    return [as_case(row) for row in rows]


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


def close(tx: Tx, case: Case, at: Instant, *, outcome: CaseOutcome, note: str, by: str, policy: str) -> bool:
    """Close a case under the fence that was read; False where it changed hands meanwhile."""
    closed = tx.execute(
        sqlalchemy.update(cases)
        .where(cases.c.id == case.id, cases.c.fence == case.fence, cases.c.status == "open")
        .values(
            status="closed",
            outcome=outcome,
            note=note,
            closed_at=at,
            closed_by=by,
            policy=policy,
            claimed_until=None,
            assigned_to=None,
            assigned_until=None,
            proposal=None,
        )
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


def as_case(row: Sequence[object]) -> Case:
    """Read a case from a row of `COLUMNS`."""
    values = dict(zip(COLUMNS.replace("\n", " ").split(", "), row, strict=True))
    values["subject"] = SubjectRef(kind=str(values.pop("subject_kind")), id=str(values.pop("subject_id")))
    kind, name = values.pop("acting_kind"), values.pop("acting_id")
    values["acting"] = None if kind is None else SubjectRef(kind=str(kind), id=str(name))
    values["terms"] = _TERMS.decode(str(values["terms"])) if values["terms"] else None
    values["escalated"] = bool(values["escalated"])
    return msgspec.convert(values, Case)
