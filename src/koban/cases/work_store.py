"""All SQL of the work on cases: who may have which, hands on and off, standing clocks, doses, what happened when."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, Table, Text

from koban.base import Instant
from koban.cases.store import COLUMNS, as_case, cases
from koban.cases.types import Case, DecideCase, ExclusionWhy, Pause, PauseReason, Proposal, Touch, TouchEnd
from koban.db import Tx, metadata

case_people: Final = Table(
    "case_people",
    metadata,
    Column("case_id", Text, primary_key=True, comment="The case."),
    Column("person", Text, primary_key=True, comment="Who is not given it."),
    Column("why", Text, primary_key=True, comment="skipped, decided (what is appealed) or proposed."),
    Column("reason", Text, nullable=False, comment="Of a skip: the reason given."),
    Column("noted_at", BigInteger, nullable=False, comment="When, in microseconds."),
)

case_touches: Final = Table(
    "case_touches",
    metadata,
    Column("case_id", Text, primary_key=True, comment="The case."),
    Column("fence", BigInteger, primary_key=True, autoincrement=False, comment="The claim."),
    Column("queue", Text, nullable=False, comment="Its queue then."),
    Column("harm", Text, nullable=False, comment="What looking at it does to people."),
    Column("person", Text, nullable=False, comment="Who held it."),
    Column("claimed_at", BigInteger, nullable=False, comment="When it was claimed."),
    Column("opened_at", BigInteger, nullable=True, comment="When its content was first on the screen."),
    Column("ended_at", BigInteger, nullable=True, comment="When hands were off it."),
    Column("how", Text, nullable=True, comment="decided, proposed, released, skipped, handed, moved, paused, lapsed."),
    Column(
        "touch_us", BigInteger, nullable=False, comment="From opened, or claimed, to the end; a claim's length at most."
    ),
    Index("case_touches_person", "person", "claimed_at"),
    Index("case_touches_queue", "queue", "claimed_at"),
)

case_pauses: Final = Table(
    "case_pauses",
    metadata,
    Column("case_id", Text, primary_key=True, comment="The case whose clock stood."),
    Column("paused_at", BigInteger, primary_key=True, autoincrement=False, comment="From when."),
    Column("resumed_at", BigInteger, nullable=True, comment="Until when; null while it stands."),
    Column("reason", Text, nullable=False, comment="person, marketplace, evidence, other_team or legal."),
    Column("note", Text, nullable=False, comment="What is waited for."),
    Column("paused_by", Text, nullable=False, comment="Who let it stand."),
    Column("resumed_by", Text, nullable=True, comment="Who let it run again; koban: the pause was over."),
    Column("due_before", BigInteger, nullable=False, comment="When it was due before."),
    Column("due_after", BigInteger, nullable=True, comment="When it is due since: later by the open time it stood."),
)

case_timeline: Final = Table(
    "case_timeline",
    metadata,
    Column("case_id", Text, primary_key=True, comment="The case."),
    Column("happened_at", BigInteger, primary_key=True, autoincrement=False, comment="When, in microseconds."),
    Column("kind", Text, primary_key=True, comment="claimed, skipped, handed, paused, moved, proposed, closed, …"),
    Column("actor", Text, primary_key=True, comment="Who did it."),
    Column("detail", Text, nullable=False, comment="Reason, queue, colleague, JSON. Rows are never changed."),
)

harm_optouts: Final = Table(
    "harm_optouts",
    metadata,
    Column("person", Text, primary_key=True, comment="Who is not given cases of a kind of harm."),
    Column("harm", Text, primary_key=True, comment="Which. Shown to that person alone, and not in the audit trail."),
)

case_proposals: Final = Table(
    "case_proposals",
    metadata,
    Column("id", Text, primary_key=True, comment="proposal_… id."),
    Column("case_id", Text, nullable=False, index=True, comment="The case."),
    Column("proposed_by", Text, nullable=False, comment="Who proposed it."),
    Column("proposed_at", BigInteger, nullable=False, comment="When, in microseconds."),
    Column("body", Text, nullable=False, comment="The whole judgement, JSON."),
    Column("status", Text, nullable=False, comment="waiting, approved or declined."),
    Column("decided_by", Text, nullable=True, comment="The second person."),
    Column("decided_at", BigInteger, nullable=True, comment="When they said so."),
    Column("reason", Text, nullable=False, comment="Of a decline: why."),
)

case_sanctions: Final = Table(
    "case_sanctions",
    metadata,
    Column("case_id", Text, primary_key=True, comment="The case in which a person decided."),
    Column("sanction_id", Text, primary_key=True, comment="A sanction that it imposed, joined or took back."),
    Column("what", Text, primary_key=True, comment="imposed or taken_back."),
    Column("seq", BigInteger, nullable=False, comment="The log entry of the judgement."),
    Index("case_sanctions_sanction", "sanction_id"),
)

case_batches: Final = Table(
    "case_batches",
    metadata,
    Column("id", Text, primary_key=True, comment="batch_… id."),
    Column("made_by", Text, nullable=False, comment="Who decided several at once."),
    Column("made_at", BigInteger, nullable=False, comment="When, in microseconds."),
    Column("outcome", Text, nullable=False, comment="What was decided."),
    Column("case_ids", Text, nullable=False, comment="The cases that were decided, JSON."),
    Column("undone_at", BigInteger, nullable=True, comment="When it was taken back."),
    Column("undone_by", Text, nullable=True, comment="By whom."),
)

_FREE: Final = (
    "status = 'open' AND paused_at IS NULL AND (claimed_until IS NULL OR claimed_until <= ?)"
    " AND NOT EXISTS (SELECT 1 FROM case_people p WHERE p.case_id = cases.id AND p.person = ?)"
)
_UNASSIGNED: Final = "(assigned_to IS NULL OR assigned_to = ? OR assigned_until <= ?)"


def first_free(tx: Tx, queues: Sequence[str], at: Instant, *, person: str) -> Case | None:
    """Return the case that a person is to have next: what was handed to them, else the first of these queues by rank.

    On PostgreSQL the row is locked, and rows that others are taking at this moment are passed over; on SQLite the
    caller's transaction is the only one that writes.
    """
    handed = tx.rows(
        f"SELECT {COLUMNS} FROM cases WHERE assigned_to = ? AND {_FREE} ORDER BY rank_at, id LIMIT 1",
        (person, at, person),
    )
    if handed:
        return as_case(handed[0])
    heads = []
    for queue in queues:
        rows = tx.rows(
            f"SELECT rank_at, id FROM cases WHERE queue = ? AND {_FREE} AND {_UNASSIGNED} ORDER BY rank_at, id LIMIT 1",
            (queue, at, person, person, at),
        )
        if rows:
            heads.append((rows[0][0], rows[0][1], queue))
    # Why a second look: between the two, on PostgreSQL, somebody else may have taken the head.
    lock = "" if tx.dialect == "sqlite" else " FOR UPDATE OF cases SKIP LOCKED"
    for _, _, queue in sorted(heads):
        rows = tx.rows(
            f"SELECT {COLUMNS} FROM cases WHERE queue = ? AND {_FREE} AND {_UNASSIGNED}"
            f" ORDER BY rank_at, id LIMIT 1{lock}",
            (queue, at, person, person, at),
        )
        if rows:
            return as_case(rows[0])
    return None


def exclusions(tx: Tx, case_id: str, person: str) -> tuple[ExclusionWhy, ...]:
    """Return why a person is not given a case."""
    rows = tx.rows("SELECT why FROM case_people WHERE case_id = ? AND person = ? ORDER BY why", (case_id, person))
    return tuple(row[0] for row in rows)


def exclude(tx: Tx, case_id: str, person: str, at: Instant, *, why: ExclusionWhy, reason: str = "") -> None:
    """Note that a person is not given a case."""
    tx.change(
        "INSERT INTO case_people (case_id, person, why, reason, noted_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (case_id, person, why) DO NOTHING",
        (case_id, person, why, reason, at),
    )


def admit(tx: Tx, case_id: str, why: ExclusionWhy) -> None:
    """Let everybody have a case again who was kept from it for one reason."""
    tx.change("DELETE FROM case_people WHERE case_id = ? AND why = ?", (case_id, why))


def count_skips(tx: Tx, case_id: str) -> int:
    """Return how many people skipped a case."""
    return int(tx.rows("SELECT count(*) FROM case_people WHERE case_id = ? AND why = 'skipped'", (case_id,))[0][0])


def begin_touch(tx: Tx, case: Case, at: Instant, *, by: str, lapsed_at: Instant | None, lapsed_fence: int) -> None:
    """Note a claim; the one before it, if nobody ended it, lapsed."""
    if lapsed_at is not None:
        end_touch(tx, case.id, lapsed_fence, lapsed_at, how="lapsed", longest_us=lapsed_at)
    tx.change(
        "INSERT INTO case_touches (case_id, fence, queue, harm, person, claimed_at, touch_us)"
        " VALUES (?, ?, ?, ?, ?, ?, 0)",
        (case.id, case.fence, case.queue, case.harm, by, at),
    )


def open_touch(tx: Tx, case_id: str, fence: int, at: Instant) -> None:
    """Note that the content of a claimed case is on the screen; only the first time counts."""
    tx.change(
        "UPDATE case_touches SET opened_at = ? WHERE case_id = ? AND fence = ? AND opened_at IS NULL",
        (at, case_id, fence),
    )


def end_touch(tx: Tx, case_id: str, fence: int, at: Instant, *, how: TouchEnd, longest_us: int) -> None:
    """Note that hands are off a case; a claim that ended already stays as it ended."""
    tx.change(
        "UPDATE case_touches SET ended_at = ?, how = ?, touch_us = CASE WHEN ? - COALESCE(opened_at, claimed_at) > ?"
        " THEN ? ELSE ? - COALESCE(opened_at, claimed_at) END"
        " WHERE case_id = ? AND fence = ? AND ended_at IS NULL",
        (at, how, at, longest_us, longest_us, at, case_id, fence),
    )


def read_touches(tx: Tx, case_id: str) -> list[Touch]:
    """Return every claim of a case, in order."""
    rows = tx.rows(
        "SELECT case_id, fence, person, claimed_at, opened_at, ended_at, how, touch_us FROM case_touches"
        " WHERE case_id = ? ORDER BY fence",
        (case_id,),
    )
    names = Touch.__struct_fields__
    return [msgspec.convert(dict(zip(names, row, strict=True)), Touch) for row in rows]


def doses(tx: Tx, person: str, since: Instant, now: Instant, *, longest_us: int) -> dict[str, int]:
    """Return how long a person had each kind of harm on the screen since a moment, claims still held included."""
    rows = tx.rows(
        "SELECT harm, SUM(CASE WHEN ended_at IS NOT NULL THEN touch_us"
        " WHEN ? - COALESCE(opened_at, claimed_at) > ? THEN ? ELSE ? - COALESCE(opened_at, claimed_at) END)"
        " FROM case_touches WHERE person = ? AND claimed_at >= ? AND harm <> 'none' GROUP BY harm",
        (now, longest_us, longest_us, now, person, since),
    )
    return {row[0]: int(row[1]) for row in rows}


def optouts(tx: Tx, person: str) -> frozenset[str]:
    """Return the kinds of harm that a person does not want to be given."""
    return frozenset(row[0] for row in tx.rows("SELECT harm FROM harm_optouts WHERE person = ?", (person,)))


def set_optouts(tx: Tx, person: str, harms: Sequence[str]) -> None:
    """Set them."""
    tx.change("DELETE FROM harm_optouts WHERE person = ?", (person,))
    tx.many("INSERT INTO harm_optouts (person, harm) VALUES (?, ?)", [(person, harm) for harm in harms])


def assign(tx: Tx, case: Case, *, to: str | None, until: Instant | None) -> bool:
    """Hand a case to somebody, or to nobody in particular; False where it changed hands meanwhile."""
    changed = tx.change(
        "UPDATE cases SET claimed_by = NULL, claimed_until = NULL, assigned_to = ?, assigned_until = ?,"
        " fence = fence + 1 WHERE id = ? AND fence = ? AND status = 'open'",
        (to, until, case.id, case.fence),
    )
    return changed == 1


def pause(tx: Tx, case: Case, at: Instant, *, until: Instant, reason: PauseReason, note: str, by: str) -> None:
    """Let a clock stand and give the case back to its queue, where nobody is given it while it stands."""
    tx.change(
        "UPDATE cases SET paused_at = ?, pause_ends_at = ?, claimed_by = NULL, claimed_until = NULL, fence = fence + 1"
        " WHERE id = ?",
        (at, until, case.id),
    )
    tx.change(
        "INSERT INTO case_pauses (case_id, paused_at, reason, note, paused_by, due_before) VALUES (?, ?, ?, ?, ?, ?)",
        (case.id, at, reason, note, by, case.due_at),
    )


def resume(tx: Tx, case: Case, at: Instant, *, due_at: Instant, by: str) -> None:
    """Let a clock run again."""
    tx.change(
        "UPDATE cases SET paused_at = NULL, pause_ends_at = NULL, due_at = ?, rank_at = ? - boost_us WHERE id = ?",
        (due_at, due_at, case.id),
    )
    tx.change(
        "UPDATE case_pauses SET resumed_at = ?, resumed_by = ?, due_after = ? WHERE case_id = ? AND resumed_at IS NULL",
        (at, by, due_at, case.id),
    )


def read_pauses(tx: Tx, case_id: str) -> list[Pause]:
    """Return the pause ledger of a case, oldest first."""
    rows = tx.rows(
        "SELECT case_id, paused_at, resumed_at, reason, note, paused_by, resumed_by, due_before, due_after"
        " FROM case_pauses WHERE case_id = ? ORDER BY paused_at",
        (case_id,),
    )
    names = Pause.__struct_fields__
    return [msgspec.convert(dict(zip(names, row, strict=True)), Pause) for row in rows]


def breach(tx: Tx, case_id: str, at: Instant) -> None:
    """Note that a case's time is over."""
    tx.change("UPDATE cases SET breached_at = ? WHERE id = ? AND breached_at IS NULL", (at, case_id))


