"""The table of money that is expected to come in, and all SQL on it."""

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import BigInteger, Column, Index, SmallInteger, Table, Text, text

from koban.banking.types import Expected, ExpectedState
from koban.base import Instant
from koban.db import Tx, metadata, sum_halves, whole_sum
from koban.payments import Kept
from koban.payments import store as payment_store

expected: Final = Table(
    "bank_expected",
    metadata,
    Column("id", Text, primary_key=True, comment="The client's id."),
    Column("reference", Text, nullable=False, unique=True, comment="Number or words that the payment will carry."),
    Column("kind", Text, nullable=False, comment="order or wallet."),
    Column("owner", Text, nullable=False, comment="The order, or the account whose wallet it is."),
    Column("amount_minor", BigInteger, nullable=True, comment="How much; null: whatever comes."),
    Column("currency", Text, nullable=False, comment="ISO 4217 code."),
    Column("level", Text, nullable=True, comment="Verification level, where limits ask for it."),
    Column("reusable", SmallInteger, nullable=False, comment="1: every line with the reference, not one alone."),
    Column("state", Text, nullable=False, comment="waiting, met or cancelled."),
    Column("until", BigInteger, nullable=True, comment="Not expected any more from here, in microseconds."),
    Column("line", Text, nullable=True, comment="The newest line that brought it."),
    Column("made_by", Text, nullable=False, comment="Whose token said so."),
    Column("made_at", BigInteger, nullable=False, comment="When, in microseconds."),
    Index("bank_expected_owner", "kind", "owner"),
    Index("bank_expected_at", "made_at", "id"),
    Index(
        "bank_expected_open",
        "currency",
        "until",
        "amount_minor",
        sqlite_where=text("state = 'waiting' AND reusable = 0"),
        postgresql_where=text("state = 'waiting' AND reusable = 0"),
    ),
    comment="Money that is expected on our accounts at banks: virtual accounts and references.",
)

_COLUMNS: Final = ", ".join(Expected.__struct_fields__)
WORDS_MAX: Final = 40  # of one line


def insert(tx: Tx, new: Expected) -> None:
    """Keep what is expected."""
    values = msgspec.structs.asdict(new) | {"reusable": int(new.reusable)}
    tx.change(f"INSERT INTO bank_expected ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", tuple(values.values()))


def find(tx: Tx, expected_id: str) -> Expected | None:
    """Return what is expected under an id."""
    rows = tx.rows(f"SELECT {_COLUMNS} FROM bank_expected WHERE id = ?", (expected_id,))
    return _as(rows[0]) if rows else None


def of_references(tx: Tx, references: Sequence[str]) -> list[Expected]:
    """Return what is expected under any of these references."""
    found = tx.among(f"SELECT {_COLUMNS} FROM bank_expected WHERE reference IN (??)", list(references[:WORDS_MAX]))
    return sorted((_as(row) for row in found), key=lambda each: each.id)


def change(tx: Tx, expected_id: str, *, state: ExpectedState, line: str | None) -> None:
    """Write what became of it."""
    tx.change("UPDATE bank_expected SET state = ?, line = coalesce(?, line) WHERE id = ?", (state, line, expected_id))


def list_expected(tx: Tx, *, state: str, owner: str, before: tuple[int, str] | None, limit: int) -> list[Expected]:
    """Return what is expected, newest first; empty filters stand for all."""
    where, given = ["1 = 1"], list[str | int]()
    for column, value in (("state", state), ("owner", owner)):
        if value:
            where.append(f"{column} = ?")
            given.append(value)
    if before is not None:
        where.append("(made_at < ? OR (made_at = ? AND id < ?))")
        given.extend((before[0], before[0], before[1]))
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM bank_expected WHERE {' AND '.join(where)} ORDER BY made_at DESC, id DESC LIMIT ?",
        (*given, limit),
    )
    return [_as(row) for row in rows]


def kept_of_order(tx: Tx, order: str) -> list[Kept]:
    """Return what brought an order's money and keeps it: payments, and lines of banks."""
    rows = tx.rows(
        "SELECT line, amount_minor, currency FROM bank_expected WHERE kind = 'order' AND owner = ? AND state = 'met' "
        "AND line IS NOT NULL AND amount_minor IS NOT NULL",
        (order,),
    )
    lines = [Kept(by=line, amount_minor=int(amount), currency=currency) for line, amount, currency in rows]
    return [*payment_store.kept_of_order(tx, order), *lines]


SUM_OPEN: Final = (
    f"SELECT currency, count(*), {sum_halves('amount_minor')}, sum(CASE WHEN amount_minor IS NULL THEN 1 ELSE 0 END) "
    "FROM bank_expected WHERE state = 'waiting' AND reusable = 0 AND (until IS NULL OR until > ?) "
    "GROUP BY currency ORDER BY currency"
)


def sum_open(tx: Tx, at: Instant) -> dict[str, tuple[int, int, int]]:
    """Return by currency what may still come: how many, the sum of those whose amount is known, how many of unknown amount.

    A number that takes every line (`reusable`) promises nothing, so it is in neither.
    """
    rows = tx.rows(SUM_OPEN, (at,))
    return {row[0]: (int(row[1]), whole_sum(row[2], row[3]), int(row[4])) for row in rows}


def is_open(one: Expected, at: Instant) -> bool:
    """Tell whether money may still come under it."""
    return one.state != "cancelled" and (one.until is None or at < one.until)


def _as(row: Sequence[object]) -> Expected:
    return msgspec.convert(dict(zip(Expected.__struct_fields__, row, strict=True)), Expected, strict=False)
