"""All SQL of enforcement: sanctions as they stand, every change they went through, the states that follow, notices."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, Table, Text

from koban.base import Instant, to_rfc3339
from koban.db import Tx, metadata
from koban.enforcement import logic
from koban.enforcement.types import (
    Change,
    Notice,
    Sanction,
    SanctionEnded,
    Statement,
    Step,
    SubjectRef,
    SubjectState,
)

_ACCOUNTS: Final = "status = 'in_force' AND subject_kind = 'account'"
_FREEZES: Final = "status = 'in_force' AND effect = 'freeze_payout'"

sanctions: Final = Table(
    "sanctions",
    metadata,
    Column("id", Text, primary_key=True, comment="sanction_… id, made from the entry that caused it."),
    Column("subject_kind", Text, nullable=False, comment="Kind of the subject sanctioned."),
    Column("subject_id", Text, nullable=False, comment="Id of the subject sanctioned."),
    Column("market", Text, nullable=False, comment="Country or business; empty where the event named none."),
    Column("kind", Text, nullable=False, comment="hide, restrict, freeze_payout, suspend, warn or strike."),
    Column("effect", Text, nullable=False, comment="What it does now; a strike's follows from its policy's ladder."),
    Column("scope", Text, nullable=False, comment="Of a restriction: what may not be done."),
    Column("policy", Text, nullable=False, comment="The policy that was broken."),
    Column("rule", Text, nullable=True, comment="The rule that imposed it first, if one did."),
    Column("actor", Text, nullable=True, comment="The member of staff who imposed it first, if one did."),
    Column("cause_seq", BigInteger, nullable=False, comment="The log entry that brought it about."),
    Column("imposed_at", BigInteger, nullable=False, comment="When it was imposed, in microseconds of log time."),
    Column("starts_at", BigInteger, nullable=False, comment="From when it stands."),
    Column("ends_at", BigInteger, nullable=True, comment="Until when it stands; null: until a person decides."),
    Column("counts_until_at", BigInteger, nullable=True, comment="Until when later strikes count this one."),
    Column("status", Text, nullable=False, comment="in_force, ended or overturned."),
    Column("changed_seq", BigInteger, nullable=False, comment="The log entry of its last change."),
    Column("body", Text, nullable=False, comment="The whole sanction with its grounds, JSON."),
    Index("sanctions_subject", "subject_kind", "subject_id", "id"),
    Index("sanctions_policy", "policy", "id"),
    Index("sanctions_rule", "rule", "id"),
    Index("sanctions_status", "status"),
    Index(
        "sanctions_freezes",
        "subject_id",
        sqlite_where=sqlalchemy.text(_FREEZES),
        postgresql_where=sqlalchemy.text(_FREEZES),
    ),
    Index("sanctions_in_force", "status", "id", sqlite_where=sqlalchemy.text("status = 'in_force'"),
          postgresql_where=sqlalchemy.text("status = 'in_force'")),
    Index("sanctions_accounts", "status", "subject_kind", "id", "subject_id", "effect", "policy",
          sqlite_where=sqlalchemy.text(_ACCOUNTS), postgresql_where=sqlalchemy.text(_ACCOUNTS)),
    Index("sanctions_overturned", "changed_seq", sqlite_where=sqlalchemy.text("status = 'overturned'"),
          postgresql_where=sqlalchemy.text("status = 'overturned'")),
    Index("sanctions_strikes", "kind", "id", sqlite_where=sqlalchemy.text("kind = 'strike'"),
          postgresql_where=sqlalchemy.text("kind = 'strike'")),
)  # fmt: skip

sanction_changes: Final = Table(
    "sanction_changes",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="The log entry of the change."),
    Column("sanction_id", Text, nullable=False, index=True, comment="The sanction that changed."),
    Column("kind", Text, nullable=False, comment="sanction.imposed, .extended, .ended, .overturned or .amended."),
    Column("rule", Text, nullable=True, comment="The rule whose signal imposed or joined it."),
    Column("changed_at", BigInteger, nullable=False, comment="Log time, in microseconds."),
    Column("body", Text, nullable=False, comment="The change, JSON. Rows are never updated or deleted."),
    Index("sanction_changes_rule", "rule", "changed_at"),
)

subject_states: Final = Table(
    "subject_states",
    metadata,
    Column("subject_kind", Text, primary_key=True, comment="Kind of the subject."),
    Column("subject_id", Text, primary_key=True, comment="Id of the subject."),
    Column("state_version", BigInteger, nullable=False, comment="The log entry that changed the state last; it grows."),
    Column("changed_at", BigInteger, nullable=False, comment="Log time of that change, in microseconds."),
    Column("state", Text, nullable=False, comment="The state after it as webhooks carry it, JSON."),
)

notices: Final = Table(
    "notices",
    metadata,
    Column("id", Text, primary_key=True, comment="notice_… id, made from the entry that caused it."),
    Column("rule", Text, nullable=True, comment="The rule that warned, if one did."),
    Column("subject_kind", Text, nullable=False, comment="Kind of who was warned."),
    Column("subject_id", Text, nullable=False, comment="Id of who was warned."),
    Column("requested_at", BigInteger, nullable=False, comment="Log time of the cause, in microseconds."),
    Column("withdrawn_at", BigInteger, nullable=True, comment="When it was taken back, because its rule was undone."),
    Column("body", Text, nullable=False, comment="The whole notice, JSON."),
    Column("event_id", Text, nullable=True, comment="The event that it is about."),
    Column("case_id", Text, nullable=True, comment="The case whose judgement it tells."),
    Column("role", Text, nullable=False, comment="author, recipient or reporter."),
    Index("notices_rule", "rule", "requested_at"),
    Index("notices_event", "event_id"),
    Index("notices_case", "case_id"),
)

statements: Final = Table(
    "statements",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="The log entry that it was made at."),
    Column("sanction_id", Text, nullable=False, index=True, comment="The sanction; its newest statement is in force."),
    Column("kind", Text, nullable=False, comment="The change that it was made for: sanction.imposed, .amended, …"),
    Column("made_at", BigInteger, nullable=False, comment="Log time, in microseconds."),
    Column("body", Text, nullable=False, comment="The statement of reasons, JSON. Rows are never changed."),
)

_NOTICE: Final = msgspec.json.Decoder(Notice)
_SANCTION: Final = msgspec.json.Decoder(Sanction)
_CHANGE: Final[msgspec.json.Decoder[Change]] = msgspec.json.Decoder(Change)
_STATEMENT: Final = msgspec.json.Decoder(Statement)
_ENCODER: Final = msgspec.json.Encoder()

_INSERT_SANCTION: Final = (
    "INSERT INTO sanctions (id, subject_kind, subject_id, market, kind, effect, scope, policy, rule, actor, cause_seq,"
    " imposed_at, starts_at, ends_at, counts_until_at, status, changed_seq, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET effect = excluded.effect, scope = excluded.scope, starts_at = excluded.starts_at,"
    " ends_at = excluded.ends_at, status = excluded.status, changed_seq = excluded.changed_seq, body = excluded.body"
)
_INSERT_CHANGE: Final = (
    "INSERT INTO sanction_changes (seq, sanction_id, kind, rule, changed_at, body) VALUES (?, ?, ?, ?, ?, ?)"
)
_INSERT_STATE: Final = (
    "INSERT INTO subject_states (subject_kind, subject_id, state_version, changed_at, state) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (subject_kind, subject_id) DO UPDATE SET state_version = excluded.state_version,"
    " changed_at = excluded.changed_at, state = excluded.state"
)


class RestrictionBody(msgspec.Struct, frozen=True, kw_only=True):
    """One ability taken away; `until` null: until a person decides."""

    scope: str
    until: str | None


class StateBody(msgspec.Struct, frozen=True, kw_only=True):
    """A subject's derived state as webhooks and the API give it; times are RFC 3339."""

    hidden: bool
    suspended: bool
    suspended_until: str | None
    payout_frozen: bool
    payout_frozen_until: str | None
    restrictions: tuple[RestrictionBody, ...]
    strikes: Mapping[str, int]


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A step that got its own log entry (`seq`, `at`), with the subject's state after it."""

    step: Step
    seq: int
    at: Instant
    state: SubjectState


