"""Whose a list is: the member of staff who answers for it as a whole, with everybody who did before.

Decisions never read this, so it is no entry of the log; each change is a row of its own and an audit row.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar, Final

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, Table, Text

from koban.base import Instant, Problem, Refusal
from koban.base.characters import says_something
from koban.db import Tx, metadata
from koban.lists.types import NOTE_CHARS_MAX, check_declared

OWNERS_SHOWN: Final = 50

_owners: Final = Table(
    "list_owners",
    metadata,
    Column("list", Text, primary_key=True, comment="name of the list in the pack"),
    Column("number", BigInteger, primary_key=True, autoincrement=False, comment="1, 2, … for each list"),
    Column("owner", Text, comment="member of staff who answers for it from here on; null: nobody"),
    Column("set_by", Text, nullable=False, comment="actor"),
    Column("set_at", BigInteger, nullable=False, comment="microseconds UTC"),
    Column("reason", Text, nullable=False, comment="why, in the actor's words"),
    comment="Who answers for a list as a whole, and who did.",
)


class ListOwner(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who was made the owner of a list; None: from there on it had none."""

    list: str
    number: int
    owner: str | None
    set_by: str
    set_at: Instant
    reason: str


class ListOwnerInvalid(Refusal):
    """An owner that a list cannot have."""

    code: ClassVar[str] = "list_owner_invalid"
    status: ClassVar[int] = 422
    title: ClassVar[str] = "The list cannot have this owner."


def set_owner(
    tx: Tx,
    at: Instant,
    name: str,
    owner: str | None,
    *,
    by: str,
    reason: str,
    declared: Collection[str],
    staff: Collection[str],
) -> ListOwner:
    """Make somebody of the staff the owner of a list, or nobody. `staff` are those who may sign in.

    Refuses: ListMissing, ListOwnerInvalid.
    """
    check_declared(declared, name)
    problems = []
    if owner is not None and owner not in staff:
        problems.append(Problem(path="/owner", detail="There is no such active member of staff."))
    if not says_something(reason) or len(reason) > NOTE_CHARS_MAX:
        problems.append(Problem(path="/reason", detail=f"Say why, in at most {NOTE_CHARS_MAX} characters."))
    if problems:
        raise ListOwnerInvalid("Nothing was changed.", problems=tuple(problems))
    before = owners_of(tx, name, limit=1)
    new = ListOwner(
        list=name, number=before[0].number + 1 if before else 1, owner=owner, set_by=by, set_at=at, reason=reason
    )
    tx.execute(sqlalchemy.insert(_owners).values(**msgspec.structs.asdict(new)))
    return new


def owners_of(tx: Tx, name: str, *, limit: int = OWNERS_SHOWN) -> Sequence[ListOwner]:
    """Return who was made the owner of a list, the newest first; the first one holds."""
    statement = sqlalchemy.select(_owners).where(_owners.c.list == name).order_by(_owners.c.number.desc()).limit(limit)
    return [ListOwner(**row) for row in tx.execute(statement).mappings()]


def owners_now(tx: Tx) -> Mapping[str, str]:
    """Return list -> owner, of those that have one."""
    rows = tx.execute(sqlalchemy.select(_owners.c.list, _owners.c.owner).order_by(_owners.c.number))
    newest: dict[str, str | None] = {row.list: row.owner for row in rows}
    return {name: owner for name, owner in newest.items() if owner is not None}
