"""What each rule did within a day, and to whom who turned out honest: kept in memory and read on from the log."""

import dataclasses
import threading
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from koban.base import DAY, MINUTE, SECOND, Instant
from koban.board import store
from koban.db import Tx
from koban.events import store as event_store

COUNTED_FOR: Final = 15 * SECOND  # the honest among all people whom rules acted on
HONEST_CASES_MAX: Final = 5_000


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule did in a span of time: signals, those that acted, distinct accounts among those that acted."""

    hits: int
    applied: int
    accounts: int
    last_at: Instant


NO_ACTIVITY: Final = Activity(hits=0, applied=0, accounts=0, last_at=Instant(0))


@dataclasses.dataclass(kw_only=True)
class _Kept:
    """One rule's day."""

    minutes: dict[int, tuple[int, int]] = dataclasses.field(default_factory=dict)  # hits, and those that acted
    acted_on: dict[str, int] = dataclasses.field(default_factory=dict)  # account -> log time of the newest
    last_at: int = 0

    def let_go(self, since: int) -> None:
        if any(minute * MINUTE < since for minute in self.minutes):
            self.minutes = {minute: found for minute, found in self.minutes.items() if minute * MINUTE >= since}
            self.acted_on = {account: at for account, at in self.acted_on.items() if at >= since}

    def activity(self, since: int) -> Activity:
        counted = [found for minute, found in self.minutes.items() if minute * MINUTE >= since]
        return Activity(
            hits=sum(hits for hits, _ in counted),
            applied=sum(applied for _, applied in counted),
            accounts=sum(1 for at in self.acted_on.values() if at >= since),
            last_at=Instant(self.last_at),
        )


class RuleTally:
    """Rules' last 24 hours, by the minute. Safe to use from several threads.

    The first look reads a day of signals: the server takes it when it starts. Later ones read what is new, so their
    cost does not grow with the log. It holds about 100 bytes for each rule and account, and for each rule and minute.
    """

    def __init__(self, is_honest: Callable[[str, Instant], bool]) -> None:
        """Know nothing yet. `is_honest` tells of an account whether it is labelled so at a moment."""
        self._is_honest = is_honest
        self._lock = threading.Lock()
        self._rules: dict[str, _Kept] = {}
        self._next_seq = 0
        self._since = 0  # what began before it was let go of
        self._honest: tuple[Instant, Mapping[str, int]] | None = None

    def activity(self, tx: Tx, at: Instant, *, lasts: int = DAY) -> Mapping[str, Activity]:
        """Return what each rule did in the time before a moment, at most a day, from the full minute on."""
        since = _since(at, lasts)
        with self._lock:
            self._read_on(tx, at)
            done = {rule: kept.activity(since) for rule, kept in self._rules.items() if kept.last_at >= since}
        return {rule: each for rule, each in done.items() if each.hits}

    def activity_of(self, tx: Tx, at: Instant, rule: str) -> Activity:
        """Return what one rule did in the day before a moment, from the full minute on."""
        with self._lock:
            self._read_on(tx, at)
            kept = self._rules.get(rule)
            return kept.activity(_since(at, DAY)) if kept is not None and kept.minutes else NO_ACTIVITY

    def buckets(self, tx: Tx, at: Instant, rule: str, *, bucket_us: int, lasts: int = DAY) -> list[tuple[int, int]]:
        """Return hits and those that acted in each of the equal spans of a rule's last day, oldest first.

        A minute counts where it began; the last span is the one that the moment lies in.
        """
        since = _since(at, lasts)
        found = [(0, 0)] * (lasts // bucket_us + 1)
        with self._lock:
            self._read_on(tx, at)
            kept = self._rules.get(rule, _Kept())
            for minute, (hits, applied) in kept.minutes.items():
                if minute * MINUTE >= since:
                    place = min((minute * MINUTE - since) // bucket_us, len(found) - 1)
                    found[place] = (found[place][0] + hits, found[place][1] + applied)
        return found

    def honest(self, tx: Tx, at: Instant) -> Mapping[str, int]:
        """Return how many honest people each rule touched: by a label, a case closed as honest, a sanction overturned.

        Counted anew after a quarter of a minute: it asks for each account whether it is honest.
        """
        with self._lock:
            if self._honest is None or not 0 <= at - self._honest[0] < COUNTED_FOR:
                self._read_on(tx, at)
                self._honest = (at, self._count_honest(tx, at))
            return self._honest[1]

    def _count_honest(self, tx: Tx, at: Instant) -> Mapping[str, int]:
        touched = {
            rule: {account for account in kept.acted_on if self._is_honest(account, at)}
            for rule, kept in self._rules.items()
        }
        since_seq = event_store.seq_since(tx, Instant(at - DAY))
        for rule, person in store.judged_honest(tx, since_at=Instant(at - DAY), limit=HONEST_CASES_MAX):
            touched.setdefault(rule, set()).add(person)
        for rule, person in store.overturned(tx, since_seq=since_seq, limit=HONEST_CASES_MAX):
            touched.setdefault(rule, set()).add(person)
        return {rule: len(people) for rule, people in touched.items() if people}

    def _read_on(self, tx: Tx, at: Instant) -> None:
        since, newest = _since(at, DAY), store.newest_signal(tx)
        if since > self._since:  # once a minute, however often it is asked
            for kept in self._rules.values():
                kept.let_go(since)
            self._since = since
        if newest < self._next_seq:
            return
        first = self._next_seq or event_store.seq_since(tx, Instant(since))
        for rule, minute, hits, applied, last_at in store.hits_by_minute(tx, since_seq=first, until_seq=newest):
            kept = self._rules.setdefault(rule, _Kept())
            before = kept.minutes.get(minute, (0, 0))
            kept.minutes[minute] = (before[0] + hits, before[1] + applied)
            kept.last_at = max(kept.last_at, last_at)
        for rule, account, last_at in store.acted_on(tx, since_seq=first, until_seq=newest):
            self._rules[rule].acted_on[account] = last_at
        self._next_seq = newest + 1


def _since(at: Instant, lasts: int) -> int:
    """Return the beginning of the minute that lay so long ago."""
    return (at - lasts) // MINUTE * MINUTE
