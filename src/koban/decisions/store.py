"""All SQL of decisions and their signals."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, SmallInteger, Table, Text

from koban.base import Instant
from koban.db import RowNumber, Tx, metadata, upsert
from koban.decisions.acts_store import account_acts, indexed_upto
from koban.decisions.types import DecisionRecord, HoldEnd, Inputs
from koban.events import store as event_store
from koban.rules import Why

decisions: Final = Table(
    "decisions",
    metadata,
    Column("seq", RowNumber, primary_key=True, autoincrement=False, comment="The log entry that was judged."),
    Column("log_at", BigInteger, nullable=False, comment="Log time of the decision, in microseconds."),
    Column("type", Text, nullable=False, comment="Event type."),
    Column("verdict", Text, nullable=False, comment="allow, warn, challenge, hold or block."),
    Column("acting", Text, nullable=True, comment="Account that did it."),
    Column("took_us", BigInteger, nullable=False, comment="Microseconds from arrival to the decision."),
    Column("body", Text, nullable=False, comment="The answer as given, JSON."),
    Column("inputs", Text, nullable=False, comment="Feature values and versions that it read, JSON."),
    # Who acted is found in `account_acts`: an index here would cost the decider a page of its own for each event.
    Index(
        "decisions_not_allowed",
        "verdict",
        "seq",
        sqlite_where=sqlalchemy.text("verdict <> 'allow'"),
        postgresql_where=sqlalchemy.text("verdict <> 'allow'"),
    ),
)

signals: Final = Table(
    "signals",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="The log entry that was judged."),
    Column("rule", Text, primary_key=True, comment="The rule that matched."),
    Column("log_at", BigInteger, nullable=False, comment="Log time, in microseconds."),
    Column("policy", Text, nullable=False, comment="The policy that it speaks for."),
    Column("applied", SmallInteger, nullable=False, comment="1 when it acted."),
    Column("withheld", Text, nullable=False, comment="Why it did not act; empty when it did."),
    Column("acting", Text, nullable=True, comment="Account that did it."),
    # Everything that is counted of a rule, so that counting reads no signal: a day may hold 200,000 of one rule.
    Index("signals_rule", "rule", "seq", "log_at", "applied", "acting"),
)

# Of a signal that only opened a case nobody says that it acted: to people, nothing happened by itself.
_CASE_ALONE: Final = ", ".join(f"'{each}'" for each in Why if each.only_reviews)
ACTED_SQL: Final = f"(applied = 1 AND withheld NOT IN ({_CASE_ALONE}))"

decision_withdrawals: Final = Table(
    "decision_withdrawals",
    metadata,
    Column(
        "seq", BigInteger, primary_key=True, autoincrement=False, comment="The decision that was taken back in part."
    ),
    Column("rule", Text, primary_key=True, comment="The rule whose part in it is withdrawn."),
    Column("withdrawn_seq", BigInteger, nullable=False, comment="The log entry of the command."),
    Column("withdrawn_at", BigInteger, nullable=False, comment="Log time, in microseconds."),
    comment="Verdicts that a person took back because a rule was wrong; the decision itself stays as it was given.",
)

hold_ends: Final = Table(
    "hold_ends",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="The decision that held an event."),
    Column("ended_at", BigInteger, nullable=False, comment="Log time of the end, in microseconds."),
    Column("why", Text, nullable=False, comment="lapsed, withdrawn (its rules were wrong), or judged (by a person)."),
    Column("verdict", Text, nullable=False, comment="What the event became."),
    Column("cause_seq", BigInteger, nullable=False, comment="The log entry that ended it."),
    Index("hold_ends_cause", "cause_seq"),
    comment="How holds ended: by their time, by taking back the rules behind them, or by a person's judgement.",
)

Row = tuple[int, int, str, str, str | None, int, str, str]
SignalRow = tuple[int, str, int, str, int, str, str | None]

_RECORD: Final = msgspec.json.Decoder(DecisionRecord)
_INPUTS: Final = msgspec.json.Decoder(Inputs)


def insert_decisions(tx: Tx, rows: Sequence[Row]) -> None:
    """Store decisions: seq, log time, type, verdict, acting account, microseconds taken, body, inputs."""
    tx.many(
        "INSERT INTO decisions (seq, log_at, type, verdict, acting, took_us, body, inputs)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def insert_signals(tx: Tx, rows: Sequence[SignalRow]) -> None:
    """Store signals: seq, rule, log time, policy, applied, withheld, acting account."""
    tx.many(
        "INSERT INTO signals (seq, rule, log_at, policy, applied, withheld, acting) VALUES (?, ?, ?, ?, ?, ?, ?)", rows
    )


def read_bodies(tx: Tx, seqs: Sequence[int]) -> dict[int, DecisionRecord]:
    """Return the answers that were given to some entries."""
    return {seq: _RECORD.decode(body) for seq, body in read_raw_bodies(tx, seqs).items()}


def read_raw_bodies(tx: Tx, seqs: Sequence[int]) -> dict[int, str]:
    """Return the answers that were given to some entries, byte for byte."""
    rows = tx.among("SELECT seq, body FROM decisions WHERE seq IN (??)", seqs)
    return {int(row[0]): str(row[1]) for row in rows}


def read_inputs(tx: Tx, seq: int) -> Inputs | None:
    """Return what one decision read."""
    found = tx.rows("SELECT inputs FROM decisions WHERE seq = ?", (seq,))
    return _INPUTS.decode(found[0][0]) if found else None


def read_inputs_of(tx: Tx, seqs: Sequence[int]) -> dict[int, Inputs]:
    """Return what some decisions read."""
    rows = tx.among("SELECT seq, inputs FROM decisions WHERE seq IN (??)", seqs)
    return {int(row[0]): _INPUTS.decode(row[1]) for row in rows}


def accounts_signalled(tx: Tx, accounts: Sequence[str], *, since_at: int) -> frozenset[str]:
    """Return those of some accounts of whose events a rule matched one since a moment."""
    since, upto = event_store.seq_since(tx, Instant(since_at)), indexed_upto(tx)
    indexed = tx.among(
        "SELECT DISTINCT a.account FROM account_acts a WHERE a.seq >= ?"
        " AND EXISTS (SELECT 1 FROM signals s WHERE s.seq = a.seq) AND a.account IN (??)",
        accounts,
        (since,),
    )
    tail = tx.among(
        "SELECT DISTINCT d.acting FROM decisions d WHERE d.seq >= ?"
        " AND EXISTS (SELECT 1 FROM signals s WHERE s.seq = d.seq) AND d.acting IN (??)",
        accounts,
        (max(since, upto + 1),),
    )
    return frozenset(str(row[0]) for row in (*indexed, *tail))


def read_whole(tx: Tx, seqs: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Return the answers to some entries and what they were decided on, both as stored: for the archive."""
    rows = tx.among("SELECT seq, body, inputs FROM decisions WHERE seq IN (??)", seqs)
    return {int(row[0]): (str(row[1]), str(row[2])) for row in rows}


