"""The tables of banking and all SQL on them."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import msgspec
from sqlalchemy import BigInteger, Column, Index, LargeBinary, SmallInteger, Table, Text

from koban.banking.types import (
    BankAccount,
    BankLine,
    BankProposal,
    Batch,
    CashOut,
    CashOutState,
    StatementFile,
)
from koban.base import Instant
from koban.db import Tx, metadata

T = TypeVar("T", CashOut, Batch, StatementFile, BankLine, BankProposal)

accounts: Final = Table(
    "bank_accounts",
    metadata,
    Column("id", Text, primary_key=True, comment="Its name in Koban."),
    Column("bank", Text, nullable=False, comment="Bank code, four digits."),
    Column("branch", Text, nullable=False, comment="Branch code, three digits."),
    Column("number", Text, nullable=False, comment="Account number, by which statements name it."),
    Column("body", Text, nullable=False, comment="JSON: the whole of it."),
    comment="Our own accounts at banks: files leave for them, statements come of them.",
)

cash_outs: Final = Table(
    "bank_cash_outs",
    metadata,
    Column("id", Text, primary_key=True, comment="The posting that reserved the money."),
    Column("number", BigInteger, nullable=False, unique=True, comment="Counts up; the reference is made of it."),
    Column("reference", Text, nullable=False, unique=True, comment="What the payment carries through the bank."),
    Column("owner", Text, nullable=False, comment="Whose wallet it leaves."),
    Column("template", Text, nullable=False, comment="Which posting reserved it."),
    Column("amount_minor", BigInteger, nullable=False, comment="What the payee gets, in minor units."),
    Column("fee_minor", BigInteger, nullable=False, comment="What the owner pays for it."),
    Column("currency", Text, nullable=False, comment="ISO 4217 code."),
    Column("state", Text, nullable=False, comment="waiting, drafted, sent, paid, returned, failed, cancelled, lapsed."),
    Column("batch", Text, nullable=True, comment="The batch that it is or was last in."),
    Column("left_out", Text, nullable=True, comment="Why the last batch left without it."),
    Column("requested_at", BigInteger, nullable=False, comment="When it was asked for, in microseconds."),
    Column("holds_until", BigInteger, nullable=False, comment="When the reservation runs out if it is not sent."),
    Column("sent_at", BigInteger, nullable=True, comment="When it left."),
    Column("paid_line", Text, nullable=True, comment="The line of the bank that took the money."),
    Column("returned_line", Text, nullable=True, comment="The line of the bank that brought it back."),
    Column("settled_at", BigInteger, nullable=True, comment="When it was paid, returned, failed or cancelled."),
    Column("reason", Text, nullable=False, comment="Of a failure: why."),
    Column("sealed", LargeBinary, nullable=True, comment="Payee, under the key of the owner."),
    Column(
        "untold", SmallInteger, nullable=False, server_default="0", comment="1: rules and the marketplace hear of its state."
    ),
    Column("sent_sealed", LargeBinary, nullable=True, comment="Payee as it stood in the file, under the key of its day."),
    Index("bank_cash_outs_state", "state", "number"),
    Index("bank_cash_outs_batch", "batch", "number"),
    Index("bank_cash_outs_amount", "amount_minor", "state"),
    Index("bank_cash_outs_owner", "owner", "number"),
    Index("bank_cash_outs_untold", "untold", "number"),
    comment="Cash-outs and what became of them at the bank.",
)  # fmt: skip

batches: Final = Table(
    "bank_batches",
    metadata,
    Column("id", Text, primary_key=True, comment="T and its number."),
    Column("number", BigInteger, nullable=False, unique=True, comment="Counts up."),
    Column("account", Text, nullable=False, comment="Which of our accounts pays."),
    Column("format", Text, nullable=False, comment="zengin or pain.001."),
    Column(
        "state", Text, nullable=False, index=True, comment="drafting, proposed, releasing, released, declined, empty."
    ),
    Column("value_on", Text, nullable=False, comment="On which day payees have the money."),
    Column("count", BigInteger, nullable=False, comment="Cash-outs in it."),
    Column("total_minor", BigInteger, nullable=False, comment="Their sum."),
    Column("proposed_by", Text, nullable=False, comment="Who drafted it."),
    Column("proposed_at", BigInteger, nullable=False, comment="When, in microseconds."),
    Column("decided_by", Text, nullable=True, comment="The second person."),
    Column("decided_at", BigInteger, nullable=True, comment="When they said so."),
    Column("released_at", BigInteger, nullable=True, comment="When the file was made."),
    Column("file_name", Text, nullable=True, comment="What the file is called."),
    Column("file_hash", Text, nullable=True, comment="SHA-256 of its bytes."),
    Column("reason", Text, nullable=False, comment="Of a decline: why."),
    Column("file_sealed", LargeBinary, nullable=True, comment="The file's bytes, under the key of its day."),
    comment="Files of transfers that leave for a bank, and who let them.",
)

files: Final = Table(
    "bank_files",
    metadata,
    Column("id", Text, primary_key=True, comment="S and its number."),
    Column("number", BigInteger, nullable=False, unique=True, comment="Counts up."),
    Column("hash", Text, nullable=False, comment="SHA-256 of the bytes."),
    Column("name", Text, nullable=False, comment="What the file was called."),
    Column("format", Text, nullable=False, comment="zengin_03, zengin_01, camt.053, camt.054."),
    Column("kind", Text, nullable=False, comment="statement or notice."),
    Column("account", Text, nullable=False, comment="Which of our accounts it is about."),
    Column("part", BigInteger, nullable=False, comment="Which statement of the file, from 0."),
    Column("from_on", Text, nullable=False, comment="First day."),
    Column("to_on", Text, nullable=False, comment="Last day."),
    Column("opening_minor", BigInteger, nullable=True, comment="Balance before."),
    Column("closing_minor", BigInteger, nullable=True, comment="Balance after."),
    Column("lines", BigInteger, nullable=False, comment="How many lines it has."),
    Column("done", BigInteger, nullable=False, comment="How many of them were followed."),
    Column("imported_by", Text, nullable=False, comment="Who brought it in."),
    Column("imported_at", BigInteger, nullable=False, comment="When, in microseconds."),
    Column("sealed", LargeBinary, nullable=True, comment="The bytes, under the key of their day; of the first part alone."),
    Index("bank_files_hash", "hash", "part", unique=True),
    comment="Statements and notices that banks sent.",
)  # fmt: skip

lines: Final = Table(
    "bank_lines",
    metadata,
    Column("id", Text, primary_key=True, comment="The file's id and the line's number: the bank_line of postings."),
    Column("file", Text, nullable=False, index=True, comment="The file."),
    Column("account", Text, nullable=False, comment="Which of our accounts."),
    Column("line", BigInteger, nullable=False, comment="Record or entry of the file."),
    Column("booked_on", Text, nullable=False, comment="Day of the bank's books."),
    Column("value_on", Text, nullable=False, comment="Day from which it counts."),
    Column("amount_minor", BigInteger, nullable=False, comment="More than zero came in, less went out."),
    Column("currency", Text, nullable=False, comment="ISO 4217 code."),
    Column("reference", Text, nullable=False, comment="What the payment carried."),
    Column("bank_id", Text, nullable=False, comment="The bank's own id; empty: it gave none."),
    Column("kind", Text, nullable=False, comment="transfer, return, fee or other, by the bank's coding."),
    Column("state", Text, nullable=False, comment="matched, exception, resolved, noticed (moves no money), known (came before)."),
    Column("exception", Text, nullable=True, comment="Of an exception: which."),
    Column("detail", Text, nullable=False, comment="What was found out about it."),
    Column("matched", Text, nullable=True, comment="A cash-out, a batch, or fee."),
    Column("posting", Text, nullable=True, comment="The posting that followed from it."),
    Column("attempt", BigInteger, nullable=False, comment="How often a posting was tried."),
    Column("same", Text, nullable=False, comment="What a line that comes again has in common with it."),
    Column("sealed", LargeBinary, nullable=False, comment="Name and note, under the key of their day."),
    Index("bank_lines_same", "account", "same"),
    Index("bank_lines_day", "account", "booked_on", "id"),
    Index("bank_lines_state", "state", "id"),
    comment="Lines of statements and notices, and what became of each.",
)  # fmt: skip

proposals: Final = Table(
    "bank_proposals",
    metadata,
    Column("id", Text, primary_key=True, comment="P and its number."),
    Column("kind", Text, nullable=False, comment="match (a line), fail (a cash-out), account or close (one of ours)."),
    Column("about", Text, nullable=False, comment="The line, the cash-out, or the account."),
    Column("target", Text, nullable=False, comment="Of a match: a cash-out, a batch, or fee."),
    Column("fee_back", BigInteger, nullable=False, comment="1: the owner gets the fee back."),
    Column("reason", Text, nullable=False, comment="Why."),
    Column("state", Text, nullable=False, index=True, comment="waiting, approved, declined."),
    Column("proposed_by", Text, nullable=False, comment="Who proposed it."),
    Column("proposed_at", BigInteger, nullable=False, comment="When, in microseconds."),
    Column("decided_by", Text, nullable=True, comment="The second person."),
    Column("decided_at", BigInteger, nullable=True, comment="When they said so."),
    Column("body", Text, nullable=False, server_default="", comment="Of an account: JSON of all of it."),
    comment="What is to be done by hand about lines, cash-outs and our accounts, by two people.",
)

_CASH_OUT: Final = ", ".join(CashOut.__struct_fields__)
_BATCH: Final = ", ".join(Batch.__struct_fields__)
_FILE: Final = ", ".join(StatementFile.__struct_fields__)
_LINE: Final = ", ".join(BankLine.__struct_fields__)
_PROPOSAL: Final = ", ".join(BankProposal.__struct_fields__)
# `lines`, `line` and the like are no reserved words on either database; `number`, `count` and `part` are none as columns.


def _as(kind: type[T], row: Sequence[object]) -> T:
    return msgspec.convert(dict(zip(kind.__struct_fields__, row, strict=True)), kind, strict=False)


def next_number(tx: Tx, table: str) -> int:
    """Return the next number of a table; the decider is the only one who counts."""
    assert table in {"bank_cash_outs", "bank_batches", "bank_files"}
    return int(tx.rows(f"SELECT coalesce(max(number), 0) FROM {table}")[0][0]) + 1


def count_proposals(tx: Tx) -> int:
    """Return how many proposals there ever were."""
    return int(tx.rows("SELECT count(*) FROM bank_proposals")[0][0])


# Our accounts.


def save_account(tx: Tx, account: BankAccount) -> None:
    """Keep one of our accounts, new or as it is from now on."""
    place = account.originator
    tx.change(
        "INSERT INTO bank_accounts (id, bank, branch, number, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
        "bank = excluded.bank, branch = excluded.branch, number = excluded.number, body = excluded.body",
        (account.id, place.bank, place.branch, place.number, msgspec.json.encode(account).decode()),
    )


def list_accounts(tx: Tx) -> list[BankAccount]:
    """Return our accounts, by id."""
    rows = tx.rows("SELECT body FROM bank_accounts ORDER BY id")
    return [msgspec.json.decode(row[0], type=BankAccount) for row in rows]


def find_account(tx: Tx, account_id: str) -> BankAccount | None:
    """Return one of our accounts."""
    rows = tx.rows("SELECT body FROM bank_accounts WHERE id = ?", (account_id,))
    return msgspec.json.decode(rows[0][0], type=BankAccount) if rows else None


def account_of(tx: Tx, *, bank: str, branch: str, number: str) -> BankAccount | None:
    """Return our account that a statement names; a bank that names no branch is trusted with the number."""
    found = [
        each
        for each in list_accounts(tx)
        if each.originator.number.lstrip("0") == number.lstrip("0")
        and (not bank or each.originator.bank == bank)
        and (not branch or each.originator.branch == branch)
    ]
    open_ones = [each for each in found if each.closed_at is None]
    found = open_ones or found
    return found[0] if len(found) == 1 else None


def is_busy(tx: Tx, account_id: str) -> bool:
    """Tell whether a batch of one of our accounts is proposed or leaves."""
    rows = tx.rows(
        "SELECT 1 FROM bank_batches WHERE account = ? AND state IN ('drafting', 'proposed', 'releasing') LIMIT 1",
        (account_id,),
    )
    return bool(rows)


# Cash-outs.


def insert_cash_out(tx: Tx, one: CashOut, sealed: bytes) -> None:
    """Keep a cash-out that was reserved."""
    values = msgspec.structs.asdict(one)
    tx.change(
        f"INSERT INTO bank_cash_outs ({_CASH_OUT}, sealed) VALUES ({', '.join('?' * (len(values) + 1))})",
        (*values.values(), sealed),
    )


def find_cash_out(tx: Tx, cash_out_id: str) -> CashOut | None:
    """Return a cash-out."""
    rows = tx.rows(f"SELECT {_CASH_OUT} FROM bank_cash_outs WHERE id = ?", (cash_out_id,))
    return _as(CashOut, rows[0]) if rows else None


def cash_out_by_reference(tx: Tx, reference: str) -> CashOut | None:
    """Return the cash-out whose payment carried a reference."""
    rows = tx.rows(f"SELECT {_CASH_OUT} FROM bank_cash_outs WHERE reference = ?", (reference,))
    return _as(CashOut, rows[0]) if rows else None


def read_payee(tx: Tx, cash_out_id: str) -> tuple[bytes | None, bytes | None]:
    """Return the sealed payee of a cash-out: under the owner's key, and as it left."""
    rows = tx.rows("SELECT sealed, sent_sealed FROM bank_cash_outs WHERE id = ?", (cash_out_id,))
    return (_bytes(rows[0][0]), _bytes(rows[0][1])) if rows else (None, None)


