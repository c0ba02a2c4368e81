"""The tables of reconciliation and all SQL on them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, Column, Index, SmallInteger, Table, Text

from koban.base import Instant
from koban.db import Tx, metadata, sum_halves, whole_sum
from koban.reconciliation.types import Discrepancy, ExceptionState, ExceptionType, Found, Match, Proposal, Row

rows: Final = Table(
    "reconciliation_rows",
    metadata,
    Column("id", Text, primary_key=True, comment="Made from side, source and reference."),
    Column("leg", Text, primary_key=True, comment="provider, bank or settlement: what it is compared for."),
    Column("side", Text, nullable=False, comment="ledger, provider or bank."),
    Column("source", Text, nullable=False, comment="The provider, or our account at a bank."),
    Column(
        "kind", Text, nullable=False, comment="What the side calls it: capture, refund, transfer, a posting's name."
    ),
    Column("keys", Text, nullable=False, comment="JSON: references, the surest first."),
    Column("named", SmallInteger, nullable=False, comment="1: one of them is meant to be ours."),
    Column("amount", BigInteger, nullable=False, comment="Minor units; more than zero raises what is ours outside."),
    Column("fee", BigInteger, nullable=False, comment="Minor units."),
    Column("currency", Text, nullable=False, comment="ISO 4217."),
    Column("booked_on", Text, nullable=False, comment="YYYY-MM-DD."),
    Column("payout", Text, nullable=False, comment="The provider's payout that it is in, where the report says so."),
    Column("outcome", Text, nullable=False, comment="open, matched, or settled by a person."),
    Column("match_id", BigInteger, comment="The match that it is in."),
    Column("exception_id", Text, comment="The exception that it is in, or was settled with."),
    Column("at", BigInteger, nullable=False, comment="When it was taken in, in microseconds."),
    Index("reconciliation_rows_outcome", "outcome", "leg"),
    Index("reconciliation_rows_exception", "exception_id"),
    Index("reconciliation_rows_match", "match_id"),
    comment="Movements of money as the ledger, providers and banks tell them. No names: ids, amounts and dates.",
)

keys: Final = Table(
    "reconciliation_keys",
    metadata,
    Column("key", Text, primary_key=True, comment="A reference."),
    Column("leg", Text, primary_key=True, comment="Of the row."),
    Column("row_id", Text, primary_key=True, comment="The row."),
    comment="Which rows have which reference.",
)

matches: Final = Table(
    "reconciliation_matches",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False, comment="Counts up."),
    Column("at", BigInteger, nullable=False, comment="When it was found, in microseconds."),
    Column("leg", Text, nullable=False, comment="provider, bank or settlement."),
    Column("found_by", Text, nullable=False, comment="The pass that found it."),
    comment="Rows that tell the same.",
)

exceptions: Final = Table(
    "reconciliation_exceptions",
    metadata,
    Column("id", Text, primary_key=True, comment="exception_… id."),
    Column("key", Text, nullable=False, unique=True, comment="What it is about; the same from run to run."),
    Column("type", Text, nullable=False, comment="What is wrong."),
    Column("leg", Text, nullable=False, comment="provider, bank or settlement."),
    Column("source", Text, nullable=False, comment="The provider or account."),
    Column("amount", BigInteger, nullable=False, comment="Ledger less the other side, minor units."),
    Column("currency", Text, nullable=False, comment="ISO 4217."),
    Column("since", Text, nullable=False, comment="Earliest date of its rows."),
    Column("due", Text, nullable=False, comment="Until when somebody should have seen to it."),
    Column("state", Text, nullable=False, comment="open, proposed, resolved (by two people) or cleared (by a run)."),
    Column("owner", Text, comment="Who sees to it."),
    Column("opened_at", BigInteger, nullable=False, comment="When it was first found, in microseconds."),
    Column("changed_at", BigInteger, nullable=False, comment="When it last changed."),
    Column("note", Text, nullable=False, comment="Why it was resolved or cleared."),
    Index("reconciliation_exceptions_state", "state", "due", "id"),
    comment="What does not match, and what became of it.",
)

proposals: Final = Table(
    "reconciliation_proposals",
    metadata,
    Column("id", Text, primary_key=True, comment="adjustment_… id; also the id of its posting."),
    Column("exception", Text, nullable=False, comment="What it is about."),
    Column("template", Text, nullable=False, comment="Posting template; empty: an explanation without a posting."),
    Column("currency", Text, nullable=False, comment="ISO 4217."),
    Column("parameters", Text, nullable=False, comment="JSON."),
    Column("reason", Text, nullable=False, comment="Why."),
    Column("by", Text, nullable=False, comment="Who proposed it."),
    Column("at", BigInteger, nullable=False, comment="When, in microseconds."),
    Column("status", Text, nullable=False, comment="waiting, approved or declined."),
    Column("decided_by", Text, comment="The second person."),
    Column("decided_at", BigInteger, comment="When."),
    Column("answer", Text, nullable=False, comment="Why it was declined."),
    Index("reconciliation_proposals_exception", "exception"),
    comment="Adjustments that one person proposed and another decides.",
)

state: Final = Table(
    "reconciliation_state",
    metadata,
    Column("name", Text, primary_key=True, comment="ledger_position, last_run_at."),
    Column("value", BigInteger, nullable=False, comment="How far, or when."),
    comment="How far reconciliation has read.",
)

_ROW: Final = "id, leg, side, source, kind, keys, amount, currency, booked_on, fee, named, payout"
_EXCEPTION: Final = (
    "id, key, type, leg, source, amount, currency, since, due, state, owner, opened_at, changed_at, note"
)


def _row(found: Sequence[Any]) -> Row:  # Any: a row of the driver
    return Row(
        id=found[0],
        leg=found[1],
        side=found[2],
        source=found[3],
        kind=found[4],
        keys=tuple(msgspec.json.decode(found[5])),
        amount_minor=found[6],
        currency=found[7],
        booked_on=found[8],
        fee_minor=found[9],
        named=found[10] == 1,
        group=found[11],
    )


def insert_rows(tx: Tx, at: Instant, new: Sequence[Row]) -> int:
    """Take rows in that are not there yet; return how many."""
    there = {
        (each[0], each[1])
        for each in tx.among("SELECT id, leg FROM reconciliation_rows WHERE id IN (??)", [row.id for row in new])
    }
    fresh = list({(row.id, row.leg): row for row in new if (row.id, row.leg) not in there}.values())
    tx.many(
        f"INSERT INTO reconciliation_rows ({_ROW}, outcome, at) VALUES ({', '.join('?' * 12)}, 'open', ?)",
        [
            (
                row.id, row.leg, row.side, row.source, row.kind, msgspec.json.encode(row.keys).decode(), row.amount_minor,
                row.currency, row.booked_on, row.fee_minor, int(row.named), row.group, at,
            )
            for row in fresh
        ],
    )  # fmt: skip
    tx.many(
        "INSERT INTO reconciliation_keys (key, leg, row_id) VALUES (?, ?, ?)",
        [(key, row.leg, row.id) for row in fresh for key in dict.fromkeys(row.keys)],
    )
    return len(fresh)


def open_rows(tx: Tx) -> list[Row]:
    """Return what is in no match yet and no person has settled."""
    return [_row(each) for each in tx.rows(f"SELECT {_ROW} FROM reconciliation_rows WHERE outcome = 'open'")]


def rows_of(tx: Tx, exception_id: str, *, limit: int) -> list[Row]:
    """Return the rows of an exception."""
    found = tx.rows(
        f"SELECT {_ROW} FROM reconciliation_rows WHERE exception_id = ? ORDER BY side, booked_on, id LIMIT ?",
        (exception_id, limit),
    )
    return [_row(each) for each in found]


def relatives(tx: Tx, wanted: Iterable[str], *, limit: int) -> list[tuple[Row, str, str]]:
    """Return rows with any of these references, each with what became of it and the pass that matched it."""
    columns = ", ".join(f"r.{each}" for each in _ROW.split(", "))
    found = tx.among(
        f"SELECT DISTINCT {columns}, r.outcome, m.found_by FROM reconciliation_keys k JOIN reconciliation_rows r ON r.id = k.row_id "
        "AND r.leg = k.leg LEFT JOIN reconciliation_matches m ON m.id = r.match_id WHERE k.key IN (??)",
        list(wanted),
    )
    ordered = sorted(
        ((_row(each), each[12], each[13] or "") for each in found), key=lambda one: (one[0].booked_on, one[0].id)
    )
    return ordered[:limit]


def spoken_for(tx: Tx, references: Sequence[str]) -> tuple[set[str], set[tuple[str, str, str, int, str]]]:
    """Return which references the ledger knows, and (leg, side, reference, amount, currency) of rows matched already."""
    found = tx.among(
        "SELECT k.key, r.leg, r.side, r.amount, r.currency, r.outcome FROM reconciliation_keys k JOIN reconciliation_rows r "
        "ON r.id = k.row_id AND r.leg = k.leg WHERE k.key IN (??)",
        references,
    )
    known = {each[0] for each in found if each[2] == "ledger"}
    return known, {(each[1], each[2], each[0], each[3], each[4]) for each in found if each[5] == "matched"}


def save_matches(tx: Tx, at: Instant, made: Sequence[Match]) -> None:
    """Write matches, and that their rows are done with."""
    last = int(tx.rows("SELECT coalesce(max(id), 0) FROM reconciliation_matches")[0][0])
    numbered = list(enumerate(made, last + 1))
    tx.many(
        "INSERT INTO reconciliation_matches (id, at, leg, found_by) VALUES (?, ?, ?, ?)",
        [(number, at, each.leg, each.found_by) for number, each in numbered],
    )
    # A line of the bank is kept for the bank's leg, also where it is a provider's payout.
    tx.many(
        "UPDATE reconciliation_rows SET outcome = 'matched', match_id = ?, exception_id = NULL WHERE id = ? AND (leg = ? "
        "OR (side = 'bank' AND leg = 'bank'))",
        [(number, row, each.leg) for number, each in numbered for row in each.rows],
    )


def save_exceptions(tx: Tx, at: Instant, found: Sequence[tuple[str, Found]]) -> None:
    """Write exceptions under their ids; one that was there keeps its owner, and one that was over is open again."""
    tx.many(
        f"INSERT INTO reconciliation_exceptions ({_EXCEPTION}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', NULL, ?, ?, '') "
        "ON CONFLICT (key) DO UPDATE SET type = excluded.type, amount = excluded.amount, since = excluded.since, "
        "due = excluded.due, source = excluded.source, changed_at = CASE WHEN reconciliation_exceptions.type = excluded.type "
        "AND reconciliation_exceptions.amount = excluded.amount AND reconciliation_exceptions.state IN ('open', 'proposed') "
        "THEN reconciliation_exceptions.changed_at ELSE excluded.changed_at END, "
        "state = CASE WHEN reconciliation_exceptions.state = 'proposed' THEN 'proposed' ELSE 'open' END",
        [
            (
                each_id, each.key, each.type.value, each.leg, each.source, each.amount_minor, each.currency, each.since,
                each.due, at, at,
            )
            for each_id, each in found
        ],
    )  # fmt: skip
    tx.many(
        "UPDATE reconciliation_rows SET exception_id = ? WHERE id = ? AND outcome = 'open' AND (leg = ? OR (side = 'bank' "
        "AND leg = 'bank'))",
        [(each_id, row, each.leg) for each_id, each in found for row in each.rows],
    )


def clear_others(tx: Tx, at: Instant, still: set[str]) -> int:
    """Close the open exceptions that a run found no more; return how many. A proposal on one is declined by itself."""
    live = [row[0] for row in tx.rows("SELECT id FROM reconciliation_exceptions WHERE state IN ('open', 'proposed')")]
    gone = [each for each in live if each not in still]
    tx.many(
        "UPDATE reconciliation_exceptions SET state = 'cleared', changed_at = ?, note = 'matched' WHERE id = ?",
        [(at, each) for each in gone],
    )
    tx.many(
        "UPDATE reconciliation_proposals SET status = 'declined', decided_at = ?, answer = 'the exception was cleared by a "
        "match' WHERE exception = ? AND status = 'waiting'",
        [(at, each) for each in gone],
    )
    return len(gone)


def list_exceptions(
    tx: Tx, *, state: str, type_: str, leg: str, owner: str, after: tuple[str, str] | None, limit: int
) -> list[Discrepancy]:
    """Return exceptions, those due first; `state` `live` stands for open and proposed, empty filters for all."""
    where, given = ["1 = 1"], []
    if state == "live":
        where.append("state IN ('open', 'proposed')")
    for column, value in (("state", state if state != "live" else ""), ("type", type_), ("leg", leg), ("owner", owner)):
        if value:
            where.append(f"{column} = ?")
            given.append(value)
    if after is not None:
        where.append("(due > ? OR (due = ? AND id > ?))")
        given.extend((after[0], after[0], after[1]))
    found = tx.rows(
        f"SELECT {_EXCEPTION} FROM reconciliation_exceptions WHERE {' AND '.join(where)} ORDER BY due, id LIMIT ?",
        (*given, limit),
    )
    return [_exception(each) for each in found]


def _exception(row: Sequence[Any]) -> Discrepancy:  # Any: a row of the driver
    named = dict(zip(Discrepancy.__struct_fields__, row, strict=True))
    named["type"] = ExceptionType(named["type"])
    return Discrepancy(**named)


def find_exception(tx: Tx, exception_id: str) -> Discrepancy | None:
    """Return an exception."""
    found = tx.rows(f"SELECT {_EXCEPTION} FROM reconciliation_exceptions WHERE id = ?", (exception_id,))
    return _exception(found[0]) if found else None


def change_exception(tx: Tx, at: Instant, exception_id: str, *, state: ExceptionState, note: str) -> None:
    """Write what became of an exception."""
    tx.change(
        "UPDATE reconciliation_exceptions SET state = ?, note = ?, changed_at = ? WHERE id = ?",
        (state, note, at, exception_id),
    )


def assign(tx: Tx, at: Instant, exception_id: str, owner: str | None) -> None:
    """Write who sees to an exception."""
    tx.change("UPDATE reconciliation_exceptions SET owner = ?, changed_at = ? WHERE id = ?", (owner, at, exception_id))


def settle_rows(tx: Tx, exception_id: str) -> None:
    """Take the rows of an exception out of every later run: two people said that nothing is to be booked."""
    tx.change(
        "UPDATE reconciliation_rows SET outcome = 'settled' WHERE exception_id = ? AND outcome = 'open'",
        (exception_id,),
    )


def ageing(tx: Tx) -> list[tuple[str, str, str, str, int, int]]:
    """Return (type, currency, since, due, how many, sum of the differences' size) of live exceptions by date."""
    found = tx.rows(
        f"SELECT type, currency, since, due, count(*), {sum_halves('abs(amount)')} FROM reconciliation_exceptions "
        "WHERE state IN ('open', 'proposed') GROUP BY type, currency, since, due"
    )
    return [(row[0], row[1], row[2], row[3], int(row[4]), whole_sum(row[5], row[6])) for row in found]


def open_through(tx: Tx, through: str) -> int:
    """Return how many live exceptions have rows on or before a date, but those that are only late."""
    found = tx.rows(
        "SELECT count(*) FROM reconciliation_exceptions WHERE state IN ('open', 'proposed') AND type <> 'late' AND since <= ?",
        (through,),
    )
    return int(found[0][0])


def count_proposed(tx: Tx) -> int:
    """Return how many exceptions have a proposal that waits for a second person."""
    return int(tx.rows("SELECT count(*) FROM reconciliation_exceptions WHERE state = 'proposed'")[0][0])


def match_counts(tx: Tx) -> Mapping[str, int]:
    """Return how many matches each pass made."""
    return {
        row[0]: int(row[1])
        for row in tx.rows("SELECT found_by, count(*) FROM reconciliation_matches GROUP BY found_by")
    }


_PROPOSAL: Final = (
    "id, exception, template, currency, parameters, reason, by, at, status, decided_by, decided_at, answer"
)
_QUOTED: Final = _PROPOSAL.replace(" by,", ' "by",')


def insert_proposal(tx: Tx, proposal: Proposal) -> None:
    """Write a proposal."""
    tx.change(
        f"INSERT INTO reconciliation_proposals ({_QUOTED}) VALUES ({', '.join('?' * 12)})",
        (
            proposal.id, proposal.exception, proposal.template, proposal.currency,
            msgspec.json.encode(dict(proposal.parameters)).decode(), proposal.reason, proposal.by, proposal.at,
            proposal.status, proposal.decided_by, proposal.decided_at, proposal.answer,
        ),
    )  # fmt: skip


def decide_proposal(tx: Tx, at: Instant, proposal_id: str, *, by: str, status: str, answer: str) -> None:
    """Write what the second person said."""
    tx.change(
        "UPDATE reconciliation_proposals SET status = ?, decided_by = ?, decided_at = ?, answer = ? WHERE id = ?",
        (status, by, at, answer, proposal_id),
    )


def proposals_of(tx: Tx, exception_id: str) -> list[Proposal]:
    """Return what was proposed for an exception, newest first."""
    found = tx.rows(
        f"SELECT {_QUOTED} FROM reconciliation_proposals WHERE exception = ? ORDER BY at DESC, id DESC", (exception_id,)
    )
    return [
        Proposal(
            **{**dict(zip(Proposal.__struct_fields__, row, strict=True)), "parameters": msgspec.json.decode(row[4])}
        )
        for row in found
    ]


def first_days(tx: Tx) -> Mapping[str, str]:
    """Return for each side but the ledger the first date of which it reported anything."""
    found = tx.rows("SELECT side, min(booked_on) FROM reconciliation_rows WHERE side <> 'ledger' GROUP BY side")
    return {row[0]: row[1] for row in found}


def read_state(tx: Tx, name: str) -> int:
    """Return how far, or when."""
    found = tx.rows("SELECT value FROM reconciliation_state WHERE name = ?", (name,))
    return int(found[0][0]) if found else 0


def write_state(tx: Tx, name: str, value: int) -> None:
    """Write how far, or when."""
    tx.change(
        "INSERT INTO reconciliation_state (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def walk_ledger(tx: Tx, after: int, codes: Sequence[str], *, limit: int) -> list[Any]:  # Any: rows of the driver
    """Return booked transfers that moved a book of these codes, in the order of the log."""
    marks = ", ".join("?" * len(codes))
    return tx.rows(
        "SELECT t.position, t.id, t.reason, t.booking_date, d.code, d.owner, c.code, c.owner, t.amount, d.currency, "
        "t.payment_ref, t.cause_ref FROM ledger_transfers t JOIN ledger_books d ON d.num = t.debit_num "
        f"JOIN ledger_books c ON c.num = t.credit_num WHERE t.position > ? AND (d.code IN ({marks}) OR c.code IN ({marks})) "
        "AND (t.flags & 266) = 0 AND t.amount > 0 ORDER BY t.position LIMIT ?",
        (after, *codes, *codes, limit),
    )
