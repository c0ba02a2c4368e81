"""The tables of the vault and all SQL on them."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from koban.base import DAY, Instant
from koban.db import Tx, metadata, upsert
from koban.vault.types import Disclosure, Hold

_OVER_FOR: Final = 30 * DAY  # the audit trail keeps it for good

people: Final = Table(
    "vault_people",
    metadata,
    Column("pseudonym", Text, primary_key=True, comment="Keyed pseudonym of the person: no list of account ids."),
    Column("salt", LargeBinary, nullable=False, comment="With the master key it makes the person's key; deleted at erasure."),
    Column("made_at", BigInteger, nullable=False, comment="When the first personal field was sealed."),
    comment="One salt per person; without it nothing of the person can be read again.",
)  # fmt: skip

erasures: Final = Table(
    "vault_erasures",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True, comment="Number."),
    Column("pseudonym", Text, nullable=False, index=True, comment="Who was forgotten, as a keyed pseudonym."),
    Column("erased_at", BigInteger, nullable=False, comment="When the salt was destroyed."),
    Column("erased_by", Text, nullable=False, comment="Id of who did it."),
    comment="That a person was forgotten: to be repeated after a restore.",
)

holds: Final = Table(
    "vault_holds",
    metadata,
    Column("pseudonym", Text, primary_key=True, comment="Whose data must be kept, as a keyed pseudonym."),
    Column("placed_at", BigInteger, nullable=False, comment="When the hold was placed."),
    Column("placed_by", Text, nullable=False, comment="Id of who placed it."),
    Column("reference", Text, nullable=False, comment="Number of the request or order behind it."),
    comment="Legal holds that stand; a lifted one is in the audit trail alone.",
)

dated: Final = Table(
    "vault_dated_keys",
    metadata,
    Column("purpose", Text, primary_key=True, comment="What is sealed: quarantine."),
    Column("day", BigInteger, primary_key=True, comment="Day since 1970-01-01, UTC."),
    Column("salt", LargeBinary, nullable=False, comment="With the master key it makes the day's key; deleted at its retention."),
    comment="Keys of payloads that belong to no known person; deleting a day's row forgets that day.",
)  # fmt: skip

disclosures: Final = Table(
    "vault_disclosures",
    metadata,
    Column("id", Text, primary_key=True, comment="disclosure_… id."),
    Column("staff", Text, nullable=False, comment="Who may see."),
    Column("seq", BigInteger, nullable=False, comment="The log entry."),
    Column("path", Text, nullable=False, comment="The field."),
    Column("case_id", Text, nullable=False, comment="The case for which."),
    Column("opened_at", BigInteger, nullable=False, comment="When it was opened, in microseconds."),
    Column("until_at", BigInteger, nullable=False, comment="Until when it is shown."),
    Index("vault_disclosures_staff", "staff", "seq", "until_at"),
    comment="Personal fields that somebody opened for a case and a purpose, and until when they stay open.",
)

checks: Final = Table(
    "vault_checks",
    metadata,
    Column("name", Text, primary_key=True, comment="Which key: master."),
    Column("digest", LargeBinary, nullable=False, comment="Derived from the key; tells the right file from a wrong one."),
    comment="Lets the vault refuse a wrong or missing key file.",
)  # fmt: skip

INSERT_SALTS: Final = "INSERT INTO vault_people (pseudonym, salt, made_at) VALUES (?, ?, ?)"


class ErasureRow(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure as it was written."""

    id: int
    pseudonym: str
    erased_at: Instant
    erased_by: str


def read_check(tx: Tx) -> bytes | None:
    """Return the digest of the master key that this database was sealed under."""
    found = tx.execute(sqlalchemy.select(checks.c.digest).where(checks.c.name == "master")).scalar()
    return bytes(found) if found is not None else None


def write_check(tx: Tx, digest: bytes) -> None:
    """Remember the digest of the master key."""
    tx.execute(checks.insert().values(name="master", digest=digest))


def read_salts(tx: Tx, pseudonyms: Sequence[str]) -> dict[str, bytes]:
    """Return the salts of these people; who has none is not in the answer."""
    rows = tx.among("SELECT pseudonym, salt FROM vault_people WHERE pseudonym IN (??)", pseudonyms)
    return {str(pseudonym): bytes(salt) for pseudonym, salt in rows}


def delete_salt(tx: Tx, pseudonym: str) -> bool:
    """Destroy a person's salt; tell whether there was one."""
    return tx.execute(people.delete().where(people.c.pseudonym == pseudonym)).rowcount > 0


def insert_erasure(tx: Tx, pseudonym: str, *, erased_at: Instant, erased_by: str) -> None:
    """Write that a person was forgotten."""
    tx.execute(erasures.insert().values(pseudonym=pseudonym, erased_at=erased_at, erased_by=erased_by))


def last_erasure(tx: Tx, pseudonym: str) -> Instant | None:
    """Return when the person was last forgotten."""
    found = tx.execute(
        sqlalchemy.select(sqlalchemy.func.max(erasures.c.erased_at)).where(erasures.c.pseudonym == pseudonym)
    ).scalar()
    return Instant(int(found)) if found is not None else None