def delete_decisions(tx: Tx, seqs: Sequence[int]) -> None:
    """Delete decisions and their signals, which the archive holds or nothing holds any more."""
    rows = [(seq,) for seq in seqs]
    tx.many("DELETE FROM signals WHERE seq = ?", rows)
    tx.many("DELETE FROM decision_withdrawals WHERE seq = ?", rows)
    tx.many("DELETE FROM hold_ends WHERE seq = ?", rows)
    tx.many("DELETE FROM decisions WHERE seq = ?", rows)


def rows_of(
    tx: Tx,
    account: str,
    statement: sqlalchemy.Select[*tuple[Any, ...]],  # Any: SQLAlchemy's own word, as in `Tx.execute`
    *,
    since_seq: int | None = None,
    before_seq: int | None = None,
    limit: int,
    oldest_first: bool = False,
) -> list[sqlalchemy.Row[*tuple[Any, ...]]]:
    """Run a query of decisions for those of one account, in the order of the log, newest first unless asked otherwise.

    Why two queries: the index finds what it has taken in, and the log after it is walked. Often one of them suffices,
    and each gives its rows in order, so that no more are read than are wanted.
    """
    acts = account_acts.c
    tail = statement.where(decisions.c.acting == account, decisions.c.seq > indexed_upto(tx))
    indexed = statement.join(account_acts, acts.seq == decisions.c.seq).where(acts.account == account)
    parts = [(tail, decisions.c.seq), (indexed, acts.seq)]
    found: list[sqlalchemy.Row[*tuple[Any, ...]]] = []
    for part, place in reversed(parts) if oldest_first else parts:
        bounded = part
        if since_seq is not None:
            bounded = bounded.where(place >= since_seq)
        if before_seq is not None:
            bounded = bounded.where(place < before_seq)
        if len(found) < limit:
            bounded = bounded.order_by(place if oldest_first else place.desc())
            found.extend(tx.execute(bounded.limit(limit - len(found))))
    return found