def move(
    tx: Tx,
    case: Case,
    *,
    queue: str,
    harm: str,
    due_at: Instant,
    boost_us: int,
    terms: str,
    standing: str,
    owner: str | None,
    escalated: bool,
) -> bool:
    """Put a case into another queue under a new clock; False where that queue has one about the same subject."""
    there = tx.rows(
        "SELECT id FROM cases WHERE queue = ? AND subject_kind = ? AND subject_id = ? AND status = 'open' AND id <> ?",
        (queue, case.subject.kind, case.subject.id, case.id),
    )
    if there:
        return False
    tx.change(
        "UPDATE cases SET queue = ?, harm = ?, due_at = ?, rank_at = ?, boost_us = ?, terms = ?, standing = ?,"
        " breached_at = NULL, assigned_to = ?, assigned_until = NULL, escalated = ?, claimed_by = NULL,"
        " claimed_until = NULL, fence = fence + 1 WHERE id = ?",
        (
            queue, harm, due_at, due_at - boost_us, boost_us, terms, standing, owner,
            int(escalated or case.escalated), case.id,
        ),
    )  # fmt: skip
    return True


def reopen(tx: Tx, case_id: str) -> None:
    """Let a closed case wait again."""
    tx.change(
        "UPDATE cases SET status = 'open', outcome = NULL, closed_at = NULL, closed_by = NULL, closed_seq = NULL,"
        " claimed_by = NULL, claimed_until = NULL, fence = fence + 1 WHERE id = ?",
        (case_id,),
    )


