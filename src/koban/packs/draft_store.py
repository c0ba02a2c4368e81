"""Rows of drafts: versions that somebody proposed and nobody has switched to yet."""

import json
import zlib
from collections.abc import Mapping
from typing import ClassVar, Final, Literal

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text

from koban.base import Instant, Refusal
from koban.db import Tx, metadata

DraftState = Literal["open", "activated", "withdrawn"]

_drafts: Final = Table(
    "pack_drafts",
    metadata,
    Column("id", Text, primary_key=True, comment="draft_… id"),
    Column("digest", Text, nullable=False, comment="digest that the version has when it is activated"),
    Column("base", Text, nullable=False, comment="digest of the version that it was made from"),
    Column("files", LargeBinary, nullable=False, comment="JSON of file name to text, zlib-compressed"),
    Column("changes", Text, nullable=False, comment="what it changes, JSON"),
    Column("severe", BigInteger, nullable=False, comment="1: a second person must approve it"),
    Column("author", Text, nullable=False, comment="actor who proposed it"),
    Column("reason", Text, nullable=False, comment="why, in the author's words"),
    Column("proposed_at", BigInteger, nullable=False, comment="when, in microseconds"),
    Column("state", Text, nullable=False, comment="open, activated or withdrawn"),
    Column("decided_by", Text, comment="actor who activated or withdrew it"),
    Column("decided_at", BigInteger, comment="when, in microseconds"),
    Index("pack_drafts_state", "state", "proposed_at"),
    comment="Versions that were proposed: who, why, what they change, and what became of them.",
)


class DraftMissing(Refusal):
    """A draft that is not there, or no longer open."""

    code: ClassVar[str] = "draft_missing"
    status: ClassVar[int] = 404
    title: ClassVar[str] = "There is no such open draft."


class Permit(msgspec.Struct, frozen=True, kw_only=True):
    """Leave to switch to a version; only `koban.lab.drafts` and the first start of an installation give it."""

    base: str  # digest of the version that it was given over; over another one it is worth nothing
    by: str
    reason: str
    ground: str  # ordinary, approved, milder, first
    approved_by: str | None = None
    draft_id: str | None = None


class Switched(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a version that was brought in: it decides from `seq` on, or waits as a draft for a second person."""

    digest: str
    seq: int | None = None
    draft: str | None = None
    needs: tuple[str, ...] = ()  # what a second person must look at
    unchanged: bool = False  # it was in force already, from `seq` on: nothing was switched


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A version that somebody proposed."""

    id: str
    digest: str
    base: str
    changes: tuple[str, ...]
    severe: bool
    author: str
    reason: str
    proposed_at: Instant
    state: DraftState = "open"
    decided_by: str | None = None
    decided_at: Instant | None = None


def insert_draft(tx: Tx, draft: Draft, files: Mapping[str, str]) -> None:
    """Keep a draft."""
    values = msgspec.structs.asdict(draft)
    text = json.dumps(dict(files), ensure_ascii=False, sort_keys=True)
    values |= {
        "changes": json.dumps(draft.changes, ensure_ascii=False),
        "severe": int(draft.severe),
        "files": zlib.compress(text.encode(), level=6),
    }
    tx.execute(sqlalchemy.insert(_drafts), values)


def read_draft(tx: Tx, draft_id: str) -> tuple[Draft, Mapping[str, str]]:
    """Return an open draft and its files.

    Refuses: DraftMissing.
    """
    statement = sqlalchemy.select(_drafts).where(_drafts.c.id == draft_id, _drafts.c.state == "open")
    row = tx.execute(statement).mappings().one_or_none()
    if row is None:
        raise DraftMissing(f"No draft {draft_id[:60]!r} is open.")
    files: Mapping[str, str] = json.loads(zlib.decompress(row["files"]))
    return _draft(dict(row)), files


def find_open(tx: Tx, *, digest: str, base: str) -> Draft | None:
    """Return the open draft that says the same over the same version."""
    statement = sqlalchemy.select(_drafts).where(
        _drafts.c.digest == digest, _drafts.c.base == base, _drafts.c.state == "open"
    )
    row = tx.execute(statement.order_by(_drafts.c.proposed_at, _drafts.c.id).limit(1)).mappings().one_or_none()
    return None if row is None else _draft(dict(row))


def read_drafts(tx: Tx, *, limit: int = 50) -> list[Draft]:
    """List drafts, open ones first, the newest of each before the older ones."""
    order = (_drafts.c.state != "open", _drafts.c.proposed_at.desc(), _drafts.c.id)
    rows = tx.execute(sqlalchemy.select(_drafts).order_by(*order).limit(limit)).mappings()
    return [_draft(dict(row)) for row in rows]


def close_draft(tx: Tx, draft_id: str, at: Instant, *, by: str, state: DraftState) -> None:
    """Say what became of a draft; one that is no longer open is refused.

    Refuses: DraftMissing.
    """
    statement = (
        sqlalchemy.update(_drafts)
        .where(_drafts.c.id == draft_id, _drafts.c.state == "open")
        .values(state=state, decided_by=by, decided_at=at)
    )
    if not tx.execute(statement).rowcount:
        raise DraftMissing(f"No draft {draft_id[:60]!r} is open.")


def _draft(row: dict[str, object]) -> Draft:
    row.pop("files")
    row |= {"changes": tuple(json.loads(str(row["changes"]))), "severe": bool(row["severe"])}
    return Draft(**row)  # type: ignore[arg-type]  # columns by name
