"""All SQL of appeals."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text

from koban.base import Instant
from koban.db import Tx, metadata
from koban.enforcement.appeals import Appeal, AppealStatus
from koban.enforcement.types import SubjectRef
from koban.packs import Texts

_OPEN: Final = "status = 'open'"

appeals: Final = Table(
    "appeals",
    metadata,
    Column("id", Text, primary_key=True, comment="appeal_… id, made from the entry that opened it."),
    Column("sanction_id", Text, nullable=False, comment="What it is against."),
    Column("subject_kind", Text, nullable=False, comment="Kind of the subject sanctioned."),
    Column("subject_id", Text, nullable=False, comment="Its id."),
    Column("account_kind", Text, nullable=True, comment="Kind of who is behind it."),
    Column("account_id", Text, nullable=True, comment="Whose words the text is, and under whose key it is sealed."),
    Column("channel", Text, nullable=False, comment="link or api."),
    Column("language", Text, nullable=False, comment="ja or en: in which it was written."),
    Column("filed_by", Text, nullable=False, comment="The account by its link, or the token that filed it."),
    Column("filed_at", BigInteger, nullable=False, comment="Log time, in microseconds."),
    Column("case_id", Text, nullable=False, comment="The case in which it is decided."),
    Column("sealed", LargeBinary, nullable=False, comment="What the person wrote, sealed."),
    Column("status", Text, nullable=False, comment="open, upheld or overturned."),
    Column("decided_at", BigInteger, nullable=True, comment="When it was decided."),
    Column("decided_by", Text, nullable=True, comment="By whom: nobody who had a part in the sanction."),
    Column("answer", Text, nullable=False, comment="What the person was answered, in both languages, JSON."),
    Index("appeals_one_open", "sanction_id", unique=True,
          sqlite_where=sqlalchemy.text(_OPEN), postgresql_where=sqlalchemy.text(_OPEN)),
    Index("appeals_sanction", "sanction_id", "id"),
    Index("appeals_account", "account_id", "filed_at"),
    Index("appeals_case", "case_id"),
)  # fmt: skip

_COLUMNS: Final = (
    "id, sanction_id, subject_kind, subject_id, account_kind, account_id, channel, language, filed_by, filed_at,"
    " case_id, status, decided_at, decided_by, answer"
)


def insert(tx: Tx, appeal: Appeal, sealed: bytes) -> None:
    """Store an appeal."""
    account = appeal.account
    tx.many(
        f"INSERT INTO appeals ({_COLUMNS}, sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                appeal.id, appeal.sanction_id, appeal.subject.kind, appeal.subject.id,
                None if account is None else account.kind, None if account is None else account.id, appeal.channel,
                appeal.language, appeal.filed_by, appeal.filed_at, appeal.case_id, appeal.status, None, None,
                msgspec.json.encode(appeal.answer).decode(), sealed,
            )
        ],
    )  # fmt: skip


def decide(tx: Tx, appeal_id: str, at: Instant, *, status: AppealStatus, by: str, answer: Texts) -> None:
    """Note how an appeal ended."""
    tx.change(
        "UPDATE appeals SET status = ?, decided_at = ?, decided_by = ?, answer = ? WHERE id = ? AND status = 'open'",
        (status, at, by, msgspec.json.encode(answer).decode(), appeal_id),
    )


def read(tx: Tx, appeal_id: str) -> Appeal | None:
    """Return an appeal."""
    rows = tx.rows(f"SELECT {_COLUMNS} FROM appeals WHERE id = ?", (appeal_id,))
    return _appeal(rows[0]) if rows else None


def read_sealed(tx: Tx, appeal_id: str) -> bytes | None:
    """Return what the person wrote, as it is sealed."""
    rows = tx.rows("SELECT sealed FROM appeals WHERE id = ?", (appeal_id,))
    return bytes(rows[0][0]) if rows else None


def read_of_sanction(tx: Tx, sanction_id: str) -> list[Appeal]:
    """Return the appeals against a sanction, newest first."""
    rows = tx.rows(f"SELECT {_COLUMNS} FROM appeals WHERE sanction_id = ? ORDER BY id DESC", (sanction_id,))
    return [_appeal(row) for row in rows]


def count_recent(tx: Tx, account_id: str, since: Instant) -> int:
    """Return how many appeals an account has filed since a moment."""
    rows = tx.rows("SELECT count(*) FROM appeals WHERE account_id = ? AND filed_at >= ?", (account_id, since))
    return int(rows[0][0])


def search(tx: Tx, *, before: str | None, limit: int, filters: Mapping[str, str]) -> list[Appeal]:
    """Return appeals, newest first, whose columns have the values given."""
    where = [f"{appeals.c[name].name} = ?" for name in filters]
    values: list[object] = list(filters.values())
    if before is not None:
        where.append("id < ?")
        values.append(before)
    clause = f" WHERE {' AND '.join(where)}" if where else ""
    rows = tx.rows(f"SELECT {_COLUMNS} FROM appeals{clause} ORDER BY id DESC LIMIT ?", (*values, limit))
    return [_appeal(row) for row in rows]


def _appeal(row: Sequence[object]) -> Appeal:
    values = dict(zip(_COLUMNS.replace("\n", " ").split(", "), row, strict=True))
    values["subject"] = SubjectRef(kind=str(values.pop("subject_kind")), id=str(values.pop("subject_id")))
    kind, name = values.pop("account_kind"), values.pop("account_id")
    values["account"] = None if kind is None else SubjectRef(kind=str(kind), id=str(name))
    values["answer"] = msgspec.json.decode(str(values["answer"]))
    return msgspec.convert(values, Appeal)
