"""The emergency rules that stand, as the decider knows them."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from koban.base import Instant
from koban.db import Tx
from koban.emergency import store
from koban.emergency.overlay import NO_OVERLAY, Overlay
from koban.emergency.types import (
    Emergency,
    EmergencyChange,
    EmergencyEnded,
    EmergencyExtended,
    EmergencyStarted,
)
from koban.language import Value
from koban.packs import RuleDef
from koban.text import Normalised

Undo: TypeAlias = Callable[[], None]


class LiveEmergency:
    """Owned by the decider's thread. Invariant: `standing` equals folding `apply` over the log in order."""

    __slots__ = ("overlay", "standing")

    def __init__(self) -> None:
        """Start without any."""
        self.standing: dict[str, Emergency] = {}
        self.overlay: Overlay = NO_OVERLAY

    def load(self, tx: Tx) -> None:
        """Read those that nobody and nothing has ended; the overlay is compiled by the caller."""
        self.standing = {each.name: each for each in store.read_standing(tx)}
        self.overlay = NO_OVERLAY

    def apply(self, change: EmergencyChange, seq: int, at: Instant, *, case_id: str = "") -> Undo:
        """Follow one log entry and return what takes it back; undo in reverse order."""
        before = self.standing.get(change.name)
        match change:
            case EmergencyStarted():
                started = Emergency(started=change, seq=seq, started_at=at, ends_at=change.ends_at, case_id=case_id)
                self.standing[change.name] = started
            case EmergencyExtended():
                assert before is not None, "only what stands is extended"
                self.standing[change.name] = msgspec.structs.replace(
                    before, ends_at=change.ends_at, extended_by=change.by, extended_at=at
                )
            case EmergencyEnded():
                self.standing.pop(change.name, None)

        def undo() -> None:
            self.standing.pop(change.name, None)
            if before is not None:
                self.standing[change.name] = before

        return undo

    def install(self, overlay: Overlay) -> Undo:
        """Run another overlay from here on."""
        before, self.overlay = self.overlay, overlay

        def undo() -> None:
            self.overlay = before

        return undo

    def run(
        self, event_type: str, row: Mapping[str, Value], values: dict[str, Value], at: int, texts: dict[str, Normalised]
    ) -> tuple[list[RuleDef], tuple[int, ...]]:
        """Return the emergency rules that match an event, and the versions of all that were asked.

        Features that only rules read which have ended are taken out of `values`: what a decision stores follows from
        the log alone, not from when the overlay was compiled.
        """
        rules = self.overlay.rules.get(event_type)
        if rules is None:
            return [], ()
        asked = {
            rule.name: one.seq
            for rule in rules.rules
            if (one := self.standing.get(rule.name)) is not None and one.stands_at(at)
        }
        found: list[RuleDef] = []
        if asked:
            places = rules.run(row, values, at, texts)
            found = [rules.rules[place] for place in places if rules.rules[place].name in asked]
        for key, readers in self.overlay.extra.get(event_type, {}).items():
            if not readers & asked.keys():
                values.pop(key, None)
        return found, tuple(sorted(asked.values()))
