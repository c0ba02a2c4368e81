"""Rows of rules: modes that people set, snoozes, and who was harmed in the last hour."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, Table, Text

from koban.base import Instant
from koban.db import Tx, metadata, upsert
from koban.rules.types import BudgetTripped, RuleExpected

ALL: Final = "*"  # the row of the switch that puts every rule to review

_modes: Final = Table(
    "rule_modes",
    metadata,
    Column("rule", Text, primary_key=True, comment="rule; '*' is the switch that puts all rules to review"),
    Column("mode", Text, comment="retired, off, shadow, review, live; null: as the pack says"),
    Column("basis_points", BigInteger, nullable=False, comment="share of accounts when live; 10000 is everyone"),
    Column("tripped_seq", BigInteger, comment="log entry that tripped the budget; null: it is whole"),
    Column("changed_seq", BigInteger, nullable=False, comment="log entry of the last change"),
    Column("changed_at", BigInteger, nullable=False, comment="log time, microseconds UTC"),
    Column("changed_by", Text, nullable=False, comment="actor of the last change; 'koban' for a budget"),
    Column("reason", Text, nullable=False, comment="why, in the actor's words"),
    Column("counts_from", BigInteger, comment="log time from which harm counts against the budget; null: all of it"),
    comment="Where a rule's mode is not what its pack says.",
)

_snoozes: Final = Table(
    "snoozes",
    metadata,
    Column("rule", Text, primary_key=True, comment="rule that is mute"),
    Column("kind", Text, primary_key=True, comment="kind of the subject; account: the acting one"),
    Column("subject", Text, primary_key=True, comment="subject for which it is mute"),
    Column("until_at", BigInteger, nullable=False, comment="log time from which it speaks again"),
    Column("set_seq", BigInteger, nullable=False, comment="log entry that set it"),
    Column("set_by", Text, nullable=False, comment="actor"),
    Column("reason", Text, nullable=False, comment="why, in the actor's words"),
    comment="Rules that are mute for single subjects for a while.",
)

_harm: Final = Table(
    "rule_harm",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="log entry whose decision did it"),
    Column("rule", Text, primary_key=True, comment="rule whose signal acted"),
    Column("account", Text, nullable=False, comment="account that it fell on"),
    Column("at", BigInteger, nullable=False, comment="log time, microseconds UTC"),
    Index("rule_harm_by_time", "at"),
    comment="People that rules acted against lately: counted against each rule's cap per hour, then deleted.",
)

_expectations: Final = Table(
    "rule_expectations",
    metadata,
    Column("rule", Text, primary_key=True, comment="rule"),
    Column("basis", Text, nullable=False, comment="none: nothing is known yet; backtest; past: its own"),
    Column("people", BigInteger, nullable=False, comment="people whom it touched, each once an hour"),
    Column("hours", BigInteger, nullable=False, comment="in so many hours"),
    Column("ceiling", BigInteger, nullable=False, comment="from this count in an hour on it only opens cases"),
    Column("counts", Text, nullable=False, comment="actions or people"),
    Column("by", Text, nullable=False, comment="actor; koban where it was measured"),
    Column("reason", Text, nullable=False, comment="where it comes from"),
    Column("set_seq", BigInteger, nullable=False, comment="log entry"),
    Column("set_at", BigInteger, nullable=False, comment="log time, microseconds UTC"),
    Column("approved_by", Text, comment="the second person, where one was needed"),
    comment="What each rule is expected to do, and the ceiling that follows.",
)

HARM_SQL: Final = "INSERT INTO rule_harm (seq, rule, account, at) VALUES (?, ?, ?, ?)"


class ModeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `rule_modes`."""

    rule: str
    mode: str | None
    basis_points: int
    tripped_seq: int | None
    changed_seq: int
    changed_at: Instant
    changed_by: str
    reason: str
    counts_from: Instant | None = None


class SnoozeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `snoozes`."""

    rule: str
    kind: str
    subject: str
    until_at: Instant
    set_seq: int
    set_by: str
    reason: str


def save_mode(tx: Tx, row: ModeRow) -> None:
    """Write what now holds for a rule; where the row says nothing of it, harm counts from where it did."""
    values = msgspec.structs.asdict(row)
    kept = {"rule"} if row.counts_from is not None else {"rule", "counts_from"}
    upsert(tx, _modes, [values], keys=["rule"], update=[name for name in values if name not in kept])


def save_trip(tx: Tx, seq: int, at: Instant, change: BudgetTripped) -> None:
    """Write that a rule's budget is used up; the mode that a person set stays beside it."""
    row = ModeRow(
        rule=change.rule,
        mode=None,
        basis_points=10_000,
        tripped_seq=seq,
        changed_seq=seq,
        changed_at=at,
        changed_by="koban",
        reason=f"{change.harmed} {'people harmed' if change.why == 'cap' else 'where fewer were expected,'} within an hour",
    )
    columns = ["tripped_seq", "changed_seq", "changed_at", "changed_by", "reason"]
    upsert(tx, _modes, [msgspec.structs.asdict(row)], keys=["rule"], update=columns)