def set_closed_seq(tx: Tx, case_id: str, seq: int) -> None:
    """Note which entry of the log closed a case."""
    tx.change("UPDATE cases SET closed_seq = ? WHERE id = ?", (seq, case_id))


def set_proposal(tx: Tx, case_id: str, proposal: str | None) -> None:
    """Note the proposal that waits for a second person, and give the case back to its queue."""
    tx.change(
        "UPDATE cases SET proposal = ?, claimed_by = NULL, claimed_until = NULL, fence = fence + 1 WHERE id = ?",
        (proposal, case_id),
    )


def insert_proposal(tx: Tx, proposal: Proposal) -> None:
    """Store a proposal, give the case back, and keep the proposer from approving it."""
    tx.change(
        "INSERT INTO case_proposals (id, case_id, proposed_by, proposed_at, body, status, reason)"
        " VALUES (?, ?, ?, ?, ?, 'waiting', '')",
        (
            proposal.id, proposal.case_id, proposal.by, proposal.at,
            msgspec.json.encode(proposal.command).decode(),
        ),
    )  # fmt: skip
    set_proposal(tx, proposal.case_id, proposal.id)
    exclude(tx, proposal.case_id, proposal.by, proposal.at, why="proposed")


def decide_proposal(
    tx: Tx, proposal: Proposal, at: Instant, *, by: str, status: Literal["approved", "declined"], reason: str
) -> None:
    """Note what the second person said; the proposer may have the case again."""
    tx.change(
        "UPDATE case_proposals SET status = ?, decided_by = ?, decided_at = ?, reason = ? WHERE id = ?",
        (status, by, at, reason, proposal.id),
    )
    tx.change("UPDATE cases SET proposal = NULL WHERE id = ?", (proposal.case_id,))
    admit(tx, proposal.case_id, "proposed")