def seqs_around(tx: Tx, accounts: Sequence[str], *, around_seq: int, limit: int) -> list[int]:
    """Return what some accounts did around a place in the log: as many decisions before it as after it."""
    found: list[int] = []
    seqs, after = sqlalchemy.select(decisions.c.seq), around_seq + 1
    for account in accounts:
        earlier = rows_of(tx, account, seqs, before_seq=after, limit=limit // 2)
        later = rows_of(tx, account, seqs, since_seq=after, limit=limit // 2, oldest_first=True)
        found += [int(row[0]) for row in (*earlier, *later)]
    return found


def search(
    tx: Tx,
    *,
    before_seq: int | None,
    limit: int,
    verdict: str | None = None,
    type: str | None = None,  # noqa: A002 - the word that the API uses
    rule: str | None = None,
    acting: str | None = None,
    source: str | None = None,
    since_at: int | None = None,
    until_at: int | None = None,
    since_seq: int | None = None,
) -> list[DecisionRecord]:
    """Return decisions, newest first, that meet every filter given.

    Why the order names one table or another: the index of the rarest filter is to be walked, not every decision.
    """
    entries = sqlalchemy.table(
        "log_entries", sqlalchemy.column("seq"), sqlalchemy.column("source"), sqlalchemy.column("type")
    )
    place: sqlalchemy.ColumnElement[int] = decisions.c.seq
    statement = sqlalchemy.select(decisions.c.body)
    if rule is not None:
        statement = statement.join(signals, signals.c.seq == decisions.c.seq).where(signals.c.rule == rule)
        place = signals.c.seq
    if source is not None or type is not None:
        statement = statement.join(entries, entries.c.seq == decisions.c.seq)
        if type is not None:
            statement = statement.where(entries.c.type == type)
            place = place if rule is not None else entries.c.seq
        if source is not None:
            statement = statement.where(entries.c.source == source)
    if verdict is not None:
        statement = statement.where(decisions.c.verdict == verdict)
    if verdict is not None and verdict != "allow" and acting is None:
        # What the partial index holds, in its words: SQLite takes it only then. One account has fewer decisions than it.
        statement = statement.where(sqlalchemy.text("decisions.verdict <> 'allow'"))
    if since_at is not None:
        statement = statement.where(decisions.c.log_at >= since_at)
    if until_at is not None:
        statement = statement.where(decisions.c.log_at < until_at)
    if acting is not None:
        rows = rows_of(tx, acting, statement, since_seq=since_seq, before_seq=before_seq, limit=limit)
        return [_RECORD.decode(row[0]) for row in rows]
    if before_seq is not None:
        statement = statement.where(place < before_seq)
    if since_seq is not None:
        statement = statement.where(place >= since_seq)
    return [_RECORD.decode(row[0]) for row in tx.execute(statement.order_by(place.desc()).limit(limit))]


def withdraw(tx: Tx, seq: int, rule: str, *, withdrawn_seq: int, at: int) -> None:
    """Note that a rule's part in a decision is withdrawn; one that is already stays as it was noted."""
    row = {"seq": seq, "rule": rule, "withdrawn_seq": withdrawn_seq, "withdrawn_at": at}
    upsert(tx, decision_withdrawals, [row], keys=["seq", "rule"], update=[])


def end_hold(tx: Tx, seq: int, end: HoldEnd) -> None:
    """Note how a hold ended; a later end takes the place of an earlier one."""
    row = {
        "seq": seq, "ended_at": end.at, "why": end.why, "verdict": end.verdict, "cause_seq": end.cause_seq
    }  # fmt: skip
    upsert(tx, hold_ends, [row], keys=["seq"], update=["ended_at", "why", "verdict", "cause_seq"])


def resume_hold(tx: Tx, seq: int) -> None:
    """Forget that a hold ended: it goes on."""
    tx.change("DELETE FROM hold_ends WHERE seq = ?", (seq,))


def read_hold_ends(tx: Tx, seqs: Sequence[int]) -> dict[int, HoldEnd]:
    """Return how holds ended, of those among some decisions that have."""
    rows = tx.among("SELECT seq, ended_at, why, verdict, cause_seq FROM hold_ends WHERE seq IN (??)", seqs)
    return {int(row[0]): _hold_end(row) for row in rows}


def hold_ends_of(tx: Tx, cause_seq: int) -> dict[int, HoldEnd]:
    """Return the holds that a log entry ended, by their decisions."""
    rows = tx.rows(
        "SELECT seq, ended_at, why, verdict, cause_seq FROM hold_ends WHERE cause_seq = ? ORDER BY seq", (cause_seq,)
    )
    return {int(row[0]): _hold_end(row) for row in rows}


def _hold_end(row: Sequence[Any]) -> HoldEnd:  # Any: as drivers give rows
    return HoldEnd(at=Instant(int(row[1])), why=row[2], verdict=row[3], cause_seq=int(row[4]))


def read_withdrawn(tx: Tx, seq: int) -> frozenset[str]:
    """Return the rules whose part in a decision is withdrawn."""
    return frozenset(row[0] for row in tx.rows("SELECT rule FROM decision_withdrawals WHERE seq = ?", (seq,)))


def read_acted(tx: Tx, rule: str, *, since_at: int, after_seq: int, limit: int) -> list[int]:
    """Return decisions on which a rule acted since a moment and whose part in them stands, oldest first."""
    rows = tx.rows(
        "SELECT g.seq FROM signals g WHERE g.rule = ? AND g.applied = 1 AND g.seq > ? AND g.log_at >= ?"
        " AND NOT EXISTS (SELECT 1 FROM decision_withdrawals w WHERE w.seq = g.seq AND w.rule = g.rule)"
        " ORDER BY g.seq LIMIT ?",
        (rule, after_seq, since_at, limit),
    )
    return [int(row[0]) for row in rows]


def count_verdicts(tx: Tx, *, since_at: int) -> dict[str, int]:
    """Return how many decisions fell each way since a moment of log time."""
    statement = (
        sqlalchemy.select(decisions.c.verdict, sqlalchemy.func.count())
        .where(decisions.c.log_at >= since_at)
        .group_by(decisions.c.verdict)
    )
    return {str(row[0]): int(row[1]) for row in tx.execute(statement)}


def rule_hits(tx: Tx, *, since_at: int) -> list[tuple[str, int, int, int]]:
    """Return rule, matches, matches that acted, and distinct accounts touched since a moment of log time."""
    applied = sqlalchemy.func.sum(signals.c.applied)
    statement = (
        sqlalchemy.select(
            signals.c.rule,
            sqlalchemy.func.count(),
            applied,
            sqlalchemy.func.count(sqlalchemy.distinct(signals.c.acting)),
        )
        .where(signals.c.log_at >= since_at)
        .group_by(signals.c.rule)
        .order_by(sqlalchemy.func.count().desc())
    )
    return [(str(row[0]), int(row[1]), int(row[2] or 0), int(row[3])) for row in tx.execute(statement)]


def read_facts(tx: Tx, seqs: Sequence[int]) -> dict[int, tuple[str | None, int]]:
    """Return acting account and microseconds taken of some decisions."""
    rows = tx.among("SELECT seq, acting, took_us FROM decisions WHERE seq IN (??)", seqs)
    return {int(row[0]): (None if row[1] is None else str(row[1]), int(row[2])) for row in rows}