def entry_type(change: Change) -> str:
    """Return the type of the log entry that carries a change: `sanction.imposed` and so on."""
    return str(change.__struct_config__.tag)


def encode_change(change: Change) -> bytes:
    """Write a change as the data of its log entry."""
    return _ENCODER.encode(change)


def decode_change(data: bytes | str) -> Change:
    """Read a change from the data of its log entry, for a replay."""
    return _CHANGE.decode(data)


def state_body(state: SubjectState) -> StateBody:
    """Return a state in the form that leaves Koban."""
    return StateBody(
        hidden=state.hidden,
        suspended=state.suspended,
        suspended_until=_written(state.suspended_until),
        payout_frozen=state.payout_frozen,
        payout_frozen_until=_written(state.payout_frozen_until),
        restrictions=tuple(
            RestrictionBody(scope=each.scope, until=_written(each.until)) for each in state.restrictions
        ),
        strikes=state.strikes,
    )


def write(tx: Tx, recorded: Sequence[Recorded]) -> None:
    """Store steps in the transaction of their log entries: sanctions as they stand, changes, states."""
    tx.many(_INSERT_SANCTION, [_sanction_row(each) for each in recorded])
    tx.many(_INSERT_CHANGE, [_change_row(each) for each in recorded])
    tx.many(
        "INSERT INTO statements (seq, sanction_id, kind, made_at, body) VALUES (?, ?, ?, ?, ?)",
        [_statement_row(each) for each in recorded if not isinstance(each.step.change, SanctionEnded)],
    )
    tx.many(
        _INSERT_STATE,
        [
            (
                each.step.after.subject.kind,
                each.step.after.subject.id,
                each.seq,
                each.at,
                _ENCODER.encode(state_body(each.state)).decode(),
            )
            for each in recorded
        ],
    )