def _bytes(value: object) -> bytes | None:
    assert value is None or isinstance(value, bytes | memoryview | bytearray)
    return None if value is None else bytes(value)


def waiting(tx: Tx, currency: str, *, after: int, limit: int) -> list[CashOut]:
    """Return cash-outs that wait to be sent, oldest first, behind a number."""
    rows = tx.rows(
        f"SELECT {_CASH_OUT} FROM bank_cash_outs WHERE state = 'waiting' AND number > ? AND currency = ? ORDER BY number LIMIT ?",
        (after, currency, limit),
    )
    return [_as(CashOut, row) for row in rows]


def lapse(tx: Tx, at: Instant, *, limit: int) -> int:
    """Note which waiting cash-outs have no reservation any more: their money is free in the wallet."""
    return tx.change(
        "UPDATE bank_cash_outs SET state = 'lapsed', untold = 1, settled_at = ? WHERE id IN (SELECT id FROM bank_cash_outs"
        " WHERE state = 'waiting' AND holds_until <= ? ORDER BY number LIMIT ?)",
        (at, at, limit),
    )


def has_lapsed(tx: Tx, at: Instant) -> bool:
    """Tell whether a cash-out waits whose reservation ran out."""
    return bool(tx.rows("SELECT 1 FROM bank_cash_outs WHERE state = 'waiting' AND holds_until <= ? LIMIT 1", (at,)))


