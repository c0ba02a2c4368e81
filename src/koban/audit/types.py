"""Audit entries, checkpoints and what a verification found: frozen data."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from koban.base import Instant

Detail = str | int | bool | None
Break = Literal["altered", "removed", "moved", "truncated", "rewritten", "head", "checkpoint"]


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that somebody did. `position` is null until the sealer has put it into the chain."""

    id: int
    position: int | None
    recorded_at: Instant
    actor: str
    action: str
    object_id: str
    details: Mapping[str, Detail]


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """How far the chain reaches after a sealing, and how many entries were added."""

    position: int
    hash: str
    added: int


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A signed statement, kept outside the database, that the chain had this hash at this position."""

    position: int
    hash: str
    at: Instant
    previous: str  # SHA-256 of the checkpoint before, so that none can be taken out of the middle
    signature: str  # Ed25519 over everything above, hexadecimal


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """The first place where the chain does not hold."""

    position: int
    entry_id: int | None
    what: Break
    detail: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found; the chain is whole when `broken` is null."""

    sealed: int  # entries whose place and content were checked
    unsealed: int  # entries that wait for the sealer
    oldest_unsealed_at: Instant | None
    checkpoints: int
    broken: Broken | None

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing was altered, removed, moved or cut off."""
        return self.broken is None