def read_proposal(tx: Tx, proposal_id: str) -> Proposal | None:
    """Return a proposal."""
    rows = tx.rows(
        "SELECT id, case_id, body, proposed_by, proposed_at, status, decided_by, decided_at, reason"
        " FROM case_proposals WHERE id = ?",
        (proposal_id,),
    )
    if not rows:
        return None
    row = dict(zip(Proposal.__struct_fields__, rows[0], strict=True))
    row["command"] = msgspec.json.decode(str(row["command"]), type=DecideCase)
    return msgspec.convert(row, Proposal)


def link_sanctions(
    tx: Tx, case_id: str, sanction_ids: Sequence[str], *, what: Literal["imposed", "taken_back"], seq: int
) -> None:
    """Note which sanctions a judgement imposed or took back."""
    tx.many(
        "INSERT INTO case_sanctions (case_id, sanction_id, what, seq) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (case_id, sanction_id, what) DO NOTHING",
        [(case_id, each, what, seq) for each in sanction_ids],
    )


def sanctions_of(tx: Tx, case_id: str, *, what: Literal["imposed", "taken_back"]) -> list[str]:
    """Return the sanctions that a judgement imposed or took back."""
    rows = tx.rows(
        "SELECT sanction_id FROM case_sanctions WHERE case_id = ? AND what = ? ORDER BY sanction_id", (case_id, what)
    )
    return [str(row[0]) for row in rows]