def write_notices(tx: Tx, asked: Sequence[Notice]) -> None:
    """Store notices in the transaction of their cause, so that they can be taken back with their rule."""
    tx.many(
        "INSERT INTO notices (id, rule, subject_kind, subject_id, requested_at, body, event_id, case_id, role)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                each.id,
                each.rule,
                each.to.kind,
                each.to.id,
                each.at,
                _ENCODER.encode(each).decode(),
                each.event_id,
                each.case_id,
                each.role,
            )
            for each in asked
        ],
    )


def read_notices(tx: Tx, rule: str, since_at: Instant, *, limit: int) -> list[Notice]:
    """Return notices of a rule since a moment that were not taken back, oldest first."""
    rows = tx.rows(
        "SELECT body FROM notices WHERE rule = ? AND requested_at >= ? AND withdrawn_at IS NULL"
        " ORDER BY requested_at, id LIMIT ?",
        (rule, since_at, limit),
    )
    return [_NOTICE.decode(row[0]) for row in rows]


def read_notices_about(tx: Tx, *, case_ids: Sequence[str], event_ids: Sequence[str], limit: int) -> list[Notice]:
    """Return what people were told about some cases and events and was not taken back, oldest first."""
    statement = (
        sqlalchemy.select(notices.c.body)
        .where(
            sqlalchemy.or_(notices.c.case_id.in_(case_ids), notices.c.event_id.in_(event_ids)),
            notices.c.withdrawn_at.is_(None),
        )
        .order_by(notices.c.requested_at, notices.c.id)
        .limit(limit)
    )
    return [_NOTICE.decode(row[0]) for row in tx.execute(statement)]


