"""Rows of labels: each says what one source held true from one log entry on."""

from collections.abc import Iterator, Sequence
from typing import Final

import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, RowMapping, Table, Text

from koban.base import Instant
from koban.db import Tx, metadata
from koban.labels.types import LabelRow, LabelSet, LabelSource

_labels: Final = Table(
    "labels",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="log entry that set it"),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False, comment="which of the labels that it set"),
    Column("at", BigInteger, nullable=False, comment="log time, microseconds UTC"),
    Column("subject_kind", Text, nullable=False, comment="account, listing, order, …"),
    Column("subject_id", Text, nullable=False, comment="the subject's id; a pseudonym where the kind is personal"),
    Column("label", Text, nullable=False, comment="what is said: truth, …"),
    Column("value", Text, comment="for truth: fraud or honest; null when the source takes its word back"),
    Column("source", Text, nullable=False, comment="person, import or automation"),
    Column("set_by", Text, nullable=False, comment="actor"),
    Column("note", Text, nullable=False, comment="why, in the actor's words"),
    Column("expires_at", BigInteger, comment="log time from which it no longer counts; null: never"),
    Index("labels_by_subject", "subject_kind", "subject_id"),
    comment="Ground truth and other labels of subjects; corrections are new rows.",
)


def insert(tx: Tx, seq: int, at: Instant, change: LabelSet, *, ordinal: int = 0) -> None:
    """Add one row."""
    row = {
        "seq": seq,
        "ordinal": ordinal,
        "at": at,
        "subject_kind": change.subject_kind,
        "subject_id": change.subject_id,
        "label": change.label,
        "value": change.value,
        "source": change.source.value,
        "set_by": change.by,
        "note": change.note,
        "expires_at": change.expires_at,
    }
    tx.execute(sqlalchemy.insert(_labels), row)


def all_labels(tx: Tx) -> Iterator[LabelRow]:
    """Read every row in log order: what the live view is folded from."""
    rows = tx.execute(sqlalchemy.select(_labels).order_by(_labels.c.seq, _labels.c.ordinal))
    return (_row(row) for row in rows.mappings())


def labels_of(tx: Tx, subject_kind: str, subject_id: str, *, limit: int = 100) -> Sequence[LabelRow]:
    """Read the rows of one subject, newest first."""
    statement = (
        sqlalchemy.select(_labels)
        .where(_labels.c.subject_kind == subject_kind, _labels.c.subject_id == subject_id)
        .order_by(_labels.c.seq.desc(), _labels.c.ordinal.desc())
        .limit(limit)
    )
    return [_row(row) for row in tx.execute(statement).mappings()]


def _row(row: RowMapping) -> LabelRow:
    return LabelRow(
        seq=row["seq"],
        at=row["at"],
        subject_kind=row["subject_kind"],
        subject_id=row["subject_id"],
        label=row["label"],
        value=row["value"],
        source=LabelSource(row["source"]),
        set_by=row["set_by"],
        note=row["note"],
        expires_at=row["expires_at"],
    )
