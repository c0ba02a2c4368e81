"""Rows of lists: every addition and removal, never changed back."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, Table, Text

from koban.base import Instant
from koban.db import Tx, metadata
from koban.lists.types import EntriesAdded, EntryRemoved, ListEntry

_entries: Final = Table(
    "list_entries",
    metadata,
    Column("list", Text, primary_key=True, comment="name of the list in the pack"),
    Column("value", Text, primary_key=True, comment="the value or phrase; a pseudonym where the kind is personal"),
    Column("added_seq", BigInteger, primary_key=True, autoincrement=False, comment="log entry that added it"),
    Column("note", Text, nullable=False, comment="why it was added, or, for a value of the pack, taken off"),
    Column("added_by", Text, nullable=False, comment="actor; 'pack' for a value of the pack that was taken off"),
    Column("added_at", BigInteger, nullable=False, comment="log time, microseconds UTC"),
    Column("expires_at", BigInteger, comment="log time from which it no longer counts; null: never"),
    Column("removed_by", Text, comment="actor who took it off, or put it on again with another expiry"),
    Column("removed_seq", BigInteger, comment="log entry that took it off; null while it is on"),
    Column("removed_at", BigInteger, comment="log time, microseconds UTC"),
    Index("list_entries_by_seq", "added_seq"),
    comment="Values that people and playbooks put on lists or took off them, beside those that the pack brings.",
)


def insert_added(tx: Tx, seq: int, at: Instant, change: EntriesAdded) -> None:
    """Add rows for the values; a value that is on already gets its older row closed by the same log entry."""
    for value in change.values:
        _close(tx, seq, at, name=change.list, value=value, by=change.by)
    rows = [
        {
            "list": change.list,
            "value": value,
            "added_seq": seq,
            "note": change.note,
            "added_by": change.by,
            "added_at": at,
            "expires_at": change.expires_at,
        }
        for value in change.values
    ]
    tx.execute(sqlalchemy.insert(_entries), rows)


def insert_removed(tx: Tx, seq: int, at: Instant, change: EntryRemoved) -> None:
    """Close the value's open row; a value that only the pack brings gets a row that says it is off."""
    if _close(tx, seq, at, name=change.list, value=change.value, by=change.by):
        return
    row = ListEntry(
        list=change.list,
        value=change.value,
        note=change.note,
        added_by="pack",
        added_seq=seq,
        added_at=at,
        expires_at=None,
        removed_by=change.by,
        removed_seq=seq,
        removed_at=at,
    )
    tx.execute(sqlalchemy.insert(_entries), msgspec.structs.asdict(row))


def _close(tx: Tx, seq: int, at: Instant, *, name: str, value: str, by: str) -> bool:
    statement = (
        sqlalchemy.update(_entries)
        .where(_entries.c.list == name, _entries.c.value == value, _entries.c.removed_seq.is_(None))
        .values(removed_by=by, removed_seq=seq, removed_at=at)
    )
    return tx.execute(statement).rowcount > 0


def all_entries(tx: Tx) -> Iterator[ListEntry]:
    """Read every row in log order: what the live view is folded from."""
    rows = tx.execute(sqlalchemy.select(_entries).order_by(_entries.c.added_seq))
    return (ListEntry(**row) for row in rows.mappings())


def entries_of(tx: Tx, name: str, *, limit: int, after: tuple[str, int] = ("", -1)) -> Sequence[ListEntry]:
    """Read a page of one list's rows, removed ones too, by value and log entry; `after` is the last row's key."""
    key = sqlalchemy.tuple_(_entries.c.value, _entries.c.added_seq)
    statement = (
        sqlalchemy.select(_entries)
        .where(_entries.c.list == name, key > sqlalchemy.tuple_(*map(sqlalchemy.literal, after)))
        .order_by(_entries.c.value, _entries.c.added_seq)
        .limit(limit)
    )
    return [ListEntry(**row) for row in tx.execute(statement).mappings()]


def expiring(tx: Tx, *, after: Instant, until: Instant, by: str | None, limit: int) -> Sequence[ListEntry]:
    """Read rows that are on and end between two moments, the soonest first."""
    statement = sqlalchemy.select(_entries).where(
        _entries.c.removed_seq.is_(None), _entries.c.expires_at > after, _entries.c.expires_at <= until
    )
    if by is not None:
        statement = statement.where(_entries.c.added_by == by)
    order = (_entries.c.expires_at, _entries.c.list, _entries.c.value)
    return [ListEntry(**row) for row in tx.execute(statement.order_by(*order).limit(limit)).mappings()]