def draft(tx: Tx, batch: str, numbers: Sequence[int]) -> None:
    """Put cash-outs into a batch."""
    tx.many(
        "UPDATE bank_cash_outs SET state = 'drafted', batch = ?, left_out = NULL WHERE number = ?",
        [(batch, number) for number in numbers],
    )


def of_batch(tx: Tx, batch: str, *, state: CashOutState | None = None, after: int = 0, limit: int) -> list[CashOut]:
    """Return the cash-outs of a batch by number."""
    where, given = (" AND state = ?", [state]) if state is not None else ("", [])
    rows = tx.rows(
        f"SELECT {_CASH_OUT} FROM bank_cash_outs WHERE batch = ?{where} AND number > ? ORDER BY number LIMIT ?",
        (batch, *given, after, limit),
    )
    return [_as(CashOut, row) for row in rows]


def sent_payees(tx: Tx, batch: str) -> list[tuple[str, int, bytes]]:
    """Return reference, amount and sealed payee of what left with a batch, by number."""
    rows = tx.rows(
        "SELECT reference, amount_minor, sent_sealed FROM bank_cash_outs WHERE batch = ? AND sent_sealed IS NOT NULL"
        " ORDER BY number",
        (batch,),
    )
    return [(row[0], int(row[1]), bytes(row[2])) for row in rows]


