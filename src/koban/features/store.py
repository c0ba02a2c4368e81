"""All SQL of feature state: records, slices of them, their layouts, and how far they are written back."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text

from koban.db import RowNumber, Tx, metadata

PAGE: Final = 20_000  # records read at once at the start
SLICES_PAGE: Final = 50  # slices read at once

feature_state = Table(
    "feature_state",
    metadata,
    Column("kind", Text, primary_key=True, comment="Kind of subject: account, device, listing, …"),
    Column("subject", Text, primary_key=True, comment="Id of the subject, as events name it."),
    Column("as_of_seq", BigInteger, nullable=False, comment="The record holds the effects of all entries up to this."),
    Column("record", LargeBinary, nullable=False, comment="The subject's cells, packed; see koban.features.records."),
    comment="Windowed state of one subject, shared by all features of its kind.",
)

feature_slices = Table(
    "feature_slices",
    metadata,
    Column("number", RowNumber, primary_key=True, autoincrement=False, comment="In the order of their writing."),
    Column("as_of_seq", BigInteger, nullable=False, comment="Its records hold the effects of all entries up to this."),
    Column("records", LargeBinary, nullable=False, comment="Kind, subject and cells of each record, packed."),
    comment="Records written back and not yet folded into feature_state; the newest slice that holds one counts.",
)

feature_layout = Table(
    "feature_layout",
    metadata,
    Column("kind", Text, primary_key=True, comment="Kind of subject whose records are laid out like this."),
    Column("version", BigInteger, primary_key=True, comment="Named by the first element of a packed record."),
    Column("since_seq", BigInteger, nullable=False, comment="Sequence number of the switch that brought it."),
    Column(
        "cells", Text, nullable=False, comment="JSON: fingerprint and first sequence number of each cell, in order."
    ),
    comment="What the places of packed feature records mean; rows are never changed.",
)

feature_watermark = Table(
    "feature_watermark",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False, comment="Always 1: one decider owns the state."),
    Column(
        "seq",
        BigInteger,
        nullable=False,
        comment="Effects of all entries up to this one are in feature_state and feature_slices.",
    ),
    comment="Where recovery starts to replay.",
)

CellId = tuple[str, int]  # fingerprint, and the sequence number since which it has been kept without a gap


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The meaning of the places of one kind's records, in force from `since_seq` until the next layout."""

    kind: str
    version: int
    since_seq: int
    cells: tuple[CellId, ...]


def read_watermark(tx: Tx) -> int:
    """Return the sequence number up to which all effects are stored; 0 before the first write."""
    rows = tx.rows("SELECT seq FROM feature_watermark WHERE id = 1")
    return int(rows[0][0]) if rows else 0


def save_watermark(tx: Tx, seq: int) -> None:
    """Store how far feature state is written back."""
    tx.change(
        "INSERT INTO feature_watermark (id, seq) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET seq = excluded.seq",
        (seq,),
    )


def read_layouts(tx: Tx) -> list[Layout]:
    """Return all layouts, oldest first."""
    return [
        Layout(kind=kind, version=version, since_seq=since, cells=msgspec.json.decode(cells, type=tuple[CellId, ...]))
        for kind, version, since, cells in tx.rows(
            "SELECT kind, version, since_seq, cells FROM feature_layout ORDER BY kind, version"
        )
    ]


def save_layout(tx: Tx, layout: Layout) -> None:
    """Store a new layout."""
    tx.execute(
        sqlalchemy.insert(feature_layout),
        {
            "kind": layout.kind,
            "version": layout.version,
            "since_seq": layout.since_seq,
            "cells": msgspec.json.encode(layout.cells).decode(),
        },
    )


def count_records(tx: Tx, most: int) -> int:
    """Count the stored records, giving up at `most`."""
    return int(tx.rows("SELECT count(*) FROM (SELECT 1 FROM feature_state LIMIT ?) AS found", (most,))[0][0])


def read_records(tx: Tx) -> Iterator[tuple[str, str, int, bytes]]:
    """Return every stored record: kind, subject, as_of_seq, packed record."""
    kind, subject = "", ""
    while True:
        page = tx.rows(
            "SELECT kind, subject, as_of_seq, record FROM feature_state WHERE (kind, subject) > (?, ?)"
            " ORDER BY kind, subject LIMIT ?",
            (kind, subject, PAGE),
        )
        yield from page
        if len(page) < PAGE:
            return
        kind, subject = page[-1][0], page[-1][1]


def read_record(tx: Tx, kind: str, subject: str) -> tuple[int, bytes] | None:
    """Return one stored record with its as_of_seq."""
    rows = tx.rows("SELECT as_of_seq, record FROM feature_state WHERE kind = ? AND subject = ?", (kind, subject))
    return (rows[0][0], rows[0][1]) if rows else None


def pairs_of(tx: Tx, kind: str, subject: str) -> list[str]:
    """Return the stored pairs of a kind that may hold a subject: those that begin or end with its id.

    Why the end is counted from the beginning: to PostgreSQL, a place below 1 lies before the text, not at its end.
    """
    rows = tx.rows(
        "SELECT subject FROM feature_state WHERE kind = ?"
        " AND (substr(subject, 1, ?) = ? OR substr(subject, length(subject) + 1 - ?) = ?)",
        (kind, len(f"{len(subject)}:{subject}"), f"{len(subject)}:{subject}", len(subject), subject),
    )
    return [str(row[0]) for row in rows]


def subjects_of(tx: Tx, kind: str) -> list[str]:
    """Return every subject of a kind that has a stored record."""
    return [str(row[0]) for row in tx.rows("SELECT subject FROM feature_state WHERE kind = ?", (kind,))]


def save_records(tx: Tx, rows: Iterable[tuple[str, str, int, bytes]]) -> None:
    """Write records back: kind, subject, as_of_seq, packed record.

    Neighbours in the table are written one after the other, which costs a sixth less.
    """
    tx.many(
        "INSERT INTO feature_state (kind, subject, as_of_seq, record) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (kind, subject) DO UPDATE SET as_of_seq = excluded.as_of_seq, record = excluded.record",
        sorted(rows),
    )


def read_slices(tx: Tx) -> Iterator[tuple[int, int, bytes]]:
    """Return every slice, oldest first: number, as_of_seq, packed records."""
    number = 0
    while page := tx.rows(
        "SELECT number, as_of_seq, records FROM feature_slices WHERE number > ? ORDER BY number LIMIT ?",
        (number, SLICES_PAGE),
    ):
        yield from page
        number = page[-1][0]


def read_slice(tx: Tx, number: int) -> tuple[int, bytes]:
    """Return one slice: as_of_seq, packed records."""
    as_of_seq, packed = tx.rows("SELECT as_of_seq, records FROM feature_slices WHERE number = ?", (number,))[0]
    return as_of_seq, packed


def save_slice(tx: Tx, number: int, as_of_seq: int, packed: bytes) -> None:
    """Store a slice under a number above that of every other, or in the place of one that was deleted."""
    tx.change("INSERT INTO feature_slices (number, as_of_seq, records) VALUES (?, ?, ?)", (number, as_of_seq, packed))


def delete_slice(tx: Tx, number: int) -> None:
    """Delete one slice."""
    tx.change("DELETE FROM feature_slices WHERE number = ?", (number,))


def delete_record(tx: Tx, kind: str, subject: str) -> None:
    """Delete one record."""
    tx.execute(sqlalchemy.delete(feature_state).where(feature_state.c.kind == kind, feature_state.c.subject == subject))
