"""The tables of the audit trail and all SQL on them."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table, Text

from koban.audit.logic import written_id
from koban.audit.types import AuditEntry, Detail
from koban.base import Instant
from koban.db import Tx, metadata

_CHUNK: Final = 1_000

entries: Final = Table(
    "audit_entries",
    metadata,
    Column(
        "id",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
        comment="Given by the database; says nothing about order.",
    ),
    Column("recorded_at", BigInteger, nullable=False, comment="When the transaction that did it took its time."),
    Column("actor", Text, nullable=False, comment="Id of the member of staff, the token, or koban."),
    Column("action", Text, nullable=False, comment="What was done: a dotted name such as token.issued."),
    Column("object_id", Text, nullable=False, comment="Id of what it was done to."),
    Column("details", Text, nullable=False, comment="JSON object of ids, names, numbers and salted commitments."),
    Column("position", BigInteger, unique=True, comment="Place in the chain, from 1; null until sealed."),
    Column("previous_hash", Text, comment="Hash of the entry before; null until sealed."),
    Column("hash", Text, comment="SHA-256 over everything else in the row; null until sealed."),
    sqlalchemy.Index("audit_entries_by_object", "object_id", "id"),
    sqlalchemy.Index("audit_entries_by_actor", "actor", "id"),
    comment="Who did what; written in the transaction that did it.",
)

head: Final = Table(
    "audit_head",
    metadata,
    Column("name", Text, primary_key=True, comment="Always `head`: there is one chain."),
    Column("position", BigInteger, nullable=False, comment="Position of the last sealed entry."),
    Column("hash", Text, nullable=False, comment="Hash of the last sealed entry."),
    comment="Where the chain ends; locked by whoever seals.",
)

salts: Final = Table(
    "audit_salts",
    metadata,
    Column("entry_id", BigInteger, primary_key=True, comment="The entry that holds a commitment."),
    Column("field", Text, primary_key=True, comment="Which detail is a commitment."),
    Column("salt", LargeBinary, nullable=False, comment="Random; destroying it makes the commitment meaningless."),
    comment="Salts of commitments to personal values; erasable without breaking the chain.",
)


class SealedRow(msgspec.Struct, frozen=True, kw_only=True):
    """An entry with what the sealer wrote beside it."""

    entry: AuditEntry
    details_json: str
    previous_hash: str
    hash: str


def insert_entry(
    tx: Tx, *, recorded_at: Instant, actor: str, action: str, object_id: str, details: dict[str, Detail]
) -> int:
    """Write an entry that is not sealed yet and return its id."""
    written = msgspec.json.encode(details, order="deterministic").decode()
    found = tx.rows(
        "INSERT INTO audit_entries (recorded_at, actor, action, object_id, details) VALUES (?, ?, ?, ?, ?) RETURNING id",
        (recorded_at, actor, action, object_id, written),
    )
    return int(found[0][0])


def insert_salts(tx: Tx, entry_id: int, fields: dict[str, bytes]) -> None:
    """Keep the salts of an entry's commitments."""
    tx.execute(salts.insert(), [{"entry_id": entry_id, "field": name, "salt": salt} for name, salt in fields.items()])


def salt_of(tx: Tx, entry_id: int, field: str) -> bytes | None:
    """Return the salt of one commitment, if it still stands."""
    found = tx.execute(
        sqlalchemy.select(salts.c.salt).where(salts.c.entry_id == entry_id, salts.c.field == field)
    ).scalar()
    return bytes(found) if found is not None else None


def lock_head(tx: Tx) -> tuple[int, str] | None:
    """Return where the chain ends and keep every other sealer waiting until this transaction is over."""
    row = tx.execute(
        sqlalchemy.select(head.c.position, head.c.hash).where(head.c.name == "head").with_for_update()
    ).first()
    return (int(row.position), str(row.hash)) if row is not None else None


def read_head(tx: Tx) -> tuple[int, str] | None:
    """Return where the chain ends."""
    row = tx.execute(sqlalchemy.select(head.c.position, head.c.hash).where(head.c.name == "head")).first()
    return (int(row.position), str(row.hash)) if row is not None else None


def move_head(tx: Tx, position: int, chain_hash: str) -> None:
    """Write where the chain ends now."""
    tx.execute(head.update().where(head.c.name == "head").values(position=position, hash=chain_hash))


def unsealed(tx: Tx, limit: int) -> list[tuple[AuditEntry, str]]:
    """Return entries that wait for the sealer, with the text of their details."""
    rows = tx.execute(
        sqlalchemy.select(entries).where(entries.c.position.is_(None)).order_by(entries.c.id).limit(limit)
    )
    return [(_entry(row), str(row.details)) for row in rows]


def write_seals(tx: Tx, seals: Sequence[tuple[int, str, str, int]]) -> None:
    """Write (position, previous hash, hash) of entries by id."""
    tx.many("UPDATE audit_entries SET position = ?, previous_hash = ?, hash = ? WHERE id = ?", seals)


def waiting(tx: Tx) -> tuple[int, Instant | None]:
    """Return how many entries wait for the sealer, and since when."""
    row = tx.execute(
        sqlalchemy.select(sqlalchemy.func.count(), sqlalchemy.func.min(entries.c.recorded_at)).where(
            entries.c.position.is_(None)
        )
    ).one()
    return int(row[0]), Instant(int(row[1])) if row[1] is not None else None


def walk(tx: Tx) -> Iterator[SealedRow]:
    """Yield all sealed entries in the order of the chain, a chunk in memory at a time."""
    after = -(2**62)
    while True:
        rows = tx.execute(
            sqlalchemy.select(entries).where(entries.c.position > after).order_by(entries.c.position).limit(_CHUNK)
        ).all()
        for row in rows:
            yield SealedRow(
                entry=_entry(row),
                details_json=str(row.details),
                previous_hash=str(row.previous_hash),
                hash=str(row.hash),
            )
        if len(rows) < _CHUNK:
            return
        after = int(rows[-1].position)


def list_entries(
    tx: Tx,
    *,
    before_id: int | None,
    limit: int,
    actor: str | None,
    action: str | None,
    object_id: str | None,
    since_at: Instant | None = None,
    until_at: Instant | None = None,
) -> list[AuditEntry]:
    """Return entries, newest first; an action that ends with a dot stands for all that begin so."""
    query = sqlalchemy.select(entries).order_by(entries.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(entries.c.id < before_id)
    if actor is not None:
        query = query.where(entries.c.actor == actor)
    if action is not None:
        query = query.where(entries.c.action.startswith(action) if action.endswith(".") else entries.c.action == action)
    if since_at is not None:
        query = query.where(entries.c.recorded_at >= since_at)
    if until_at is not None:
        query = query.where(entries.c.recorded_at < until_at)
    if object_id is not None:
        query = query.where(entries.c.object_id == written_id(object_id))
    return [_entry(row) for row in tx.execute(query)]


def _entry(row: Any) -> AuditEntry:  # Any: a row of SQLAlchemy, whose columns are only known at run time
    return AuditEntry(
        id=int(row.id),
        position=int(row.position) if row.position is not None else None,
        recorded_at=Instant(int(row.recorded_at)),
        actor=str(row.actor),
        action=str(row.action),
        object_id=str(row.object_id),
        details=_details(str(row.details)),
    )


def _details(text: str) -> dict[str, Detail]:
    try:
        return msgspec.json.decode(text, type=dict[str, Detail])
    except msgspec.DecodeError:
        return {}  # somebody changed the row by hand; `verify` will name it, and the list must still be shown