def give_back(tx: Tx, batch: str) -> None:
    """Let the cash-outs of a declined batch wait again."""
    tx.change("UPDATE bank_cash_outs SET state = 'waiting' WHERE batch = ? AND state = 'drafted'", (batch,))


def leave_out(tx: Tx, cash_out_id: str, why: str) -> None:
    """Let a cash-out wait again and say why it did not leave."""
    tx.change("UPDATE bank_cash_outs SET state = 'waiting', left_out = ? WHERE id = ?", (why, cash_out_id))


def send(tx: Tx, cash_out_id: str, at: Instant, sealed: bytes) -> None:
    """Note that a cash-out left, with its payee as it stands in the file."""
    tx.change(
        "UPDATE bank_cash_outs SET state = 'sent', untold = 1, sent_at = ?, sent_sealed = ? WHERE id = ?",
        (at, sealed, cash_out_id),
    )


def settle(
    tx: Tx,
    cash_out_id: str,
    at: Instant,
    *,
    state: CashOutState,
    paid_line: str | None = None,
    returned_line: str | None = None,
    reason: str = "",
) -> None:
    """Note what became of a cash-out; a line that was noted before stays."""
    tx.change(
        "UPDATE bank_cash_outs SET state = ?, untold = 1, settled_at = ?, paid_line = coalesce(paid_line, ?),"
        " returned_line = coalesce(returned_line, ?), reason = ? WHERE id = ?",
        (state, at, paid_line, returned_line, reason, cash_out_id),
    )


