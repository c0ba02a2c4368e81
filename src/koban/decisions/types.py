"""The verdict on an event, the signals behind it, and what is stored of both."""

import dataclasses
from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from koban.base import Instant, Refusal

Texts = Mapping[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Allow:
    """The event may go on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Warn:
    """The event may go on; its author, recipient or both are told something first."""

    targets: tuple[Literal["author", "recipient"], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Challenge:
    """The event may go on once the person has proved something."""

    kinds: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hold:
    """The event waits; at `lifts_at` it becomes `becomes` by itself."""

    lifts_at: Instant
    becomes: Literal["allow", "block"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """The event may not go on."""


Verdict: TypeAlias = Allow | Warn | Challenge | Hold | Block
VerdictName = Literal["allow", "warn", "challenge", "hold", "block"]
VERDICT_NAMES: tuple[VerdictName, ...] = ("allow", "warn", "challenge", "hold", "block")


class SignalRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rule that matched: what it asked for, and whether that was done."""

    rule: str
    policy: str
    applied: bool
    withheld: str = ""  # why not: shadow, not in the live share, over budget, late, overdue, snoozed, imported, …
    actions: tuple[str, ...] = ()
    unmet: tuple[str, ...] = ()  # actions that could not be taken, and why: "hide: no_content"
    because: Texts = {}


class HoldRecord(msgspec.Struct, frozen=True, kw_only=True):
    """When a held event lapses, and into what."""

    lifts_at: str
    becomes: str


HoldEndWhy = Literal["lapsed", "withdrawn", "judged"]


class HoldEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How the hold of an event ended: by its time, because its rules were wrong, or by a person's judgement."""

    at: Instant
    why: HoldEndWhy
    verdict: VerdictName  # what the event became
    cause_seq: int  # the log entry that ended it: a timer's, a command's, a case's closing


class DecisionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one event, as stored and as given to everyone who asks for it, byte for byte the same."""

    id: str
    source: str
    type: str
    seq: int
    decided_at: str
    verdict: VerdictName
    signals: tuple[SignalRecord, ...] = ()
    hold: HoldRecord | None = None
    challenge: tuple[str, ...] = ()
    warn: tuple[str, ...] = ()
    sanctions: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    fallback: bool = False
    late: bool = False
    ahead: bool = False  # the event's own time lay more than ten minutes in the future
    text_damaged: bool = False
    unread: tuple[str, ...] = ()
    pack: str = ""
    emergency: tuple[int, ...] = ()  # versions of the emergency rules that were asked: the entries that started them


FeatureValue = bool | int | str | tuple[str, ...] | None


class Inputs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the decision read besides the event itself: feature values by key, the pack's digest, emergency rules."""

    features: Mapping[str, FeatureValue]
    pack: str
    emergency: tuple[int, ...] = ()


class DecisionMissing(Refusal):
    """No such decision."""

    code = "decision_missing"
    status = 404
    title = "There is no such decision."
