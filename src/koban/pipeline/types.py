"""What the decider is given and what it gives back."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from koban.base import Instant
from koban.events import Entry, Envelope, Fault, Prepared
from koban.events.routes import Result

if TYPE_CHECKING:
    from koban.db import Tx
    from koban.pipeline.memory import Memory


class EventUnit(msgspec.Struct, frozen=True, kw_only=True):
    """An event that somebody waits for; `asynchronous` only until it is durable."""

    envelope: Envelope
    prepared: Prepared
    key: bytes
    pack: str  # digest of the pack that `prepared` was read under
    asynchronous: bool = False
    hurried: bool = True  # somebody waits for this event alone, so `within_ms` holds for it
    imported: bool = False  # from before Koban was there: it warms features and has no consequences


@dataclasses.dataclass(frozen=True, kw_only=True)
class FaultUnit:
    """An event that could not be read, to be kept in quarantine."""

    fault: Fault
    received_at: Instant


@dataclasses.dataclass(frozen=True, kw_only=True)
class WaitingUnit:
    """An event from the durable inbox."""

    position: int
    entry: Entry


@dataclasses.dataclass(frozen=True, kw_only=True)
class CommandUnit:
    """A change that somebody asked for: a list entry, a label, a mode, a sanction, a pack."""

    run: "Callable[[Memory, Tx], object]"


Unit: TypeAlias = EventUnit | FaultUnit | WaitingUnit | CommandUnit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refused:
    """A command's refusal, to be raised where the caller waits."""

    error: Exception


@dataclasses.dataclass(frozen=True, kw_only=True)
class Done:
    """What a command returned."""

    value: object


@dataclasses.dataclass(frozen=True, kw_only=True)
class Repeated:
    """An event that came again after its first answer went to the archive: read there, outside the decider's thread."""

    unit: EventUnit
    seq: int
    differs: bool


Reply: TypeAlias = Result | Refused | Done | Repeated
