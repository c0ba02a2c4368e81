"""Rows of one batch, gathered while it is decided and written at its end, each room's by that room's store."""

import dataclasses
import random
from collections.abc import Sequence

import koban.decisions.store as decision_store
import koban.events.store as event_store
import koban.rules.store as rule_store
from koban import cases, enforcement, webhooks
from koban.base import Instant
from koban.db import Timer, Tx, delete_timers, insert_timers
from koban.events import Entry
from koban.rules import BudgetTripped
from koban.vault import preserve


@dataclasses.dataclass(kw_only=True)
class Rows:
    """Everything a batch writes. `mark` and `cut` take back what a failing unit had added."""

    entries: list[Entry] = dataclasses.field(default_factory=list)
    decisions: list[decision_store.Row] = dataclasses.field(default_factory=list)
    signals: list[decision_store.SignalRow] = dataclasses.field(default_factory=list)
    sanctions: list[enforcement.Recorded] = dataclasses.field(default_factory=list)
    notices: list[enforcement.Notice] = dataclasses.field(default_factory=list)
    requests: list[webhooks.ActionRequest] = dataclasses.field(default_factory=list)
    opened_cases: list[cases.CaseStep] = dataclasses.field(default_factory=list)
    harm: list[tuple[int, str, str, int]] = dataclasses.field(default_factory=list)  # seq, rule, whom, when
    trips: list[tuple[int, Instant, BudgetTripped]] = dataclasses.field(default_factory=list)
    timers: list[Timer | str] = dataclasses.field(default_factory=list)  # set, or an id: fired or taken back; in order
    preserved: list[tuple[str, str]] = dataclasses.field(default_factory=list)  # person's pseudonym, case
    alerts: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)  # kind, about what, detail
    waiting: list[tuple[int, Entry]] = dataclasses.field(default_factory=list)
    decided_positions: list[int] = dataclasses.field(default_factory=list)
    quarantined: list[tuple[str, int, str | None, str | None, str | None, str, bytes]] = dataclasses.field(
        default_factory=list
    )

    def __post_init__(self) -> None:
        """Keep the lists at hand: they are emptied in place and never replaced."""
        self._lists: tuple[list[object], ...] = tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    def mark(self) -> tuple[int, ...]:
        """Return where every list ends now."""
        return tuple(map(len, self._lists))

    def cut(self, mark: tuple[int, ...]) -> None:
        """Take back everything added since `mark`."""
        for each, length in zip(self._lists, mark, strict=True):
            del each[length:]

    def write(
        self,
        tx: Tx,
        at: Instant,
        randomness: random.Random,
        endpoints: Sequence[webhooks.WebhookEndpoint],
    ) -> bool:
        """Write everything in the transaction of the batch; tell whether there was anything."""
        event_store.insert_entries(tx, self.entries)
        event_store.insert_waiting(tx, self.waiting)
        event_store.delete_waiting(tx, self.decided_positions)
        event_store.insert_quarantined(tx, self.quarantined)
        decision_store.insert_decisions(tx, self.decisions)
        decision_store.insert_signals(tx, self.signals)
        if self.sanctions:
            enforcement.write(tx, self.sanctions)
        enforcement.write_notices(tx, self.notices)
        # The last word on each timer counts: one may be set and fired in one batch, or taken back and set again.
        last = {each if isinstance(each, str) else each.id: each for each in self.timers}
        delete_timers(tx, list(dict.fromkeys(each for each in self.timers if isinstance(each, str))))
        insert_timers(tx, [each for each in last.values() if not isinstance(each, str)])
        cases.write(tx, self.opened_cases)
        for pseudonym, case_id in dict.fromkeys(self.preserved):
            preserve(tx, at, pseudonym, case_id)
        if self.requests:
            webhooks.insert_actions(tx, webhooks.actions_for(self.requests, endpoints))
        rule_store.save_harm(tx, self.harm)
        for seq, tripped_at, tripped in self.trips:
            rule_store.save_trip(tx, seq, tripped_at, tripped)
        for kind, about, detail in self.alerts:
            webhooks.raise_alert(tx, at, randomness, kind=kind, about=about, detail=detail)
        return any(self._lists)

    def clear(self) -> None:
        """Forget everything: the batch is over."""
        for each in self._lists:
            each.clear()
