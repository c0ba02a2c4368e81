"""Frozen data of the simulated marketplace: what is sent, what is true, and how a run is set up."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from koban.base import HOUR, Instant

Language = Literal["ja", "en"]
Register = Literal["polite", "curt", "young", "old"]


class Raid(msgspec.Struct, frozen=True, kw_only=True):
    """A crowd of linked accounts floods the busiest live stream."""

    minute: int = 18
    lasts_s: int = 60
    per_minute: int = 1_200
    accounts: int = 61
    devices: int = 4
    fan: bool = False  # an honest viewer writes from one of the raiders' devices: a shared one in a café


class Takeover(msgspec.Struct, frozen=True, kw_only=True):
    """A stolen account empties its balance at a chosen minute, besides those that the seed plants."""

    minute: int
    amount_minor: int = 184_000


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """The marketplace's webhook side fails: `down` answers 503, `silent` takes actions and does not confirm them."""

    minute: int
    lasts_minutes: int = 3
    kind: Literal["down", "silent"] = "down"


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """The planned incidents of a run; the tricks of single scammers come from the seed."""

    raid: Raid | None = Raid()
    takeovers: tuple[Takeover, ...] = ()
    outage: Outage | None = None
    evening: bool = False  # the chapters of the demo's evening, each at its minute (`koban.sim.evening`)


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How big the marketplace is. At the defaults it makes about 30 events a second."""

    people: int = 20_000
    events_per_minute: int = 1_800
    streams: int = 6
    main_chat: int = 160  # chat lines a minute in the biggest stream, at 1,800 events a minute


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All that determines a plan: equal settings give equal bytes."""

    seed: int
    start_at: Instant
    name: str = "market"
    duration: int = HOUR  # microseconds
    size: Size = Size()
    scenario: Scenario = Scenario()
    tricks: tuple[str, ...] | None = None  # None: all of them
    trick_percent: int = 100  # how many scammers, as a share of the usual number
    town_at: Instant | None = None  # when the town is as it is; None: at the start. A past and its evening share it
    part: str = ""  # goes into ids, so that a past and its evening share people and nothing else


class SimEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event as the marketplace sends it; `actor` is the account that did it."""

    id: str
    source: str
    type: str
    at: Instant
    subject: str
    actor: str
    data: Mapping[str, object]


class AccountTruth(msgspec.Struct, frozen=True, kw_only=True, tag="account", tag_field="kind"):
    """Who an account really is. `trick` is None for honest people, whose account may still be `stolen`."""

    account: str
    name: str
    language: Language
    persona: str
    trick: str | None = None
    stolen: bool = False


class EventTruth(msgspec.Struct, frozen=True, kw_only=True, tag="event", tag_field="kind"):
    """What an event really was.

    `trick` is set on every event that an adversary made; `harm` only where this very event is the wrong that a
    platform should see. `planted_minor` is the money in yen that is lost when this event stands.
    """

    event_id: str
    account: str
    trick: str | None = None
    harm: bool = False
    incident: str | None = None
    planted_minor: int = 0


TruthRow = AccountTruth | EventTruth


class KeptBack(msgspec.Struct, frozen=True, kw_only=True):
    """An event that never happened, because an action of Koban's stood in its way."""

    event_id: str
    reason: str