def pay_batch(tx: Tx, batch: str, at: Instant, line: str) -> None:
    """Note that one line of the bank took all that was still to be taken of a batch."""
    tx.change(
        "UPDATE bank_cash_outs SET untold = CASE WHEN state = 'sent' THEN 1 ELSE untold END,"
        " state = CASE WHEN state = 'sent' THEN 'paid' ELSE state END,"
        " settled_at = coalesce(settled_at, ?), paid_line = ?"
        " WHERE batch = ? AND paid_line IS NULL AND state IN ('sent', 'returned')",
        (at, line, batch),
    )


def untold(tx: Tx, *, limit: int) -> list[CashOut]:
    """Return cash-outs whose state rules and the marketplace did not hear of yet, oldest first."""
    rows = tx.rows(f"SELECT {_CASH_OUT} FROM bank_cash_outs WHERE untold = 1 ORDER BY number LIMIT ?", (limit,))
    return [_as(CashOut, row) for row in rows]


def note_told(tx: Tx, cash_out_id: str) -> None:
    """Note that the state of a cash-out was told."""
    tx.change("UPDATE bank_cash_outs SET untold = 0 WHERE id = ?", (cash_out_id,))


def open_batches(tx: Tx, account: str) -> list[tuple[str, str, int, int]]:
    """Return the batches of which the bank took not all yet: id, day, how many and how much is open."""
    rows = tx.rows(
        "SELECT b.id, b.value_on, count(*), sum(c.amount_minor) FROM bank_batches b JOIN bank_cash_outs c ON c.batch = b.id"
        " WHERE b.account = ? AND b.state = 'released' AND c.paid_line IS NULL AND c.state IN ('sent', 'returned')"
        " GROUP BY b.id, b.value_on ORDER BY b.id",
        (account,),
    )
    return [(row[0], row[1], int(row[2]), int(row[3])) for row in rows]


