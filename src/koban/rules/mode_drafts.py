"""Rows of drafts of modes and expectations: a rule under a severe policy that somebody wants to act on more people."""

from typing import ClassVar, Final, Literal

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from koban.base import Instant, Refusal
from koban.db import Tx, metadata
from koban.packs import Mode, ModeName
from koban.rules.expect import ceiling_of

_drafts: Final = Table(
    "mode_drafts",
    metadata,
    Column("id", Text, primary_key=True, comment="modedraft_… id"),
    Column("what", Text, nullable=False, server_default="mode", comment="mode or expectation"),
    Column("rule", Text, nullable=False, comment="name of the rule"),
    Column("mode", Text, comment="mode that it is to have; NULL: the pack's"),
    Column("basis_points", Integer, nullable=False, comment="share of accounts for which it is live, in 1/100 %"),
    Column("people", BigInteger, comment="people expected, where an expectation is proposed"),
    Column("hours", BigInteger, comment="in so many hours"),
    Column("base", Text, nullable=False, comment="digest of the pack version whose condition was looked at"),
    Column("author", Text, nullable=False, comment="actor who proposed it"),
    Column("reason", Text, nullable=False, comment="why, in the author's words"),
    Column("proposed_at", BigInteger, nullable=False, comment="when, in microseconds"),
    Column("state", Text, nullable=False, comment="open, activated or withdrawn"),
    Column("decided_by", Text, comment="actor who approved or withdrew it"),
    Column("decided_at", BigInteger, comment="when, in microseconds"),
    Index("mode_drafts_state", "state", "proposed_at"),
    comment="Modes and expectations of severe rules that were proposed: who, why, and what became of them.",
)


class ModeDraftMissing(Refusal):
    """A draft of a mode that is not there, or no longer open."""

    code: ClassVar[str] = "mode_draft_missing"
    status: ClassVar[int] = 404
    title: ClassVar[str] = "There is no such open draft of a mode."


class ModeDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A mode, or what is to be expected, that somebody proposed for a severe rule."""

    id: str
    what: Literal["mode", "expectation"] = "mode"
    rule: str
    mode: ModeName | None = None
    basis_points: int = 10_000
    people: int | None = None
    hours: int | None = None
    base: str
    author: str
    reason: str
    proposed_at: Instant
    state: Literal["open", "activated", "withdrawn"] = "open"
    decided_by: str | None = None
    decided_at: Instant | None = None

    @property
    def to(self) -> Mode | None:
        """Return the mode that the rule is to have; None follows the pack."""
        return None if self.mode is None else Mode(name=self.mode, basis_points=self.basis_points)

    @property
    def ceiling(self) -> int | None:
        """Return the ceiling that follows from what is to be expected; None for a mode."""
        return None if self.people is None or self.hours is None else ceiling_of(self.people, self.hours)

    def asks_the_same(self, other: "ModeDraft") -> bool:
        """Tell whether another draft proposes the same over the same version."""
        mine = (self.what, self.rule, self.to, self.people, self.hours, self.base)
        return mine == (other.what, other.rule, other.to, other.people, other.hours, other.base)


class ModeTaken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a change: it holds from `seq` on, or waits as a draft for a second person."""

    seq: int | None = None
    draft: str | None = None


def insert_mode_draft(tx: Tx, draft: ModeDraft) -> None:
    """Keep a draft."""
    values = msgspec.structs.asdict(draft)
    tx.execute(sqlalchemy.insert(_drafts), values | {"mode": None if draft.mode is None else draft.mode.value})


def read_mode_draft(tx: Tx, draft_id: str) -> ModeDraft:
    """Return an open draft.

    Refuses: ModeDraftMissing.
    """
    statement = sqlalchemy.select(_drafts).where(_drafts.c.id == draft_id, _drafts.c.state == "open")
    row = tx.execute(statement).mappings().one_or_none()
    if row is None:
        raise ModeDraftMissing(f"No draft {draft_id[:60]!r} of a mode is open.")
    return _draft(dict(row))


def read_mode_drafts(tx: Tx, *, limit: int = 50) -> list[ModeDraft]:
    """List drafts, open ones first, the newest of each before the older ones."""
    order = (_drafts.c.state != "open", _drafts.c.proposed_at.desc(), _drafts.c.id)
    return [
        _draft(dict(row)) for row in tx.execute(sqlalchemy.select(_drafts).order_by(*order).limit(limit)).mappings()
    ]


def open_mode_drafts(tx: Tx, *, rule: str | None = None, limit: int = 50) -> list[ModeDraft]:
    """List what waits, of one rule or of all, the newest first."""
    statement = sqlalchemy.select(_drafts).where(_drafts.c.state == "open")
    if rule is not None:
        statement = statement.where(_drafts.c.rule == rule)
    rows = tx.execute(statement.order_by(_drafts.c.proposed_at.desc(), _drafts.c.id).limit(limit)).mappings()
    return [_draft(dict(row)) for row in rows]


def close_mode_draft(tx: Tx, draft_id: str, at: Instant, *, by: str, state: Literal["activated", "withdrawn"]) -> None:
    """Say what became of a draft; one that is no longer open is refused.

    Refuses: ModeDraftMissing.
    """
    statement = (
        sqlalchemy.update(_drafts)
        .where(_drafts.c.id == draft_id, _drafts.c.state == "open")
        .values(state=state, decided_by=by, decided_at=at)
    )
    if not tx.execute(statement).rowcount:
        raise ModeDraftMissing(f"No draft {draft_id[:60]!r} of a mode is open.")


def _draft(row: dict[str, object]) -> ModeDraft:
    return msgspec.convert({str(name): value for name, value in row.items()}, ModeDraft)
