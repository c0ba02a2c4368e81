"""What the board speaks of."""

from collections.abc import Mapping
from typing import Literal, Protocol, TypeAlias

import msgspec

from koban.base import Instant

WaitingWhy: TypeAlias = Literal["held", "frozen"]


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Money of one event that waits: the event is held, or its account's payouts are frozen."""

    seq: int
    at: Instant
    type: str
    kind: str  # order, payment, payout
    why: WaitingWhy
    amount_minor: int
    currency: str
    account: str | None
    until_at: Instant | None  # None: until a person decides


class CaseFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Open cases of every queue together."""

    open: int
    overdue: int
    oldest_at: Instant | None
    next_due_at: Instant | None  # of those that are not overdue


class ActionFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of the marketplace, by how far it got."""

    by_status: Mapping[str, int]
    unconfirmed: int
    oldest_unconfirmed_at: Instant | None
    overdue: int


class Numbers(Protocol):
    """What the decider counts in memory; `koban.pipeline` makes it."""

    @property
    def per_second(self) -> tuple[int, ...]:
        """Events decided in each of the last 60 full seconds, oldest first."""
        ...

    @property
    def last_minute(self) -> Mapping[str, int]:
        """Decisions of the last minute by verdict."""
        ...

    @property
    def p50_us(self) -> int:
        """Median of arrival to decision, in microseconds."""
        ...

    @property
    def p99_us(self) -> int:
        """99th percentile of the same."""
        ...
