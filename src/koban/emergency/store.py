"""All SQL of emergency rules, and of the list of what can be undone."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, Table, Text

from koban.base import Instant
from koban.db import Tx, metadata
from koban.emergency.types import Emergency, EmergencyEnded, EmergencyExtended, EmergencyStarted
from koban.enforcement import SubjectRef

emergency_rules: Final = Table(
    "emergency_rules",
    metadata,
    Column("name", Text, primary_key=True, comment="emergency.… name; never used twice"),
    Column("seq", BigInteger, nullable=False, comment="log entry that started it: the version that decisions name"),
    Column("started_at", BigInteger, nullable=False, comment="log time, microseconds UTC"),
    Column("started_by", Text, nullable=False, comment="actor who typed it"),
    Column("ends_at", BigInteger, nullable=False, comment="log time from which it decides nothing"),
    Column("extended_by", Text, comment="the second person who let it live longer, once"),
    Column("extended_at", BigInteger, comment="when"),
    Column("ended_at", BigInteger, comment="when its end was entered into the log; null: it stands"),
    Column("ended_by", Text, comment="actor; koban when its time was over"),
    Column("ended_how", Text, comment="expired, ended or unfit"),
    Column("case_id", Text, nullable=False, comment="the case of its review"),
    Column("body", Text, nullable=False, comment="the whole rule as its log entry has it, JSON"),
    Index("emergency_rules_seq", "seq"),
    Index(
        "emergency_rules_standing", "name",
        sqlite_where=sqlalchemy.text("ended_at IS NULL"), postgresql_where=sqlalchemy.text("ended_at IS NULL"),
    ),
    comment="Emergency rules, those that are over included; rows are never deleted.",
)  # fmt: skip

_STARTED: Final = msgspec.json.Decoder(EmergencyStarted)
_COLUMNS: Final = "seq, started_at, ends_at, extended_by, extended_at, ended_at, ended_by, ended_how, case_id, body"


def insert(tx: Tx, one: Emergency) -> None:
    """Store a rule that starts."""
    tx.execute(
        sqlalchemy.insert(emergency_rules),
        {
            "name": one.name,
            "seq": one.seq,
            "started_at": one.started_at,
            "started_by": one.started.by,
            "ends_at": one.ends_at,
            "case_id": one.case_id,
            "body": msgspec.json.encode(one.started).decode(),
        },
    )


def extend(tx: Tx, change: EmergencyExtended, at: Instant) -> None:
    """Store that a rule lives longer."""
    tx.execute(
        sqlalchemy.update(emergency_rules)
        .where(emergency_rules.c.name == change.name)
        .values(ends_at=change.ends_at, extended_by=change.by, extended_at=at)
    )


def end(tx: Tx, change: EmergencyEnded, at: Instant) -> None:
    """Store that a rule is over."""
    tx.execute(
        sqlalchemy.update(emergency_rules)
        .where(emergency_rules.c.name == change.name)
        .values(ended_at=at, ended_by=change.by, ended_how=change.how)
    )


def read_standing(tx: Tx) -> list[Emergency]:
    """Return the rules whose end is not in the log yet, in their order."""
    rows = tx.rows(f"SELECT {_COLUMNS} FROM emergency_rules WHERE ended_at IS NULL ORDER BY seq")
    return [_emergency(row) for row in rows]


def read_recent(tx: Tx, *, before_seq: int | None, limit: int) -> list[Emergency]:
    """Return rules, newest first."""
    where, values = ("", ()) if before_seq is None else (" WHERE seq < ?", (before_seq,))
    rows = tx.rows(f"SELECT {_COLUMNS} FROM emergency_rules{where} ORDER BY seq DESC LIMIT ?", (*values, limit))
    return [_emergency(row) for row in rows]


def read_one(tx: Tx, name: str) -> Emergency | None:
    """Return a rule by its name."""
    rows = tx.rows(f"SELECT {_COLUMNS} FROM emergency_rules WHERE name = ?", (name,))
    return _emergency(rows[0]) if rows else None


def read_versions(tx: Tx, seqs: Sequence[int]) -> list[Emergency]:
    """Return the rules that some entries started: those that a decision names."""
    if not seqs:
        return []
    marks = ", ".join("?" * len(seqs))
    return [
        _emergency(row)
        for row in tx.rows(f"SELECT {_COLUMNS} FROM emergency_rules WHERE seq IN ({marks}) ORDER BY seq", tuple(seqs))
    ]


def _emergency(row: Sequence[object]) -> Emergency:
    seq, started_at, ends_at, extended_by, extended_at, ended_at, ended_by, ended_how, case_id, body = row
    return msgspec.convert(
        {
            "started": _STARTED.decode(str(body)),
            "seq": seq,
            "started_at": started_at,
            "ends_at": ends_at,
            "extended_by": extended_by,
            "extended_at": extended_at,
            "ended_at": ended_at,
            "ended_by": ended_by,
            "ended_how": ended_how,
            "case_id": case_id,
        },
        Emergency,
    )


class GroundRow(msgspec.Struct, frozen=True, kw_only=True):
    """A rule's imposing or joining of a sanction, with what became of the sanction."""

    change_seq: int
    at: Instant
    rule: str
    sanction_id: str
    subject_kind: str
    subject_id: str
    effect: str
    kind: str
    scope: str
    policy: str
    status: str
    body: str
    sanction: str
    acting: str | None