def of_amount(
    tx: Tx, account: str, amount_minor: int, *, returned: bool, limit: int, over_minor: int = 0
) -> list[tuple[CashOut, bytes]]:
    """Return cash-outs of an amount that left one of our accounts and were not paid, or not returned, with their payees.

    `over_minor`: of so much more as well; those of the amount itself first.
    """
    what = "c.returned_line IS NULL" if returned else "c.paid_line IS NULL"
    columns = ", ".join(f"c.{name}" for name in CashOut.__struct_fields__)
    rows = tx.rows(
        f"SELECT {columns}, c.sent_sealed FROM bank_cash_outs c JOIN bank_batches b ON b.id = c.batch"
        f" WHERE c.amount_minor BETWEEN ? AND ? AND c.state IN ('sent', 'paid', 'returned') AND {what} AND b.account = ?"
        " ORDER BY c.amount_minor, c.number LIMIT ?",
        (amount_minor, amount_minor + over_minor, account, limit),
    )
    return [(_as(CashOut, row[:-1]), bytes(row[-1])) for row in rows if row[-1] is not None]


def list_cash_outs(tx: Tx, *, state: str | None, owner: str | None, before: int | None, limit: int) -> list[CashOut]:
    """Return cash-outs, newest first."""
    where, given = ["number < ?"], [before if before is not None else 2**62]
    values: list[object] = [*given]
    for column, value in (("state", state), ("owner", owner)):
        if value is not None:
            where.append(f"{column} = ?")
            values.append(value)
    rows = tx.rows(
        f"SELECT {_CASH_OUT} FROM bank_cash_outs WHERE {' AND '.join(where)} ORDER BY number DESC LIMIT ?",
        (*values, limit),
    )
    return [_as(CashOut, row) for row in rows]


def sums(tx: Tx) -> dict[str, tuple[int, int]]:
    """Return for each state how many cash-outs are in it, and their sum."""
    rows = tx.rows("SELECT state, count(*), sum(amount_minor) FROM bank_cash_outs GROUP BY state ORDER BY state")
    return {row[0]: (int(row[1]), int(row[2])) for row in rows}


# Batches.


def insert_batch(tx: Tx, batch: Batch) -> None:
    """Keep a draft."""
    values = msgspec.structs.asdict(batch)
    tx.change(f"INSERT INTO bank_batches ({_BATCH}) VALUES ({', '.join('?' * len(values))})", tuple(values.values()))


def find_batch(tx: Tx, batch_id: str) -> Batch | None:
    """Return a batch."""
    rows = tx.rows(f"SELECT {_BATCH} FROM bank_batches WHERE id = ?", (batch_id,))
    return _as(Batch, rows[0]) if rows else None


def list_batches(tx: Tx, *, state: str | None, before: int | None, limit: int) -> list[Batch]:
    """Return batches, newest first."""
    where, values = "number < ?", [before if before is not None else 2**62]
    given: list[object] = [*values]
    if state is not None:
        where += " AND state = ?"
        given.append(state)
    rows = tx.rows(f"SELECT {_BATCH} FROM bank_batches WHERE {where} ORDER BY number DESC LIMIT ?", (*given, limit))
    return [_as(Batch, row) for row in rows]


def count_proposed_batches(tx: Tx) -> int:
    """Return how many batches wait for a second person."""
    return int(tx.rows("SELECT count(*) FROM bank_batches WHERE state = 'proposed'")[0][0])


def grow_batch(tx: Tx, batch_id: str, *, count: int, total_minor: int) -> None:
    """Note how much is in a draft."""
    tx.change("UPDATE bank_batches SET count = ?, total_minor = ? WHERE id = ?", (count, total_minor, batch_id))


def propose_batch(tx: Tx, batch_id: str) -> None:
    """Note that a draft is whole."""
    tx.change("UPDATE bank_batches SET state = 'proposed' WHERE id = ?", (batch_id,))


