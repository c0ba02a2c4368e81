"""A lease with a fencing token: one holder at a time, and a holder that lost it can no longer commit."""

import dataclasses
from typing import Final

import sqlalchemy
from sqlalchemy import BigInteger, Column, Table, Text

from koban.base import Instant
from koban.db.core import Tx, metadata, upsert

leases: Final = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True, comment="What is held: decider, sealer, …"),
    Column("holder", Text, nullable=False, comment="Who holds it: host, process, address, as JSON."),
    Column("token", BigInteger, nullable=False, comment="Grows with every change of holder."),
    Column("expires_at", BigInteger, nullable=False, comment="Until when, in microseconds."),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lease:
    """A lease that was taken; `token` goes into every commit."""

    name: str
    token: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Held:
    """Somebody else's lease."""

    holder: str
    expires_at: Instant


def take_lease(tx: Tx, at: Instant, name: str, *, holder: str, lasts: int, over: bool = False) -> Lease | Held:
    """Take the lease unless another holder's still runs; `over` takes it although it runs (its process is known dead)."""
    row = tx.execute(sqlalchemy.select(leases).where(leases.c.name == name).with_for_update()).first()
    if row is not None and row.expires_at > at and not over:
        return Held(holder=row.holder, expires_at=Instant(row.expires_at))
    token = 1 if row is None else row.token + 1
    values = {"name": name, "holder": holder, "token": token, "expires_at": at + lasts}
    upsert(tx, leases, [values], keys=["name"], update=["holder", "token", "expires_at"])
    return Lease(name=name, token=token)


def keep_lease(tx: Tx, at: Instant, lease: Lease, *, lasts: int) -> bool:
    """Renew the lease inside the holder's own transaction; False means that it was lost and nothing may be committed.

    Why inside: the row lock makes a new holder wait for this commit, so two holders never commit side by side.
    """
    kept = tx.change(
        "UPDATE leases SET expires_at = ? WHERE name = ? AND token = ?", (at + lasts, lease.name, lease.token)
    )
    return kept == 1


def drop_lease(tx: Tx, lease: Lease) -> None:
    """Give the lease back, so that the next holder need not wait for its end."""
    tx.execute(
        sqlalchemy.update(leases).where(leases.c.name == lease.name, leases.c.token == lease.token).values(expires_at=0)
    )
