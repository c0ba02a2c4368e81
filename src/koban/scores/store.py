"""Rows of scores: each says what one model held true of a subject from one log entry on."""

from collections.abc import Iterator, Sequence
from typing import Final

import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, RowMapping, Table, Text

from koban.base import Instant
from koban.db import Tx, metadata
from koban.scores.types import ScoreRecorded, ScoreRow

_scores: Final = Table(
    "scores",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="log entry that recorded it"),
    Column("at", BigInteger, nullable=False, comment="log time, microseconds UTC"),
    Column("name", Text, nullable=False, comment="the score's name, as the pack declares it"),
    Column("subject_kind", Text, nullable=False, comment="account, listing, order, …"),
    Column("subject_id", Text, nullable=False, comment="the subject's id; a pseudonym where the kind is personal"),
    Column("score", BigInteger, nullable=False, comment="millionths, 0 to 1,000,000"),
    Column("model", Text, nullable=False, comment="version of the model that gave it"),
    Column("recorded_by", Text, nullable=False, comment="actor"),
    Column("expires_at", BigInteger, comment="log time from which it no longer counts; null: never"),
    Index("scores_by_subject", "subject_kind", "subject_id"),
    comment="What models outside said of subjects; the newest row of a name and subject counts.",
)


def insert(tx: Tx, seq: int, at: Instant, change: ScoreRecorded) -> None:
    """Add one row."""
    row = {
        "seq": seq,
        "at": at,
        "name": change.name,
        "subject_kind": change.subject_kind,
        "subject_id": change.subject_id,
        "score": change.score,
        "model": change.model,
        "recorded_by": change.by,
        "expires_at": change.expires_at,
    }
    tx.execute(sqlalchemy.insert(_scores), row)


def all_scores(tx: Tx) -> Iterator[ScoreRow]:
    """Read every row in log order: what the live view is folded from, and what backtests read as of each event."""
    rows = tx.execute(sqlalchemy.select(_scores).order_by(_scores.c.seq))
    return (_row(row) for row in rows.mappings())


def scores_of(tx: Tx, subject_kind: str, subject_id: str, *, limit: int = 100) -> Sequence[ScoreRow]:
    """Read the rows of one subject, newest first."""
    statement = (
        sqlalchemy.select(_scores)
        .where(_scores.c.subject_kind == subject_kind, _scores.c.subject_id == subject_id)
        .order_by(_scores.c.seq.desc())
        .limit(limit)
    )
    return [_row(row) for row in tx.execute(statement).mappings()]


def _row(row: RowMapping) -> ScoreRow:
    return ScoreRow(
        seq=row["seq"],
        at=row["at"],
        name=row["name"],
        subject_kind=row["subject_kind"],
        subject_id=row["subject_id"],
        score=row["score"],
        model=row["model"],
        recorded_by=row["recorded_by"],
        expires_at=row["expires_at"],
    )