def cases_of_sanction(tx: Tx, sanction_id: str) -> list[str]:
    """Return the cases in which a sanction was imposed or joined by a person's judgement."""
    rows = tx.rows(
        "SELECT case_id FROM case_sanctions WHERE sanction_id = ? AND what = 'imposed' ORDER BY case_id", (sanction_id,)
    )
    return [str(row[0]) for row in rows]


def insert_batch(tx: Tx, batch_id: str, at: Instant, *, by: str, outcome: str, case_ids: Sequence[str]) -> None:
    """Note what was decided at once, so that it can be taken back at once."""
    tx.change(
        "INSERT INTO case_batches (id, made_by, made_at, outcome, case_ids) VALUES (?, ?, ?, ?, ?)",
        (batch_id, by, at, outcome, msgspec.json.encode(list(case_ids)).decode()),
    )


def read_batch(tx: Tx, batch_id: str) -> tuple[str, Instant, list[str], bool] | None:
    """Return who decided a batch, when, which cases, and whether it was taken back."""
    rows = tx.rows("SELECT made_by, made_at, case_ids, undone_at FROM case_batches WHERE id = ?", (batch_id,))
    if not rows:
        return None
    made_by, made_at, case_ids, undone_at = rows[0]
    return made_by, Instant(int(made_at)), msgspec.json.decode(case_ids, type=list[str]), undone_at is not None


def undo_batch(tx: Tx, batch_id: str, at: Instant, *, by: str) -> None:
    """Note that a batch was taken back."""
    tx.change("UPDATE case_batches SET undone_at = ?, undone_by = ? WHERE id = ?", (at, by, batch_id))


def note(tx: Tx, case_id: str, at: Instant, kind: str, actor: str, **detail: str | int | None) -> None:
    """Add a line to a case's timeline."""
    kept = {name: value for name, value in detail.items() if value not in (None, "")}
    tx.change(
        "INSERT INTO case_timeline (case_id, happened_at, kind, actor, detail) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (case_id, happened_at, kind, actor) DO NOTHING",
        (case_id, at, kind, actor, msgspec.json.encode(kept).decode()),
    )


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a case's timeline."""

    at: Instant
    kind: str
    actor: str
    detail: Mapping[str, str | int]


def read_timeline(tx: Tx, case_id: str, *, limit: int) -> list[Line]:
    """Return what happened to a case, newest first."""
    rows = tx.rows(
        "SELECT happened_at, kind, actor, detail FROM case_timeline WHERE case_id = ?"
        " ORDER BY happened_at DESC, kind LIMIT ?",
        (case_id, limit),
    )
    return [
        Line(
            at=Instant(int(row[0])),
            kind=row[1],
            actor=row[2],
            detail=msgspec.json.decode(row[3], type=dict[str, str | int]),
        )
        for row in rows
    ]


def is_late(at: Instant) -> sqlalchemy.ColumnElement[bool]:
    """Return the truth about due times as SQL: a standing clock is judged at the moment at which it began to stand."""
    judged = sqlalchemy.func.coalesce(cases.c.closed_at, cases.c.paused_at, at)
    return judged > cases.c.due_at


def late_cases(tx: Tx, at: Instant, case_id: str | None = None) -> frozenset[str]:
    """Return the ids of cases, or of one, that were not or are not decided in their time, as of a moment."""
    statement = sqlalchemy.select(cases.c.id).where(is_late(at))
    if case_id is not None:
        statement = statement.where(cases.c.id == case_id)
    return frozenset(row[0] for row in tx.execute(statement))