def read_notices_of_case(tx: Tx, case_id: str, *, limit: int) -> list[tuple[Notice, bool]]:
    """Return what was told over a case, oldest first, and whether it was taken back."""
    rows = tx.rows(
        "SELECT body, withdrawn_at FROM notices WHERE case_id = ? ORDER BY requested_at, id LIMIT ?", (case_id, limit)
    )
    return [(_NOTICE.decode(row[0]), row[1] is not None) for row in rows]


def read_statement(tx: Tx, sanction_id: str) -> tuple[int, Statement] | None:
    """Return the statement of reasons of a sanction that is in force, and the log entry that it was made at."""
    rows = tx.rows("SELECT seq, body FROM statements WHERE sanction_id = ? ORDER BY seq DESC LIMIT 1", (sanction_id,))
    return (int(rows[0][0]), _STATEMENT.decode(rows[0][1])) if rows else None


def read_standing_notices(tx: Tx, ids: Sequence[str]) -> list[Notice]:
    """Return those of some notices that were not taken back."""
    if not ids:
        return []
    marks = ", ".join("?" * len(ids))
    rows = tx.rows(f"SELECT body FROM notices WHERE withdrawn_at IS NULL AND id IN ({marks}) ORDER BY id", tuple(ids))
    return [_NOTICE.decode(row[0]) for row in rows]


def withdraw_notices(tx: Tx, ids: Sequence[str], at: Instant) -> None:
    """Note that notices were taken back."""
    tx.many("UPDATE notices SET withdrawn_at = ? WHERE id = ?", [(at, each) for each in ids])


def load(tx: Tx, at: Instant) -> list[Sanction]:
    """Return what `LiveSanctions` starts with: sanctions in force, and strikes that still count."""
    in_force = tx.rows("SELECT body FROM sanctions WHERE status = 'in_force' ORDER BY id")
    strikes = tx.rows(
        "SELECT body FROM sanctions WHERE kind = 'strike' AND status = 'ended'"
        " AND (counts_until_at IS NULL OR counts_until_at > ?) ORDER BY id",
        (at,),
    )
    found = [_SANCTION.decode(row[0]) for row in (*in_force, *strikes)]
    return sorted(found, key=lambda each: (each.imposed_at, each.id))


def read(tx: Tx, sanction_ids: Sequence[str]) -> dict[str, Sanction]:
    """Return sanctions by id; missing ones are left out."""
    if not sanction_ids:
        return {}
    statement = sqlalchemy.select(sanctions.c.id, sanctions.c.body).where(sanctions.c.id.in_(sanction_ids))
    return {row[0]: _SANCTION.decode(row[1]) for row in tx.execute(statement)}


def read_of_subject(tx: Tx, subject: SubjectRef) -> list[Sanction]:
    """Return every sanction that a subject ever had, oldest first."""
    rows = tx.rows(
        "SELECT body FROM sanctions WHERE subject_kind = ? AND subject_id = ? ORDER BY imposed_at, id",
        (subject.kind, subject.id),
    )
    return [_SANCTION.decode(row[0]) for row in rows]


def read_of_rule(tx: Tx, rule: str, *, after_at: int, limit: int) -> list[tuple[Instant, str]]:
    """Return when a rule imposed or joined which sanction, oldest first, after a moment.

    No two changes have the same moment, since log time rises with every entry: it is where a next page goes on.
    """
    rows = tx.rows(
        "SELECT changed_at, sanction_id FROM sanction_changes WHERE rule = ? AND changed_at > ?"
        " ORDER BY changed_at LIMIT ?",
        (rule, after_at, limit),
    )
    return [(Instant(int(row[0])), row[1]) for row in rows]


def read_changes(tx: Tx, sanction_id: str) -> list[tuple[int, Instant, Change]]:
    """Return what happened to a sanction, oldest first: entry, log time, change."""
    rows = tx.rows(
        "SELECT seq, changed_at, body FROM sanction_changes WHERE sanction_id = ? ORDER BY seq", (sanction_id,)
    )
    return [(int(row[0]), Instant(int(row[1])), _CHANGE.decode(row[2])) for row in rows]