def modes(tx: Tx) -> Sequence[ModeRow]:
    """Read every rule whose mode was ever set, and the switch."""
    return [ModeRow(**row) for row in tx.execute(sqlalchemy.select(_modes).order_by(_modes.c.rule)).mappings()]


def save_expected(tx: Tx, seq: int, at: Instant, change: RuleExpected) -> None:
    """Write what is expected of a rule from here on."""
    values = msgspec.structs.asdict(change) | {"set_seq": seq, "set_at": at}
    upsert(tx, _expectations, [values], keys=["rule"], update=[name for name in values if name != "rule"])


def expectations(tx: Tx) -> Sequence[RuleExpected]:
    """Read what is expected of every rule."""
    columns = [_expectations.c[name] for name in RuleExpected.__struct_fields__]
    return [
        RuleExpected(**row) for row in tx.execute(sqlalchemy.select(*columns).order_by(_expectations.c.rule)).mappings()
    ]


def expectation_of(tx: Tx, rule: str) -> RuleExpected | None:
    """Read what is expected of a rule; None where nobody has said."""
    return next((each for each in expectations(tx) if each.rule == rule), None)


def past_of_rules(tx: Tx, *, since_at: int, until_at: int) -> dict[str, int]:
    """Return how many people each rule matched in a span of time, each counted once in an hour of it."""
    rows = tx.rows(
        "SELECT rule, count(*) FROM (SELECT DISTINCT rule, acting, log_at / 3600000000 AS hour FROM signals"
        " WHERE log_at >= ? AND log_at < ? AND acting IS NOT NULL AND withheld <> 'imported') touched GROUP BY rule",
        (since_at, until_at),
    )
    return {str(row[0]): int(row[1]) for row in rows}


def save_snooze(tx: Tx, row: SnoozeRow) -> None:
    """Write a snooze; a later one for the same rule and subject replaces it."""
    values = msgspec.structs.asdict(row)
    keys = ["rule", "kind", "subject"]
    upsert(tx, _snoozes, [values], keys=keys, update=[name for name in values if name not in keys])


def delete_snooze(tx: Tx, rule: str, kind: str, subject: str) -> None:
    """End a snooze."""
    its = (_snoozes.c.rule == rule, _snoozes.c.kind == kind, _snoozes.c.subject == subject)
    tx.execute(sqlalchemy.delete(_snoozes).where(*its))


def snoozes(tx: Tx) -> Sequence[SnoozeRow]:
    """Read every snooze, those that ended too."""
    rows = tx.execute(sqlalchemy.select(_snoozes).order_by(_snoozes.c.rule, _snoozes.c.kind, _snoozes.c.subject))
    return [SnoozeRow(**row) for row in rows.mappings()]


def snoozes_in_force(
    tx: Tx,
    at: Instant,
    *,
    rule: str | None = None,
    kind: str | None = None,
    subject: str | None = None,
    limit: int = 500,
) -> Sequence[SnoozeRow]:
    """Read which rules are mute for whom at a moment, those that end first before the others."""
    statement = sqlalchemy.select(_snoozes).where(_snoozes.c.until_at > at)
    if rule is not None:
        statement = statement.where(_snoozes.c.rule == rule)
    if kind is not None:
        statement = statement.where(_snoozes.c.kind == kind)
    if subject is not None:
        statement = statement.where(_snoozes.c.subject == subject)
    order = (_snoozes.c.until_at, _snoozes.c.rule, _snoozes.c.kind, _snoozes.c.subject)
    return [SnoozeRow(**row) for row in tx.execute(statement.order_by(*order).limit(limit)).mappings()]


def save_harm(tx: Tx, rows: Sequence[tuple[int, str, str, int]]) -> None:
    """Write who was harmed: (seq, rule, account, at)."""
    tx.many(HARM_SQL, rows)


def harm_since(tx: Tx, after: int) -> Iterator[tuple[str, str, int]]:
    """Read (rule, account, at) of everybody harmed later than a log time, in log order.

    What a rule did before its count was begun anew no longer counts: see `Budgets.restart`.
    """
    statement = (
        sqlalchemy.select(_harm.c.rule, _harm.c.account, _harm.c.at)
        .select_from(_harm.outerjoin(_modes, _modes.c.rule == _harm.c.rule))
        .where(_harm.c.at > after, _harm.c.at > sqlalchemy.func.coalesce(_modes.c.counts_from, -1))
    )
    return ((row.rule, row.account, row.at) for row in tx.execute(statement.order_by(_harm.c.seq, _harm.c.rule)))


def forget_harm(tx: Tx, until: int) -> None:
    """Delete rows that no window reaches any more."""
    tx.execute(sqlalchemy.delete(_harm).where(_harm.c.at <= until))
