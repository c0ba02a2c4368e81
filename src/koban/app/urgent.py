"""Emergency rules as the application wires them: preview beside the decider, compile outside it, start inside it."""

import functools
import threading
from typing import Final

from koban.base import MINUTE, Clock, Instant
from koban.db import Database
from koban.emergency import (
    Emergencies,
    Emergency,
    EmergencyInvalid,
    EmergencyNotPreviewed,
    EmergencyStarted,
    Preview,
    next_morning,
)
from koban.packs import PackDef
from koban.pipeline import Desk
from koban.pipeline.previewing import preview, preview_id
from koban.pipeline.urgent import OverlayStale, end_emergency, extend_emergency, prepare_overlay, start_emergency
from koban.vault import Vault

PREVIEW_COUNTS_FOR: Final = 15 * MINUTE
PREVIEWS_KEPT_MAX: Final = 200
ATTEMPTS_MAX: Final = 5


class PreviewBook:
    """Which previews were made lately. A restart forgets them, and one looks again: a matter of seconds."""

    def __init__(self) -> None:
        """Know of none."""
        self._lock = threading.Lock()
        self._made: dict[str, Instant] = {}

    def note(self, made: Preview, at: Instant) -> None:
        """Remember a preview."""
        with self._lock:
            self._made[made.id] = at
            while len(self._made) > PREVIEWS_KEPT_MAX:
                del self._made[min(self._made, key=self._made.__getitem__)]

    def is_fresh(self, wanted: str, at: Instant) -> bool:
        """Tell whether a preview was made a short while ago."""
        with self._lock:
            made = self._made.get(wanted)
        return made is not None and at - made <= PREVIEW_COUNTS_FOR


def emergencies(database: Database, vault: Vault, desk: Desk, clock: Clock, *, zone: str) -> Emergencies:
    """Return the verbs of emergency rules over a desk."""
    book = PreviewBook()

    def look(started: EmergencyStarted) -> Preview:
        made = preview(database, vault, clock, desk.memory.compiled, started)
        book.note(made, clock.now())
        return made

    def start(started: EmergencyStarted, previewed: str) -> Emergency:
        compiled = desk.memory.compiled
        if previewed != preview_id(started, compiled.pack.digest) or not book.is_fresh(previewed, clock.now()):
            raise EmergencyNotPreviewed(
                "The rule, or the pack, is not the one that was previewed, or that was more than a quarter of an hour ago."
            )
        for _ in range(ATTEMPTS_MAX):
            overlay = prepare_overlay(desk.memory, started)
            try:
                return desk.command(functools.partial(start_emergency, started=started, overlay=overlay))
            except OverlayStale:
                continue
        raise EmergencyInvalid("The pack is changing again and again right now; try once more.")

    return Emergencies(
        preview=look,
        start=start,
        extend=lambda command: desk.command(lambda memory, tx: extend_emergency(memory, tx, command)),
        end=lambda command: desk.command(lambda memory, tx: end_emergency(memory, tx, command)),
        review_due=lambda at: next_morning(at, zone, holidays_of(desk.memory.compiled.pack, zone)),
    )


def holidays_of(pack: PackDef, zone: str) -> frozenset[str]:
    """Return the dates on which a calendar of a zone is shut although its week would open it: nobody reviews then."""
    return frozenset(
        date
        for calendar in pack.calendars.values()
        if calendar.hours.zone == zone
        for date, spans in calendar.hours.days
        if not spans
    )