def drop_batch(tx: Tx, batch_id: str) -> None:
    """Forget a draft in which nothing is."""
    tx.change("DELETE FROM bank_batches WHERE id = ?", (batch_id,))


def decide_batch(tx: Tx, batch: Batch, at: Instant, *, by: str, state: str, value_on: str, reason: str) -> None:
    """Note what the second person said."""
    tx.change(
        "UPDATE bank_batches SET state = ?, decided_by = ?, decided_at = ?, value_on = ?, reason = ? WHERE id = ?",
        (state, by, at, value_on, reason, batch.id),
    )


def release_batch(
    tx: Tx, batch_id: str, at: Instant, *, name: str, digest: str, sealed: bytes, count: int, total_minor: int
) -> None:
    """Keep the file of a batch."""
    tx.change(
        "UPDATE bank_batches SET state = 'released', released_at = ?, file_name = ?, file_hash = ?, file_sealed = ?,"
        " count = ?, total_minor = ? WHERE id = ?",
        (at, name, digest, sealed, count, total_minor, batch_id),
    )


def empty_batch(tx: Tx, batch_id: str, at: Instant) -> None:
    """Note that nothing of a batch could leave."""
    tx.change(
        "UPDATE bank_batches SET state = 'empty', released_at = ?, count = 0, total_minor = 0 WHERE id = ?",
        (at, batch_id),
    )


def read_file(tx: Tx, batch_id: str) -> bytes | None:
    """Return the sealed file of a batch."""
    rows = tx.rows("SELECT file_sealed FROM bank_batches WHERE id = ?", (batch_id,))
    return _bytes(rows[0][0]) if rows else None


# Statements.


def insert_file(tx: Tx, file: StatementFile, sealed: bytes | None) -> None:
    """Keep one account's part of a file."""
    values = msgspec.structs.asdict(file)
    tx.change(
        f"INSERT INTO bank_files ({_FILE}, sealed) VALUES ({', '.join('?' * (len(values) + 1))})",
        (*values.values(), sealed),
    )


def files_of_hash(tx: Tx, digest: str) -> list[StatementFile]:
    """Return the parts of a file that came before, in order."""
    rows = tx.rows(f"SELECT {_FILE} FROM bank_files WHERE hash = ? ORDER BY part", (digest,))
    return [_as(StatementFile, row) for row in rows]


def find_file(tx: Tx, file_id: str) -> StatementFile | None:
    """Return a file's part."""
    rows = tx.rows(f"SELECT {_FILE} FROM bank_files WHERE id = ?", (file_id,))
    return _as(StatementFile, rows[0]) if rows else None


def unfinished_files(tx: Tx) -> list[StatementFile]:
    """Return files that were not followed to their end: a crash came between."""
    rows = tx.rows(f"SELECT {_FILE} FROM bank_files WHERE done < lines ORDER BY number")
    return [_as(StatementFile, row) for row in rows]


def read_bytes(tx: Tx, digest: str) -> bytes | None:
    """Return the sealed bytes of a file."""
    rows = tx.rows("SELECT sealed FROM bank_files WHERE hash = ? AND part = 0", (digest,))
    return _bytes(rows[0][0]) if rows else None


def list_files(tx: Tx, *, before: int | None, limit: int) -> list[StatementFile]:
    """Return statements, newest first."""
    rows = tx.rows(
        f"SELECT {_FILE} FROM bank_files WHERE number < ? ORDER BY number DESC LIMIT ?",
        (before if before is not None else 2**62, limit),
    )
    return [_as(StatementFile, row) for row in rows]


def advance(tx: Tx, file_id: str, done: int) -> None:
    """Note how far a file was followed."""
    tx.change("UPDATE bank_files SET done = ? WHERE id = ?", (done, file_id))


def insert_line(tx: Tx, line: BankLine, *, same: str, sealed: bytes) -> None:
    """Keep a line."""
    values = msgspec.structs.asdict(line)
    tx.change(
        f"INSERT INTO bank_lines ({_LINE}, same, sealed) VALUES ({', '.join('?' * (len(values) + 2))})",
        (*values.values(), same, sealed),
    )