def stood_at(tx: Tx, subject: SubjectRef, at: Instant, *, before_seq: int) -> bool:
    """Return whether any sanction stood on a subject at a moment, by what the log held before a place."""
    for each in read_of_subject(tx, subject):
        found: Sanction | None = None
        for seq, _, change in read_changes(tx, each.id):
            if seq < before_seq:
                found = logic.applied_to(found, change)
        if found is not None and found.stands_at(at):
            return True
    return False


def read_state(tx: Tx, subject: SubjectRef) -> tuple[int, Instant] | None:
    """Return the version of a subject's state and when it changed last; None where nothing ever happened to it."""
    rows = tx.rows(
        "SELECT state_version, changed_at FROM subject_states WHERE subject_kind = ? AND subject_id = ?",
        (subject.kind, subject.id),
    )
    return (int(rows[0][0]), Instant(int(rows[0][1]))) if rows else None


def search_sanctions(
    tx: Tx, *, before: str | None, limit: int, filters: Mapping[str, str], since: str | None = None
) -> list[Sanction]:
    """Return sanctions, newest first, whose columns have the values given; `since`: ids from this on."""
    statement = sqlalchemy.select(sanctions.c.body).order_by(sanctions.c.id.desc()).limit(limit)
    for name, value in filters.items():
        statement = statement.where(sanctions.c[name] == value)
    if before is not None:
        statement = statement.where(sanctions.c.id < before)
    if since is not None:
        statement = statement.where(sanctions.c.id >= since)
    return [_SANCTION.decode(row[0]) for row in tx.execute(statement)]


def accounts_sanctioned(tx: Tx, accounts: Sequence[str]) -> frozenset[str]:
    """Return those of some accounts on whom something was ever imposed that was not overturned."""
    found: set[str] = set()
    for start in range(0, len(accounts), 500):
        some = tuple(accounts[start : start + 500])
        marks = ", ".join("?" * len(some))
        rows = tx.rows(
            "SELECT DISTINCT subject_id FROM sanctions WHERE subject_kind = 'account' AND status <> 'overturned'"
            f" AND subject_id IN ({marks})",
            some,
        )
        found.update(str(row[0]) for row in rows)
    return frozenset(found)


def count_in_force(tx: Tx) -> dict[str, int]:
    """Return how many sanctions of each effect are in force, for the board."""
    rows = tx.rows("SELECT effect, count(*) FROM sanctions WHERE status = 'in_force' GROUP BY effect ORDER BY effect")
    return {row[0]: int(row[1]) for row in rows}


def _sanction_row(recorded: Recorded) -> tuple[object, ...]:
    after = recorded.step.after
    first = (after.grounds or after.withdrawn)[0]
    return (
        after.id,
        after.subject.kind,
        after.subject.id,
        after.market,
        after.kind,
        after.measure.effect,
        after.measure.scope,
        after.policy,
        first.rule,
        first.actor,
        first.cause_seq,
        after.imposed_at,
        after.starts_at,
        after.ends_at,
        after.counts_until,
        after.status,
        recorded.seq,
        _ENCODER.encode(after).decode(),
    )


def _change_row(recorded: Recorded) -> tuple[object, ...]:
    change = recorded.step.change
    before = recorded.step.before
    grounds = recorded.step.after.grounds
    # An imposed or joined sanction has one ground more than before: the rule that this change speaks of.
    rule = grounds[-1].rule if grounds and len(grounds) > len(before.grounds if before is not None else ()) else None
    return (
        recorded.seq,
        recorded.step.after.id,
        entry_type(change),
        rule,
        recorded.at,
        _ENCODER.encode(change).decode(),
    )


def _statement_row(recorded: Recorded) -> tuple[object, ...]:
    after = recorded.step.after
    written = _ENCODER.encode(logic.statement_of(after)).decode()
    return recorded.seq, after.id, entry_type(recorded.step.change), recorded.at, written


def _written(until: Instant | None) -> str | None:
    return None if until is None else to_rfc3339(until)