def read_grounds(
    tx: Tx, *, rule: str | None, account: str | None, since_at: int, until_at: int, before_seq: int | None, limit: int
) -> list[GroundRow]:
    """Return what rules did in a span of time, newest first, of one rule and about one account where they are given."""
    wanted = ["c.rule IS NOT NULL", "c.changed_at >= ?", "c.changed_at < ?"]
    values: list[object] = [since_at, until_at]
    if rule is not None:
        wanted.append("c.rule = ?")
        values.append(rule)
    if account is not None:
        wanted.append("(g.acting = ? OR (s.subject_kind = 'account' AND s.subject_id = ?))")
        values += [account, account]
    if before_seq is not None:
        wanted.append("c.seq < ?")
        values.append(before_seq)
    rows = tx.rows(
        "SELECT c.seq, c.changed_at, c.rule, c.sanction_id, s.subject_kind, s.subject_id, s.effect, s.kind, s.scope,"
        " s.policy, s.status, c.body, s.body, g.acting FROM sanction_changes c JOIN sanctions s ON s.id = c.sanction_id"
        " LEFT JOIN log_entries e ON e.seq = c.seq LEFT JOIN signals g ON g.seq = e.cause_seq AND g.rule = c.rule"
        f" WHERE {' AND '.join(wanted)} ORDER BY c.seq DESC LIMIT ?",
        (*values, limit),
    )
    return [msgspec.convert(dict(zip(GroundRow.__struct_fields__, row, strict=True)), GroundRow) for row in rows]


def read_noticed(
    tx: Tx, *, rule: str | None, since_at: int, until_at: int, before_at: int | None, limit: int
) -> list[tuple[str, Instant, Instant | None, str]]:
    """Return notices of rules in a span of time, newest first: id, when, when taken back, body."""
    wanted, values = ["rule IS NOT NULL", "requested_at >= ?", "requested_at < ?"], [since_at, until_at]
    parameters: list[object] = list(values)
    if rule is not None:
        wanted.append("rule = ?")
        parameters.append(rule)
    if before_at is not None:
        wanted.append("requested_at < ?")
        parameters.append(before_at)
    rows = tx.rows(
        f"SELECT id, requested_at, withdrawn_at, body FROM notices WHERE {' AND '.join(wanted)}"
        " ORDER BY requested_at DESC, id DESC LIMIT ?",
        (*parameters, limit),
    )
    return [
        (row[0], Instant(int(row[1])), None if row[2] is None else Instant(int(row[2])), str(row[3])) for row in rows
    ]


class VerdictRow(msgspec.Struct, frozen=True, kw_only=True):
    """A decision on which a rule acted and that let the event not simply pass."""

    seq: int
    at: Instant
    rule: str
    acting: str | None
    verdict: str
    body: str
    withdrawn_at: Instant | None
    withdrawn_seq: int | None