def newest_erasure(tx: Tx) -> Instant:
    """Return when somebody was last forgotten; -1 where nobody ever was."""
    found = tx.execute(sqlalchemy.select(sqlalchemy.func.max(erasures.c.erased_at))).scalar()
    return Instant(int(found)) if found is not None else Instant(-1)


def erased_since(tx: Tx, since: Instant) -> list[tuple[str, Instant]]:
    """Return who was forgotten at or after `since`, oldest first."""
    rows = tx.execute(
        sqlalchemy.select(erasures.c.pseudonym, erasures.c.erased_at)
        .where(erasures.c.erased_at >= since)
        .order_by(erasures.c.id)
    )
    return [(str(row.pseudonym), Instant(int(row.erased_at))) for row in rows]


def read_hold(tx: Tx, pseudonym: str) -> Hold | None:
    """Return the legal hold on a person."""
    row = tx.execute(sqlalchemy.select(holds).where(holds.c.pseudonym == pseudonym)).first()
    return _hold(row) if row is not None else None


def list_holds(tx: Tx, *, after: str, limit: int) -> list[Hold]:
    """Return the legal holds that stand, by pseudonym."""
    rows = tx.execute(
        sqlalchemy.select(holds).where(holds.c.pseudonym > after).order_by(holds.c.pseudonym).limit(limit)
    )
    return [_hold(row) for row in rows]


def holds_naming(tx: Tx, word: str, *, placed_by: str) -> list[Hold]:
    """Return somebody's legal holds whose reference has a word."""
    rows = tx.execute(
        sqlalchemy.select(holds).where(
            holds.c.placed_by == placed_by, holds.c.reference.contains(word, autoescape=True)
        )
    )
    return [hold for hold in map(_hold, rows) if word in hold.reference.split()]


def held_pseudonyms(tx: Tx) -> frozenset[str]:
    """Return whom the legal holds that stand are about."""
    return frozenset(str(row[0]) for row in tx.rows("SELECT pseudonym FROM vault_holds"))


def list_erasures(tx: Tx, *, before_id: int | None, limit: int) -> list[ErasureRow]:
    """Return erasures, newest first."""
    query = sqlalchemy.select(erasures).order_by(erasures.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(erasures.c.id < before_id)
    return [
        ErasureRow(
            id=int(row.id),
            pseudonym=str(row.pseudonym),
            erased_at=Instant(int(row.erased_at)),
            erased_by=str(row.erased_by),
        )
        for row in tx.execute(query)
    ]


def write_hold(tx: Tx, hold: Hold) -> None:
    """Place a hold, or change the reference of one that stands."""
    row = {
        "pseudonym": hold.pseudonym,
        "placed_at": hold.placed_at,
        "placed_by": hold.placed_by,
        "reference": hold.reference,
    }
    upsert(tx, holds, [row], keys=["pseudonym"], update=["placed_at", "placed_by", "reference"])


def delete_hold(tx: Tx, pseudonym: str) -> None:
    """Lift a hold."""
    tx.execute(holds.delete().where(holds.c.pseudonym == pseudonym))


def read_dated(tx: Tx, purpose: str, day: int) -> bytes | None:
    """Return the salt of a day."""
    found = tx.rows("SELECT salt FROM vault_dated_keys WHERE purpose = ? AND day = ?", (purpose, day))
    return bytes(found[0][0]) if found else None


def make_dated(tx: Tx, purpose: str, day: int, salt: bytes) -> bytes:
    """Return the salt of a day: this one, unless another process was first."""
    upsert(tx, dated, [{"purpose": purpose, "day": day, "salt": salt}], keys=["purpose", "day"], update=[])
    stored = read_dated(tx, purpose, day)
    assert stored is not None  # it was put in above
    return stored


def delete_dated(tx: Tx, purpose: str, before_day: int) -> int:
    """Destroy the salts of all days before `before_day`; return how many."""
    return tx.execute(dated.delete().where(dated.c.purpose == purpose, dated.c.day < before_day)).rowcount


def _hold(row: Any) -> Hold:  # Any: a row of SQLAlchemy, whose columns are only known at run time
    return Hold(
        pseudonym=str(row.pseudonym),
        placed_at=Instant(int(row.placed_at)),
        placed_by=str(row.placed_by),
        reference=str(row.reference),
    )


def insert_disclosure(tx: Tx, row: Disclosure) -> None:
    """Note that a field stays open for somebody for a while, and forget what is over."""
    tx.execute(disclosures.delete().where(disclosures.c.until_at < row.opened_at - _OVER_FOR))
    tx.execute(disclosures.insert().values(msgspec.structs.asdict(row)))


def open_paths(tx: Tx, *, staff: str, seq: int, at: Instant) -> dict[str, Instant]:
    """Return the fields of an entry that are open for somebody, each with until when."""
    rows = tx.execute(
        sqlalchemy.select(disclosures.c.path, sqlalchemy.func.max(disclosures.c.until_at))
        .where(disclosures.c.staff == staff, disclosures.c.seq == seq, disclosures.c.until_at > at)
        .group_by(disclosures.c.path)
    )
    return {str(row[0]): Instant(int(row[1])) for row in rows}