def is_known(tx: Tx, account: str, same: str, *, not_of: str, moves: bool) -> bool:
    """Tell whether a line came before, in another file of its kind."""
    state = "<> 'noticed'" if moves else "= 'noticed'"
    rows = tx.rows(
        f"SELECT 1 FROM bank_lines WHERE account = ? AND same = ? AND file <> ? AND state {state} LIMIT 1",
        (account, same, not_of),
    )
    return bool(rows)


def find_line(tx: Tx, line_id: str) -> tuple[BankLine, bytes] | None:
    """Return a line with its sealed name and note."""
    rows = tx.rows(f"SELECT {_LINE}, sealed FROM bank_lines WHERE id = ?", (line_id,))
    return (_as(BankLine, rows[0][:-1]), bytes(rows[0][-1])) if rows else None


def update_line(tx: Tx, line: BankLine) -> None:
    """Note what became of a line."""
    tx.change(
        "UPDATE bank_lines SET state = ?, exception = ?, detail = ?, matched = ?, posting = ?, attempt = ? WHERE id = ?",
        (line.state, line.exception, line.detail, line.matched, line.posting, line.attempt, line.id),
    )


def list_lines(
    tx: Tx,
    *,
    filters: Mapping[str, str | None],
    after: str,
    limit: int,
    since: str = "",
    until: str = "",
    counted: bool = False,
) -> list[tuple[BankLine, bytes]]:
    """Return lines by id, oldest first, with their sealed names and notes; `counted`: each that moves money, once."""
    where, values = ["id > ?", *(["state NOT IN ('noticed', 'known')"] if counted else [])], [after]
    for column in ("account", "file", "state", "exception"):
        value = filters.get(column)
        if value is not None:
            where.append(f"{column} = ?")
            values.append(value)
    for bound, sign in ((since, ">="), (until, "<=")):
        if bound:
            where.append(f"booked_on {sign} ?")
            values.append(bound)
    rows = tx.rows(
        f"SELECT {_LINE}, sealed FROM bank_lines WHERE {' AND '.join(where)} ORDER BY id LIMIT ?", (*values, limit)
    )
    return [(_as(BankLine, row[:-1]), bytes(row[-1])) for row in rows]


def count_exceptions(tx: Tx) -> dict[str, int]:
    """Return how many lines wait for somebody, by kind."""
    rows = tx.rows(
        "SELECT exception, count(*) FROM bank_lines WHERE state = 'exception' GROUP BY exception ORDER BY exception"
    )
    return {row[0]: int(row[1]) for row in rows}


# Proposals.


def insert_proposal(tx: Tx, proposal: BankProposal) -> None:
    """Keep what somebody proposes."""
    values = msgspec.structs.asdict(proposal) | {"fee_back": int(proposal.fee_back)}
    tx.change(
        f"INSERT INTO bank_proposals ({_PROPOSAL}) VALUES ({', '.join('?' * len(values))})", tuple(values.values())
    )


def find_proposal(tx: Tx, proposal_id: str) -> BankProposal | None:
    """Return a proposal."""
    rows = tx.rows(f"SELECT {_PROPOSAL} FROM bank_proposals WHERE id = ?", (proposal_id,))
    return _as(BankProposal, rows[0]) if rows else None


def waiting_proposals(tx: Tx, *, about: str | None = None) -> list[BankProposal]:
    """Return what waits for a second person, oldest first."""
    where, given = (" AND about = ?", (about,)) if about is not None else ("", ())
    rows = tx.rows(
        f"SELECT {_PROPOSAL} FROM bank_proposals WHERE state = 'waiting'{where} ORDER BY proposed_at, id", given
    )
    return [_as(BankProposal, row) for row in rows]


def decide_proposal(tx: Tx, proposal: BankProposal, at: Instant, *, by: str, state: str) -> None:
    """Note what the second person said."""
    tx.change(
        "UPDATE bank_proposals SET state = ?, decided_by = ?, decided_at = ? WHERE id = ?", (state, by, at, proposal.id)
    )