def read_verdicts(
    tx: Tx, *, rule: str | None, account: str | None, since_at: int, until_at: int, before_seq: int | None, limit: int
) -> list[VerdictRow]:
    """Return decisions to block, hold or challenge on which rules acted, newest first."""
    wanted = ["g.applied = 1", "g.log_at >= ?", "g.log_at < ?", "d.verdict IN ('block', 'hold', 'challenge')"]
    values: list[object] = [since_at, until_at]
    for column, value in (("g.rule", rule), ("g.acting", account)):
        if value is not None:
            wanted.append(f"{column} = ?")
            values.append(value)
    if before_seq is not None:
        wanted.append("g.seq < ?")
        values.append(before_seq)
    rows = tx.rows(
        "SELECT g.seq, g.log_at, g.rule, g.acting, d.verdict, d.body, w.withdrawn_at, w.withdrawn_seq FROM signals g"
        " JOIN decisions d ON d.seq = g.seq LEFT JOIN decision_withdrawals w ON w.seq = g.seq AND w.rule = g.rule"
        f" WHERE {' AND '.join(wanted)} ORDER BY g.seq DESC LIMIT ?",
        (*values, limit),
    )
    return [msgspec.convert(dict(zip(VerdictRow.__struct_fields__, row, strict=True)), VerdictRow) for row in rows]


def read_action_states(tx: Tx, seqs: Sequence[int]) -> Mapping[int, list[tuple[str, str, str, str]]]:
    """Return what the marketplace was asked for by some entries: kind, status, subject kind and id."""
    found: dict[int, list[tuple[str, str, str, str]]] = {}
    for start in range(0, len(seqs), 500):
        some = tuple(seqs[start : start + 500])
        marks = ", ".join("?" * len(some))
        rows = tx.rows(
            "SELECT state_version, kind, status, subject_kind, subject_id FROM actions"
            f" WHERE state_version IN ({marks}) ORDER BY state_version, ordinal",
            some,
        )
        for row in rows:
            found.setdefault(int(row[0]), []).append((str(row[1]), str(row[2]), str(row[3]), str(row[4])))
    return found


def read_undoing_changes(tx: Tx, sanction_ids: Sequence[str]) -> Mapping[str, int]:
    """Return, per sanction, the entry that took it back or made it milder last."""
    if not sanction_ids:
        return {}
    marks = ", ".join("?" * len(sanction_ids))
    rows = tx.rows(
        "SELECT sanction_id, max(seq) FROM sanction_changes WHERE kind IN ('sanction.overturned', 'sanction.amended')"
        f" AND sanction_id IN ({marks}) GROUP BY sanction_id",
        tuple(sanction_ids),
    )
    return {str(row[0]): int(row[1]) for row in rows}


def read_acting(tx: Tx, seqs: Sequence[int]) -> Mapping[int, str]:
    """Return who acted in some decisions."""
    if not seqs:
        return {}
    marks = ", ".join("?" * len(seqs))
    rows = tx.rows(f"SELECT seq, acting FROM decisions WHERE acting IS NOT NULL AND seq IN ({marks})", tuple(seqs))
    return {int(row[0]): str(row[1]) for row in rows}


def read_withdrawals(tx: Tx, told: Sequence[SubjectRef]) -> Mapping[str, str]:
    """Return how far the withdrawal of each notice to some people is, by the notice's id."""
    found: dict[str, str] = {}
    for subject in dict.fromkeys(told):
        rows = tx.rows(
            "SELECT body, status FROM actions WHERE subject_kind = ? AND subject_id = ? AND kind = 'notice.withdrawn'",
            (subject.kind, subject.id),
        )
        for body, status in rows:
            notice_id = msgspec.json.decode(bytes(body), type=_Withdrawn).data.notice.id
            found[notice_id] = str(status)
    return found


class _NoticeId(msgspec.Struct, frozen=True):
    id: str


class _WithdrawnData(msgspec.Struct, frozen=True):
    notice: _NoticeId


class _Withdrawn(msgspec.Struct, frozen=True):
    data: _WithdrawnData
